//! `${env:…}` and `${file:…}`: what they give, and what they must never give.

use std::fs;

use stream_conf::{Configuration, Error, Format};

use crate::flat;

fn with_environment(text: &str) -> Result<Configuration, Error> {
    let variables = [
        ("HOST", "kfk1"),
        ("EMPTY", ""),
        ("EVIL", "x\nkafka.sink: y: z # \"'${env:HOST}"),
        ("STREAM__FROM_ENV", "${env:HOST}"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Configuration::builder().env(variables).text("a.yml", Format::Yaml, text).build()
}

#[test]
fn variables() {
    let configuration = with_environment(
        "a: ${env:HOST}:9092,${env:HOST}:9093\nb: ${env:NONE:-fallback}\nc: ${env:EMPTY:-fallback}\nd: '${env:EMPTY}'\n\
         e: ${env:EMPTY}\nf: $${env:HOST}\ng: a$b${env:NONE:-}c\nh: ['${env:HOST}', x]\ni: \"q${env:HOST}\"\n\
         j: ${env:NONE:-a:b-c}\n${env:HOST}: key\n",
    )
    .unwrap();
    assert_eq!(
        flat(&configuration),
        [
            "${env:HOST} = key",
            "a = kfk1:9092,kfk1:9093",
            "b = fallback",
            "c = fallback",
            "d = ",
            "f = ${env:HOST}",
            "from.env = ${env:HOST}",
            "g = a$bc",
            "h = kfk1,x",
            "i = qkfk1",
            "j = a:b-c",
        ]
    );
    assert_eq!(configuration.get("a").unwrap().origin().to_string(), "a.yml:1:4");
}

#[test]
fn what_comes_in_stays_one_scalar() {
    let configuration = with_environment("a: ${env:EVIL}\nb: [\"${env:EVIL}\"]\n").unwrap();
    assert_eq!(configuration.keys().collect::<Vec<_>>(), ["a", "b", "from.env"]);
    let evil = "x\nkafka.sink: y: z # \"'${env:HOST}";
    assert_eq!(configuration.get("a").unwrap().text(), evil);
    assert_eq!(configuration.get("b").unwrap().value().items(), [evil]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("evil"), format!("{evil}\r\n")).unwrap();
    fs::write(folder.path().join("a.toml"), "a = '${file:evil}'\n").unwrap();
    let configuration = Configuration::builder().file(folder.path().join("a.toml")).build().unwrap();
    assert_eq!(flat(&configuration), [format!("a = {evil}")]);
}

#[test]
fn failures_stand_at_the_scalar() {
    for (text, message) in [
        ("${env:NONE}", "the environment variable `NONE` is not set"),
        ("x${env:HOST", "`${` without `}`"),
        ("${HOST}", "`${…}` is neither `${env:NAME}` nor `${file:path}`"),
        ("${vault:x:y}", "`${…}` is neither `${env:NAME}` nor `${file:path}`"),
        ("${file:/no/such/file}", "cannot read the file `/no/such/file`: there is no such file"),
    ] {
        let error = with_environment(&format!("k:\n  a:  \"{text}\"\n")).unwrap_err();
        assert_eq!(error.problems()[0].message(), message);
        assert_eq!(error.problems()[0].key(), Some("k.a"));
        assert_eq!(error.problems()[0].origin().unwrap().to_string(), "a.yml:2:7");
    }
}

#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("one", b"line\nsecond\n\n");
    write("keys.properties", b"user = u\npassword = p q\nempty =\n");
    write("binary", b"\xff\xfe");
    write("limit", &vec![b'x'; 1 << 20]);
    write("large", &vec![b'x'; (1 << 20) + 1]);
    fs::create_dir(folder.path().join("folder")).unwrap();
    let build = |value: &str| {
        write("a.yml", format!("k: {value}\n").as_bytes());
        Configuration::builder().file(folder.path().join("a.yml")).build()
    };
    let text = |value: &str| build(value).unwrap().get("k").unwrap().text().to_owned();
    assert_eq!(text("${file:one}"), "line\nsecond\n");
    assert_eq!(text(&format!("a${{file:{}}}b", folder.path().join("one").display())), "aline\nsecond\nb");
    assert_eq!(text("${file:keys.properties:password}"), "p q");
    assert_eq!(text("${file:limit}").len(), 1 << 20);
    assert!(build("${file:one}").unwrap().get("k").unwrap().is_secret());
    for (value, reason) in [
        ("${file:binary}", "it is not UTF-8 text"),
        ("${file:large}", "it is larger than 1 MiB"),
        ("${file:folder}", "it is not a regular file"),
        ("${file:}", "it is not a regular file"),
        ("${file:none}", "there is no such file"),
        ("${file:keys.properties:empty}", "has no value for `empty`"),
        ("${file:keys.properties:none}", "has no value for `none`"),
    ] {
        let error = build(value).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn the_command_line_may_ask_too() {
    let builder = Configuration::builder().env([("P".to_owned(), "x".to_owned())]);
    let configuration = builder.args(["--set", "a=${env:P}"].map(str::to_owned)).build().unwrap();
    assert_eq!(flat(&configuration), ["a = x"]);
    let error = Configuration::builder().args(["--set", "a=${env:P}"].map(str::to_owned)).build().unwrap_err();
    assert_eq!(error.problems()[0].origin().unwrap().to_string(), "command line --set a");
}
