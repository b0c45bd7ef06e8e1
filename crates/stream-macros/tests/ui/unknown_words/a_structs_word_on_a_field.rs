use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User {
    #[kafka(format = "csv")]
    name: String,
}

fn main() {}
