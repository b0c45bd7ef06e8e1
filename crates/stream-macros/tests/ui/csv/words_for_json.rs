use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(format = "csv", deny_unknown_fields, nested)]
struct User {
    #[kafka(flatten)]
    name: String,
}

fn main() {}
