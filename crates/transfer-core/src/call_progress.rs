//! How far an outbound call has come, as the agent tells it to whoever waits for the end.

use std::collections::BTreeMap;
use std::fmt;

use crate::{DialFailure, SipStatus};

/// Names of the participant attributes, and of the keys in a room's metadata.
const STATE: &str = "call.state";
const OUTCOME: &str = "call.outcome";
const CAUSE: &str = "call.cause";
const SIP_STATUS: &str = "call.sip_status";

/// How far a call has come.
///
/// On the wire it is a set of text attributes of the agent's participant: `call.state`, and at the end
/// `call.outcome`, with `call.cause` and `call.sip_status` when nobody answered.
/// A room that remembers its call ([`JobMetadata::idempotency_key`](crate::JobMetadata)) has the same
/// as a JSON object in its metadata. No phone number is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallProgress {
    /// The callee is about to be called, or is called and the phone does not ring yet.
    Dialing,
    Ringing,
    /// The callee and the agent talk.
    Answered,
    /// A transfer is under way. One that fails leads back to [`Answered`](Self::Answered).
    Transferring,
    Ended(CallOutcome),
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// The transfer target answered.
    Transferred,
    CalleeHungUp,
    AgentHungUp,
    /// A voicemail box or an announcement picked up, and the agent hung up.
    AnsweredByMachine {
        /// After it had left the operator's message.
        message_left: bool,
    },
    NotAnswered(DialFailure),
    /// The callee's leg ended during a transfer, and nobody said whether the target answered.
    LeftUnconfirmed,
    /// The worker was shut down, or somebody ended the room.
    CutOff,
    /// The agent was lost.
    Lost,
}

impl CallProgress {
    /// Returns the attributes for the wire.
    pub fn to_attributes(self) -> BTreeMap<&'static str, String> {
        let state = match self {
            Self::Dialing => "dialing",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Transferring => "transferring",
            Self::Ended(_) => "ended",
        };
        let mut attributes = BTreeMap::from([(STATE, state.to_owned())]);
        if let Self::Ended(outcome) = self {
            attributes.insert(OUTCOME, outcome.code().to_owned());
            if let CallOutcome::NotAnswered(cause) = outcome {
                attributes.insert(CAUSE, cause.code().to_owned());
                if let Some(SipStatus(status)) = cause.sip_status() {
                    attributes.insert(SIP_STATUS, status.to_string());
                }
            }
        }
        attributes
    }

    /// Reads attributes; `attribute` looks one up by its name.
    ///
    /// `None` when there is no state in them. An outcome that this release does not know is read as
    /// [`CallOutcome::Lost`]: the call is over, and we cannot say how.
    pub fn from_attributes<'a>(attribute: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        Some(match attribute(STATE)? {
            "dialing" => Self::Dialing,
            "ringing" => Self::Ringing,
            "answered" => Self::Answered,
            "transferring" => Self::Transferring,
            "ended" => Self::Ended(CallOutcome::from_attributes(attribute)),
            _ => return None,
        })
    }

    /// Returns the attributes as a JSON object, for the metadata of a room.
    pub fn to_json(self) -> String {
        serde_json::to_string(&self.to_attributes()).expect("string maps always serialize")
    }

    /// Reads the metadata of a room; `None` when something else is in it, or nothing.
    pub fn from_json(text: &str) -> Option<Self> {
        let attributes: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
        Self::from_attributes(|name| attributes.get(name).map(String::as_str))
    }
}

impl CallOutcome {
    /// Returns the outcome's name on the wire.
    pub fn code(self) -> &'static str {
        match self {
            Self::Transferred => "transferred",
            Self::CalleeHungUp => "callee_hung_up",
            Self::AgentHungUp => "agent_hung_up",
            Self::AnsweredByMachine {
                message_left: false,
            } => "answered_by_machine",
            Self::AnsweredByMachine { message_left: true } => "message_left",
            Self::NotAnswered(_) => "not_answered",
            Self::LeftUnconfirmed => "left_unconfirmed",
            Self::CutOff => "cut_off",
            Self::Lost => "lost",
        }
    }

    /// Returns the exit code of a command that has seen the call end so: `dialer --wait` has the list.
    pub fn exit_code(self) -> u8 {
        use DialFailure as Cause;
        match self {
            Self::Transferred | Self::CalleeHungUp | Self::AgentHungUp => 0,
            Self::LeftUnconfirmed => 19,
            Self::Lost => 20,
            Self::CutOff => 22,
            Self::AnsweredByMachine {
                message_left: false,
            } => 23,
            Self::AnsweredByMachine { message_left: true } => 24,
            Self::NotAnswered(cause) => match cause {
                Cause::NoAnswer => 10,
                Cause::Busy => 11,
                Cause::Declined => 12,
                Cause::UnknownNumber => 13,
                Cause::Unavailable => 14,
                Cause::BadCredentials | Cause::Forbidden { .. } | Cause::MediaRefused { .. } => 15,
                Cause::CarrierFault { .. } | Cause::CarrierNotFound => 16,
                Cause::SipServiceDown | Cause::Overloaded => 17,
                Cause::TrunkNotFound | Cause::BadRequest | Cause::ApiKeyRefused => 18,
                Cause::Unconfirmed => 19,
            },
        }
    }

    fn from_attributes<'a>(attribute: impl Fn(&str) -> Option<&'a str>) -> Self {
        match attribute(OUTCOME) {
            Some("transferred") => Self::Transferred,
            Some("callee_hung_up") => Self::CalleeHungUp,
            Some("agent_hung_up") => Self::AgentHungUp,
            Some("answered_by_machine") => Self::AnsweredByMachine {
                message_left: false,
            },
            Some("message_left") => Self::AnsweredByMachine { message_left: true },
            Some("not_answered") => {
                let status = attribute(SIP_STATUS).and_then(|status| status.parse().ok());
                let cause = attribute(CAUSE)
                    .and_then(|code| DialFailure::from_code(code, status.map(SipStatus)));
                Self::NotAnswered(cause.unwrap_or(DialFailure::Unconfirmed))
            }
            Some("left_unconfirmed") => Self::LeftUnconfirmed,
            Some("cut_off") => Self::CutOff,
            _ => Self::Lost,
        }
    }
}

impl fmt::Display for CallOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transferred => f.write_str("transferred"),
            Self::CalleeHungUp => f.write_str("the callee hung up"),
            Self::AgentHungUp => f.write_str("the agent hung up"),
            Self::AnsweredByMachine {
                message_left: false,
            } => f.write_str("a machine answered: voicemail or an announcement"),
            Self::AnsweredByMachine { message_left: true } => {
                f.write_str("voicemail answered; the message was left")
            }
            Self::NotAnswered(cause) => write!(f, "{cause}"),
            Self::LeftUnconfirmed => f.write_str(
                "the callee left during the transfer, and nobody said whether the target answered",
            ),
            Self::CutOff => {
                f.write_str("the call was ended by the worker's shutdown or from outside")
            }
            Self::Lost => f.write_str("the agent was lost, and the call with it"),
        }
    }
}

#[cfg(test)]
mod tests;
