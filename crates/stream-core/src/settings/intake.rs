//! Every key of the configuration finds its row in the table: values are read, and what can't be used is reported.

use stream_conf::{Configuration, Entry, Origin, Problem, Section};

use super::rule::{Rule, Value};
use super::table::{self, Fate, Place, ROWS, Row, Spelling, Theme};

/// What was found in the configuration.
pub(super) struct Intake {
    root: Section,
    given: Vec<Given>,
    problems: Vec<Problem>,
    warnings: Vec<(Origin, String)>,
}

/// A setting with its value.
pub(super) struct Given {
    row: &'static Row,
    /// The full key as it was written.
    key: String,
    origin: Origin,
    pub(super) spelling: Spelling,
    pub(super) value: Value,
}

/// Reads every key that belongs to the job as a whole.
pub(super) fn take_in(configuration: &Configuration) -> Intake {
    let mut intake =
        Intake { root: configuration.section(""), given: Vec::new(), problems: Vec::new(), warnings: Vec::new() };
    let keys: Vec<(String, Entry)> = intake
        .root
        .iter()
        .filter(|(key, _)| is_ours(key))
        .map(|(key, entry)| (key.to_owned(), entry.clone()))
        .collect();
    for (key, entry) in &keys {
        match table::find(key) {
            Some((row, spelling)) => intake.known(row, spelling, key, entry),
            None => intake.unknown(key, entry),
        }
    }
    intake
}

/// The first parts of the keys that this module answers for.
pub(crate) const SECTIONS: [&str; 7] =
    ["application", "flink", "parallelism", "pipeline", "execution", "restart-strategy", "state"];

fn is_ours(key: &str) -> bool {
    SECTIONS.contains(&key.split('.').next().unwrap_or_default())
}

impl Intake {
    fn known(&mut self, row: &'static Row, spelling: Spelling, key: &str, entry: &Entry) {
        let Ok(value) = row.rule.parse(entry.text()) else {
            return self.problems.push(self.refusal(row, key, entry));
        };
        if let Some(other) = self.given(row.key) {
            if other.value != value {
                let message = format!("`{}` is set twice, to different values", row.key);
                let hint = "keep one of the two; to override a file, use the spelling of the file";
                let problem = self.root.problem(key, message, hint);
                self.problems.push(problem.with_note(format!("also set as `{}` at {}", other.key, other.origin)));
            }
            return;
        }
        let origin = entry.origin().clone();
        if let Fate::NoEffect(why) = row.fate
            && !row.is_silent(&value)
        {
            self.warnings.push((origin.clone(), format!("`{key}` ({origin}) has no effect: {why}")));
        }
        if matches!(row.rule, Rule::Any) {
            return;
        }
        self.given.push(Given { row, key: key.to_owned(), origin, spelling, value });
    }

    fn refusal(&self, row: &Row, key: &str, entry: &Entry) -> Problem {
        let expected = row.rule.expected();
        let or_not = match row.default {
            "" => "or remove the line".to_owned(),
            default => format!("or remove the line to use the default, {default}"),
        };
        let message = match row.rule {
            Rule::Text(_) => "the value is empty".to_owned(),
            _ => format!("`{}` is not {expected}", entry.shown()),
        };
        self.root.problem(key, message, format!("write {expected}, {or_not}"))
    }

    /// A key that nobody knows: a misspelt one is a mistake, an option of Flink that we never heard of is not.
    fn unknown(&mut self, key: &str, entry: &Entry) {
        if let Some(nearest) = nearest_key(key) {
            self.problems.push(self.root.unknown_key(key, &[nearest.as_str()]));
        } else if key.starts_with("flink.") {
            let origin = entry.origin().clone();
            let warning = format!("`{key}` ({origin}) has no effect: no setting of this name is known");
            self.warnings.push((origin, warning));
        } else if !entry.is_under_app() {
            self.problems.push(self.root.unknown_key(key, &[]));
        }
    }

    /// What was given for the row of this name.
    pub(super) fn given(&self, row: &str) -> Option<&Given> {
        self.given.iter().find(|given| given.row.key == row)
    }

    /// Whether keys of the theme are written as in StreamPark 1, whose defaults hold then.
    pub(super) fn is_old(&self, theme: Theme) -> bool {
        self.of_theme(theme).any(|given| given.spelling == Spelling::Old)
    }

    fn of_theme(&self, theme: Theme) -> impl Iterator<Item = &Given> {
        self.given.iter().filter(move |given| matches!(given.row.fate, Fate::Within(t) if t == theme))
    }

    /// Says that keys have no effect because the one that switches them on is missing.
    pub(super) fn warn_of_idle(&mut self, theme: Theme, switch: &str) {
        let loud = self.of_theme(theme).filter(|given| !given.row.is_silent(&given.value));
        let mut places: Vec<(&Origin, &str)> = loud.map(|given| (&given.origin, given.key.as_str())).collect();
        places.sort();
        if let Some((first, _)) = places.first() {
            let keys: Vec<String> = places.iter().map(|(origin, key)| format!("`{key}` ({origin})")).collect();
            let warning = ((*first).clone(), format!("{}: no effect without `{switch}`", keys.join(", ")));
            self.warnings.push(warning);
        }
    }

    /// Two settings that do not go together, by the names of their rows; points at the first that was given.
    pub(super) fn contradiction(&mut self, one: &str, other: &str, message: &str, hint: &str) {
        let (one, other) = (self.given(one), self.given(other));
        let Some(blamed) = one.or(other) else {
            return;
        };
        let problem = self.root.problem(&blamed.key, message, hint);
        let problem = match other.filter(|other| other.key != blamed.key) {
            Some(other) => problem.with_note(format!("the other is `{}` at {}", other.key, other.origin)),
            None => problem,
        };
        self.problems.push(problem);
    }

    /// Everything that is to be told, in the order of the files.
    pub(super) fn findings(mut self) -> (Vec<Problem>, Vec<String>) {
        self.warnings.sort();
        (self.problems, self.warnings.into_iter().map(|(_, warning)| warning).collect())
    }
}

/// The known full key that an unknown one was most likely meant to be.
fn nearest_key(key: &str) -> Option<String> {
    let prefixes = Place::Property.prefixes().iter().chain(Place::Option.prefixes()).copied();
    if let Some(prefix) = prefixes.chain([""]).find(|prefix| key.starts_with(prefix) && !prefix.is_empty()) {
        let names: Vec<&str> = ROWS.iter().flat_map(|row| row.names_behind(prefix)).collect();
        return Some(format!("{prefix}{}", nearest(&key[prefix.len()..], &names)?));
    }
    let names: Vec<&str> = if key.starts_with("flink.") {
        ROWS.iter().flat_map(|row| row.old_names().iter().copied()).collect()
    } else {
        ROWS.iter().flat_map(|row| row.names_behind("")).filter(|name| !name.starts_with("flink.")).collect()
    };
    nearest(key, &names).map(str::to_owned)
}

/// The nearest name. Parts that two names share say nothing about what is meant by the rest, so they are left out:
/// `execution.checkpointing.write-buffer` is not near to `execution.checkpointing.timeout`.
fn nearest<'n>(word: &str, names: &[&'n str]) -> Option<&'n str> {
    let shared = |name: &str| word.split('.').zip(name.split('.')).take_while(|(one, other)| one == other).count();
    let rest = |name: &str, parts: usize| name.split('.').skip(parts).collect::<Vec<_>>().join(".");
    let most = names.iter().map(|name| shared(name)).max()?;
    (0..=most).rev().find_map(|parts| {
        let group: Vec<(String, &'n str)> =
            names.iter().filter(|name| shared(name) == parts).map(|name| (rest(name, parts), *name)).collect();
        let word = rest(word, parts);
        let found = stream_conf::did_you_mean(&word, group.iter().map(|(rest, _)| rest.as_str()))?;
        group.iter().find(|(rest, _)| rest == found && !rest.is_empty()).map(|(_, name)| *name)
    })
}
