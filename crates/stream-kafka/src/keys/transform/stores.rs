//! Key stores and trust stores: PKCS12 and PEM pass, Java's own formats are refused with the command that converts.

use crate::keys::ReadHead;
use crate::keys::draft::{Draft, Given};

/// Translates them.
pub(super) fn run(draft: &mut Draft, read_head: &ReadHead<'_>) {
    key_store(draft, read_head);
    trust_store(draft, read_head);
}

/// The kind of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pkcs12,
    Pem,
    Jks,
    Jceks,
}

fn key_store(draft: &mut Draft, read_head: &ReadHead<'_>) {
    let password = draft.get("ssl.keystore.password");
    let Some(location) = draft.get("ssl.keystore.location") else {
        return lone_password(draft, password, "ssl.keystore.key");
    };
    let (key, path) = (&location.key, &location.value);
    match kind(draft, "ssl.keystore.type", &location, read_head) {
        Some(Kind::Pkcs12) => pkcs12(draft, &location, password),
        Some(Kind::Pem) => {
            draft.put("ssl.certificate.location", path.clone(), key);
            draft.put("ssl.key.location", path.clone(), key);
            if let Some(password) = password {
                refuse_pem_password(draft, &password, "put the passphrase of the key under `ssl.key.password`");
            }
        }
        Some(Kind::Jks | Kind::Jceks) => {
            let target = renamed(path, "p12");
            let command =
                format!("keytool -importkeystore -srckeystore {path} -destkeystore {target} -deststoretype PKCS12");
            draft.refuse(key, format!("`{key}` is a Java key store, which only Java reads"), command);
        }
        None => refuse_unknown(draft, &location, "ssl.keystore.type"),
    }
}

fn pkcs12(draft: &mut Draft, location: &Given, password: Option<Given>) {
    draft.put("ssl.keystore.location", location.value.clone(), &location.key);
    let Some(password) = password else {
        let message = format!("`{}` is a PKCS12 store, and `ssl.keystore.password` is not set", location.key);
        return draft.refuse(&location.key, message, "set the password of the store");
    };
    draft.put("ssl.keystore.password", password.value.clone(), &password.key);
    if let Some(of_key) = draft.get("ssl.key.password").filter(|of_key| of_key.value != password.value) {
        let message = format!("`{}` differs from `{}`: a PKCS12 store has one password here", of_key.key, password.key);
        draft.refuse(&of_key.key, message, "give the store and its key the same password, or use PEM");
    }
}

fn trust_store(draft: &mut Draft, read_head: &ReadHead<'_>) {
    let password = draft.get("ssl.truststore.password");
    let Some(location) = draft.get("ssl.truststore.location") else {
        return lone_password(draft, password, "ssl.truststore.certificates");
    };
    let (key, path) = (&location.key, &location.value);
    let target = renamed(path, "pem");
    match kind(draft, "ssl.truststore.type", &location, read_head) {
        Some(Kind::Pem) => {
            draft.put("ssl.ca.location", path.clone(), key);
            if let Some(password) = password {
                refuse_pem_password(draft, &password, "remove the line: certificates are not encrypted");
            }
        }
        Some(Kind::Pkcs12) => {
            let message = format!("`{key}` is a PKCS12 trust store, which librdkafka cannot read");
            draft.refuse(key, message, format!("openssl pkcs12 -in {path} -nokeys -out {target}"));
        }
        Some(Kind::Jks | Kind::Jceks) => {
            let command = format!("keytool -exportcert -rfc -keystore {path} -alias X >> {target} (once per alias)");
            draft.refuse(key, format!("`{key}` is a Java trust store, which only Java reads"), command);
        }
        None => refuse_unknown(draft, &location, "ssl.truststore.type"),
    }
}

/// A password without a store: wrong beside PEM text, as in Java, else without effect.
fn lone_password(draft: &mut Draft, password: Option<Given>, inline: &str) {
    let Some(password) = password else { return };
    if draft.get(inline).is_some() {
        refuse_pem_password(draft, &password, "put the passphrase of a key under `ssl.key.password`");
    } else {
        draft.ignored.push((password.key, "no store is set"));
    }
}

fn refuse_pem_password(draft: &mut Draft, password: &Given, hint: &str) {
    let message = format!("`{}` is set, but PEM has no store password", password.key);
    draft.refuse(&password.key, message, hint);
}

fn refuse_unknown(draft: &mut Draft, location: &Given, type_key: &str) {
    let message = format!("cannot tell what kind of store `{}` is", location.key);
    draft.refuse(&location.key, message, format!("set `{type_key}: PEM` or `{type_key}: PKCS12`"));
}

/// The kind of a store: as the user says, as the file says, as its name says. A type of JKS is looked at twice,
/// because it is Java's default and Java reads PKCS12 under it.
fn kind(draft: &Draft, type_key: &str, location: &Given, read_head: &ReadHead<'_>) -> Option<Kind> {
    let head = read_head(&location.value);
    let sniffed = head.as_deref().and_then(by_content).or_else(|| by_name(&location.value));
    match draft.get(type_key).map(|given| given.value).as_deref() {
        Some("PKCS12") => Some(Kind::Pkcs12),
        Some("PEM") => Some(Kind::Pem),
        Some("JCEKS") => Some(Kind::Jceks),
        Some(_) if sniffed == Some(Kind::Pkcs12) => sniffed,
        Some(_) => Some(Kind::Jks),
        None => sniffed,
    }
}

fn by_content(head: &[u8]) -> Option<Kind> {
    match head {
        [0xFE, 0xED, 0xFE, 0xED, ..] => Some(Kind::Jks),
        [0xCE, 0xCE, 0xCE, 0xCE, ..] => Some(Kind::Jceks),
        _ if head.windows(10).any(|window| window == b"-----BEGIN") => Some(Kind::Pem),
        // The outermost ASN.1 sequence.
        [0x30, ..] => Some(Kind::Pkcs12),
        _ => None,
    }
}

fn by_name(path: &str) -> Option<Kind> {
    let (_, ending) = path.rsplit_once('.')?;
    match ending.to_ascii_lowercase().as_str() {
        "p12" | "pfx" | "pkcs12" => Some(Kind::Pkcs12),
        "pem" | "crt" | "cer" | "key" => Some(Kind::Pem),
        "jks" => Some(Kind::Jks),
        "jceks" => Some(Kind::Jceks),
        _ => None,
    }
}

fn renamed(path: &str, ending: &str) -> String {
    let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    format!("{stem}.{ending}")
}
