use stream_macros::KeyHash;

#[derive(KeyHash)]
union Bits {
    float: f32,
    int: u32,
}

fn main() {}
