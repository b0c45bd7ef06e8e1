//! What `execution.checkpointing.dir` means, and what the directory of a job is called below it.

use std::fmt::Write;
use std::path::PathBuf;

use stream_core::{Error, ErrorKind, Result};
use xxhash_rust::xxh3::xxh3_64;

/// Where checkpoints of several jobs may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// Absolute.
    Directory(PathBuf),
    Bucket {
        provider: Provider,
        /// As it was written.
        url: String,
    },
}

/// Whose bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    Aws,
    Gcp,
    Azure,
}

const KNOWN: &str = "a path, file:///path, s3://bucket/path, gs://bucket/path or az://container/path";

impl Provider {
    fn of(scheme: &str) -> Option<Provider> {
        match scheme {
            "s3" | "s3a" => Some(Provider::Aws),
            "gs" => Some(Provider::Gcp),
            "az" | "abfs" | "abfss" => Some(Provider::Azure),
            _ => None,
        }
    }

    fn feature(self) -> &'static str {
        match self {
            Provider::Aws => "aws",
            Provider::Gcp => "gcp",
            Provider::Azure => "azure",
        }
    }

    /// The program was built without this one.
    pub(crate) fn is_off(self, url: &str) -> Error {
        let feature = self.feature();
        let message = format!("checkpoints can't be kept in {url}: the program was built without it");
        let hint = format!("switch on the feature `{feature}` of stream-app (or stream-store) in Cargo.toml");
        Error::new(ErrorKind::Config, message).with_hint(hint)
    }
}

impl Location {
    pub(crate) fn parse(text: &str) -> Result<Location> {
        if let Some(rest) = text.strip_prefix("file:") {
            return path_of_url(rest).and_then(|path| directory(&path));
        }
        let Some((scheme, rest)) = text.split_once("://") else { return directory(text) };
        let Some(provider) = Provider::of(scheme) else {
            let message = format!("checkpoints can't be kept in {scheme}://…: this kind of address is not known");
            return Err(Error::new(ErrorKind::Config, message).with_hint(format!("write {KNOWN}")));
        };
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.split_once('@').is_some_and(|(user, _)| user.contains(':')) || rest.contains('?') {
            // Not shown: there may be a secret in it.
            let message = format!("the address of checkpoints {scheme}://… has more in it than bucket and path");
            let hint =
                "credentials come from where the tools of the provider look for them, such as environment variables";
            return Err(Error::new(ErrorKind::Config, message).with_hint(hint));
        }
        if authority.is_empty() {
            let error = Error::new(ErrorKind::Config, format!("the address of checkpoints `{text}` names no bucket"));
            return Err(error.with_hint(format!("write {KNOWN}")));
        }
        Ok(Location::Bucket { provider, url: text.trim_end_matches('/').to_owned() })
    }
}

fn directory(path: &str) -> Result<Location> {
    let absolute = std::path::absolute(path).map_err(|error| {
        let message = format!("`{path}` can't be a directory of checkpoints: {error}");
        Error::new(ErrorKind::Config, message).with_hint(format!("write {KNOWN}"))
    })?;
    Ok(Location::Directory(absolute))
}

/// The path in what follows `file:`: `/path`, `///path` or `//localhost/path`, with `%20` for a blank.
fn path_of_url(rest: &str) -> Result<String> {
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
        None => rest,
    };
    let wrong = |why: &str| {
        let error = Error::new(ErrorKind::Config, format!("`file:{rest}` can't be a directory of checkpoints: {why}"));
        error.with_hint("write file:///path, or the path alone")
    };
    if !path.starts_with('/') {
        return Err(wrong("it names another machine, or a path that does not begin with `/`"));
    }
    percent_decoded(path).ok_or_else(|| wrong("what follows a `%` must be two hexadecimal digits, and all of it UTF-8"))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(decoded).ok()
}

/// Longer names are cut: a file name may have 255 bytes.
const NAME_MAX: usize = 150;

/// What the directory of a job is called: the job's name, as far as it can be a file name everywhere.
///
/// Letters, digits, `-`, `_` and inner dots stay, every other byte is `%` and two digits, so that no two jobs share a
/// directory and none leads out of it. A long name ends in `~` and its hash.
pub(crate) fn directory_of(job: &str) -> String {
    let mut name = String::new();
    for (index, byte) in job.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            b'.' if index > 0 => name.push('.'),
            // Writing to a String cannot fail.
            _ => _ = write!(name, "%{byte:02x}"),
        }
    }
    if name.is_empty() {
        // No name of a job gives this.
        name.push('%');
    }
    if name.len() > NAME_MAX {
        name.truncate(NAME_MAX);
        _ = write!(name, "~{:016x}", xxh3_64(job.as_bytes()));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> String {
        match Location::parse(text) {
            Ok(Location::Directory(path)) => path.to_string_lossy().into_owned(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn paths_and_addresses_are_told_apart() {
        let here = std::env::current_dir().expect("a directory");
        assert_eq!(path("/a/b"), "/a/b");
        assert_eq!(path("a"), here.join("a").to_string_lossy());
        assert_eq!(path("file:///a/b%20c"), "/a/b c");
        assert_eq!(path("file://localhost/a"), "/a");
        assert_eq!(path("file:/a"), "/a");
        let bucket = |provider, url: &str| Location::Bucket { provider, url: url.to_owned() };
        assert_eq!(Location::parse("s3://b/p/").expect("known"), bucket(Provider::Aws, "s3://b/p"));
        assert_eq!(Location::parse("gs://b").expect("known"), bucket(Provider::Gcp, "gs://b"));
        let azure = "abfss://container@account.dfs.core.windows.net/p";
        assert_eq!(Location::parse(azure).expect("known"), bucket(Provider::Azure, azure));
    }

    #[test]
    fn what_is_no_place_for_checkpoints_is_refused() {
        for (text, part) in [
            ("", "can't be a directory of checkpoints"),
            ("hdfs://namenode/path", "hdfs://…: this kind of address is not known"),
            ("s3:///path", "names no bucket"),
            ("file://other/path", "another machine"),
            ("file:path", "does not begin with `/`"),
            ("file:///a%2", "two hexadecimal digits"),
        ] {
            let error = Location::parse(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            assert!(error.message().contains(part), "{text}: {error}");
            assert!(error.hint().is_some(), "{text}");
        }
    }

    #[test]
    fn a_secret_in_an_address_is_refused_and_not_repeated() {
        for text in ["s3://key:hush@bucket/path", "az://container/path?sig=hush"] {
            let error = Location::parse(text).expect_err(text).to_string();
            assert!(error.contains("more in it than bucket and path") && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    #[cfg(not(feature = "bucket"))]
    fn an_address_that_needs_a_feature_names_it() {
        for (url, feature) in [("s3://b/p", "`aws`"), ("gs://b/p", "`gcp`"), ("az://b/p", "`azure`")] {
            let error = crate::open(url, "job").err().expect("it is off");
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.hint().is_some_and(|hint| hint.contains(feature)), "{error}");
        }
    }

    #[test]
    fn every_job_has_a_directory_of_its_own() {
        let cases = [
            ("orders", "orders"),
            ("Orders v1.2_b", "Orders%20v1.2_b"),
            ("..", "%2e."),
            (".", "%2e"),
            ("a/../b", "a%2f..%2fb"),
            ("a%2fb", "a%252fb"),
            ("täglich", "t%c3%a4glich"),
            ("", "%"),
        ];
        for (job, name) in cases {
            assert_eq!(directory_of(job), name);
        }
        let [long, longer] = [200, 201].map(|length| directory_of(&"x".repeat(length)));
        assert!(long != longer && long.len() <= 255 && longer.len() <= 255, "{long} {longer}");
    }
}
