//! What all calls know about a vendor.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use speech_cloud::{Breaker, Pause};
use tokio::time::Instant;
use tracing::warn;

/// Whether a vendor is worth asking; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Vendor {
    name: &'static str,
    breaker: Arc<Mutex<Breaker>>,
}

impl Vendor {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            breaker: Arc::default(),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn is_worth_asking(&self) -> bool {
        self.breaker().allows(Instant::now().into_std())
    }

    pub(crate) fn succeeded(&self) {
        self.breaker().succeeded();
    }

    /// Says in the log what happened; `consequence` is who does the work now.
    pub(crate) fn failed(&self, error: impl Into<anyhow::Error>, pause: Pause, consequence: &str) {
        let error = error.into();
        let vendor = self.name;
        let rest = self.breaker().failed(Instant::now().into_std(), pause);
        warn!(vendor, "{error:#}; {consequence}");
        if let Some(rest) = rest {
            warn!(
                vendor,
                rest_s = rest.as_secs(),
                "vendor is left alone for a while"
            );
        }
    }

    /// No call panics in the middle of counting.
    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
