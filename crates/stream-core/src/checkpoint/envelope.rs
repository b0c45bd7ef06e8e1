//! The envelope around everything in a checkpoint store: what it is, in which version, whole or not.
//!
//! ```text
//!   magic      4 bytes   what this is
//!   version    2 bytes   little-endian, as all numbers here
//!   reserved   2 bytes   0
//!   length     8 bytes   of the content
//!   content
//!   checksum   8 bytes   xxh3-64 of all bytes before it
//! ```

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

/// The bytes in front of the content.
pub(crate) const HEADER: usize = 16;

/// The bytes behind it.
pub(crate) const TRAILER: usize = 8;

/// A manifest.
pub(crate) const MANIFEST: [u8; 4] = *b"SRCM";

/// Pieces of state, one after the other.
pub(crate) const DATA: [u8; 4] = *b"SRCD";

/// Puts header and trailer around `content`; returns the checksum besides.
pub(crate) fn wrap(magic: [u8; 4], version: u16, mut content: Vec<Bytes>) -> (Vec<Bytes>, u64) {
    let length: usize = content.iter().map(Bytes::len).sum();
    let mut header = Vec::with_capacity(HEADER);
    header.extend(magic);
    header.extend(version.to_le_bytes());
    header.extend([0; 2]);
    header.extend((length as u64).to_le_bytes());
    content.insert(0, header.into());
    let mut hash = Xxh3::new();
    content.iter().for_each(|part| hash.update(part));
    let checksum = hash.digest();
    content.push(checksum.to_le_bytes().to_vec().into());
    (content, checksum)
}

/// The content of an envelope and its version, or what is wrong with it.
pub(crate) fn unwrap(magic: [u8; 4], newest: u16, object: &Bytes) -> Result<(u16, Bytes), String> {
    let Some((header, _)) = object.split_first_chunk::<HEADER>() else {
        return Err(format!("it is cut off: {} bytes, but the header alone has {HEADER}", object.len()));
    };
    let [m0, m1, m2, m3, v0, v1, _, _, length @ ..] = *header;
    if [m0, m1, m2, m3] != magic {
        return Err(format!("it is no file of this kind: it begins with {:02x?}", [m0, m1, m2, m3]));
    }
    let version = u16::from_le_bytes([v0, v1]);
    let length = u64::from_le_bytes(length);
    let whole = length.checked_add((HEADER + TRAILER) as u64);
    if whole != Some(object.len() as u64) {
        let has = object.len() as u64;
        let what = if whole.is_none_or(|whole| whole > has) { "it is cut off" } else { "something was added to it" };
        return Err(format!("{what}: it has {has} bytes, its header promises {length} and {}", HEADER + TRAILER));
    }
    let end = object.len() - TRAILER;
    let stored = object[end..].first_chunk::<TRAILER>().map(|bytes| u64::from_le_bytes(*bytes));
    let mut hash = Xxh3::new();
    hash.update(&object[..end]);
    let checksum = hash.digest();
    if stored != Some(checksum) {
        let stored = stored.unwrap_or_default();
        return Err(format!("its bytes were changed: their checksum is {checksum:016x}, stored is {stored:016x}"));
    }
    if version == 0 || version > newest {
        return Err(format!("it has format version {version}, this program reads up to {newest}"));
    }
    Ok((version, object.slice(HEADER..end)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(parts: Vec<Bytes>) -> Bytes {
        parts.concat().into()
    }

    fn example() -> Bytes {
        whole(wrap(DATA, 1, vec!["abc".into(), "de".into()]).0)
    }

    #[test]
    fn what_was_wrapped_comes_back() {
        assert_eq!(unwrap(DATA, 1, &example()), Ok((1, "abcde".into())));
    }

    #[test]
    fn damage_has_a_name() {
        let good = example();
        let text = |object: Bytes| unwrap(DATA, 1, &object).expect_err("damaged");
        insta::assert_snapshot!(text(good.slice(..7)), @"it is cut off: 7 bytes, but the header alone has 16");
        insta::assert_snapshot!(text(good.slice(..28)), @"it is cut off: it has 28 bytes, its header promises 5 and 24");
        let longer = [&good[..], b"x"].concat().into();
        insta::assert_snapshot!(text(longer), @"something was added to it: it has 30 bytes, its header promises 5 and 24");
        let newer = whole(wrap(DATA, 2, vec!["abc".into()]).0);
        insta::assert_snapshot!(text(newer), @"it has format version 2, this program reads up to 1");
        let other = whole(wrap(MANIFEST, 1, vec!["abc".into()]).0);
        insta::assert_snapshot!(text(other), @"it is no file of this kind: it begins with [53, 52, 43, 4d]");
        let mut flipped = good.to_vec();
        flipped[17] ^= 1;
        assert!(text(flipped.into()).starts_with("its bytes were changed"));
    }

    proptest! {
        #[test]
        fn no_flipped_bit_and_no_cut_goes_unnoticed(
            content in prop::collection::vec(any::<u8>(), 0..100),
            at in any::<prop::sample::Index>(),
            bit in 0..8,
        ) {
            let good = whole(wrap(DATA, 1, vec![content.into()]).0);
            let mut flipped = good.to_vec();
            flipped[at.index(good.len())] ^= 1_u8 << bit;
            // The reserved bytes are checked, too: they are under the checksum.
            prop_assert!(unwrap(DATA, 1, &flipped.into()).is_err());
            prop_assert!(unwrap(DATA, 1, &good.slice(..at.index(good.len()))).is_err());
        }
    }
}
