use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(tag = "type")]
enum Event {
    #[kafka(renam = "a")]
    A { name: String },
}

fn main() {}
