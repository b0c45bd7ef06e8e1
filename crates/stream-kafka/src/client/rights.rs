//! Rights: who a client is, what it is told when it lacks a right, and what the brokers say it may do.
//!
//! Brokers with an authorizer answer "authorization failed" without a word on what to do. Here that becomes the user,
//! the resource, the missing operation and the command that gives it.

use std::collections::BTreeMap;
use std::ffi::{CString, c_char};
use std::fmt;
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as rd;
use rdkafka::client::Client;
use rdkafka::types::RDKafkaRespErr;
use stream_core::{Error, ErrorKind};

use super::{ClientError, ErrorCode, client_error};

/// What a source or sink does with a resource. Either includes looking at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Right {
    Read,
    Write,
}

/// What a right is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Resource<'a> {
    Topic(&'a str),
    Group(&'a str),
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resource::Topic(name) => write!(f, "topic `{name}`"),
            Resource::Group(name) => write!(f, "group `{name}`"),
        }
    }
}

/// Who a client handle is to the brokers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// Not known where a certificate or a ticket says it.
    user: Option<String>,
    group: Option<String>,
    brokers: String,
}

impl Account {
    /// The account of a handle with these properties of librdkafka.
    pub(crate) fn of(settings: &BTreeMap<String, String>) -> Account {
        let get = |key: &str| settings.get(key).cloned();
        Account {
            user: get("sasl.username"),
            group: get("group.id"),
            brokers: get("bootstrap.servers").unwrap_or_default(),
        }
    }

    /// What the client says about an operation on `topic`; a missing right is named with what gives it.
    pub(crate) fn explain(&self, what: &str, error: &ClientError, right: Right, topic: &str) -> Error {
        let resource = match (error.rdkafka_error_code(), &self.group) {
            (Some(ErrorCode::TopicAuthorizationFailed), _) => Resource::Topic(topic),
            (Some(ErrorCode::GroupAuthorizationFailed), Some(group)) => Resource::Group(group),
            _ => return client_error(what, error),
        };
        let right = if matches!(resource, Resource::Group(_)) { Right::Read } else { right };
        let denied = self.denied(right, resource);
        let explained = Error::new(denied.kind(), format!("{what}: {}", denied.message()));
        explained.with_hint(denied.hint().unwrap_or_default())
    }

    /// A right is missing.
    pub(crate) fn denied(&self, right: Right, resource: Resource<'_>) -> Error {
        let user = self.user.as_deref().map_or("this job's user".to_owned(), |user| format!("user `{user}`"));
        let verb = match (right, resource) {
            (Right::Write, _) => "write to",
            (Right::Read, Resource::Topic(_)) => "read",
            (Right::Read, Resource::Group(_)) => "use",
        };
        let (operation, option, name) = match (right, resource) {
            (Right::Read, Resource::Topic(name)) => ("Read", "--topic", name),
            (Right::Write, Resource::Topic(name)) => ("Write", "--topic", name),
            (_, Resource::Group(name)) => ("Read", "--group", name),
        };
        let principal = word(&format!("User:{}", self.user.as_deref().unwrap_or("NAME")));
        let hint = format!(
            "an administrator can give the right {operation}: kafka-acls.sh --bootstrap-server {} --command-config \
             admin.properties --add --allow-principal {principal} --operation {operation} {option} {}",
            self.brokers,
            word(name)
        );
        Error::new(ErrorKind::Config, format!("{user} may not {verb} {resource}")).with_hint(hint)
    }

    /// The brokers did not let the user in.
    pub(crate) fn refused(&self, what: &str, reason: &str) -> Error {
        let user = self.user.as_deref().map_or("this job's user".to_owned(), |user| format!("user `{user}`"));
        let message = format!("{what}: broker {} refused {user}: {reason}", self.brokers);
        let hint =
            "check user and password in sasl.jaas.config (or sasl.username and sasl.password), and sasl.mechanism";
        Error::new(ErrorKind::Config, message).with_hint(hint)
    }
}

/// As a shell takes it.
fn word(text: &str) -> String {
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || b":._-".contains(&b)) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Asks the brokers whether the handle's user has the right. `None` if they don't tell: brokers before 2.3, and
/// those that do not answer in time.
pub(crate) fn may<C: ClientContext>(
    client: &Client<C>,
    right: Right,
    resource: Resource<'_>,
    limit: Duration,
) -> Option<bool> {
    let operation = match right {
        Right::Read => rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_READ,
        Right::Write => rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE,
    };
    let client = NonNull::new(client.native_ptr())?;
    match operations(client, resource, limit)? {
        Ok(allowed) => Some(allowed.contains(&operation)),
        Err(
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
        ) => Some(false),
        Err(_) => None,
    }
}

/// How many live members a group has; `None` if the brokers don't tell.
pub(crate) fn members<C: ClientContext>(client: &Client<C>, group: &str, limit: Duration) -> Option<usize> {
    let client = NonNull::new(client.native_ptr())?;
    ask_about(client, Resource::Group(group), limit, |event| {
        let mut count = 0;
        // SAFETY: everything that is read lives as long as the event; the array has the length that is told.
        unsafe {
            let groups = rd::rd_kafka_event_DescribeConsumerGroups_result(event.as_ptr());
            if groups.is_null() {
                return None;
            }
            let found = rd::rd_kafka_DescribeConsumerGroups_result_groups(groups, &raw mut count);
            (count > 0).then(|| rd::rd_kafka_ConsumerGroupDescription_member_count(*found))
        }
    })?
}

type Answer = Result<Vec<rd::rd_kafka_AclOperation_t>, RDKafkaRespErr>;

/// Everything the user may do with the resource, or why that is not told; `None` without an answer.
fn operations(client: NonNull<rd::rd_kafka_t>, resource: Resource<'_>, limit: Duration) -> Option<Answer> {
    // SAFETY: the event is the answer to a question about one topic or one group.
    ask_about(client, resource, limit, |event| unsafe { read(event) })
}

/// Asks what there is to know about one topic or group; `None` without an answer.
fn ask_about<R>(
    client: NonNull<rd::rd_kafka_t>,
    resource: Resource<'_>,
    limit: Duration,
    read: impl FnOnce(NonNull<rd::rd_kafka_event_t>) -> R,
) -> Option<R> {
    let (name, request) = match resource {
        Resource::Topic(name) => (name, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS),
        Resource::Group(name) => (name, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS),
    };
    let name = CString::new(name).ok()?;
    let millis = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    let mut names: [*const c_char; 1] = [name.as_ptr()];
    let mut reason: [c_char; 128] = [0; 128];
    // SAFETY: the handle is alive for the whole call, as its owner is borrowed by the caller. Queue, options and
    // collection are made, used and destroyed here; librdkafka copies what it keeps of them. `names` and `reason` are
    // live arrays of the lengths given.
    unsafe {
        let queue = NonNull::new(rd::rd_kafka_queue_new(client.as_ptr()))?;
        let options = rd::rd_kafka_AdminOptions_new(client.as_ptr(), request);
        // What can't be set leaves librdkafka's default, which only changes how long the question takes.
        rd::rd_kafka_AdminOptions_set_request_timeout(options, millis, reason.as_mut_ptr(), reason.len());
        let refused = rd::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        if !refused.is_null() {
            rd::rd_kafka_error_destroy(refused);
        }
        match resource {
            Resource::Topic(_) => {
                let topics = rd::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
                rd::rd_kafka_DescribeTopics(client.as_ptr(), topics, options, queue.as_ptr());
                rd::rd_kafka_TopicCollection_destroy(topics);
            }
            Resource::Group(_) => {
                let (groups, count) = (names.as_mut_ptr(), names.len());
                rd::rd_kafka_DescribeConsumerGroups(client.as_ptr(), groups, count, options, queue.as_ptr());
            }
        }
        let event = NonNull::new(rd::rd_kafka_queue_poll(queue.as_ptr(), millis));
        let answer = event.map(|event| {
            let answer = read(event);
            rd::rd_kafka_event_destroy(event.as_ptr());
            answer
        });
        rd::rd_kafka_AdminOptions_destroy(options);
        rd::rd_kafka_queue_destroy(queue.as_ptr());
        answer
    }
}

/// # Safety
/// `event` is alive and the answer to a question about one topic or one group.
unsafe fn read(event: NonNull<rd::rd_kafka_event_t>) -> Answer {
    let (mut count, mut allowed) = (0, 0);
    // SAFETY: everything that is read lives as long as the event. Each `result` call returns null for an event of
    // the other kind, and arrays of the length that it writes to its second argument.
    unsafe {
        let code = rd::rd_kafka_event_error(event.as_ptr());
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(code);
        }
        let topics = rd::rd_kafka_event_DescribeTopics_result(event.as_ptr());
        let groups = rd::rd_kafka_event_DescribeConsumerGroups_result(event.as_ptr());
        let (error, operations) = if let Some(topics) = NonNull::new(topics.cast_mut()) {
            let found = rd::rd_kafka_DescribeTopics_result_topics(topics.as_ptr(), &raw mut count);
            if count == 0 {
                return Err(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN);
            }
            let operations = rd::rd_kafka_TopicDescription_authorized_operations(*found, &raw mut allowed);
            (rd::rd_kafka_TopicDescription_error(*found), operations)
        } else if let Some(groups) = NonNull::new(groups.cast_mut()) {
            let found = rd::rd_kafka_DescribeConsumerGroups_result_groups(groups.as_ptr(), &raw mut count);
            if count == 0 {
                return Err(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN);
            }
            let operations = rd::rd_kafka_ConsumerGroupDescription_authorized_operations(*found, &raw mut allowed);
            (rd::rd_kafka_ConsumerGroupDescription_error(*found), operations)
        } else {
            return Err(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN);
        };
        // An error that is null has the code "no error".
        let code = rd::rd_kafka_error_code(error);
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(code);
        }
        if operations.is_null() {
            // The broker is too old to tell.
            return Err(RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE);
        }
        Ok(std::slice::from_raw_parts(operations, allowed).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(settings: &[(&str, &str)]) -> Account {
        Account::of(&settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn a_missing_right_is_named_with_the_command_that_gives_it() {
        let account = account(&[("bootstrap.servers", "h:9092"), ("sasl.username", "alice"), ("group.id", "a b")]);
        let error = ClientError::MessageConsumption(ErrorCode::TopicAuthorizationFailed);
        let said = account.explain("can't read `t` partition 0", &error, Right::Read, "t");
        assert_eq!(
            said.to_string(),
            "error[config]: can't read `t` partition 0: user `alice` may not read topic `t`\n   = help: an \
             administrator can give the right Read: kafka-acls.sh --bootstrap-server h:9092 --command-config \
             admin.properties --add --allow-principal User:alice --operation Read --topic t"
        );
        let error = ClientError::ConsumerCommit(ErrorCode::GroupAuthorizationFailed);
        let said = account.explain("can't commit", &error, Right::Read, "t");
        assert_eq!(said.message(), "can't commit: user `alice` may not use group `a b`");
        assert!(said.hint().is_some_and(|hint| hint.ends_with("--operation Read --group 'a b'")), "{said}");
    }

    #[test]
    fn without_a_user_name_the_command_has_a_gap() {
        let said = account(&[("bootstrap.servers", "h:1")]).denied(Right::Write, Resource::Topic("t"));
        assert_eq!(said.message(), "this job's user may not write to topic `t`");
        assert!(said.hint().is_some_and(|hint| hint.contains("User:NAME --operation Write --topic t")), "{said}");
    }
}
