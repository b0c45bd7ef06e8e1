use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(only = "write")]
struct User {
    #[kafka(offset)]
    offset: i64,
    #[kafka(topic)]
    topic: String,
    name: String,
}

fn main() {}
