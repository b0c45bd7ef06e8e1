use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(rename_all = "lowercase")]
enum Event {
    Created,
    #[kafka(rename = "created")]
    Made,
}

fn main() {}
