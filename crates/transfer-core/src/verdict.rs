//! How a transfer ended, judged from what LiveKit answered and from when the caller's leg left.
//!
//! LiveKit answers HTTP 200 also when the call ended before anybody knew whether the transfer target
//! answered, and an error also while the target's phone still rings. Nothing here claims more than was seen.

use std::{fmt, time::Duration};

use crate::TransferFailure;

/// How long after LiveKit reported success a transferred leg stays up, at least.
///
/// livekit-sip ends the leg 1 s after the final NOTIFY. In a false success the carrier, or the caller, has
/// ended it already, and it leaves at the same moment.
const CONNECTED_LEG_STAYS: Duration = Duration::from_millis(500);

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The transfer target answered.
    Connected,
    /// The target did not answer, and nothing of the attempt is left.
    Failed(TransferFailure),
    /// Nobody said whether the target answered. It may have, or may still.
    Unconfirmed(Doubt),
}

/// Why it is not known how a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The carrier hung up right after it accepted the REFER, or the caller did.
    #[error("the call ended before the carrier said whether the target answered")]
    LegEnded,
    /// The REFER was ignored, or accepted and never reported on, or the target still rings: a REFER cannot be
    /// called back. A second one would be refused, or ring two phones.
    #[error("the carrier has not said in time whether the target answered")]
    TimedOut,
    /// The carrier ended its reports (RFC 6665 §4.1.3) without a final one.
    #[error("the carrier stopped reporting before the target answered")]
    NotReported,
    /// The request may have been carried out.
    #[error("LiveKit's answer does not say what became of the transfer")]
    AnswerLost,
}

/// What LiveKit answered to `TransferSIPParticipant`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferAnswer {
    /// HTTP 200, with the server's reason where it gives one: the target answered, *or* the leg ended.
    Success(Option<TransferReason>),
    Failure(TransferFailure),
    /// An error, or none at all, that leaves the outcome open.
    Open(Doubt),
}

/// LiveKit's `SIPTransferReason`; livekit-sip 1.8 does not send it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferReason {
    Completed,
    CallEnded,
    Rejected,
    RingingTimeout,
    SubscriptionTerminated,
    Canceled,
}

impl TransferReason {
    /// Reads the number of the protocol's enumeration; `None` for `STR_UNSPECIFIED` and for later ones.
    pub fn from_wire(number: i32) -> Option<Self> {
        Some(match number {
            1 => Self::Completed,
            2 => Self::CallEnded,
            3 => Self::Rejected,
            4 => Self::RingingTimeout,
            5 => Self::SubscriptionTerminated,
            6 => Self::Canceled,
            _ => return None,
        })
    }
}

impl Verdict {
    /// Judges a transfer by REFER.
    ///
    /// `left_after` is the time from LiveKit's answer to the caller's participant leaving the room, zero when
    /// it left before; `None` while it is there.
    pub fn of(answer: TransferAnswer, left_after: Option<Duration>) -> Self {
        match (answer, left_after) {
            (TransferAnswer::Success(Some(TransferReason::Completed)), _) => Self::Connected,
            (TransferAnswer::Success(Some(_)), _) => Self::Unconfirmed(Doubt::LegEnded),
            (TransferAnswer::Success(None), Some(left_after))
                if left_after < CONNECTED_LEG_STAYS =>
            {
                Self::Unconfirmed(Doubt::LegEnded)
            }
            (TransferAnswer::Success(None), _) => Self::Connected,
            (TransferAnswer::Failure(cause), _) => Self::Failed(cause),
            (TransferAnswer::Open(_), Some(_)) => Self::Unconfirmed(Doubt::LegEnded),
            (TransferAnswer::Open(doubt), None) => Self::Unconfirmed(doubt),
        }
    }

    /// One word for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Failed(_) => "failed",
            Self::Unconfirmed(_) => "unconfirmed",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("connected"),
            Self::Failed(cause) => write!(f, "failed: {cause}"),
            Self::Unconfirmed(doubt) => write!(f, "unconfirmed: {doubt}"),
        }
    }
}

impl Doubt {
    /// Returns one word for metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::LegEnded => "leg_ended",
            Self::TimedOut => "timed_out",
            Self::NotReported => "not_reported",
            Self::AnswerLost => "answer_lost",
        }
    }

    /// Returns what the agent tells a caller who is still there.
    pub fn spoken(self) -> &'static str {
        match self {
            Self::LegEnded | Self::TimedOut | Self::NotReported | Self::AnswerLost => {
                "I'm sorry, I could not confirm the transfer. The other phone may still ring. Until then you are with me."
            }
        }
    }

    /// Returns what the operator can do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::LegEnded => {
                "look the call up in the carrier's log: a carrier that hangs up right after it accepted the REFER \
                 carries the transfer out by itself and tells nobody how it ended"
            }
            Self::TimedOut => {
                "the carrier ignored the REFER or the target rang too long: check that \"Call Transfer (SIP REFER)\" \
                 is enabled in the carrier's console, that VOBIZ_SIP_DOMAIN is set, and that TRANSFER_RINGING_TIMEOUT \
                 exceeds the carrier's own no-answer time"
            }
            Self::NotReported => {
                "look the call up in the carrier's log: it accepted the REFER and ended its reports early"
            }
            Self::AnswerLost => {
                "look the call up in livekit-sip's log before transferring again: the target may have rung"
            }
        }
    }
}

impl From<TransferFailure> for TransferAnswer {
    fn from(cause: TransferFailure) -> Self {
        Self::Failure(cause)
    }
}

impl From<Doubt> for TransferAnswer {
    fn from(doubt: Doubt) -> Self {
        Self::Open(doubt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: impl Into<TransferAnswer>, left_after_ms: Option<u64>, expect: Verdict) {
        let answer = answer.into();
        let left_after = left_after_ms.map(Duration::from_millis);
        let verdict = Verdict::of(answer, left_after);
        assert_eq!(verdict, expect, "{answer:?}, left after {left_after:?}");
    }

    #[test]
    fn success_is_believed_only_if_the_leg_outlives_it_or_the_server_says_why() {
        let success = TransferAnswer::Success;
        let ended = Verdict::Unconfirmed(Doubt::LegEnded);
        check(success(None), Some(1_000), Verdict::Connected);
        check(success(None), None, Verdict::Connected);
        check(success(None), Some(0), ended);
        check(success(None), Some(30), ended);
        let completed = success(Some(TransferReason::Completed));
        check(completed, Some(0), Verdict::Connected);
        check(success(Some(TransferReason::CallEnded)), Some(1_000), ended);
        check(success(Some(TransferReason::CallEnded)), None, ended);
    }

    #[test]
    fn an_open_answer_never_fails_and_never_connects() {
        for doubt in [Doubt::TimedOut, Doubt::NotReported, Doubt::AnswerLost] {
            check(doubt, None, Verdict::Unconfirmed(doubt));
            check(doubt, Some(0), Verdict::Unconfirmed(Doubt::LegEnded));
        }
    }

    #[test]
    fn a_failure_stays_one_if_the_caller_leaves_afterwards() {
        let busy = TransferFailure::TargetBusy;
        check(busy, None, Verdict::Failed(busy));
        check(busy, Some(20), Verdict::Failed(busy));
    }

    #[test]
    fn reasons_have_the_numbers_of_the_protocol() {
        assert_eq!(TransferReason::from_wire(0), None);
        assert_eq!(
            TransferReason::from_wire(1),
            Some(TransferReason::Completed)
        );
        assert_eq!(TransferReason::from_wire(6), Some(TransferReason::Canceled));
        assert_eq!(TransferReason::from_wire(7), None);
    }
}
