//! What the person at the keyboard types: the caller's words, or a command.

use std::{str::FromStr, time::Duration};

use super::ending::{Ending, UnknownEnding};
use crate::conversation::{Key, UnknownKey};

/// What `/help` shows.
pub(super) const HELP: &str = "\
What you type is what the caller says; a line that begins with / is a command:
  /key KEYS           press keys of the telephone, such as /key 0 or /key 15550001234#
  /silence [SECONDS]  say nothing: until the agent speaks, or for so many seconds
  /failed CAUSE       the next transfer fails: busy, declined, no-answer, unknown-number, carrier-fault, refused
                      (the carrier does not do REFER), or a SIP status such as 486
  /unconfirmed        the next transfer ends without a word whether the target answered; the caller stays.
                      /unconfirmed hung-up: the caller's leg is gone as well
  /connected          transfers connect again, as they do unless you say otherwise
  /hang-up            hang up, as the end of the input does
  /help               this text";

const COMMANDS: [&str; 8] = [
    "/key",
    "/silence",
    "/failed",
    "/unconfirmed",
    "/connected",
    "/hang-up",
    "/quit",
    "/help",
];

/// The longest silence, in seconds: the agent has hung up long before.
const LONGEST_SILENCE: f64 = 3600.0;

/// Words that are this alike, from 0 to 1, are taken for one that was mistyped.
const ALIKE: f64 = 0.75;

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Typed {
    Nothing,
    Words(String),
    Keys(Vec<Key>),
    /// Until something happens by itself, or for this long.
    Silence(Option<Duration>),
    /// How the next attempt to reach a transfer target ends.
    Next(Ending),
    /// All attempts connect.
    Connected,
    HangUp,
    Help,
}

impl FromStr for Typed {
    type Err = TypedError;

    fn from_str(line: &str) -> Result<Self, TypedError> {
        let line = line.trim();
        if line.is_empty() {
            return Ok(Self::Nothing);
        }
        if !line.starts_with('/') {
            return Ok(Self::Words(line.to_owned()));
        }
        let (command, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let argument = argument.trim();
        match (command, argument) {
            ("/key", "") => Err(TypedError::NoKeys),
            ("/key", keys) => {
                let keys = keys.chars().filter(|c| !c.is_whitespace());
                let keys = keys.map(Key::try_from).collect::<Result<_, _>>()?;
                Ok(Self::Keys(keys))
            }
            ("/silence", "") => Ok(Self::Silence(None)),
            ("/silence", seconds) => match seconds.parse() {
                Ok(seconds @ 0.0..=LONGEST_SILENCE) => {
                    Ok(Self::Silence(Some(Duration::from_secs_f64(seconds))))
                }
                Ok(_) | Err(_) => Err(TypedError::NoSeconds(seconds.to_owned())),
            },
            ("/failed", "") => Err(TypedError::NoCause),
            ("/failed", cause) => match cause.parse()? {
                Ending::Connected => Err(TypedError::NoFailure("/connected")),
                Ending::Unconfirmed | Ending::HungUp => Err(TypedError::NoFailure("/unconfirmed")),
                failed @ (Ending::Failed(_) | Ending::Refused(_)) => Ok(Self::Next(failed)),
            },
            ("/unconfirmed", "") => Ok(Self::Next(Ending::Unconfirmed)),
            ("/unconfirmed", "hung-up") => Ok(Self::Next(Ending::HungUp)),
            ("/connected", "") => Ok(Self::Connected),
            ("/hang-up" | "/quit", "") => Ok(Self::HangUp),
            ("/help", _) => Ok(Self::Help),
            (known, argument) if COMMANDS.contains(&known) => Err(TypedError::Argument {
                command: known.to_owned(),
                argument: argument.to_owned(),
            }),
            (unknown, _) => Err(TypedError::UnknownCommand {
                nearest: nearest(unknown),
                command: unknown.to_owned(),
            }),
        }
    }
}

fn nearest(unknown: &str) -> Option<&'static str> {
    // All of them begin with a slash, which is no likeness.
    let unknown = unknown.to_lowercase();
    let similarity = |known: &str| strsim::jaro_winkler(&unknown[1..], &known[1..]);
    COMMANDS
        .into_iter()
        .filter(|known| similarity(known) >= ALIKE)
        .max_by(|a, b| similarity(a).total_cmp(&similarity(b)))
}

/// The line is neither words nor a command.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TypedError {
    #[error(
        "`{}` is no command; {}",
        .command.escape_default(),
        .nearest.map_or_else(|| "/help lists them".to_owned(), |nearest| format!("did you mean {nearest}?"))
    )]
    UnknownCommand {
        command: String,
        nearest: Option<&'static str>,
    },
    #[error("{command} takes no `{}`; /help shows how it is used", .argument.escape_default())]
    Argument { command: String, argument: String },
    #[error("/key needs the keys to press, such as /key 0")]
    NoKeys,
    #[error(transparent)]
    Key(#[from] UnknownKey),
    #[error("`{}` is no time; expected seconds from 0 to 3600, such as /silence 15", .0.escape_default())]
    NoSeconds(String),
    #[error("/failed needs to know why, such as /failed busy")]
    NoCause,
    #[error(transparent)]
    Ending(#[from] UnknownEnding),
    #[error("that is no failure; use {0}")]
    NoFailure(&'static str),
}

#[cfg(test)]
mod tests {
    use transfer_core::SipStatus;

    use super::*;

    fn check(line: &str, expected: Typed) {
        assert_eq!(line.parse(), Ok(expected), "{line}");
    }

    fn keys(keys: &str) -> Typed {
        Typed::Keys(keys.chars().map(|key| key.try_into().unwrap()).collect())
    }

    #[test]
    fn a_line_is_what_the_caller_says_unless_it_begins_with_a_slash() {
        check(
            " Transfer me. \r\n",
            Typed::Words("Transfer me.".to_owned()),
        );
        check("key 0", Typed::Words("key 0".to_owned()));
        check("yes / no", Typed::Words("yes / no".to_owned()));
        check("  ", Typed::Nothing);
    }

    #[test]
    fn commands_are_read_with_their_arguments() {
        check("/key 0", keys("0"));
        check("/key  1 555 *#", keys("1555*#"));
        check("/silence", Typed::Silence(None));
        check(
            "/silence 1.5",
            Typed::Silence(Some(Duration::from_millis(1_500))),
        );
        check("/failed busy", Typed::Next(Ending::Failed(SipStatus(486))));
        check("/failed 503", Typed::Next(Ending::Failed(SipStatus(503))));
        check(
            "/failed refused",
            Typed::Next(Ending::Refused(SipStatus(405))),
        );
        check("/unconfirmed", Typed::Next(Ending::Unconfirmed));
        check("/unconfirmed hung-up", Typed::Next(Ending::HungUp));
        check("/connected", Typed::Connected);
        check("/hang-up", Typed::HangUp);
        check("/quit", Typed::HangUp);
        check("/help me", Typed::Help);
    }

    #[test]
    fn what_is_no_command_is_named_with_what_to_do() {
        for (line, expected) in [
            (
                "/failled busy",
                "`/failled` is no command; did you mean /failed?",
            ),
            ("/x", "`/x` is no command; /help lists them"),
            ("/", "`/` is no command; /help lists them"),
            ("/key", "/key needs the keys to press, such as /key 0"),
            ("/key A", "`A` is no key of a telephone (0 to 9, * or #)"),
            (
                "/silence long",
                "`long` is no time; expected seconds from 0 to 3600, such as /silence 15",
            ),
            (
                "/silence -1",
                "`-1` is no time; expected seconds from 0 to 3600, such as /silence 15",
            ),
            (
                "/silence NaN",
                "`NaN` is no time; expected seconds from 0 to 3600, such as /silence 15",
            ),
            ("/failed", "/failed needs to know why, such as /failed busy"),
            ("/failed connected", "that is no failure; use /connected"),
            (
                "/hang-up now",
                "/hang-up takes no `now`; /help shows how it is used",
            ),
        ] {
            let error = line.parse::<Typed>().unwrap_err();
            assert_eq!(error.to_string(), expected, "{line}");
        }
        let error = "/failed tired".parse::<Typed>().unwrap_err().to_string();
        assert!(
            error.contains("`tired`") && error.contains("busy"),
            "{error}"
        );
    }

    #[test]
    fn help_explains_every_command() {
        for command in COMMANDS.iter().filter(|command| **command != "/quit") {
            assert!(HELP.contains(command), "{command}");
        }
    }
}
