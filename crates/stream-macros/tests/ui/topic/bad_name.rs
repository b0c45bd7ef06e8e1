use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(topic = "my users")]
struct User {
    name: String,
}

#[derive(KafkaSchema)]
#[kafka(topic = "")]
struct Other {
    name: String,
}

fn main() {}
