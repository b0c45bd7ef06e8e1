//! Generators turn timestamps into watermarks; assigners give records their timestamps.
//!
//! Both are called once per batch through a trait object; the loop over the records lies behind that call, together
//! with the user's closure, so that the compiler sees both at once.

use crate::batch::Tally;
use crate::clock::Now;
use crate::error::{Error, ErrorKind, Result};
use crate::time::Timestamp;

/// Decides how far event time is, from the records of one split.
///
/// There is one generator per split of a source, or per subtask in the middle of a stream. Watermarks that go back are
/// ignored. [`Timestamp::MAX`] means the end of the stream, which only the engine announces: a generator gets as far as
/// one millisecond before it.
///
/// # Example
/// A watermark that follows the clock, whatever the records say (Flink's `TimeLagWatermarkGenerator`):
/// ```
/// use std::time::Duration;
/// use stream_core::clock::Now;
/// use stream_core::{Timestamp, WatermarkGenerator, WatermarkStrategy};
///
/// #[derive(Clone)]
/// struct TimeLag(i64);
///
/// impl<T> WatermarkGenerator<T> for TimeLag {
///     fn on_event(&mut self, _record: &T, _timestamp: Timestamp) -> Option<Timestamp> {
///         None
///     }
///
///     fn on_periodic(&mut self, now: Now) -> Option<Timestamp> {
///         Some(Timestamp::from_millis(now.wall.as_millis() - self.0))
///     }
/// }
///
/// let strategy = WatermarkStrategy::<String>::custom(|| TimeLag(5_000)).with_interval(Duration::from_secs(1));
/// # let _ = strategy;
/// ```
pub trait WatermarkGenerator<T>: Send {
    /// Looks at a record. A watermark that is returned is sent right behind the record's batch, without waiting for the
    /// interval.
    fn on_event(&mut self, record: &T, timestamp: Timestamp) -> Option<Timestamp>;

    /// Looks at some records that came one after another, with one timestamp each. The default calls
    /// [`on_event`](WatermarkGenerator::on_event) for each.
    fn on_batch(&mut self, records: &[T], timestamps: &[Timestamp]) -> Option<Timestamp> {
        let mut reached = None;
        for (record, timestamp) in records.iter().zip(timestamps) {
            reached = reached.max(self.on_event(record, *timestamp));
        }
        reached
    }

    /// How far event time is now: asked once per interval, and, unless the interval was chosen, when the input is drained
    /// ([`WatermarkStrategy::with_interval`](crate::WatermarkStrategy::with_interval)).
    fn on_periodic(&mut self, _now: Now) -> Option<Timestamp> {
        None
    }

    /// What to put into a checkpoint, if a fresh generator could not find it out again. The watermark it has reached is
    /// kept without its help.
    fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes back what [`snapshot`](WatermarkGenerator::snapshot) wrote.
    ///
    /// # Errors
    /// `Corrupt` if the bytes can't be read.
    fn restore(&mut self, _bytes: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// A generator at work. The two that nearly everybody uses need no call at all.
pub(super) enum Generator<T> {
    None,
    /// Lags `bound` milliseconds and one behind the greatest timestamp.
    Bounded {
        max: Timestamp,
        bound: i64,
    },
    Custom(Box<dyn WatermarkGenerator<T>>),
}

impl<T> Generator<T> {
    /// Looks at records whose greatest timestamp is `newest`.
    pub(super) fn on_batch(&mut self, records: &[T], timestamps: &[Timestamp], newest: Timestamp) -> Option<Timestamp> {
        match self {
            Generator::None => None,
            Generator::Bounded { max, .. } => {
                *max = newest.max(*max);
                None
            }
            Generator::Custom(generator) => generator.on_batch(records, timestamps),
        }
    }

    pub(super) fn on_periodic(&mut self, now: Now) -> Option<Timestamp> {
        match self {
            Generator::None => None,
            // Flink's BoundedOutOfOrdernessWatermarks: records of the greatest timestamp itself may still follow.
            Generator::Bounded { max, bound } => {
                Some(Timestamp::from_millis(max.as_millis().saturating_sub(*bound).saturating_sub(1)))
            }
            Generator::Custom(generator) => generator.on_periodic(now),
        }
    }

    pub(super) fn snapshot(&self) -> Vec<u8> {
        match self {
            Generator::None => Vec::new(),
            Generator::Bounded { max, .. } => max.as_millis().to_le_bytes().to_vec(),
            Generator::Custom(generator) => generator.snapshot(),
        }
    }

    pub(super) fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Generator::None => Ok(()),
            Generator::Bounded { max, .. } => {
                *max = read_timestamp(bytes)?.0;
                Ok(())
            }
            Generator::Custom(generator) => generator.restore(bytes),
        }
    }
}

/// The timestamp at the beginning of `bytes`, and what follows it.
pub(super) fn read_timestamp(bytes: &[u8]) -> Result<(Timestamp, &[u8])> {
    let (millis, rest) = bytes
        .split_first_chunk()
        .ok_or_else(|| Error::new(ErrorKind::Corrupt, format!("a watermark's state has {} bytes", bytes.len())))?;
    Ok((Timestamp::from_millis(i64::from_le_bytes(*millis)), rest))
}

/// Makes a generator per split.
pub(super) trait MakeGenerator<T>: Send {
    fn make(&self) -> Generator<T>;
    fn duplicate(&self) -> Box<dyn MakeGenerator<T>>;
}

/// Makes [`Generator::None`], or [`Generator::Bounded`] with this bound in milliseconds.
#[derive(Clone, Copy)]
pub(super) struct BuiltIn(pub(super) Option<i64>);

impl<T> MakeGenerator<T> for BuiltIn {
    fn make(&self) -> Generator<T> {
        self.0.map_or(Generator::None, |bound| Generator::Bounded { max: Timestamp::MIN, bound })
    }

    fn duplicate(&self) -> Box<dyn MakeGenerator<T>> {
        Box::new(*self)
    }
}

#[derive(Clone)]
pub(super) struct Made<F>(pub(super) F);

impl<T, G, F> MakeGenerator<T> for Made<F>
where
    G: WatermarkGenerator<T> + 'static,
    F: Fn() -> G + Clone + Send + 'static,
{
    fn make(&self) -> Generator<T> {
        Generator::Custom(Box::new((self.0)()))
    }

    fn duplicate(&self) -> Box<dyn MakeGenerator<T>> {
        Box::new(self.clone())
    }
}

/// A watermark where the function finds one in a record.
pub(super) struct Punctuated<F>(pub(super) F);

impl<T, F> WatermarkGenerator<T> for Punctuated<F>
where
    F: FnMut(&T, Timestamp) -> Option<Timestamp> + Send,
{
    fn on_event(&mut self, record: &T, timestamp: Timestamp) -> Option<Timestamp> {
        (self.0)(record, timestamp)
    }
}

/// Gives records their timestamps.
pub(super) trait Assign<T>: Send {
    /// Overwrites `timestamps`, which are those the records came with; without any where `given` is false. `seen`
    /// becomes the number of records done, so that a panic can be placed.
    fn assign(&mut self, records: &[T], timestamps: &mut [Timestamp], given: bool, seen: &mut usize);
    fn duplicate(&self) -> Box<dyn Assign<T>>;
}

impl<T, F> Assign<T> for F
where
    F: FnMut(&T, Option<Timestamp>) -> Timestamp + Clone + Send + 'static,
{
    fn assign(&mut self, records: &[T], timestamps: &mut [Timestamp], given: bool, seen: &mut usize) {
        let mut tally = Tally::new(seen);
        for (record, timestamp) in records.iter().zip(timestamps) {
            // Kafka has records without a timestamp, too.
            let came_with = Some(*timestamp).filter(|timestamp| given && *timestamp > Timestamp::MIN);
            *timestamp = self(record, came_with);
            tally.count += 1;
        }
    }

    fn duplicate(&self) -> Box<dyn Assign<T>> {
        Box::new(self.clone())
    }
}

/// Is shown what is dated too far ahead.
pub(super) trait FarFutureHook<T>: Send {
    fn show(&mut self, record: &T, timestamp: Timestamp);
    fn duplicate(&self) -> Box<dyn FarFutureHook<T>>;
}

impl<T, F> FarFutureHook<T> for F
where
    F: FnMut(&T, Timestamp) + Clone + Send + 'static,
{
    fn show(&mut self, record: &T, timestamp: Timestamp) {
        self(record, timestamp);
    }

    fn duplicate(&self) -> Box<dyn FarFutureHook<T>> {
        Box::new(self.clone())
    }
}
