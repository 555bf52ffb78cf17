//! How a transfer that nobody carries out ends: what LiveKit and the carrier would have answered.
//!
//! The answers are those of livekit-sip 1.8, and are judged by the code that judges them in a call.

use std::{fmt, str::FromStr, time::Duration};

use transfer_core::{DialFailure, Doubt, SipStatus, TransferAnswer, TransferFailure, TwirpFailure};

use crate::call::Input;

/// How long the target rings, or the carrier thinks.
const RINGING: Duration = Duration::from_secs(2);

/// How long livekit-sip keeps the leg of a caller who was transferred.
const LEG_STAYS: Duration = Duration::from_secs(1);

/// How one attempt to reach a transfer target ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The target answers.
    Connected,
    /// The call to the target fails with this status.
    Failed(SipStatus),
    /// The carrier does not do REFER. Calls it puts through.
    Refused(SipStatus),
    /// Nobody says in time how it ended, and the caller is still there.
    Unconfirmed,
    /// The caller's leg ends before anybody says how it ended.
    HungUp,
}

/// The words of [`Ending::from_str`], but for SIP statuses.
const WORDS: [(&str, Ending); 9] = [
    ("connected", Ending::Connected),
    ("busy", Ending::Failed(SipStatus(486))),
    ("declined", Ending::Failed(SipStatus(603))),
    ("no-answer", Ending::Failed(SipStatus(480))),
    ("unknown-number", Ending::Failed(SipStatus(404))),
    ("carrier-fault", Ending::Failed(SipStatus(503))),
    ("refused", Ending::Refused(SipStatus(405))),
    ("unconfirmed", Ending::Unconfirmed),
    ("hung-up", Ending::HungUp),
];

/// Statuses with which a call fails (RFC 3261 §21).
const FAILURES: std::ops::RangeInclusive<u16> = 300..=699;

impl FromStr for Ending {
    type Err = UnknownEnding;

    fn from_str(text: &str) -> Result<Self, UnknownEnding> {
        let word = text.trim().to_ascii_lowercase().replace('_', "-");
        if let Some((_, ending)) = WORDS.iter().find(|(name, _)| *name == word) {
            return Ok(*ending);
        }
        match word.parse() {
            Ok(status) if FAILURES.contains(&status) => Ok(Self::Failed(SipStatus(status))),
            Ok(_) | Err(_) => Err(UnknownEnding(text.trim().to_owned())),
        }
    }
}

/// The text says nothing about how a transfer ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is no way in which a transfer ends; expected {}, or the SIP status with which the target's call fails, such as 486",
    .0.escape_default(),
    WORDS.map(|(word, _)| word).join(", ")
)]
pub struct UnknownEnding(String);

/// Something that happens by itself.
#[derive(Debug)]
pub(super) struct Happening {
    /// After the attempt began.
    pub(super) after: Duration,
    /// What is seen of it on the SIP side.
    pub(super) wire: Option<String>,
    pub(super) input: Input,
}

impl Ending {
    /// Returns what follows on a REFER.
    pub(super) fn of_refer(self) -> Vec<Happening> {
        let caller_leaves = |after| Happening {
            after,
            wire: Some("BYE to the caller's leg".to_owned()),
            input: Input::PhoneLeft,
        };
        let answered = |after, wire: String, answer| Happening {
            after,
            wire: Some(wire),
            input: Input::Transferred(answer),
        };
        match self {
            Self::Connected => vec![
                answered(
                    RINGING,
                    "202 Accepted, NOTIFY 200 OK".to_owned(),
                    TransferAnswer::Success(None),
                ),
                caller_leaves(RINGING + LEG_STAYS),
            ],
            Self::Failed(status) => {
                let text = format!("call transfer failed: sip status: {status}");
                let answer = TransferFailure::classify(&failure(&text, Some(status)));
                let wire = format!("202 Accepted, NOTIFY {status}");
                vec![answered(RINGING, wire, answer)]
            }
            Self::Refused(status) => {
                let text = format!("sip status: {status}");
                let answer = TransferFailure::classify(&failure(&text, Some(status)));
                vec![answered(Duration::ZERO, status.to_string(), answer)]
            }
            Self::Unconfirmed => vec![answered(
                RINGING,
                "202 Accepted, and no NOTIFY".to_owned(),
                TransferFailure::classify(&failure("request timed out", None)),
            )],
            Self::HungUp => vec![
                answered(
                    RINGING,
                    "202 Accepted, and no NOTIFY".to_owned(),
                    TransferAnswer::Success(None),
                ),
                caller_leaves(RINGING),
            ],
        }
    }

    /// Returns what follows on the agent's own call to the target.
    pub(super) fn of_call(self) -> Happening {
        let called = |wire: String, result| Happening {
            after: RINGING,
            wire: Some(wire),
            input: Input::TargetCalled(result),
        };
        match self {
            Self::Connected | Self::Refused(_) => called("200 OK".to_owned(), Ok(())),
            Self::Failed(status) => {
                let text = format!("INVITE failed: sip status: {status}");
                let cause = DialFailure::classify(&failure(&text, Some(status)));
                called(status.to_string(), Err(cause))
            }
            Self::Unconfirmed => {
                let cause = DialFailure::classify(&failure("sip request timed out", None));
                called("180 Ringing, and no answer".to_owned(), Err(cause))
            }
            Self::HungUp => Happening {
                after: RINGING,
                wire: Some("BYE of the caller".to_owned()),
                input: Input::PhoneLeft,
            },
        }
    }
}

/// An error answer of LiveKit's API. Its code does not count beside a status or these texts.
fn failure(message: &str, sip_status: Option<SipStatus>) -> TwirpFailure<'_> {
    TwirpFailure {
        code: "unknown",
        message,
        sip_status,
        transfer_reason: None,
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("the target answers"),
            Self::Failed(status) => write!(f, "the call to the target fails with {status}"),
            Self::Refused(status) => write!(f, "the carrier refuses REFER with {status}"),
            Self::Unconfirmed => write!(f, "{}", Doubt::TimedOut),
            Self::HungUp => write!(f, "{}", Doubt::LegEnded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_statuses_say_how_a_transfer_ends() {
        for (text, ending) in [
            ("busy", Ending::Failed(SipStatus(486))),
            (" No_Answer ", Ending::Failed(SipStatus(480))),
            ("603", Ending::Failed(SipStatus(603))),
            ("refused", Ending::Refused(SipStatus(405))),
            ("hung-up", Ending::HungUp),
        ] {
            assert_eq!(text.parse(), Ok(ending), "{text}");
        }
        for text in ["", "bussy", "200", "700", "-486", "4 8 6"] {
            let error = text.parse::<Ending>().unwrap_err().to_string();
            assert!(error.contains("busy, declined, no-answer"), "{error}");
        }
    }

    #[test]
    fn each_answer_is_judged_as_in_a_call() {
        let answer = |word: &str| {
            let ending: Ending = word.parse().unwrap();
            let first = ending.of_refer().into_iter().next().unwrap();
            let Input::Transferred(answer) = first.input else {
                panic!("{first:?}");
            };
            answer
        };
        let failed = TransferAnswer::Failure;
        for (word, expected) in [
            ("connected", TransferAnswer::Success(None)),
            ("busy", failed(TransferFailure::TargetBusy)),
            ("declined", failed(TransferFailure::TargetDeclined)),
            ("no-answer", failed(TransferFailure::TargetNoAnswer)),
            ("unknown-number", failed(TransferFailure::TargetUnknown)),
            (
                "carrier-fault",
                failed(TransferFailure::TargetFault {
                    status: SipStatus(503),
                }),
            ),
            (
                "refused",
                failed(TransferFailure::Refused {
                    status: SipStatus(405),
                }),
            ),
            ("unconfirmed", TransferAnswer::Open(Doubt::TimedOut)),
        ] {
            assert_eq!(answer(word), expected, "{word}");
        }
    }

    #[test]
    fn a_carrier_that_refuses_refer_puts_calls_through() {
        let called = |word: &str| {
            let ending: Ending = word.parse().unwrap();
            let happening = ending.of_call();
            let Input::TargetCalled(result) = happening.input else {
                panic!("{happening:?}");
            };
            result
        };
        assert_eq!(called("refused"), Ok(()));
        assert_eq!(called("busy"), Err(DialFailure::Busy));
        assert_eq!(called("unconfirmed"), Err(DialFailure::NoAnswer));
    }
}
