//! Layered configuration with provenance: files, profile, environment, command line
//!
//! TODO
mod arguments;
mod builder;
pub mod byte_size;
mod configuration;
pub mod duration;
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

pub use builder::ConfigurationBuilder;
pub use configuration::Configuration;
pub use error::{Error, Problem};
pub use format::Format;
pub use key::did_you_mean;
pub use secret::{Secret, is_secret_key};
pub use section::Section;
pub use value::{Entry, Origin, Value};
