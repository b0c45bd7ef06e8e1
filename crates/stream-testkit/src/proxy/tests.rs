//! Each fault before a broker that answers everything and remembers what it was asked, over plain sockets.

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stream_core::clock::{Clock, SystemClock};
use stream_core::thread::spawn;

use super::frame::{Head, correlation, framed, read_frame, request};
use super::*;

const LIMIT: Duration = Duration::from_secs(20);
/// Long enough to be told from "at once", short enough to wait for.
const LATER: Duration = Duration::from_millis(300);
const END: i16 = ApiKey::EndTxn as i16;

/// The ids of the requests that the broker has got, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<i32>>>);

impl Log {
    fn ids(&self) -> Vec<i32> {
        self.0.lock().unwrap().clone()
    }

    fn wait_for(&self, ids: &[i32]) {
        wait_until(&format!("the broker gets {ids:?}"), LIMIT, || self.ids() == ids);
    }
}

/// A proxy before a broker. The broker ends with its connections; its thread waits for more until the tests end.
fn proxy() -> (KafkaProxy, Log) {
    let (broker, log) = (listener(), Log::default());
    let proxy = KafkaProxy::start(listener(), broker.local_addr().unwrap()).unwrap();
    let to = log.clone();
    spawn("broker", move || {
        for client in broker.incoming() {
            let (client, log) = (client.unwrap(), to.clone());
            spawn("answers", move || answer_all(&client, &log)).unwrap();
        }
    })
    .unwrap();
    (proxy, log)
}

fn answer_all(client: &TcpStream, log: &Log) {
    while let Ok(Some(frame)) = read_frame(&mut &*client) {
        let id = Head::of(&frame).unwrap().correlation;
        log.0.lock().unwrap().push(id);
        let _ = (&mut &*client).write_all(&framed(&id.to_be_bytes()));
    }
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// A client that asks on one connection.
struct Client(TcpStream);

impl Client {
    fn of(proxy: &KafkaProxy) -> Client {
        let stream = TcpStream::connect(proxy.bootstrap()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Client(stream)
    }

    fn send(&mut self, key: i16, id: i32) {
        self.0.write_all(&request(key, id, "job-a")).unwrap();
    }

    /// The id of the next answer; `None` if the connection has ended.
    fn answer(&mut self) -> Option<i32> {
        match read_frame(&mut self.0) {
            Ok(frame) => frame.map(|frame| correlation(&frame).unwrap()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn without_a_rule_everything_passes_and_is_counted() {
    let (proxy, log) = proxy();
    let mut client = Client::of(&proxy);
    for id in 1..=3 {
        client.send(END, id);
        assert_eq!(client.answer(), Some(id));
    }
    client.send(ApiKey::Fetch as i16, 4);
    assert_eq!(client.answer(), Some(4));
    log.wait_for(&[1, 2, 3, 4]);
    proxy.wait_for(ApiKey::EndTxn, 3, LIMIT);
    assert_eq!((proxy.count(ApiKey::EndTxn), proxy.answers(ApiKey::EndTxn)), (3, 3));
    assert_eq!(proxy.count(ApiKey::EndTxn.of_client("job-")), 3);
    assert_eq!(proxy.count(ApiKey::EndTxn.of_client("job-b")), 0);
    assert_eq!(proxy.count(ApiKey::Produce), 0);
}

#[test]
fn a_dropped_request_never_arrives_and_the_next_one_does() {
    let (proxy, log) = proxy();
    proxy.on(ApiKey::EndTxn.of_client("job-b"), Fault::CloseAfterRequest);
    proxy.on(ApiKey::EndTxn.next(1), Fault::DropRequest);
    let mut client = Client::of(&proxy);
    client.send(END, 1);
    client.send(END, 2);
    assert_eq!(client.answer(), Some(2));
    assert_eq!(log.ids(), [2]);
    assert_eq!((proxy.count(ApiKey::EndTxn), proxy.answers(ApiKey::EndTxn)), (2, 1));
}

#[test]
fn a_dropped_response_is_to_a_request_that_was_done() {
    let (proxy, log) = proxy();
    proxy.on(ApiKey::EndTxn, Fault::DropResponse);
    let mut client = Client::of(&proxy);
    client.send(END, 1);
    client.send(ApiKey::Fetch as i16, 2);
    assert_eq!(client.answer(), Some(2));
    proxy.clear();
    client.send(END, 3);
    assert_eq!(client.answer(), Some(3));
    assert_eq!(log.ids(), [1, 2, 3]);
    assert_eq!(proxy.answers(ApiKey::EndTxn), 2);
}

#[test]
fn a_connection_closes_after_the_request_was_done() {
    let (proxy, log) = proxy();
    proxy.on(ApiKey::EndTxn.next(1), Fault::CloseAfterRequest);
    let mut client = Client::of(&proxy);
    client.send(END, 1);
    assert_eq!(client.answer(), None);
    assert_eq!((log.ids(), proxy.answers(ApiKey::EndTxn)), (vec![1], 1));
    let mut again = Client::of(&proxy);
    again.send(END, 2);
    assert_eq!(again.answer(), Some(2));
}

#[test]
fn delays_and_stalls_take_their_time() {
    let (proxy, log) = proxy();
    proxy.on(ApiKey::EndTxn.next(1), Fault::DelayRequest(LATER));
    proxy.on(ApiKey::EndTxn.next(1), Fault::Stall(LATER));
    let clock = SystemClock::new();
    let (mut client, mut other) = (Client::of(&proxy), Client::of(&proxy));
    for round in 1..=3 {
        if round == 3 {
            proxy.stall(LATER);
        }
        client.send(END, round);
        assert_eq!(client.answer(), Some(round));
        let elapsed = clock.monotonic();
        assert!(elapsed >= LATER * u32::try_from(round).unwrap(), "round {round} after {elapsed:?}");
    }
    assert_eq!(log.ids(), [1, 2, 3]);
    // A stall is for everybody.
    let before = clock.monotonic();
    proxy.stall(LATER);
    other.send(ApiKey::Fetch as i16, 4);
    assert_eq!(other.answer(), Some(4));
    assert!(clock.monotonic() - before >= LATER);
}

#[test]
fn a_duplicate_comes_later_and_its_answer_goes_nowhere() {
    let (proxy, log) = proxy();
    proxy.on(ApiKey::EndTxn.next(1), Fault::DuplicateLater(LATER));
    let clock = SystemClock::new();
    let mut client = Client::of(&proxy);
    client.send(END, 1);
    assert_eq!(client.answer(), Some(1));
    wait_until("the copy is answered", LIMIT, || proxy.copies() == 1);
    assert!(clock.monotonic() >= LATER);
    client.send(END, 2);
    assert_eq!(client.answer(), Some(2));
    assert_eq!(log.ids(), [1, 1, 2]);
    assert_eq!((proxy.count(ApiKey::EndTxn), proxy.answers(ApiKey::EndTxn)), (2, 2));
}

#[test]
fn held_requests_wait_for_their_release_and_others_pass() {
    let (proxy, log) = proxy();
    let hold = proxy.hold(ApiKey::EndTxn.next(1));
    let (mut client, mut other) = (Client::of(&proxy), Client::of(&proxy));
    client.send(END, 1);
    client.send(END, 2);
    hold.wait_until_held(LIMIT);
    other.send(END, 3);
    assert_eq!(other.answer(), Some(3));
    // Faults may go meanwhile, and the hold stays.
    proxy.clear();
    assert_eq!((hold.held(), log.ids()), (1, vec![3]));
    hold.release();
    assert_eq!((client.answer(), client.answer()), (Some(1), Some(2)));
    assert_eq!(log.ids(), [3, 1, 2]);
}

#[test]
fn a_held_request_outlives_the_connection_of_its_client() {
    let (proxy, log) = proxy();
    let hold = proxy.hold(ApiKey::EndTxn.next(1));
    let mut client = Client::of(&proxy);
    client.send(END, 1);
    hold.wait_until_held(LIMIT);
    hold.cut_clients();
    assert_eq!(client.answer(), None);
    let mut again = Client::of(&proxy);
    again.send(END, 2);
    assert_eq!(again.answer(), Some(2));
    hold.release();
    log.wait_for(&[2, 1]);
    wait_until("the broker has answered to nobody", LIMIT, || proxy.answers(ApiKey::EndTxn) == 2);
}

#[test]
fn what_is_cut_is_lost_held_or_not_and_clients_may_come_back() {
    let (proxy, log) = proxy();
    let hold = proxy.hold(ApiKey::EndTxn.next(1));
    let (mut client, mut other) = (Client::of(&proxy), Client::of(&proxy));
    client.send(END, 1);
    hold.wait_until_held(LIMIT);
    other.send(END, 2);
    assert_eq!(other.answer(), Some(2));
    proxy.cut_all();
    hold.release();
    assert_eq!((client.answer(), other.answer()), (None, None));
    proxy.refuse(true);
    assert_eq!(Client::of(&proxy).answer(), None);
    proxy.refuse(false);
    let mut again = Client::of(&proxy);
    again.send(END, 3);
    assert_eq!(again.answer(), Some(3));
    assert_eq!(log.ids(), [2, 3]);
}

#[test]
fn a_proxy_that_is_dropped_leaves_nobody_waiting() {
    let (proxy, log) = proxy();
    let hold = proxy.hold(ApiKey::EndTxn);
    let mut client = Client::of(&proxy);
    client.send(END, 1);
    hold.wait_until_held(LIMIT);
    drop(proxy);
    assert_eq!(client.answer(), None);
    wait_until("nobody is held", LIMIT, || hold.held() == 0);
    assert_eq!(log.ids(), [0; 0]);
}
