//! The proxy before a real broker: whole jobs behind it, and what a broker has done with requests that went wrong.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stream_core::clock::{Clock, SystemClock};
use stream_core::thread::Waker;
use stream_core::{Configuration, JobHandle, StreamingContext};
use stream_kafka::{KafkaSink, KafkaSource, ProducerRecord};
use stream_testkit::{ApiKey, Fault, KafkaCluster, KafkaFixture, KafkaProxy, wait_until};

const LIMIT: Duration = Duration::from_secs(60);
const RECORDS: u64 = 20_000;

/// One broker for all of it, because one takes seconds to start.
#[test]
fn jobs_and_faults_behind_a_proxy() {
    let (cluster, proxy) = KafkaCluster::start_proxied("proxy");
    let kafka = KafkaFixture::on(cluster.bootstrap(), "proxy");
    a_copy_passes_and_shows(&kafka, &proxy);
    cuts_lose_nothing(&kafka, &proxy);
    a_stall_passes(&kafka, &proxy);
    held_writes_are_not_in_the_topic(&kafka, &proxy);
    the_broker_has_done_what_it_got(&proxy);
}

/// A topic with the numbers below [`RECORDS`], written past the proxy, and an empty one.
fn topics(kafka: &KafkaFixture, test: &str) -> (String, String) {
    let (from, to) = (kafka.topic(&format!("{test}-from"), 2), kafka.topic(&format!("{test}-to"), 2));
    kafka.fill(&from, RECORDS, |i, out: &mut ProducerRecord| {
        out.set_value(i.to_string());
        out.set_partition(i32::try_from(i % 2).expect("small"));
    });
    (from, to)
}

/// A copying job whose only address is the proxy's; no more than `gate` records pass.
fn copy(proxy: &KafkaProxy, (from, to): &(String, String), gate: &Arc<AtomicU64>) -> JobHandle {
    let ctx = StreamingContext::new(Configuration::empty());
    let (gate, mut passed) = (gate.clone(), 0);
    let source = KafkaSource::<String>::new(&ctx)
        .property("bootstrap.servers", proxy.bootstrap())
        .property("topic", from)
        .property("group.id", from)
        .property("auto.offset.reset", "earliest")
        .property("auto.commit.interval.ms", "500");
    let records = source.bounded().values().inspect(move |_| {
        passed += 1;
        while passed > gate.load(Ordering::Acquire) {
            Waker::new().park(Duration::from_millis(5));
        }
    });
    KafkaSink::new(&ctx).property("bootstrap.servers", proxy.bootstrap()).property("topic", to).sink(records);
    ctx.start("copy").expect("a good plan")
}

fn open() -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(u64::MAX))
}

#[track_caller]
fn ends_well(job: &JobHandle) {
    wait_until("the job has ended", LIMIT, || job.is_finished());
    job.wait().expect("the job ends well");
}

/// How many of the records are in the topic, once or more often.
fn distinct(kafka: &KafkaFixture, topic: &str) -> u64 {
    kafka.read(topic).into_iter().map(|record| record.value).collect::<BTreeSet<_>>().len() as u64
}

#[track_caller]
fn assert_complete(kafka: &KafkaFixture, (from, to): &(String, String)) {
    assert_eq!(distinct(kafka, to), RECORDS, "nothing is lost");
    assert_eq!(kafka.lag(from, from), [0, 0]);
}

fn a_copy_passes_and_shows(kafka: &KafkaFixture, proxy: &KafkaProxy) {
    let topics = topics(kafka, "copy");
    assert_eq!(proxy.count(ApiKey::Produce), 0, "the fixture's own clients go past the proxy");
    ends_well(&copy(proxy, &topics, &open()));
    assert_complete(kafka, &topics);
    assert_eq!(kafka.counts(&topics.1).iter().sum::<i64>(), i64::try_from(RECORDS).expect("small"));
    for key in [ApiKey::Metadata, ApiKey::FindCoordinator, ApiKey::Fetch, ApiKey::Produce, ApiKey::OffsetCommit] {
        assert!(proxy.answers(key) > 0, "{key:?}");
    }
}

fn cuts_lose_nothing(kafka: &KafkaFixture, proxy: &KafkaProxy) {
    let topics = topics(kafka, "cut");
    let gate = Arc::new(AtomicU64::new(0));
    let job = copy(proxy, &topics, &gate);
    for part in 1..=4 {
        let before = proxy.count(ApiKey::Produce);
        gate.store(RECORDS / 5 * part, Ordering::Release);
        // The next one after this is cut off at once, with the connections of all others.
        proxy.wait_for(ApiKey::Produce, before + 1, LIMIT);
        proxy.cut_all();
    }
    // Nobody gets in for a while.
    proxy.refuse(true);
    proxy.cut_all();
    gate.store(u64::MAX, Ordering::Release);
    Waker::new().park(Duration::from_secs(1));
    assert!(distinct(kafka, &topics.1) < RECORDS);
    assert!(!job.is_finished(), "{:?}", job.wait());
    proxy.refuse(false);
    ends_well(&job);
    assert_complete(kafka, &topics);
}

fn a_stall_passes(kafka: &KafkaFixture, proxy: &KafkaProxy) {
    let topics = topics(kafka, "stall");
    let hold = proxy.hold(ApiKey::Produce.next(1));
    let job = copy(proxy, &topics, &open());
    hold.wait_until_held(LIMIT);
    let clock = SystemClock::new();
    proxy.stall(Duration::from_secs(2));
    hold.release();
    ends_well(&job);
    assert!(clock.monotonic() >= Duration::from_secs(2));
    assert_complete(kafka, &topics);
}

fn held_writes_are_not_in_the_topic(kafka: &KafkaFixture, proxy: &KafkaProxy) {
    let topics = topics(kafka, "hold");
    let hold = proxy.hold(ApiKey::Produce);
    let job = copy(proxy, &topics, &open());
    hold.wait_until_held(LIMIT);
    assert_eq!(kafka.counts(&topics.1), [0, 0]);
    assert!(!job.is_finished());
    hold.release();
    ends_well(&job);
    assert_complete(kafka, &topics);
}

/// Every InitProducerId of a transactional id that a broker does raises its epoch by one, so the epoch tells how many
/// it has done.
fn the_broker_has_done_what_it_got(proxy: &KafkaProxy) {
    let init = ApiKey::InitProducerId;
    let mut client = Client::of(proxy);
    client.find_coordinator();
    assert_eq!(client.epoch(), 0);

    proxy.on(init.next(1), Fault::DropRequest);
    client.init();
    assert_eq!(client.epoch(), 1, "the one before was lost");

    proxy.on(init.next(1), Fault::DropResponse);
    client.init();
    assert_eq!(client.epoch(), 3, "the one before was done");

    proxy.on(init.next(1), Fault::DelayRequest(Duration::from_millis(200)));
    assert_eq!(client.epoch(), 4);

    proxy.on(init.next(1), Fault::DuplicateLater(Duration::from_millis(200)));
    assert_eq!(client.epoch(), 5);
    wait_until("the broker has answered the copy", LIMIT, || proxy.copies() == 1);
    assert_eq!(client.epoch(), 7, "the copy was done too");

    proxy.on(init.next(1), Fault::CloseAfterRequest);
    client.init();
    assert_eq!(client.answer(), None);
    let mut client = Client::of(proxy);
    assert_eq!(client.epoch(), 9, "the one before was done");

    // A packet that comes after its client has tried again.
    let hold = proxy.hold(init.of_client("test").next(1));
    client.init();
    hold.wait_until_held(LIMIT);
    hold.cut_clients();
    assert_eq!(client.answer(), None);
    let mut client = Client::of(proxy);
    assert_eq!(client.epoch(), 10);
    let answers = proxy.answers(init);
    hold.release();
    wait_until("the broker has done the late one", LIMIT, || proxy.answers(init) > answers);
    assert_eq!(client.epoch(), 12);
}

/// Speaks just enough of Kafka to ask for a producer id, as client `test` for the transactional id `totals`.
struct Client {
    stream: TcpStream,
    asked: i32,
}

impl Client {
    fn of(proxy: &KafkaProxy) -> Client {
        let stream = TcpStream::connect(proxy.bootstrap()).expect("the proxy is there");
        stream.set_read_timeout(Some(LIMIT)).expect("a good limit");
        Client { stream, asked: 0 }
    }

    /// Sends a request of this kind and version.
    fn ask(&mut self, key: ApiKey, version: i16, content: &[u8]) {
        self.asked += 1;
        let head = [&(key as i16).to_be_bytes()[..], &version.to_be_bytes(), &self.asked.to_be_bytes(), b"\0\x04test"];
        let request = [&head.concat(), content].concat();
        let length = u32::try_from(request.len()).expect("small").to_be_bytes();
        self.stream.write_all(&[&length[..], &request].concat()).expect("the connection stands");
    }

    /// What follows the correlation id and the throttle time in the answer to the last request; `None` if the
    /// connection has ended.
    fn answer(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).ok()?;
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut answer).ok()?;
        assert_eq!(answer[..4], self.asked.to_be_bytes(), "the answer is to another request");
        Some(answer.split_off(8))
    }

    /// Asks until the broker has a coordinator of transactions.
    fn find_coordinator(&mut self) {
        wait_until("there is a coordinator", LIMIT, || {
            self.ask(ApiKey::FindCoordinator, 1, b"\0\x06totals\x01");
            self.answer().is_some_and(|answer| answer[..2] == [0, 0])
        });
    }

    fn init(&mut self) {
        self.ask(ApiKey::InitProducerId, 0, b"\0\x06totals\0\0\xea\x60");
    }

    /// Asks for a producer id and returns its epoch; asks again while the coordinator still loads.
    fn epoch(&mut self) -> i16 {
        let mut epoch = None;
        wait_until("there is a producer id", LIMIT, || {
            self.init();
            let answer = self.answer().expect("the connection stands");
            // Error, producer id, epoch.
            epoch = (answer[..2] == [0, 0]).then(|| i16::from_be_bytes([answer[10], answer[11]]));
            epoch.is_some()
        });
        epoch.expect("waited for")
    }
}
