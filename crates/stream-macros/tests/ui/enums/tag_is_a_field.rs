use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(tag = "type")]
enum Event {
    Created { r#type: String },
}

fn main() {}
