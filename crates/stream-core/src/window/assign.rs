//! The windows there are: tumbling, sliding, session, global.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::window::grid::{Slicing, millis};

/// Which windows a record belongs to. Implemented by [`TumblingWindows`], [`SlidingWindows`], [`SessionWindows`],
/// [`DynamicSessionWindows`] and [`GlobalWindows`].
pub trait Windows<T>: sealed::Sealed {
    #[doc(hidden)]
    fn assigner(self) -> Assigner<T>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::TumblingWindows {}
    impl Sealed for super::SlidingWindows {}
    impl Sealed for super::SessionWindows {}
    impl<F> Sealed for super::DynamicSessionWindows<F> {}
    impl Sealed for super::GlobalWindows {}
}

/// What an operator is told of its windows.
#[doc(hidden)]
pub struct Assigner<T> {
    pub(crate) kind: Kind<T>,
    pub(crate) time: TimeKind,
}

impl<T> Clone for Assigner<T> {
    fn clone(&self) -> Self {
        Assigner { kind: self.kind.clone(), time: self.time }
    }
}

pub(crate) enum Kind<T> {
    Slices(Slicing),
    Session(Gap<T>),
    Global,
}

impl<T> Clone for Kind<T> {
    fn clone(&self) -> Self {
        match self {
            Kind::Slices(slicing) => Kind::Slices(slicing.clone()),
            Kind::Session(Gap::Fixed(gap)) => Kind::Session(Gap::Fixed(*gap)),
            Kind::Session(Gap::Of(gap)) => Kind::Session(Gap::Of(gap.clone())),
            Kind::Global => Kind::Global,
        }
    }
}

/// How long a session stays open after a record.
pub(crate) enum Gap<T> {
    Fixed(i64),
    Of(Arc<dyn Fn(&T) -> Duration + Send + Sync>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeKind {
    Event,
    Processing,
}

/// Windows of one size, one after another (Flink: `TumblingEventTimeWindows`; Kafka Streams: `TimeWindows` without
/// advance).
///
/// A window begins at a multiple of its size, counted from the epoch in UTC, plus the offset.
#[derive(Clone, Debug)]
pub struct TumblingWindows {
    slicing: Slicing,
    time: TimeKind,
}

impl TumblingWindows {
    /// Windows of this size.
    ///
    /// # Panics
    /// If `size` is below a millisecond or above ten thousand years.
    #[track_caller]
    pub fn of(size: Duration) -> TumblingWindows {
        TumblingWindows { slicing: Slicing::even(size, size), time: TimeKind::Event }
    }

    /// One window for each day of a time zone, called as in the IANA database. A day on which the clocks change has 23
    /// or 25 hours. The zone's rules are those of the IANA database that is compiled in,
    /// so they are the same on every machine.
    ///
    /// # Errors
    /// `Config` if the zone is not known.
    ///
    /// # Example
    /// ```
    /// use stream_core::window::TumblingWindows;
    /// assert!(TumblingWindows::daily("Europe/Berlin").is_ok());
    /// assert!(TumblingWindows::daily("Europe/Atlantis").is_err());
    /// ```
    pub fn daily(zone: &str) -> Result<TumblingWindows> {
        Ok(TumblingWindows { slicing: Slicing::daily(zone)?, time: TimeKind::Event })
    }

    /// Moves the windows: hourly windows with an offset of 15 minutes begin at a quarter past; days with an offset of six
    /// hours begin at six in the morning. An offset that Flink would write as -8 hours of a day is 16 hours here.
    #[must_use]
    #[track_caller]
    pub fn offset(self, offset: Duration) -> TumblingWindows {
        TumblingWindows { slicing: self.slicing.moved(offset), ..self }
    }

    /// Windows by the clock on the wall, not by the records' timestamps (Flink: `TumblingProcessingTimeWindows`).
    #[must_use]
    pub fn processing_time(self) -> TumblingWindows {
        TumblingWindows { time: TimeKind::Processing, ..self }
    }
}

impl<T> Windows<T> for TumblingWindows {
    fn assigner(self) -> Assigner<T> {
        Assigner { kind: Kind::Slices(self.slicing), time: self.time }
    }
}

/// Windows of one size that begin more often than one ends, so that they overlap (Flink: `SlidingEventTimeWindows`;
/// Kafka Streams: `TimeWindows.advanceBy`).
///
/// A record is added once, however many windows it is in; windows are merged from the slices they have in common.
#[derive(Clone, Debug)]
pub struct SlidingWindows {
    slicing: Slicing,
    time: TimeKind,
}

impl SlidingWindows {
    /// Windows of `size`, one beginning every `slide`. With a `slide` above `size` there are gaps between the windows;
    /// records in a gap are in no window, and not late either.
    ///
    /// # Panics
    /// If one of them is below a millisecond or above ten thousand years.
    #[track_caller]
    pub fn of(size: Duration, slide: Duration) -> SlidingWindows {
        SlidingWindows { slicing: Slicing::even(size, slide), time: TimeKind::Event }
    }

    /// Moves the windows.
    #[must_use]
    #[track_caller]
    pub fn offset(self, offset: Duration) -> SlidingWindows {
        SlidingWindows { slicing: self.slicing.moved(offset), ..self }
    }

    /// Windows by the clock on the wall, not by the records' timestamps (Flink: `SlidingProcessingTimeWindows`).
    #[must_use]
    pub fn processing_time(self) -> SlidingWindows {
        SlidingWindows { time: TimeKind::Processing, ..self }
    }
}

impl<T> Windows<T> for SlidingWindows {
    fn assigner(self) -> Assigner<T> {
        Assigner { kind: Kind::Slices(self.slicing), time: self.time }
    }
}

/// Windows that last as long as records keep coming (Flink: `EventTimeSessionWindows`; Kafka Streams:
/// `SessionWindows`).
///
/// A session ends a gap after its last record. A record between two sessions makes them one.
#[derive(Clone, Debug)]
pub struct SessionWindows {
    gap: i64,
    time: TimeKind,
}

impl SessionWindows {
    /// Sessions that end when no record has come for `gap`. A record exactly one gap after the last begins a new one
    /// (Flink makes it one session or two, depending on the watermark).
    ///
    /// # Panics
    /// If `gap` is below a millisecond or above ten thousand years.
    #[track_caller]
    pub fn with_gap(gap: Duration) -> SessionWindows {
        let gap = millis(gap);
        assert!(gap > 0, "a session has a gap: at least 1 ms");
        SessionWindows { gap, time: TimeKind::Event }
    }

    /// Sessions with a gap that each record brings along. Gaps below a millisecond count as one.
    pub fn with_gap_of<T, F>(gap: F) -> DynamicSessionWindows<F>
    where
        F: Fn(&T) -> Duration + Send + Sync + 'static,
    {
        DynamicSessionWindows { gap, time: TimeKind::Event }
    }

    /// Sessions by the clock on the wall, not by the records' timestamps (Flink: `ProcessingTimeSessionWindows`).
    #[must_use]
    pub fn processing_time(self) -> SessionWindows {
        SessionWindows { time: TimeKind::Processing, ..self }
    }
}

impl<T> Windows<T> for SessionWindows {
    fn assigner(self) -> Assigner<T> {
        Assigner { kind: Kind::Session(Gap::Fixed(self.gap)), time: self.time }
    }
}

/// Sessions whose gap depends on the record: made by [`SessionWindows::with_gap_of`].
#[derive(Clone, Debug)]
pub struct DynamicSessionWindows<F> {
    gap: F,
    time: TimeKind,
}

impl<F> DynamicSessionWindows<F> {
    /// Sessions by the clock on the wall, not by the records' timestamps.
    #[must_use]
    pub fn processing_time(self) -> DynamicSessionWindows<F> {
        DynamicSessionWindows { time: TimeKind::Processing, ..self }
    }
}

impl<T, F: Fn(&T) -> Duration + Send + Sync + 'static> Windows<T> for DynamicSessionWindows<F> {
    fn assigner(self) -> Assigner<T> {
        Assigner { kind: Kind::Session(Gap::Of(Arc::new(self.gap))), time: self.time }
    }
}

/// One window for everything with the same key (Flink: `GlobalWindows`). It ends when the input does; a trigger makes
/// it say something before.
#[derive(Clone, Copy, Debug)]
pub struct GlobalWindows;

impl<T> Windows<T> for GlobalWindows {
    fn assigner(self) -> Assigner<T> {
        Assigner { kind: Kind::Global, time: TimeKind::Event }
    }
}
