//! What transactions need of a producer handle: the calls that wait for a broker, and the offsets of a group with their
//! metadata, which hold the marker.
//!
//! | call | why not the crate's |
//! | --- | --- |
//! | offsets of a whole group, only decided ones | the crate asks for named partitions, as a consumer |
//! | offsets into a transaction | the crate can't name a group that no consumer has joined |
//! | commit | the crate's flushes first, with a flat 100 ms; here everything is flushed already |

use std::ffi::{CStr, CString, c_char};
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::producer::{ProducerHandle, Wire};
use crate::record::Topic;

/// A position of a group, with what was stored beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredOffset {
    pub(crate) topic: Topic,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) metadata: String,
}

fn millis(limit: Duration) -> i32 {
    i32::try_from(limit.as_millis()).unwrap_or(i32::MAX)
}

/// Why a call about a transaction failed.
#[derive(Debug)]
pub(crate) struct CallError {
    pub(crate) error: KafkaError,
    /// The same call goes on where it was.
    pub(crate) may_repeat: bool,
}

impl From<KafkaError> for CallError {
    fn from(error: KafkaError) -> CallError {
        CallError { error, may_repeat: false }
    }
}

/// # Safety
/// `error` is null, or an error that is handed over.
unsafe fn result(error: *mut rd::rd_kafka_error_t) -> Result<(), CallError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: promised by the caller; it is destroyed once.
    unsafe {
        let code = rd::rd_kafka_error_code(error);
        let may_repeat = rd::rd_kafka_error_is_retriable(error) != 0 && rd::rd_kafka_error_is_fatal(error) == 0;
        rd::rd_kafka_error_destroy(error);
        // The kind that carries a code and no more.
        Err(CallError { error: KafkaError::Flush(code.into()), may_repeat })
    }
}

/// A name as librdkafka takes it. Those of jobs and groups come from text without a NUL byte.
fn c_string(name: &str) -> Result<CString, KafkaError> {
    CString::new(name).map_err(|_| KafkaError::Subscription("a name with a NUL byte".to_owned()))
}

impl ProducerHandle {
    /// Fences whoever used the same transactional id before, and waits until what they had under way is decided.
    pub(crate) fn init_transactions(&self, limit: Duration) -> Result<(), KafkaError> {
        match self.wire() {
            Wire::Native(native) => native.init_transactions(limit),
            #[cfg(feature = "sim")]
            Wire::Fake(fake) => fake.init_transactions(limit),
        }
    }

    /// Begins a transaction; asks nobody.
    pub(crate) fn begin_transaction(&self) -> Result<(), KafkaError> {
        match self.wire() {
            Wire::Native(native) => native.begin_transaction(),
            #[cfg(feature = "sim")]
            Wire::Fake(fake) => fake.begin_transaction(),
        }
    }

    /// Adds positions of a group to the transaction.
    pub(crate) fn add_offsets(&self, group: &str, offsets: &[StoredOffset], limit: Duration) -> Result<(), CallError> {
        let native = match self.wire() {
            Wire::Native(native) => native.client(),
            #[cfg(feature = "sim")]
            Wire::Fake(fake) => return fake.add_offsets(group, offsets, limit),
        };
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for StoredOffset { topic, partition, offset, metadata } in offsets {
            let mut element = list.add_partition(topic.as_str(), *partition);
            element.set_offset(Offset::Offset(*offset))?;
            element.set_metadata(metadata);
        }
        let group = c_string(group)?;
        // SAFETY: the group's name is NUL-terminated, list and handle are alive; librdkafka copies what it keeps, so the
        // group's metadata is destroyed here.
        unsafe {
            let metadata = rd::rd_kafka_consumer_group_metadata_new(group.as_ptr());
            let client = native.native_ptr();
            let error = rd::rd_kafka_send_offsets_to_transaction(client, list.ptr(), metadata, millis(limit));
            rd::rd_kafka_consumer_group_metadata_destroy(metadata);
            result(error)
        }
    }

    /// Commits the transaction; everything in it is flushed.
    pub(crate) fn commit_transaction(&self, limit: Duration) -> Result<(), CallError> {
        match self.wire() {
            // SAFETY: the handle is alive.
            Wire::Native(native) => unsafe {
                result(rd::rd_kafka_commit_transaction(native.client().native_ptr(), millis(limit)))
            },
            #[cfg(feature = "sim")]
            Wire::Fake(fake) => fake.end_transaction(true, limit),
        }
    }

    /// Gives the transaction up; what is in it never appears.
    pub(crate) fn abort_transaction(&self, limit: Duration) -> Result<(), CallError> {
        match self.wire() {
            // SAFETY: the handle is alive.
            Wire::Native(native) => unsafe {
                result(rd::rd_kafka_abort_transaction(native.client().native_ptr(), millis(limit)))
            },
            #[cfg(feature = "sim")]
            Wire::Fake(fake) => fake.end_transaction(false, limit),
        }
    }

    /// Every position of a group. A position that is part of a transaction that is not decided yet is an error that may
    /// pass (KIP-447).
    pub(crate) fn stored_offsets(&self, group: &str, limit: Duration) -> Result<Vec<StoredOffset>, KafkaError> {
        let client = match self.wire() {
            Wire::Native(native) => native.client().native_ptr(),
            #[cfg(feature = "sim")]
            Wire::Fake(fake) => return fake.stored_offsets(group, limit),
        };
        let group = c_string(group)?;
        let mut reason: [c_char; 128] = [0; 128];
        let failed = |code: RDKafkaRespErr| KafkaError::OffsetFetch(code.into());
        // SAFETY: the handle is alive for the whole call. Queue, options and request are made, used and destroyed here;
        // librdkafka copies what it keeps of them. `reason` is a live array of the length given.
        unsafe {
            let queue = rd::rd_kafka_queue_new(client);
            let options = rd::rd_kafka_AdminOptions_new(
                client,
                rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS,
            );
            // What can't be set leaves librdkafka's default, which only changes how long the question takes.
            rd::rd_kafka_AdminOptions_set_request_timeout(options, millis(limit), reason.as_mut_ptr(), reason.len());
            let stable = result(rd::rd_kafka_AdminOptions_set_require_stable_offsets(options, 1));
            let mut request = rd::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), std::ptr::null());
            if stable.is_ok() {
                rd::rd_kafka_ListConsumerGroupOffsets(client, &raw mut request, 1, options, queue);
            }
            rd::rd_kafka_ListConsumerGroupOffsets_destroy(request);
            let event = match &stable {
                Ok(()) => NonNull::new(rd::rd_kafka_queue_poll(queue, millis(limit))),
                Err(_) => None,
            };
            let answer = event.map(|event| {
                let answer = read(event);
                rd::rd_kafka_event_destroy(event.as_ptr());
                answer.map_err(failed)
            });
            rd::rd_kafka_AdminOptions_destroy(options);
            rd::rd_kafka_queue_destroy(queue);
            stable.map_err(|failed| failed.error)?;
            answer.unwrap_or(Err(failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT)))
        }
    }
}

/// # Safety
/// `event` is alive and the answer to a question about the offsets of one group.
unsafe fn read(event: NonNull<rd::rd_kafka_event_t>) -> Result<Vec<StoredOffset>, RDKafkaRespErr> {
    let mut count = 0;
    // SAFETY: everything that is read lives as long as the event; arrays have the lengths that are told.
    unsafe {
        let code = rd::rd_kafka_event_error(event.as_ptr());
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(code);
        }
        let answer = rd::rd_kafka_event_ListConsumerGroupOffsets_result(event.as_ptr());
        if answer.is_null() {
            return Err(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN);
        }
        let groups = rd::rd_kafka_ListConsumerGroupOffsets_result_groups(answer, &raw mut count);
        if count == 0 {
            return Err(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN);
        }
        // An error that is null has the code "no error".
        let code = rd::rd_kafka_error_code(rd::rd_kafka_group_result_error(*groups));
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(code);
        }
        let Some(list) = rd::rd_kafka_group_result_partitions(*groups).as_ref() else { return Ok(Vec::new()) };
        let mut offsets = Vec::new();
        for index in 0..usize::try_from(list.cnt).unwrap_or(0) {
            let element = &*list.elems.add(index);
            if element.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(element.err);
            }
            let metadata = match element.metadata.is_null() {
                true => String::new(),
                false => {
                    let bytes = std::slice::from_raw_parts(element.metadata.cast::<u8>(), element.metadata_size);
                    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
                }
            };
            let topic = Topic::new(&CStr::from_ptr(element.topic).to_string_lossy());
            offsets.push(StoredOffset { topic, partition: element.partition, offset: element.offset, metadata });
        }
        Ok(offsets)
    }
}
