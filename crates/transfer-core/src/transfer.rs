//! Why a transfer did not connect the caller with the transfer target.

use crate::{
    DialFailure, Doubt, SipStatus, TransferAnswer, TransferReason, TwirpFailure, policy::Refusal,
};

/// Why a transfer did not connect the caller with the transfer target.
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
    /// We called the target ourselves, and it is not the target that the call failed at.
    #[error("the transfer target could not be called: {0}")]
    CannotCall(DialFailure),
}

/// livekit-sip's words for a failure of the target's leg, reported by NOTIFY; a refusal of the REFER
/// itself comes without them.
const TARGET_FAILED: &str = "call transfer failed";

impl TransferFailure {
    /// Classifies an error answer to `TransferSIPParticipant`.
    ///
    /// The reason decides where the server gives one, then the SIP status, then livekit-sip's words.
    pub fn classify(failure: &TwirpFailure<'_>) -> TransferAnswer {
        match (failure.transfer_reason, failure.sip_status) {
            (Some(TransferReason::CallEnded), _) => Doubt::LegEnded.into(),
            (Some(TransferReason::RingingTimeout), _) => Doubt::TimedOut.into(),
            (Some(TransferReason::SubscriptionTerminated), _) => Doubt::NotReported.into(),
            (_, Some(status)) if failure.says(TARGET_FAILED) => Self::from_target(status).into(),
            // Nobody knows whether the REFER had arrived before somebody on the way gave up.
            (_, Some(SipStatus(408 | 504))) => Doubt::TimedOut.into(),
            (_, Some(status)) => Self::Refused { status }.into(),
            (_, None) => Self::from_text(failure),
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

    fn from_text(failure: &TwirpFailure<'_>) -> TransferAnswer {
        use TransferFailure as Cause;
        const CAUSES: [(&str, Cause); 6] = [
            ("call already being transferred", Cause::AlreadyTransferring),
            ("participant does not exist", Cause::CallerGone),
            ("can't transfer non established call", Cause::CallerGone),
            ("no SIP session associated", Cause::NotAPhoneCall),
            ("no response from servers", Cause::SipServiceDown),
            ("cpu exhausted", Cause::Overloaded),
        ];

        let by_text = CAUSES.iter().find(|(text, _)| failure.says(text));
        match by_text {
            Some((_, cause)) => (*cause).into(),
            None if failure.says("request timed out") => Doubt::TimedOut.into(),
            None if failure.is_api_key_refused() => Self::ApiKeyRefused.into(),
            None if failure.code == "invalid_argument" => Self::BadTarget.into(),
            None => Doubt::AnswerLost.into(),
        }
    }

    /// Returns one word for metrics; what several causes or statuses share is one.
    pub fn code(self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::TargetBusy => "target_busy",
            Self::TargetDeclined => "target_declined",
            Self::TargetNoAnswer => "target_no_answer",
            Self::TargetUnknown => "target_unknown",
            Self::TargetFault { .. } => "target_fault",
            Self::Cancelled => "cancelled",
            Self::BadTarget => "bad_target",
            Self::Policy(_) => "policy",
            Self::AlreadyTransferring => "already_transferring",
            Self::CallerGone => "caller_gone",
            Self::NotAPhoneCall => "not_a_phone_call",
            Self::ApiKeyRefused => "api_key_refused",
            Self::SipServiceDown => "sip_service_down",
            Self::Overloaded => "overloaded",
            Self::CannotCall(_) => "cannot_call",
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
            Self::TargetFault { .. } | Self::CannotCall(_) => {
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
            Self::CannotCall(cause) => cause.hint(),
            Self::Overloaded => "add capacity for livekit-sip, or raise its max_cpu_utilization",
        }
    }
}

/// For a target whom we call ourselves, instead of having the carrier do so.
impl From<DialFailure> for TransferFailure {
    fn from(cause: DialFailure) -> Self {
        match cause {
            DialFailure::Busy => Self::TargetBusy,
            DialFailure::Declined => Self::TargetDeclined,
            DialFailure::NoAnswer | DialFailure::Unavailable => Self::TargetNoAnswer,
            DialFailure::UnknownNumber => Self::TargetUnknown,
            DialFailure::CarrierFault { status } | DialFailure::MediaRefused { status } => {
                Self::TargetFault { status }
            }
            DialFailure::ApiKeyRefused => Self::ApiKeyRefused,
            DialFailure::SipServiceDown => Self::SipServiceDown,
            DialFailure::Overloaded => Self::Overloaded,
            DialFailure::Forbidden { .. }
            | DialFailure::BadCredentials
            | DialFailure::TrunkNotFound
            | DialFailure::CarrierNotFound
            | DialFailure::BadRequest
            | DialFailure::Unconfirmed => Self::CannotCall(cause),
        }
    }
}

#[cfg(test)]
mod tests;
