//! Collecting the sources of a configuration and reading them in their order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::arguments::{self, Arguments};
use crate::configuration::Configuration;
use crate::environment::{self, KnownNames};
use crate::error::{Error, Problem};
use crate::format::Format;
use crate::key;
use crate::layer::{self, Layer};
use crate::secret::{SecretKeys, is_secret_key};
use crate::substitute::Surroundings;
use crate::text;
use crate::value::{Entry, Origin, Value};

/// Collects the sources of a [`Configuration`].
///
/// The order of the calls decides only among files; between kinds of sources the order is fixed,
/// low to high:
///
/// 1. [`defaults`](Self::defaults)
/// 2. files and texts, in the order given, then those of `--conf`
/// 3. the profile's file beside each of them
/// 4. environment variables `STREAM__…`
/// 5. the command line
/// 6. [`set`](Self::set)
///
/// # Example
/// ```
/// use stream_conf::{Configuration, Format};
///
/// let configuration = Configuration::builder()
///     .defaults([("parallelism", "1")])
///     .text("application.yml", Format::Yaml, "kafka.source:\n  topic: test_user\n")
///     .env([("STREAM__PARALLELISM".to_owned(), "2".to_owned())])
///     .args(["--kafka.source.topic", "other"].map(String::from))
///     .build()?;
/// assert_eq!(configuration.get("parallelism").map(|entry| entry.text()), Some("2"));
/// assert_eq!(configuration.get("kafka.source.topic").map(|entry| entry.text()), Some("other"));
/// # Ok::<(), stream_conf::Error>(())
/// ```
#[derive(Default)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ConfigurationBuilder {
    defaults: Vec<(String, String)>,
    files: Vec<FileSource>,
    default_file: Option<PathBuf>,
    profile: Option<String>,
    environment: BTreeMap<String, String>,
    arguments: Vec<String>,
    set: Vec<(String, String)>,
    known: BTreeSet<String>,
    secret_keys: SecretKeys,
    problems: Vec<Problem>,
}

impl std::fmt::Debug for ConfigurationBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Sources that have not been read yet hold secrets in clear.
        f.debug_struct("ConfigurationBuilder").finish_non_exhaustive()
    }
}

enum FileSource {
    Path { path: PathBuf, optional: bool },
    Text { name: String, format: Format, text: String },
}

impl ConfigurationBuilder {
    /// Adds defaults of the program, below every other layer; a later one replaces an earlier.
    pub fn defaults<K: Into<String>, V: Into<String>>(mut self, pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        self.defaults.extend(pairs.into_iter().map(|(key, value)| (key.into(), value.into())));
        self
    }

    /// Adds a file that must exist. Its extension says the format.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.files.push(FileSource::Path { path, optional: false });
        self
    }

    /// Adds a file that need not exist.
    pub fn optional_file(mut self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.files.push(FileSource::Path { path, optional: true });
        self
    }

    /// Names the file that is read, if it exists, when the command line has no `--conf`.
    pub fn default_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.default_file = Some(path.into());
        self
    }

    /// Adds a text as if it were a file called `name`. Relative paths in `${file:…}` start from
    /// the folder of `name`.
    pub fn text(mut self, name: impl Into<String>, format: Format, text: impl Into<String>) -> Self {
        self.files.push(FileSource::Text { name: name.into(), format, text: text.into() });
        self
    }

    /// Chooses a profile: beside `application.yml` the file `application-NAME.yml` or
    /// `application.NAME.yml` is read above all files. `--profile` on the command line wins.
    pub fn profile(mut self, name: impl Into<String>) -> Self {
        self.profile = Some(name.into());
        self
    }

    /// Adds environment variables: those that begin with `STREAM__` become a layer, all of them
    /// can be asked for by `${env:NAME}`.
    pub fn env(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(variables);
        self
    }

    /// Adds the environment of this process. Without this call (or [`env`](Self::env)) no
    /// variable is seen, which keeps tests independent of the machine.
    pub fn process_env(mut self) -> Self {
        for (name, value) in std::env::vars_os() {
            // A name that is not text cannot be asked for by any key.
            let Ok(name) = name.into_string() else {
                continue;
            };
            match value.into_string() {
                Ok(value) => {
                    self.environment.insert(name, value);
                }
                Err(_) if name.starts_with("STREAM__") => {
                    let problem = Problem::new("the value is not UTF-8 text").with_origin(Origin::Environment(name));
                    self.problems.push(problem.with_hint("set it to text"));
                }
                Err(_) => {}
            }
        }
        self
    }

    /// Adds arguments of the command line, without the program's name.
    ///
    /// `--conf FILE…`, `--profile NAME`, `--set KEY=VALUE` (repeatable), `--dotted.key VALUE` and
    /// `--dotted.key=VALUE`; a key without a dot needs to be [known](Self::known_keys). Anything
    /// else is an error.
    pub fn args(mut self, arguments: impl IntoIterator<Item = String>) -> Self {
        self.arguments.extend(arguments);
        self
    }

    /// Adds the arguments of this process.
    pub fn process_args(mut self) -> Self {
        for argument in std::env::args_os().skip(1) {
            match argument.into_string() {
                Ok(argument) => self.arguments.push(argument),
                Err(_) => {
                    let problem = Problem::new("an argument of the command line is not UTF-8 text");
                    self.problems.push(problem.with_hint("put the value into a file"));
                }
            }
        }
        self
    }

    /// Sets a value above every other layer: for what the program itself insists on.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.set.push((key.into(), value.into()));
        self
    }

    /// Registers keys that exist, as they are spelt below their sections (`bootstrap.servers`,
    /// `on_bad_record`) or in full (`parallelism`). Environment variables and options without a
    /// dot are matched against them.
    pub fn known_keys<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.known.extend(keys.into_iter().map(Into::into));
        self
    }

    /// Registers keys whose values are masked although they [do not look](crate::is_secret_key)
    /// secret, as they are spelt below their sections or in full.
    pub fn secret_keys<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        keys.into_iter().for_each(|key| self.secret_keys.add(key.into()));
        self
    }

    /// Reads every source and lays them over each other.
    ///
    /// # Errors
    /// Everything that is wrong with any source, at once: files that cannot be read or parsed,
    /// keys given twice, substitutions that fail, options nobody knows.
    pub fn build(mut self) -> Result<Configuration, Error> {
        let mut problems = std::mem::take(&mut self.problems);
        let Arguments { files, profile, settings } = arguments::parse(&self.arguments, &self.known, &mut problems);
        if let Some(path) = self.default_file.take().filter(|_| files.is_empty()) {
            self.files.push(FileSource::Path { path, optional: true });
        }
        let of_arguments = files.into_iter().map(|path| FileSource::Path { path: path.into(), optional: false });
        self.files.extend(of_arguments);

        let mut layers = vec![pairs(&self.defaults, &Origin::Default, &mut problems)];
        for source in &self.files {
            layers.extend(self.read(source, &mut problems));
        }
        if let Some(profile) = profile.or_else(|| self.profile.clone()) {
            self.read_profile(&profile, &mut layers, &mut problems);
        }
        let names = KnownNames::new(&layers, self.known.iter().map(String::as_str));
        layers.push(environment::layer(&self.environment, &names, &mut problems));
        layers.push(self.arguments_layer(settings, &mut problems));
        layers.push(pairs(&self.set, &Origin::Set, &mut problems));

        layers.iter_mut().for_each(|layer| layer.mark_secrets(&self.secret_keys));

        let merged = layer::merge(&layers)?;
        Error::check(problems)?;
        Ok(Configuration::new(merged))
    }

    fn read(&self, source: &FileSource, problems: &mut Vec<Problem>) -> Option<Layer> {
        match source {
            FileSource::Text { name, format, text } => {
                let surroundings = self.surroundings(Path::new(name));
                Some(layer::parse(name, *format, text, &surroundings, &self.secret_keys, problems))
            }
            FileSource::Path { path, optional } if *optional && !path.exists() => None,
            FileSource::Path { path, .. } => self.read_file(path, problems),
        }
    }

    fn read_file(&self, path: &Path, problems: &mut Vec<Problem>) -> Option<Layer> {
        let name = path.display().to_string();
        let Some(format) = Format::of_path(path) else {
            let problem = Problem::new(format!("cannot tell the format of `{name}` by its extension"));
            problems.push(problem.with_hint("name it .yml, .yaml, .json, .toml or .properties"));
            return None;
        };
        match text::read(path) {
            Ok(text) => Some(layer::parse(&name, format, &text, &self.surroundings(path), &self.secret_keys, problems)),
            Err(reason) => {
                let problem = Problem::new(format!("cannot read the configuration file `{name}`: {reason}"));
                problems.push(problem.with_hint("check the path; another one is given with `--conf FILE`"));
                None
            }
        }
    }

    fn surroundings(&self, file: &Path) -> Surroundings<'_> {
        Surroundings {
            environment: &self.environment,
            folder: file.parent().map(Path::to_path_buf).unwrap_or_default(),
        }
    }

    /// Reads the profile's file beside every file. It may be missing beside some of them, but not
    /// beside all.
    fn read_profile(&self, profile: &str, layers: &mut Vec<Layer>, problems: &mut Vec<Problem>) {
        if profile.is_empty() || !profile.chars().all(|c| c.is_alphanumeric() || "._-".contains(c)) {
            let problem = Problem::new(format!("`{}` cannot be the name of a profile", crate::value::shown(profile)));
            return problems.push(problem.with_hint("use letters, digits, `.`, `_` and `-`"));
        }
        let mut tried = Vec::new();
        let mut found = false;
        for source in &self.files {
            let FileSource::Path { path, .. } = source else {
                continue;
            };
            let candidates = ['-', '.'].map(|separator| profile_path(path, separator, profile));
            match candidates.each_ref().map(|candidate| candidate.exists()) {
                [true, true] => {
                    let [first, second] = candidates.each_ref().map(|candidate| candidate.display());
                    let message = format!("the profile `{profile}` has two files: `{first}` and `{second}`");
                    problems.push(Problem::new(message).with_hint("keep one of the two"));
                    found = true;
                }
                [first, second] => {
                    let existing = candidates.iter().zip([first, second]).filter(|(_, exists)| *exists);
                    for (candidate, _) in existing {
                        found = true;
                        layers.extend(self.read_file(candidate, problems));
                    }
                }
            }
            tried.extend(candidates.iter().map(|candidate| format!("`{}`", candidate.display())));
        }
        if !found {
            let tried = if tried.is_empty() { "no file to look beside".to_owned() } else { tried.join(", ") };
            let problem = Problem::new(format!("the profile `{profile}` has no file; looked for {tried}"));
            problems.push(problem.with_hint("create one of them, or leave out the profile"));
        }
    }

    fn arguments_layer(&self, settings: Vec<arguments::Setting>, problems: &mut Vec<Problem>) -> Layer {
        let mut layer = Layer::default();
        let surroundings = self.surroundings(Path::new(""));
        for setting in settings {
            match surroundings.substitute(&setting.value) {
                Ok(value) => {
                    let entry = Entry::new(Value::Text(value.text), setting.origin).marked_secret(value.secret);
                    layer.insert(&setting.key, entry);
                }
                Err(failure) => {
                    let problem = Problem::new(failure.message).with_key(setting.key).with_origin(setting.origin);
                    problems.push(problem.with_hint(failure.hint));
                }
            }
        }
        layer
    }
}

/// `application.yml` with profile `prod`: `application-prod.yml` or `application.prod.yml`.
fn profile_path(path: &Path, separator: char, profile: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}{separator}{profile}.{extension}"))
}

fn pairs(pairs: &[(String, String)], origin: &Origin, problems: &mut Vec<Problem>) -> Layer {
    let mut layer = Layer::default();
    for (key, value) in pairs {
        if let Some(fault) = key::fault(key) {
            let problem = Problem::new(fault).with_origin(origin.clone());
            problems.push(problem.with_hint("this is a mistake in the program, not in its configuration"));
            continue;
        }
        let entry = Entry::new(Value::Text(value.clone()), origin.clone()).marked_secret(is_secret_key(key));
        layer.insert(key, entry);
    }
    layer
}
