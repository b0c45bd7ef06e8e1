use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(format = "protobuf")]
struct User {
    name: String,
}

fn main() {}
