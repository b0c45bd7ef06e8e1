//! Windows that keep the numbers of their records, and what comes out of them.

use crate::either::Either;
use crate::testing::crew::{Crew, Step};
use crate::window::aggregate::Aggregator;
use crate::window::time_window::{TimeWindow, WindowResult};

/// What the records of the tests are: their number.
pub(super) type Id = u32;

/// What comes out, in a form that both sides of a comparison can make.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Out {
    Result { at: Option<i64>, key: u8, window: TimeWindow, ids: Vec<Id> },
    Late(Id),
}

pub(super) type OperatorOut = Either<WindowResult<u8, Vec<Id>>, Id>;

/// What a step brings, sorted.
pub(super) fn step(crew: &mut Crew<OperatorOut>, step: &Step) -> Vec<Out> {
    let brought = crew.step(step).into_iter().map(|(out, at)| match out {
        Either::Right(id) => Out::Late(id),
        Either::Left(WindowResult { key, window, value }) => Out::Result { at, key, window, ids: value },
    });
    let mut brought: Vec<_> = brought.collect();
    brought.sort();
    brought
}

/// Keeps the numbers of the records.
#[derive(Clone)]
pub(super) struct Ids;

impl Aggregator<Id> for Ids {
    type State = Vec<Id>;
    type Output = Vec<Id>;

    fn create(&self) -> Vec<Id> {
        Vec::new()
    }

    fn add(&self, state: &mut Vec<Id>, record: Id) {
        state.push(record);
    }

    fn merge(&self, state: &mut Vec<Id>, mut other: Vec<Id>) {
        state.append(&mut other);
    }

    fn result(&self, mut state: Vec<Id>) -> Vec<Id> {
        state.sort_unstable();
        state
    }
}
