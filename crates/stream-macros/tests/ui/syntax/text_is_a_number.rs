use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(topic = 5)]
struct User {
    #[kafka(rename(a))]
    name: String,
}

fn main() {}
