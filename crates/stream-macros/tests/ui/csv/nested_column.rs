use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(format = "csv")]
struct User {
    tags: Vec<String>,
    place: (f64, f64),
    bytes: Option<Vec<u8>>,
}

fn main() {}
