use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(tag = "type", content = "type")]
enum Event {
    Created { name: String },
}

fn main() {}
