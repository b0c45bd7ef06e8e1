//! The clusters of a run: the one that the job reads from and writes to, and another one for a part of the output if
//! that is asked for.

use std::sync::Arc;

use stream_core::{Error, ErrorKind, Result};
use stream_testkit::{KafkaCluster, KafkaFixture};

use crate::broker::Broker;
use crate::{Mode, Run};

/// How many brokers a replicated cluster has.
const REPLICATED: u32 = 3;

/// One cluster, from inside and from outside.
pub(crate) struct Cluster {
    pub(crate) kafka: Arc<KafkaFixture>,
    /// None if it is only known as an address.
    broker: Option<Broker>,
    brokers: u32,
    /// Gone at the end, if it is one of this run.
    _own: Option<KafkaCluster>,
}

impl Cluster {
    fn own(cluster: KafkaCluster, brokers: u32) -> Result<Cluster> {
        let kafka = Arc::new(KafkaFixture::on(cluster.bootstrap(), "chaos"));
        Ok(Cluster { kafka, broker: Some(Broker::at(cluster.dir())?), brokers, _own: Some(cluster) })
    }

    pub(crate) fn bootstrap(&self) -> &str {
        self.kafka.bootstrap()
    }

    /// # Errors
    /// `Internal` if the run has not said that it needs more than the address.
    pub(crate) fn broker(&self) -> Result<&Broker> {
        self.broker.as_ref().ok_or_else(|| Error::new(ErrorKind::Internal, "only the address of the cluster is known"))
    }

    /// Which of its brokers crashes as the `turn`-th; none if it has only one.
    pub(crate) fn victim(&self, turn: u32) -> Option<u32> {
        (self.brokers > 1).then(|| turn % self.brokers + 1)
    }
}

/// All clusters of a run.
pub(crate) struct Clusters {
    pub(crate) main: Cluster,
    second: Option<Cluster>,
}

impl Clusters {
    pub(crate) fn start(run: &Run) -> Result<Clusters> {
        let main = match run.faults.replicated {
            true => Cluster::own(KafkaCluster::start_replicated("chaos"), REPLICATED)?,
            false => {
                let bootstrap = std::env::var("BOOTSTRAP").map_err(|_| {
                    let hint = "run it by `cargo xtask chaos`, which starts a broker";
                    Error::new(ErrorKind::Config, "BOOTSTRAP names no broker").with_hint(hint)
                })?;
                let needs_broker = run.mode == Mode::ExactlyOnce || run.faults.brokers;
                let broker = needs_broker.then(Broker::of_this_run).transpose()?;
                let kafka = Arc::new(KafkaFixture::on(&bootstrap, "chaos"));
                Cluster { kafka, broker, brokers: 1, _own: None }
            }
        };
        let second = run.faults.second_cluster.then(|| Cluster::own(KafkaCluster::start_new("chaos-second"), 1));
        Ok(Clusters { main, second: second.transpose()? })
    }

    /// The cluster that windows are written to.
    pub(crate) fn of_windows(&self) -> &Cluster {
        self.second.as_ref().unwrap_or(&self.main)
    }

    /// The cluster that a broker's crash in this round is about.
    pub(crate) fn of_crash(&self, second: bool) -> &Cluster {
        if second { self.of_windows() } else { &self.main }
    }
}
