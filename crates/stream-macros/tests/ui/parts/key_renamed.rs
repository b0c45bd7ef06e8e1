use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User {
    #[kafka(key, rename = "id")]
    id: String,
    #[kafka(header = "a", rename = "b")]
    trace: String,
    name: String,
}

fn main() {}
