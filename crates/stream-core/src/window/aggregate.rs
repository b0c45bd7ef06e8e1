//! [`Aggregator`]: what a window keeps of its records, and what comes of that.

use std::marker::PhantomData;
use std::ops::Add;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::operator::Record;

/// What can be kept in the state of a window.
pub trait WindowState: Clone + Serialize + DeserializeOwned + Send + 'static {}

impl<S: Clone + Serialize + DeserializeOwned + Send + 'static> WindowState for S {}

/// Takes in the records of a window one at a time and keeps only what the result needs (Flink: `AggregateFunction`).
///
/// Sliding windows are made of parts that are merged, and sessions grow together: so [`merge`](Aggregator::merge) must
/// be associative. Parts are merged in the order of their time; records within one part come as they arrive.
///
/// # Example
/// ```
/// use stream_core::window::Aggregator;
///
/// #[derive(Clone)]
/// struct Mean;
///
/// impl Aggregator<f64> for Mean {
///     type State = (f64, u64);
///     type Output = f64;
///
///     fn create(&self) -> (f64, u64) {
///         (0.0, 0)
///     }
///
///     fn add(&self, (sum, count): &mut (f64, u64), record: f64) {
///         *sum += record;
///         *count += 1;
///     }
///
///     fn merge(&self, (sum, count): &mut (f64, u64), other: (f64, u64)) {
///         *sum += other.0;
///         *count += other.1;
///     }
///
///     fn result(&self, (sum, count): (f64, u64)) -> f64 {
///         sum / count as f64
///     }
/// }
///
/// let mut state = Mean.create();
/// Mean.add(&mut state, 1.0);
/// Mean.merge(&mut state, (5.0, 2));
/// assert_eq!(Mean.result(state), 2.0);
/// ```
pub trait Aggregator<T>: Clone + Send + 'static {
    /// What is kept while the window is open.
    type State: WindowState;
    /// What comes of it.
    type Output: Record;

    /// The state of a window without records.
    fn create(&self) -> Self::State;

    /// Takes in a record.
    fn add(&self, state: &mut Self::State, record: T);

    /// Takes in what another part of the window has kept; `other` is the later part.
    fn merge(&self, state: &mut Self::State, other: Self::State);

    /// What comes of the state. A window that fires more than once is asked more than once, with a copy of its state.
    fn result(&self, state: Self::State) -> Self::Output;
}

/// How many records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count;

impl<T> Aggregator<T> for Count {
    type State = u64;
    type Output = u64;

    #[inline]
    fn create(&self) -> u64 {
        0
    }

    #[inline]
    fn add(&self, state: &mut u64, _record: T) {
        *state += 1;
    }

    #[inline]
    fn merge(&self, state: &mut u64, other: u64) {
        *state += other;
    }

    #[inline]
    fn result(&self, state: u64) -> u64 {
        state
    }
}

/// Two records become one, until there is one left.
#[derive(Clone)]
pub(crate) struct Reduce<F>(pub(crate) F);

impl<T, F> Aggregator<T> for Reduce<F>
where
    T: WindowState,
    F: Fn(T, T) -> T + Clone + Send + 'static,
{
    // Empty only before the first record and while `reduce` runs.
    type State = Option<T>;
    type Output = T;

    fn create(&self) -> Option<T> {
        None
    }

    #[inline]
    fn add(&self, state: &mut Option<T>, record: T) {
        *state = Some(match state.take() {
            Some(before) => (self.0)(before, record),
            None => record,
        });
    }

    fn merge(&self, state: &mut Option<T>, other: Option<T>) {
        if let Some(other) = other {
            self.add(state, other);
        }
    }

    fn result(&self, state: Option<T>) -> T {
        state.expect("a window has a record before it fires")
    }
}

/// What `get` takes from each record, joined by `join`: the body of sum, min and max.
pub(crate) struct Joined<T, F, J> {
    get: F,
    join: J,
    types: PhantomData<fn(T)>,
}

impl<T, F: Clone, J: Clone> Clone for Joined<T, F, J> {
    fn clone(&self) -> Self {
        Joined { get: self.get.clone(), join: self.join.clone(), types: PhantomData }
    }
}

impl<T, N, F, J> Aggregator<T> for Joined<T, F, J>
where
    T: 'static,
    N: WindowState,
    F: Fn(&T) -> N + Clone + Send + 'static,
    J: Fn(N, N) -> N + Clone + Send + 'static,
{
    type State = Option<N>;
    type Output = N;

    fn create(&self) -> Option<N> {
        None
    }

    #[inline]
    fn add(&self, state: &mut Option<N>, record: T) {
        self.merge(state, Some((self.get)(&record)));
    }

    #[inline]
    fn merge(&self, state: &mut Option<N>, other: Option<N>) {
        *state = match (state.take(), other) {
            (Some(before), Some(other)) => Some((self.join)(before, other)),
            (before, other) => before.or(other),
        };
    }

    fn result(&self, state: Option<N>) -> N {
        state.expect("a window has a record before it fires")
    }
}

pub(crate) fn sum<T: 'static, N>(get: impl Fn(&T) -> N + Clone + Send + 'static) -> impl Aggregator<T, Output = N>
where
    N: WindowState + Add<Output = N>,
{
    Joined { get, join: |a: N, b: N| a + b, types: PhantomData }
}

/// The smallest; of values that can't be compared, such as NaN, the first one stays.
pub(crate) fn min<T: 'static, N>(get: impl Fn(&T) -> N + Clone + Send + 'static) -> impl Aggregator<T, Output = N>
where
    N: WindowState + PartialOrd,
{
    Joined { get, join: |a: N, b: N| if b < a { b } else { a }, types: PhantomData }
}

/// The greatest, as [`min`].
pub(crate) fn max<T: 'static, N>(get: impl Fn(&T) -> N + Clone + Send + 'static) -> impl Aggregator<T, Output = N>
where
    N: WindowState + PartialOrd,
{
    Joined { get, join: |a: N, b: N| if b > a { b } else { a }, types: PhantomData }
}

/// Keeps all records, in the order in which they came.
#[derive(Clone, Copy)]
pub(crate) struct Collect;

impl<T: WindowState> Aggregator<T> for Collect {
    type State = Vec<T>;
    type Output = Vec<T>;

    fn create(&self) -> Vec<T> {
        Vec::new()
    }

    fn add(&self, state: &mut Vec<T>, record: T) {
        state.push(record);
    }

    fn merge(&self, state: &mut Vec<T>, mut other: Vec<T>) {
        state.append(&mut other);
    }

    fn result(&self, state: Vec<T>) -> Vec<T> {
        state
    }
}
