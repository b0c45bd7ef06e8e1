//! Which layer wins, and what `explain` says about it.

use std::fs;

use stream_conf::{Configuration, ConfigurationBuilder, Format};

fn variables<const N: usize>(pairs: [(&str, &str); N]) -> [(String, String); N] {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))
}

fn arguments<const N: usize>(arguments: [&str; N]) -> [String; N] {
    arguments.map(str::to_owned)
}

fn text_of(builder: ConfigurationBuilder, key: &str) -> String {
    builder.build().unwrap().get(key).map_or_else(|| "-".to_owned(), |entry| entry.text().to_owned())
}

#[test]
fn every_layer_wins_over_the_one_below() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("application.yml");
    fs::write(&path, "k: file\n").unwrap();
    fs::write(folder.path().join("application-prod.yml"), "k: profile\n").unwrap();
    let second = folder.path().join("second.toml");
    fs::write(&second, "k = 'second'\n").unwrap();

    let builder = || Configuration::builder().defaults([("k", "default")]);
    assert_eq!(text_of(builder(), "k"), "default");
    assert_eq!(text_of(builder().file(&path), "k"), "file");
    assert_eq!(text_of(builder().file(&path).file(&second), "k"), "second");
    assert_eq!(text_of(builder().file(&path).file(&second).profile("prod"), "k"), "profile");
    let builder = || {
        let builder = Configuration::builder().defaults([("k", "default")]).file(&path).file(&second);
        builder.profile("prod").env(variables([("STREAM__K", "environment")]))
    };
    assert_eq!(text_of(builder(), "k"), "environment");
    assert_eq!(text_of(builder().args(arguments(["--set", "k=argument"])), "k"), "argument");
    let all = builder().args(arguments(["--set", "k=argument"])).set("k", "program").build().unwrap();
    let folder = folder.path().display();
    assert_eq!(
        all.explain("k"),
        format!(
            "k = program\n  from set by the program\n  overrides argument from command line --set k\n  \
             overrides environment from environment variable STREAM__K\n  \
             overrides profile from {folder}/application-prod.yml:1:4\n  \
             overrides second from {folder}/second.toml:1:5\n  \
             overrides file from {folder}/application.yml:1:4\n  overrides default from default"
        )
    );
}

#[test]
fn an_absent_value_overrides_nothing_and_an_empty_one_does() {
    let builder = |text: &str| Configuration::builder().defaults([("k", "d")]).text("a.yml", Format::Yaml, text);
    assert_eq!(text_of(builder("k:\n"), "k"), "d");
    assert_eq!(text_of(builder("k: ''\n"), "k"), "");
    assert_eq!(text_of(builder("k: x\n").env(variables([("STREAM__K", "")])), "k"), "x");
    assert_eq!(text_of(builder("k: x\n").args(arguments(["--set", "k="])), "k"), "");
}

#[test]
fn a_list_replaces_a_list() {
    let builder = Configuration::builder().text("a.yml", Format::Yaml, "t: [a, b]\n");
    assert_eq!(text_of(builder.text("b.yml", Format::Yaml, "t: [c]\n"), "t"), "c");
}

#[test]
fn variables_reach_the_keys_of_files() {
    let builder = Configuration::builder()
        .known_keys(["bootstrap.servers", "group.id", "on_bad_record"])
        .text("a.yml", Format::Yaml, "kafka.source:\n  My_Orders:\n    topic: t\n  clicks-eu.group.id: g\n")
        .env(variables([
            ("STREAM__KAFKA__SOURCE__MY_ORDERS__TOPIC", "1"),
            ("STREAM__KAFKA__SOURCE__MY_ORDERS__BOOTSTRAP_SERVERS", "2"),
            ("STREAM__KAFKA__SOURCE__CLICKS_EU__ON_BAD_RECORD", "3"),
            ("STREAM__APP__KAFKA__SINK__TOPIC", "4"),
            ("STREAMS__X", "no"),
            ("STREAM__", "no"),
            ("PATH", "no"),
        ]));
    assert_eq!(
        crate::flat(&builder.build().unwrap()),
        [
            "kafka.sink.topic = 4",
            "kafka.source.My_Orders.bootstrap.servers = 2",
            "kafka.source.My_Orders.topic = 1",
            "kafka.source.clicks-eu.group.id = g",
            "kafka.source.clicks-eu.on_bad_record = 3",
        ]
    );
}

#[test]
fn two_variables_for_one_key_are_refused() {
    let builder = Configuration::builder().env(variables([("STREAM__A__B", "1"), ("STREAM__A_B", "2")]));
    assert_eq!(
        builder.build().unwrap_err().to_string(),
        "error[config]: two environment variables set the same key\n  --> environment variable STREAM__A__B\n   \
         = key: a.b\n   = note: also set by environment variable STREAM__A_B\n   = help: keep one of the two"
    );
}

#[test]
fn the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (one, two, three) = (path("1.yml", "a: 1\nb: 1\n"), path("2.yml", "b: 2\n"), path("3.yml", "c: 3\n"));
    path("1.prod.yml", "p: prod\n");
    let builder = Configuration::builder().known_keys(["parallelism"]).args(arguments([
        "--conf",
        &one,
        &two,
        "--conf",
        &three,
        "--profile",
        "prod",
        "--set",
        "d=4",
        "--set=e=x=y",
        "--kafka.source.topic",
        "t",
        "--kafka.sink.topic=a=b",
        "--app.name",
        "job",
        "--parallelism",
        "2",
        "--set",
        "d=5",
        "--neg.ative",
        "-1",
    ]));
    let configuration = builder.build().unwrap();
    assert_eq!(
        crate::flat(&configuration),
        [
            "a = 1",
            "b = 2",
            "c = 3",
            "d = 5",
            "e = x=y",
            "kafka.sink.topic = a=b",
            "kafka.source.topic = t",
            "name = job",
            "neg.ative = -1",
            "p = prod",
            "parallelism = 2",
        ]
    );
    assert_eq!(configuration.get("app.name").unwrap().origin().to_string(), "command line --app.name");
    assert!(configuration.check_claimed(&["a", "b", "c", "d", "e", "kafka", "neg", "p", "parallelism"]).is_ok());
}

#[test]
fn mistakes_on_the_command_line() {
    for (given, message, hint) in [
        (vec!["--profil", "x"], "unknown option `--profil`", "did you mean `--profile`?"),
        (vec!["--topic", "x"], "unknown option `--topic`", "a key without a dot is set with `--set topic=VALUE`"),
        (vec!["x"], "unexpected argument `x`", ""),
        (vec!["-Dk=v"], "unexpected argument `-Dk=v`", ""),
        (vec!["--"], "unexpected argument `--`", ""),
        (vec!["--set"], "the option `--set` has no value", ""),
        (vec!["--set", "kv"], "`--set` needs an assignment", "write `--set KEY=VALUE`"),
        (vec!["--set", "=v"], "the key is empty", ""),
        (vec!["--a.b", "--c.d", "1"], "the option `--a.b` has no value", ""),
        (vec!["--a..b", "1"], "the key has an empty part between its dots", ""),
        (vec!["--conf"], "the option `--conf` has no value", ""),
    ] {
        let error = Configuration::builder().args(given.iter().map(|text| (*text).to_owned())).build().unwrap_err();
        let problem = &error.problems()[0];
        assert_eq!(problem.message(), message);
        assert!(problem.hint().unwrap_or_default().starts_with(hint), "{error}");
    }
}

#[test]
fn a_default_file_gives_way_to_conf() {
    let folder = tempfile::tempdir().unwrap();
    let default = folder.path().join("application.yml");
    let other = folder.path().join("other.yml");
    fs::write(&default, "k: default\nonly: default\n").unwrap();
    fs::write(&other, "k: other\n").unwrap();
    assert_eq!(text_of(Configuration::builder().default_file(&default), "k"), "default");
    let builder =
        || Configuration::builder().default_file(&default).args(["--conf".to_owned(), other.display().to_string()]);
    assert_eq!(text_of(builder(), "k"), "other");
    assert_eq!(text_of(builder(), "only"), "-");
    assert_eq!(text_of(Configuration::builder().default_file(folder.path().join("none.yml")), "k"), "-");
}

#[test]
fn explaining_what_is_not_there() {
    let configuration = crate::yaml("kafka.source:\n  topic: t\n  group.id: ' g'\n").unwrap();
    assert_eq!(
        configuration.explain("kafka.source.topci"),
        "kafka.source.topci is not set; did you mean `kafka.source.topic`?"
    );
    assert_eq!(configuration.explain("zzz"), "zzz is not set");
    assert_eq!(configuration.explain("app.kafka.source"), configuration.explain_all());
    assert_eq!(
        configuration.explain_all(),
        "kafka.source.group.id = \" g\"\n  from application.yml:3:13\nkafka.source.topic = t\n  from application.yml:2:10"
    );
    assert_eq!(Configuration::empty().explain_all(), "");
}

#[test]
fn unclaimed_keys() {
    let configuration = crate::yaml(
        "kafka.sorce.topic: a\ncheckpiont.interval: b\nother: c\napp:\n  kafka.snk.topic: d\n  my.limit: e\n  limit: f\n",
    )
    .unwrap();
    let error = configuration.check_claimed(&["kafka.source", "kafka.sink", "checkpoint"]).unwrap_err();
    let found: Vec<_> =
        error.problems().iter().map(|problem| (problem.key().unwrap(), problem.hint().unwrap())).collect();
    assert_eq!(
        found,
        [
            ("checkpiont.interval", "did you mean `checkpoint`?"),
            ("kafka.snk.topic", "did you mean `kafka.sink`?"),
            ("kafka.sorce.topic", "did you mean `kafka.source`?"),
            ("other", "check the spelling, or remove it"),
        ]
    );
    let user: Vec<String> = configuration.section("app").iter().map(|(key, _)| key.to_owned()).collect();
    assert_eq!(user, ["kafka.snk.topic", "limit", "my.limit"]);
}
