use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
#[kafka(format = "jsn", topic = "a/b", colour)]
struct User<'a> {
    #[kafka(key)]
    id: Vec<(u8, u8)>,
    #[kafka(key)]
    name: std::borrow::Cow<'a, str>,
    #[kafka(skip)]
    cached: u8,
}

fn main() {}
