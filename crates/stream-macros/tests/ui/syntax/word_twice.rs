use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User {
    #[kafka(rename = "a")]
    #[kafka(rename = "b")]
    name: String,
}

fn main() {}
