use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(format = "json")]
struct User {
    #[kafka(value)]
    user: Vec<u8>,
    name: String,
}

fn main() {}
