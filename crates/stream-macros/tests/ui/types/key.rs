use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User {
    #[kafka(key)]
    id: (u8, u8),
    #[kafka(header = "tags")]
    tags: Option<Vec<String>>,
    name: String,
}

fn main() {}
