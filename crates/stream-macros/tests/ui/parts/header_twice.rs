use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User {
    #[kafka(header = "trace")]
    trace: String,
    #[kafka(header = "trace")]
    again: String,
    name: String,
}

fn main() {}
