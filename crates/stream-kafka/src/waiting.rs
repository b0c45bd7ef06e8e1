//! Waiting for a broker while a job opens, and saying what is waited for.

use std::time::Duration;

use crate::client::{ClientError, ErrorCode};
use stream_core::{Error, ErrorKind, Result};

use crate::client::rights::{Account, Right};
use crate::client::time::Time;

/// How long the first try may take; each further one may take twice as long. Short at first, so that there is something
/// to say soon.
const FIRST_TRY: Duration = Duration::from_millis(500);

/// How long any try may take: whoever stops the job waits for it.
const LONGEST_TRY: Duration = Duration::from_secs(2);

/// How long a wait without a known reason goes unmentioned.
const PATIENCE: Duration = Duration::from_millis(900);

/// How often the wait is mentioned again.
const REPEAT: Duration = Duration::from_secs(5);

/// How long to wait, and the key that says so.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) time: Duration,
    pub(crate) key: &'static str,
}

/// What is asked, of whom, and what that needs.
pub(crate) struct Question<'a> {
    /// What fails if it is not answered.
    pub(crate) what: &'a str,
    pub(crate) brokers: &'a str,
    pub(crate) account: &'a Account,
    pub(crate) right: Right,
    pub(crate) topic: &'a str,
}

/// What the client handle knows about its connection.
pub(crate) struct Signs<'a> {
    /// The time that it takes.
    pub(crate) time: &'a Time,
    /// Why a broker could not be reached.
    pub(crate) trouble: &'a dyn Fn() -> Option<String>,
    /// Whether a broker has not let the user in.
    pub(crate) refused: &'a dyn Fn() -> bool,
}

/// Repeats `probe` until it succeeds, for at most `limit`; says within 2 s what it is waiting for.
///
/// # Errors
/// `Unavailable` when the limit is over or the job is stopped; at once, whatever can't pass by itself, such as a
/// wrong password or a missing right.
pub(crate) fn wait_for<R>(
    question: &Question<'_>,
    limit: Limit,
    stopping: &dyn Fn() -> bool,
    signs: &Signs<'_>,
    mut probe: impl FnMut(Duration) -> Result<R, ClientError>,
) -> Result<R> {
    let Question { what, brokers, account, right, topic } = *question;
    let began = signs.time.now();
    let (mut tries, mut next_word, mut reason) = (0u32, Duration::ZERO, None);
    let mut patience_of_try = FIRST_TRY;
    loop {
        let error = match probe(patience_of_try) {
            Ok(found) => {
                if !next_word.is_zero() {
                    tracing::info!("broker {brokers} answers");
                }
                return Ok(found);
            }
            Err(error) => error,
        };
        tries += 1;
        patience_of_try = (patience_of_try * 2).min(LONGEST_TRY);
        let failure = account.explain(what, &error, right, topic);
        if failure.kind() != ErrorKind::Unavailable {
            return Err(failure);
        }
        reason = (signs.trouble)().or(reason);
        if (signs.refused)() {
            return Err(account.refused(what, reason.as_deref().unwrap_or("it gave no reason")));
        }
        let why = reason.clone().unwrap_or_else(|| match error.rdkafka_error_code() {
            Some(ErrorCode::OperationTimedOut) | None => "no answer yet".to_owned(),
            Some(code) => code.to_string(),
        });
        let elapsed = signs.time.now() - began;
        if stopping() {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("stopped while waiting for broker {brokers}: {why}"),
            ));
        }
        if elapsed >= limit.time {
            let message = format!("{what}: broker {brokers} did not answer within {:?}: {why}", limit.time);
            let hint = format!("check bootstrap.servers and that the broker runs; {} sets how long to wait", limit.key);
            return Err(Error::new(ErrorKind::Unavailable, message).with_hint(hint));
        }
        // A coordinator that is still loading answers "not yet" for a moment: worth a line only if it lasts.
        let patience = if reason.is_none() { PATIENCE } else { Duration::ZERO };
        if elapsed >= next_word.max(patience) {
            tracing::warn!(
                "waiting for broker {brokers}: {why} ({tries} {})",
                if tries == 1 { "try" } else { "tries" }
            );
            next_word = elapsed + REPEAT;
        }
        // A refused connection fails at once; don't ask again at full speed.
        signs.time.pause(Duration::from_millis(200));
    }
}
