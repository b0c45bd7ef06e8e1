use stream_macros::KafkaSchema;

#[derive(KafkaSchema)]
union User {
    a: u32,
    b: f32,
}

fn main() {}
