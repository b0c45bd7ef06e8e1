use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka]
struct User {
    name: String,
}

fn main() {}
