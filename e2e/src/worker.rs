//! The worker under test: the built `voice-agent`, and its log as typed events.

use std::{path::Path, time::Duration};

use anyhow::Context;
use nix::sys::signal::Signal;
use serde_json::{Map, Value};

use crate::{
    journal::{Journal, journal},
    process::{Process, Stream},
    tool,
    wait::LIMIT,
};

/// One line of the worker's log that scenarios care about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerEvent {
    Registered,
    JobReceived {
        room: String,
    },
    Dialling,
    Answered,
    DialFailed {
        cause: String,
        sip_status: Option<u16>,
        /// What the operator can do.
        hint: String,
    },
    /// What the person on the line said, as it was understood.
    Heard {
        text: String,
    },
    /// What the agent is about to say.
    Says {
        text: String,
    },
    /// The agent's words have been played out in full.
    Spoke,
    /// The agent has fallen silent because somebody speaks, and may go on.
    Pauses,
    /// The agent goes on with what it paused.
    GoesOn,
    /// The agent has given up what it was saying.
    StoppedSpeaking,
    Transferring,
    TransferConnected,
    TransferFailed {
        cause: String,
        sip_status: Option<u16>,
        hint: String,
    },
    /// Nobody said how it ended, and the target may still ring.
    TransferUnconfirmed {
        cause: String,
    },
    ParticipantLeft,
    JobEnded {
        outcome: String,
    },
}

/// How the worker says that a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Connected,
    Failed,
    Unconfirmed,
}

/// A verdict with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// Empty when connected.
    pub cause: String,
    pub sip_status: Option<u16>,
    /// Position in the worker's journal.
    pub at: usize,
}

/// The cause that a worker without verdicts in its log gives for what it does not know.
const UNKNOWN: &str = "it is not known";

impl WorkerEvent {
    /// Reads a line of JSON; `None` for lines that mean nothing here.
    fn parse(line: &str) -> Option<Self> {
        let fields: Map<String, Value> = serde_json::from_str(line).ok()?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
        let sip_status = || match fields.get("sip_status")? {
            Value::Number(status) => u16::try_from(status.as_u64()?).ok(),
            Value::String(status) => status.get(..3)?.parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let message = text("message")?;
        let failure = |prefix: &str| {
            message
                .strip_prefix(prefix)
                .map(|cause| text("cause").unwrap_or(cause.to_owned()))
        };

        if let Some(cause) = failure("Failed to place outbound call: ") {
            return Some(Self::DialFailed {
                cause,
                sip_status: sip_status(),
                hint: text("hint").unwrap_or_default(),
            });
        }
        if let Some(cause) = failure("Transfer unconfirmed: ") {
            return Some(Self::TransferUnconfirmed { cause });
        }
        if let Some(cause) = failure("Transfer failed: ") {
            let unconfirmed = match text("verdict") {
                Some(verdict) => verdict == "unconfirmed",
                None => cause.starts_with(UNKNOWN),
            };
            if unconfirmed {
                return Some(Self::TransferUnconfirmed { cause });
            }
            return Some(Self::TransferFailed {
                cause,
                sip_status: sip_status(),
                hint: text("hint").unwrap_or_default(),
            });
        }
        if message.starts_with("Initiating outbound SIP call to ") {
            return Some(Self::Dialling);
        }
        if message.starts_with("Transferring call to ") {
            return Some(Self::Transferring);
        }
        match message.as_str() {
            "registered worker" => Some(Self::Registered),
            "received job request" => Some(Self::JobReceived {
                room: text("room")?,
            }),
            "Call answered! Agent is now listening." => Some(Self::Answered),
            "heard" => Some(Self::Heard {
                text: text("text")?,
            }),
            "says" => Some(Self::Says {
                text: text("text")?,
            }),
            "spoke" => Some(Self::Spoke),
            "pauses" => Some(Self::Pauses),
            "goes on" => Some(Self::GoesOn),
            "stopped speaking" => Some(Self::StoppedSpeaking),
            "transfer connected" => Some(Self::TransferConnected),
            "participant left" => Some(Self::ParticipantLeft),
            "job ended" => Some(Self::JobEnded {
                outcome: text("outcome")?,
            }),
            _ => None,
        }
    }
}

pub struct Worker {
    process: Process,
    events: Journal<WorkerEvent>,
}

impl Worker {
    /// Starts `voice-agent start` in `dir`, which has a `.env`, and waits until it is registered.
    pub(crate) async fn start(dir: &Path) -> anyhow::Result<Self> {
        let mut command = tool::command("voice-agent", &["start"], dir)?;
        command.env("LIVEKIT_LOG_LEVEL", "debug");
        let (writer, events) = journal("voice-agent");
        let process = Process::spawn_with_lines(
            "voice-agent",
            &mut command,
            dir,
            Stream::Stderr,
            move |line| {
                if let Some(event) = WorkerEvent::parse(line) {
                    writer.write(event);
                }
            },
        )?;
        let worker = Self { process, events };
        worker
            .find("its registration", |event| {
                (*event == WorkerEvent::Registered).then_some(())
            })
            .await?;
        Ok(worker)
    }

    pub fn events(&self) -> &Journal<WorkerEvent> {
        &self.events
    }

    /// Waits for the first event that `pick` takes.
    pub async fn find<T>(
        &self,
        what: &str,
        pick: impl Fn(&WorkerEvent) -> Option<T>,
    ) -> anyhow::Result<T> {
        self.events.find(what, pick).await
    }

    /// Waits until a dial has failed: why, and the SIP status if there was one.
    pub async fn dial_failure(&self) -> anyhow::Result<(String, Option<u16>)> {
        let pick = |event: &WorkerEvent| {
            if let WorkerEvent::DialFailed {
                cause, sip_status, ..
            } = event
            {
                Some((cause.clone(), *sip_status))
            } else {
                None
            }
        };
        self.find("a failed dial", pick).await
    }

    /// Waits until a transfer has failed: why, and the SIP status if there was one.
    pub async fn transfer_failure(&self) -> anyhow::Result<(String, Option<u16>)> {
        let pick = |event: &WorkerEvent| {
            if let WorkerEvent::TransferFailed {
                cause, sip_status, ..
            } = event
            {
                Some((cause.clone(), *sip_status))
            } else {
                None
            }
        };
        self.find("a failed transfer", pick).await
    }

    /// Waits until a job has ended: how.
    pub async fn job_outcome(&self) -> anyhow::Result<String> {
        self.job_outcome_after(0).await
    }

    /// Waits until a job has ended, after position `from` of the journal: how.
    pub async fn job_outcome_after(&self, from: usize) -> anyhow::Result<String> {
        let pick = |event: &WorkerEvent| {
            if let WorkerEvent::JobEnded { outcome } = event {
                Some(outcome.clone())
            } else {
                None
            }
        };
        self.events
            .find_after(from, "the end of the job", LIMIT, pick)
            .await
    }

    /// Waits for the verdict on a transfer, after position `from` of the journal.
    ///
    /// # Errors
    ///
    /// When the job ends without one.
    pub async fn judgement_after(&self, from: usize) -> anyhow::Result<Judgement> {
        let judged = |event: &WorkerEvent| judgement(event).is_some() || has_ended(event);
        let pick = |event: &WorkerEvent| judged(event).then(|| event.clone());
        let event = self
            .events
            .find_after(from, "the verdict on a transfer", LIMIT, pick)
            .await?;
        let at = self.events.position_after(from, judged).unwrap_or(from);
        let (verdict, cause, sip_status) = judgement(&event)
            .with_context(|| format!("the job ended without a verdict: {event:?}"))?;
        Ok(Judgement {
            verdict,
            cause,
            sip_status,
            at,
        })
    }

    /// Waits for the first event equal to `event`.
    pub async fn expect(&self, event: WorkerEvent) -> anyhow::Result<()> {
        self.find(&format!("{event:?}"), |seen| (*seen == event).then_some(()))
            .await
    }

    /// Waits until the agent has said something, in full, after position `from` of the journal.
    pub async fn spoken_after(&self, from: usize) -> anyhow::Result<String> {
        let spoke = |event: &WorkerEvent| (*event == WorkerEvent::Spoke).then_some(());
        self.events
            .find_after(from, "a sentence of the agent", LIMIT, spoke)
            .await?;
        let words = self
            .events
            .entries()
            .into_iter()
            .skip(from)
            .take_while(|event| *event != WorkerEvent::Spoke);
        let words = words.filter_map(|event| {
            if let WorkerEvent::Says { text } = event {
                Some(text)
            } else {
                None
            }
        });
        Ok(words.collect::<Vec<_>>().join(" "))
    }

    /// The process id, as it is inside the namespace.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Kills the worker in the middle of whatever it does (SIGKILL).
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.signal(Signal::SIGKILL)?;
        self.process.wait(LIMIT).await.map(drop)
    }

    /// Asks the worker to stop (SIGTERM) and waits until it has drained and ended.
    pub async fn stop(&mut self, limit: Duration) -> anyhow::Result<std::process::ExitStatus> {
        self.process.signal(Signal::SIGTERM)?;
        self.process.wait(limit).await
    }
}

fn has_ended(event: &WorkerEvent) -> bool {
    matches!(event, WorkerEvent::JobEnded { .. })
}

/// The verdict, cause and SIP status that an event tells. The end of the job tells the first two of a call
/// that left by a transfer.
fn judgement(event: &WorkerEvent) -> Option<(Verdict, String, Option<u16>)> {
    let (verdict, cause, sip_status) = match event {
        WorkerEvent::TransferConnected => (Verdict::Connected, "", None),
        WorkerEvent::TransferFailed {
            cause, sip_status, ..
        } => (Verdict::Failed, cause.as_str(), *sip_status),
        WorkerEvent::TransferUnconfirmed { cause } => (Verdict::Unconfirmed, cause.as_str(), None),
        WorkerEvent::JobEnded { outcome } if outcome.contains("unconfirmed") => {
            (Verdict::Unconfirmed, outcome.as_str(), None)
        }
        WorkerEvent::JobEnded { outcome } if outcome == "transferred" => {
            (Verdict::Connected, "", None)
        }
        WorkerEvent::Registered
        | WorkerEvent::JobReceived { .. }
        | WorkerEvent::Dialling
        | WorkerEvent::Answered
        | WorkerEvent::DialFailed { .. }
        | WorkerEvent::Heard { .. }
        | WorkerEvent::Says { .. }
        | WorkerEvent::Spoke
        | WorkerEvent::Pauses
        | WorkerEvent::GoesOn
        | WorkerEvent::StoppedSpeaking
        | WorkerEvent::Transferring
        | WorkerEvent::ParticipantLeft
        | WorkerEvent::JobEnded { .. } => return None,
    };
    Some((verdict, cause.to_owned(), sip_status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expect: Option<WorkerEvent>) {
        assert_eq!(WorkerEvent::parse(line), expect);
    }

    #[test]
    fn lines_of_the_log_become_events() {
        check(
            r#"{"level":"WARN","message":"Transfer failed: the target is busy","cause":"the target is busy","sip_status":486,"hint":"wait"}"#,
            Some(WorkerEvent::TransferFailed {
                cause: "the target is busy".to_owned(),
                sip_status: Some(486),
                hint: "wait".to_owned(),
            }),
        );
        check(
            r#"{"level":"WARN","message":"Failed to place outbound call: no answer"}"#,
            Some(WorkerEvent::DialFailed {
                cause: "no answer".to_owned(),
                sip_status: None,
                hint: String::new(),
            }),
        );
        check(
            r#"{"level":"INFO","message":"Transferring call to sip:+1*******34@sip.carrier.test"}"#,
            Some(WorkerEvent::Transferring),
        );
        check(
            r#"{"level":"DEBUG","message":"heard","text":"Transfer me."}"#,
            Some(WorkerEvent::Heard {
                text: "Transfer me.".to_owned(),
            }),
        );
        for unconfirmed in [
            r#"{"message":"Transfer unconfirmed: the leg ended","cause":"the leg ended"}"#,
            r#"{"message":"Transfer failed: the leg ended","cause":"the leg ended","verdict":"unconfirmed"}"#,
        ] {
            let cause = "the leg ended".to_owned();
            check(
                unconfirmed,
                Some(WorkerEvent::TransferUnconfirmed { cause }),
            );
        }
        check(r#"{"level":"DEBUG","message":"ping"}"#, None);
        check("thread 'main' panicked", None);
    }
}
