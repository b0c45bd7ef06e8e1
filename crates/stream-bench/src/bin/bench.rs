//! What `cargo xtask bench` runs: W1, W4 and W5 (the engine beside the bare client loop), W2 beside W1, latency, windows, state and checkpoints
//! without Kafka, derived schemas beside hand-written ones, and the dispatch table.
//!
//! Every contestant is a process of its own, pinned to core 0 where `taskset` is there, the broker to core 1. Runs
//! alternate, and the figure is the ratio of the medians. What was written is compared with what should have been,
//! or it does not count.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark talks to people")]

use std::path::Path;
use std::process::{Command, ExitCode};

use stream_bench::bids::{fingerprint, write_bid};
use stream_bench::copy::Copy;
use stream_bench::process::{failed, pinned};
use stream_bench::raw::{Auctions, Bidders, Work};
use stream_bench::usage::{now_ms, usage};
use stream_bench::{auctions, bidders, checkpoints, dispatch, engine, latency, raw, schemas, windows};
use stream_core::{Configuration, Result, StreamingContext};
use stream_kafka::admin::Admin;
use stream_kafka::{KafkaSink, KafkaSource, OffsetsInitializer, ProducerRecord, RawRecord};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARTITIONS: i32 = 4;
const EVENTS: u64 = 2_000_000;
const RUNS: usize = 5;

/// Enough for some seconds, and so for some checkpoints that are a second apart.
const LONG_EVENTS: u64 = 6_000_000;

/// Enough for nearly every bidder to have some, and for a checkpoint of them before the last one.
const BIDDER_EVENTS: u64 = 8_000_000;
const BIDDER_RUNS: usize = 3;
const WINDOW_EVENTS: u64 = 60_000_000;

/// What stands above the figures in docs/benchmarks.md.
const HEAD: &str = "# Benchmarks

Figures of one run of `cargo xtask bench -- --write` on a shared machine with two cores: the broker (a real Kafka
4.3.1) on core 1, each contestant on core 0, in turns. Read the ratios; absolute figures vary with the machine and its
neighbours. What was written is read back and compared with what should be there, or the run does not count. [Beside
other engines](peers.md) is another page.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["child", who, from, to, events] => child(who, from, to, events.parse().unwrap_or(0)),
        ["checkpoints-child", scenario, dir] => {
            checkpoints::child(scenario, Path::new(dir)).map(|line| println!("{line}"))
        }
        ["latency-child", servers, from, to, interval, dir] => {
            latency::child(servers, from, to, interval.parse().ok(), Path::new(dir))
        }
        ["latency"] => latency_and_restart().map(|text| println!("{text}")),
        ["dispatch"] => {
            println!("{}", dispatch::run());
            Ok(())
        }
        ["schemas"] => {
            println!("{}", schemas::run());
            Ok(())
        }
        ["engine"] => engine::table(RUNS).and_then(|table| {
            println!("{table}\n{}", fresh_memory()?);
            Ok(())
        }),
        ["memory"] => engine::memory().map(|figure| println!("{figure}")),
        ["windows"] => windows::table(WINDOW_EVENTS, RUNS).map(|table| println!("{table}")),
        ["w1"] => w1(EVENTS, RUNS).map(|table| println!("{table}")),
        ["w1", events, runs] => {
            w1(events.parse().unwrap_or(EVENTS), runs.parse().unwrap_or(RUNS)).map(|table| println!("{table}"))
        }
        ["w2"] => w2(LONG_EVENTS, RUNS).map(|table| println!("{table}")),
        ["w4"] => w4(EVENTS, RUNS).map(|table| println!("{table}")),
        ["w5"] => w5(BIDDER_EVENTS, BIDDER_RUNS).map(|table| println!("{table}")),
        ["checkpoints"] => checkpoints::table().map(|table| println!("{table}")),
        [] | ["--write"] => page().map(|page| {
            println!("{page}");
            if !words.is_empty()
                && let Err(error) = std::fs::write("docs/benchmarks.md", &page)
            {
                eprintln!("can't write docs/benchmarks.md: {error}");
            }
        }),
        _ => {
            eprintln!(
                "usage: bench [--write | w1 [EVENTS RUNS] | w2 | w4 | w5 | latency | engine | memory | windows | checkpoints | schemas | \
                 dispatch]"
            );
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The whole of docs/benchmarks.md.
fn page() -> Result<String> {
    let (w1, w2, w4, w5) =
        (w1(EVENTS, RUNS)?, w2(LONG_EVENTS, RUNS)?, w4(EVENTS, RUNS)?, w5(BIDDER_EVENTS, BIDDER_RUNS)?);
    let (latency, checkpoints) = (latency_and_restart()?, checkpoints::table()?);
    let (engine, windows) = (engine::table(RUNS)?, windows::table(WINDOW_EVENTS, RUNS)?);
    let (memory, schemas, dispatch) = (fresh_memory()?, schemas::run(), dispatch::run());
    Ok(format!(
        "{HEAD}\n## W1\n\n{w1}\n## W2\n\n{w2}\n## W4\n\n{w4}\n## W5\n\n{w5}\n## Latency\n\n{latency}\n## Engine without Kafka\n\n{engine}\n{memory}\n\n\
         ## Checkpoints\n\n{checkpoints}\n## Windows without Kafka\n\n{windows}\n## Schemas\n\n{schemas}\n## Dispatch\n\n{dispatch}"
    ))
}

/// How long a record takes, and how long a killed job.
fn latency_and_restart() -> Result<String> {
    pin_broker();
    let (table, restarts) = (latency::table(&bootstrap())?, latency::restarts(&bootstrap())?);
    Ok(format!("{table}\n### Restart after SIGKILL, with Kafka\n\n{restarts}"))
}

/// What state takes of memory, in a process that has done nothing else.
fn fresh_memory() -> Result<String> {
    let program = std::env::current_exe().map_err(|error| failed(format!("no path of this program: {error}")))?;
    let output = Command::new(program).arg("memory").output().map_err(|error| failed(error.to_string()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn bootstrap() -> String {
    std::env::var("BOOTSTRAP").unwrap_or_else(|_| "127.0.0.1:19092".to_owned())
}

/// One contestant: copies, then prints what it took.
fn child(who: &str, from: &str, to: &str, events: u64) -> Result<()> {
    let commit_ms = match who {
        _ if who.ends_with("w5") => 5000,
        _ if who.ends_with("-100") => 100,
        _ => 1000,
    };
    let dir = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
    let copy = Copy {
        exactly_once: who.starts_with("w2").then(|| dir.path().to_owned()),
        bootstrap: bootstrap(),
        from: from.to_owned(),
        to: to.to_owned(),
        group: format!("{to}-group"),
        commit_ms,
        parallelism: 1,
        total: Default::default(),
        first: Default::default(),
    };
    let copied = match who {
        "raw" => raw::run(&copy, Work::Copy, PARTITIONS, events).map_err(stream_core::Error::user)?,
        "raw-w4" => {
            let work = Work::Auctions(Auctions::default());
            raw::run(&copy, work, PARTITIONS, events).map_err(stream_core::Error::user)?
        }
        "raw-w5" => {
            let work = Work::Bidders(Bidders::default());
            raw::run(&copy, work, PARTITIONS, events).map_err(stream_core::Error::user)?
        }
        "ours-w4" => auctions::run(&copy)?,
        "ours-w5" => bidders::run(&copy, dir.path())?,
        _ => copy.run()?,
    };
    let (millis, used) = (now_ms() - u128::from(copied.first_ms), usage());
    println!("{} {millis} {} {}", copied.records, used.cpu_seconds, used.peak_mb);
    Ok(())
}

/// What one run took.
#[derive(Clone, Copy)]
struct Run {
    per_second: f64,
    cpu_micros: f64,
    peak_mb: f64,
}

/// Keeps the broker off the contestants' core, where it is one that `cargo xtask bench` has started.
fn pin_broker() {
    let Some(dir) = std::env::var_os("STREAM_TEST_KAFKA_DIR") else { return };
    let Ok(pid) = std::fs::read_to_string(std::path::Path::new(&dir).join("broker-1/kafka.pid")) else { return };
    match Command::new("taskset").args(["-a", "-p", "-c", "1", pid.trim()]).output() {
        Ok(output) if output.status.success() => eprintln!("broker pinned to core 1, contestants to core 0"),
        _ => eprintln!("the broker is not pinned: the figures are noisier"),
    }
}

/// W1: what was written is what was read.
fn w1(events: u64, runs: usize) -> Result<String> {
    let what =
        "Copy {} bids of about 148 bytes from topic to topic, at least once, flush and commit every second, one core.";
    Ok(report(&what.replace("{}", &events.to_string()), "0.90", &race(["raw", "ours"], events, runs, copied(events))?))
}

/// W2 beside W1, both ours.
fn w2(events: u64, runs: usize) -> Result<String> {
    let mut text = format!(
        "The same copy of {events} bids, exactly once beside at least once: checkpoints go to a temporary directory, a \
         producer epoch lasts until a commit is disturbed. One core.\n"
    );
    for (interval, target) in [("1000", "0.95"), ("100", "0.85")] {
        let contestants = [format!("ours-{interval}"), format!("w2-{interval}")];
        let results = race([&contestants[0], &contestants[1]], events, runs, copied(events))?;
        let names = [format!("at least once, every {interval} ms"), format!("exactly once, every {interval} ms")];
        text.push_str(&table("", target, [&names[0], &names[1]], &results));
    }
    Ok(text)
}

/// What a copy of so many bids comes to.
fn copied(events: u64) -> (u64, u64) {
    (0..events).fold((0, 0u64), |(n, sum), i| {
        let mut bid = Vec::new();
        write_bid(i, &mut bid);
        (n + 1, sum.wrapping_add(fingerprint(&bid)))
    })
}

/// W4, at least once.
fn w4(events: u64, runs: usize) -> Result<String> {
    let (mut oracle, mut bid) = (Auctions::default(), Vec::new());
    for i in 0..events {
        bid.clear();
        write_bid(i, &mut bid);
        oracle.add(0, &bid);
    }
    let mut expected = (0, 0_u64);
    oracle.rows(1, true, |row| {
        expected = (expected.0 + 1, expected.1.wrapping_add(fingerprint(row)));
        Ok::<(), stream_core::Error>(())
    })?;
    let what = "Count and greatest price per auction of {} bids in windows of ten seconds of event time, at least once, one \
                core. The bare loop keeps its windows in maps that nothing stores.";
    Ok(report(&what.replace("{}", &events.to_string()), "0.75", &race(["raw-w4", "ours-w4"], events, runs, expected)?))
}

/// W5, at least once into Kafka; the state is checkpointed exactly once.
fn w5(events: u64, runs: usize) -> Result<String> {
    let (mut oracle, mut bid, mut expected) = (Bidders::default(), Vec::new(), (0, 0_u64));
    for i in 0..events {
        bid.clear();
        write_bid(i, &mut bid);
        if let Some(row) = oracle.add(&bid) {
            expected = (expected.0 + 1, expected.1.wrapping_add(fingerprint(row)));
        }
    }
    let what = "A running count per bidder of {} bids by a million bidders, a row for every fourth of a bidder, at least once, \
                one core. stream-rs takes a checkpoint every five seconds, into a temporary directory; the bare loop stores \
                nothing but its offsets.";
    let target = "0.70, and at most 400 MB";
    Ok(report(&what.replace("{}", &events.to_string()), target, &race(["raw-w5", "ours-w5"], events, runs, expected)?))
}

/// Lets two contestants run in turns; only runs with the expected number and fingerprints of values count.
fn race(contestants: [&str; 2], events: u64, runs: usize, expected: (u64, u64)) -> Result<[Vec<Run>; 2]> {
    pin_broker();
    let admin = Admin::new(&bootstrap())?;
    let input = format!("bench-bids-{}", now_ms());
    admin.create_topic(&input, PARTITIONS, 1)?;
    eprintln!("filling {input} with {events} bids");
    fill(&input, events)?;
    let mut results: [Vec<Run>; 2] = [Vec::new(), Vec::new()];
    for round in 0..runs {
        for (who, result) in contestants.iter().zip(&mut results) {
            let output = format!("{input}-{who}-{round}");
            admin.create_topic(&output, PARTITIONS, 1)?;
            let run = measure(who, &input, &output, events)?;
            let written = read_back(&output)?;
            admin.delete_topic(&output)?;
            if written != expected {
                eprintln!("{who}: wrong result: {written:?}, expected {expected:?}");
                continue;
            }
            eprintln!(
                "{who:<5} {:>9.0} events/s  {:.3} us CPU/event  {:.0} MB",
                run.per_second, run.cpu_micros, run.peak_mb
            );
            result.push(run);
        }
    }
    admin.delete_topic(&input)?;
    Ok(results)
}

fn report(what: &str, target: &str, results: &[Vec<Run>; 2]) -> String {
    table(what, target, ["bare loop round librdkafka's batch queue", "stream-rs"], results)
}

fn table(what: &str, target: &str, names: [&str; 2], [raw, ours]: &[Vec<Run>; 2]) -> String {
    let median = |runs: &[Run], of: fn(&Run) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let mut table = format!("{what}\n\n| | events/s | CPU us/event | peak MB |\n| --- | ---: | ---: | ---: |\n");
    for (name, runs) in names.into_iter().zip([raw, ours]) {
        let (rate, cpu, peak) =
            (median(runs, |r| r.per_second), median(runs, |r| r.cpu_micros), median(runs, |r| r.peak_mb));
        table.push_str(&format!("| {name} | {rate:.0} | {cpu:.3} | {peak:.0} |\n"));
    }
    let ratio = |of: fn(&Run) -> f64| median(ours, of) / median(raw, of);
    let (rate, cpu) = (ratio(|r| r.per_second), ratio(|r| r.cpu_micros));
    table.push_str(&format!("| ratio (target: at least {target}) | {rate:.2} | {cpu:.2} | |\n"));
    table.push_str(&format!("\nMedians of {} and {} correct runs.\n", raw.len(), ours.len()));
    table
}

/// Runs one contestant in a process of its own.
fn measure(who: &str, from: &str, to: &str, events: u64) -> Result<Run> {
    let arguments = ["child", who, from, to, &events.to_string()];
    let output = pinned()?.args(arguments).output().map_err(|e| failed(e.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.lines().last().unwrap_or("").split(' ').filter_map(|w| w.parse().ok()).collect();
    let [records, millis, cpu, peak_mb] = numbers[..] else {
        return Err(failed(format!("{who} failed: {}", String::from_utf8_lossy(&output.stderr))));
    };
    Ok(Run { per_second: records / millis * 1e3, cpu_micros: cpu / records * 1e6, peak_mb })
}

fn fill(topic: &str, events: u64) -> Result<()> {
    let ctx = StreamingContext::new(Configuration::empty());
    KafkaSink::new(&ctx)
        .property("bootstrap.servers", bootstrap())
        .property("topic", topic)
        .serializer(|_: &u64| Vec::new())
        .with(|i: &u64, out: &mut ProducerRecord| write_bid(*i, out.value_buffer()))
        .sink(ctx.generate(events, |i| i));
    ctx.execute("fill").map(|_| ())
}

/// The number and the summed fingerprints of a topic's values.
fn read_back(topic: &str) -> Result<(u64, u64)> {
    let ctx = StreamingContext::new(Configuration::empty());
    let prints = KafkaSource::<u64>::new(&ctx)
        .property("bootstrap.servers", bootstrap())
        .property("topic", topic)
        .property("isolation.level", "read_committed")
        .decode(|raw: &RawRecord<'_>| Ok::<_, String>(fingerprint(raw.value().unwrap_or_default())))
        .starting_offsets(OffsetsInitializer::Earliest)
        .bounded()
        .values()
        .collect();
    ctx.execute("read back")?;
    Ok(prints.take().into_iter().fold((0, 0), |(n, sum), print| (n + 1, sum.wrapping_add(print))))
}
