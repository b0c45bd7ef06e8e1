//! `sasl.jaas.config` taken apart, and the Kerberos command, which runs in a shell.

use std::collections::BTreeMap;

use super::refuse::simple_name;
use super::security::no_token_provider;
use crate::keys::draft::Draft;
use crate::keys::jaas;

/// Translates them.
pub(super) fn run(draft: &mut Draft) {
    jaas_config(draft);
    kinit(draft);
    shell_safety(draft);
}

/// The options of a login that nobody has used yet. Not printable: they hold passwords.
struct Options<'a> {
    key: &'a str,
    left: BTreeMap<String, String>,
}

impl Options<'_> {
    fn take(&mut self, name: &str) -> Option<String> {
        self.left.remove(name)
    }

    fn is_true(&mut self, name: &str) -> bool {
        self.take(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    fn drop_quietly(&mut self, names: &[&str]) {
        self.left.retain(|name, _| !names.contains(&name.as_str()));
    }

    /// Writes an option as a property; an absent one is a problem.
    fn need(&mut self, draft: &mut Draft, name: &str, property: &str) {
        match self.take(name) {
            Some(value) => draft.put(property, value, self.key),
            None => {
                let message = format!("`{}` lacks the option `{name}`", self.key);
                draft.refuse(self.key, message, format!("add {name}=\"...\" before the closing `;`"));
            }
        }
    }

    /// Writes an option as a property, if it is there.
    fn may(&mut self, draft: &mut Draft, name: &str, property: &str) {
        if let Some(value) = self.take(name) {
            draft.put(property, value, self.key);
        }
    }
}

fn jaas_config(draft: &mut Draft) {
    let Some(given) = draft.get("sasl.jaas.config") else {
        return;
    };
    let key = given.key.as_str();
    let login = match jaas::parse(&given.value) {
        Ok(login) => login,
        Err(wrong) => {
            let message = format!("`{key}` cannot be read: {} (character {})", wrong.what, wrong.position);
            return draft.refuse(key, message, "write `<class> required username=\"...\" password=\"...\";`");
        }
    };
    let mut options = Options { key, left: login.options };
    match simple_name(&login.module) {
        "PlainLoginModule" | "ScramLoginModule" => password_login(draft, &mut options),
        "OAuthBearerLoginModule" => oauth_login(draft, &mut options),
        "Krb5LoginModule" => kerberos_login(draft, &mut options),
        "IAMLoginModule" => return no_token_provider(draft, key, "`IAMLoginModule`"),
        _ => {
            let message = format!("`{key}` names a login module that does not exist here");
            let known = "PlainLoginModule, ScramLoginModule, OAuthBearerLoginModule or Krb5LoginModule";
            return draft.refuse(key, message, format!("use {known}"));
        }
    }
    if !options.left.is_empty() {
        let names: Vec<String> = options.left.keys().map(|name| format!("`{name}`")).collect();
        draft.warn(format!("`{key}`: left out the options {}", names.join(", ")));
    }
}

fn password_login(draft: &mut Draft, options: &mut Options<'_>) {
    if options.is_true("tokenauth") {
        let message = format!("`{}`: delegation tokens (tokenauth) do not exist here", options.key);
        return draft.refuse(options.key, message, "log in with the user name and password themselves");
    }
    options.need(draft, "username", "sasl.username");
    options.need(draft, "password", "sasl.password");
}

fn oauth_login(draft: &mut Draft, options: &mut Options<'_>) {
    let key = options.key;
    if let Some(subject) = options.take("unsecuredLoginStringClaim_sub") {
        if subject.is_empty() || subject.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '=' | ',')) {
            let message = format!("`{key}`: the unsecured subject holds a blank or a sign that cannot be passed on");
            return draft.refuse(key, message, "use letters, digits, `-`, `_` and `.`");
        }
        draft.put("enable.sasl.oauthbearer.unsecure.jwt", "true", key);
        draft.put("sasl.oauthbearer.config", format!("principal={subject}"), key);
        return draft.warn(format!("`{key}` logs in with an unsecured token: for development only"));
    }
    options.may(draft, "clientId", "sasl.oauthbearer.client.credentials.client.id");
    options.may(draft, "clientSecret", "sasl.oauthbearer.client.credentials.client.secret");
    options.may(draft, "scope", "sasl.oauthbearer.scope");
    let extensions: Vec<(String, String)> = options
        .left
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("extension_")?.to_owned(), value.clone())))
        .collect();
    if !extensions.is_empty() {
        options.left.retain(|name, _| !name.starts_with("extension_"));
        if extensions.iter().any(|(_, value)| value.contains([',', '='])) {
            let message = format!("`{key}`: an extension holds `,` or `=`, which cannot be passed on");
            return draft.refuse(key, message, "choose values without these signs");
        }
        let list: Vec<String> = extensions.iter().map(|(name, value)| format!("{name}={value}")).collect();
        draft.put("sasl.oauthbearer.extensions", list.join(","), key);
    }
    draft.put_derived("sasl.oauthbearer.method", "oidc");
}

fn kerberos_login(draft: &mut Draft, options: &mut Options<'_>) {
    let key = options.key;
    options.may(draft, "principal", "sasl.kerberos.principal");
    options.may(draft, "serviceName", "sasl.kerberos.service.name");
    let keytab = options.take("keyTab");
    if options.is_true("useTicketCache") {
        // Someone else keeps the cache fresh; librdkafka is not to run kinit.
        let property = "sasl.kerberos.min.time.before.relogin";
        if draft.is_explicit(property) {
            let other = draft.writer(property);
            draft.warn(format!("`{other}` has no effect: `{key}` uses a ticket cache, kinit is off"));
        }
        draft.overwrite(property, "0");
    } else if keytab.is_none() {
        let message = format!("`{key}` lacks the option `keyTab`");
        return draft.refuse(key, message, "add keyTab=\"/path\", or useTicketCache=true to use existing tickets");
    }
    if let Some(path) = keytab {
        draft.put("sasl.kerberos.keytab", path, key);
    }
    options.drop_quietly(&[
        "useKeyTab",
        "storeKey",
        "doNotPrompt",
        "renewTGT",
        "refreshKrb5Config",
        "debug",
        "isInitiator",
    ]);
}

/// Java names the program, librdkafka the whole command; we build the command from a plain path and nothing else.
fn kinit(draft: &mut Draft) {
    let Some(given) = draft.get("sasl.kerberos.kinit.cmd") else {
        return;
    };
    let (key, path) = (&given.key, &given.value);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+');
    if path.starts_with('-') || !path.chars().all(plain) {
        let message = format!("`{key}` is not a plain path: a shell would run it");
        return draft.refuse(key, message, "write the path of kinit alone, such as `/usr/bin/kinit`");
    }
    let login = "-t \"%{sasl.kerberos.keytab}\" -k %{sasl.kerberos.principal}";
    draft.put("sasl.kerberos.kinit.cmd", format!("{path} -R {login} || {path} {login}"), key);
}

/// Principal and key table are pasted into that command by librdkafka, so they must not be able to extend it.
fn shell_safety(draft: &mut Draft) {
    for (property, extra) in [("sasl.kerberos.principal", "._-/@+:"), ("sasl.kerberos.keytab", "._-/@+:,= ")] {
        let Some(value) = draft.written(property) else {
            continue;
        };
        let safe = |c: char| c.is_alphanumeric() || extra.contains(c);
        if value.starts_with('-') || !value.chars().all(safe) {
            let key = draft.writer(property);
            let message = format!("`{key}`: `{property}` holds a sign that a shell would act on");
            draft.refuse(&key, message, format!("letters, digits and `{extra}` are possible"));
        }
    }
}
