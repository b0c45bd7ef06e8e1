use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User {
    #[kafka(partition)]
    partition: u32,
    #[kafka(offset)]
    offset: Option<i64>,
    #[kafka(topic)]
    topic: Vec<u8>,
    #[kafka(headers)]
    headers: Vec<String>,
    name: String,
}

fn main() {}
