use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User {
    #[kafka(timestamp)]
    created: i64,
    #[kafka(timestamp)]
    changed: i64,
    name: String,
}

fn main() {}
