//! From what was written down to figures: the longest pause of each span.

use std::time::{Duration, Instant};

use super::numbers::Log;

/// What a span of time was like for the batches that left in it, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Span {
    /// The longest time between two batches, less what there is between two that are in time.
    pub(super) pause: f64,
    /// How much later than it was due a batch left, at most.
    pub(super) delay: f64,
}

/// The spans between neighbouring `edges`. A pause belongs to the span in which it ends. `fill` batches come before those
/// that keep time, one `every` so often.
pub(super) fn spans(log: &Log, fill: usize, every: Duration, edges: &[Instant]) -> Vec<Span> {
    let (Some(from), Some(before)) = (log.paced_from, log.left.get(fill.wrapping_sub(1))) else { return Vec::new() };
    let mut spans = vec![Span::default(); edges.len().saturating_sub(1)];
    let (mut last, mut due) = (*before, from);
    for left in log.left.iter().skip(fill) {
        // The span whose edges are around it.
        let after = edges.partition_point(|edge| edge < left);
        if let Some(span) = after.checked_sub(1).and_then(|index| spans.get_mut(index)) {
            let pause = left.saturating_duration_since(last).saturating_sub(every);
            span.pause = span.pause.max(millis(pause));
            span.delay = span.delay.max(millis(left.saturating_duration_since(due)));
        }
        (last, due) = (*left, due + every);
    }
    spans
}

pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_belongs_to_the_span_in_which_it_ends_and_delays_the_batches_behind_it() {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        // Due at 10, 11, 12, …; from 12 to 20 nothing leaves, then three at once make up for a part of it.
        let left = [5, 10, 11, 12, 20, 20, 20, 21].map(at).to_vec();
        let log = Log { paced_from: Some(at(10)), left, ..Log::default() };
        let found = spans(&log, 1, Duration::from_millis(1), &[at(9), at(13), at(22)]);
        assert_eq!(found, [Span { pause: 4.0, delay: 0.0 }, Span { pause: 7.0, delay: 7.0 }]);
    }
}
