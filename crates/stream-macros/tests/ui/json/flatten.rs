use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(deny_unknown_fields)]
struct User {
    #[kafka(flatten, rename = "a")]
    address: String,
    #[kafka(key, flatten)]
    id: String,
}

fn main() {}
