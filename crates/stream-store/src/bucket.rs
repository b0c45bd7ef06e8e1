//! A store in a bucket: the client of object_store, which is async, called from threads that wait.
//!
//! The provider decides which of two that create one object is first: the request says "only if there is none". A
//! request without an answer may have been carried out; whoever creates the object again is told that it is there.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use stream_core::checkpoint::{CheckpointStore, Creation, StoredObject};
use stream_core::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::{Place, is_name};

/// Objects below a path of a bucket.
#[derive(Clone)]
pub(crate) struct Bucket {
    client: Arc<dyn ObjectStore>,
    /// Drives the client while somebody waits for it.
    driver: Arc<Driver>,
    path: Path,
    /// The address that `path` is, for people.
    url: String,
}

struct Driver(Option<Runtime>);

impl Drop for Driver {
    fn drop(&mut self) {
        // Otherwise it waits for its threads, which a thread of an async runtime may not do.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A bucket in memory, for tests.
#[cfg(test)]
pub(crate) fn in_memory() -> Bucket {
    let client = Arc::new(object_store::memory::InMemory::new());
    Bucket::new(client, Path::default(), "memory://").expect("a runtime")
}

/// The client for an address; none if the program was built without it. Asks nobody yet.
#[cfg(feature = "bucket")]
pub(crate) fn connect(provider: crate::location::Provider, url: &str) -> Result<Option<Bucket>> {
    use crate::location::Provider;

    #[allow(unused_macros, reason = "not used if no provider is switched on")]
    macro_rules! build {
        ($builder:ty) => {{
            let client = <$builder>::from_env().with_url(url).with_client_options(options()).with_retry(retry());
            Arc::new(client.build().map_err(|error| failure("open", url, error))?)
        }};
    }
    let client: Arc<dyn ObjectStore> = match provider {
        #[cfg(feature = "aws")]
        Provider::Aws => build!(object_store::aws::AmazonS3Builder),
        #[cfg(feature = "gcp")]
        Provider::Gcp => build!(object_store::gcp::GoogleCloudStorageBuilder),
        #[cfg(feature = "azure")]
        Provider::Azure => build!(object_store::azure::MicrosoftAzureBuilder),
        #[allow(unreachable_patterns, reason = "all of them may be switched on")]
        _ => return Ok(None),
    };
    // What follows scheme and bucket.
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    let path = Path::from_url_path(path).map_err(|error| failure("open", url, error.into()))?;
    Bucket::new(client, path, url).map(Some)
}

#[cfg(any(feature = "aws", feature = "gcp", feature = "azure"))]
fn options() -> object_store::ClientOptions {
    use std::time::Duration;
    // A checkpoint may be large. Nobody drives the client between two of them, so it would not notice that the other
    // side has hung up: connections are not kept that long.
    object_store::ClientOptions::new()
        .with_timeout(Duration::from_secs(600))
        .with_connect_timeout(Duration::from_secs(10))
        .with_pool_idle_timeout(Duration::from_secs(2))
}

#[cfg(any(feature = "aws", feature = "gcp", feature = "azure"))]
fn retry() -> object_store::RetryConfig {
    // A checkpoint that could not be stored is stored with the next one.
    object_store::RetryConfig { retry_timeout: std::time::Duration::from_secs(30), ..Default::default() }
}

impl Bucket {
    fn new(client: Arc<dyn ObjectStore>, path: Path, url: &str) -> Result<Bucket> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("can't open {url}: {error}")).with_cause(error)
        })?;
        Ok(Bucket { client, driver: Arc::new(Driver(Some(runtime))), path, url: url.to_owned() })
    }

    /// The same bucket, one level further down.
    pub(crate) fn below(&self, directory: &str) -> Bucket {
        let url = format!("{}/{directory}", self.url);
        Bucket { path: self.path.clone().join(directory), url, ..self.clone() }
    }

    fn at(&self, name: &str) -> (Path, String) {
        (self.path.clone().join(name), format!("{}/{name}", self.url))
    }

    fn wait<T>(&self, request: impl Future<Output = T>) -> Result<T> {
        if Handle::try_current().is_ok() {
            let message =
                format!("{} can't be asked from a thread of an async runtime, which would stand still", self.url);
            return Err(
                Error::new(ErrorKind::Config, message).with_hint("use a thread of its own, as spawn_blocking has")
            );
        }
        let runtime = self.driver.0.as_ref().ok_or_else(|| Error::internal("a bucket outlives its driver"))?;
        Ok(runtime.block_on(request))
    }
}

impl CheckpointStore for Bucket {
    fn create(&self, name: &str, content: &[Bytes]) -> Result<Creation> {
        let (path, url) = self.at(name);
        let payload: PutPayload = content.iter().filter(|part| !part.is_empty()).cloned().collect();
        match self.wait(self.client.put_opts(&path, payload, PutMode::Create.into()))? {
            Ok(_) => Ok(Creation::Created),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(Creation::AlreadyThere)
            }
            Err(error) => Err(failure("write", &url, error)),
        }
    }

    fn read(&self, name: &str) -> Result<Option<Bytes>> {
        let (path, url) = self.at(name);
        let read = async { self.client.get(&path).await?.bytes().await };
        match self.wait(read)? {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failure("read", &url, error)),
        }
    }

    fn list(&self) -> Result<Vec<StoredObject>> {
        let listed = self.wait(self.client.list_with_delimiter(Some(&self.path)))?;
        let objects = listed.map_err(|error| failure("list", &self.url, error))?.objects.into_iter();
        let named = objects.filter_map(|object| Some((object.location.filename()?.to_owned(), object.size)));
        Ok(named.filter(|(name, _)| is_name(name)).map(|(name, size)| StoredObject { name, size }).collect())
    }

    fn delete(&self, name: &str) -> Result<()> {
        let (path, url) = self.at(name);
        match self.wait(self.client.delete(&path))? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure("delete", &url, error)),
        }
    }

    fn location(&self) -> String {
        self.url.clone()
    }
}

impl Place for Bucket {
    fn check(&self) -> Result<()> {
        // What may be written can only be found out by writing.
        self.list().map(drop)
    }

    fn is_remote(&self) -> bool {
        true
    }
}

/// What the provider's answer means for a job.
fn failure(what: &str, url: &str, error: object_store::Error) -> Error {
    use object_store::Error as Answer;
    let (kind, hint) = match &error {
        Answer::NotFound { .. } => {
            (ErrorKind::Config, "make the bucket, or set execution.checkpointing.dir to another")
        }
        Answer::PermissionDenied { .. } => {
            (ErrorKind::Config, "give the job's identity the right to list, read, write and delete objects there")
        }
        Answer::Unauthenticated { .. } => {
            (ErrorKind::Config, "give the job credentials, as the tools of the provider take them")
        }
        Answer::NotSupported { .. } | Answer::NotImplemented { .. } => {
            (ErrorKind::Config, "the storage must be able to create an object only if there is none of that name")
        }
        Answer::InvalidPath { .. } | Answer::UnknownConfigurationKey { .. } => {
            (ErrorKind::Config, "set execution.checkpointing.dir to another address")
        }
        _ => (ErrorKind::Unavailable, "look at the network, and at the state of the provider"),
    };
    Error::new(kind, format!("can't {what} {url}: {error}")).with_hint(hint).with_cause(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_not_asked_from_an_async_thread() {
        let bucket = in_memory().below("job");
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let error = runtime.block_on(async { bucket.list() }).expect_err("it would stand still");
        assert!(error.to_string().contains("async runtime"), "{error}");
    }

    #[test]
    fn answers_say_what_to_do_and_whether_to_wait() {
        let source = || "no".into();
        let path = String::new;
        let kind = |error| failure("write", "s3://b/x", error).kind();
        assert_eq!(kind(object_store::Error::PermissionDenied { path: path(), source: source() }), ErrorKind::Config);
        assert_eq!(kind(object_store::Error::Unauthenticated { path: path(), source: source() }), ErrorKind::Config);
        assert_eq!(kind(object_store::Error::NotFound { path: path(), source: source() }), ErrorKind::Config);
        assert_eq!(kind(object_store::Error::Generic { store: "S3", source: source() }), ErrorKind::Unavailable);
    }

    #[test]
    fn names_of_jobs_stay_as_they_are() {
        let bucket = in_memory().below("a%2fb~c");
        bucket.create("x", &["1".into()]).expect("room");
        assert_eq!(bucket.location(), "memory:///a%2fb~c");
        assert_eq!(bucket.list().expect("a listing").len(), 1);
    }
}
