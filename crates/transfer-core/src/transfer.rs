//! What became of a REFER.

use std::time::Duration;

use crate::{SipStatus, TwirpFailure, policy::Refusal};

/// How long after LiveKit reported success the transferred leg stays up, at least.
///
/// livekit-sip ends the leg 1 s after the final NOTIFY. In a false success the carrier has ended it
/// already, and it leaves at the same moment.
const CONNECTED_LEG_STAYS: Duration = Duration::from_millis(500);

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferOutcome {
    /// The transfer target answered.
    Connected,
    /// The leg ended before the carrier said whether the target answered: the carrier hung up right
    /// after accepting the REFER, or the caller did. LiveKit reports both as success.
    LeftUnconfirmed,
    /// The caller is still with us, or gone; see the cause.
    Failed(TransferFailure),
}

impl TransferOutcome {
    /// Judges a success answer to `TransferSIPParticipant`.
    ///
    /// `left_after` is the time from that answer to the participant leaving the room, or `None`
    /// when it had not left yet.
    pub fn of_success(left_after: Option<Duration>) -> Self {
        match left_after {
            Some(left_after) if left_after < CONNECTED_LEG_STAYS => Self::LeftUnconfirmed,
            _ => Self::Connected,
        }
    }
}

/// Why `TransferSIPParticipant` did not connect the caller with the transfer target.
///
/// In all cases but [`CallerGone`](Self::CallerGone) the caller is still with the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferFailure {
    /// The carrier, or the caller's phone, does not do REFER now or at all.
    #[error("the carrier refused to transfer with {status}")]
    Refused { status: SipStatus },
    #[error("the transfer target is busy")]
    TargetBusy,
    #[error("the transfer target declined")]
    TargetDeclined,
    #[error("the transfer target did not answer")]
    TargetNoAnswer,
    #[error("the transfer target's number is not in service")]
    TargetUnknown,
    #[error("the call to the transfer target failed with {status}")]
    TargetFault { status: SipStatus },
    /// The caller gave up waiting for the target, and is back with us.
    #[error("the caller cancelled the transfer")]
    Cancelled,
    #[error("LiveKit refused the transfer target as invalid")]
    BadTarget,
    /// Nothing was sent: the operator does not want this transfer.
    #[error(transparent)]
    Policy(#[from] Refusal),
    /// An earlier REFER is still under way; livekit-sip keeps repeating an ignored one for 32 s.
    #[error("another transfer of this call is still under way")]
    AlreadyTransferring,
    #[error("the caller is gone")]
    CallerGone,
    /// The participant came by a browser or an app: there is no call to REFER.
    #[error("the participant is not on the phone")]
    NotAPhoneCall,
    #[error("LiveKit refused the API key")]
    ApiKeyRefused,
    #[error("no SIP service is running")]
    SipServiceDown,
    #[error("the SIP service is at its limit")]
    Overloaded,
    /// Nobody said how it ended. A REFER cannot be called back: the target may be ringing, and may
    /// still answer. Do not send a second one at once.
    #[error("it is not known whether the transfer went through")]
    Unconfirmed,
}

/// livekit-sip's words for a failure of the target's leg, reported by NOTIFY; a refusal of the REFER
/// itself comes without them.
const TARGET_FAILED: &str = "call transfer failed";

impl TransferFailure {
    /// Classifies an error answer to `TransferSIPParticipant`.
    pub fn classify(failure: &TwirpFailure<'_>) -> Self {
        match failure.sip_status {
            Some(status) if failure.says(TARGET_FAILED) => Self::from_target(status),
            Some(status) => Self::Refused { status },
            None => Self::from_text(failure),
        }
    }

    fn from_target(status: SipStatus) -> Self {
        match status.0 {
            486 | 600 => Self::TargetBusy,
            603 | 607 | 608 => Self::TargetDeclined,
            408 | 480 => Self::TargetNoAnswer,
            404 | 410 | 484 | 604 => Self::TargetUnknown,
            487 => Self::Cancelled,
            _ => Self::TargetFault { status },
        }
    }

    fn from_text(failure: &TwirpFailure<'_>) -> Self {
        use TransferFailure as Cause;
        const TEXTS: [(&str, Cause); 8] = [
            ("call already being transferred", Cause::AlreadyTransferring),
            ("participant does not exist", Cause::CallerGone),
            ("can't transfer non established call", Cause::CallerGone),
            ("no SIP session associated", Cause::NotAPhoneCall),
            ("no response from servers", Cause::SipServiceDown),
            ("cpu exhausted", Cause::Overloaded),
            ("request timed out", Cause::Unconfirmed),
            ("transaction failed to complete", Cause::Unconfirmed),
        ];

        let by_text = TEXTS.iter().find(|(text, _)| failure.says(text));
        match by_text {
            Some((_, cause)) => *cause,
            None if failure.is_api_key_refused() => Self::ApiKeyRefused,
            None if failure.code == "invalid_argument" => Self::BadTarget,
            None => Self::Unconfirmed,
        }
    }

    /// Returns what the agent tells the caller.
    pub fn spoken(self) -> &'static str {
        match self {
            Self::TargetBusy => {
                "I'm sorry, that line is busy right now. You are still with me. How else can I help?"
            }
            Self::TargetDeclined => {
                "I'm sorry, they declined the call. You are still with me. How else can I help?"
            }
            Self::TargetNoAnswer => {
                "I'm sorry, nobody answered there. You are still with me. How else can I help?"
            }
            Self::TargetUnknown => {
                "I'm sorry, that number is not in service. You are still with me. Would you like to try another number?"
            }
            Self::TargetFault { .. } => {
                "I'm sorry, that number could not be reached. You are still with me. How else can I help?"
            }
            Self::Refused { .. } | Self::NotAPhoneCall => {
                "I'm sorry, this call cannot be transferred. You are still with me. How else can I help?"
            }
            Self::Cancelled => "You are back with me. How else can I help?",
            Self::BadTarget => {
                "I'm sorry, I cannot transfer you to that number. Would you like to try another one?"
            }
            Self::Policy(refusal) => refusal.spoken(),
            Self::AlreadyTransferring => {
                "An earlier transfer is still being tried. Please give it half a minute."
            }
            Self::CallerGone => "It seems that you have hung up. Goodbye.",
            Self::ApiKeyRefused | Self::SipServiceDown | Self::Overloaded => {
                "I'm sorry, I cannot transfer calls at the moment. You are still with me. How else can I help?"
            }
            Self::Unconfirmed => {
                "I'm sorry, I could not confirm the transfer. The other phone may still ring. Until then you are with me."
            }
        }
    }

    /// Returns what the operator can do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::TargetBusy
            | Self::TargetDeclined
            | Self::TargetNoAnswer
            | Self::Cancelled
            | Self::CallerGone => "nothing to repair",
            Self::TargetUnknown => {
                "check the number (DEFAULT_TRANSFER_NUMBER if nobody named one), and that the carrier serves its country"
            }
            Self::TargetFault { .. } => {
                "check the transfer target's number, and the carrier's log for routing issues"
            }
            Self::Refused {
                status: SipStatus(401 | 407),
            } => {
                "the carrier wants credentials for REFER, which livekit-sip does not send; have the carrier accept \
                 in-dialog REFER without"
            }
            Self::Refused { .. } => {
                "check that \"Call Transfer (SIP REFER)\" is enabled in the carrier's console, and that the carrier \
                 may call the target"
            }
            Self::BadTarget => {
                "report it: targets are checked before they are sent, so LiveKit should have accepted this one"
            }
            Self::Policy(refusal) => refusal.hint(),
            Self::AlreadyTransferring => {
                "wait: livekit-sip gives up an unanswered REFER after 32 s"
            }
            Self::NotAPhoneCall => "only participants who came by phone can be transferred",
            Self::ApiKeyRefused => "check LIVEKIT_API_KEY and LIVEKIT_API_SECRET",
            Self::SipServiceDown => {
                "start livekit-sip, and check that it uses the same Redis as livekit-server"
            }
            Self::Overloaded => "add capacity for livekit-sip, or raise its max_cpu_utilization",
            Self::Unconfirmed => {
                "the carrier ignored the REFER or the target rang too long: check that \"Call Transfer (SIP REFER)\" \
                 is enabled in the carrier's console, that VOBIZ_SIP_DOMAIN is set, and that TRANSFER_RINGING_TIMEOUT \
                 exceeds the carrier's own no-answer time"
            }
        }
    }
}

#[cfg(test)]
mod tests;
