//! The command line of a job as people and supervisors use it: commands, exit codes, signals.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use stream_core::clock::{Clock, SystemClock};

/// The example program, built beside the tests.
fn squares() -> Command {
    let test = std::env::current_exe().expect("the test's own path");
    let program: PathBuf = test.ancestors().nth(2).expect("target/<profile>").join("examples/squares");
    let mut command = Command::new(program);
    command.env_remove("RUST_LOG").current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = squares().args(arguments).output().expect("the example is built");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("not killed"), text(stdout), text(stderr))
}

#[test]
fn without_a_command_the_job_runs() {
    for arguments in [&[][..], &["run"], &["--set", "app.count=3"], &["--app.count", "3"]] {
        let (code, out, err) = run(arguments);
        assert_eq!((code, out.as_str()), (0, "0\n4\n"), "{err}");
        assert!(err.contains("job `squares` finished"), "{err}");
    }
}

#[test]
fn the_plan_is_printed_in_every_format() {
    for (format, part) in
        [("text", "source generate"), ("dot", "digraph"), ("mermaid", "flowchart"), ("json", "\"nodes\"")]
    {
        let (code, out, err) = run(&["graph", "--format", format]);
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.contains(part), "{format}: {out}");
    }
}

#[test]
fn explain_says_where_a_value_comes_from() {
    let (code, out, _) = run(&["config", "explain", "app.count", "--set", "app.count=5"]);
    assert_eq!(code, 0);
    assert!(out.contains('5') && out.contains("command line"), "{out}");
}

#[test]
fn keys_are_listed_with_what_becomes_of_them() {
    let (code, out, err) = run(&["config", "keys"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let line = |key: &str| out.lines().find(|line| line.starts_with(&format!("{key} "))).unwrap_or_default().to_owned();
    assert!(out.starts_with("KEY "), "{out}");
    assert!(line("parallelism.default").contains("whole number") && line("parallelism.default").contains("acted on"));
    assert!(line("execution.checkpointing.savepoint-dir").contains("there are no savepoints yet"), "{out}");
    assert!(line("flink.option.target").contains("one process, no deployment target"), "{out}");

    let (code, out, _) = run(&["config", "keys", "restart-strategy.fixed"]);
    assert_eq!(code, 0);
    let keys: Vec<&str> = out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(keys, ["KEY", "restart-strategy.fixed-delay.attempts", "restart-strategy.fixed-delay.delay"]);

    // An old spelling is listed as such.
    let (_, out, _) = run(&["config", "keys", "flink.checkpoints.mode"]);
    assert!(out.contains("as execution.checkpointing.mode: "), "{out}");

    let (code, out, err) = run(&["config", "keys", "nothing.like.it"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("no key of this job begins with `nothing.like.it`"), "{err}");
}

/// Whoever looks for the right key may have a wrong one in the file.
#[test]
fn keys_are_listed_in_spite_of_mistakes() {
    let (code, out, _) = run(&["config", "keys", "--set", "paralelism.default=2"]);
    assert_eq!(code, 0);
    assert!(out.contains("parallelism.default"), "{out}");
    let (code, out, err) = run(&["config", "keys", "--set", "app.count=many"]);
    assert_eq!(code, 2);
    assert!(out.contains("parallelism.default") && err.contains("`many` is not"), "{out}{err}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut job = squares().args(["config", "keys"]).stdout(Stdio::piped()).spawn().expect("the example is built");
    drop(job.stdout.take());
    assert_eq!(job.wait().expect("wait").code(), Some(0));
}

#[test]
fn settings_of_the_job_come_from_everywhere() {
    let (code, out, err) = run(&["graph", "--set", "flink.property.pipeline.name=named"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("named"), "{out}");
    let output = squares()
        .args(["validate"])
        .env("STREAM__RESTART_STRATEGY__TYPE", "fixed-delay")
        .env("STREAM__RESTART_STRATEGY__FIXED_DELAY__DELAY", "soon")
        .output();
    let err = String::from_utf8(output.expect("the example is built").stderr).expect("UTF-8");
    assert!(err.contains("`soon` is not a duration") && err.contains("restart-strategy.fixed-delay.delay"), "{err}");
}

#[test]
fn mistakes_exit_with_2() {
    for (arguments, part) in [
        (&["--set", "app.count=many"][..], "`many` is not"),
        (&["--set", "paralelism.default=2"], "did you mean `parallelism`?"),
        (&["--conf", "missing.yml"], "missing.yml"),
        (&["--log", "no=such=filter"], "is not a filter"),
        (&["bogus"], "unrecognized subcommand 'bogus'"),
        (&["graph", "--format", "png"], "invalid value 'png'"),
    ] {
        let (code, _, err) = run(arguments);
        assert_eq!(code, 2, "{arguments:?}: {err}");
        assert!(err.contains(part), "{arguments:?}: {err}");
    }
}

#[test]
fn validate_checks_without_running() {
    let (code, out, err) = run(&["validate"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("source generate") && err.contains("are valid"), "{out}{err}");
    let warned = ["validate", "--deny-warnings", "--set", "execution.runtime-mode=BATCH"];
    let (code, _, err) = run(&warned);
    assert_eq!(code, 2);
    assert!(err.contains("execution.runtime-mode") && err.contains("1 warning"), "{err}");
}

#[test]
fn help_and_completion_go_to_standard_output() {
    let (code, out, _) = run(&["--help"]);
    assert_eq!(code, 0);
    assert!(out.contains("--conf <FILE>") && out.contains("Exit codes"), "{out}");
    let (code, out, _) = run(&["completion", "bash"]);
    assert_eq!(code, 0);
    assert!(out.contains("validate"), "{out}");
}

#[test]
fn json_logs_are_json() {
    let (code, _, err) = run(&["--log-format", "json"]);
    assert_eq!(code, 0);
    assert!(err.lines().count() > 0 && err.lines().all(|l| l.starts_with('{') && l.ends_with('}')), "{err}");
}

/// A job without end that has begun to print.
fn endless(arguments: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = squares();
    command.args(["--app.count", "18446744073709551615"]).args(arguments);
    let mut job = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the example is built");
    let mut out = BufReader::new(job.stdout.take().expect("piped"));
    out.read_line(&mut String::new()).expect("a first line");
    (job, out)
}

fn signal(job: &Child) {
    assert!(Command::new("kill").args(["-TERM", &job.id().to_string()]).status().expect("kill").success());
}

#[test]
fn the_first_signal_stops_well() {
    let (mut job, mut out) = endless(&[]);
    signal(&job);
    // Somebody must read, or the job waits for room in the pipe.
    std::io::copy(&mut out, &mut std::io::sink()).expect("reads to the end");
    assert_eq!(job.wait().expect("wait").code(), Some(0));
}

/// Waits until a thread of the job can't go on because the pipe to us is full.
#[cfg(target_os = "linux")]
fn wait_for_a_full_pipe(job: &Child) {
    let is_writing = || {
        let threads = std::fs::read_dir(format!("/proc/{}/task", job.id())).expect("it runs");
        let waits_in = threads.flatten().map(|thread| std::fs::read_to_string(thread.path().join("wchan")));
        waits_in.flatten().any(|place| place.contains("pipe_write"))
    };
    let clock = SystemClock::new();
    while !is_writing() {
        assert!(clock.monotonic() < Duration::from_secs(20), "the pipe does not get full");
        std::thread::yield_now();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_grace_time_is_kept() {
    // Nobody reads its output, so the job can't drain: it is cut off.
    let (mut job, out) = endless(&["--grace", "300 ms"]);
    wait_for_a_full_pipe(&job);
    signal(&job);
    let deadline = Duration::from_secs(20);
    let (sender, receiver) = std::sync::mpsc::channel();
    let waiting = std::thread::scope(|scope| {
        scope.spawn(|| {
            let code = job.wait().expect("wait").code();
            sender.send(code).expect("the test waits");
        });
        let code = receiver.recv_timeout(deadline);
        drop(out);
        code
    });
    assert_eq!(waiting, Ok(Some(1)), "ends by itself, with exit code 1");
}

/// A mistake in a file, as the program reports it in this environment.
fn mistake(environment: &[(&str, &str)]) -> String {
    let mut job = squares();
    job.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env("TERM", "xterm");
    job.envs(environment.iter().copied()).args(["--set", "app.count=many"]);
    let output = job.output().expect("the example is built");
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn a_pipe_gets_no_colours_unless_it_wants_them() {
    let plain = mistake(&[]);
    assert!(plain.starts_with("error[config]: `many` is not"), "{plain}");
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    let coloured = mistake(&[("CLICOLOR_FORCE", "1")]);
    assert!(coloured.contains("\u{1b}[31merror[config]\u{1b}[0m"), "{coloured:?}");
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_gets_colours_unless_no_color_is_set() {
    // `script` runs a program on a terminal of its own.
    let on_a_terminal = |no_color: bool| {
        let program = squares().get_program().to_string_lossy().into_owned();
        let mut script = Command::new("script");
        script.args(["-qec", &format!("'{program}' --set app.count=many"), "/dev/null"]);
        script.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env("TERM", "xterm").stdin(Stdio::null());
        if no_color {
            script.env("NO_COLOR", "1");
        }
        let output = script.output().expect("script, of util-linux, is on every Linux");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let coloured = on_a_terminal(false);
    assert!(coloured.contains("\u{1b}[31merror[config]\u{1b}[0m"), "{coloured:?}");
    assert!(coloured.contains("\u{1b}[32mhelp:\u{1b}[0m"), "{coloured:?}");
    let plain = on_a_terminal(true);
    assert!(plain.contains("error[config]: `many` is not") && !plain.contains('\u{1b}'), "{plain:?}");
}
