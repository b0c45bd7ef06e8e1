use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(format = )]
struct User {
    name: String,
}

fn main() {}
