use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User {
    #[kafka(key)]
    id: String,
}

fn main() {}
