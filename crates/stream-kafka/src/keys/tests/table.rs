//! Every row of the table: the action is taken, and what reaches the client is read back from a live one.

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, Producer};

use super::super::table::{Action, ROWS, Row, find};
use super::super::{KeyProblem, Role, Translation, check, native, translate};
use super::cases::{CASES, Case, Expect, ONE_ROLE};
use super::conf::live_property;
use super::{lines, raw};

#[test]
fn every_row_has_a_case_of_its_kind() {
    for row in ROWS {
        let mut own = CASES.iter().chain(ONE_ROLE).filter(|case| row_of(case).key == row.key);
        let fits = |case: &Case| match row.action {
            Action::Same | Action::Rename | Action::Transform => {
                matches!(case.expect, Expect::Client(_) | Expect::Oidc(_))
            }
            Action::Engine => !matches!(case.expect, Expect::Ignored | Expect::Quiet),
            Action::Ignore => matches!(case.expect, Expect::Ignored),
            Action::Reject => matches!(case.expect, Expect::Refused(_)),
        };
        assert!(own.any(fits), "no case shows that {} is {:?}", row.key, row.action);
    }
}

#[test]
fn every_case_holds() {
    for case in CASES.iter().chain(ONE_ROLE) {
        let row = row_of(case);
        for role in [Role::Source, Role::Sink] {
            let applies = row.applies.to(role) && case.settings.iter().all(|(key, _)| is_for(key, role));
            if case.role.map_or(applies, |only| only == role) {
                hold(case, role);
            }
        }
    }
}

#[test]
fn a_row_for_one_role_is_refused_by_the_other() {
    for row in ROWS.iter().filter(|row| !row.key.contains('<')) {
        for role in [Role::Source, Role::Sink] {
            if row.applies.to(role) || native::lookup(role, row.key) == native::Native::Ours {
                continue;
            }
            let problems = translate(role, &raw(&[(row.key, "1")])).expect_err(row.key);
            assert!(problems[0].message.contains("has no meaning for a"), "{}", lines(&problems));
        }
    }
}

#[test]
fn keys_are_unique_and_names_sorted() {
    for (index, row) in ROWS.iter().enumerate() {
        assert!(ROWS.iter().skip(index + 1).all(|other| other.key != row.key), "{}", row.key);
        assert!(!row.note.is_empty() && !row.note.ends_with('.'), "{}", row.key);
    }
    for role in [Role::Source, Role::Sink] {
        for name in native::names(role) {
            assert_eq!(native::lookup(role, name), native::Native::Ours, "{name}");
        }
    }
}

#[test]
fn librdkafka_knows_the_names_we_list() {
    for role in [Role::Source, Role::Sink] {
        for name in native::names(role).filter(|name| native::denied(name).is_none()) {
            let reason = match ClientConfig::new().set(name, "1").create_native_config() {
                Err(KafkaError::ClientConfig(_, reason, _, _)) => reason,
                _ => continue,
            };
            assert!(!reason.contains("No such configuration property"), "{name}: {reason}");
        }
    }
}

fn row_of(case: &Case) -> &'static Row {
    let key = case.settings[0].0;
    match key.strip_prefix("properties.") {
        Some(_) => find("properties.<key>").expect("the row of the prefix"),
        None => find(key).unwrap_or_else(|| panic!("{key} has no row")),
    }
}

fn is_for(key: &str, role: Role) -> bool {
    find(key).is_none_or(|row| row.applies.to(role)) || native::lookup(role, key) == native::Native::Ours
}

fn hold(case: &Case, role: Role) {
    let key = case.settings[0].0;
    let what = format!("{role:?} {:?}", case.settings);
    let result = translate(role, &raw(case.settings));
    if let Expect::Refused(part) = case.expect {
        let problems = result.expect_err(&what);
        let found = problems.iter().any(|problem| problem.key == key && problem.message.contains(part));
        return assert!(found, "{what}: {}", lines(&problems));
    }
    let translation = result.unwrap_or_else(|problems| panic!("{what}: {}", lines(&problems)));
    let listed = |key: &str| {
        let line = translation.warnings.iter().find(|line| line.starts_with("without effect here"));
        line.is_some_and(|line| line.contains(&format!("`{key}` (")))
    };
    match case.expect {
        Expect::Client(wanted) => holds_live(&translation, role, wanted, &what),
        Expect::Oidc(wanted) => holds_with_oidc(&translation, role, wanted, &what),
        Expect::Engine(says) => assert!(says(&translation.engine), "{what}: {:?}", translation.engine),
        Expect::Ignored => assert!(listed(key), "{what}: {:?}", translation.warnings),
        Expect::Warned(part) => {
            assert!(translation.warnings.iter().any(|line| line.contains(part)), "{what}: {:?}", translation.warnings);
        }
        Expect::Quiet => assert!(translation.warnings.is_empty(), "{what}: {:?}", translation.warnings),
        Expect::Refused(_) => {}
    }
    if matches!(case.expect, Expect::Ignored | Expect::Quiet) {
        let nothing = translate(role, &[]).expect("no settings");
        assert_eq!(translation.client, without_companions(case, role, nothing), "{what}");
    }
}

/// What the companions of an ignored key lead to without it.
fn without_companions(case: &Case, role: Role, nothing: Translation) -> std::collections::BTreeMap<String, String> {
    match case.settings {
        [_] => nothing.client,
        [_, rest @ ..] => translate(role, &raw(rest)).expect("the companions").client,
        [] => nothing.client,
    }
}

/// A live client, of which properties can be asked.
pub(super) enum Live {
    Consumer(BaseConsumer),
    Producer(BaseProducer),
}

impl Live {
    pub(super) fn new(translation: &Translation, role: Role) -> KafkaResult<Self> {
        let config: ClientConfig = translation.client.clone().into_iter().collect();
        Ok(match role {
            Role::Source => Self::Consumer(config.create()?),
            Role::Sink => Self::Producer(config.create()?),
        })
    }

    pub(super) fn get(&self, property: &str) -> Option<String> {
        match self {
            Self::Consumer(consumer) => live_property(consumer.client(), property),
            Self::Producer(producer) => live_property(producer.client(), property),
        }
    }
}

fn holds_live(translation: &Translation, role: Role, wanted: &[(&str, &str)], what: &str) {
    check::check(translation).unwrap_or_else(|problems| panic!("{what}: {}", lines(&problems)));
    let live = Live::new(translation, role).unwrap_or_else(|error| panic!("{what}: {error}"));
    for (property, value) in wanted {
        assert_eq!(live.get(property).as_deref(), Some(*value), "{what}: {property}");
    }
}

fn holds_with_oidc(translation: &Translation, role: Role, wanted: &[(&str, &str)], what: &str) {
    if check::features().iter().any(|feature| feature == "oidc") {
        return holds_live(translation, role, wanted, what);
    }
    for (property, value) in wanted {
        assert_eq!(translation.client.get(native::preferred(property)).map(String::as_str), Some(*value), "{what}");
    }
    let Err(KafkaError::ClientConfig(_, reason, _, _)) = Live::new(translation, role).map(|_| ()) else {
        panic!("{what}: a build without OpenID Connect took it");
    };
    assert!(reason.contains("OAuth/OIDC depends on libcurl and OpenSSL"), "{what}: {reason}");
    let problems = check::check(translation).expect_err(what);
    assert!(problems[0].message.contains("cargo feature `oidc`"), "{what}: {}", lines(&problems));
}

/// One setting alone, whatever its value, is refused by us with its key or makes a client that starts: the values that
/// we add by ourselves never contradict it.
#[test]
fn a_setting_alone_is_refused_by_name_or_starts() {
    const VALUES: &[&str] =
        &["", "0", "1", "-1", "4000", "900000", "2147483647", "99999999999999999999", "true", "a,b", "\u{e9}", "(0:1"];
    let rows = ROWS.iter().map(|row| row.key).filter(|key| !key.contains('<'));
    for key in rows.chain(["start.from.offset.a", "config.providers.a.class"]) {
        for value in VALUES {
            alone(Role::Source, &[(key, value)]);
            alone(Role::Sink, &[(key, value)]);
            if key != "semantic" {
                alone(Role::Sink, &[(key, value), ("semantic", "EXACTLY_ONCE"), ("transaction.timeout.ms", "5000")]);
            }
        }
    }
}

fn alone(role: Role, settings: &[(&str, &str)]) {
    let own = |problem: &KeyProblem| settings.iter().any(|(key, _)| *key == problem.key);
    match translate(role, &raw(settings)) {
        Err(problems) => assert!(problems.iter().all(own), "{role:?} {settings:?}"),
        Ok(translation) if check::check(&translation).is_err() => {}
        Ok(translation) => {
            if let Err(error) = Live::new(&translation, role) {
                panic!("{role:?} {settings:?}: {error}");
            }
        }
    }
}
