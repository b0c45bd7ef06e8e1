use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
struct User<'a> {
    name: std::borrow::Cow<'a, str>,
}

fn main() {}
