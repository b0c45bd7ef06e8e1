//! The names in a sink's directory, and what a checkpoint remembers of a file.

use serde::{Deserialize, Serialize};
use stream_core::{Error, ErrorKind, Result};

/// Says whose directory it is.
pub(crate) const OWNER: &str = ".stream-files";

/// A file that waits for its checkpoint, as the checkpoint has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Staged {
    /// Its name until then.
    pub(crate) hidden: String,
    /// Its name from then on.
    pub(crate) published: String,
    pub(crate) bytes: u64,
}

/// The name of a file being written: no other run of the job, subtask or count has it.
pub(crate) fn hidden(generation: u64, subtask: usize, count: u64, extension: &str) -> String {
    format!(".part-{generation}-{subtask}-{count}.{extension}")
}

/// The generation in the name of a file being written; none if it is no such name.
pub(crate) fn generation_of(hidden: &str) -> Option<u64> {
    let (numbers, _) = hidden.strip_prefix(".part-")?.split_once('.')?;
    let numbers: Vec<u64> = numbers.split('-').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    (numbers.len() == 3).then(|| numbers[0])
}

/// The name of a published file: sorted names are in the order of epochs. The generation tells apart what a job has
/// published in one epoch before and after it was set back to an older checkpoint.
pub(crate) fn published(epoch: u64, subtask: usize, generation: u64, extension: &str) -> String {
    format!("part-{epoch:010}-{subtask:05}-{generation}.{extension}")
}

impl Staged {
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::internal(format!("a file's name can't be encoded: {error}")))
    }

    /// # Errors
    /// `Corrupt` if it is not what [`encode`](Staged::encode) makes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Staged> {
        let damaged = |why: String| {
            let text = String::from_utf8_lossy(bytes);
            Error::new(ErrorKind::Corrupt, format!("the checkpoint does not name a file of this sink: {why}: `{text}`"))
                .with_hint("was the sink another one under the same uid? give it a uid of its own")
        };
        let staged: Staged = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        let inside = |name: &str| !name.contains(['/', '\\']);
        if generation_of(&staged.hidden).is_none() || !inside(&staged.hidden) || !inside(&staged.published) {
            return Err(damaged("a name that it does not give".to_owned()));
        }
        Ok(staged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hidden_files_are_told_from_others() {
        assert_eq!(generation_of(&hidden(7, 0, 12, "csv")), Some(7));
        for other in [OWNER, ".part-7-0.csv", ".part-x-0-1.csv", ".part-7-0-1", "part-7-0-1.csv", ".DS_Store"] {
            assert_eq!(generation_of(other), None, "{other}");
        }
    }

    #[test]
    fn published_names_sort_by_epoch_then_subtask() {
        let names = [(2, 10, 3), (10, 0, 1), (10, 2, 1), (10, 11, 1), (1_000, 0, 1)];
        let names = names.map(|(epoch, subtask, generation)| published(epoch, subtask, generation, "jsonl"));
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn a_staged_file_survives_its_encoding_and_nothing_else_passes() {
        let staged = Staged { hidden: hidden(1, 2, 3, "csv"), published: published(4, 2, 1, "csv"), bytes: 5 };
        let decoded = Staged::decode(&staged.encode().expect("encodes"));
        assert_eq!(decoded.expect("decodes"), staged);
        let outside = Staged { published: "../x".to_owned(), ..staged.clone() };
        let foreign = Staged { hidden: ".part-1-2-3.a/../../b".to_owned(), ..staged };
        for bad in [&b"?"[..], &outside.encode().expect("encodes"), &foreign.encode().expect("encodes")] {
            assert_eq!(Staged::decode(bad).expect_err("refused").kind(), ErrorKind::Corrupt);
        }
    }
}
