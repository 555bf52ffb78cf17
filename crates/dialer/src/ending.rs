//! How waiting for a call ended, and the exit code for it.

use std::fmt;

use transfer_core::{CallOutcome, DialFailure};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Over(CallOutcome),
    /// The time that we were given is up; the call goes on.
    TimedOut,
    /// Ctrl-C; the call goes on.
    Interrupted,
    /// We are out of the room, and the call may go on.
    ConnectionLost,
}

impl Ending {
    /// Returns the ending's name in JSON.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Over(outcome) => outcome.code(),
            Self::TimedOut => "timed_out",
            Self::Interrupted => "interrupted",
            Self::ConnectionLost => "connection_lost",
        }
    }

    /// Returns the exit code that `--help` promises.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Over(outcome) => outcome_code(outcome),
            Self::ConnectionLost => 20,
            Self::TimedOut => 21,
            Self::Interrupted => 130,
        }
    }
}

fn outcome_code(outcome: CallOutcome) -> u8 {
    use DialFailure as Cause;
    match outcome {
        CallOutcome::Transferred | CallOutcome::CalleeHungUp | CallOutcome::AgentHungUp => 0,
        CallOutcome::LeftUnconfirmed => 19,
        CallOutcome::Lost => 20,
        CallOutcome::CutOff => 22,
        CallOutcome::AnsweredByMachine {
            message_left: false,
        } => 23,
        CallOutcome::AnsweredByMachine { message_left: true } => 24,
        CallOutcome::NotAnswered(cause) => match cause {
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

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over(outcome) => write!(f, "{outcome}"),
            Self::TimedOut => f.write_str("the time is up; the call goes on"),
            Self::Interrupted => f.write_str("interrupted; the call goes on"),
            Self::ConnectionLost => {
                f.write_str("the connection to the room was lost; the call may go on")
            }
        }
    }
}
