//! [`Packed`]: a world in as few bits as it takes, to be remembered and compared.

use crate::history::History;
use crate::world::{Number, Owner, SLOTS, Stored, World};

const WORDS: usize = 6;

/// A world without what its bounds say anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Packed([u64; WORDS]);

/// Whether two worlds that differ only in the names of their instances are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    Matter,
    DontMatter,
}

/// Writes numbers of a few bits one behind the other.
struct Writer {
    words: [u64; WORDS],
    length: usize,
    records: u8,
}

impl Writer {
    fn put(&mut self, value: impl Into<u64>, width: usize) {
        let value = value.into();
        assert!(
            value >> width == 0 && self.length + width <= 64 * WORDS,
            "a world that is larger than its packed form"
        );
        let (word, shift) = (self.length / 64, self.length % 64);
        self.words[word] |= value << shift;
        if shift + width > 64 {
            self.words[word + 1] |= value >> (64 - shift);
        }
        self.length += width;
    }

    fn number(&mut self, number: Number) {
        self.put(number, 4);
    }

    fn history(&mut self, history: History) {
        self.put(history.0, 4 * usize::from(self.records));
    }
}

impl Packed {
    /// Every field has a fixed width or one that follows from those before it, so two worlds never have one form.
    pub(crate) fn of(world: &World, names: Names) -> Packed {
        let mut writer = Writer { words: [0; WORDS], length: 0, records: world.left.records };
        let left = &world.left;
        let counters = [left.crashes, left.failures, left.delays, left.lost, left.timeouts, left.snapshots];
        counters.into_iter().chain([left.starts, world.late]).for_each(|count| writer.put(count, 2));
        writer.put(left.restarts, 3);
        writer.history(world.committed);
        writer.put(world.marker.is_some(), 1);
        writer.number(world.marker.map_or(0, |marker| marker.checkpoint));
        writer.put(world.transaction.is_some(), 1);
        if let Some(transaction) = &world.transaction {
            writer.history(transaction.output);
            writer.put(transaction.decided, 1);
            writer.put(transaction.marker.is_some(), 1);
            if let Some(marker) = &transaction.marker {
                writer.number(marker.checkpoint);
                writer.put(marker.is_next, 1);
            }
        }
        let slots = usize::from(left.slots);
        let mut instances = [(0, 0); SLOTS];
        for (slot, bits) in instances.iter_mut().enumerate() {
            *bits = instance_in_bits(world, slot);
        }
        if names == Names::DontMatter {
            instances[..slots].sort_unstable();
        }
        for (marks, sets) in &instances[..slots] {
            writer.put(*marks, 23);
            writer.put(*sets > 0, 1);
            if *sets > 0 {
                writer.put(*sets, 32 + 4 * usize::from(left.records));
            }
        }
        writer.put(world.list(), 16);
        for stored in &world.store {
            match stored {
                Stored::Absent => {}
                Stored::Snapshot(history) => {
                    writer.put(false, 1);
                    writer.history(*history);
                }
                Stored::CopyOf(data) => {
                    writer.put(true, 1);
                    writer.number(*data);
                }
            }
        }
        Packed(writer.words)
    }
}

/// An instance, and which of the markers are its own: so no other part of the world has to name it.
fn instance_in_bits(world: &World, slot: usize) -> (u32, u64) {
    let instance = &world.instances[slot];
    let is_own = |owner: Owner| owner == Some(slot as u8);
    let transaction = world.transaction.as_ref();
    let flags = [
        instance.adopted,
        instance.current,
        instance.level,
        is_own(world.owner()),
        is_own(transaction.and_then(|transaction| transaction.marker).and_then(|marker| marker.by)),
        is_own(transaction.and_then(|transaction| transaction.before)),
    ];
    let mut marks = instance.at as u32;
    for flag in flags {
        marks = marks << 1 | u32::from(flag);
    }
    for number in [instance.acked, instance.data, instance.next] {
        marks = marks << 4 | u32::from(number);
    }
    let sets = [instance.state.0, instance.listing, instance.doomed];
    (marks, sets.into_iter().fold(0, |bits, set| bits << 16 | u64::from(set)))
}
