use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(format = "string")]
struct User {
    name: String,
    age: u8,
}

fn main() {}
