//! What a client handle tells about its connection: its log lines go to `tracing`, the last reason why a
//! broker could not be reached is kept for people who wait.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use stream_core::Error;

use super::ErrorCode;
use super::rights::{Account, Right};

/// The callbacks of one client handle.
#[derive(Default)]
pub(crate) struct Connection {
    account: Account,
    /// Whether a broker has not let the user in.
    refused: AtomicBool,
    trouble: Mutex<Option<String>>,
    /// Whether there was trouble since somebody asked.
    disturbed: AtomicBool,
    delivery: Mutex<Option<Error>>,
}

impl Connection {
    /// For a handle with these properties.
    pub(crate) fn new(settings: &BTreeMap<String, String>) -> Connection {
        Connection { account: Account::of(settings), ..Connection::default() }
    }

    /// Who the handle is to the brokers.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// Whether a broker has not let the user in, so that trying again is of no use.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Acquire)
    }

    /// The last reason why a broker could not be reached, since the last call.
    pub(crate) fn take_trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The first record that could not be delivered, if there is one.
    pub(crate) fn take_delivery_failure(&self) -> Option<Error> {
        self.delivery.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether a broker could not be reached, or a connection was lost, since the last call.
    pub(crate) fn take_disturbance(&self) -> bool {
        self.disturbed.swap(false, Ordering::AcqRel)
    }

    /// A record was not delivered.
    pub(super) fn note_lost(&self, topic: &str, partition: i32, error: &KafkaError) {
        let what = format!("a record for `{topic}` partition {partition} was not delivered");
        let mut first = self.delivery.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| self.account.explain(&what, error, Right::Write, topic));
    }

    fn note(&self, trouble: String) {
        self.disturbed.store(true, Ordering::Release);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
    }
}

/// `[thrd:127.0.0.1:9092/bootstrap]: 127.0.0.1:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed:
/// Connection refused (after 0ms in state CONNECT)` becomes `127.0.0.1:9092: Connect to … refused`.
fn shorten(line: &str) -> String {
    let line = line.split_once("]: ").map_or(line, |(_, rest)| rest);
    let line = line.split(" (after ").next().unwrap_or(line);
    line.replace("/bootstrap", "")
}

fn is_serious(level: RDKafkaLogLevel) -> bool {
    use RDKafkaLogLevel::{Alert, Critical, Emerg, Error};
    matches!(level, Emerg | Alert | Critical | Error)
}

impl ClientContext for Connection {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        match level {
            // A broker that can't be reached is repeated many times a minute; whoever waits for it says so.
            _ if fac == "FAIL" || fac == "ERROR" => {
                tracing::debug!(target: "stream_kafka::client", fac, "{message}");
                // An idle connection that a broker has closed is no trouble, and is logged at a lower level.
                if fac == "FAIL" && is_serious(level) {
                    self.note(shorten(message));
                }
            }
            level if is_serious(level) => {
                tracing::error!(target: "stream_kafka::client", fac, "{message}");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(target: "stream_kafka::client", fac, "{message}"),
            _ => tracing::debug!(target: "stream_kafka::client", fac, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "stream_kafka::client", "{error}: {reason}");
        if matches!(error.rdkafka_error_code(), Some(ErrorCode::Authentication | ErrorCode::SaslAuthenticationFailed)) {
            self.note(shorten(reason));
            self.refused.store(true, Ordering::Release);
            return;
        }
        if !reason.is_empty() && !reason.contains("brokers are down") {
            self.note(shorten(reason));
        }
    }
}

impl ConsumerContext for Connection {}

impl ProducerContext for Connection {
    type DeliveryOpaque = ();

    /// With `delivery.report.only.error` this is called for failures only.
    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        if let Err((error, message)) = result {
            // What waits is thrown away because another record has failed: that one is the reason, and its report may
            // come a little later.
            let is_thrown_away =
                matches!(error.rdkafka_error_code(), Some(ErrorCode::PurgeQueue | ErrorCode::PurgeInflight));
            if !is_thrown_away {
                self.note_lost(message.topic(), message.partition(), error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_is_said_in_few_words() {
        let line = "[thrd:127.0.0.1:9/bootstrap]: 127.0.0.1:9/bootstrap: Connect to ipv4#127.0.0.1:9 failed: \
                    Connection refused (after 0ms in state CONNECT, 3 identical error(s) suppressed)";
        assert_eq!(shorten(line), "127.0.0.1:9: Connect to ipv4#127.0.0.1:9 failed: Connection refused");
    }
}
