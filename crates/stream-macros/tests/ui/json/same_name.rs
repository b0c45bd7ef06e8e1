use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(rename_all = "camelCase")]
struct User {
    first_name: String,
    #[kafka(rename = "firstName")]
    name: String,
}

fn main() {}
