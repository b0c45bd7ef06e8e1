//! What the threads of a proxy share: its rules, what has passed, who is connected, who waits.
//!
//! Everything is behind one lock, and whoever changes what others wait for notifies all of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stream_core::clock::{Clock, SystemClock};

use super::connection::Connection;
use super::frame::Head;
use super::requests::{Fault, Requests};

/// As long as nobody says something else.
const LONG: Duration = Duration::from_secs(3600);

/// What a rule does to a request.
#[derive(Clone, Copy)]
pub(super) enum Action {
    Pass,
    Fail(Fault),
    /// Until the rule of this number is gone.
    Hold(u64),
}

struct Rule {
    number: u64,
    requests: Requests,
    action: Action,
}

/// Requests of one kind and client, and what the broker has answered to them.
#[derive(Default)]
struct Traffic {
    requests: u64,
    answers: u64,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    last_rule: u64,
    traffic: BTreeMap<(i16, String), Traffic>,
    copies: u64,
    connections: Vec<Arc<Connection>>,
    /// The connections whose request is held, by the number of the rule.
    held: Vec<(u64, Arc<Connection>)>,
    refusing: bool,
    closed: bool,
    /// On the proxy's own clock.
    stalled_until: Duration,
}

impl State {
    fn cut_all(&self) {
        self.connections.iter().for_each(|connection| connection.cut());
    }
}

pub(super) struct Shared {
    pub(super) broker: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
    clock: SystemClock,
}

impl Shared {
    pub(super) fn new(broker: SocketAddr) -> Shared {
        Shared { broker, state: Mutex::default(), changed: Condvar::new(), clock: SystemClock::new() }
    }

    /// Adds a rule; `action` gets its number.
    pub(super) fn add(&self, requests: Requests, action: impl FnOnce(u64) -> Action) -> u64 {
        let mut state = self.lock();
        state.last_rule += 1;
        let number = state.last_rule;
        state.rules.push(Rule { number, requests, action: action(number) });
        number
    }

    /// Removes a rule and lets go what it holds.
    pub(super) fn remove(&self, number: u64) {
        self.lock().rules.retain(|rule| rule.number != number);
        self.changed.notify_all();
    }

    /// Removes all rules but those that hold.
    pub(super) fn clear(&self) {
        self.lock().rules.retain(|rule| matches!(rule.action, Action::Hold(_)));
    }

    /// Counts a request and says what becomes of it: by the oldest rule that wants it.
    pub(super) fn arrived(&self, head: &Head<'_>) -> Action {
        let mut state = self.lock();
        state.traffic.entry((head.key, head.client.to_owned())).or_default().requests += 1;
        let wants = |rule: &&mut Rule| rule.requests.limit != Some(0) && rule.requests.include(head.key, head.client);
        let Some(rule) = state.rules.iter_mut().find(wants) else { return Action::Pass };
        rule.requests.limit = rule.requests.limit.map(|left| left - 1);
        rule.action
    }

    pub(super) fn answered(&self, key: i16, client: &str) {
        self.lock().traffic.entry((key, client.to_owned())).or_default().answers += 1;
    }

    pub(super) fn copy_answered(&self) {
        self.lock().copies += 1;
    }

    /// How many requests came, how many were answered.
    pub(super) fn traffic(&self, of: &Requests) -> (u64, u64) {
        let state = self.lock();
        let included = state.traffic.iter().filter(|((key, client), _)| of.include(*key, client));
        included.fold((0, 0), |sum, (_, traffic)| (sum.0 + traffic.requests, sum.1 + traffic.answers))
    }

    pub(super) fn copies(&self) -> u64 {
        self.lock().copies
    }

    /// Takes a new connection in, unless none is wanted.
    pub(super) fn admit(&self, connection: &Arc<Connection>) -> bool {
        let mut state = self.lock();
        let wanted = !state.refusing && !state.closed;
        if wanted {
            state.connections.push(connection.clone());
        }
        wanted
    }

    pub(super) fn forget(&self, connection: &Arc<Connection>) {
        self.lock().connections.retain(|other| !Arc::ptr_eq(other, connection));
    }

    pub(super) fn refuse(&self, refusing: bool) {
        self.lock().refusing = refusing;
    }

    pub(super) fn cut_all(&self) {
        self.lock().cut_all();
    }

    /// Ends everything that waits, and takes nobody in any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        // Before anybody who waits can go on, or what is held would reach the broker now.
        state.cut_all();
        drop(state);
        self.changed.notify_all();
    }

    pub(super) fn closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits until the rule that holds the connection's request is gone.
    pub(super) fn hold(&self, rule: u64, connection: &Arc<Connection>) {
        self.lock().held.push((rule, connection.clone()));
        let mut state = self.wait(|state| state.rules.iter().any(|other| other.number == rule).then_some(LONG));
        // A connection waits for one request at a time.
        state.held.retain(|(_, held)| !Arc::ptr_eq(held, connection));
    }

    /// The connections whose request is held by this rule.
    pub(super) fn held(&self, rule: u64) -> Vec<Arc<Connection>> {
        self.lock().held.iter().filter(|(by, _)| *by == rule).map(|(_, connection)| connection.clone()).collect()
    }

    pub(super) fn pause(&self, time: Duration) {
        let end = self.clock.monotonic() + time;
        drop(self.wait(|_| end.checked_sub(self.clock.monotonic())));
    }

    pub(super) fn stall(&self, time: Duration) {
        let mut state = self.lock();
        state.stalled_until = state.stalled_until.max(self.clock.monotonic() + time);
    }

    pub(super) fn wait_for_stall(&self) {
        drop(self.wait(|state| state.stalled_until.checked_sub(self.clock.monotonic())));
    }

    /// Sleeps as long as `left` says there is time left, or until the proxy is closed.
    fn wait(&self, left: impl Fn(&State) -> Option<Duration>) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        while !state.closed
            && let Some(left) = left(&state)
        {
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
