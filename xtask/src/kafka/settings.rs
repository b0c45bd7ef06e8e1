//! The `server.properties` of one broker: KRaft, broker and controller in one process, small-machine sizes.

use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// One broker of the local cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Broker {
    pub(crate) id: u16,
    pub(crate) port: u16,
    pub(crate) controller_port: u16,
}

/// How clients get to a broker and in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Access {
    /// Whether clients need a user, and users need rights.
    #[serde(default)]
    pub(crate) acls: bool,
    /// Where the clients of a second listener are told to come: a proxy of a test, which passes them on to
    /// [`proxied_port`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proxy: Option<u16>,
}

/// Where a broker of a cluster with a proxy listens for what the proxy passes on. Such a cluster is one broker, so this
/// port is free.
pub(crate) fn proxied_port(broker: &Broker) -> u16 {
    broker.controller_port + 1
}

/// Brokers 1 to `count`: clients connect to `port`, `port + 1`, …; the controllers listen right behind them.
pub(crate) fn lay_out(count: u16, port: u16) -> Vec<Broker> {
    (0..count)
        .map(|index| Broker { id: index + 1, port: port + index, controller_port: port + count + index })
        .collect()
}

/// Sizes that suit a laptop or a two-core CI machine, for every number of brokers.
const FIXED: &str = "\
process.roles=broker,controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
# a mistyped topic has to fail, not to appear
auto.create.topics.enable=false
num.partitions=4
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=4
# consumers of a test do not wait for others to join
group.initial.rebalance.delay.ms=0
# transactions that a test leaves behind go soon
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
# few threads, a small cleaner buffer
num.network.threads=2
num.io.threads=4
background.threads=2
num.replica.fetchers=1
num.recovery.threads.per.data.dir=1
log.cleaner.dedupe.buffer.size=16777216
log.segment.delete.delay.ms=1000
";

/// The users of a cluster with `--acls`: the first may do everything, the others nothing that no ACL allows.
pub(crate) const USERS: [(&str, &str); 3] =
    [("admin", "admin-secret"), ("alice", "alice-secret"), ("bob", "bob-secret")];

/// Users, passwords and rights, where a cluster asks for them. The controllers' own listener stays open to this
/// machine: only brokers speak there, and it keeps the set-up small.
fn security() -> String {
    let users: Vec<_> = USERS.iter().map(|(user, password)| format!("user_{user}=\"{password}\"")).collect();
    let (admin, password) = USERS[0];
    format!(
        "inter.broker.listener.name=SASL_PLAINTEXT\n\
         sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512\n\
         sasl.mechanism.inter.broker.protocol=PLAIN\n\
         listener.name.sasl_plaintext.plain.sasl.jaas.config=\
         org.apache.kafka.common.security.plain.PlainLoginModule required \
         username=\"{admin}\" password=\"{password}\" {};\n\
         listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=\
         org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:{admin};User:ANONYMOUS\n\
         allow.everyone.if.no.acl.found=false\n",
        users.join(" "),
    )
}

/// What Kafka's own tools need to know to be let in as the first user.
pub(crate) fn admin_properties() -> String {
    let (admin, password) = USERS[0];
    format!(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config=\
         org.apache.kafka.common.security.plain.PlainLoginModule required username=\"{admin}\" password=\"{password}\";\n"
    )
}

/// The properties of `broker`, which is one of `all`, with its data in `data`.
pub(crate) fn server_properties(broker: &Broker, all: &[Broker], data: &Path, access: Access) -> String {
    let listener = if access.acls { "SASL_PLAINTEXT" } else { "PLAINTEXT" };
    let replicas = all.len().min(3);
    let in_sync = if replicas > 1 { 2 } else { 1 };
    let voters: Vec<_> = all.iter().map(|peer| format!("{}@127.0.0.1:{}", peer.id, peer.controller_port)).collect();
    let Broker { id, port, controller_port } = broker;
    let (proxied, advertised) = match access.proxy {
        Some(proxy) => {
            (format!(",PROXIED://127.0.0.1:{}", proxied_port(broker)), format!(",PROXIED://127.0.0.1:{proxy}"))
        }
        None => Default::default(),
    };
    let mut text = FIXED.to_owned();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "node.id={id}\n\
         listeners={listener}://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{proxied}\n\
         advertised.listeners={listener}://127.0.0.1:{port}{advertised}\n\
         controller.quorum.voters={}\n\
         log.dirs={}\n\
         default.replication.factor={replicas}\n\
         min.insync.replicas={in_sync}\n\
         offsets.topic.replication.factor={replicas}\n\
         transaction.state.log.replication.factor={replicas}\n\
         transaction.state.log.min.isr={in_sync}\n\
         share.coordinator.state.topic.replication.factor={replicas}\n\
         share.coordinator.state.topic.min.isr={in_sync}\n",
        voters.join(","),
        data.display(),
    );
    text += &if access.acls { security() } else { format!("inter.broker.listener.name={listener}\n") };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Access = Access { acls: false, proxy: None };
    const USERS_ONLY: Access = Access { acls: true, proxy: None };
    const PROXIED: Access = Access { acls: false, proxy: Some(7_000) };

    #[test]
    fn ports_are_consecutive_and_controllers_follow() {
        let ports: Vec<_> = lay_out(3, 19092).iter().map(|b| (b.id, b.port, b.controller_port)).collect();
        assert_eq!(ports, [(1, 19092, 19095), (2, 19093, 19096), (3, 19094, 19097)]);
    }

    #[test]
    fn one_broker_replicates_nothing() {
        let all = lay_out(1, 19092);
        let text = server_properties(&all[0], &all, Path::new("data"), PLAIN);
        assert!(text.contains("\nlisteners=PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093\n"));
        assert!(text.contains("\ntransaction.state.log.replication.factor=1\n"));
        assert!(text.contains("\ntransaction.state.log.min.isr=1\n"));
    }

    #[test]
    fn a_quorum_knows_all_its_voters_and_replicates_three_times_at_most() {
        let all = lay_out(5, 100);
        let text = server_properties(&all[4], &all, Path::new("data"), PLAIN);
        assert!(
            text.contains("voters=1@127.0.0.1:105,2@127.0.0.1:106,3@127.0.0.1:107,4@127.0.0.1:108,5@127.0.0.1:109\n")
        );
        assert!(text.contains("\nnode.id=5\n"));
        assert!(text.contains("\ndefault.replication.factor=3\nmin.insync.replicas=2\n"));
    }

    #[test]
    fn listens_on_the_loopback_only() {
        let all = lay_out(3, 100);
        let accesses = [PLAIN, USERS_ONLY, PROXIED];
        for (broker, access) in all.iter().flat_map(|broker| accesses.map(|access| (broker, access))) {
            assert!(!server_properties(broker, &all, Path::new("data"), access).contains("0.0.0.0"));
        }
    }

    #[test]
    fn clients_of_the_second_listener_are_sent_to_the_proxy() {
        let all = lay_out(1, 100);
        let text = server_properties(&all[0], &all, Path::new("data"), PROXIED);
        let listeners = "\nlisteners=PLAINTEXT://127.0.0.1:100,CONTROLLER://127.0.0.1:101,PROXIED://127.0.0.1:102\n";
        assert!(text.contains(listeners), "{text}");
        assert!(text.contains("\nadvertised.listeners=PLAINTEXT://127.0.0.1:100,PROXIED://127.0.0.1:7000\n"), "{text}");
        assert!(text.contains("\ninter.broker.listener.name=PLAINTEXT\n"), "{text}");
    }

    #[test]
    fn with_acls_clients_have_to_say_who_they_are() {
        let all = lay_out(1, 100);
        let text = server_properties(&all[0], &all, Path::new("data"), USERS_ONLY);
        assert!(text.contains("\nlisteners=SASL_PLAINTEXT://127.0.0.1:100,CONTROLLER://127.0.0.1:101\n"), "{text}");
        assert!(text.contains("password=\"admin-secret\" user_admin=\"admin-secret\" user_alice="), "{text}");
        assert!(!text.contains("\ninter.broker.listener.name=PLAINTEXT\n"), "{text}");
    }
}
