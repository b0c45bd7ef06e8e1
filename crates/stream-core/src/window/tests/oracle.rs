//! What windows are by definition, as slowly as one likes.

use std::collections::BTreeMap;

use super::ids::{Id, Out};
use crate::testing::crew::Step;
use crate::window::time_window::TimeWindow;

/// Which windows there are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Sliding {
        size: i64,
        slide: i64,
        offset: i64,
    },
    Session {
        gap: i64,
    },
    /// Sessions whose gap depends on the record: up to this.
    Dynamic {
        gap: i64,
    },
    Global,
}

/// When windows fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// At the end, and for every record after that.
    End,
    /// After so many records, too.
    Early(i64),
    /// After so many records only.
    Count(i64),
    /// Whenever event time has gone on by an interval, too.
    Continuous(i64),
}

/// The gap that a record brings along.
pub(super) fn own_gap(id: Id, longest: i64) -> i64 {
    1 + i64::from(id).rem_euclid(longest)
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Oracle {
    pub(super) shape: Shape,
    pub(super) when: When,
    pub(super) purging: bool,
    pub(super) lateness: i64,
    pub(super) processing_time: bool,
}

struct Open {
    window: TimeWindow,
    ids: Vec<Id>,
    counted: i64,
    latest: i64,
    /// The next time that a continuous trigger has asked for.
    tick: Option<i64>,
}

/// A run of the oracle.
pub(super) struct Run {
    oracle: Oracle,
    open: BTreeMap<u8, Vec<Open>>,
    watermark: i64,
    wall: i64,
}

impl Oracle {
    pub(super) fn run(self, wall: i64) -> Run {
        Run { oracle: self, open: BTreeMap::new(), watermark: i64::MIN, wall }
    }

    /// How far the time has come that windows are made of.
    fn time(self, run: &Run) -> i64 {
        match self.processing_time {
            // Records may still come at this very millisecond.
            true if run.watermark < i64::MAX => run.wall - 1,
            _ => run.watermark,
        }
    }

    /// When a continuous trigger fires next, if the window is not over by then.
    fn tick(self, window: TimeWindow, time: i64) -> Option<i64> {
        let When::Continuous(interval) = self.when else { return None };
        let next = time.div_euclid(interval).saturating_add(1).saturating_mul(interval);
        (next < window.last()).then_some(next)
    }

    pub(super) fn windows(self, time: i64, id: Id) -> Vec<TimeWindow> {
        match self.shape {
            Shape::Global => vec![TimeWindow::ALL],
            Shape::Session { gap } => vec![TimeWindow::of_millis(time, time + gap)],
            Shape::Dynamic { gap } => vec![TimeWindow::of_millis(time, time + own_gap(id, gap))],
            Shape::Sliding { size, slide, offset } => {
                let starts = (time - size + 1..=time).filter(|start| (start - offset).rem_euclid(slide) == 0);
                starts.map(|start| TimeWindow::of_millis(start, start + size)).collect()
            }
        }
    }
}

impl Run {
    /// What has to come out, sorted.
    pub(super) fn step(&mut self, step: &Step) -> Vec<Out> {
        let mut out = Vec::new();
        let before = self.oracle.time(self);
        match step {
            Step::Records(records) => {
                for (key, id, millis) in records {
                    self.record(*key, *id, *millis, &mut out);
                }
            }
            Step::Watermark(watermark) => self.watermark = self.watermark.max(*watermark),
            Step::Pass(time) => self.wall += i64::try_from(*time).expect("a short time"),
            Step::Restore(_) | Step::End => {}
        }
        self.ends(before, self.oracle.time(self), &mut out);
        out.sort();
        out
    }

    fn record(&mut self, key: u8, id: Id, millis: i64, out: &mut Vec<Out>) {
        let now = self.oracle.time(self);
        let time = if self.oracle.processing_time { self.wall } else { millis };
        let windows = self.oracle.windows(time, id);
        let all = self.open.entry(key).or_default();
        let mut late = !windows.is_empty();
        for alone in windows {
            let mut window = alone;
            let is_session = matches!(self.oracle.shape, Shape::Session { .. } | Shape::Dynamic { .. });
            let joins = |open: &Open| if is_session { open.window.joins(alone) } else { open.window == alone };
            for open in all.iter().filter(|open| joins(open)) {
                window = window.cover(open.window);
            }
            if window.last().saturating_add(self.oracle.lateness) <= now {
                continue;
            }
            late = false;
            let mut whole = Open { window, ids: vec![id], counted: 1, latest: millis, tick: None };
            let (joined, apart): (Vec<_>, Vec<_>) = std::mem::take(all).into_iter().partition(|open| joins(open));
            *all = apart;
            // One that has not grown goes on as it was; of others the trigger begins anew.
            whole.tick = match &joined[..] {
                [] => None,
                [one] if one.window == window => one.tick,
                _ => self.oracle.tick(window, self.watermark.max(window.start().as_millis())),
            };
            if whole.tick.is_none() && window.last() > now {
                whole.tick = self.oracle.tick(window, self.watermark.max(millis));
            }
            for open in joined {
                whole.ids.extend(open.ids);
                whole.counted += open.counted;
                whole.latest = whole.latest.max(open.latest);
            }
            let counted = match self.oracle.when {
                When::End | When::Continuous(_) => false,
                When::Early(n) | When::Count(n) => whole.counted >= n,
            };
            if counted {
                whole.counted = 0;
            }
            if counted || !matches!(self.oracle.when, When::Count(_)) && window.last() <= now {
                whole.fire(key, self.oracle.purging, out);
            }
            all.push(whole);
        }
        if late {
            out.push(Out::Late(id));
        }
    }

    fn ends(&mut self, before: i64, now: i64, out: &mut Vec<Out>) {
        let oracle = self.oracle;
        for (key, all) in &mut self.open {
            for open in all.iter_mut() {
                // Ticks that one watermark passes together are one.
                if let Some(tick) = open.tick.filter(|tick| *tick <= now) {
                    open.fire(*key, oracle.purging, out);
                    open.tick = oracle.tick(open.window, tick.max(now));
                }
            }
            for open in all.iter_mut().filter(|open| before < open.window.last() && open.window.last() <= now) {
                if !matches!(oracle.when, When::Count(_)) {
                    open.fire(*key, oracle.purging, out);
                }
            }
            all.retain(|open| open.window.last().saturating_add(oracle.lateness) > now);
        }
    }
}

impl Open {
    fn fire(&mut self, key: u8, purging: bool, out: &mut Vec<Out>) {
        if self.ids.is_empty() {
            return;
        }
        self.ids.sort_unstable();
        let at = if self.window == TimeWindow::ALL { self.latest } else { self.window.last() };
        out.push(Out::Result { at: Some(at), key, window: self.window, ids: self.ids.clone() });
        if purging {
            self.ids.clear();
        }
    }
}

/// Count windows: per key all records so far.
pub(super) struct CountRun {
    pub(super) count: usize,
    pub(super) step: usize,
    seen: BTreeMap<u8, Vec<(Id, i64)>>,
}

impl CountRun {
    pub(super) fn new(count: usize, step: usize) -> CountRun {
        CountRun { count, step, seen: BTreeMap::new() }
    }

    pub(super) fn step(&mut self, step: &Step) -> Vec<Out> {
        let mut out = Vec::new();
        let records = if let Step::Records(records) = step { &records[..] } else { &[] };
        for (key, id, millis) in records {
            let seen = self.seen.entry(*key).or_default();
            seen.push((*id, *millis));
            if seen.len().is_multiple_of(self.step) {
                let mut ids: Vec<_> = seen.iter().rev().take(self.count).map(|(id, _)| *id).collect();
                ids.sort_unstable();
                // Where no window needs records of the one before, nothing of that one is kept.
                let kept = if self.step.is_multiple_of(self.count) { self.step } else { seen.len() };
                let at = seen.iter().rev().take(kept).map(|(_, millis)| *millis).max();
                out.push(Out::Result { at, key: *key, window: TimeWindow::ALL, ids });
            }
        }
        out.sort();
        out
    }
}

/// The sessions of records that are all in time: sorted, and cut where the gap is.
pub(super) fn sessions(mut records: Vec<(i64, Id)>, gap: i64) -> Vec<(TimeWindow, Vec<Id>)> {
    records.sort_unstable();
    let mut sessions: Vec<(TimeWindow, Vec<Id>)> = Vec::new();
    for (time, id) in records {
        let alone = TimeWindow::of_millis(time, time + gap);
        match sessions.last_mut() {
            Some((window, ids)) if time < window.end().as_millis() => {
                *window = window.cover(alone);
                ids.push(id);
            }
            _ => sessions.push((alone, vec![id])),
        }
    }
    sessions.iter_mut().for_each(|(_, ids)| ids.sort_unstable());
    sessions
}
