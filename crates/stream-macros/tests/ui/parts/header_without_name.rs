use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User {
    #[kafka(header)]
    trace: String,
    #[kafka(header = "")]
    span: String,
    name: String,
}

fn main() {}
