//! The operators that ship with the engine, one file each.

mod far_future;
mod filter;
mod flat_map;
mod inspect;
mod map;
mod timestamps;

pub(crate) use far_future::FarFuture;
pub(crate) use filter::Filter;
pub(crate) use flat_map::FlatMap;
pub(crate) use inspect::Inspect;
pub(crate) use map::{Map, TryMap};
pub(crate) use timestamps::TimestampsAndWatermarks;

#[cfg(test)]
mod coverage;
#[cfg(test)]
mod keyed_tests;
