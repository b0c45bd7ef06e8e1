//! Configurations as people write them, and the settings, mistakes and warnings they give.

use stream_conf::Format;

use super::table::Place;
use super::*;

const STREAMPARK_1: &str = "\
flink:
  deployment:
    property:
      $internal.application.main: com.example.QuickStartApp
      yarn.application.name: quickstart
      taskmanager.numberOfTaskSlots: 1
      parallelism.default: 2
      jobmanager.memory:
        flink.size:
        process.size: 1024m
    option:
      target: application
      detached:
  checkpoints:
    enable: true
    interval: 30000
    mode: EXACTLY_ONCE
    timeout: 300000
    cleanup: RETAIN_ON_CANCELLATION
    maxConcurrent: 1
    minPauseBetween: 500
    unaligned: true
  watermark:
    interval: 10000
    time.characteristic: EventTime
  restart-strategy:
    value: fixed-delay
    fixed-delay:
      attempts: 3
      delay: 5000
    failure-rate:
      max-failures-per-interval:
      failure-rate-interval:
      delay:
  state:
    backend:
      value: rocksdb
      incremental: true
      rocksdb.block.cache-size: 64mb
    checkpoint-storage: filesystem
    checkpoints.dir: file:///tmp/chkdir
    savepoints.dir: file:///tmp/svdir
  execution.runtime-mode: STREAMING
";

const STREAMPARK_2: &str = "\
flink:
  option:
    target: yarn-per-job
    detached: true
  property:
    $internal.application.main: org.example.QuickStartApp
    pipeline.name: quickstart
    taskmanager.numberOfTaskSlots: 1
    parallelism.default: 2
    jobmanager.memory:
      process.size: 1024m
    pipeline:
      auto-watermark-interval: 10s
    execution:
      runtime-mode: STREAMING
      checkpointing:
        mode: EXACTLY_ONCE
        interval: 30s
        timeout: 5min
        min-pause: 500
        unaligned: true
        externalized-checkpoint-retention: RETAIN_ON_CANCELLATION
    state:
      backend: rocksdb
      backend.incremental: true
      checkpoint-storage: filesystem
      checkpoints.dir: file:///tmp/chkdir
      savepoints.dir: file:///tmp/svdir
    restart-strategy: fixed-delay
    restart-strategy.fixed-delay:
      attempts: 3
      delay: 5000
    restart-strategy.failure-rate:
      max-failures-per-interval:
      failure-rate-interval:
      delay:
app:
  my.limit: 3
";

const FLINK: &str = "\
pipeline:
  name: quickstart
  auto-watermark-interval: 10000 ms
parallelism.default: 2
execution:
  runtime-mode: streaming
  checkpointing:
    mode: exactly-once
    interval: 30 seconds
    timeout: 300 s
    min-pause: 500ms
    unaligned.enabled: true
    externalized-checkpoint-retention: retain_on_cancellation
    incremental: true
    storage: filesystem
    dir: file:///tmp/chkdir
    savepoint-dir: file:///tmp/svdir
restart-strategy:
  type: fixed-delay
  fixed-delay: {attempts: 3, delay: 5s}
state.backend.type: rocksdb
";

fn reading(yaml: &str) -> Reading {
    let configuration = Configuration::builder().text("application.yml", Format::Yaml, yaml).build();
    read(&configuration.expect("the text can be read"))
}

fn settings(yaml: &str) -> JobSettings {
    let reading = reading(yaml);
    assert!(reading.problems.is_empty(), "{}", mistakes(yaml));
    reading.settings
}

fn mistakes(yaml: &str) -> String {
    let mut problems = reading(yaml).problems;
    problems.sort_by_key(|problem| problem.origin().cloned());
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

fn warnings(yaml: &str) -> String {
    assert_eq!(mistakes(yaml), "");
    reading(yaml).warnings.join("\n")
}

#[test]
fn nothing_said_is_flinks_defaults() {
    let expected = JobSettings {
        name: None,
        application: "default".to_owned(),
        parallelism: 1,
        max_parallelism: 256,
        runtime_mode: RuntimeMode::Streaming,
        auto_watermark_interval: None,
        checkpointing: None,
        restart: RestartStrategy::None,
        state: StateSettings {
            backend: StateBackend::Memory,
            incremental: true,
            checkpoint_storage: CheckpointStorage::Memory,
            checkpoints_dir: None,
            savepoints_dir: None,
            retained: 3,
            allow_non_restored: false,
        },
    };
    assert_eq!(JobSettings::default(), expected);
    assert_eq!(warnings(""), "");
}

#[test]
fn old_and_new_spellings_give_equal_settings() {
    let expected = JobSettings {
        name: Some("quickstart".to_owned()),
        application: "default".to_owned(),
        parallelism: 2,
        max_parallelism: 256,
        runtime_mode: RuntimeMode::Streaming,
        auto_watermark_interval: Some(Duration::from_secs(10)),
        checkpointing: Some(Checkpointing {
            interval: Duration::from_secs(30),
            mode: CheckpointMode::ExactlyOnce,
            timeout: Some(Duration::from_secs(300)),
            min_pause: Duration::from_millis(500),
            max_concurrent: 1,
            unaligned: true,
            retention: CheckpointRetention::RetainOnCancellation,
            tolerable_failures: 0,
        }),
        restart: RestartStrategy::FixedDelay { attempts: 3, delay: Duration::from_secs(5) },
        state: StateSettings {
            backend: StateBackend::Memory,
            incremental: true,
            checkpoint_storage: CheckpointStorage::Files,
            checkpoints_dir: Some("file:///tmp/chkdir".to_owned()),
            savepoints_dir: Some("file:///tmp/svdir".to_owned()),
            retained: 3,
            allow_non_restored: false,
        },
    };
    let below_app = |text: &str| text.lines().fold("app:\n".to_owned(), |all, line| all + "  " + line + "\n");
    assert_eq!(settings(STREAMPARK_2), expected);
    assert_eq!(settings(FLINK), expected);
    assert_eq!(settings(&below_app(FLINK)), expected);
    // StreamPark 1 kept the name in `yarn.application.name`.
    let expected = JobSettings { name: None, ..expected };
    assert_eq!(settings(STREAMPARK_1), expected);
    assert_eq!(settings(&below_app(STREAMPARK_1)), expected);
}

#[test]
fn every_spelling_of_every_setting_is_found() {
    for info in keys() {
        for spelling in std::iter::once(&info.key).chain(&info.spellings) {
            let key = spelling.replace("<...>", "anything");
            let found = table::find(&key).unwrap_or_else(|| panic!("{key} is not found"));
            assert!(spelling.ends_with(found.0.key) || !spelling.ends_with("<...>"), "{key} finds {}", found.0.key);
        }
    }
    let mut all: Vec<String> = keys().into_iter().flat_map(|info| [vec![info.key], info.spellings].concat()).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "a spelling belongs to two rows");
}

#[test]
fn defaults_pass_their_own_rules() {
    for row in table::ROWS {
        for default in [row.default, row.old_default] {
            assert!(default.is_empty() || row.rule.parse(default).is_ok(), "{}: {default}", row.key);
        }
    }
    assert!(Place::Job.prefixes().contains(&""));
}

#[test]
fn streampark_1_has_defaults_of_its_own() {
    let settings = settings(
        "flink:\n  checkpoints.enable: true\n  restart-strategy.value: failure-rate\n  state.backend.value: hashmap\n",
    );
    let checkpointing = settings.checkpointing.expect("on");
    assert_eq!(checkpointing.interval, Duration::from_secs(1));
    assert_eq!(checkpointing.retention, CheckpointRetention::RetainOnCancellation);
    let (interval, delay) = (Duration::from_secs(300), Duration::from_secs(5));
    assert_eq!(settings.restart, RestartStrategy::FailureRate { max_failures: 3, interval, delay });
}

#[test]
fn checkpoints_bring_a_restart_strategy() {
    let settings = settings("execution.checkpointing.interval: 10s\nstate.checkpoints.dir: /var/lib/job\n");
    let expected = RestartStrategy::ExponentialDelay {
        initial_backoff: Duration::from_secs(1),
        max_backoff: Duration::from_secs(60),
        multiplier: 1.5,
        reset_after: Duration::from_secs(3600),
        jitter: 0.1,
        attempts: None,
    };
    assert_eq!(settings.restart, expected);
    assert_eq!(settings.state.checkpoint_storage, CheckpointStorage::Files);
}

#[test]
fn switches_of_checkpoints() {
    let is_on = |yaml: &str| settings(yaml).checkpointing.is_some();
    assert!(is_on("execution.checkpointing.interval: 10\n"));
    assert!(!is_on("execution.checkpointing.interval: 0\n"));
    assert!(!is_on("execution.checkpointing.mode: EXACTLY_ONCE\n"));
    assert!(is_on("flink.checkpoints.enable: TRUE\n"));
    assert!(!is_on("flink.checkpoints: {enable: false, interval: 1000}\n"));
    assert!(!is_on("flink.checkpoints.interval: 1000\n"));
    assert!(is_on("flink.checkpoints.enable: true\nexecution.checkpointing.interval: 1min\n"));
}

#[test]
fn two_spellings_may_agree_but_not_disagree() {
    assert_eq!(settings("parallelism.default: 2\nflink.property.parallelism.default: 02\n").parallelism, 2);
    assert_eq!(mistakes("restart-strategy: none\nrestart-strategy.type: off\n"), "");
    insta::assert_snapshot!(mistakes("parallelism.default: 2\nflink.property:\n  parallelism.default: 3\n"), @r"
    error[config]: `parallelism.default` is set twice, to different values
      --> application.yml:1:22
       |
     1 | parallelism.default: 2
       |                      ^
       = key: parallelism.default
       = note: also set as `flink.property.parallelism.default` at application.yml:3:24
       = help: keep one of the two; to override a file, use the spelling of the file
    ");
}

#[test]
fn bad_values_are_reported_together() {
    let text = "\
parallelism.default: many
execution:
  runtime-mode: STREAM
  checkpointing:
    interval: 5
    timeout: 10 fortnights
    max-concurrent-checkpoints: 0
    unaligned: maybe
restart-strategy.exponential-delay:
  backoff-multiplier: 0.5
  jitter-factor: 2
state.checkpoints.dir: ''
flink.restart-strategy.value: sometimes
";
    insta::assert_snapshot!(mistakes(text));
}

#[test]
fn settings_that_do_not_go_together() {
    let text = "\
parallelism.default: 9
pipeline.max-parallelism: 8
flink.checkpoints.enable: false
execution.checkpointing.interval: 10s
restart-strategy.type: exponential-delay
restart-strategy.exponential-delay.max-backoff: 1 ms
";
    insta::assert_snapshot!(mistakes(text));
    insta::assert_snapshot!(mistakes("flink.checkpoints: {enable: true, interval: 0}\n"), @r"
    error[config]: checkpoints are switched on, but have no interval
      --> application.yml:1:45
       |
     1 | flink.checkpoints: {enable: true, interval: 0}
       |                                             ^
       = key: flink.checkpoints.interval
       = note: the other is `flink.checkpoints.enable` at application.yml:1:29
       = help: write an interval such as `10s`
    ");
}

#[test]
fn misspelt_keys_are_errors_and_strange_ones_are_not() {
    let text = "\
execution.checkpointing.intervall: 10s
flink.property.execution.checkpoint.interval: 10s
flink.checkpoints.enabled: true
flink.option.detach: true
state.of.the.union: good
";
    insta::assert_snapshot!(mistakes(text));
    let strange = "\
flink.property.web.upload.dir: /tmp
flink.property.s3.endpoint: http://localhost
flink.property.execution.checkpointing.write-buffer: 1
flink.whatever: 1
app.state.of.the.union: good
";
    insta::assert_snapshot!(warnings(strange), @r"
    `flink.property.web.upload.dir` (application.yml:1:32) has no effect: there is no REST interface and no web page yet
    `flink.property.s3.endpoint` (application.yml:2:29) has no effect: no setting of this name is known
    `flink.property.execution.checkpointing.write-buffer` (application.yml:3:54) has no effect: no setting of this name is known
    `flink.whatever` (application.yml:4:17) has no effect: no setting of this name is known
    ");
}

#[test]
fn warnings_say_what_holds_instead() {
    insta::assert_snapshot!("streampark_1", warnings(STREAMPARK_1));
    insta::assert_snapshot!("streampark_2", warnings(STREAMPARK_2));
}

#[test]
fn what_holds_anyway_needs_no_warning() {
    let text = "\
execution.runtime-mode: STREAMING
execution.checkpointing: {interval: 0, mode: EXACTLY_ONCE, unaligned: false}
restart-strategy: none
flink.checkpoints: {enable: false, interval: 1000}
restart-strategy.fixed-delay.attempts: 3
";
    assert_eq!(warnings(&text.replace("interval: 0, ", "")), "");
    let idle = "execution.checkpointing.mode: EXACTLY_ONCE\nrestart-strategy.fixed-delay.attempts: 3\n";
    insta::assert_snapshot!(warnings(idle), @r"
    `execution.checkpointing.mode` (application.yml:1:31): no effect without `execution.checkpointing.interval`
    `restart-strategy.fixed-delay.attempts` (application.yml:2:40): no effect without `restart-strategy.type`
    ");
    insta::assert_snapshot!(warnings("flink.checkpoints.interval: 1000\n"), @"`flink.checkpoints.interval` (application.yml:1:29): no effect without `flink.checkpoints.enable: true`");
}

#[test]
fn a_secret_in_the_wrong_place_is_not_shown() {
    let configuration = Configuration::builder()
        .text("application.yml", Format::Yaml, "parallelism.default: hunter2\n")
        .secret_keys(["parallelism.default"])
        .build()
        .expect("reads");
    let problems = read(&configuration).problems;
    assert_eq!(problems.len(), 1);
    assert!(!problems[0].to_string().contains("hunter2"), "{}", problems[0]);
}
