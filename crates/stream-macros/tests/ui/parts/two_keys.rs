use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User {
    #[kafka(key)]
    id: String,
    #[kafka(key)]
    other: String,
    name: String,
}

fn main() {}
