use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User {
    #[kafka(key = "id")]
    id: String,
    name: String,
}

fn main() {}
