//! What happens in the call, as a person and as a program reads it.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Stdout, Write as _},
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::call::Party;

/// Who speaks, is spoken to, or presses a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Who {
    Caller,
    /// The transfer target.
    Target,
}

impl From<Party> for Who {
    fn from(party: Party) -> Self {
        match party {
            Party::Caller => Self::Caller,
            Party::Target => Self::Target,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caller => "caller",
            Self::Target => "target",
        })
    }
}

/// One object of `--json`. Phone numbers are masked.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    Started {
        agent: String,
        /// `inbound`: the agent was called, and speaks first.
        direction: &'static str,
        /// The language model; `null` is the built-in dialogue.
        model: Option<String>,
        /// Where "Transfer me." leads.
        default_transfer: Option<String>,
    },
    /// What somebody said.
    Heard {
        from: Who,
        text: String,
        /// The second recognition, of audio.
        #[serde(skip_serializing_if = "Option::is_none")]
        second: Option<String>,
    },
    Key {
        from: Who,
        key: char,
    },
    /// The agent says something.
    Said {
        to: Who,
        text: String,
    },
    /// The agent presses keys on the caller's line; `w` is a pause.
    Pressed {
        keys: String,
    },
    /// The agent was interrupted.
    StoppedSpeaking,
    /// Somebody spoke over the agent, which is silent until it is known what was said.
    Paused,
    /// It was nothing, and the agent goes on.
    Resumed,
    /// The operator's rules about a transfer.
    Policy {
        number: String,
        allowed: bool,
        rule: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<&'static str>,
    },
    /// What would leave the machine.
    Sent {
        request: &'static str,
        /// The Refer-To of a REFER, else who is called or hung up on.
        to: String,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
    },
    /// What would come back.
    Answered {
        wire: String,
    },
    Verdict {
        verdict: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<&'static str>,
    },
    /// A note to call somebody back, which would be written to `CALLBACK_FILE`.
    Note {
        wanted: String,
        cause: String,
        message: Option<String>,
    },
    /// Caller and target talk; the agent is silent and deaf.
    Together,
    Ended {
        outcome: &'static str,
        message: String,
        exit_code: u8,
    },
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// For whoever reads a pipe or a file.
    Text,
    /// For whoever types: their own words stand there already, behind a prompt.
    Dialogue,
    Json,
}

/// Standard output.
pub(super) struct Screen {
    out: Stdout,
    format: Format,
    /// Whether a person types, not a script.
    is_typed: bool,
    /// Whether a prompt waits at the end of the last line.
    prompted: bool,
    /// When the call began.
    start: Instant,
    now: Instant,
}

impl Screen {
    pub(super) fn new(format: Format, is_typed: bool, start: Instant) -> Self {
        Self {
            out: io::stdout(),
            format,
            is_typed,
            prompted: false,
            start,
            now: start,
        }
    }

    /// Says what time it is, until it is said again.
    pub(super) fn set_time(&mut self, now: Instant) {
        self.now = now;
    }

    /// Writes an event that happens now.
    pub(super) fn show(&mut self, event: &Event) -> io::Result<()> {
        let seconds = self.now.saturating_duration_since(self.start);
        let text = match self.format {
            Format::Json => json(event, seconds),
            Format::Dialogue if matches!(event, Event::Heard { .. } | Event::Key { .. }) => {
                return Ok(());
            }
            Format::Text | Format::Dialogue => lines(event),
        };
        if std::mem::take(&mut self.prompted) {
            writeln!(self.out)?;
        }
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Asks for a line of `who`.
    pub(super) fn prompt(&mut self, who: Who) -> io::Result<()> {
        if self.format != Format::Dialogue {
            return Ok(());
        }
        write!(self.out, "{who}> ")?;
        self.prompted = true;
        self.out.flush()
    }

    /// The prompt was answered with a line.
    pub(super) fn answered(&mut self) {
        self.prompted = false;
    }

    /// Tells about the console itself, beside the objects of JSON.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        match self.format {
            Format::Text | Format::Dialogue => {
                writeln!(self.out, "{text}")?;
                self.out.flush()
            }
            Format::Json if self.is_typed => writeln!(io::stderr(), "{text}"),
            Format::Json => Ok(()),
        }
    }

    /// Whether a person types, not a script.
    pub(super) fn is_typed(&self) -> bool {
        self.is_typed
    }
}

fn json(event: &Event, seconds: Duration) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(flatten)]
        event: &'a Event,
        seconds: f64,
    }
    let seconds = (seconds.as_secs_f64() * 1_000.0).round() / 1_000.0;
    serde_json::to_string(&Line { event, seconds })
        .expect("texts and finite numbers always serialize")
}

/// The event in one line or more, each with what it is about in front.
fn lines(event: &Event) -> String {
    let line = |label: &str, text: &str| format!("{label:<8}{text}");
    let with_hint = |first: String, hint: &Option<&str>| match hint {
        Some(hint) => format!("{first}\n{}", line("hint", hint)),
        None => first,
    };
    match event {
        Event::Started {
            agent,
            direction,
            model,
            default_transfer,
        } => {
            let call = match *direction {
                "outbound" => "calls you",
                _ => "answers your call",
            };
            let thinks = model.as_ref().map_or_else(
                || "by the rules, without a language model".to_owned(),
                |model| format!("with {model}"),
            );
            let leads = default_transfer.as_ref().map_or_else(
                || "asks for a number (DEFAULT_TRANSFER_NUMBER is not set)".to_owned(),
                |number| format!("leads to {number}"),
            );
            format!(
                "{agent} {call} and thinks {thinks}. Nobody is called.\n\"Transfer me.\" {leads}."
            )
        }
        Event::Heard { from, text, second } => {
            let first = line(&from.to_string(), text);
            match second.as_ref().filter(|second| *second != text) {
                Some(second) => format!("{first}\n{}", line("", &format!("(or: {second})"))),
                None => first,
            }
        }
        Event::Key { from, key } => line(&from.to_string(), &format!("[key {key}]")),
        Event::Said {
            to: Who::Caller,
            text,
        } => line("agent", text),
        Event::Said {
            to: Who::Target,
            text,
        } => line("agent", &format!("(to the target alone) {text}")),
        Event::Pressed { keys } => line("agent", &format!("[presses {keys}]")),
        Event::StoppedSpeaking => line("agent", "(is interrupted)"),
        Event::Paused => line("agent", "(pauses)"),
        Event::Resumed => line("agent", "(goes on)"),
        Event::Policy {
            number,
            allowed,
            rule,
            hint,
        } => {
            let ruling = if *allowed { "allowed" } else { "refused" };
            with_hint(line("policy", &format!("{number} {ruling}: {rule}")), hint)
        }
        Event::Sent {
            request,
            to,
            headers,
        } => {
            let request = match *request {
                "REFER" => line("wire", &format!("> REFER, Refer-To: <{to}>")),
                request => line("wire", &format!("> {request} {to}")),
            };
            let headers = headers
                .iter()
                .map(|(name, value)| format!("\n{}", line("", &format!("  {name}: {value}"))));
            request + &headers.collect::<String>()
        }
        Event::Answered { wire } => line("wire", &format!("< {wire}")),
        Event::Verdict {
            verdict,
            cause,
            hint,
        } => {
            let text = match cause {
                Some(cause) => format!("{verdict}: {cause}"),
                None => (*verdict).to_owned(),
            };
            with_hint(line("verdict", &text), hint)
        }
        Event::Note {
            wanted,
            cause,
            message,
        } => {
            let message = message
                .as_ref()
                .map_or_else(String::new, |message| format!("; message: {message}"));
            line(
                "note",
                &format!("call back about {wanted}, as {cause}{message}"),
            )
        }
        Event::Together => line("", "(caller and target talk; the agent is silent and deaf)"),
        Event::Ended { message, .. } => line("ended", message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_its_event_first_and_the_time_last() {
        let key = Event::Key {
            from: Who::Caller,
            key: '0',
        };
        assert_eq!(
            json(&key, Duration::from_micros(1_234_567)),
            r#"{"event":"key","from":"caller","key":"0","seconds":1.235}"#
        );
        assert_eq!(
            json(&Event::StoppedSpeaking, Duration::ZERO),
            r#"{"event":"stopped_speaking","seconds":0.0}"#
        );
    }

    #[test]
    fn lines_name_what_they_are_about() {
        let sent = Event::Sent {
            request: "REFER",
            to: "sip:+1********34@sip.example.net".to_owned(),
            headers: [("X-VH-Source".to_owned(), "voice-agent".to_owned())].into(),
        };
        assert_eq!(
            lines(&sent),
            "wire    > REFER, Refer-To: <sip:+1********34@sip.example.net>\n          X-VH-Source: voice-agent"
        );
        let heard = Event::Heard {
            from: Who::Target,
            text: "Yes.".to_owned(),
            second: Some("Yet.".to_owned()),
        };
        assert_eq!(lines(&heard), "target  Yes.\n        (or: Yet.)");
    }
}
