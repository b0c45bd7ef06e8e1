use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(crate = "my kafka")]
struct User {
    name: String,
}

fn main() {}
