use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(tag = "type")]
enum Event {
    Created {
        #[kafka(key)]
        id: String,
        name: String,
    },
}

fn main() {}
