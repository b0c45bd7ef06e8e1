//! A canary: one secret text, put wherever a secret can stand, must appear nowhere.

use std::fs;

use stream_conf::{Configuration, Error, Format, Secret};

const CANARY: &str = "cAnArY-9f3";

/// Everything that can be printed of a configuration and of its errors.
fn printed(built: Result<Configuration, Error>) -> String {
    let configuration = match built {
        Ok(configuration) => configuration,
        Err(error) => return print_error(&error),
    };
    let section = configuration.section("s");
    let mut text = format!("{configuration:?} {configuration:#?} {section:?} {}\n", configuration.explain_all());
    for key in configuration.keys() {
        let entry = configuration.get(key).unwrap();
        text += &format!("{key} {entry:?} {:?} {} {}\n", entry.value(), entry.shown(), configuration.explain(key));
    }
    for (key, entry) in section.iter().filter(|(_, entry)| entry.is_secret()) {
        let message = format!("bad value `{}`", entry.text());
        text += &print_error(&section.error(key, message, format!("not {}", entry.text())));
        text += &section.parse::<u32>(key).err().as_ref().map(print_error).unwrap_or_default();
        text += &section.parse::<std::net::IpAddr>(key).err().as_ref().map(print_error).unwrap_or_default();
    }
    let refused = [
        section.check_known(&["password", "topic", "users"]).err(),
        section.deserialize::<Settings>().err(),
        configuration.check_claimed(&["t"]).err(),
    ];
    text.extend(refused.iter().flatten().map(print_error));
    text
}

fn print_error(error: &Error) -> String {
    format!("{error} {error:?} {error:#?} {:?} {:#?}", error.problems(), error.problems())
}

#[derive(Debug, serde::Deserialize)]
#[allow(dead_code)]
struct Settings {
    password: std::num::NonZeroU64,
    #[serde(default)]
    hidden: Option<Secret<u32>>,
    #[serde(default)]
    mode: Option<Mode>,
    #[serde(default)]
    token: Option<Picky>,
    #[serde(default)]
    secret_list: Vec<u8>,
}

#[derive(Debug, serde::Deserialize)]
enum Mode {
    One,
}

#[derive(Debug, serde::Deserialize)]
#[serde(try_from = "String")]
#[allow(dead_code)]
struct Picky(String);

impl TryFrom<String> for Picky {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Err(format!("no: {}", &text[1..]))
    }
}

#[test]
fn the_canary_stays_hidden() {
    let tail = &CANARY[1..];
    for (format, text) in [
        (Format::Yaml, "s:\n  password: CANARY\n"),
        (Format::Yaml, "s: {password: CANARY, topic: t, ssl.key.pem: \"x\\nCANARY\"}\n"),
        (Format::Yaml, "s:\n  secret_list: [1, CANARY]\n  token: CANARY\n"),
        (Format::Yaml, "s:\n  ssl.key.pem: |\n    BEGIN\n    CANARY\n  unknown.key: x\n"),
        (Format::Yaml, "s:\n  pasword: CANARY\n"),
        (Format::Yaml, "s:\n  password:\n    nested: CANARY\n"),
        (Format::Yaml, "s:\n  password: [[CANARY]]\n"),
        (Format::Yaml, "s:\n  password: [CANARY, ${nope}]\n"),
        (Format::Yaml, "s:\n  password: CANARY${env:NONE}\n"),
        (Format::Yaml, "s:\n  password: ${CANARY}\n"),
        (Format::Yaml, "s:\n  password: CANARY\n  password: CANARY2\n"),
        (Format::Yaml, "s:\n  password: \"CANARY\n  topic: \"x\n"),
        (Format::Yaml, "s:\n  password: CANARY: x\n"),
        (Format::Yaml, "s:\n  password: !CANARY x\n"),
        (Format::Yaml, "s:\n  credentials:\n    one: 'CANARY' x\n"),
        (Format::Yaml, "s:\n  ssl.key.pem: \"\n   BEGIN\n   CANARY\\q\n"),
        (Format::Yaml, "s: {password: CANARY, b: ]\n"),
        (Format::Yaml, "s:\n  url: jdbc:x://user:CANARY@host/db\n  password: 1\n"),
        (Format::Toml, "[s]\npassword = 'CANARY'\n"),
        (Format::Toml, "[s]\npassword = 'CANARY\n"),
        (Format::Toml, "[s]\npassword = CANARY\n"),
        (Format::Toml, "[s]\nkey.pem = '''\nCANARY\n'''\npassword = 1 1\n"),
        (Format::Toml, "[credentials]\na = CANARY\n"),
        (Format::Toml, "s.password = [['CANARY']]\n"),
        (Format::Properties, "s.password = CANARY\n"),
        (Format::Properties, "s.password = \\\n  CANARY\\u12\n"),
        (Format::Properties, "s.password = CANARY\ns.password=CANARY\n"),
    ] {
        let text = text.replace("CANARY", CANARY);
        let printed = printed(Configuration::builder().text("a", format, text.clone()).build());
        assert!(!printed.contains(tail), "{text}\n{printed}");
    }
}

#[test]
fn the_canary_stays_hidden_in_other_layers() {
    let tail = &CANARY[1..];
    let set = |arguments: &[&str]| {
        let arguments = arguments.iter().map(|text| text.replace("CANARY", CANARY)).collect::<Vec<_>>();
        printed(Configuration::builder().args(arguments).build())
    };
    for arguments in [
        &["--set", "s.password=CANARY"][..],
        &["--s.password", "CANARY"],
        &["--s.password=CANARY"],
        &["--s.password", "two", "CANARY"],
        &["--password", "CANARY"],
        &["--password=CANARY"],
        &["--password", "two", "CANARY"],
        &["--set", "s.password=${file:CANARY"],
        &["--set", "CANARY"],
    ] {
        let printed = set(arguments);
        assert!(!printed.contains(tail), "{arguments:?}\n{printed}");
    }
    let variables = [("STREAM__S__PASSWORD", CANARY), ("STREAM__S_PASSWORD", CANARY)];
    for count in [1, 2] {
        let variables = variables.iter().take(count).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let printed = printed(Configuration::builder().env(variables).build());
        assert!(!printed.contains(tail), "{printed}");
    }
    let builder = Configuration::builder().defaults([("s.password", CANARY)]).set("s.password", format!("{CANARY}2"));
    assert!(!format!("{builder:?}").contains(tail));
    assert!(!printed(builder.build()).contains(tail));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x"), format!("{CANARY}\n")).unwrap();
    fs::write(folder.path().join("a.yml"), "s:\n  topic: '${file:x}'\n  users: ['${file:x}']\n").unwrap();
    let built = Configuration::builder().file(folder.path().join("a.yml")).build();
    assert_eq!(built.as_ref().unwrap().get("s.topic").unwrap().text(), CANARY);
    assert!(!printed(built).contains(tail));
}

#[test]
fn long_and_multi_line_secrets_leave_messages() {
    for value in [format!("{CANARY}{}", "x".repeat(400)), format!("a\n{CANARY}\tz\n")] {
        let configuration = Configuration::builder().set("s.password", value.clone()).build().unwrap();
        let section = configuration.section("s");
        let entry = section.get("password").unwrap();
        assert_eq!(entry.text(), value);
        let error = section.error("password", format!("bad {value:?} {value}"), "");
        assert!(!error.to_string().contains(&CANARY[1..]), "{error}");
        let error = section.parse::<u8>("password").unwrap_err();
        assert!(!error.to_string().contains(&CANARY[1..]), "{error}");
    }
}

#[test]
fn a_secret_by_type_stays_out_of_errors() {
    let text = format!("s: {{password: 1, hidden: {CANARY}, mode: x}}\n");
    let configuration = Configuration::builder().text("a", Format::Yaml, text).build().unwrap();
    let error = configuration.section("s").deserialize::<Settings>().unwrap_err();
    assert_eq!(error.problems().len(), 2);
    assert!(error.problems()[0].snippet().unwrap().contains("hidden: ***"), "{error}");
    assert!(!error.problems()[0].to_string().contains(&CANARY[1..]), "{error}");
}

#[test]
fn registered_keys_are_secret_in_every_layer() {
    let set = ["s.hidden", "s.hidden.deep", "hidden"];
    let built = Configuration::builder()
        .secret_keys(["hidden", "hidden.deep"])
        .text("a", Format::Yaml, format!("s: {{hidden: {CANARY}, users: x, mode: y}}\n"))
        .env([("STREAM__S__HIDDEN".to_owned(), CANARY.to_owned())])
        .args(["--set".to_owned(), format!("s.hidden.deep={CANARY}")])
        .set("hidden", CANARY)
        .build();
    assert!(set.iter().all(|key| built.as_ref().unwrap().get(key).unwrap().is_secret()));
    assert!(!printed(built).contains(&CANARY[1..]));
}
