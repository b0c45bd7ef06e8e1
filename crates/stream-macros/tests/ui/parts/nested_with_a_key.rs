use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(nested)]
struct User {
    #[kafka(key)]
    id: String,
    name: String,
}

fn main() {}
