//! The grid of slices that windows are laid on: pure arithmetic of event time.
//!
//! A slice is the longest stretch that no window begins or ends within, so a record belongs to one slice, and a window
//! is a run of slices:
//!
//! ```text
//!   size 6, slide 4:   slices of 2, a window of 3 of them every 2
//!
//!   slices     | 0 | 1 | 2 | 3 | 4 | 5 | 6 |
//!   windows    |-----------|
//!                      |-----------|
//!                              |-----------|
//! ```
//!
//! Slices are counted, so the arithmetic on windows never meets the calendar. A window is named by its end: the index
//! of the first slice behind it.

use std::time::Duration;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp as Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::window::time_window::TimeWindow;

/// Times beyond are taken to be here, some 146 million years away, so that no sum overflows.
const FAR: i64 = 1 << 62;

/// Before the first window and behind the last.
pub(crate) const NO_SLICE: i64 = i64::MIN / 2;
pub(crate) const ALL_SLICES: i64 = i64::MAX / 2;

/// The longest that a window may be: far enough from where sums overflow.
const LONGEST: Duration = Duration::from_secs(10_000 * 366 * 86_400);

const DAY: i64 = 86_400_000;

/// Where slices begin.
#[derive(Clone, Debug)]
pub(crate) enum Grid {
    /// Every `length` milliseconds, counted from `offset`.
    Even { length: i64, offset: i64 },
    /// Every day of a time zone, `after` its midnight; days have 23 to 25 hours.
    Days { zone: TimeZone, after: i64 },
}

impl Grid {
    /// The slice that the moment is in.
    pub(crate) fn slice(&self, millis: i64) -> i64 {
        let millis = millis.clamp(-FAR, FAR);
        match self {
            Grid::Even { length, offset } => (millis - offset).div_euclid(*length),
            Grid::Days { zone, after } => {
                // The local date is the right day, or next to it where clocks were changed in between.
                let mut day = date(zone, millis - after).map_or(millis.div_euclid(DAY), days);
                while self.start(day) > millis {
                    day -= 1;
                }
                while self.start(day + 1) <= millis {
                    day += 1;
                }
                day
            }
        }
    }

    /// Where the slice begins.
    pub(crate) fn start(&self, slice: i64) -> i64 {
        match self {
            Grid::Even { length, offset } => slice * length + offset,
            // Beyond the calendar, days are those of UTC.
            Grid::Days { zone, after } => midnight(zone, slice, *after).unwrap_or(slice * DAY),
        }
    }
}

fn date(zone: &TimeZone, millis: i64) -> Option<Date> {
    Instant::from_millisecond(millis).ok().map(|instant| zone.to_datetime(instant).date())
}

fn days(date: Date) -> i64 {
    // The span between two dates in days always fits.
    date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24
}

fn midnight(zone: &TimeZone, day: i64, after: i64) -> Option<i64> {
    let date = Date::constant(1970, 1, 1).checked_add(Span::new().try_days(day).ok()?).ok()?;
    let local = date.to_datetime(Time::midnight()).checked_add(SignedDuration::from_millis(after)).ok()?;
    // Where the clocks jump over this time, the day begins with the jump; where they show it twice, with the first.
    zone.to_ambiguous_timestamp(local).compatible().ok().map(Instant::as_millisecond)
}

/// Windows on a grid: each covers `size` slices, one begins every `slide` slices.
#[derive(Clone, Debug)]
pub(crate) struct Slicing {
    pub(crate) grid: Grid,
    pub(crate) size: i64,
    pub(crate) slide: i64,
}

impl Slicing {
    /// Windows of `size` every `slide`, one of them beginning `offset` after the epoch.
    ///
    /// # Panics
    /// If one of the first two is below a millisecond or above ten thousand years.
    #[track_caller]
    pub(crate) fn even(size: Duration, slide: Duration) -> Slicing {
        let (size, slide) = (millis(size), millis(slide));
        assert!(size > 0 && slide > 0, "a window has a size, and a slide where it slides: at least 1 ms");
        let length = gcd(size, slide);
        Slicing { grid: Grid::Even { length, offset: 0 }, size: size / length, slide: slide / length }
    }

    /// One window for each day of a time zone.
    pub(crate) fn daily(zone: &str) -> Result<Slicing> {
        let zone = TimeZone::get(zone).map_err(|error| {
            let error = Error::new(ErrorKind::Config, format!("the time zone `{zone}` is not known: {error}"));
            error.with_hint("zones are called as in the IANA database: `Europe/Berlin`, `America/New_York`, `UTC`")
        })?;
        Ok(Slicing { grid: Grid::Days { zone, after: 0 }, size: 1, slide: 1 })
    }

    /// The same windows, moved.
    #[track_caller]
    pub(crate) fn moved(mut self, by: Duration) -> Slicing {
        let by = millis(by);
        match &mut self.grid {
            Grid::Even { length, offset } => *offset = by % (*length * self.slide),
            Grid::Days { after, .. } => *after = by % DAY,
        }
        self
    }

    /// Whether a record of this slice is in any window: there are gaps where windows slide further than they are long.
    pub(crate) fn covers(&self, slice: i64) -> bool {
        slice.rem_euclid(self.slide) < self.size
    }

    /// The end of the first window that contains the slice.
    pub(crate) fn first_end(&self, slice: i64) -> i64 {
        slice + 1 + (self.size - slice - 1).rem_euclid(self.slide)
    }

    /// The end of the last window that contains the slice.
    pub(crate) fn last_end(&self, slice: i64) -> i64 {
        slice - slice.rem_euclid(self.slide) + self.size
    }

    /// The ends of all windows that contain the slice, in order.
    pub(crate) fn ends(&self, slice: i64) -> impl Iterator<Item = i64> + use<> {
        let (slide, last) = (self.slide, self.last_end(slice));
        std::iter::successors(Some(self.first_end(slice)), move |end| Some(end + slide)).take_while(move |e| *e <= last)
    }

    /// The window that ends before slice `end`.
    pub(crate) fn window(&self, end: i64) -> TimeWindow {
        TimeWindow::of_millis(self.grid.start(end - self.size), self.grid.start(end))
    }

    /// The end of the last window that is complete at this watermark.
    pub(crate) fn complete(&self, watermark: i64) -> i64 {
        match watermark {
            i64::MIN => NO_SLICE,
            i64::MAX => ALL_SLICES,
            _ => {
                // All slices before the one that comes next are complete.
                let next = self.grid.slice(watermark + 1);
                next - (next - self.size).rem_euclid(self.slide)
            }
        }
    }
}

/// Whole milliseconds.
///
/// # Panics
/// If that is more than ten thousand years.
#[track_caller]
pub(crate) fn millis(duration: Duration) -> i64 {
    assert!(duration <= LONGEST, "windows, gaps and lateness last ten thousand years at most");
    duration.as_millis() as i64
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Instant>().expect("a time").as_millisecond()
    }

    /// The days on which the clocks change, and the days beside them.
    #[test]
    fn days_begin_at_midnight_of_their_zone() {
        let berlin = Slicing::daily("Europe/Berlin").expect("a zone");
        let window = |time: &str| berlin.window(berlin.first_end(berlin.grid.slice(at(time))));
        let hours = |time: &str| {
            let window = window(time);
            (window.end().as_millis() - window.start().as_millis()) / 3_600_000
        };
        assert_eq!(window("2026-03-28T22:59:59Z").end().as_millis(), at("2026-03-28T23:00:00Z"));
        assert_eq!(window("2026-03-28T23:00:00Z").start().as_millis(), at("2026-03-28T23:00:00Z"));
        assert_eq!(window("2026-03-29T21:59:59Z").start().as_millis(), at("2026-03-28T23:00:00Z"));
        assert_eq!(["2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z", "2026-10-25T12:00:00Z"].map(hours), [24, 23, 25]);
        let shifted = berlin.clone().moved(Duration::from_secs(6 * 3600));
        assert_eq!(shifted.grid.start(shifted.grid.slice(at("2026-03-29T03:59:00Z"))), at("2026-03-28T05:00:00Z"));
        assert_eq!(shifted.grid.start(shifted.grid.slice(at("2026-03-29T04:00:00Z"))), at("2026-03-29T04:00:00Z"));
    }

    #[test]
    fn an_unknown_zone_is_a_mistake_in_the_configuration() {
        let error = Slicing::daily("Europe/Atlantis").expect_err("no such place");
        assert_eq!(error.kind(), ErrorKind::Config);
    }

    fn any_slicing() -> impl Strategy<Value = Slicing> {
        let even = (1_u64..50, 1_u64..50, 0_u64..100).prop_map(|(size, slide, offset)| {
            Slicing::even(Duration::from_millis(size), Duration::from_millis(slide))
                .moved(Duration::from_millis(offset))
        });
        let zones =
            prop::sample::select(vec!["Europe/Berlin", "America/St_Johns", "Pacific/Apia", "America/Sao_Paulo"]);
        let daily = (zones, 0_u64..24)
            .prop_map(|(zone, hours)| Slicing::daily(zone).expect("a zone").moved(Duration::from_secs(hours * 3600)));
        prop_oneof![4 => even, 1 => daily]
    }

    fn any_time() -> impl Strategy<Value = i64> {
        prop_oneof![
            -100..100_i64,
            -4_000_000_000_000..4_000_000_000_000_i64,
            any::<i64>(),
            Just(i64::MIN),
            Just(i64::MAX)
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn a_moment_is_in_its_slice(slicing in any_slicing(), time in any_time()) {
            let slice = slicing.grid.slice(time);
            let near = time.clamp(-FAR, FAR);
            prop_assert!(slicing.grid.start(slice) <= near && near < slicing.grid.start(slice + 1));
        }

        /// The definition, window by window: those that contain a moment, and those that a watermark completes.
        #[test]
        fn windows_are_where_flink_has_them(size in 1_i64..40, slide in 1_i64..40, offset in 0_i64..50, time in -200_i64..200) {
            let ms = |n: i64| Duration::from_millis(n as u64);
            let slicing = Slicing::even(ms(size), ms(slide)).moved(ms(offset));
            let slice = slicing.grid.slice(time);
            let found: Vec<_> = slicing.ends(slice).filter(|_| slicing.covers(slice)).map(|end| slicing.window(end)).collect();
            let last = time - (time - offset).rem_euclid(slide);
            let mut expected: Vec<_> = (0..).map(|i| last - i * slide).take_while(|start| start + size > time).collect();
            expected.reverse();
            let expected: Vec<_> = expected.into_iter().map(|s| TimeWindow::of_millis(s, s + size)).collect();
            prop_assert_eq!(found, expected);
            let complete = slicing.window(slicing.complete(time));
            prop_assert!(complete.last() <= time && complete.last() + slide > time);
        }
    }
}
