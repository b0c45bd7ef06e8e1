//! Layered configuration with provenance: every value knows its file, line and column, its
//! environment variable or its argument, and every error shows it.
//!
//! A stream job is wired by a file that somebody else wrote, overridden by a variable that a
//! third person set. When it does not start, the question is always the same: which value is
//! used, and who said so? This crate answers it, and it is the only crate of the workspace that
//! reads files and environment for configuration. It depends on no other crate of the workspace.
//!
//! # Example
//! ```
//! use std::time::Duration;
//! use stream_conf::{Configuration, Format, Secret};
//!
//! #[derive(serde::Deserialize)]
//! struct Source {
//!     topic: Vec<String>,
//!     group_id: String,
//!     #[serde(default)]
//!     idle_after: Option<Duration>,
//!     sasl_password: Secret<String>,
//! }
//!
//! // In a program: `.default_file("application.yml").process_env().process_args()`.
//! let configuration = Configuration::builder()
//!     .text(
//!         "application.yml",
//!         Format::Yaml,
//!         "kafka.source:\n  orders:\n    topic: eu,us\n    group.id: 007\n    sasl.password: ${env:PASSWORD}\n",
//!     )
//!     .env([("PASSWORD", "hunter2"), ("STREAM__KAFKA__SOURCE__ORDERS__GROUP_ID", "blue")]
//!         .map(|(name, value)| (name.to_owned(), value.to_owned())))
//!     .args(["--set", "kafka.source.orders.idle.after=10s"].map(String::from))
//!     .build()?;
//!
//! let source: Source = configuration.section("kafka.source.orders").deserialize()?;
//! assert_eq!(source.topic, ["eu", "us"]);
//! assert_eq!(source.idle_after, Some(Duration::from_secs(10)));
//! assert_eq!(source.sasl_password.expose(), "hunter2");
//! assert_eq!(source.group_id, "blue");
//!
//! assert_eq!(configuration.explain("kafka.source.orders"), "\
//! kafka.source.orders.group.id = blue
//!   from environment variable STREAM__KAFKA__SOURCE__ORDERS__GROUP_ID
//!   overrides 007 from application.yml:4:15
//! kafka.source.orders.idle.after = 10s
//!   from command line --set kafka.source.orders.idle.after
//! kafka.source.orders.sasl.password = ***
//!   from application.yml:5:20
//! kafka.source.orders.topic = eu,us
//!   from application.yml:3:12");
//! # Ok::<(), stream_conf::Error>(())
//! ```
//!
//! # Layers
//! Low to high; a higher one wins key by key:
//!
//! | layer | given by | shown as |
//! | --- | --- | --- |
//! | defaults | [`defaults`](ConfigurationBuilder::defaults) | `default` |
//! | files, in order | [`file`](ConfigurationBuilder::file), `--conf FILE…` | `application.yml:4:23` |
//! | profile | [`profile`](ConfigurationBuilder::profile), `--profile NAME` | `application-prod.yml:4:23` |
//! | environment | `STREAM__KAFKA__SOURCE__TOPIC` | `environment variable STREAM__…` |
//! | command line | `--set k=v`, `--dotted.key v` | `command line --set k` |
//! | the program | [`set`](ConfigurationBuilder::set) | `set by the program` |
//!
//! A value that is empty without quotes, or null, counts as not given and overrides nothing. A
//! quoted `""` is an explicit empty text.
//!
//! # Keys
//! Keys are flat and dotted, because Kafka's are: `partitioner` and `partitioner.class` are both
//! values. All of these are the key `kafka.source.topic`:
//!
//! ```yaml
//! kafka.source:        # dots in a key mean the same as nesting
//!   topic: t
//! ---
//! kafka:
//!   source: {topic: t}
//! ---
//! app:                 # StreamPark's layout: the prefix `app.` is dropped
//!   kafka.source.topic: t
//! ```
//!
//! Given twice in one file, in whatever layout, it is an error that names both places.
//!
//! In a variable `__` stands between sections, and `_` may be `.`, `-` or `_`: it is matched
//! against the keys of the files and against the
//! [registered keys](ConfigurationBuilder::known_keys), so `STREAM__KAFKA__SOURCE__MY_ORDERS__GROUP_ID`
//! reaches `group.id` of the alias `My-Orders`.
//!
//! # Values
//! A value is the text that was written: `007`, `on`, `1e3` and `0:182,1:183` arrive as they are.
//! YAML and TOML sequences of scalars stay lists. What a text means is decided once, by
//! [`Section::deserialize`] or [`Section::parse`], and a text that does not fit is an [`Error`]
//! with its place. Every problem that can be found is reported at once.
//!
//! `${env:NAME}`, `${env:NAME:-default}`, `${file:path}` and `${file:path:key}` are replaced in
//! scalars of files and of the command line, after parsing and only once: whatever a variable
//! holds stays inside its scalar. `$${` is `${`.
//!
//! # Secrets
//! A value whose key [looks secret](is_secret_key), or that came through `${file:…}`, is printed
//! as `***` by `Debug`, `explain` and errors, in excerpts of files too; passwords in addresses
//! (`scheme://user:password@host`) are masked wherever they stand. In settings a secret is a
//! [`Secret`], which cannot be printed or serialized. A secret under a key that does not look like
//! one is [registered](ConfigurationBuilder::secret_keys); without that, only its own [`Secret`]
//! field hides it.
//!
//! # Where to look
//! Reading order: `builder` (sources and their order), `format` (files to flat keys), `substitute`,
//! `environment`, `arguments`, `layer` (laying over each other with figment), `configuration`,
//! `section`, `typed` (text to settings), `error`, `source` (excerpts and masks).

mod arguments;
mod builder;
mod configuration;
mod environment;
mod error;
mod format;
mod key;
mod layer;
mod quantity;
mod secret;
mod section;
mod source;
mod substitute;
mod text;
mod typed;
mod value;

pub mod byte_size;
pub mod duration;

pub use builder::ConfigurationBuilder;
pub use configuration::Configuration;
pub use error::{Error, Problem};
pub use format::Format;
pub use key::did_you_mean;
pub use secret::{Secret, is_secret_key};
pub use section::Section;
pub use value::{Entry, Origin, Value};
