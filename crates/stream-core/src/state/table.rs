//! [`Table`]: entries by key that know what has changed, and can be written down as they were at a moment while they go
//! on changing.
//!
//! 1. A bit per bucket says whether its entry has changed since the last snapshot. Entries stay in their bucket until
//!    the table grows, which is done here, so that the bits move with them.
//! 2. A snapshot begins by taking these bits away: they say what is *due*. Nothing else is done at that moment.
//! 3. What is due is written down little by little ([`Table::write_some`]), and at once if it is about to change.
//!
//! Nobody counts anything before the first snapshot or restore: a job without checkpoints pays nothing for them.

use crate::error::{Error, Result};
use crate::key::Key;
use crate::state::groups::GroupWriter;
use crate::state::values::Then;
use hashbrown::HashTable;
use hashbrown::hash_table::{Entry, IntoIter};

/// What a table is entered with. The lowest bits of the hash chose the key group, so within one subtask they say little.
#[inline]
fn table_hash(hash: u64) -> u64 {
    hash.rotate_left(32)
}

#[inline]
fn rehash<K: Key, V>(entry: &(K, V)) -> u64 {
    table_hash(entry.0.key_hash())
}

/// Writes an entry of a table; returns the bytes it took.
pub(crate) type WriteEntry<K, V> = fn(&K, &V, &mut GroupWriter) -> Result<usize>;

/// Entries by key. There is always room for one more: whoever has added one has it made.
///
/// What every record needs is in one cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Table<K, V> {
    entries: HashTable<(K, V)>,
    marks: Marks<K, V>,
}

/// What is known of the entries of a table, by their buckets.
#[derive(Debug)]
struct Marks<K, V> {
    /// Has no bits at all while nobody wants to know.
    changed: Bits,
    writing: Option<Box<Writing<K, V>>>,
    /// Whether the last snapshot knows the key. Says nothing of empty buckets.
    stored: Bits,
    /// Keys that the last snapshot knows and that are gone.
    removed: Vec<K>,
}

/// A snapshot under way.
#[derive(Debug)]
struct Writing<K, V> {
    /// What is still to be written. Says nothing of empty buckets.
    due: Bits,
    /// All words of `due` before this one are zero.
    word: usize,
    removed: Vec<K>,
    form: Form<K, V>,
    groups: GroupWriter,
    failure: Option<Error>,
}

/// How entries are written.
#[derive(Debug)]
pub(super) struct Form<K, V> {
    pub(super) write: WriteEntry<K, V>,
    /// Whether all entries are written, or what has changed.
    pub(super) whole: bool,
    /// Whether what there was of a key must be removed before what is written of it is set.
    pub(super) replaces: bool,
}

impl<K, V> Clone for Form<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Form<K, V> {}

/// How much of a snapshot may be written before records have their turn again.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
}

/// What a slice may cost, about in bytes: some thousand small entries.
const SLICE: usize = if cfg!(test) { 100 } else { 256 * 1024 };
/// What looking at a word of marks, looking at an empty bucket and writing an entry cost, besides the bytes of the entry.
const WORD_COST: usize = 4;
const BUCKET_COST: usize = 1;
const ENTRY_COST: usize = 32;

impl Budget {
    pub(crate) fn slice() -> Budget {
        Budget { left: SLICE }
    }

    fn unlimited() -> Budget {
        Budget { left: usize::MAX }
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.left == 0
    }

    fn spend(&mut self, cost: usize) {
        self.left = self.left.saturating_sub(cost);
    }
}

impl<K, V> Table<K, V> {
    pub(super) fn with_capacity(capacity: usize) -> Table<K, V> {
        let marks = Marks { changed: Bits::default(), stored: Bits::default(), removed: Vec::new(), writing: None };
        Table { entries: HashTable::with_capacity(capacity.max(1)), marks }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it must [grow](Table::grow) before there is another key.
    #[inline(always)]
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() == self.entries.capacity()
    }

    /// Notes changes from now on. What there is counts as stored.
    pub(super) fn track(&mut self) {
        let buckets = self.entries.num_buckets();
        self.marks.changed = Bits::new(buckets, false);
        self.marks.stored = Bits::new(buckets, true);
    }

    pub(super) fn is_writing(&self) -> bool {
        self.marks.writing.is_some()
    }

    pub(super) fn for_each(&self, f: &mut impl FnMut(&K, &V)) {
        self.entries.iter().for_each(|(key, value)| f(key, value));
    }

    pub(super) fn into_entries(self) -> IntoIter<(K, V)> {
        debug_assert!(!self.is_writing(), "a snapshot needs what is taken apart");
        self.entries.into_iter()
    }
}

impl<K: Key, V> Table<K, V> {
    /// Makes room for at least one more.
    #[cold]
    #[inline(never)]
    pub(super) fn grow(&mut self) {
        if !self.marks.are_on() {
            self.entries.reserve(1, rehash);
            return;
        }
        let (len, buckets) = (self.entries.len(), self.entries.num_buckets());
        // Half empty, but used up by what was removed: the same size will do.
        let capacity = if len < buckets / 2 { (buckets / 8 * 7).max(len + 1) } else { buckets.max(len + 1) };
        let mut larger = Table::with_capacity(capacity);
        let buckets = larger.entries.num_buckets();
        larger.marks = self.marks.moved_to(buckets);
        for index in 0..self.entries.num_buckets() {
            self.move_entry(index, &mut larger);
        }
        *self = larger;
    }

    /// Moves the entry in a bucket, if there is one, to another table that has room for it.
    fn move_entry(&mut self, index: usize, to: &mut Table<K, V>) {
        let Ok(found) = self.entries.get_bucket_entry(index) else { return };
        let (entry, _) = found.remove();
        let new = to.entries.insert_unique(rehash(&entry), entry, rehash).bucket_index();
        to.marks.copy(new, &self.marks, index);
    }

    /// Moves everything to tables that have room for it, each key to the one that `choose` says.
    pub(super) fn scatter(mut self, tables: &mut [Table<K, V>], choose: impl Fn(u64) -> usize) {
        debug_assert!(!self.is_writing(), "a snapshot needs what is scattered");
        if self.marks.are_on() {
            tables.iter_mut().for_each(Table::track);
        }
        for index in 0..self.entries.num_buckets() {
            if let Some((key, _)) = self.entries.get_bucket(index) {
                let to = &mut tables[choose(key.key_hash())];
                self.move_entry(index, to);
                if to.is_full() {
                    to.grow();
                }
            }
        }
        for key in self.marks.removed {
            tables[choose(key.key_hash())].marks.removed.push(key);
        }
    }

    #[inline]
    pub(super) fn with<R>(&mut self, hash: u64, key: &K, f: impl FnOnce(&mut Option<V>) -> R) -> R {
        let Table { entries, marks } = self;
        match entries.find_entry(table_hash(hash), |(k, _)| k == key) {
            Ok(found) => {
                let index = found.bucket_index();
                marks.before_change(index, found.get());
                let ((k, v), hole) = found.remove();
                let mut value = Some(v);
                let result = f(&mut value);
                match value {
                    Some(value) => {
                        hole.insert((k, value));
                    }
                    None => marks.on_remove(index, k),
                }
                result
            }
            Err(absent) => {
                let mut value = None;
                let result = f(&mut value);
                if let Some(value) = value {
                    let entry = (key.clone(), value);
                    let index = absent.into_table().insert_unique(table_hash(hash), entry, rehash).bucket_index();
                    marks.on_insert(index);
                }
                result
            }
        }
    }

    #[inline]
    pub(super) fn update<R>(&mut self, hash: u64, key: &K, init: impl FnOnce() -> V, f: impl FnOnce(&mut V) -> R) -> R {
        let Table { entries, marks } = self;
        let mut entry = match entries.entry(table_hash(hash), |(k, _)| k == key, rehash) {
            Entry::Occupied(found) => {
                marks.before_change(found.bucket_index(), found.get());
                found
            }
            Entry::Vacant(hole) => {
                let entry = hole.insert((key.clone(), init()));
                marks.on_insert(entry.bucket_index());
                entry
            }
        };
        f(&mut entry.get_mut().1)
    }

    #[inline(always)]
    pub(super) fn upsert<R>(
        &mut self,
        hash: u64,
        key: K,
        init: impl FnOnce() -> V,
        f: impl FnOnce(&K, &mut V) -> (R, Then),
    ) -> R {
        let Table { entries, marks } = self;
        let mut entry = match entries.entry(table_hash(hash), |(k, _)| *k == key, rehash) {
            Entry::Occupied(found) => {
                marks.before_change(found.bucket_index(), found.get());
                found
            }
            Entry::Vacant(hole) => {
                let entry = hole.insert((key, init()));
                marks.on_insert(entry.bucket_index());
                entry
            }
        };
        let (key, value) = entry.get_mut();
        let (result, then) = f(key, value);
        if then == Then::Remove {
            let index = entry.bucket_index();
            marks.on_remove(index, entry.remove().0.0);
        }
        result
    }

    pub(super) fn visit<R>(&mut self, hash: u64, key: &K, f: impl FnOnce(&mut V) -> (R, Then)) -> Option<R> {
        let Table { entries, marks } = self;
        let mut found = entries.find_entry(table_hash(hash), |(k, _)| k == key).ok()?;
        marks.before_change(found.bucket_index(), found.get());
        let (result, then) = f(&mut found.get_mut().1);
        if then == Then::Remove {
            let index = found.bucket_index();
            marks.on_remove(index, found.remove().0.0);
        }
        Some(result)
    }

    #[inline]
    pub(super) fn get(&self, hash: u64, key: &K) -> Option<&V> {
        self.entries.find(table_hash(hash), |(k, _)| k == key).map(|(_, value)| value)
    }

    /// Lets `f` see every key and change its value; removes those for which it says so.
    pub(super) fn visit_all(&mut self, f: &mut impl FnMut(&K, &mut V) -> Then) {
        let Table { entries, marks } = self;
        if !marks.are_on() {
            entries.retain(|(key, value)| f(key, value) == Then::Keep);
            return;
        }
        for index in 0..entries.num_buckets() {
            let Ok(mut found) = entries.get_bucket_entry(index) else { continue };
            marks.before_change(index, found.get());
            let (key, value) = found.get_mut();
            if f(key, value) == Then::Remove {
                marks.on_remove(index, found.remove().0.0);
            }
        }
    }

    /// Removes the values for which `keep` returns false.
    pub(super) fn retain(&mut self, keep: &mut impl FnMut(&V) -> bool) {
        let Table { entries, marks } = self;
        if !marks.are_on() {
            entries.retain(|(_, value)| keep(value));
            return;
        }
        for index in 0..entries.num_buckets() {
            let Ok(found) = entries.get_bucket_entry(index) else { continue };
            if !keep(&found.get().1) {
                marks.before_change(index, found.get());
                marks.on_remove(index, found.remove().0.0);
            }
        }
    }

    /// Removes everything; room is kept. Only for a table whose next snapshot is a whole one.
    pub(super) fn clear(&mut self) {
        // What a snapshot under way still needs is gone afterwards.
        if self.is_writing() {
            self.write_due(&mut Budget::unlimited());
        }
        self.entries.clear();
        if self.marks.are_on() {
            self.track();
            self.marks.removed.clear();
        }
    }

    /// Begins a snapshot of what is there now.
    pub(super) fn begin(&mut self, form: Form<K, V>, groups: GroupWriter) {
        let changed = std::mem::take(&mut self.marks.changed);
        let removed = std::mem::take(&mut self.marks.removed);
        self.track();
        let (due, removed) = match form.whole {
            true => (Bits::new(self.entries.num_buckets(), true), Vec::new()),
            false => (changed, removed),
        };
        self.marks.writing = Some(Box::new(Writing { due, word: 0, removed, form, groups, failure: None }));
    }

    /// Forgets the snapshot under way. Only if the next one is a whole one.
    pub(super) fn give_up(&mut self) {
        self.marks.writing = None;
    }

    /// Whether the snapshot under way has all entries.
    pub(super) fn is_writing_whole(&self) -> bool {
        self.marks.writing.as_ref().is_some_and(|writing| writing.form.whole)
    }

    /// Writes more of the snapshot under way. What it has written, once that is all; none if there is more to do.
    pub(super) fn write_some(&mut self, budget: &mut Budget) -> Option<Result<GroupWriter>> {
        if !self.write_due(budget) {
            return None;
        }
        let writing = self.marks.writing.take()?;
        Some(writing.failure.map_or(Ok(writing.groups), Err))
    }

    /// Whether nothing is due any more.
    fn write_due(&mut self, budget: &mut Budget) -> bool {
        let Some(writing) = &mut self.marks.writing else { return true };
        while let Some(mut word) = writing.due.word(writing.word) {
            while word != 0 {
                if budget.is_used_up() {
                    return false;
                }
                let index = writing.word * Bits::WORD + word.trailing_zeros() as usize;
                word &= word - 1;
                writing.due.clear(index);
                match self.entries.get_bucket(index) {
                    Some(entry) => budget.spend(ENTRY_COST + writing.write(entry)),
                    None => budget.spend(BUCKET_COST),
                }
            }
            writing.word += 1;
            budget.spend(WORD_COST);
        }
        while let Some(key) = writing.removed.pop() {
            if budget.is_used_up() {
                writing.removed.push(key);
                return false;
            }
            let written = writing.groups.remove(key.key_hash(), &key);
            budget.spend(ENTRY_COST + writing.note(written));
        }
        true
    }
}

impl<K, V> Marks<K, V> {
    #[inline(always)]
    fn are_on(&self) -> bool {
        !self.changed.is_none()
    }
}

impl<K: Key, V> Marks<K, V> {
    /// The entry in this bucket is about to change.
    #[inline(always)]
    fn before_change(&mut self, index: usize, entry: &(K, V)) {
        self.changed.set(index);
        if let Some(writing) = &mut self.writing {
            writing.write_if_due(index, entry);
        }
    }

    /// A new key is in this bucket.
    #[inline(always)]
    fn on_insert(&mut self, index: usize) {
        if self.are_on() {
            self.changed.set(index);
            self.stored.clear(index);
            if let Some(writing) = &mut self.writing {
                writing.due.clear(index);
            }
        }
    }

    /// The key that was in this bucket is gone.
    #[inline(always)]
    fn on_remove(&mut self, index: usize, key: K) {
        if self.are_on() {
            self.changed.clear(index);
            if self.stored.has(index) {
                self.removed.push(key);
            }
        }
    }

    /// The same for a table with another number of buckets, of which nothing is known yet.
    fn moved_to(&mut self, buckets: usize) -> Marks<K, V> {
        let writing = self.writing.as_mut().map(|writing| {
            let due = Bits::new(buckets, false);
            Box::new(Writing {
                due,
                word: 0,
                removed: std::mem::take(&mut writing.removed),
                form: writing.form,
                groups: writing.groups.take_all(),
                failure: writing.failure.take(),
            })
        });
        let (changed, stored) = (Bits::new(buckets, false), Bits::new(buckets, false));
        Marks { changed, stored, removed: std::mem::take(&mut self.removed), writing }
    }

    /// What is known of a bucket of another table is true of this one.
    fn copy(&mut self, index: usize, from: &Marks<K, V>, old: usize) {
        if from.changed.has(old) {
            self.changed.set(index);
        }
        match from.stored.has(old) {
            true => self.stored.set(index),
            false => self.stored.clear(index),
        }
        if let (Some(writing), Some(from)) = (&mut self.writing, &from.writing)
            && from.due.has(old)
        {
            writing.due.set(index);
        }
    }
}

impl<K: Key, V> Writing<K, V> {
    #[cold]
    #[inline(never)]
    fn write_if_due(&mut self, index: usize, entry: &(K, V)) {
        if self.due.has(index) {
            self.due.clear(index);
            self.write(entry);
        }
    }

    /// Writes an entry; returns the bytes it took.
    fn write(&mut self, (key, value): &(K, V)) -> usize {
        let mut written = (self.form.write)(key, value, &mut self.groups);
        if self.form.replaces && !self.form.whole && written.is_ok() {
            written = self.groups.remove(key.key_hash(), key);
        }
        self.note(written)
    }

    fn note(&mut self, written: Result<usize>) -> usize {
        written.unwrap_or_else(|error| {
            self.failure.get_or_insert(error);
            0
        })
    }
}

/// One bit per bucket.
#[derive(Debug, Default)]
struct Bits(Box<[u64]>);

impl Bits {
    const WORD: usize = u64::BITS as usize;

    /// At least one word, for `is_none` tells them from no bits at all.
    fn new(buckets: usize, value: bool) -> Bits {
        let words = buckets.div_ceil(Bits::WORD).max(1);
        Bits(vec![if value { u64::MAX } else { 0 }; words].into())
    }

    #[inline(always)]
    fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    #[inline(always)]
    fn set(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / Bits::WORD) {
            *word |= 1 << (index % Bits::WORD);
        }
    }

    #[inline(always)]
    fn clear(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / Bits::WORD) {
            *word &= !(1 << (index % Bits::WORD));
        }
    }

    #[inline(always)]
    fn has(&self, index: usize) -> bool {
        self.word(index / Bits::WORD).is_some_and(|word| word >> (index % Bits::WORD) & 1 == 1)
    }

    #[inline(always)]
    fn word(&self, at: usize) -> Option<u64> {
        self.0.get(at).copied()
    }
}
