//! The slices of one key that sliding windows are merged from, at a cost per window that does not grow with their
//! number.
//!
//! A sum that forgets its oldest part can't subtract in general, so two stacks stand behind it:
//!
//! ```text
//!   slices          a     b     c  |  d     e
//!   front         abc    bc     c  |              merges from a slice to the line, made when the line was drawn
//!   back                           |     de       one merge of everything behind the line
//! ```
//!
//! A window is the topmost of `front` with `back`. The next window drops `abc`; when `front` is used up, the line is
//! drawn behind all slices. Each slice is merged twice in its life, whatever the windows' size. The slices themselves
//! stay, and are all that a snapshot holds: a late record changes one of them and has the stacks made anew.

use std::collections::VecDeque;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::window::aggregate::Aggregator;

/// The slices of one key, by index.
pub(crate) struct Slices<S> {
    slices: VecDeque<Slice<S>>,
    /// How many slices the live windows have left behind; they are kept for late records.
    left: usize,
    /// How many slices follow up to the line.
    front: usize,
    back: Option<S>,
}

/// A slice, and beside it, where the same cache line has it, its place in `front`.
struct Slice<S> {
    index: i64,
    state: S,
    merged: S,
}

/// Without the stacks, which are made anew.
impl<S: Serialize> Serialize for Slices<S> {
    fn serialize<E: Serializer>(&self, serializer: E) -> Result<E::Ok, E::Error> {
        serializer.collect_seq(self.slices.iter().map(|slice| (slice.index, &slice.state)))
    }
}

impl<'de, S: Clone + Deserialize<'de>> Deserialize<'de> for Slices<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Slices<S>, D::Error> {
        let slices = Vec::<(i64, S)>::deserialize(deserializer)?;
        let slices = slices.into_iter().map(|(index, state)| Slice { index, merged: state.clone(), state });
        Ok(Slices { slices: slices.collect(), ..Slices::new() })
    }
}

impl<S> Slices<S> {
    pub(crate) fn new() -> Slices<S> {
        Slices { slices: VecDeque::new(), left: 0, front: 0, back: None }
    }

    /// The greatest index of a slice.
    pub(crate) fn newest(&self) -> Option<i64> {
        self.slices.back().map(|slice| slice.index)
    }
}

impl<S: Clone> Slices<S> {
    pub(crate) fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// Adds to the slice `index`.
    pub(crate) fn put<T>(&mut self, aggregator: &impl Aggregator<T, State = S>, index: i64, state: S) {
        let slice = |state: S| Slice { index, merged: state.clone(), state };
        if self.slices.back().is_none_or(|last| last.index < index) {
            if self.front > 0 {
                merge_into(aggregator, &mut self.back, state.clone());
            }
            self.slices.push_back(slice(state));
            return;
        }
        match self.slices.binary_search_by_key(&index, |slice| slice.index) {
            Ok(at) => aggregator.merge(&mut self.slices[at].state, state),
            Err(at) => {
                self.slices.insert(at, slice(state));
                self.left += usize::from(at < self.left);
            }
        }
        (self.front, self.back) = (0, None);
    }

    /// The merge of all slices from `start` on, for windows that only ever move forward.
    pub(crate) fn slide<T>(&mut self, aggregator: &impl Aggregator<T, State = S>, start: i64) -> Option<S> {
        while self.slices.get(self.left).is_some_and(|slice| slice.index < start) {
            self.left += 1;
            self.drop_top();
        }
        if self.left == self.slices.len() {
            return None;
        }
        if self.front == 0 {
            self.draw_the_line(aggregator);
        }
        let mut merged = self.slices[self.left].merged.clone();
        if let Some(back) = &self.back {
            aggregator.merge(&mut merged, back.clone());
        }
        Some(merged)
    }

    fn drop_top(&mut self) {
        match self.front.checked_sub(1) {
            Some(front) => self.front = front,
            None => self.back = None,
        }
    }

    fn draw_the_line<T>(&mut self, aggregator: &impl Aggregator<T, State = S>) {
        (self.front, self.back) = (self.slices.len() - self.left, None);
        let mut later = None;
        for slice in self.slices.range_mut(self.left..).rev() {
            slice.merged = slice.state.clone();
            if let Some(later) = later {
                aggregator.merge(&mut slice.merged, later);
            }
            later = Some(slice.merged.clone());
        }
    }

    /// The merge of the slices from `start` to before `end`, for any window.
    pub(crate) fn over<T>(&self, aggregator: &impl Aggregator<T, State = S>, start: i64, end: i64) -> Option<S> {
        let from = self.slices.partition_point(|slice| slice.index < start);
        let mut merged = None;
        for slice in self.slices.range(from..).take_while(|slice| slice.index < end) {
            merge_into(aggregator, &mut merged, slice.state.clone());
        }
        merged
    }

    /// Forgets the slices before `index`.
    pub(crate) fn forget_before(&mut self, index: i64) {
        while self.slices.front().is_some_and(|first| first.index < index) {
            self.slices.pop_front();
            match self.left.checked_sub(1) {
                Some(left) => self.left = left,
                None => self.drop_top(),
            }
        }
    }
}

fn merge_into<T, S>(aggregator: &impl Aggregator<T, State = S>, merged: &mut Option<S>, state: S) {
    match merged {
        Some(merged) => aggregator.merge(merged, state),
        None => *merged = Some(state),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::window::aggregate::Collect;

    proptest! {
        /// Whatever is put in whatever order, a window is the slices it covers, in their order.
        #[test]
        fn windows_are_their_slices(
            puts in prop::collection::vec(prop::collection::vec((0_i64..6, 0_u32..9), 0..4), 1..30),
            size in 1_i64..6,
            kept in 0_i64..3,
        ) {
            let (mut slices, mut all) = (Slices::new(), Vec::<(i64, Vec<u32>)>::new());
            for (now, puts) in puts.into_iter().enumerate() {
                let (now, start) = (now as i64, now as i64 - size + 1);
                for (back, value) in puts {
                    let index = (now - back).max(start - kept);
                    <Slices<Vec<u32>>>::put::<u32>(&mut slices, &Collect, index, vec![value]);
                    all.push((index, vec![value]));
                }
                all.sort_by_key(|(index, _)| *index);
                all.retain(|(index, _)| *index >= start - kept);
                let expected: Vec<u32> = all.iter().filter(|(i, _)| *i >= start).flat_map(|(_, v)| v.clone()).collect();
                prop_assert_eq!(slices.slide::<u32>(&Collect, start).unwrap_or_default(), expected.clone());
                prop_assert_eq!(slices.over::<u32>(&Collect, start, now + 1).unwrap_or_default(), expected);
                slices.forget_before(start + 1 - kept);
            }
        }
    }
}
