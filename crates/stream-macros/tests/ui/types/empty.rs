use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User {}

#[derive(KafkaSchema)]
struct Unit;

#[derive(KafkaSchema)]
enum Never {}

fn main() {}
