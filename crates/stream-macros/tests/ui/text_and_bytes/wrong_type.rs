use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(format = "string")]
struct Text(Vec<u8>);

#[derive(KafkaSchema)]
#[kafka(format = "bytes")]
struct Bytes(String);

fn main() {}
