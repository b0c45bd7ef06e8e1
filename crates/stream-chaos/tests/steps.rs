//! Every step of the commit protocol: the process dies there, or sleeps there while another takes over and wakes up
//! later, or the brokers' answer is lost there. Whatever it is, each record counts once.
#![allow(clippy::disallowed_methods, clippy::panic, reason = "a test that starts processes and gives up by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use stream_kafka::ProducerRecord;
use stream_testkit::{ApiKey, Fault, Hold, KafkaCluster, KafkaFixture, KafkaProxy, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

/// Where the victim stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The barrier has gone through, and nothing is flushed yet.
    Flush,
    Store(&'static str),
    /// Before this request reaches the brokers.
    Request(ApiKey),
    /// The brokers have answered this request, and the answer is lost.
    Answer(ApiKey),
}

const STEPS: &[Step] = &[
    Step::Flush,
    Step::Store("before-data"),
    Step::Store("after-data"),
    Step::Store("before-manifest"),
    Step::Store("after-manifest"),
    Step::Request(ApiKey::AddOffsetsToTxn),
    Step::Request(ApiKey::TxnOffsetCommit),
    Step::Request(ApiKey::EndTxn),
    Step::Answer(ApiKey::EndTxn),
    Step::Store("before-delete"),
    Step::Store("after-delete"),
];

struct Brokers {
    cluster: KafkaCluster,
    proxy: KafkaProxy,
}

/// One for all tests that run at the same time; the last of them ends it.
fn brokers() -> Arc<Brokers> {
    static RUNNING: Mutex<Weak<Brokers>> = Mutex::new(Weak::new());
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.upgrade().unwrap_or_else(|| {
        let (cluster, proxy) = KafkaCluster::start_proxied("steps");
        let started = Arc::new(Brokers { cluster, proxy });
        *running = Arc::downgrade(&started);
        started
    })
}

/// One job with its topics, store and signs.
struct Scene {
    kafka: KafkaFixture,
    /// After the fixture, which deletes its topics.
    brokers: Arc<Brokers>,
    dir: tempfile::TempDir,
    input: String,
    output: String,
    policy: &'static str,
    fed: u64,
    instances: u32,
    /// More arguments for every instance.
    more: &'static [&'static str],
}

impl Scene {
    fn new(name: &str, policy: &'static str) -> Scene {
        let brokers = brokers();
        let kafka = KafkaFixture::on(brokers.cluster.bootstrap(), name);
        let (input, output) = (kafka.topic("in", 2), kafka.topic("out", 2));
        let dir = tempfile::tempdir().expect("a directory");
        Scene { kafka, brokers, dir, input, output, policy, fed: 0, instances: 0, more: &[] }
    }

    fn feed(&mut self) {
        let first = self.fed;
        self.kafka.fill(&self.input, 400, move |i, out: &mut ProducerRecord| {
            out.set_value((first + i).to_string());
            out.set_partition(i32::try_from(i % 2).expect("small"));
        });
        self.fed += 400;
    }

    fn start(&mut self, step: Option<&str>) -> Instance {
        let number = self.instances;
        self.instances += 1;
        let signs = self.dir.path().join(format!("signs-{number}"));
        std::fs::create_dir_all(&signs).expect("a directory");
        let log = self.dir.path().join(format!("log-{number}"));
        let client = format!("{}-{number}", self.output);
        let mut command = Command::new(env!("CARGO_BIN_EXE_stream-chaos"));
        command.args(["step", "--bootstrap", &self.brokers.proxy.bootstrap(), "--input", &self.input]);
        command.args(["--output", &self.output, "--client", &client, "--epoch-bump", self.policy]).args(self.more);
        command.arg("--dir").arg(self.dir.path().join("checkpoints")).arg("--signs").arg(&signs);
        if let Some(step) = step {
            command.args(["--step", step, "--after", &self.fed.to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log).expect("a log"));
        Instance { child: command.spawn().expect("the program is built"), signs, client, log }
    }

    /// What the job has committed, without what others have written.
    fn committed(&self) -> Vec<String> {
        let values = self.kafka.read_committed(&self.output).into_iter().map(|record| record.value);
        values.filter(|value| value != PROBE).collect()
    }

    /// Writes a record to each partition of the output, and waits until readers of committed records see both. They don't
    /// as long as a transaction that began before is open.
    fn blocked(&self, limit: Duration) -> Duration {
        let began = Instant::now();
        self.kafka.fill(&self.output, 2, |i, out: &mut ProducerRecord| {
            out.set_value(PROBE);
            out.set_partition(i32::try_from(i).expect("small"));
        });
        let seen = || self.kafka.read_committed(&self.output).iter().filter(|record| record.value == PROBE).count();
        wait_until("what others have written can be read", limit, || seen() == 2);
        began.elapsed()
    }

    /// Waits until as much is committed as was fed.
    fn wait_for_all(&self, instance: &mut Instance, what: &str) {
        let until = Instant::now() + LIMIT;
        while (self.committed().len() as u64) < self.fed {
            assert!(!instance.has_ended(), "{what}: {}", instance.said());
            assert!(Instant::now() < until, "waited {LIMIT:?} in vain, {what}: {}", instance.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Every id once, every key numbered from 1 in the order of its partition, without a gap.
    fn audit(&self, what: &str) {
        let lines = self.committed();
        let (mut ids, mut numbers) = (Vec::new(), BTreeMap::<u64, Vec<u64>>::new());
        for line in &lines {
            let parts: Vec<u64> = line.split(',').map(|part| part.parse().expect("a number")).collect();
            ids.push(parts[0]);
            numbers.entry(parts[1]).or_default().push(parts[2]);
        }
        ids.sort_unstable();
        assert!(ids.iter().copied().eq(0..self.fed), "{what}: {} lines for {} records", ids.len(), self.fed);
        for (key, mut numbers) in numbers {
            numbers.sort_unstable();
            assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{what}: key {key} is numbered {numbers:?}");
        }
    }
}

/// What somebody else writes to the output.
const PROBE: &str = "probe";

struct Instance {
    child: Child,
    signs: PathBuf,
    client: String,
    log: PathBuf,
}

impl Instance {
    fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill is there");
        assert!(sent.success(), "no such process");
    }

    fn kill(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("it can be killed");
    }

    /// The exit code, within the deadline.
    fn exit(&mut self, what: &str) -> Option<i32> {
        let until = Instant::now() + LIMIT;
        while !self.has_ended() {
            assert!(Instant::now() < until, "waited {LIMIT:?} in vain, {what}: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.wait().expect("a child").code()
    }

    /// Ends it well.
    fn stop(&mut self) {
        sign(&self.signs, "stop");
        let code = self.exit("the job stops");
        assert_eq!(code, Some(0), "{}", self.said());
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sign(signs: &Path, name: &str) {
    std::fs::write(signs.join(name), "").expect("a sign");
}

/// Lets a victim run until it stands at `step`, with records in its transaction.
fn at(step: Step, scene: &mut Scene) -> (Instance, Option<Hold>) {
    scene.feed();
    let proxy = &scene.brokers.clone().proxy;
    let mut victim = scene.start(Some(match step {
        Step::Flush => "none",
        Step::Store(step) => step,
        // From there on only what belongs to the commit of these records is on its way.
        Step::Request(_) | Step::Answer(_) => "before-manifest",
    }));
    let of_victim = |key: ApiKey| key.of_client(&victim.client);
    let (hold, answered) = (|key| Some(proxy.hold(of_victim(key))), |key| proxy.answers(of_victim(key)));
    if step == Step::Flush {
        let hold = hold(ApiKey::Produce);
        hold.iter().for_each(|hold| hold.wait_until_held(LIMIT));
        return (victim, hold);
    }
    let here = victim.signs.join("here");
    wait_until(&format!("the victim is at {step:?}"), LIMIT, || here.exists());
    let hold = match step {
        Step::Request(key) => {
            let hold = hold(key);
            sign(&victim.signs, "go");
            hold.iter().for_each(|hold| hold.wait_until_held(LIMIT));
            hold
        }
        Step::Answer(key) => {
            let before = answered(key);
            proxy.on(of_victim(key).next(1), Fault::DropResponse);
            sign(&victim.signs, "go");
            wait_until("the answer is lost", LIMIT, || answered(key) > before);
            None
        }
        Step::Flush | Step::Store(_) => None,
    };
    assert!(!victim.has_ended(), "{step:?}: {}", victim.said());
    (victim, hold)
}

#[track_caller]
fn killed(step: Step, policy: &'static str) {
    let what = format!("killed at {step:?}, {policy}");
    let mut scene = Scene::new("kill", policy);
    let (mut victim, hold) = at(step, &mut scene);
    victim.kill();
    let mut next = scene.start(None);
    if let Some(hold) = hold {
        // What was on its way when the process died arrives late, if at all.
        hold.release();
    }
    scene.wait_for_all(&mut next, &what);
    scene.feed();
    scene.wait_for_all(&mut next, &what);
    next.stop();
    scene.audit(&what);
}

#[track_caller]
fn asleep(step: Step, policy: &'static str) {
    let what = format!("asleep at {step:?}, {policy}");
    let mut scene = Scene::new("sleep", policy);
    let (mut zombie, hold) = at(step, &mut scene);
    zombie.signal("-STOP");
    let mut next = scene.start(None);
    scene.wait_for_all(&mut next, &what);
    scene.feed();
    scene.wait_for_all(&mut next, &what);
    drop(hold);
    sign(&zombie.signs, "go");
    zombie.signal("-CONT");
    assert_eq!(zombie.exit(&what), Some(3), "{what}: {}", zombie.said());
    assert!(zombie.said().contains("has taken over"), "{what}: {}", zombie.said());
    scene.feed();
    scene.wait_for_all(&mut next, &what);
    next.stop();
    scene.audit(&what);
}

#[test]
fn killed_at_every_step() {
    for step in STEPS {
        killed(*step, "on_disturbance");
    }
}

#[test]
fn killed_at_every_step_with_a_new_epoch_for_every_transaction() {
    for step in STEPS {
        killed(*step, "always");
    }
}

#[test]
fn asleep_at_every_step_while_another_takes_over() {
    for step in STEPS {
        asleep(*step, "on_disturbance");
    }
}

#[test]
fn asleep_at_every_step_with_a_new_epoch_for_every_transaction() {
    for step in STEPS {
        asleep(*step, "always");
    }
}

#[test]
fn an_answer_that_is_lost_costs_nothing() {
    for policy in ["on_disturbance", "always"] {
        let mut scene = Scene::new("answer", policy);
        let (mut job, _) = at(Step::Answer(ApiKey::EndTxn), &mut scene);
        scene.wait_for_all(&mut job, policy);
        scene.feed();
        scene.wait_for_all(&mut job, policy);
        job.stop();
        scene.audit(policy);
    }
}

/// A checkpoint may take 2 s, a transaction 5.
const SHORT: &[&str] = &["--checkpoint-timeout", "2s", "--transaction-timeout", "5000"];

#[test]
fn a_downtime_far_beyond_the_transaction_timeout_costs_nothing_in_any_phase() {
    let _running = brokers();
    std::thread::scope(|scope| {
        for step in STEPS {
            scope.spawn(move || {
                let what = format!("down for 30 s at {step:?}");
                let mut scene = Scene { more: SHORT, ..Scene::new("down", "on_disturbance") };
                let (mut victim, hold) = at(*step, &mut scene);
                victim.kill();
                let down = Instant::now();
                // The timeout, and up to ten seconds until the broker looks.
                let blocked = scene.blocked(Duration::from_secs(5 + 12));
                println!("{what}: readers were blocked for {blocked:.1?}");
                std::thread::sleep(Duration::from_secs(30).saturating_sub(down.elapsed()));
                drop(hold);
                scene.feed();
                let mut next = scene.start(None);
                scene.wait_for_all(&mut next, &what);
                next.stop();
                scene.audit(&what);
            });
        }
    });
}

#[test]
fn a_restart_lets_readers_go_on_at_once() {
    for step in [Step::Store("before-manifest"), Step::Store("after-manifest"), Step::Request(ApiKey::EndTxn)] {
        let mut scene = Scene { more: SHORT, ..Scene::new("unblock", "on_disturbance") };
        let (mut victim, _hold) = at(step, &mut scene);
        victim.kill();
        let mut next = scene.start(None);
        // Sooner than by the timeout of the transaction, which would be 5 s or more.
        let blocked = scene.blocked(Duration::from_secs(5));
        println!("killed at {step:?}, restarted: readers were blocked for {blocked:.1?}");
        scene.wait_for_all(&mut next, "the rest");
        next.stop();
    }
}
