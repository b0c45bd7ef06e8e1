//! Event time at a Kafka source on a real broker: partitions that are silent, empty or ahead, and who holds whom back.

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use common::{LIMIT, collect_log, context, logged};
use stream_core::clock::{Clock, SystemClock};
use stream_core::window::{TimeWindow, TumblingWindows};
use stream_core::{
    Batch, DataStream, JobHandle, Operator, Output, Record, Result, SplitActivity, StreamingContext, Timestamp,
    WatermarkProgress, WatermarkStrategy,
};
use stream_kafka::{KafkaRecord, KafkaSource, OffsetsInitializer, ProducerRecord};
use stream_testkit::{KafkaFixture, wait_until};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;

/// What an operator behind the source has been told.
#[derive(Default)]
struct Told {
    watermark: Option<Timestamp>,
    records: usize,
    /// Records at or before the watermark that had come before them.
    late: Vec<Timestamp>,
}

#[derive(Clone, Default)]
struct Observer(Arc<Mutex<Told>>);

impl Observer {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().expect("no panic")
    }

    /// On one subtask, whatever the parallelism of the source.
    fn watch<T: Record>(&self, stream: DataStream<T>) {
        let observer = self.clone();
        stream.global().transform("observer", move |_| observer.clone()).parallelism(1).for_each(|_: T| {});
    }

    fn watermark(&self) -> Option<i64> {
        self.told().watermark.map(Timestamp::as_millis)
    }
}

impl<T: Record> Operator<T, T> for Observer {
    fn process(&mut self, batch: &mut Batch<T>, out: &mut dyn Output<T>) -> Result<()> {
        let mut told = self.told();
        let watermark = told.watermark;
        told.records += batch.len();
        let late = batch.timestamps().iter().filter(|t| watermark.is_some_and(|w| **t <= w));
        told.late.extend(late);
        drop(told);
        out.batch(batch)
    }

    fn watermark(&mut self, watermark: Timestamp, _out: &mut dyn Output<T>) -> Result<Option<Timestamp>> {
        self.told().watermark = Some(watermark);
        Ok(Some(watermark))
    }
}

fn reading(kafka: &KafkaFixture, topic: &str) -> StreamingContext {
    context(&format!("kafka.source:\n  bootstrap.servers: {}\n  topic: {topic}\n", kafka.bootstrap()))
}

fn source<'c>(ctx: &'c StreamingContext) -> KafkaSource<'c, String> {
    KafkaSource::new(ctx).starting_offsets(OffsetsInitializer::Earliest)
}

/// Writes one record whose text is its time to each partition named.
fn write(kafka: &KafkaFixture, topic: &str, records: &[(i32, i64)]) {
    let records = records.to_vec();
    kafka.fill(topic, records.len() as u64, move |i, out: &mut ProducerRecord| {
        let (partition, millis) = records[i as usize];
        out.set_value(millis.to_string());
        out.set_partition(partition);
    });
}

fn bounded(seconds: u64) -> WatermarkStrategy<KafkaRecord<String>> {
    WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_secs(seconds)).with_timestamp_assigner(
        |record: &KafkaRecord<String>, _| Timestamp::from_millis(record.value.parse().expect("a number")),
    )
}

fn an_hour_ago() -> i64 {
    SystemClock::new().wall().as_millis() - 60 * MINUTE
}

fn stop(job: &JobHandle) {
    job.stop();
    job.wait().expect("the job ends well");
}

/// Four partitions: 0 is written to, 1 was once, 2 never, 3 is written to and ten minutes ahead.
struct FourPartitions {
    kafka: KafkaFixture,
    topic: String,
    start: i64,
    /// How many seconds of event time were written.
    seconds: i64,
}

impl FourPartitions {
    fn new(test: &str) -> FourPartitions {
        let kafka = KafkaFixture::new(test);
        let topic = kafka.topic("orders", 4);
        let start = an_hour_ago();
        write(&kafka, &topic, &[(1, start - MINUTE)]);
        FourPartitions { kafka, topic, start, seconds: 0 }
    }

    /// Another ten seconds, out of order by up to two.
    fn go_on(&mut self) {
        let mut records = Vec::new();
        for second in self.seconds..self.seconds + 10 {
            let time = self.start + second * SECOND - (second % 3) * SECOND;
            records.extend([(0, time), (3, time + 10 * MINUTE)]);
        }
        write(&self.kafka, &self.topic, &records);
        self.seconds += 10;
    }

    /// The greatest time in partition 0.
    fn reached(&self) -> i64 {
        (0..self.seconds).map(|second| self.start + second * SECOND - (second % 3) * SECOND).max().expect("written to")
    }
}

#[test]
fn with_idleness_silent_and_empty_partitions_hold_nobody_back_and_nothing_is_late() {
    for parallelism in [1, 2, 6] {
        let mut four = FourPartitions::new("idleness");
        let observer = Observer::default();
        let ctx = reading(&four.kafka, &four.topic).parallelism(parallelism);
        let strategy = bounded(2).with_idleness(Duration::from_secs(4));
        let progress = strategy.progress();
        observer.watch(source(&ctx).watermarks(strategy).stream());
        let job = ctx.start("idleness").expect("a good plan");
        wait_until("event time goes on", LIMIT, || {
            four.go_on();
            job.is_finished() || observer.watermark().is_some_and(|w| w > four.start)
        });
        for _ in 0..5 {
            four.go_on();
        }
        let expected = four.reached() - 2 * SECOND - 1;
        wait_until("event time is where partition 0 is", LIMIT, || {
            job.is_finished() || observer.watermark() == Some(expected)
        });
        // Partition 3 is ahead, so nobody waits for its records.
        wait_until("every record is read", LIMIT, || {
            job.is_finished() || observer.told().records as i64 == 1 + 2 * four.seconds
        });
        let activity = |name: &str| activity(&progress, &format!("{}[{name}]", four.topic));
        assert_eq!((activity("1"), activity("2")), (Some(SplitActivity::Idle), Some(SplitActivity::Idle)));
        // Not one record of any partition, although they are ten minutes apart.
        let late = observer.told().late.clone();
        assert!(late.is_empty(), "{late:?} at parallelism {parallelism}");
        stop(&job);
        assert!(progress.splits().is_empty());
    }
}

#[test]
fn windows_fire_when_all_of_them_is_there_and_a_record_dated_2099_closes_none() {
    let mut four = FourPartitions::new("windows");
    let ctx = reading(&four.kafka, &four.topic).parallelism(2);
    let strategy = bounded(2).with_idleness(Duration::from_secs(4));
    let orders = source(&ctx).watermarks(strategy).stream().key_by(|order| order.partition);
    let windows = orders.window(TumblingWindows::of(Duration::from_secs(10)));
    let late = windows.late_count();
    let counts = windows.count().collect();
    let job = ctx.start("windows").expect("a good plan");
    let (far, mut fired) = (4_070_908_800_000, BTreeMap::new());
    let expected = |four: &FourPartitions| {
        let mut counts = BTreeMap::new();
        for second in 0..four.seconds {
            let time = four.start + second * SECOND - (second % 3) * SECOND;
            *counts.entry(time.div_euclid(10 * SECOND) * 10 * SECOND).or_insert(0) += 1;
        }
        // Those that are complete: two seconds and a millisecond behind the greatest time.
        counts.retain(|start, _| start + 10 * SECOND <= four.reached() - 2 * SECOND);
        counts
    };
    let mut collect = || {
        for result in counts.take() {
            let window: TimeWindow = result.window;
            if result.key == 0 && window.start().as_millis() < far / 2 {
                let before = fired.insert(window.start().as_millis(), result.value);
                assert_eq!(before, None, "{window} fired twice");
            } else {
                // Partition 1's only window is complete, too; partition 3 is ten minutes ahead, so none of its is.
                assert_eq!((result.key, result.value), (1, 1), "{window}");
            }
        }
        fired.clone()
    };
    wait_until("the first windows fire", LIMIT, || {
        four.go_on();
        job.is_finished() || !collect().is_empty()
    });
    write(&four.kafka, &four.topic, &[(0, far)]);
    for _ in 0..3 {
        four.go_on();
        let expected = expected(&four);
        wait_until("all complete windows have fired", LIMIT, || job.is_finished() || collect() == expected);
    }
    assert_eq!(late.get(), 0);
    stop(&job);
    assert_eq!(collect(), expected(&four), "a job that is stopped closes no window");
}

fn activity(progress: &WatermarkProgress, split: &str) -> Option<SplitActivity> {
    progress.splits().into_iter().find(|s| &*s.split == split).map(|s| s.activity)
}

#[test]
fn without_idleness_event_time_stands_still_and_the_job_names_the_partition() {
    collect_log();
    let mut four = FourPartitions::new("stall");
    let observer = Observer::default();
    let ctx = reading(&four.kafka, &four.topic).parallelism(2);
    let strategy = bounded(2);
    let progress = strategy.progress();
    observer.watch(source(&ctx).watermarks(strategy).stream());
    let job = ctx.start("stall").expect("a good plan");
    let named = format!("`{}[2]` holds event time back: without any record", four.topic);
    wait_until("the log names the empty partition", LIMIT, || {
        four.go_on();
        job.is_finished() || logged().contains(&named)
    });
    assert!(observer.watermark().is_none_or(|w| w == i64::MIN), "{:?}", observer.watermark());
    let holding_back = progress.holding_back().expect("partitions are read");
    assert_eq!(&*holding_back.split, format!("{}[2]", four.topic));
    assert!(logged().contains("if that is normal, add with_idleness"), "{}", logged());

    // A record in it, and the next slowest is to blame: the partition that was written to once.
    write(&four.kafka, &four.topic, &[(2, four.start + 5 * MINUTE)]);
    let expected = four.start - MINUTE - 2 * SECOND - 1;
    wait_until("event time is where partition 1 is", LIMIT, || {
        job.is_finished() || observer.watermark() == Some(expected)
    });
    let holding_back = progress.holding_back().expect("partitions are read");
    assert_eq!(&*holding_back.split, format!("{}[1]", four.topic));
    assert!(observer.told().late.is_empty());
    stop(&job);
}

#[test]
fn one_record_dated_2099_moves_nothing() {
    let kafka = KafkaFixture::new("far-future");
    let topic = kafka.topic("orders", 1);
    let (start, far) = (an_hour_ago(), 4_070_908_800_000);
    write(&kafka, &topic, &[(0, start), (0, far), (0, start + MINUTE)]);
    let observer = Observer::default();
    let ctx = reading(&kafka, &topic);
    // The same by the values alone.
    let strategy = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_secs(1))
        .with_timestamp_assigner(|text: &String, _| Timestamp::from_millis(text.parse().expect("a number")));
    let progress = strategy.progress();
    let (orders, dated_ahead) =
        source(&ctx).watermarks(strategy).values().split_far_future(Duration::from_secs(24 * 3_600));
    observer.watch(orders);
    let dated_ahead = dated_ahead.collect();
    let job = ctx.start("far-future").expect("a good plan");
    let expected = start + MINUTE - SECOND - 1;
    wait_until("the others move it", LIMIT, || job.is_finished() || observer.watermark() == Some(expected));
    assert_eq!((progress.far_future_records(), observer.told().records), (1, 2));
    assert_eq!(dated_ahead.take(), [far.to_string()]);
    stop(&job);
}

#[test]
fn the_interval_of_the_configuration_is_kept_by_the_source() {
    let kafka = KafkaFixture::new("interval");
    let topic = kafka.topic("orders", 1);
    let start = an_hour_ago();
    write(&kafka, &topic, &[(0, start), (0, start + MINUTE)]);
    let servers = kafka.bootstrap();
    for (interval, expected) in [("0", None), ("50 ms", Some(start + MINUTE - 1))] {
        let ctx = context(&format!(
            "kafka.source:\n  bootstrap.servers: {servers}\n  topic: {topic}\n\
             pipeline.auto-watermark-interval: {interval}\n"
        ));
        let observer = Observer::default();
        observer.watch(source(&ctx).watermarks(bounded(0)).stream());
        let job = ctx.start("interval").expect("a good plan");
        wait_until("all is read", LIMIT, || {
            job.is_finished()
                || observer.told().records == 2 && (expected.is_none() || observer.watermark() == expected)
        });
        assert_eq!(observer.watermark(), expected, "at interval {interval}");
        stop(&job);
    }
}

#[test]
fn kafkas_own_timestamps_are_event_time_without_an_assigner_and_the_end_is_complete() {
    let kafka = KafkaFixture::new("own-time");
    let topic = kafka.topic("orders", 2);
    let start = an_hour_ago();
    kafka.fill(&topic, 10, move |i, out: &mut ProducerRecord| {
        out.set_value(i.to_string());
        out.set_partition((i % 2) as i32);
        out.set_timestamp(Timestamp::from_millis(start + i as i64 * SECOND));
    });
    let observer = Observer::default();
    let ctx = reading(&kafka, &topic).parallelism(3);
    observer.watch(source(&ctx).bounded().watermarks(WatermarkStrategy::for_monotonous_timestamps()).values());
    ctx.execute("own-time").expect("the job ends by itself");
    assert_eq!((observer.watermark(), observer.told().records), (Some(i64::MAX), 10));
    assert!(observer.told().late.is_empty());
}

#[test]
fn aligned_partitions_stay_together_and_no_record_is_lost_or_read_twice() {
    const RECORDS: i64 = 30_000;
    let kafka = KafkaFixture::new("alignment");
    let topic = kafka.topic("orders", 2);
    // A second per record. Read as they come, one partition would be through before the other begins.
    let start = an_hour_ago() - RECORDS * SECOND;
    kafka.fill(&topic, 2 * RECORDS as u64, move |i, out: &mut ProducerRecord| {
        let (partition, index) = (i as i64 / RECORDS, i as i64 % RECORDS);
        out.set_value((start + index * SECOND).to_string());
        out.set_partition(partition as i32);
    });
    for parallelism in [1, 2] {
        let seen = Arc::new(Mutex::new((vec![start; 2], 0, vec![Vec::new(); 2])));
        let ctx = reading(&kafka, &topic).parallelism(parallelism);
        let strategy = bounded(0).with_alignment(Duration::from_secs(600)).with_interval(Duration::from_millis(20));
        let stream = source(&ctx).bounded().watermarks(strategy).stream();
        let shared = Arc::clone(&seen);
        stream.global().for_each(move |record: KafkaRecord<String>| {
            let mut seen = shared.lock().expect("no panic");
            let (reached, apart, offsets) = &mut *seen;
            let partition = record.partition as usize;
            reached[partition] = record.value.parse::<i64>().expect("a number");
            offsets[partition].push(record.offset);
            *apart = (*apart).max((reached[1] - reached[0]).abs() / SECOND);
        });
        let job = ctx.start("alignment").expect("a good plan");
        common::ended(&job).expect("the job ends by itself");
        let seen = seen.lock().expect("no panic");
        let every: Vec<i64> = (0..RECORDS).collect();
        assert!(seen.2.iter().all(|offsets| *offsets == every), "at parallelism {parallelism}");
        // What is in hand may go beyond: the batch that was too much, and what waits in the exchange behind.
        assert!(seen.1 < 600 + 10 * 512, "{} s apart at parallelism {parallelism}", seen.1);
        println!("{} s apart at parallelism {parallelism}", seen.1);
    }
}

/// One is idle, the other goes on alone and far ahead; then the first comes back, so that the other is paused although it
/// was read to its end.
#[test]
fn a_partition_that_is_paused_at_its_end_goes_on_with_the_next_record() {
    let kafka = KafkaFixture::new("paused-at-end");
    let topic = kafka.topic("orders", 2);
    let (start, mut written) = (an_hour_ago(), 2);
    write(&kafka, &topic, &[(0, start), (1, start)]);
    let observer = Observer::default();
    let ctx = reading(&kafka, &topic);
    let strategy = bounded(0).with_alignment(Duration::from_secs(60)).with_idleness(Duration::from_secs(2));
    let progress = strategy.progress();
    observer.watch(source(&ctx).watermarks(strategy).stream());
    let job = ctx.start("paused-at-end").expect("a good plan");
    let (slow, fast) = (format!("{topic}[0]"), format!("{topic}[1]"));
    for round in 1..=3 {
        let ahead = start + round * 10 * MINUTE;
        wait_until("the slow one is idle while the fast one is read", LIMIT, || {
            write(&kafka, &topic, &[(1, ahead)]);
            written += 1;
            job.is_finished() || activity(&progress, &slow) == Some(SplitActivity::Idle)
        });
        wait_until("all are read", LIMIT, || job.is_finished() || observer.told().records == written);
        write(&kafka, &topic, &[(0, start + round * MINUTE)]);
        wait_until("the fast one is paused", LIMIT, || {
            job.is_finished() || activity(&progress, &fast) == Some(SplitActivity::Paused)
        });
        write(&kafka, &topic, &[(1, ahead + SECOND)]);
        write(&kafka, &topic, &[(0, ahead)]);
        written += 3;
        wait_until("the fast one goes on", LIMIT, || job.is_finished() || observer.told().records == written);
    }
    stop(&job);
    assert_eq!(observer.told().records, written);
}
