use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(format = "bytes", rename_all = "camelCase")]
struct User {
    #[kafka(rename = "b")]
    bytes: Vec<u8>,
}

fn main() {}
