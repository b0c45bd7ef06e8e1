use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User {
    #[kafka(default = "1 + 1")]
    age: u8,
}

fn main() {}
