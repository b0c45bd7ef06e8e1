//! A secret never shows: not in a problem, not in a warning, not in `Debug`.

use super::super::table::ROWS;
use super::super::{Role, check, is_secret, native, translate};
use super::raw;

const CANARY: &str = "cAnArY-4711";

#[test]
fn a_canary_under_every_secret_key_stays_hidden() {
    let rows = ROWS.iter().map(|row| row.key);
    let natives = native::names(Role::Source).chain(native::names(Role::Sink));
    let misspelt =
        ["sasl.pasword.secret", "sasl.password.typo", "ssl.keystore.pasword", "passwrod", "basic.auth.user.info"];
    for key in rows.chain(natives).chain(misspelt) {
        let unknown = misspelt.contains(&key);
        if is_secret(key) || unknown {
            for role in [Role::Source, Role::Sink] {
                stays_hidden(role, &[(key, CANARY)]);
                stays_hidden(role, &[(key, CANARY), (&format!("properties.{key}"), CANARY)]);
            }
        }
    }
}

#[test]
fn a_canary_inside_a_login_stays_hidden() {
    for login in [
        "a.PlainLoginModule required username=\"u\" password=\"{}\";",
        "a.PlainLoginModule required username=\"u\" password=\"{}\"",
        "a.PlainLoginModule required username=\"u\" password=\"{}",
        "a.PlainLoginModule required username=\"u\" {};",
        "a.PlainLoginModule {} username=\"u\";",
        "a.PlainLoginModule required username=\"u\" password=\"x\"; {}",
        "a.PlainLoginModule required username=\"u\" passwd=\"{}\";",
        "a.ScramLoginModule required username=\"u\" password=\"{}\" tokenauth=true;",
        "a.OAuthBearerLoginModule required clientSecret=\"{}\" extension_a=\"{},\";",
        "a.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"{} x\";",
        "a.Krb5LoginModule required password=\"{}\" keyTab=\"/k\" principal=\"p$({})\";",
        "{} required username=\"u\";",
        "{}",
    ] {
        stays_hidden(Role::Source, &[("sasl.jaas.config", &login.replace("{}", CANARY))]);
    }
}

#[test]
fn a_canary_among_stores_stays_hidden() {
    for settings in [
        [("ssl.keystore.location", "/a.p12"), ("ssl.keystore.password", CANARY), ("ssl.key.password", "other")],
        [("ssl.keystore.location", "/a.pem"), ("ssl.keystore.password", CANARY), ("ssl.key.password", CANARY)],
        [("ssl.truststore.location", "/a.pem"), ("ssl.truststore.password", CANARY), ("ssl.key.password", CANARY)],
        [
            ("sasl.username", "u"),
            ("sasl.password", CANARY),
            ("sasl.jaas.config", "a.PlainLoginModule required username=\"u\" password=\"cAnArY-4711\";"),
        ],
        [
            ("schema.registry.url", "http://u:cAnArY-4711@r"),
            ("basic.auth.user.info", CANARY),
            ("bearer.auth.token", CANARY),
        ],
    ] {
        stays_hidden(Role::Source, &settings);
    }
}

fn stays_hidden(role: Role, settings: &[(&str, &str)]) {
    let settings = raw(settings);
    let shown = match translate(role, &settings) {
        Ok(translation) => {
            let refused = check::check(&translation).err();
            format!("{translation:?} {translation:#?} {refused:?} {:?}", translation.warnings)
        }
        Err(problems) => format!("{problems:?} {}", super::lines(&problems)),
    };
    assert!(!format!("{shown} {settings:?}").contains(CANARY), "{settings:?}: {shown}");
}
