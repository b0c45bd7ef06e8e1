//! `${env:NAME}` and `${file:path}` inside scalars that have already been parsed.
//!
//! Substituting after parsing is what makes it safe: whatever a variable contains, it stays inside
//! the one scalar it was asked for, and what it contains is not looked at again.
//!
//! | written | becomes |
//! | --- | --- |
//! | `${env:NAME}` | the variable; an error when it is not set |
//! | `${env:NAME:-text}` | the variable, or `text` when it is not set or empty |
//! | `${file:path}` | the file's text without one line break at its end; counts as secret |
//! | `${file:path:key}` | the value of `key` in a properties file; counts as secret |
//! | `$${` | `${` |

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::format::{Format, RawValue};
use crate::text;

/// Largest file that may be substituted: keys and certificates are a few KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What `${…}` can see.
pub(crate) struct Surroundings<'b> {
    pub(crate) environment: &'b BTreeMap<String, String>,
    /// Folder that relative paths start from.
    pub(crate) folder: PathBuf,
}

/// A text with its substitutions done.
#[derive(Default)]
pub(crate) struct Substituted {
    pub(crate) text: String,
    /// Something came from a file.
    pub(crate) secret: bool,
}

/// Why a substitution failed, and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Failure {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl Surroundings<'_> {
    /// Replaces every `${…}` of `text`, once.
    pub(crate) fn substitute(&self, text: &str) -> Result<Substituted, Failure> {
        let mut result = Substituted::default();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at(at);
            if let Some(before) = before.strip_suffix('$') {
                result.text.push_str(before);
                result.text.push_str("${");
                rest = &from[2..];
                continue;
            }
            result.text.push_str(before);
            let Some(end) = from.find('}') else {
                let hint = "close it with `}`, or write `$${` for the two characters themselves";
                return Err(Failure::new("`${` without `}`", hint));
            };
            self.replace(&from[2..end], &mut result)?;
            rest = &from[end + 1..];
        }
        result.text.push_str(rest);
        Ok(result)
    }

    fn replace(&self, inner: &str, result: &mut Substituted) -> Result<(), Failure> {
        match inner.split_once(':') {
            Some(("env", request)) => result.text.push_str(self.variable(request)?),
            Some(("file", request)) => {
                result.secret = true;
                result.text.push_str(&self.file(request)?);
            }
            // What stands in the braces is not shown: it may be part of a password.
            _ => {
                return Err(Failure::new(
                    "`${…}` is neither `${env:NAME}` nor `${file:path}`",
                    "write `${env:NAME}` for an environment variable, or `$${` for the two characters themselves",
                ));
            }
        }
        Ok(())
    }

    fn variable<'s>(&'s self, request: &'s str) -> Result<&'s str, Failure> {
        let (name, default) = match request.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (request, None),
        };
        let value = self.environment.get(name).map(String::as_str);
        match (value, default) {
            (Some("") | None, Some(default)) => Ok(default),
            (Some(value), _) => Ok(value),
            (None, None) => Err(Failure::new(
                format!("the environment variable `{name}` is not set"),
                format!("set it, or write `${{env:{name}:-…}}` with a default"),
            )),
        }
    }

    fn file(&self, request: &str) -> Result<String, Failure> {
        match split_key(request) {
            (path, None) => {
                let mut text = self.read(path)?;
                let kept = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).map(str::len);
                text.truncate(kept.unwrap_or(text.len()));
                Ok(text)
            }
            (path, Some(key)) => {
                let text = text::normal(&self.read(path)?);
                let document = Format::Properties.parse(&text);
                let items = document.map(|document| document.items).unwrap_or_default();
                let found = items.into_iter().rev().find(|item| item.key == key);
                match found.map(|item| item.value) {
                    Some(RawValue::Scalar(scalar)) => Ok(scalar.text),
                    _ => Err(Failure::new(
                        format!("the properties file `{path}` has no value for `{key}`"),
                        "check the key behind the second colon",
                    )),
                }
            }
        }
    }

    fn read(&self, path: &str) -> Result<String, Failure> {
        let full = self.folder.join(path);
        let failure = |what: &str| {
            let folder = if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder };
            Failure::new(
                format!("cannot read the file `{path}`: {what}"),
                format!("give an absolute path or one relative to `{}`", folder.display()),
            )
        };
        let metadata = std::fs::metadata(&full).map_err(|error| failure(&text::io(&error)))?;
        if !metadata.is_file() {
            return Err(failure("it is not a regular file"));
        }
        let file = File::open(&full).map_err(|error| failure(&text::io(&error)))?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| failure(&text::io(&error)))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(failure("it is larger than 1 MiB"));
        }
        String::from_utf8(bytes).map_err(|_| failure("it is not UTF-8 text"))
    }
}

/// `path` or `path:key`. A colon behind a single letter belongs to a Windows drive.
fn split_key(request: &str) -> (&str, Option<&str>) {
    match request.rfind(':') {
        Some(at) if at > 1 => (&request[..at], Some(&request[at + 1..])),
        _ => (request, None),
    }
}
