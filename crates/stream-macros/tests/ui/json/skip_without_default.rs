use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User {
    name: String,
    #[kafka(skip)]
    cached: u64,
}

fn main() {}
