use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(topic)]
struct User {
    name: String,
}

fn main() {}
