//! Reading a property back from a client that is running.
//!
//! What the client was told and what it uses can differ: librdkafka adjusts properties when it starts. The Rust client
//! shows the former only, so this asks the C library.
#![allow(unsafe_code)]

use std::ffi::CString;

use rdkafka::bindings::{rd_kafka_conf, rd_kafka_conf_get};
use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaConfRes;

/// The value that a running client uses for a property; nothing where it does not know the property.
pub(crate) fn live_property<C: ClientContext>(client: &Client<C>, name: &str) -> Option<String> {
    let name = CString::new(name).ok()?;
    let mut size = 0_usize;
    // SAFETY: `client` keeps the handle alive for the whole call, and the configuration lives as long as the handle
    // and is not changed after its creation. A null destination asks for the size alone.
    let found = unsafe {
        let conf = rd_kafka_conf(client.native_ptr());
        rd_kafka_conf_get(conf, name.as_ptr(), std::ptr::null_mut(), &mut size)
    };
    if found != RDKafkaConfRes::RD_KAFKA_CONF_OK {
        return None;
    }
    let mut buffer = vec![0_u8; size];
    // SAFETY: as above; `buffer` has the `size` bytes that the call is told of.
    let found = unsafe {
        let conf = rd_kafka_conf(client.native_ptr());
        rd_kafka_conf_get(conf, name.as_ptr(), buffer.as_mut_ptr().cast(), &mut size)
    };
    if found != RDKafkaConfRes::RD_KAFKA_CONF_OK {
        return None;
    }
    let end = buffer.iter().position(|byte| *byte == 0).unwrap_or(buffer.len());
    Some(String::from_utf8_lossy(buffer.get(..end)?).into_owned())
}
