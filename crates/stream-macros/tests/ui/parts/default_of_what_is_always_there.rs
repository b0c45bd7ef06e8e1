use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User {
    #[kafka(partition, default)]
    partition: i32,
    name: String,
}

fn main() {}
