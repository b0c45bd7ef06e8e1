//! Encoded records that wait: those of the next epoch while the one before is being committed, or those of an epoch
//! that another cluster gets later.
//!
//! One buffer of bytes, so that a record costs a copy and no allocation.

use stream_core::Timestamp;

use crate::record::Topic;
use crate::schema::ProducerRecord;

/// Records in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct RecordBuffer {
    topics: Vec<Topic>,
    bytes: Vec<u8>,
    /// Where the first record that was not taken out begins.
    read: usize,
}

/// Stands for null in place of a length.
const NULL: u32 = u32::MAX;

impl RecordBuffer {
    pub(crate) fn is_empty(&self) -> bool {
        self.read == self.bytes.len()
    }

    /// How much memory the records take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a record for a partition of a topic.
    pub(crate) fn push(&mut self, topic: Topic, partition: i32, record: &ProducerRecord) {
        let index = match self.topics.iter().position(|known| *known == topic) {
            Some(index) => index,
            None => {
                self.topics.push(topic);
                self.topics.len() - 1
            }
        };
        self.number(index);
        self.bytes.extend_from_slice(&partition.to_le_bytes());
        let timestamp = record.timestamp().unwrap_or(Timestamp::MIN);
        self.bytes.extend_from_slice(&timestamp.as_millis().to_le_bytes());
        self.field(record.key());
        self.field(record.value());
        self.number(record.headers().len());
        for (name, value) in record.headers().iter() {
            self.field(Some(name.as_bytes()));
            self.field(value);
        }
    }

    /// Takes everything out as bytes that can be stored; none if there is nothing.
    pub(crate) fn take_encoded(&mut self) -> Option<Vec<u8>> {
        if self.is_empty() {
            return None;
        }
        let records = std::mem::take(&mut self.bytes).split_off(std::mem::take(&mut self.read));
        let topics = std::mem::take(&mut self.topics);
        // The head is made by the same calls as a record.
        self.number(topics.len());
        topics.iter().for_each(|topic| self.field(Some(topic.as_str().as_bytes())));
        self.bytes.extend_from_slice(&records);
        Some(std::mem::take(&mut self.bytes))
    }

    /// Reads what [`RecordBuffer::take_encoded`] has given; none if it is something else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<RecordBuffer> {
        let mut reader = Reader(bytes);
        let count = reader.number()?;
        let mut topics = Vec::new();
        for _ in 0..count {
            topics.push(Topic::new(std::str::from_utf8(reader.field()??).ok()?));
        }
        Some(RecordBuffer { topics, bytes: reader.0.to_vec(), read: 0 })
    }

    fn number(&mut self, number: usize) {
        // librdkafka's limit on a message is below 1 GB, so a length always fits.
        self.bytes.extend_from_slice(&u32::try_from(number).unwrap_or(NULL - 1).to_le_bytes());
    }

    fn field(&mut self, field: Option<&[u8]>) {
        match field {
            None => self.bytes.extend_from_slice(&NULL.to_le_bytes()),
            Some(bytes) => {
                self.number(bytes.len());
                self.bytes.extend_from_slice(bytes);
            }
        }
    }

    /// Takes records out, in order, for as long as `each` takes them.
    ///
    /// # Errors
    /// The first error of `each`; the record it is about stays.
    pub(crate) fn drain<E>(
        &mut self,
        record: &mut ProducerRecord,
        mut each: impl FnMut(Topic, i32, &ProducerRecord) -> Result<bool, E>,
    ) -> Result<(), E> {
        while let Some((topic, partition, end)) = self.first(record) {
            if !each(topic, partition, record)? {
                return Ok(());
            }
            self.read = end;
        }
        // The room is kept for the next time.
        self.bytes.clear();
        self.read = 0;
        Ok(())
    }

    /// Copies the first record; returns its topic and partition, and where the one after it begins.
    fn first(&self, record: &mut ProducerRecord) -> Option<(Topic, i32, usize)> {
        let mut reader = Reader(self.bytes.get(self.read..)?);
        let topic = *self.topics.get(reader.number()?)?;
        let partition = i32::from_le_bytes(reader.take()?);
        record.reset(Some(Timestamp::from_millis(i64::from_le_bytes(reader.take()?))));
        if let Some(key) = reader.field()? {
            record.set_key(key);
        }
        if let Some(value) = reader.field()? {
            record.set_value(value);
        }
        for _ in 0..reader.number()? {
            let name = reader.field()?.unwrap_or_default();
            let value = reader.field()?;
            record.add_header(String::from_utf8_lossy(name), value);
        }
        Some((topic, partition, self.bytes.len() - reader.0.len()))
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.take()?)).ok()
    }

    fn field(&mut self) -> Option<Option<&'a [u8]>> {
        let length = u32::from_le_bytes(self.take()?);
        if length == NULL {
            return Some(None);
        }
        let (field, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(Some(field))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Fields = (Option<Vec<u8>>, Option<Vec<u8>>, Option<i64>, Vec<(String, Option<Vec<u8>>)>);

    fn record(fields: &Fields) -> ProducerRecord {
        let (key, value, timestamp, headers) = fields;
        let mut record = ProducerRecord::default();
        record.reset(timestamp.map(Timestamp::from_millis));
        key.iter().for_each(|key| record.set_key(key));
        value.iter().for_each(|value| record.set_value(value));
        headers.iter().for_each(|(name, value)| record.add_header(name, value.as_deref()));
        record
    }

    fn seen(record: &ProducerRecord) -> Fields {
        let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let headers = record.headers().iter().map(|(name, value)| (name.to_owned(), own(value)));
        let timestamp = record.timestamp().map(Timestamp::as_millis);
        (own(record.key()), own(record.value()), timestamp, headers.collect())
    }

    proptest! {
        #[test]
        fn records_come_out_as_they_went_in_however_often_it_is_interrupted(
            records in proptest::collection::vec((any::<Fields>(), 0..3usize, any::<i32>()), 0..20),
            stops in proptest::collection::vec(0..5usize, 0..10),
            stored: bool,
        ) {
            let topics = ["a", "b", "c"].map(Topic::new);
            let (mut buffer, mut scratch, mut out) = (RecordBuffer::default(), ProducerRecord::default(), Vec::new());
            for (fields, topic, partition) in &records {
                buffer.push(topics[*topic], *partition, &record(fields));
            }
            if stored && let Some(encoded) = buffer.take_encoded() {
                prop_assert!(buffer.is_empty());
                buffer = RecordBuffer::decode(&encoded).expect("it was encoded");
            }
            for stop in stops.into_iter().chain([usize::MAX]) {
                let mut left = stop;
                buffer.drain(&mut scratch, |topic, partition, record| {
                    if left == 0 {
                        return Ok::<_, ()>(false);
                    }
                    left -= 1;
                    out.push((seen(record), topic, partition));
                    Ok(true)
                }).expect("nothing fails");
            }
            prop_assert!(buffer.is_empty());
            // The lowest timestamp stands for none.
            let expected: Vec<_> = records.into_iter().map(|((key, value, timestamp, headers), topic, partition)| {
                let timestamp = timestamp.filter(|millis| *millis != i64::MIN);
                ((key, value, timestamp, headers), topics[topic], partition)
            }).collect();
            prop_assert_eq!(out, expected);
        }
    }
}
