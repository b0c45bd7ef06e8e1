use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(content = "data")]
enum Event {
    Created,
}

fn main() {}
