use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct Point(u8, u8);

fn main() {}
