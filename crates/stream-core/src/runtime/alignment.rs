//! What a subtask with several input channels must agree on before it goes on: barriers and watermarks.
//!
//! Both are pure: they take events and return decisions, and touch no channel.
//!
//! *Barriers.* A channel whose barrier has come is not read until every other channel has brought its
//! own or has ended; then the barrier goes on, once. So records of the next epoch can't mix in. When an epoch was given
//! up, some channel may never bring its barrier and begin with a later one: then that one is what all wait for.
//!
//! *Watermarks.* The watermark of the whole is the smallest of the channels that are not idle, and never goes back.

use crate::operator::Barrier;
use crate::time::Timestamp;

/// Aligns barriers over the input channels of one subtask.
#[derive(Debug)]
pub(crate) struct Alignment {
    channels: Vec<ChannelState>,
    barrier: Option<Barrier>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChannelState {
    Open,
    /// Its barrier has come; not read until the others' have.
    Waiting,
    Ended,
}

/// What follows from a barrier or an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aligned {
    /// Other channels have to bring theirs first.
    NotYet,
    /// All channels have brought this barrier: pass it on. All are read again.
    Barrier(Barrier),
    /// All channels have ended: pass the end on.
    End,
}

impl Alignment {
    pub(crate) fn new(channels: usize) -> Alignment {
        Alignment { channels: vec![ChannelState::Open; channels], barrier: None }
    }

    /// Whether `channel` may be read.
    pub(crate) fn is_open(&self, channel: usize) -> bool {
        #[cfg(test)]
        if crate::testing::simulation::is_planted(crate::testing::simulation::Bug::BarriersNotAligned) {
            return self.channels[channel] != ChannelState::Ended;
        }
        self.channels[channel] == ChannelState::Open
    }

    pub(crate) fn barrier(&mut self, channel: usize, barrier: Barrier) -> Aligned {
        debug_assert!(self.is_open(channel), "a waiting or ended channel was read");
        match self.barrier {
            // The rest of an epoch that was given up: its records belong to the one that all wait for.
            Some(newest) if barrier < newest => return Aligned::NotYet,
            Some(newest) if barrier > newest => self.open_waiting(),
            _ => {}
        }
        self.channels[channel] = ChannelState::Waiting;
        self.barrier = Some(barrier);
        self.decide()
    }

    fn open_waiting(&mut self) {
        for channel in self.channels.iter_mut().filter(|channel| **channel == ChannelState::Waiting) {
            *channel = ChannelState::Open;
        }
    }

    pub(crate) fn end(&mut self, channel: usize) -> Aligned {
        self.channels[channel] = ChannelState::Ended;
        self.decide()
    }

    fn decide(&mut self) -> Aligned {
        if self.channels.contains(&ChannelState::Open) {
            return Aligned::NotYet;
        }
        if let Some(barrier) = self.barrier.take() {
            self.open_waiting();
            return Aligned::Barrier(barrier);
        }
        Aligned::End
    }

    /// Whether every channel has ended.
    pub(crate) fn is_ended(&self) -> bool {
        self.channels.iter().all(|c| *c == ChannelState::Ended)
    }
}

/// Merges the watermarks of the input channels of one subtask.
#[derive(Debug)]
pub(crate) struct WatermarkMerge {
    channels: Vec<Progress>,
    merged: Timestamp,
    idle: bool,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    watermark: Timestamp,
    idle: bool,
}

/// What follows from one channel's news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merged {
    Nothing,
    Watermark(Timestamp),
    /// Every channel is idle.
    Idle,
}

impl WatermarkMerge {
    pub(crate) fn new(channels: usize) -> WatermarkMerge {
        let start = Progress { watermark: Timestamp::MIN, idle: false };
        WatermarkMerge { channels: vec![start; channels], merged: Timestamp::MIN, idle: false }
    }

    /// `channel` has reached `watermark`; that also ends its idleness.
    pub(crate) fn watermark(&mut self, channel: usize, watermark: Timestamp) -> Merged {
        let progress = &mut self.channels[channel];
        progress.watermark = progress.watermark.max(watermark);
        progress.idle = false;
        self.decide()
    }

    pub(crate) fn idle(&mut self, channel: usize) -> Merged {
        self.channels[channel].idle = true;
        self.decide()
    }

    /// A channel at the end of time holds nobody back, but it must not carry the whole there while another one is only
    /// idle: that one may still bring records, and all of them would be late.
    fn decide(&mut self) -> Merged {
        let open = self.channels.iter().filter(|c| c.watermark < Timestamp::MAX);
        let slowest = match open.clone().count() {
            0 => Some(Timestamp::MAX),
            _ => open.filter(|c| !c.idle).map(|c| c.watermark).min(),
        };
        match slowest {
            None if self.idle => Merged::Nothing,
            None => {
                self.idle = true;
                Merged::Idle
            }
            Some(watermark) => {
                let resumed = std::mem::take(&mut self.idle);
                if watermark > self.merged || resumed {
                    self.merged = self.merged.max(watermark);
                    return Merged::Watermark(self.merged);
                }
                Merged::Nothing
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const E1: Barrier = Barrier { epoch: 1 };

    #[test]
    fn a_barrier_goes_on_when_every_channel_brought_it_or_ended() {
        let mut alignment = Alignment::new(3);
        assert_eq!(alignment.barrier(0, E1), Aligned::NotYet);
        assert!(!alignment.is_open(0));
        assert_eq!(alignment.end(1), Aligned::NotYet);
        assert_eq!(alignment.barrier(2, E1), Aligned::Barrier(E1));
        assert!(alignment.is_open(0) && !alignment.is_open(1) && alignment.is_open(2));
        assert_eq!(alignment.end(0), Aligned::NotYet);
        assert_eq!(alignment.end(2), Aligned::End);
    }

    #[test]
    fn an_epoch_that_was_given_up_is_joined_to_the_next() {
        let [e1, e2] = [1, 2].map(|epoch| Barrier { epoch });
        let mut alignment = Alignment::new(2);
        assert_eq!(alignment.barrier(0, e1), Aligned::NotYet);
        assert_eq!(alignment.barrier(1, e2), Aligned::NotYet);
        assert!(alignment.is_open(0), "it still has to bring the second barrier");
        assert_eq!(alignment.barrier(0, e2), Aligned::Barrier(e2));
        // The other way round: what comes late changes nothing.
        let mut alignment = Alignment::new(2);
        assert_eq!(alignment.barrier(0, e2), Aligned::NotYet);
        assert_eq!(alignment.barrier(1, e1), Aligned::NotYet);
        assert!(alignment.is_open(1));
        assert_eq!(alignment.barrier(1, e2), Aligned::Barrier(e2));
    }

    #[test]
    fn an_idle_channel_does_not_hold_the_watermark_back() {
        let at = Timestamp::from_millis;
        let mut merge = WatermarkMerge::new(2);
        assert_eq!(merge.watermark(0, at(5)), Merged::Nothing);
        assert_eq!(merge.idle(1), Merged::Watermark(at(5)));
        assert_eq!(merge.idle(0), Merged::Idle);
        assert_eq!(merge.watermark(1, at(3)), Merged::Watermark(at(5)));
        assert_eq!(merge.watermark(1, at(9)), Merged::Watermark(at(9)));
    }

    #[test]
    fn a_complete_channel_neither_holds_back_nor_hurries_an_idle_one() {
        let at = Timestamp::from_millis;
        let mut merge = WatermarkMerge::new(2);
        assert_eq!(merge.watermark(0, Timestamp::MAX), Merged::Nothing);
        assert_eq!(merge.watermark(1, at(7)), Merged::Watermark(at(7)));
        assert_eq!(merge.idle(1), Merged::Idle);
        assert_eq!(merge.watermark(1, at(9)), Merged::Watermark(at(9)));
        assert_eq!(merge.watermark(1, Timestamp::MAX), Merged::Watermark(Timestamp::MAX));
    }

    proptest! {
        /// Any interleaving of channels that each bring barriers 1..=n and then end (some early)
        /// passes each barrier on at most once, in order, and ends exactly once.
        #[test]
        fn each_barrier_once_in_order(lengths in prop::collection::vec(0u64..5, 1..5), picks in prop::collection::vec(any::<usize>(), 0..200)) {
            let mut alignment = Alignment::new(lengths.len());
            let mut sent = vec![0u64; lengths.len()];
            let mut ended = vec![false; lengths.len()];
            let (mut passed, mut ends) = (Vec::new(), 0);
            let mut picks = picks.into_iter().chain(0..).take(10_000);
            while ends == 0 {
                let open: Vec<usize> = (0..lengths.len()).filter(|c| alignment.is_open(*c)).collect();
                prop_assert!(!open.is_empty(), "stuck: nobody may be read and nothing was passed on");
                let channel = open[picks.next().expect("terminates") % open.len()];
                let decision = if sent[channel] < lengths[channel] {
                    sent[channel] += 1;
                    alignment.barrier(channel, Barrier { epoch: sent[channel] })
                } else {
                    ended[channel] = true;
                    alignment.end(channel)
                };
                match decision {
                    Aligned::Barrier(barrier) => passed.push(barrier.epoch),
                    Aligned::End => ends += 1,
                    Aligned::NotYet => {}
                }
            }
            let longest = lengths.iter().copied().max().unwrap_or(0);
            prop_assert_eq!(passed, (1..=longest).collect::<Vec<_>>());
            prop_assert!(ended.iter().all(|e| *e));
        }

        /// Channels that leave out barriers of epochs that were given up: each one passed on has been brought by every
        /// channel that lives, nothing behind it is read before, and the last one, which all bring, is passed on.
        #[test]
        fn barriers_left_out_block_nobody(
            left_out in prop::collection::vec(prop::collection::btree_set(1_u64..6, 0..5), 1..5),
            picks in prop::collection::vec(any::<usize>(), 0..100),
        ) {
            let mut alignment = Alignment::new(left_out.len());
            let mut brings: Vec<Vec<u64>> =
                left_out.iter().map(|out| (1..=6).rev().filter(|epoch| !out.contains(epoch)).collect()).collect();
            let (mut brought, mut passed) = (vec![0; left_out.len()], Vec::new());
            let mut picks = picks.into_iter().chain(0..).take(10_000);
            while passed.last() != Some(&6) {
                let open: Vec<usize> = (0..left_out.len()).filter(|c| alignment.is_open(*c)).collect();
                prop_assert!(!open.is_empty(), "stuck");
                let channel = open[picks.next().expect("terminates") % open.len()];
                let Some(epoch) = brings[channel].pop() else { continue };
                brought[channel] = epoch;
                if let Aligned::Barrier(barrier) = alignment.barrier(channel, Barrier { epoch }) {
                    prop_assert!(brought.iter().all(|b| *b == barrier.epoch), "{brought:?}");
                    passed.push(barrier.epoch);
                }
            }
            prop_assert!(passed.is_sorted_by(|a, b| a < b));
        }

        /// The merged watermark never goes back and never passes the slowest channel that is not idle.
        #[test]
        fn merged_is_the_minimum(events in prop::collection::vec((0usize..3, prop::option::of(0i64..50)), 0..100)) {
            let mut merge = WatermarkMerge::new(3);
            let mut marks = [(Timestamp::MIN, false); 3];
            let mut last = Timestamp::MIN;
            for (channel, event) in events {
                let decision = match event {
                    Some(ms) => {
                        let at = Timestamp::from_millis(ms);
                        marks[channel] = (marks[channel].0.max(at), false);
                        merge.watermark(channel, at)
                    }
                    None => { marks[channel].1 = true; merge.idle(channel) }
                };
                if let Merged::Watermark(at) = decision {
                    prop_assert!(at >= last);
                    let before = last;
                    last = at;
                    let slowest = marks.iter().filter(|m| !m.1).map(|m| m.0).min();
                    prop_assert!(slowest.is_none_or(|s| at <= s.max(before)));
                }
            }
        }
    }
}
