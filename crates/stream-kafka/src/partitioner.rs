//! Partitioners: which partition of its topic a record goes to.
//!
//! Two levels: a [`KafkaPartitioner`] is what the user chooses; for every topic a sink subtask writes to it makes a
//! [`TopicPartitioner`], which keeps whatever it counts for that topic alone and decides for a batch at a time.

use stream_core::even_split;

/// Chooses partitions; makes one [`TopicPartitioner`] per sink subtask and topic.
pub trait KafkaPartitioner<T>: Send + Sync + 'static {
    /// The partitioner of one topic for one subtask.
    fn for_topic(&self, topic: &str, subtask: usize, parallelism: usize) -> Box<dyn TopicPartitioner<T>>;
}

/// Chooses partitions of one topic.
pub trait TopicPartitioner<T>: Send {
    /// Adds one partition per record to `chosen`, in order. `partitions` are those the topic has now, ascending, at
    /// least one. Neighbouring records for one partition are cheaper to send than alternating ones.
    fn assign(&mut self, records: &[T], partitions: &[i32], chosen: &mut Vec<i32>);
}

/// Spreads records evenly over every partition, at any parallelism; the default.
///
/// A batch is dealt as one run per partition, in order, and the remainder rotates. So after any number of records
/// the partitions that one subtask has written differ by at most one record. Order is kept per source partition and
/// sink partition. (StreamPark's partitioner of this name leaves partition 0 empty unless the parallelism is a
/// multiple of the number of partitions; this one does what its documentation says.)
#[derive(Clone, Copy, Debug, Default)]
pub struct KafkaEqualityPartitioner;

impl<T> KafkaPartitioner<T> for KafkaEqualityPartitioner {
    fn for_topic(&self, _topic: &str, subtask: usize, _parallelism: usize) -> Box<dyn TopicPartitioner<T>> {
        // Subtasks begin at different partitions, so that their remainders don't meet on the same one.
        Box::new(Equality { cursor: subtask, sizes: Vec::new() })
    }
}

struct Equality {
    cursor: usize,
    sizes: Vec<usize>,
}

impl<T> TopicPartitioner<T> for Equality {
    fn assign(&mut self, records: &[T], partitions: &[i32], chosen: &mut Vec<i32>) {
        self.cursor %= partitions.len();
        self.sizes.resize(partitions.len(), 0);
        even_split(records.len(), &mut self.sizes, &mut self.cursor);
        for (partition, size) in partitions.iter().zip(&self.sizes) {
            chosen.extend(std::iter::repeat_n(*partition, *size));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn partitions_differ_by_at_most_the_parallelism(
            batches in prop::collection::vec((0usize..3, 0usize..700), 0..60),
            ids in prop::collection::btree_set(0i32..20, 1..8),
            parallelism in 1usize..4,
        ) {
            let ids: Vec<i32> = ids.into_iter().collect();
            let mut subtasks: Vec<Box<dyn TopicPartitioner<u8>>> =
                (0..parallelism).map(|i| KafkaEqualityPartitioner.for_topic("t", i, parallelism)).collect();
            let mut totals = std::collections::BTreeMap::from_iter(ids.iter().map(|id| (*id, 0usize)));
            for (subtask, records) in batches {
                let mut chosen = Vec::new();
                subtasks[subtask % parallelism].assign(&vec![0; records], &ids, &mut chosen);
                prop_assert_eq!(chosen.len(), records);
                for id in chosen {
                    *totals.get_mut(&id).expect("an existing partition") += 1;
                }
            }
            let (min, max) = (totals.values().min().unwrap(), totals.values().max().unwrap());
            prop_assert!(max - min <= parallelism);
        }
    }
}
