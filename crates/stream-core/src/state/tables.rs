//! [`Tables`]: a value per key as objects in memory, written into snapshots piece by piece.
//!
//! Few entries are one table. Many are one table per key group: each grows for itself, so that none of them takes long,
//! and each is written for itself, whole or as what has changed since the snapshot before. Changes are cheap to write and
//! cost at a restore; so a key group is written whole again when its changes are as large as it, some groups earlier
//! than others, so that never all of them have their turn at once.

use std::ops::Range;

use hashbrown::hash_table::IntoIter;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::key::{Key, key_group};
use crate::operator::{OperatorContext, Snapshot};
use crate::state::groups::{GroupWriter, group_number, owned_groups};
use crate::state::schema::schema_of;
use crate::state::table::{Budget, Form, Table, WriteEntry};
use crate::state::values::Then;

/// How many entries one table may have room for; with more there is a table per key group.
const ONE_TABLE: usize = if cfg!(test) { 28 } else { 14 * 1024 };
/// How many entries a key group should have on average before it gets a table of its own.
const ENTRIES_PER_TABLE: usize = if cfg!(test) { 1 } else { 32 };
/// How many snapshots may go on from what has changed, for the first key group and for the last one: so many files a
/// checkpoint consists of.
const CHANGES: Range<u64> = 16..32;

/// A value per key.
#[derive(Debug)]
pub(crate) struct Tables<K, V> {
    layout: Layout<K, V>,
    groups: Groups,
    /// How often a table has grown.
    growths: u64,
    /// What the snapshots so far have, by key group from the first that is owned. Empty before the first of them.
    written: Vec<Written>,
    /// Whether the next snapshot is to have everything.
    rewrite: bool,
    /// The first table that the snapshot under way still needs something of.
    writing: Option<usize>,
}

#[derive(Debug)]
enum Layout<K, V> {
    One(Table<K, V>),
    ByGroup(Box<[Table<K, V>]>),
}

/// The key groups of a subtask.
#[derive(Clone, Debug)]
struct Groups {
    owned: Range<usize>,
    max_parallelism: usize,
    /// What takes the place of a division, if the number of key groups is a power of two.
    mask: Option<u64>,
}

impl Groups {
    fn of(context: &OperatorContext) -> Groups {
        let max_parallelism = context.max_parallelism();
        let mask = max_parallelism.is_power_of_two().then(|| max_parallelism as u64 - 1);
        Groups { owned: owned_groups(context), max_parallelism, mask }
    }

    /// Which of `tables` is that of a key.
    #[inline(always)]
    fn place(&self, hash: u64, tables: usize) -> usize {
        let group = match self.mask {
            Some(mask) => (hash & mask) as usize,
            None => key_group(hash, self.max_parallelism),
        };
        let place = group.wrapping_sub(self.owned.start);
        // Nobody hands a subtask the keys of another one; should it happen, nothing is lost.
        if place < tables { place } else { 0 }
    }
}

/// What the snapshots so far have of a key group.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    /// Bytes of the first piece; 0 if they have nothing.
    whole: u64,
    /// Bytes of all others.
    changes: u64,
    /// How many snapshots there were since the first of the others.
    age: u64,
}

impl<K, V> Tables<K, V> {
    /// With room for so many keys.
    pub(crate) fn new(context: &OperatorContext, capacity: usize) -> Tables<K, V> {
        let groups = Groups::of(context);
        let layout = match Layout::<K, V>::count(&groups, capacity) {
            1 => Layout::One(Table::with_capacity(capacity)),
            // The groups are not equally large, but hardly one is twice as large as another.
            tables => Layout::by_group(tables, capacity / tables),
        };
        Tables { layout, groups, growths: 0, written: Vec::new(), rewrite: false, writing: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.layout.tables().iter().map(Table::len).sum()
    }

    /// Another number whenever there are more entries than there ever were, and sometimes if not. Cheaper than
    /// [`len`](Tables::len).
    pub(crate) fn growths(&self) -> u64 {
        self.growths
    }

    pub(crate) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    pub(crate) fn into_entries(self) -> TableEntries<K, V> {
        let left = self.len();
        let mut tables = match self.layout {
            Layout::One(table) => vec![table],
            Layout::ByGroup(tables) => tables.into_vec(),
        }
        .into_iter();
        let current = tables.next().map(Table::into_entries);
        TableEntries { current, tables, left }
    }
}

impl<K, V> Layout<K, V> {
    /// How many tables so many entries should be in.
    fn count(groups: &Groups, entries: usize) -> usize {
        let owned = groups.owned.len().max(1);
        if entries > ONE_TABLE && entries / owned >= ENTRIES_PER_TABLE { owned } else { 1 }
    }

    fn by_group(tables: usize, capacity: usize) -> Layout<K, V> {
        Layout::ByGroup((0..tables).map(|_| Table::with_capacity(capacity)).collect())
    }

    fn tables(&self) -> &[Table<K, V>] {
        match self {
            Layout::One(table) => std::slice::from_ref(table),
            Layout::ByGroup(tables) => tables,
        }
    }

    fn tables_mut(&mut self) -> &mut [Table<K, V>] {
        match self {
            Layout::One(table) => std::slice::from_mut(table),
            Layout::ByGroup(tables) => tables,
        }
    }
}

impl<K: Key, V> Tables<K, V> {
    #[inline(always)]
    fn table(&mut self, hash: u64) -> &mut Table<K, V> {
        match &mut self.layout {
            Layout::One(table) => table,
            Layout::ByGroup(tables) => {
                let place = self.groups.place(hash, tables.len());
                &mut tables[place]
            }
        }
    }

    /// Lets `f` change the table of a key. There is always room for one more: made afterwards, off the way of the record.
    #[inline(always)]
    fn change<R>(&mut self, hash: u64, f: impl FnOnce(&mut Table<K, V>) -> R) -> R {
        let table = self.table(hash);
        let result = f(table);
        if table.is_full() {
            self.grow(hash);
        }
        result
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, hash: u64) {
        self.growths += 1;
        if let Layout::One(table) = &mut self.layout
            && !table.is_writing()
        {
            let room = 2 * table.len();
            let count = Layout::<K, V>::count(&self.groups, room);
            if count > 1 {
                let table = std::mem::replace(table, Table::with_capacity(0));
                let mut by_group = Layout::by_group(count, room / count);
                table.scatter(by_group.tables_mut(), |hash| self.groups.place(hash, count));
                self.layout = by_group;
                return;
            }
        }
        self.table(hash).grow();
    }

    #[inline(always)]
    pub(crate) fn with<R>(&mut self, hash: u64, key: &K, f: impl FnOnce(&mut Option<V>) -> R) -> R {
        self.change(hash, |table| table.with(hash, key, f))
    }

    #[inline(always)]
    pub(crate) fn update<R>(&mut self, hash: u64, key: &K, init: impl FnOnce() -> V, f: impl FnOnce(&mut V) -> R) -> R {
        self.change(hash, |table| table.update(hash, key, init, f))
    }

    #[inline(always)]
    pub(crate) fn upsert<R>(
        &mut self,
        hash: u64,
        key: K,
        init: impl FnOnce() -> V,
        f: impl FnOnce(&K, &mut V) -> (R, Then),
    ) -> R {
        self.change(hash, |table| table.upsert(hash, key, init, f))
    }

    pub(crate) fn visit<R>(&mut self, hash: u64, key: &K, f: impl FnOnce(&mut V) -> (R, Then)) -> Option<R> {
        self.table(hash).visit(hash, key, f)
    }

    #[inline]
    pub(crate) fn get(&mut self, hash: u64, key: &K) -> Option<&V> {
        self.table(hash).get(hash, key)
    }

    pub(crate) fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        self.layout.tables().iter().for_each(|table| table.for_each(&mut f));
    }

    /// Lets `f` see every key and change its value; removes those for which it says so.
    pub(crate) fn visit_all(&mut self, mut f: impl FnMut(&K, &mut V) -> Then) {
        self.layout.tables_mut().iter_mut().for_each(|table| table.visit_all(&mut f));
    }

    /// Removes the values for which `keep` returns false.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        self.layout.tables_mut().iter_mut().for_each(|table| table.retain(&mut keep));
    }

    /// Removes everything; room is kept.
    pub(crate) fn clear(&mut self) {
        self.layout.tables_mut().iter_mut().for_each(Table::clear);
        self.rewrite = true;
    }

    /// Begins a snapshot of what is there now. One that was begun before and has not ended is given up.
    pub(crate) fn begin_snapshot(
        &mut self,
        everything: bool,
        write: WriteEntry<K, V>,
        replaces: bool,
        context: &OperatorContext,
    ) {
        if self.is_writing() {
            self.give_up();
        }
        let everything = std::mem::take(&mut self.rewrite) || everything;
        if self.written.is_empty() {
            self.written = vec![Written::default(); self.groups.owned.len()];
        }
        let form = |whole| Form { write, whole: whole || everything, replaces };
        match &mut self.layout {
            Layout::One(table) => {
                let whole = Written::sum(&self.written).should_be_whole(0, 1);
                table.begin(form(whole), GroupWriter::new(context));
            }
            Layout::ByGroup(tables) => {
                let of = tables.len();
                for (place, (table, written)) in tables.iter_mut().zip(&self.written).enumerate() {
                    table.begin(form(written.should_be_whole(place, of)), GroupWriter::new(context));
                }
            }
        }
        self.writing = Some(0);
    }

    /// Writes more of the snapshot that was begun; an entry reads back as an `E`. Returns whether there is still more.
    pub(crate) fn write_snapshot<E: DeserializeOwned>(
        &mut self,
        name: &str,
        budget: &mut Budget,
        snapshot: &mut Snapshot,
    ) -> Result<bool> {
        while let Some(at) = self.writing {
            let Some(table) = self.layout.tables_mut().get_mut(at) else {
                snapshot.put_schema(name, schema_of::<E>());
                self.writing = None;
                return Ok(false);
            };
            let whole = table.is_writing_whole();
            match table.write_some(budget) {
                None => return Ok(true),
                Some(Ok(groups)) => self.put(at, whole, groups, name, snapshot),
                Some(Err(error)) => {
                    self.give_up();
                    return Err(error);
                }
            }
            self.writing = Some(at + 1);
        }
        Ok(false)
    }

    /// Puts what a table has written into the snapshot.
    fn put(&mut self, at: usize, whole: bool, mut groups: GroupWriter, name: &str, snapshot: &mut Snapshot) {
        let places = match self.layout {
            Layout::One(_) => 0..self.written.len(),
            Layout::ByGroup(_) => at..at + 1,
        };
        for place in places {
            let group = self.groups.owned.start + place;
            let (content, written) = (groups.take(group), &mut self.written[place]);
            if !whole && written.whole > 0 {
                let changes = content.into_changes();
                written.changes += changes.as_ref().map_or(0, |bytes| bytes.len() as u64);
                written.age += u64::from(written.changes > 0);
                snapshot.put_changes(name, group_number(group), changes);
                continue;
            }
            *written = Written::default();
            if content.has_entries() {
                let bytes = content.into_whole();
                written.whole = bytes.len() as u64;
                snapshot.put_group(name, group_number(group), bytes);
            }
        }
    }

    /// Forgets the snapshot that was begun; the next one has everything.
    pub(crate) fn give_up(&mut self) {
        self.layout.tables_mut().iter_mut().for_each(Table::give_up);
        self.writing = None;
        self.rewrite = true;
    }

    /// What is there now is what `snapshot` has under `name`: the next one may go on from it.
    pub(crate) fn is_restored(&mut self, name: &str, snapshot: &Snapshot) {
        self.layout.tables_mut().iter_mut().for_each(Table::track);
        self.written = vec![Written::default(); self.groups.owned.len()];
        for (group, parts) in snapshot.groups_of(name) {
            let place = (group as usize).checked_sub(self.groups.owned.start);
            if let Some(written) = place.and_then(|place| self.written.get_mut(place)) {
                let mut sizes = parts.parts.iter().map(|bytes| bytes.len() as u64);
                let (whole, changes) = (sizes.next().unwrap_or(0), sizes.clone().sum());
                *written = Written { whole, changes, age: sizes.count() as u64 };
            }
        }
    }
}

impl Written {
    fn sum(groups: &[Written]) -> Written {
        Written {
            whole: groups.iter().map(|group| group.whole).sum(),
            changes: groups.iter().map(|group| group.changes).sum(),
            age: groups.iter().map(|group| group.age).max().unwrap_or(0),
        }
    }

    /// Whether the next snapshot should have all of it, at place `place` of `of`: at half as many bytes of changes as
    /// there are bytes for the first, at one and a half times as many for the last.
    fn should_be_whole(self, place: usize, of: usize) -> bool {
        let (place, of) = (place as u64, of.max(1) as u64);
        let oldest = CHANGES.start + (CHANGES.end - CHANGES.start) * place / of;
        self.age >= oldest || self.changes * 2 * of >= self.whole * (of + 2 * place)
    }
}

/// The keys and values of tables that were taken apart.
#[derive(Debug)]
pub(crate) struct TableEntries<K, V> {
    current: Option<IntoIter<(K, V)>>,
    tables: std::vec::IntoIter<Table<K, V>>,
    left: usize,
}

impl<K, V> TableEntries<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.left
    }

    /// Hands up to `limit` entries to `f`.
    pub(crate) fn hand_out(&mut self, limit: usize, mut f: impl FnMut(K, V)) {
        let mut wanted = limit.min(self.left);
        self.left -= wanted;
        while wanted > 0
            && let Some(entries) = &mut self.current
        {
            let taken = wanted.min(entries.len());
            entries.by_ref().take(taken).for_each(|(key, value)| f(key, value));
            wanted -= taken;
            if wanted > 0 {
                self.current = self.tables.next().map(Table::into_entries);
            }
        }
    }
}

impl<K, V> Iterator for TableEntries<K, V> {
    type Item = (K, V);

    #[inline]
    fn next(&mut self) -> Option<(K, V)> {
        loop {
            if let Some(entry) = self.current.as_mut()?.next() {
                self.left -= 1;
                return Some(entry);
            }
            self.current = self.tables.next().map(Table::into_entries);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::KeyHash;
    use crate::state::groups::{Change, read_changes};

    const NAME: &str = "values";
    const GROUPS: usize = 8;

    fn context(subtask: usize, parallelism: usize) -> OperatorContext {
        OperatorContext::new("o", "o", subtask, parallelism).with_max_parallelism(GROUPS)
    }

    fn write(key: &u16, value: &u64, writer: &mut GroupWriter) -> Result<usize> {
        writer.add(key.key_hash(), &(key, value))
    }

    /// What a snapshot says, over all subtasks of this parallelism.
    fn read(snapshot: &Snapshot, parallelism: usize) -> BTreeMap<u16, u64> {
        let mut all = BTreeMap::new();
        for subtask in 0..parallelism {
            read_changes(snapshot, NAME, &context(subtask, parallelism), |change| match change {
                Change::Entry((key, value)) => {
                    all.insert(key, value);
                }
                Change::Removed(key) => {
                    all.remove(&key);
                }
            })
            .expect("whole");
        }
        all
    }

    #[derive(Clone, Debug)]
    enum Action {
        Add(u16, u64),
        Upsert(u16, u64, bool),
        Visit(u16, bool),
        With(u16, Option<u64>),
        VisitAll(u64),
        Retain(u64),
        Clear,
        Begin,
        Write,
        GiveUp,
        /// The subtask takes back what the snapshots say, as another instance.
        Restore,
    }

    fn actions() -> impl Strategy<Value = Vec<Action>> {
        let (key, value) = (0..300_u16, 0..1000_u64);
        let action = prop_oneof![
            20 => (key.clone(), value.clone()).prop_map(|(key, value)| Action::Add(key, value)),
            10 => (key.clone(), value.clone(), prop::bool::weighted(0.7)).prop_map(|(k, v, b)| Action::Upsert(k, v, b)),
            6 => (key.clone(), any::<bool>()).prop_map(|(key, keep)| Action::Visit(key, keep)),
            6 => (key, prop::option::of(value)).prop_map(|(key, value)| Action::With(key, value)),
            1 => (2..9_u64).prop_map(Action::VisitAll),
            1 => (2..9_u64).prop_map(Action::Retain),
            1 => Just(Action::Clear),
            4 => Just(Action::Begin),
            20 => Just(Action::Write),
            1 => Just(Action::GiveUp),
            1 => Just(Action::Restore),
        ];
        prop::collection::vec(action, 1..600)
    }

    /// A table beside a map that is copied whenever a snapshot begins.
    struct Pair {
        tables: Tables<u16, u64>,
        model: BTreeMap<u16, u64>,
        /// All snapshots so far as one, and what it should say.
        snapshot: Snapshot,
        said: BTreeMap<u16, u64>,
        writing: Option<(Snapshot, BTreeMap<u16, u64>)>,
    }

    impl Pair {
        fn begin(&mut self) {
            while self.write() {}
            self.tables.begin_snapshot(false, write, false, &context(0, 1));
            self.writing = Some((Snapshot::default(), self.model.clone()));
        }

        fn write(&mut self) -> bool {
            let Some((snapshot, _)) = &mut self.writing else { return false };
            let more = self.tables.write_snapshot::<(u16, u64)>(NAME, &mut Budget::slice(), snapshot).expect("encodes");
            if !more && let Some((snapshot, model)) = self.writing.take() {
                self.snapshot.follow(snapshot);
                self.said = model;
            }
            more
        }

        fn act(&mut self, action: Action) {
            let Pair { tables, model, .. } = self;
            let add = |value: &mut u64, added: u64| *value = value.wrapping_mul(3).wrapping_add(added);
            match action {
                Action::Add(key, added) => {
                    tables.update(key.key_hash(), &key, || 0, |value| add(value, added));
                    add(model.entry(key).or_default(), added);
                }
                Action::Upsert(key, added, keep) => {
                    tables.upsert(key.key_hash(), key, || 7, |_, value| (add(value, added), Then::keep_if(keep)));
                    add(model.entry(key).or_insert(7), added);
                    model.retain(|other, _| keep || *other != key);
                }
                Action::Visit(key, keep) => {
                    let seen = tables.visit(key.key_hash(), &key, |value| (add(value, 1), Then::keep_if(keep)));
                    assert_eq!(seen.is_some(), model.contains_key(&key));
                    model.entry(key).and_modify(|value| add(value, 1));
                    model.retain(|other, _| keep || *other != key);
                }
                Action::With(key, value) => {
                    let old = tables.with(key.key_hash(), &key, |old| std::mem::replace(old, value));
                    assert_eq!(old, model.remove(&key));
                    model.extend(value.map(|value| (key, value)));
                }
                Action::VisitAll(divisor) => {
                    tables.visit_all(|_, value| {
                        add(value, 1);
                        Then::keep_if(*value % divisor != 0)
                    });
                    model.retain(|_, value| {
                        add(value, 1);
                        *value % divisor != 0
                    });
                }
                Action::Retain(divisor) => {
                    tables.retain(|value| value % divisor != 0);
                    model.retain(|_, value| *value % divisor != 0);
                }
                Action::Clear => {
                    tables.clear();
                    model.clear();
                }
                Action::Begin => self.begin(),
                Action::Write => {
                    self.write();
                }
                Action::GiveUp => {
                    tables.give_up();
                    self.writing = None;
                }
                Action::Restore => {
                    let mut tables = Tables::new(&context(0, 1), self.said.len());
                    for (key, value) in &self.said {
                        tables.update(key.key_hash(), key, || *value, |_| {});
                    }
                    tables.is_restored(NAME, &self.snapshot);
                    (self.tables, self.model, self.writing) = (tables, self.said.clone(), None);
                }
            }
            assert_eq!(self.tables.len(), self.model.len());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn a_snapshot_is_of_the_moment_when_it_began(actions in actions()) {
            let mut pair = Pair {
                tables: Tables::new(&context(0, 1), 0),
                model: BTreeMap::new(),
                snapshot: Snapshot::default(),
                said: BTreeMap::new(),
                writing: None,
            };
            for action in actions {
                pair.act(action);
                prop_assert_eq!(&read(&pair.snapshot, 1), &pair.said);
            }
            pair.begin();
            while pair.write() {}
            prop_assert_eq!(&read(&pair.snapshot, 3), &pair.model);
            let mut all = pair.tables.into_entries();
            let mut found = BTreeMap::new();
            all.hand_out(5, |key, value| {
                found.insert(key, value);
            });
            found.extend(all);
            prop_assert_eq!(found, pair.model);
        }
    }

    #[test]
    fn changes_are_written_until_they_are_as_large_as_all_there_is() {
        let mut tables = Tables::new(&context(0, 1), 0);
        let add = |tables: &mut Tables<u16, u64>, keys: std::ops::Range<u16>| {
            keys.for_each(|key| tables.update(key.key_hash(), &key, || 0, |value| *value += 1));
        };
        let mut sizes = Vec::new();
        add(&mut tables, 0..800);
        for _ in 0..30 {
            let mut snapshot = Snapshot::default();
            tables.begin_snapshot(false, write, false, &context(0, 1));
            while tables.write_snapshot::<(u16, u64)>(NAME, &mut Budget::slice(), &mut snapshot).expect("encodes") {}
            let parts = snapshot.groups().values();
            let whole = parts.clone().filter(|parts| parts.whole).count();
            let bytes: usize = parts.flat_map(|parts| &parts.parts).map(|bytes| bytes.len()).sum();
            sizes.push((whole, bytes));
            add(&mut tables, 0..80);
        }
        let (first, rest) = sizes.split_first().expect("thirty");
        assert_eq!(first.0, GROUPS, "{sizes:?}");
        assert!(rest.iter().all(|(whole, bytes)| *whole < GROUPS && *bytes < first.1 / 2), "{sizes:?}");
        assert!(rest.iter().map(|(whole, _)| whole).sum::<usize>() >= GROUPS, "{sizes:?}");
    }
}
