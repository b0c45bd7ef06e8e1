//! From a section of the configuration to checked settings of one source or sink.
//!
//! `kafka.source` holds one instance directly, or several below their aliases. Everything that is wrong is
//! reported at once, each with the place where it was written.

use stream_conf::{Problem, Section};
use stream_core::{Configuration, Error, ErrorKind, Result, StreamingContext};

use crate::keys::{self, KeyProblem, RawSetting, Role, Translation};

/// What the code said about the instance, besides the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) alias: Option<String>,
    /// Settings made in code; they win over the configuration.
    pub(crate) properties: Vec<(String, String)>,
}

/// The settings of one instance, with the section they came from.
pub(crate) struct Settings {
    pub(crate) translation: Translation,
    pub(crate) section: Section,
}

/// The section that holds the instances of a role.
fn section_name(role: Role) -> &'static str {
    match role {
        Role::Source => "kafka.source",
        Role::Sink => "kafka.sink",
    }
}

impl Settings {
    /// Reads and checks the instance that the code has chosen, and adds its keys to those that the job understands.
    pub(crate) fn read_for(context: &StreamingContext, role: Role, chosen: &Chosen) -> Result<Settings> {
        let name = section_name(role);
        let place = chosen.alias.as_ref().map_or_else(|| name.to_owned(), |alias| format!("{name}.{alias}"));
        context.add_keys(keys::catalogue::keys(role, &place));
        Settings::read(context.configuration(), role, chosen)
    }

    /// Reads and checks the instance that the code has chosen.
    pub(crate) fn read(configuration: &Configuration, role: Role, chosen: &Chosen) -> Result<Settings> {
        let name = section_name(role);
        let root = configuration.section(name);
        let section = select(&root, name, chosen)?;
        let aliases = aliases(&root);
        let mut settings: Vec<RawSetting<'_>> = Vec::new();
        for (key, entry) in section.iter() {
            let foreign =
                chosen.alias.is_none() && key.split_once('.').is_some_and(|(first, _)| aliases.contains(&first));
            let in_code = chosen.properties.iter().any(|(k, _)| k == key);
            if !foreign && !in_code {
                let origin = Some(entry.origin().to_string());
                settings.push(RawSetting { key, value: entry.text().to_owned(), origin });
            }
        }
        settings.extend(chosen.properties.iter().map(|(key, value)| RawSetting::new(key, value.clone())));
        let translated = keys::translate(role, &settings).and_then(|t| keys::check::check(&t).map(|()| t));
        let translation = translated.map_err(|problems| report(&section, problems))?;
        if translation.client.get("bootstrap.servers").is_none_or(|servers| servers.trim().is_empty()) {
            let hint = "add `bootstrap.servers: host:port`; `dev` stands for a broker inside the process";
            return Err(section.error("bootstrap.servers", "no broker to connect to", hint).into());
        }
        for warning in &translation.warnings {
            tracing::warn!("{}: {warning}", section.prefix());
        }
        Ok(Settings { translation, section })
    }

    /// An error about one key of this instance, with the place where it was written.
    pub(crate) fn error(&self, key: &str, message: impl Into<String>, hint: impl Into<String>) -> Error {
        self.section.error(key, message, hint).into()
    }
}

/// The section of the chosen alias, or the root itself.
fn select(root: &Section, name: &str, chosen: &Chosen) -> Result<Section> {
    let aliases = aliases(root);
    if let Some(alias) = &chosen.alias {
        let section = root.subsection(alias);
        if section.is_empty() && chosen.properties.is_empty() {
            let known = if aliases.is_empty() { "none".to_owned() } else { format!("`{}`", aliases.join("`, `")) };
            let mut error = Error::new(ErrorKind::Config, format!("`{name}.{alias}` is not configured"));
            error = match stream_conf::did_you_mean(alias, aliases.iter().copied()) {
                Some(similar) => error.with_hint(format!("did you mean `{similar}`?")),
                None => error.with_hint(format!("configured aliases: {known}")),
            };
            return Err(error);
        }
        return Ok(section);
    }
    let direct = root.iter().any(|(key, _)| !key.split_once('.').is_some_and(|(first, _)| aliases.contains(&first)));
    if !direct && !aliases.is_empty() {
        let message = format!("`{name}` holds several instances: choose one of `{}`", aliases.join("`, `"));
        return Err(Error::new(ErrorKind::Config, message).with_hint(format!("call .alias(\"{}\")", aliases[0])));
    }
    if root.is_empty() && chosen.properties.is_empty() {
        let message = format!("`{name}` is not configured");
        let hint = format!("add a section `{name}:` with bootstrap.servers and topic to the configuration file");
        return Err(Error::new(ErrorKind::Config, message).with_hint(hint));
    }
    Ok(root.clone())
}

/// The first parts of keys that are no beginning of a known key and have known keys below them.
fn aliases(root: &Section) -> Vec<&str> {
    root.child_names()
        .into_iter()
        .filter(|name| {
            !keys::begins_known_key(name) && root.subsection(name).iter().any(|(key, _)| keys::is_known_key(key))
        })
        .collect()
}

fn report(section: &Section, mut problems: Vec<KeyProblem>) -> Error {
    // In the order of the file, as people read it.
    problems.sort_by_key(|problem| section.get(&problem.key).map(|entry| entry.origin().clone()));
    let located = problems.into_iter().map(|problem| -> Problem {
        let hint = problem.hint.unwrap_or_default();
        if let Some(entry) = section.get(&problem.key).filter(|_| keys::may_hold_secret(&problem.key)) {
            // Only Kafka's keys tell that the value may be secret, so the configuration would show the line.
            let bare = Problem::new(problem.message).with_key(section.full_key(&problem.key));
            return bare.with_origin(entry.origin().clone()).with_hint(hint);
        }
        if keys::is_known_key(&problem.key) {
            section.problem(&problem.key, problem.message, hint)
        } else {
            section.key_problem(&problem.key, problem.message, hint)
        }
    });
    match stream_conf::Error::of(located) {
        Some(error) => error.into(),
        None => Error::internal("settings were refused without a reason"),
    }
}
