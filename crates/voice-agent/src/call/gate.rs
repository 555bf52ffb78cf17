//! The last door before a transfer leaves: neither the dialogue nor a model gets around it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tracing::{info, warn};
use transfer_core::{
    PhoneNumber, TransferFailure,
    policy::{CallAttempts, DayAttempts, Refusal, Rule, TransferPolicy},
};

/// The policy, with what this call and all calls of the process have tried.
#[derive(Debug, Clone, Default)]
pub(crate) struct TransferGate {
    policy: TransferPolicy,
    call: CallAttempts,
    day: Arc<Mutex<DayAttempts>>,
    decision: Option<Decision>,
}

/// What was decided about an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) number: PhoneNumber,
    pub(crate) ruling: Result<Rule, Refusal>,
}

impl TransferGate {
    pub(crate) fn new(policy: TransferPolicy, day: Arc<Mutex<DayAttempts>>) -> Self {
        Self {
            policy,
            call: CallAttempts::default(),
            day,
            decision: None,
        }
    }

    /// Counts an attempt and lets it pass, or refuses it. Either is logged with its rule.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        number: &PhoneNumber,
    ) -> Result<(), TransferFailure> {
        // Counting leaves nothing half done, so what a panicking call left behind counts.
        let mut day = self.day.lock().unwrap_or_else(PoisonError::into_inner);
        let ruling = self.policy.admit(number, &mut self.call, &mut day, now);
        self.decision = Some(Decision {
            number: number.clone(),
            ruling: ruling.clone(),
        });
        match ruling {
            Ok(rule) => {
                info!(%rule, number = number.masked(), "transfer allowed");
                Ok(())
            }
            Err(refusal) => {
                let hint = refusal.hint();
                warn!(%refusal, hint, number = number.masked(), "transfer refused");
                Err(TransferFailure::Policy(refusal))
            }
        }
    }

    /// Returns the last decision, once.
    pub(crate) fn take_decision(&mut self) -> Option<Decision> {
        self.decision.take()
    }
}
