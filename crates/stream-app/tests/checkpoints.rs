//! Checkpoints on the command line: a job that goes on where it was, and the commands that look at what is stored.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The example program, built beside the tests, with a directory for checkpoints.
struct Job(tempfile::TempDir);

impl Job {
    fn new() -> Job {
        Job(tempfile::tempdir().expect("a directory"))
    }

    fn directory(&self) -> PathBuf {
        self.0.path().join("checkpoints")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let test = std::env::current_exe().expect("the test's own path");
        let program: PathBuf = test.ancestors().nth(2).expect("target/<profile>").join("examples/squares");
        let mut command = Command::new(program);
        command.env_remove("RUST_LOG").current_dir(self.0.path()).args(arguments);
        command.args(["--set", "execution.checkpointing.interval=1s"]);
        if !arguments.iter().any(|argument| argument.contains("checkpointing.dir")) {
            command.args(["--set", &format!("execution.checkpointing.dir={}", self.directory().display())]);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        outcome(&mut self.command(arguments))
    }
}

fn outcome(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the example is built");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("not killed"), text(stdout), text(stderr))
}

fn files(path: &Path) -> usize {
    std::fs::read_dir(path).map_or(0, Iterator::count)
}

#[test]
fn a_job_goes_on_where_it_was() {
    let job = Job::new();
    let (code, out, err) = job.run(&["run"]);
    assert_eq!((code, out.as_str()), (0, "0\n4\n"), "{err}");
    assert!(files(&job.directory().join("squares")) > 0, "{err}");
    let (code, out, err) = job.run(&["run"]);
    assert_eq!((code, out.as_str()), (0, ""), "it had read everything: {err}");
    assert!(err.contains("going on from checkpoint"), "{err}");
}

#[test]
fn a_job_goes_on_from_the_checkpoint_it_is_told() {
    let job = Job::new();
    assert_eq!(job.run(&["run"]).0, 0);
    let (code, out, err) = job.run(&["run", "--from", "1"]);
    assert_eq!((code, out.as_str()), (0, "0\n4\n"), "the first is the one from before the first record: {err}");
    let (code, out, err) = job.run(&["run", "--from", "99"]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("there is no checkpoint 99") && err.contains("there are: "), "{err}");
    let none = ["run", "--from", "1", "--set", "flink.checkpoints.enable=false"];
    let (code, _, err) = outcome(Command::new(job.command(&[]).get_program()).current_dir(job.0.path()).args(none));
    assert_eq!(code, 2);
    assert!(err.contains("the job takes no checkpoints"), "{err}");
}

#[test]
fn validate_looks_at_the_directory_and_changes_nothing() {
    let job = Job::new();
    let (code, _, err) = job.run(&["validate"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("ok: checkpoints go to ") && !job.directory().exists(), "{err}");
    std::fs::write(job.directory(), "").expect("room");
    let (code, _, err) = job.run(&["validate"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("it is a file"), "{err}");
    let (code, _, err) = job.run(&["run"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("it is a file") && err.contains("set execution.checkpointing.dir"), "{err}");
}

#[test]
#[cfg(unix)]
fn validate_finds_a_directory_that_may_not_be_written() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let job = Job::new();
    // Where the superuser runs the tests everything may be written, so somebody else has to try.
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    mode(job.0.path(), 0o555);
    let mut command = job.command(&["validate"]);
    let is_superuser = std::fs::write(job.0.path().join("x"), "").is_ok();
    let program = PathBuf::from(command.get_program());
    if is_superuser {
        let copied = job.0.path().join("squares");
        std::fs::copy(program, &copied).expect("room");
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        command = Command::new(&copied);
        command.args(arguments).current_dir("/").uid(65534);
    }
    let (code, _, err) = outcome(&mut command);
    mode(job.0.path(), 0o755);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("permission denied") && err.contains("read and write access"), "{err}");
}

#[test]
fn a_bucket_needs_its_feature() {
    let job = Job::new();
    let (code, _, err) = job.run(&["validate", "--set", "execution.checkpointing.dir=hdfs://namenode/flink"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("hdfs://") && err.contains("is not known"), "{err}");
}

#[test]
fn state_is_shown_as_json() {
    let job = Job::new();
    assert_eq!(job.run(&["run"]).0, 0);
    let (code, _, err) = job.run(&["state", "read", "no-such-operator"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("has no operator with the uid `no-such-operator`"), "{err}");
}

/// The commands over the stored files of format version 1, which never change.
struct Stored(tempfile::TempDir);

impl Stored {
    fn new() -> Stored {
        let directory = tempfile::tempdir().expect("a directory");
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stream-core/tests/checkpoints/v1/totals");
        std::fs::create_dir(directory.path().join("totals")).expect("room");
        for entry in std::fs::read_dir(from).expect("it is in the repository") {
            let entry = entry.expect("readable");
            std::fs::copy(entry.path(), directory.path().join("totals").join(entry.file_name())).expect("room");
        }
        Stored(directory)
    }

    /// The file whose name begins with `prefix`.
    fn file(&self, prefix: &str) -> PathBuf {
        let files = std::fs::read_dir(self.0.path().join("totals")).expect("it is there");
        let mut files = files.map(|entry| entry.expect("readable").path());
        files
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)))
            .expect(prefix)
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let job = Job::new();
        let place = format!("execution.checkpointing.dir={}", self.0.path().display());
        job.run(&[arguments, &["--set", "pipeline.name=totals", "--set", &place]].concat())
    }
}

const NEWEST: &str = "manifest-00000000000000000002";

#[test]
fn checkpoints_are_listed() {
    let stored = Stored::new();
    let (code, out, err) = stored.run(&["checkpoint", "list"]);
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!("list", out);
    std::fs::remove_file(stored.file("data-")).expect("it is there");
    let (code, out, _) = stored.run(&["checkpoint", "list"]);
    assert_eq!(code, 0);
    insta::assert_snapshot!("list_damaged", out);
}

#[test]
fn a_checkpoint_is_inspected() {
    let stored = Stored::new();
    let (code, out, err) = stored.run(&["checkpoint", "inspect", "2"]);
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!("inspect", out);
    let (code, _, err) = stored.run(&["checkpoint", "inspect", "7"]);
    assert_eq!(code, 2);
    assert!(err.contains("there is no checkpoint 7") && err.contains("`checkpoint list`"), "{err}");
}

#[test]
fn damage_is_found_and_named() {
    let stored = Stored::new();
    for which in [&["checkpoint", "verify"][..], &["checkpoint", "verify", "2"]] {
        let (code, _, err) = stored.run(which);
        assert_eq!((code, err.as_str()), (0, ""));
    }
    let data = stored.file("data-");
    let mut bytes = std::fs::read(&data).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&data, bytes).expect("room");
    let (code, out, err) = stored.run(&["checkpoint", "verify"]);
    assert_eq!(code, 1, "{out}");
    insta::assert_snapshot!("verify_damaged", format!("{out}---\n{err}"));
    std::fs::write(stored.file(NEWEST), "short").expect("room");
    let (code, out, _) = stored.run(&["checkpoint", "verify", "2"]);
    assert_eq!(code, 1);
    insta::assert_snapshot!("verify_manifest", out);
}

#[test]
fn where_nothing_is_stored_nothing_is_made() {
    let job = Job::new();
    let (code, out, err) = job.run(&["checkpoint", "list"]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(err.contains("no checkpoint in ") && !job.directory().exists(), "{err}");
    let (code, _, err) =
        outcome(Command::new(job.command(&[]).get_program()).current_dir(job.0.path()).args(["checkpoint", "list"]));
    assert_eq!(code, 2);
    assert!(err.contains("execution.checkpointing.dir is not set"), "{err}");
}

/// A file that would be larger than allowed fails as on a disk that is full.
#[test]
#[cfg(unix)]
fn a_checkpoint_that_does_not_fit_leaves_nothing_and_is_made_good() {
    let job = Job::new();
    let mut whole = job.command(&["--set", "restart-strategy=none"]);
    let limited = |blocks: &str, job: &mut Command| {
        // Beyond the limit the system sends a signal; ignored, it makes the write fail instead.
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).arg(job.get_program()).args(job.get_args());
        outcome(shell.env_remove("RUST_LOG"))
    };
    let (code, _, err) = limited("0", &mut whole);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("the file is larger than what is allowed") && err.contains("ulimit -f"), "{err}");
    assert_eq!(files(&job.directory().join("squares")), 0, "not even a part of a file");
    let (code, out, err) = outcome(&mut whole);
    assert_eq!((code, out.as_str()), (0, "0\n4\n"), "{err}");
}
