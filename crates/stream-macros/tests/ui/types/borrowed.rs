use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User {
    name: &'static str,
    bytes: Option<&'static [u8]>,
}

fn main() {}
