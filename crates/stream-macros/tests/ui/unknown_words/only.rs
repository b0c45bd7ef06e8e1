use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(only = "reed")]
struct User {
    name: String,
}

fn main() {}
