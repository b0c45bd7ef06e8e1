use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(tag = "type", rename_all_fields = "camelCase")]
struct User {
    name: String,
}

fn main() {}
