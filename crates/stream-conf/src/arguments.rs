//! The command line as a layer: `--conf`, `--profile`, `--set k=v`, and `--dotted.key value` as
//! StreamPark passes it.

use std::collections::BTreeSet;

use crate::error::Problem;
use crate::key;
use crate::secret::is_secret_key;
use crate::value::Origin;

/// What the command line says.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) files: Vec<String>,
    pub(crate) profile: Option<String>,
    pub(crate) settings: Vec<Setting>,
}

/// One key set on the command line.
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

const OWN_OPTIONS: [&str; 3] = ["conf", "profile", "set"];

/// Reads the arguments (without the program's name). `known` are keys that may be given without
/// a dot in them, such as `--parallelism 2`.
pub(crate) fn parse(arguments: &[String], known: &BTreeSet<String>, problems: &mut Vec<Problem>) -> Arguments {
    let mut reader = Reader {
        rest: arguments.iter().map(String::as_str).peekable(),
        known,
        problems,
        result: Arguments::default(),
        after_secret: false,
    };
    while let Some(argument) = reader.rest.next() {
        reader.argument(argument);
    }
    reader.result
}

struct Reader<'a, I: Iterator<Item = &'a str>> {
    rest: std::iter::Peekable<I>,
    known: &'a BTreeSet<String>,
    problems: &'a mut Vec<Problem>,
    result: Arguments,
    /// The last option set a secret: a stray argument behind it may be a part of it.
    after_secret: bool,
}

impl<'a, I: Iterator<Item = &'a str>> Reader<'a, I> {
    fn argument(&mut self, argument: &'a str) {
        let Some(option) = argument.strip_prefix("--").filter(|option| !option.is_empty()) else {
            let shown = if self.after_secret { crate::source::MASK } else { argument };
            let hint = "write `--conf FILE`, `--set KEY=VALUE` or `--KEY VALUE`; quote values with blanks in them";
            return self.problem(format!("unexpected argument `{}`", crate::value::shown(shown)), hint);
        };
        let (name, attached) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        self.after_secret = false;
        match name {
            "conf" => self.conf(attached),
            "profile" => match self.value(attached) {
                Some(profile) => self.result.profile = Some(profile.to_owned()),
                None => self.missing(name, "NAME"),
            },
            "set" => self.set(attached),
            _ if name.contains('.') || self.known.contains(name) => match self.value(attached) {
                Some(value) => self.setting(name, value, format!("--{name}")),
                None => self.missing(name, "VALUE"),
            },
            _ => {
                // Its value must not be taken for an argument of its own.
                self.after_secret = is_secret_key(name);
                if attached.is_none() && self.rest.peek().is_some_and(|next| !next.starts_with("--")) {
                    self.rest.next();
                }
                let known = self.known.iter().map(String::as_str).chain(OWN_OPTIONS);
                let hint = match key::did_you_mean(name, known) {
                    Some(nearest) => format!("did you mean `--{nearest}`?"),
                    None => format!("a key without a dot is set with `--set {name}=VALUE`"),
                };
                self.problem(format!("unknown option `--{}`", crate::value::shown(name)), hint);
            }
        }
    }

    /// `--conf a.yml b.yml`: everything up to the next option.
    fn conf(&mut self, attached: Option<&str>) {
        let before = self.result.files.len();
        self.result.files.extend(attached.map(str::to_owned));
        while let Some(file) = self.rest.next_if(|next| !next.starts_with("--")) {
            self.result.files.push(file.to_owned());
        }
        if self.result.files.len() == before {
            self.missing("conf", "FILE");
        }
    }

    fn set(&mut self, attached: Option<&'a str>) {
        let Some(assignment) = self.value(attached) else {
            return self.missing("set", "KEY=VALUE");
        };
        match assignment.split_once('=') {
            Some((key, value)) => self.setting(key.trim(), value, format!("--set {}", key.trim())),
            // What was given instead is not shown: it may be a value.
            None => self.problem("`--set` needs an assignment", "write `--set KEY=VALUE`"),
        }
    }

    fn setting(&mut self, key: &str, value: &str, argument: String) {
        self.after_secret = is_secret_key(key);
        let origin = Origin::Argument(argument);
        if let Some(fault) = key::fault(key) {
            let problem = Problem::new(fault).with_origin(origin).with_hint("write `--set KEY=VALUE`");
            self.problems.push(problem);
            return;
        }
        self.result.settings.push(Setting { key: key.to_owned(), value: value.to_owned(), origin });
    }

    fn value(&mut self, attached: Option<&'a str>) -> Option<&'a str> {
        attached.or_else(|| self.rest.next_if(|next| !next.starts_with("--")))
    }

    fn missing(&mut self, name: &str, what: &str) {
        let hint = format!("write `--{name} {what}`; a value that begins with `--` is written `--{name}=…`");
        self.problem(format!("the option `--{name}` has no value"), hint);
    }

    fn problem(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem::new(message).with_origin(Origin::Argument("arguments".to_owned())).with_hint(hint));
    }
}
