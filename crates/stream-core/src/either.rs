//! [`Either`]: records of two types on one stream, to be split into two.

/// A record of one type or another. An operator with a side output yields these;
/// [`DataStream::split`](crate::DataStream::split) takes them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Either<L, R> {
    /// For the first stream.
    Left(L),
    /// For the second stream.
    Right(R),
}
