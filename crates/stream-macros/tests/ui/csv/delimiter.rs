use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(format = "csv", delimiter = "\"")]
struct User {
    name: String,
}

#[derive(KafkaSchema)]
#[kafka(delimiter = ";;")]
struct Other {
    name: String,
}

fn main() {}
