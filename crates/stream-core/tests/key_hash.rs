//! `#[derive(KeyHash)]`: pinned, because it is part of the format of every checkpoint.

use stream_core::KeyHash;

#[derive(KeyHash)]
struct Unit;

#[derive(KeyHash)]
struct Wrapper(u64);

#[derive(KeyHash)]
struct Named<T> {
    id: T,
    tags: Vec<String>,
}

#[derive(KeyHash)]
enum Event<'a> {
    Click { x: u32, y: u32 },
    Text(&'a str),
    Nothing,
}

#[allow(dead_code)]
#[derive(KeyHash)]
enum Reordered {
    Nothing,
    More,
    Click { left: u64, top: u64 },
}

#[test]
fn fields_are_fed_in_their_order() {
    assert_eq!(Wrapper(7).key_hash(), 7_u64.key_hash());
    assert_eq!(Unit.key_hash(), ().key_hash());
    let named = Named { id: 7_u8, tags: vec!["a".into()] };
    assert_eq!(named.key_hash(), (7_u64, ["a"]).key_hash());
}

#[test]
fn variants_go_by_their_names() {
    let pinned = [Event::Click { x: 1, y: 2 }.key_hash(), Event::Text("a").key_hash(), Event::Nothing.key_hash()];
    assert_eq!(pinned[0], Reordered::Click { left: 1, top: 2 }.key_hash());
    assert_eq!(pinned[2], Reordered::Nothing.key_hash());
    assert_ne!(pinned[1], pinned[2]);
    insta::assert_snapshot!(pinned.map(|hash| format!("{hash:016x}")).join(" "));
}
