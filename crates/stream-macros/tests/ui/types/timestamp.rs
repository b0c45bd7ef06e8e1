use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User {
    #[kafka(timestamp)]
    at: String,
    name: String,
}

fn main() {}
