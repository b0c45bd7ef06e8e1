use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(fromat = "json")]
struct User {
    name: String,
}

fn main() {}
