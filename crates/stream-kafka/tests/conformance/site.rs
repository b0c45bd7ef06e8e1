//! One broker behind a proxy for all tests that look at requests, because one takes seconds to start.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use stream_testkit::{KafkaCluster, KafkaFixture, KafkaProxy};

use crate::common::copy::Setup;

/// The broker and its proxy. Tests take turns: the proxy's rules and counts are about everybody.
pub(crate) struct Site {
    shared: Arc<(KafkaCluster, KafkaProxy)>,
    _turn: MutexGuard<'static, ()>,
}

impl Site {
    /// Waits for its turn.
    pub(crate) fn new() -> Site {
        static SHARED: Mutex<Weak<(KafkaCluster, KafkaProxy)>> = Mutex::new(Weak::new());
        static TURN: Mutex<()> = Mutex::new(());
        let shared = {
            let mut known = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            match known.upgrade() {
                Some(shared) => shared,
                None => {
                    let shared = Arc::new(KafkaCluster::start_proxied("conformance"));
                    *known = Arc::downgrade(&shared);
                    shared
                }
            }
        };
        // Whoever waits for its turn keeps the broker for the one after.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        shared.1.clear();
        shared.1.refuse(false);
        Site { shared, _turn: turn }
    }

    pub(crate) fn proxy(&self) -> &KafkaProxy {
        &self.shared.1
    }

    /// Topics of one test; what the fixture does goes past the proxy.
    pub(crate) fn kafka(&self, test: &str) -> KafkaFixture {
        KafkaFixture::on(self.shared.0.bootstrap(), test)
    }

    /// A job whose only address is the proxy's.
    pub(crate) fn setup(&self) -> Setup {
        Setup { servers: Some(self.proxy().bootstrap()), ..Setup::default() }
    }
}
