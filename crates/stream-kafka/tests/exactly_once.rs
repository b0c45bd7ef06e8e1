//! Exactly-once on a real broker: what a reader of committed records sees, however the job ends and begins again.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{LIMIT, context, ended, sorted_numbers};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use stream_core::checkpoint::MemoryStore;
use stream_core::{Error, ErrorKind, JobHandle, StreamingContext};
use stream_kafka::admin::Admin;
use stream_kafka::{KafkaSink, KafkaSource, OffsetsInitializer, ProducerRecord, RawRecord};
use stream_testkit::{KafkaCluster, KafkaFixture, wait_until};

/// A job that copies `from` to `to`, exactly once, with a checkpoint every 100 ms.
struct Copy<'a> {
    kafka: &'a KafkaFixture,
    store: MemoryStore,
    application: String,
    from: String,
    to: String,
    semantic: &'static str,
    /// `commit.marker-topic`.
    marker_topic: Option<String>,
}

impl<'a> Copy<'a> {
    fn new(kafka: &'a KafkaFixture, partitions: i32) -> Copy<'a> {
        let (from, to) = (kafka.topic("from", partitions), kafka.topic("to", partitions));
        Copy {
            kafka,
            store: MemoryStore::new(),
            application: to.clone(),
            from,
            to,
            semantic: "EXACTLY_ONCE",
            marker_topic: None,
        }
    }

    fn context(&self) -> StreamingContext {
        let (servers, group) = (self.kafka.bootstrap(), self.kafka.group());
        let Copy { from, to, semantic, application, .. } = self;
        let marker_topic = self.marker_topic.as_ref().map(|topic| format!("  commit.marker-topic: {topic}\n"));
        let marker_topic = marker_topic.unwrap_or_default();
        context(&format!(
            "application.id: {application}\nexecution.checkpointing.interval: 100 ms\n\
             kafka.source:\n  bootstrap.servers: {servers}\n  topic: {from}\n  group.id: {group}\n  auto.offset.reset: earliest\n\
             kafka.sink:\n  bootstrap.servers: {servers}\n  topic: {to}\n  semantic: {semantic}\n{marker_topic}"
        ))
        .checkpoint_store(self.store.clone())
    }

    fn start(&self) -> (JobHandle, Arc<AtomicU64>) {
        let ctx = self.context();
        let seen = Arc::new(AtomicU64::new(0));
        let seen_by_job = seen.clone();
        let copied = KafkaSource::<String>::new(&ctx).values().uid("source").map(move |line| {
            seen_by_job.fetch_add(1, Ordering::Relaxed);
            line
        });
        KafkaSink::new(&ctx).sink(copied).uid("sink");
        (ctx.start("copy").expect("a good plan"), seen)
    }

    fn committed(&self) -> Vec<u64> {
        sorted_numbers(self.kafka.read_committed(&self.to).into_iter().map(|record| record.value))
    }
}

#[test]
fn what_is_committed_is_there_once_whenever_the_job_is_aborted() {
    let kafka = KafkaFixture::new("eos-abort");
    let job = Copy::new(&kafka, 3);
    for round in 0..4 {
        fill(&kafka, &job.from, round * 600);
        let (handle, seen) = job.start();
        wait_until("records are under way", LIMIT, || handle.is_finished() || seen.load(Ordering::Relaxed) > 0);
        if round % 2 == 1 {
            let all = (round + 1) * 600;
            wait_until("all is committed", LIMIT, || handle.is_finished() || job.committed().len() as u64 >= all);
        }
        handle.abort();
        let error = ended(&handle).expect_err("aborted");
        assert!(error.message().contains("was aborted"), "{error}");
    }
    let (handle, _) = job.start();
    wait_until("everything is committed", LIMIT, || handle.is_finished() || job.committed().len() >= 2400);
    handle.stop();
    ended(&handle).expect("the job ends well");
    assert_eq!(job.committed(), (0..2400).collect::<Vec<_>>());
    assert_eq!(kafka.lag(&kafka.group(), &job.from), [0, 0, 0], "the group has the positions, too");
}

/// 600 numbers from `first` on, over three partitions.
fn fill(kafka: &KafkaFixture, topic: &str, first: u64) {
    kafka.fill(topic, 600, move |i, out: &mut ProducerRecord| {
        out.set_value((first + i).to_string());
        out.set_partition(i32::try_from(i % 3).expect("small"));
    });
}

#[test]
fn of_two_instances_one_ends_with_the_reason_and_the_other_goes_on() {
    let kafka = KafkaFixture::new("eos-two");
    let job = Copy::new(&kafka, 3);
    fill(&kafka, &job.from, 0);
    let (first, _) = job.start();
    wait_until("the first has committed", LIMIT, || first.is_finished() || job.committed().len() == 600);
    let (second, _) = job.start();
    wait_until("one has ended", LIMIT, || first.is_finished() || second.is_finished());
    let (ended_one, other) = if first.is_finished() { (first, second) } else { (second, first) };
    let error = ended(&ended_one).expect_err("taken over");
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert!(error.message().contains("has taken over: it has committed epoch"), "{error}");
    fill(&kafka, &job.from, 600);
    wait_until("the other goes on", LIMIT, || other.is_finished() || job.committed().len() >= 1200);
    other.stop();
    ended(&other).expect("it ends well");
    assert_eq!(job.committed(), (0..1200).collect::<Vec<_>>());
}

#[test]
fn two_instances_that_start_at_once_come_to_terms() {
    let kafka = KafkaFixture::new("eos-race");
    let job = Copy::new(&kafka, 3);
    fill(&kafka, &job.from, 0);
    let handles = [job.start().0, job.start().0];
    wait_until("one has ended", LIMIT, || handles.iter().any(JobHandle::is_finished));
    let (over, on): (Vec<_>, Vec<_>) = handles.into_iter().partition(JobHandle::is_finished);
    for handle in over {
        assert_eq!(ended(&handle).expect_err("taken over").kind(), ErrorKind::Fenced);
    }
    let [handle] = &on[..] else { panic!("one is left") };
    wait_until("the other goes on", LIMIT, || handle.is_finished() || job.committed().len() >= 600);
    handle.stop();
    ended(handle).expect("it ends well");
    assert_eq!(job.committed(), (0..600).collect::<Vec<_>>());
}

#[test]
fn the_semantic_may_be_switched_both_ways_between_runs() {
    let kafka = KafkaFixture::new("eos-switch");
    let mut job = Copy::new(&kafka, 3);
    for (round, semantic) in ["AT_LEAST_ONCE", "EXACTLY_ONCE", "AT_LEAST_ONCE", "EXACTLY_ONCE"].iter().enumerate() {
        job.semantic = semantic;
        let expected = 600 * (round + 1);
        fill(&kafka, &job.from, 600 * round as u64);
        let (handle, seen) = job.start();
        wait_until("all is there", LIMIT, || handle.is_finished() || job.committed().len() >= expected);
        handle.stop();
        ended(&handle).expect("it ends well");
        assert_eq!(seen.load(Ordering::Relaxed), 600, "round {round} reads what is new, and nothing again");
    }
    assert_eq!(job.committed(), (0..2400).collect::<Vec<_>>());
}

#[test]
fn a_transaction_timeout_that_the_brokers_refuse_is_refused_with_the_numbers() {
    let kafka = KafkaFixture::new("eos-timeout");
    let mut job = Copy::new(&kafka, 1);
    job.semantic = "EXACTLY_ONCE\n  transaction.timeout.ms: 3600000";
    let error = ended(&job.start().0).expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().ends_with("the brokers allow no transaction timeout of 3600s"), "{error}");
    job.semantic = "EXACTLY_ONCE\n  transaction.timeout.ms: 5000";
    let error = ended(&job.start().0).expect_err("too short");
    let expected =
        "transaction.timeout.ms is 5s: a transaction is open for an interval (100ms) and a checkpoint (up to 60s)";
    assert_eq!((error.kind(), error.message()), (ErrorKind::Config, expected));
}

#[test]
fn a_group_with_live_members_of_another_application_is_refused() {
    let kafka = KafkaFixture::new("eos-members");
    let job = Copy::new(&kafka, 1);
    for protocol in ["classic", "consumer"] {
        let other: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", kafka.bootstrap())
            .set("group.id", kafka.group())
            .set("group.protocol", protocol)
            .create()
            .expect("a consumer");
        other.subscribe(&[&job.from]).expect("a subscription");
        wait_until("the other is a member", LIMIT, || {
            other.poll(Duration::from_millis(50));
            other.assignment().is_ok_and(|assigned| assigned.count() > 0)
        });
        let (handle, _) = job.start();
        wait_until("the job is refused", LIMIT, || {
            other.poll(Duration::from_millis(50));
            handle.is_finished()
        });
        let error = handle.wait().expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Config, "{protocol}: {error}");
        assert!(error.message().contains("has 1 live members: another application consumes with it"), "{error}");
        other.unsubscribe();
    }
}

/// A job that copies from one cluster to both.
fn start_on_two(
    kafka: &KafkaFixture,
    other: &KafkaFixture,
    from: &str,
    to: [&str; 2],
    store: &MemoryStore,
) -> JobHandle {
    let (here, there, application) = (kafka.bootstrap(), other.bootstrap(), kafka.group());
    let [first, second] = to;
    let ctx = context(&format!(
        "application.id: {application}\nexecution.checkpointing.interval: 100 ms\n\
         restart-strategy:\n  type: fixed-delay\n  fixed-delay:\n    attempts: 1000\n    delay: 200 ms\n\
         kafka.source:\n  bootstrap.servers: {here}\n  topic: {from}\n  auto.offset.reset: earliest\n\
         kafka.sink:\n  here:\n    bootstrap.servers: {here}\n    topic: {first}\n    semantic: EXACTLY_ONCE\n  \
         there:\n    bootstrap.servers: {there}\n    topic: {second}\n    semantic: EXACTLY_ONCE\n    max.block.ms: 2000\n"
    ))
    .checkpoint_store(store.clone());
    let numbers = KafkaSource::<String>::new(&ctx).values().uid("source");
    KafkaSink::new(&ctx).alias("here").sink(numbers.clone()).uid("here");
    KafkaSink::new(&ctx).alias("there").sink(numbers).uid("there");
    ctx.start("both").expect("a good plan")
}

#[test]
fn sinks_on_two_clusters_are_exactly_once_on_both_and_wait_for_the_one_that_is_away() {
    let kafka = KafkaFixture::new("eos-here");
    let cluster = KafkaCluster::start_new("eos-there");
    let other = KafkaFixture::on(cluster.bootstrap(), "eos-there");
    let (from, first, second) = (kafka.topic("from", 3), kafka.topic("to", 3), other.topic("to", 3));
    let store = MemoryStore::new();
    let start = || start_on_two(&kafka, &other, &from, [&first, &second], &store);
    let read = |kafka: &KafkaFixture, topic: &str| {
        sorted_numbers(kafka.read_committed(topic).into_iter().map(|record| record.value))
    };
    for round in 0..4 {
        fill(&kafka, &from, round * 600);
        let job = start();
        let some = || read(&kafka, &first).len() as u64 > round * 600;
        wait_until("something is committed", LIMIT, || job.is_finished() || some());
        job.abort();
        ended(&job).expect_err("aborted");
    }
    let job = start();
    fill(&kafka, &from, 2400);
    wait_until("all is there", LIMIT, || job.is_finished() || read(&other, &second).len() >= 3000);
    cluster.stop();
    fill(&kafka, &from, 3000);
    // The log of the epoch is in the checkpoint, so the first cluster need not wait for the second.
    wait_until("the first has it", LIMIT, || job.is_finished() || read(&kafka, &first).len() >= 3600);
    cluster.start();
    wait_until("the second has it, too", LIMIT, || job.is_finished() || read(&other, &second).len() >= 3600);
    job.stop();
    ended(&job).expect("it ends well");
    assert_eq!(read(&kafka, &first), (0..3600).collect::<Vec<_>>());
    assert_eq!(read(&other, &second), (0..3600).collect::<Vec<_>>());
}

/// A job that copies numbers, and sends what is none to a topic of dead letters.
fn sorting(kafka: &KafkaFixture, [from, to, dead]: [&str; 3]) -> StreamingContext {
    let (servers, application) = (kafka.bootstrap(), kafka.group());
    let ctx = context(&format!(
        "application.id: {application}\nexecution.checkpointing:\n  interval: 100 ms\n  dir: /nowhere\n\
         kafka.source:\n  bootstrap.servers: {servers}\n  topic: {from}\n  auto.offset.reset: earliest\n  \
         on_bad_record: dead_letter({dead})\n\
         kafka.sink:\n  bootstrap.servers: {servers}\n  topic: {to}\n  semantic: EXACTLY_ONCE\n"
    ));
    let decode = |raw: &RawRecord<'_>| String::from_utf8_lossy(raw.value().unwrap_or_default()).parse::<u64>();
    let numbers = KafkaSource::<u64>::new(&ctx).decode(decode).values().uid("source");
    KafkaSink::new(&ctx).serializer(|n: &u64| n.to_string().into_bytes()).sink(numbers).uid("sink");
    ctx
}

#[test]
fn dead_letters_are_exactly_once_and_so_is_bringing_them_back() {
    let kafka = KafkaFixture::new("eos-dlq");
    let (from, to, dead) = (kafka.topic("from", 3), kafka.topic("to", 1), kafka.topic("dead", 1));
    let topics = [&*from, &*to, &*dead];
    kafka.fill(&from, 900, |i, out: &mut ProducerRecord| {
        out.set_value(if i % 3 == 0 { format!("bad {i}") } else { i.to_string() });
        out.set_key(format!("key {i}"));
        out.add_header("trace", Some(&i.to_be_bytes()));
        out.set_partition(i32::try_from(i % 3).expect("small"));
    });
    let store = MemoryStore::new();
    let run = |done: &dyn Fn() -> bool, well: bool| {
        let job = sorting(&kafka, topics).checkpoint_store(store.clone()).start("sort").expect("a good plan");
        wait_until("done", LIMIT, || job.is_finished() || done());
        if well {
            job.stop()
        } else {
            job.abort()
        }
        assert_eq!(ended(&job).is_ok(), well);
    };
    for _ in 0..3 {
        run(&|| !kafka.read(&dead).is_empty(), false);
    }
    run(&|| kafka.read_committed(&to).len() >= 600 && kafka.read_committed(&dead).len() >= 300, true);
    let bad = |topic: &str| {
        let records = kafka.read_committed(topic).into_iter().filter(|record| record.value.starts_with("bad"));
        let mut bad: Vec<_> = records.map(|r| (r.value, r.key, r.headers.last("trace").map(<[u8]>::to_vec))).collect();
        bad.sort();
        bad
    };
    let once = bad(&from);
    assert_eq!((once.len(), bad(&dead)), (300, once.clone()), "dead letters are what came, once");

    let positions = MemoryStore::new();
    for _ in 0..2 {
        let ctx = sorting(&kafka, topics);
        let [replay] = ctx.take_side_jobs().try_into().ok().expect("one side job");
        assert_eq!((replay.kind(), replay.of()), ("dlq replay", "kafka.source"));
        let side = replay.context(&ctx).expect("it can be described").checkpoint_store(positions.clone());
        side.execute("sort.dlq-replay").expect("it ends well");
    }
    let twice: Vec<_> = once.iter().flat_map(|letter| [letter.clone(), letter.clone()]).collect();
    assert_eq!(bad(&from), twice, "each has come back once, as it was, although the replay ran twice");
    assert!(kafka.read_committed(&from).iter().all(|record| record.headers.len() == 1), "without what was added to it");
}

/// Runs a job until as many numbers are committed, and ends it well.
fn run(job: &Copy<'_>, ctx: StreamingContext, count: usize) {
    let copied = KafkaSource::<String>::new(&ctx).values().uid("source");
    KafkaSink::new(&ctx).sink(copied).uid("sink");
    let handle = ctx.start("copy").expect("a good plan");
    wait_until("all is committed", LIMIT, || handle.is_finished() || job.committed().len() >= count);
    handle.stop();
    ended(&handle).expect("it ends well");
}

#[test]
fn two_jobs_may_share_a_group_as_their_markers_lie_in_groups_of_their_own() {
    let kafka = KafkaFixture::new("eos-shared");
    let one = Copy::new(&kafka, 3);
    let to = kafka.topic("other", 3);
    let (from, application) = (one.from.clone(), to.clone());
    let other = Copy {
        kafka: &kafka,
        store: MemoryStore::new(),
        application,
        from,
        to,
        semantic: "EXACTLY_ONCE",
        marker_topic: None,
    };
    for round in 0..3 {
        fill(&kafka, &one.from, round * 600);
        for job in [&one, &other] {
            let expected = 600 * (round as usize + 1);
            if round == 0 {
                // Whoever comes second begins where the group is, unless it says otherwise.
                let ctx = job.context();
                let copied = KafkaSource::<String>::new(&ctx).starting_offsets(OffsetsInitializer::Earliest);
                KafkaSink::new(&ctx).sink(copied.values().uid("source")).uid("sink");
                let handle = ctx.start("copy").expect("a good plan");
                wait_until("committed", LIMIT, || handle.is_finished() || job.committed().len() >= expected);
                handle.abort();
                ended(&handle).expect_err("aborted");
            } else {
                run(job, job.context(), expected);
            }
        }
    }
    assert_eq!(one.committed(), (0..1800).collect::<Vec<_>>());
    assert_eq!(other.committed(), (0..1800).collect::<Vec<_>>());
}

#[test]
fn one_job_may_read_with_two_groups() {
    let kafka = KafkaFixture::new("eos-groups");
    let (here, there, to) = (kafka.topic("here", 3), kafka.topic("there", 3), kafka.topic("to", 3));
    let groups = ["here", "there"].map(|name| format!("{}-{name}", kafka.group()));
    let store = MemoryStore::new();
    for round in 0..4 {
        fill(&kafka, &here, round * 1200);
        fill(&kafka, &there, round * 1200 + 600);
        let servers = kafka.bootstrap();
        let source = |topic: &str, group: &str| {
            let (servers, topic) = (format!("bootstrap.servers: {servers}"), format!("topic: {topic}"));
            format!("    {servers}\n    {topic}\n    group.id: {group}\n    auto.offset.reset: earliest\n")
        };
        let ctx = context(&format!(
            "application.id: {to}\nexecution.checkpointing.interval: 100 ms\n\
             kafka.source:\n  here:\n{}  there:\n{}\
             kafka.sink:\n  bootstrap.servers: {servers}\n  topic: {to}\n  semantic: EXACTLY_ONCE\n",
            source(&here, &groups[0]),
            source(&there, &groups[1]),
        ))
        .checkpoint_store(store.clone());
        let read = |alias: &str| KafkaSource::<String>::new(&ctx).alias(alias).values().uid(alias);
        KafkaSink::new(&ctx).sink(read("here").union([read("there")])).uid("sink");
        let handle = ctx.start("groups").expect("a good plan");
        let committed = || kafka.read_committed(&to).len() as u64;
        let enough = round * 1200 + if round < 3 { 1 } else { 1200 };
        wait_until("it is committed", LIMIT, || handle.is_finished() || committed() >= enough);
        if round < 3 {
            handle.abort();
            ended(&handle).expect_err("aborted");
        } else {
            handle.stop();
            ended(&handle).expect("it ends well");
        }
    }
    let numbers = sorted_numbers(kafka.read_committed(&to).into_iter().map(|record| record.value));
    assert_eq!(numbers, (0..4800).collect::<Vec<_>>());
    assert_eq!(kafka.lag(&groups[0], &here), [0, 0, 0]);
    assert_eq!(kafka.lag(&groups[1], &there), [0, 0, 0]);
}

/// Longer than a broker that forgets offsets after a minute remembers any.
const FORGOTTEN: Duration = Duration::from_secs(100);

#[test]
fn an_idle_job_outlives_the_retention_of_offsets_and_one_that_was_down_is_refused() {
    let cluster = KafkaCluster::start_set(
        "eos-retention",
        &["offsets.retention.minutes=1", "offsets.retention.check.interval.ms=2000"],
    );
    let kafka = KafkaFixture::on(cluster.bootstrap(), "eos-retention");
    let mut job = Copy::new(&kafka, 3);
    let of_season = KafkaFixture::on(cluster.bootstrap(), "eos-season");
    let mut seasonal = Copy::new(&of_season, 3);
    seasonal.marker_topic = Some(marker_topic(&kafka, "compact"));
    fill(&of_season, &seasonal.from, 0);
    run(&seasonal, seasonal.context(), 600);
    fill(&kafka, &job.from, 0);
    let (handle, _) = job.start();
    wait_until("all is committed", LIMIT, || handle.is_finished() || job.committed().len() >= 600);
    assert_eq!(kafka.lag(&kafka.group(), &job.from), [0, 0, 0]);
    // Nothing to read: the group's positions are only stored again every half hour, the marker at each checkpoint.
    let forgotten = || kafka.lag(&kafka.group(), &job.from) == [200, 200, 200];
    wait_until("the broker has forgotten the group", FORGOTTEN, || handle.is_finished() || forgotten());
    fill(&kafka, &job.from, 600);
    wait_until("it goes on", LIMIT, || handle.is_finished() || job.committed().len() >= 1200);
    handle.abort();
    ended(&handle).expect_err("aborted");
    run(&job, job.context(), 1200);
    assert_eq!(job.committed(), (0..1200).collect::<Vec<_>>());

    wait_until("the broker has forgotten it again", FORGOTTEN, || {
        kafka.lag(&kafka.group(), &job.from) == [400, 400, 400]
    });
    let error = refusal(&job);
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.message().contains("counts only if a marker names it, and there is no marker"), "{error}");
    // Whoever promises less now may not begin anew for that.
    job.semantic = "AT_LEAST_ONCE";
    assert_eq!(refusal(&job).message(), error.message());
    job.semantic = "EXACTLY_ONCE";
    let hint = error.hint().expect("what to do");
    let newest: u64 =
        hint.split("run --from ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).expect(hint);
    fill(&kafka, &job.from, 1200);
    run(&job, job.context().restore_from(newest).rewind(), 1800);
    assert_eq!(job.committed(), (0..1800).collect::<Vec<_>>());

    // A topic forgets nothing.
    fill(&of_season, &seasonal.from, 600);
    run(&seasonal, seasonal.context(), 1200);
    assert_eq!(seasonal.committed(), (0..1200).collect::<Vec<_>>());
}

/// A topic for markers.
fn marker_topic(kafka: &KafkaFixture, policy: &str) -> String {
    let name = format!("{}-markers-{policy}", kafka.group());
    let client = ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create();
    let client: AdminClient<DefaultClientContext> = client.expect("a client");
    let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(-1)).set("cleanup.policy", policy);
    let answers = pollster::block_on(client.create_topics([&topic], &AdminOptions::new())).expect("an answer");
    assert!(matches!(&answers[..], [Ok(_)]), "{answers:?}");
    let admin = Admin::new(kafka.bootstrap()).expect("a broker");
    wait_until("the topic is there", LIMIT, || admin.partitions(&name).is_ok_and(|count| count == 1));
    name
}

#[test]
fn a_topic_for_the_marker_may_be_named_and_taken_away_between_runs() {
    let kafka = KafkaFixture::new("eos-marker");
    let mut job = Copy::new(&kafka, 3);
    let markers = marker_topic(&kafka, "compact");
    for (round, named) in [false, true, true, false, true].into_iter().enumerate() {
        let begun = 600 * round;
        fill(&kafka, &job.from, begun as u64);
        job.marker_topic = named.then(|| markers.clone());
        let (handle, _) = job.start();
        wait_until("some is committed", LIMIT, || handle.is_finished() || job.committed().len() > begun);
        handle.abort();
        ended(&handle).expect_err("aborted");
        run(&job, job.context(), begun + 600);
    }
    assert_eq!(job.committed(), (0..3000).collect::<Vec<_>>());
    let last = kafka.read_committed(&markers).pop().expect("markers");
    let key = String::from_utf8_lossy(last.key.as_deref().unwrap_or_default()).into_owned();
    assert!(key.starts_with("stream-rs/") && last.value.contains("\"incarnation\""), "{key}: {}", last.value);

    job.marker_topic = Some("nowhere".to_owned());
    let error = refusal(&job);
    assert_eq!(error.message(), "there is no topic `nowhere`, which commit.marker-topic names");
    let deleting = marker_topic(&kafka, "delete");
    job.marker_topic = Some(deleting.clone());
    let error = refusal(&job);
    let told = format!(
        "topic `{deleting}`, which commit.marker-topic names, has cleanup.policy=delete: it would lose the marker"
    );
    assert_eq!(error.message(), told);
    let elsewhere = KafkaFixture::new("eos-marker-other");
    let mut other = Copy::new(&elsewhere, 3);
    other.marker_topic = Some(markers);
    let error = refusal(&other);
    assert!(error.message().contains("holds the marker of"), "{error}");
    job.marker_topic = None;
    fill(&kafka, &job.from, 3000);
    run(&job, job.context(), 3600);
}

/// Why the job does not start.
fn refusal(job: &Copy<'_>) -> Error {
    let (handle, _) = job.start();
    wait_until("it has ended", LIMIT, || handle.is_finished());
    ended(&handle).expect_err("refused")
}

#[test]
fn a_group_that_was_moved_is_told_of_and_counts_only_if_that_is_accepted() {
    common::collect_log();
    let kafka = KafkaFixture::new("eos-moved");
    let job = Copy::new(&kafka, 3);
    fill(&kafka, &job.from, 0);
    run(&job, job.context(), 600);
    let move_group = |to: i64| {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", kafka.bootstrap())
            .set("group.id", kafka.group())
            .create()
            .expect("a consumer");
        let mut positions = TopicPartitionList::new();
        for partition in 0..3 {
            positions.add_partition_offset(&job.from, partition, Offset::Offset(to)).expect("an offset");
        }
        consumer.commit(&positions, CommitMode::Sync).expect("it can be moved");
    };
    move_group(50);
    fill(&kafka, &job.from, 600);
    run(&job, job.context(), 1200);
    assert_eq!(job.committed(), (0..1200).collect::<Vec<_>>(), "the checkpoint's positions count");
    let told = format!("group `{}` was moved: {}[0] 50 instead of 200", kafka.group(), job.from);
    assert!(common::logged().contains(&told), "{}", common::logged());

    move_group(300);
    run(&job, job.context().accept_offset_reset(), 1500);
    let mut again: Vec<u64> = (0..1200).chain(900..1200).collect();
    again.sort_unstable();
    assert_eq!(job.committed(), again, "the last hundred of each partition once more");
    fill(&kafka, &job.from, 1200);
    run(&job, job.context(), 2100);
}

#[test]
fn a_topic_that_was_made_anew_takes_no_marker_along_and_is_told_of() {
    common::collect_log();
    let kafka = KafkaFixture::new("eos-anew");
    let job = Copy::new(&kafka, 3);
    fill(&kafka, &job.from, 0);
    run(&job, job.context(), 600);
    let admin = Admin::new(kafka.bootstrap()).expect("a broker");
    let make_anew = |topic: &str| {
        admin.delete_topic(topic).expect("it can be deleted");
        wait_until("there is a new one", LIMIT, || admin.create_topic(topic, 3, 1).is_ok());
    };
    // The marker lies on the source's topic, too, so the output can go.
    make_anew(&job.to);
    fill(&kafka, &job.from, 600);
    run(&job, job.context(), 600);
    assert_eq!(job.committed(), (600..1200).collect::<Vec<_>>(), "what was committed before is not written again");
    make_anew(&job.from);
    let handle = job.start().0;
    let told = format!("of `{}` partition 0 is gone: the log holds 0 to 0", job.from);
    wait_until("the job has said so", LIMIT, || handle.is_finished() || common::logged().contains(&told));
    handle.abort();
    ended(&handle).expect_err("aborted");
    assert_eq!(job.committed(), (600..1200).collect::<Vec<_>>());
}

#[test]
fn checkpoints_in_memory_are_refused_and_a_stop_without_a_broker_is_no_failure() {
    let start = |servers: &str, dir: &str| {
        let yaml = format!(
            "execution.checkpointing:\n  interval: 1s\n{dir}kafka.sink:\n  bootstrap.servers: {servers}\n  topic: t\n  \
             semantic: EXACTLY_ONCE\n"
        );
        let ctx = context(&yaml);
        KafkaSink::new(&ctx).sink(ctx.from_iter(["a"]));
        match dir {
            "" => ctx.start("job"),
            _ => ctx.checkpoint_store(MemoryStore::new()).start("job"),
        }
    };
    let error = start("h:9092", "").err().expect("refused");
    assert_eq!(error.message(), "exactly-once needs checkpoints that outlive the process: these are kept in memory");
    let job = start("127.0.0.1:1", "  dir: /nowhere\n").expect("a good plan");
    job.stop();
    ended(&job).expect("nothing was read, so nothing is left undone");
}
