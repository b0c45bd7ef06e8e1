use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User {
    #[kafka(kye)]
    id: String,
    #[kafka(colour = "red")]
    name: String,
}

fn main() {}
