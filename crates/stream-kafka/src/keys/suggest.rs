//! "Did you mean": the known key nearest to an unknown one.

use super::{Role, native, table};

/// The nearest key that the role may set, if one is near.
pub(crate) fn nearest(role: Role, key: &str) -> Option<&'static str> {
    let rows = table::ROWS.iter().filter(|row| row.applies.to(role) && !row.key.contains('<')).map(|row| row.key);
    let rows = rows.chain(table::RELATIVES.iter().map(|(relative, _)| *relative));
    // Of two that are equally near the first wins: the table's, being what Kafka documents.
    let natives = native::names(role).filter(|name| native::denied(name).is_none());
    stream_conf::did_you_mean(key, rows.chain(natives))
}
