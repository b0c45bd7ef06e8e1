//! The race: contenders take turns, the best turn of each counts, and a Markdown table shows it.

use std::fmt::Write as _;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Fewest turns for a contender, however slow the machine.
const TURNS_MIN: usize = 5;

/// What one turn measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) wall_ns: u64,
    /// CPU time of all threads of the turn; 0 where the system does not tell.
    pub(crate) cpu_ns: u64,
    /// Context switches of all threads of the turn; 0 where the system does not tell.
    pub(crate) switches: u64,
    pub(crate) checksum: u64,
}

/// One way of doing the work, and the best it did.
pub(crate) struct Contender {
    pub(crate) label: String,
    records: u64,
    turn: Box<dyn FnMut() -> Sample>,
    best: Option<Sample>,
}

impl Contender {
    /// A contender that measures itself.
    pub(crate) fn new(label: impl Into<String>, records: u64, turn: impl FnMut() -> Sample + 'static) -> Self {
        Contender { label: label.into(), records, turn: Box::new(turn), best: None }
    }

    /// A contender on the calling thread: `work` returns the checksum, its wall time counts.
    pub(crate) fn timed(label: impl Into<String>, records: u64, mut work: impl FnMut() -> u64 + 'static) -> Self {
        Contender::new(label, records, move || {
            let start = Instant::now();
            let checksum = work();
            Sample { wall_ns: nanos(start.elapsed()), cpu_ns: 0, switches: 0, checksum }
        })
    }

    /// Best wall time per record, in nanoseconds.
    pub(crate) fn wall_per_record(&self) -> f64 {
        self.per_record(|best| best.wall_ns)
    }

    /// Least CPU time per record, in nanoseconds.
    pub(crate) fn cpu_per_record(&self) -> f64 {
        self.per_record(|best| best.cpu_ns)
    }

    /// Fewest context switches per million records.
    pub(crate) fn switches_per_million(&self) -> f64 {
        self.per_record(|best| best.switches) * 1e6
    }

    fn per_record(&self, figure: impl Fn(&Sample) -> u64) -> f64 {
        self.best.as_ref().map_or(f64::NAN, |best| figure(best) as f64 / self.records as f64)
    }
}

/// Lets the contenders take turns until `budget` is used up, each starting a round once.
///
/// # Panics
/// When two contenders disagree about the checksum: then they did not do the same work.
pub(crate) fn race(contenders: &mut [Contender], budget: Duration) {
    let start = Instant::now();
    let mut expected = None;
    let mut turns = 0;
    while turns < TURNS_MIN || start.elapsed() < budget {
        for i in 0..contenders.len() {
            let contender = &mut contenders[(i + turns) % (contenders.len())];
            let sample = (contender.turn)();
            assert_eq!(
                *expected.get_or_insert(sample.checksum),
                sample.checksum,
                "{} computed something else",
                contender.label
            );
            let best = contender.best.get_or_insert(sample);
            best.wall_ns = best.wall_ns.min(sample.wall_ns);
            best.cpu_ns = best.cpu_ns.min(sample.cpu_ns);
            best.switches = best.switches.min(sample.switches);
        }
        turns += 1;
    }
}

/// CPU nanoseconds and context switches of the calling thread so far; zeros where the system does not tell.
pub(crate) fn thread_cost() -> (u64, u64) {
    // The scheduler books CPU time at a tick or a switch; yielding makes it book now.
    thread::yield_now();
    let cpu_ns = fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    let switches = fs::read_to_string("/proc/thread-self/status")
        .map(|text| {
            text.lines()
                .filter(|line| line.contains("ctxt_switches"))
                .filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok())
                .sum()
        })
        .unwrap_or(0);
    (cpu_ns, switches)
}

/// Whole nanoseconds.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A Markdown table under a heading.
pub(crate) fn table(title: &str, header: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("### {title}\n\n| {} |\n|", header.join(" | "));
    for i in 0..header.len() {
        text.push_str(if i == 0 { " --- |" } else { " ---: |" });
    }
    for row in rows {
        let _ = write!(text, "\n| {} |", row.join(" | "));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown() {
        let text = table("T", &["a", "b"], &[vec!["1".into(), "2".into()]]);
        assert_eq!(text, "### T\n\n| a | b |\n| --- | ---: |\n| 1 | 2 |\n");
    }

    #[test]
    #[should_panic(expected = "second computed something else")]
    fn contenders_must_agree() {
        let mut contenders = [Contender::timed("first", 1, || 1), Contender::timed("second", 1, || 2)];
        race(&mut contenders, Duration::ZERO);
    }
}
