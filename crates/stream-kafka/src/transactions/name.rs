//! What a job's transactions are called on the brokers.
//!
//! One name serves as transactional id and as the group that holds the markers, so that one prefixed right on
//! `stream-rs/` is enough. Each part has its length before it: no two jobs share a name, and no name of a job begins
//! another's.

use stream_core::TransactionRun;

/// The name of a job's transactions.
pub(super) fn of_job(run: &TransactionRun) -> String {
    of(run.application(), run.job())
}

/// The name of the transactions of one sink of a job.
pub(super) fn of_sink(application: &str, job: &str, uid: &str) -> String {
    format!("{}/{}:{uid}", of(application, job), uid.len())
}

fn of(application: &str, job: &str) -> String {
    format!("stream-rs/{}:{application}/{}:{job}", application.len(), job.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_can_be_read() {
        assert_eq!(of("default", "copy"), "stream-rs/7:default/4:copy");
    }

    proptest! {
        #[test]
        fn no_name_begins_another(a in "[a1:/]{0,4}", b in "[a1:/]{0,4}", c in "[a1:/]{0,4}", d in "[a1:/]{0,4}") {
            prop_assume!((&a, &b) != (&c, &d));
            prop_assert!(!of(&a, &b).starts_with(&of(&c, &d)));
        }
    }
}
