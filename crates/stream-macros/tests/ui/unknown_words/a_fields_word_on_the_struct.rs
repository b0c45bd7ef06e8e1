use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(key)]
struct User {
    name: String,
}

fn main() {}
