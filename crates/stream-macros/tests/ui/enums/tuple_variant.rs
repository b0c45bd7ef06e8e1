use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(tag = "type")]
enum Event {
    Moved(u8, u8),
}

fn main() {}
