//! How waiting for a call ended, and the exit code for it.

use std::fmt;

use transfer_core::CallOutcome;

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
            Self::Over(outcome) => outcome.exit_code(),
            Self::ConnectionLost => 20,
            Self::TimedOut => 21,
            Self::Interrupted => 130,
        }
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
