use stream_macros::KeyHash;

#[derive(KeyHash)]
#[key_hash(krate = "elsewhere")]
struct User {
    name: String,
}

fn main() {}
