//! Keys: a hash that never changes, and from it the key group and the subtask of a record.
//!
//! State is stored by key group, so the hash is part of the format of every checkpoint. That is why it is neither the
//! standard library's `Hash` nor anybody's hasher: its values are pinned by the vectors in this file. It is computed
//! once per record, where the key is taken, and used again for the key group and for every lookup of state.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

use crate::time::Timestamp;

/// Odd, without a pattern in its bits (from the digits of the golden ratio and of the square root of 2).
const MULTIPLIERS: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0x6A09_E667_F3BC_C909];

/// A value that records can be grouped by: its hash is the same on every machine and in every version.
///
/// Derive it for structs and enums of your own. Integers of all widths with the same value have the same hash, as have
/// a string, its reference and its box; so a key may become wider without its state getting lost. Floating point numbers
/// are no keys: NaN differs from itself.
///
/// # Example
/// ```
/// use stream_core::KeyHash;
///
/// assert_eq!(7_u8.key_hash(), 7_i64.key_hash());
/// assert_eq!("ada".key_hash(), String::from("ada").key_hash());
/// assert_ne!(("ab", "c").key_hash(), ("a", "bc").key_hash());
///
/// #[derive(Clone, PartialEq, Eq, KeyHash, serde::Serialize, serde::Deserialize)]
/// struct Place {
///     country: String,
///     zip: u32,
/// }
/// let berlin = Place { country: "DE".into(), zip: 10115 };
/// assert_eq!(berlin.key_hash(), ("DE", 10115).key_hash());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a key: it has no stable hash",
    note = "keys are integers, strings, bytes, booleans, options, vectors and tuples of them, or types with \
            #[derive(KeyHash)]; floating point numbers are not"
)]
pub trait KeyHash {
    /// Mixes this value into `hasher`.
    fn feed(&self, hasher: &mut KeyHasher);

    /// Mixes the values of a slice into `hasher`, one after another.
    fn feed_all(values: &[Self], hasher: &mut KeyHasher)
    where
        Self: Sized,
    {
        for value in values {
            value.feed(hasher);
        }
    }

    /// The hash of this value alone.
    #[inline]
    fn key_hash(&self) -> u64 {
        let mut hasher = KeyHasher::new();
        self.feed(&mut hasher);
        hasher.finish()
    }
}

/// What a stream can be keyed by.
pub trait Key: KeyHash + Eq + Clone + Send + Serialize + DeserializeOwned + 'static {}

impl<K: KeyHash + Eq + Clone + Send + Serialize + DeserializeOwned + 'static> Key for K {}

/// Collects what [`KeyHash::feed`] is fed with.
#[derive(Clone, Debug)]
pub struct KeyHasher(u64);

impl KeyHasher {
    /// A hasher that was fed with nothing.
    #[inline]
    pub fn new() -> KeyHasher {
        KeyHasher(0)
    }

    /// Feeds a number.
    #[inline]
    pub fn number(&mut self, number: u64) {
        // Both halves of a product depend on all bits of both factors.
        let factor = u128::from(self.0 ^ number ^ MULTIPLIERS[1]) * u128::from(MULTIPLIERS[0]);
        let (high, low) = ((factor >> 64) as u64, factor as u64);
        self.0 = (high ^ low).wrapping_add(MULTIPLIERS[1].rotate_left(23));
    }

    /// Feeds bytes, as one value: what follows can't be mistaken for their continuation.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(xxh3_64(bytes));
    }

    /// The hash of everything fed so far.
    #[inline]
    pub fn finish(&self) -> u64 {
        // A product leaves its lowest bits weak; key groups are made of them.
        let hash = (self.0 ^ (self.0 >> 32)).wrapping_mul(MULTIPLIERS[0]);
        hash ^ (hash >> 29)
    }
}

impl Default for KeyHasher {
    fn default() -> KeyHasher {
        KeyHasher::new()
    }
}

/// The key group of a hash: what state is stored by, and what moves between subtasks when the parallelism changes.
#[inline]
pub fn key_group(hash: u64, max_parallelism: usize) -> usize {
    (hash % max_parallelism as u64) as usize
}

/// The subtask that owns a key group: every subtask owns one range of groups (as Flink's `KeyGroupRangeAssignment`).
#[inline]
pub fn key_group_subtask(group: usize, parallelism: usize, max_parallelism: usize) -> usize {
    group * parallelism / max_parallelism
}

/// The subtask of a key group, for all groups: two divisions per record less.
pub(crate) struct KeyRoutes {
    /// By key group.
    subtasks: Box<[u32]>,
    /// What a hash is cut to before it is divided; if the number of groups is a power of two, nothing is left to divide.
    mask: u64,
}

impl KeyRoutes {
    pub(crate) fn new(parallelism: usize, max_parallelism: usize) -> KeyRoutes {
        let subtask = |group| key_group_subtask(group, parallelism, max_parallelism) as u32;
        let mask = if max_parallelism.is_power_of_two() { max_parallelism as u64 - 1 } else { u64::MAX };
        KeyRoutes { subtasks: (0..max_parallelism).map(subtask).collect(), mask }
    }

    /// The subtask that owns the key group of a hash.
    #[inline]
    pub(crate) fn subtask(&self, hash: u64) -> usize {
        let (cut, groups) = (hash & self.mask, self.subtasks.len());
        let group = if cut < groups as u64 { cut as usize } else { key_group(cut, groups) };
        self.subtasks[group] as usize
    }
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl KeyHash for $type {
            #[inline]
            fn feed(&self, hasher: &mut KeyHasher) {
                hasher.number(*self as i64 as u64);
            }
        }
    )*};
}

numbers!(u16, u32, u64, usize, i8, i16, i32, i64, isize);

impl KeyHash for u8 {
    #[inline]
    fn feed(&self, hasher: &mut KeyHasher) {
        hasher.number(u64::from(*self));
    }

    fn feed_all(values: &[u8], hasher: &mut KeyHasher) {
        hasher.bytes(values);
    }
}

impl KeyHash for u128 {
    fn feed(&self, hasher: &mut KeyHasher) {
        hasher.number(*self as u64);
        hasher.number((*self >> 64) as u64);
    }
}

impl KeyHash for i128 {
    fn feed(&self, hasher: &mut KeyHasher) {
        (*self as u128).feed(hasher);
    }
}

impl KeyHash for bool {
    #[inline]
    fn feed(&self, hasher: &mut KeyHasher) {
        hasher.number(u64::from(*self));
    }
}

impl KeyHash for char {
    #[inline]
    fn feed(&self, hasher: &mut KeyHasher) {
        hasher.number(u64::from(*self));
    }
}

impl KeyHash for Timestamp {
    #[inline]
    fn feed(&self, hasher: &mut KeyHasher) {
        self.as_millis().feed(hasher);
    }
}

impl KeyHash for str {
    #[inline]
    fn feed(&self, hasher: &mut KeyHasher) {
        hasher.bytes(self.as_bytes());
    }
}

impl KeyHash for String {
    #[inline]
    fn feed(&self, hasher: &mut KeyHasher) {
        self.as_str().feed(hasher);
    }
}

impl<T: KeyHash> KeyHash for [T] {
    fn feed(&self, hasher: &mut KeyHasher) {
        hasher.number(self.len() as u64);
        T::feed_all(self, hasher);
    }
}

impl<T: KeyHash> KeyHash for Vec<T> {
    fn feed(&self, hasher: &mut KeyHasher) {
        self.as_slice().feed(hasher);
    }
}

impl<T: KeyHash, const N: usize> KeyHash for [T; N] {
    fn feed(&self, hasher: &mut KeyHasher) {
        self.as_slice().feed(hasher);
    }
}

impl<T: KeyHash> KeyHash for Option<T> {
    #[inline]
    fn feed(&self, hasher: &mut KeyHasher) {
        match self {
            None => hasher.number(0),
            Some(value) => {
                hasher.number(1);
                value.feed(hasher);
            }
        }
    }
}

macro_rules! pointers {
    ($($type:ty),*) => {$(
        impl<T: KeyHash + ?Sized> KeyHash for $type {
            #[inline]
            fn feed(&self, hasher: &mut KeyHasher) {
                (**self).feed(hasher);
            }
        }
    )*};
}

pointers!(&T, Box<T>, Arc<T>);

impl<T: KeyHash + ToOwned + ?Sized> KeyHash for Cow<'_, T> {
    fn feed(&self, hasher: &mut KeyHasher) {
        (**self).feed(hasher);
    }
}

macro_rules! tuples {
    ($(($($name:ident),*))*) => {$(
        impl<$($name: KeyHash),*> KeyHash for ($($name,)*) {
            #[inline]
            #[expect(non_snake_case, reason = "the variables are called as their types")]
            fn feed(&self, hasher: &mut KeyHasher) {
                let ($($name,)*) = self;
                $($name.feed(hasher);)*
            }
        }
    )*};
}

tuples! { (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) (A, B, C, D, E, F) }

impl KeyHash for () {
    fn feed(&self, _hasher: &mut KeyHasher) {}
}

/// A record, its key and the key's hash: what travels on a keyed stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed<K, T> {
    hash: u64,
    key: K,
    record: T,
}

impl<K: KeyHash, T> Keyed<K, T> {
    /// Puts a key to a record and computes its hash.
    #[inline]
    pub fn new(key: K, record: T) -> Keyed<K, T> {
        Keyed { hash: key.key_hash(), key, record }
    }
}

impl<K, T> Keyed<K, T> {
    /// The key's hash.
    #[inline]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// The record.
    pub fn record(&self) -> &T {
        &self.record
    }

    /// Hash, key and record.
    #[inline]
    pub fn into_parts(self) -> (u64, K, T) {
        (self.hash, self.key, self.record)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// These are part of the format of every checkpoint: they never change.
    #[test]
    fn pinned() {
        let hashes = [
            0_u64.key_hash(),
            1_u8.key_hash(),
            (-1_i64).key_hash(),
            u64::MAX.key_hash(),
            true.key_hash(),
            'ß'.key_hash(),
            "".key_hash(),
            "user-1".key_hash(),
            ("user-1", 7_u32).key_hash(),
            Some(7_u32).key_hash(),
            None::<u32>.key_hash(),
            vec![1_u8, 2, 3].key_hash(),
            [1_u32, 2, 3].key_hash(),
            u128::MAX.key_hash(),
            ().key_hash(),
        ];
        insta::assert_snapshot!(hashes.map(|h| format!("{h:016x}")).join("\n"));
    }

    #[test]
    fn every_group_has_one_owner_and_owners_have_ranges() {
        for max in [1, 2, 7, 128, 256] {
            for parallelism in 1..=max {
                let owners: Vec<usize> = (0..max).map(|g| key_group_subtask(g, parallelism, max)).collect();
                assert!(owners.is_sorted());
                assert_eq!((owners[0], owners[max - 1]), (0, parallelism - 1));
                assert!((0..parallelism).all(|subtask| owners.contains(&subtask)));
            }
        }
    }

    #[test]
    fn routes_lead_to_the_owner_of_the_group() {
        for max in [1, 2, 7, 128, 200, 256] {
            for parallelism in 1..=max {
                let routes = KeyRoutes::new(parallelism, max);
                for hash in (0..300).chain((0..300_u64).map(|i| i.key_hash())) {
                    let owner = key_group_subtask(key_group(hash, max), parallelism, max);
                    assert_eq!(routes.subtask(hash), owner, "{hash} at {parallelism} of {max}");
                }
            }
        }
    }

    /// Neighbouring numbers are the usual keys: each group gets its share of them, within five standard deviations.
    #[test]
    fn neighbours_spread_over_all_groups() {
        for step in [1, 2, 8, 256, 1 << 32] {
            let mut groups = [0_i32; 256];
            for i in 0..256_000_u64 {
                groups[key_group((i * step).key_hash(), 256)] += 1;
            }
            let (min, max) = (groups.iter().min().expect("some"), groups.iter().max().expect("some"));
            assert!(*min > 1000 - 160 && *max < 1000 + 160, "{min} to {max} at steps of {step}");
        }
    }

    proptest! {
        #[test]
        fn parts_are_kept_apart(a in ".{0,4}", b in ".{0,4}") {
            let (joined, halves) = (format!("{a}{b}"), (a.clone(), b.clone()));
            prop_assert_ne!(halves.key_hash(), joined.key_hash());
            if a != b {
                prop_assert_ne!((a.clone(), b.clone()).key_hash(), (b, a).key_hash());
            }
        }
    }
}
