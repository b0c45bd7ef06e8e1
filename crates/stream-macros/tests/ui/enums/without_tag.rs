use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
enum Event {
    Created { name: String },
    Deleted,
}

fn main() {}
