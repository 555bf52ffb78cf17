//! What is tried next when a transfer did not connect.

use std::{collections::VecDeque, fmt, str::FromStr};

use crate::{PhoneNumber, TransferFailure};

/// How transfers are done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransferMode {
    /// A REFER: the carrier calls the target and the call leaves us.
    #[default]
    Cold,
    /// We call the target into the room and fall silent; the call, with two legs, stays with us.
    Bridge,
    /// As [`Bridge`](Self::Bridge), but the caller waits on hold until the target, told what it is about, has
    /// accepted.
    Warm,
}

/// What happens when the carrier does not do REFER.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// The caller hears why, and stays with the agent.
    None,
    /// The target is called into the room.
    #[default]
    Bridge,
}

/// One of the words that an enumeration of settings takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is none of {0}")]
pub struct UnknownWord(&'static str);

impl FromStr for TransferMode {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word.trim().to_ascii_lowercase().as_str() {
            "cold" | "refer" | "blind" => Ok(Self::Cold),
            "bridge" => Ok(Self::Bridge),
            "warm" | "attended" => Ok(Self::Warm),
            _ => Err(UnknownWord("cold, bridge, warm")),
        }
    }
}

impl FromStr for Fallback {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word.trim().to_ascii_lowercase().as_str() {
            "none" | "off" => Ok(Self::None),
            "bridge" => Ok(Self::Bridge),
            _ => Err(UnknownWord("bridge, none")),
        }
    }
}

/// By which means a target is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    Refer,
    Bridge,
    Warm,
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refer => "REFER",
            Self::Bridge => "bridge",
            Self::Warm => "warm transfer",
        })
    }
}

/// One try to reach one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub means: Means,
    pub target: PhoneNumber,
}

/// The tries of one transfer, in order.
///
/// Pure: [`first`](Self::first) begins, [`after`](Self::after) goes on until it returns `None`, and then the
/// caller is back with the agent. No target is tried twice by the same means.
#[derive(Clone, Debug)]
pub struct TransferPlan {
    means: Means,
    fallback: Fallback,
    next: VecDeque<PhoneNumber>,
}

impl TransferPlan {
    /// `next` are the numbers that stand in for a target who cannot be reached.
    pub fn new(
        mode: TransferMode,
        fallback: Fallback,
        next: impl IntoIterator<Item = PhoneNumber>,
    ) -> Self {
        Self {
            means: match mode {
                TransferMode::Cold => Means::Refer,
                TransferMode::Bridge => Means::Bridge,
                TransferMode::Warm => Means::Warm,
            },
            fallback,
            next: next.into_iter().collect(),
        }
    }

    /// Returns the plan for a target that nobody can stand in for.
    pub fn without_next(&self) -> Self {
        Self {
            next: VecDeque::new(),
            ..*self
        }
    }

    /// Returns the first attempt.
    pub fn first(&mut self, target: PhoneNumber) -> Attempt {
        self.next.retain(|next| *next != target);
        self.attempt(target)
    }

    /// Returns what follows on `failed`, or `None` when the caller had better be asked.
    ///
    /// A transfer whose outcome is open has no next attempt: a second phone could ring.
    pub fn after(&mut self, failed: &Attempt, cause: TransferFailure) -> Option<Attempt> {
        use TransferFailure as Cause;
        match cause {
            Cause::Refused { .. } if failed.means == Means::Refer => match self.fallback {
                Fallback::Bridge => {
                    // A carrier that does not do REFER does not do the next one either.
                    self.means = Means::Bridge;
                    Some(self.attempt(failed.target.clone()))
                }
                Fallback::None => None,
            },
            Cause::TargetBusy
            | Cause::TargetDeclined
            | Cause::TargetNoAnswer
            | Cause::TargetUnknown
            | Cause::TargetFault { .. }
            | Cause::CannotCall(_) => {
                let target = self.next.pop_front()?;
                Some(self.attempt(target))
            }
            Cause::Refused { .. }
            | Cause::Cancelled
            | Cause::BadTarget
            | Cause::Policy(_)
            | Cause::AlreadyTransferring
            | Cause::CallerGone
            | Cause::NotAPhoneCall
            | Cause::ApiKeyRefused
            | Cause::SipServiceDown
            | Cause::Overloaded => None,
        }
    }

    fn attempt(&self, target: PhoneNumber) -> Attempt {
        Attempt {
            means: self.means,
            target,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SipStatus;

    const REFUSED: TransferFailure = TransferFailure::Refused {
        status: SipStatus(603),
    };

    fn number(text: &str) -> PhoneNumber {
        text.parse().unwrap()
    }

    /// Runs a plan through `causes` and returns the attempts as `means number`.
    fn attempts(mut plan: TransferPlan, causes: &[TransferFailure]) -> Vec<String> {
        let mut attempt = plan.first(number("+15550001234"));
        let mut shown = vec![format!("{} {}", attempt.means, attempt.target)];
        for cause in causes {
            let Some(next) = plan.after(&attempt, *cause) else {
                shown.push("agent".to_owned());
                break;
            };
            shown.push(format!("{} {}", next.means, next.target));
            attempt = next;
        }
        shown
    }

    fn plan(mode: TransferMode, fallback: Fallback, next: &[&str]) -> TransferPlan {
        TransferPlan::new(mode, fallback, next.iter().map(|text| number(text)))
    }

    #[test]
    fn a_carrier_that_refuses_refer_is_got_around_once_and_for_the_rest_of_the_transfer() {
        let causes = [
            REFUSED,
            TransferFailure::TargetBusy,
            TransferFailure::TargetBusy,
        ];
        assert_eq!(
            attempts(
                plan(TransferMode::Cold, Fallback::Bridge, &["+15550005678"]),
                &causes
            ),
            [
                "REFER +15550001234",
                "bridge +15550001234",
                "bridge +15550005678",
                "agent"
            ]
        );
        assert_eq!(
            attempts(plan(TransferMode::Cold, Fallback::None, &[]), &causes),
            ["REFER +15550001234", "agent"]
        );
    }

    #[test]
    fn a_target_who_cannot_be_reached_is_followed_by_the_next_one() {
        for cause in [
            TransferFailure::TargetBusy,
            TransferFailure::TargetDeclined,
            TransferFailure::TargetNoAnswer,
            TransferFailure::TargetUnknown,
        ] {
            assert_eq!(
                attempts(
                    plan(
                        TransferMode::Warm,
                        Fallback::Bridge,
                        &["+15550001234", "+15550005678"]
                    ),
                    &[cause, cause]
                ),
                [
                    "warm transfer +15550001234",
                    "warm transfer +15550005678",
                    "agent"
                ],
                "the target is not tried again, {cause}"
            );
        }
    }

    #[test]
    fn what_is_not_the_targets_fault_goes_back_to_the_agent() {
        for cause in [
            TransferFailure::Cancelled,
            TransferFailure::CallerGone,
            TransferFailure::AlreadyTransferring,
            TransferFailure::SipServiceDown,
            TransferFailure::BadTarget,
        ] {
            assert_eq!(
                attempts(
                    plan(TransferMode::Cold, Fallback::Bridge, &["+15550005678"]),
                    &[cause]
                ),
                ["REFER +15550001234", "agent"],
                "{cause}"
            );
        }
    }

    #[test]
    fn settings_take_the_words_of_the_field() {
        assert_eq!("Warm".parse(), Ok(TransferMode::Warm));
        assert_eq!("blind".parse(), Ok(TransferMode::Cold));
        assert_eq!("none".parse(), Ok(Fallback::None));
        assert_eq!(
            "lukewarm".parse::<TransferMode>().unwrap_err().to_string(),
            "it is none of cold, bridge, warm"
        );
    }
}
