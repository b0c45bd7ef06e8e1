//! [`History`]: which execution of which record a piece of state or of output comes from.

/// Records there can be.
pub(crate) const RECORDS_MAX: u8 = 4;

/// For each record a label of the execution that processed it; 0 if it is not in.
///
/// A user's function may give another result every time. So a record that is processed again gets a new label, and
/// state and output fit together only if their labels are the same. Labels say no more than "same" or "another one":
/// [`crate::world::World::settle`] renames them, so that worlds which differ in labels only are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct History(pub(crate) u16);

impl History {
    pub(crate) fn at(self, record: u8) -> u8 {
        (self.0 >> (4 * record) & 15) as u8
    }

    pub(crate) fn set(&mut self, record: u8, label: u8) {
        self.0 = self.0 & !(15 << (4 * record)) | u16::from(label) << (4 * record);
    }

    /// The position after the last record that is in.
    pub(crate) fn end(self) -> u8 {
        (16 - self.0.leading_zeros()).div_ceil(4) as u8
    }

    /// The first record that is in.
    pub(crate) fn start(self) -> u8 {
        if self.0 == 0 { 0 } else { (self.0.trailing_zeros() / 4) as u8 }
    }

    /// This and what comes after it.
    pub(crate) fn followed_by(self, output: History) -> History {
        History(self.0 | output.0)
    }
}
