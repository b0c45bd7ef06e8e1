use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(format = "csv")]
enum Event<T> {
    Created(T),
}

fn main() {}
