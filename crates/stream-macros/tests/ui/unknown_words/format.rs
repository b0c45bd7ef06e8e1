use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(format = "jsno")]
struct User {
    name: String,
}

fn main() {}
