//! A proxy between Kafka's clients and one broker, which loses, delays, repeats and holds what a test names.
//!
//! It knows requests by kind and answers by correlation id, so that a test can say "the broker has committed, and the
//! client never hears of it". What it loses is whole requests and answers, never a part of one. The broker has to send
//! its clients to the proxy, or they would go round it after their first question: [`KafkaCluster::start_proxied`]
//! starts one that does.
//!
//! [`KafkaCluster::start_proxied`]: crate::KafkaCluster::start_proxied

mod connection;
mod frame;
mod requests;
mod shared;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use stream_core::thread::spawn;

use self::connection::Connection;
pub use self::requests::{ApiKey, Fault, Requests};
use self::shared::{Action, Shared};
use crate::wait_until;

/// A proxy before one broker; gone when it is dropped.
pub struct KafkaProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl KafkaProxy {
    /// Passes on what comes to `listener`.
    ///
    /// # Errors
    /// If the listener has no address, or there is no thread to be had.
    pub fn start(listener: TcpListener, broker: SocketAddr) -> io::Result<KafkaProxy> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(broker));
        let to = shared.clone();
        let accept = move || {
            for client in listener.incoming().take_while(|_| !to.closed()).flatten() {
                // A client that can't be served, because the broker is down, sees its connection end.
                let _ = Connection::serve(&to, client);
            }
        };
        let accepting = Some(spawn("kafka-proxy", accept).map_err(io::Error::other)?);
        Ok(KafkaProxy { address, shared, accepting })
    }

    /// Where clients connect.
    pub fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// Lets these requests fail from now on. The oldest rule that wants a request decides.
    pub fn on(&self, requests: impl Into<Requests>, fault: Fault) {
        self.shared.add(requests.into(), |_| Action::Fail(fault));
    }

    /// Forgets every [`KafkaProxy::on`]; what is held stays held.
    pub fn clear(&self) {
        self.shared.clear();
    }

    /// Holds these requests from now on, until the handle releases them or is dropped.
    #[must_use = "dropping it releases the requests"]
    pub fn hold(&self, requests: impl Into<Requests>) -> Hold {
        let requests = requests.into();
        let rule = self.shared.add(requests.clone(), Action::Hold);
        Hold { shared: self.shared.clone(), rule, requests }
    }

    /// Nothing passes for that long, over no connection and in no direction.
    pub fn stall(&self, time: Duration) {
        self.shared.stall(time);
    }

    /// Cuts every connection; what is under way on them is lost, what is held too. Clients may connect again. A request
    /// that has reached the proxy before may still be counted after this.
    pub fn cut_all(&self) {
        self.shared.cut_all();
    }

    /// Ends every new connection at once, until told otherwise. Those that are there stay.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refuse(refuse);
    }

    /// How many of these requests have come so far, whatever became of them. Copies do not count.
    pub fn count(&self, requests: impl Into<Requests>) -> u64 {
        self.shared.traffic(&requests.into()).0
    }

    /// How many of these requests the broker has answered so far, whatever became of the answer.
    pub fn answers(&self, requests: impl Into<Requests>) -> u64 {
        self.shared.traffic(&requests.into()).1
    }

    /// How many copies of [`Fault::DuplicateLater`] the broker has answered so far.
    pub fn copies(&self) -> u64 {
        self.shared.copies()
    }

    /// Waits until `count` of these requests have come, since the proxy was started.
    ///
    /// # Panics
    /// If they have not within `limit`.
    #[track_caller]
    pub fn wait_for(&self, requests: impl Into<Requests>, count: u64, limit: Duration) {
        let requests = requests.into();
        wait_until(&format!("{count} of {requests:?}"), limit, || self.shared.traffic(&requests).0 >= count);
    }
}

impl Drop for KafkaProxy {
    fn drop(&mut self) {
        self.shared.close();
        // The thread that accepts sees it when somebody comes.
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(accepting) = self.accepting.take().filter(|_| woken) {
            // A panic there has been printed; failing here would hide why the test failed.
            let _ = accepting.join();
        }
    }
}

/// Requests that wait in the proxy, see [`KafkaProxy::hold`].
pub struct Hold {
    shared: Arc<Shared>,
    rule: u64,
    requests: Requests,
}

impl Hold {
    /// How many requests wait now.
    pub fn held(&self) -> usize {
        self.shared.held(self.rule).len()
    }

    /// Waits until at least one request waits.
    ///
    /// # Panics
    /// If none does within `limit`.
    #[track_caller]
    pub fn wait_until_held(&self, limit: Duration) {
        wait_until(&format!("one of {:?} is held", self.requests), limit, || self.held() > 0);
    }

    /// Cuts the connections of those who wait for an answer to a held request. The request stays, and reaches the
    /// broker when it is released: as a packet that was late, after its client has tried again elsewhere.
    pub fn cut_clients(&self) {
        self.shared.held(self.rule).iter().for_each(|connection| connection.cut_client());
    }

    /// Lets the requests go, and holds no more.
    pub fn release(self) {}
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.remove(self.rule);
    }
}
