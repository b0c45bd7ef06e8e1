//! What a test says to the proxy: which requests, and what becomes of them.

use std::time::Duration;

/// The kind of a request, by Kafka's names and numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
#[expect(missing_docs, reason = "Kafka's own names")]
pub enum ApiKey {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    OffsetCommit = 8,
    OffsetFetch = 9,
    FindCoordinator = 10,
    ApiVersions = 18,
    InitProducerId = 22,
    AddPartitionsToTxn = 24,
    AddOffsetsToTxn = 25,
    EndTxn = 26,
    TxnOffsetCommit = 28,
}

impl ApiKey {
    /// The requests of this kind whose client id begins with `prefix`.
    pub fn of_client(self, prefix: &str) -> Requests {
        Requests { client: prefix.to_owned(), ..self.into() }
    }

    /// The next `count` requests of this kind.
    pub fn next(self, count: u32) -> Requests {
        Requests::from(self).next(count)
    }
}

/// Which requests a fault or a question is about: `ApiKey::EndTxn`, `ApiKey::EndTxn.next(1)`,
/// `ApiKey::EndTxn.of_client("totals").next(2)`.
#[derive(Clone, Debug)]
pub struct Requests {
    key: ApiKey,
    client: String,
    pub(super) limit: Option<u32>,
}

impl Requests {
    /// Only the next `count` of them. Questions such as `count` do not look at this.
    pub fn next(self, count: u32) -> Requests {
        Requests { limit: Some(count), ..self }
    }

    pub(super) fn include(&self, key: i16, client: &str) -> bool {
        self.key as i16 == key && client.starts_with(&self.client)
    }
}

impl From<ApiKey> for Requests {
    fn from(key: ApiKey) -> Requests {
        Requests { key, client: String::new(), limit: None }
    }
}

/// What happens to a request in place of being passed on and answered.
///
/// Requests of one connection keep their order: while one is delayed or held, those behind it wait too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is lost; the connection stays, and the client waits for its own timeout.
    DropRequest,
    /// The broker does it, its answer is lost; the connection stays.
    DropResponse,
    /// It reaches the broker that much later.
    DelayRequest(Duration),
    /// It is passed on. The same bytes reach the broker again that much later, over a connection of their own, as from
    /// a network that has kept a copy. The answer to the copy goes nowhere.
    DuplicateLater(Duration),
    /// The broker does it; the connection is cut when the answer comes, which is lost.
    CloseAfterRequest,
    /// When it comes, nothing passes for that long, over no connection and in no direction; then it is passed on.
    Stall(Duration),
}
