use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(rename_all = "CamelCase")]
struct User {
    name: String,
}

fn main() {}
