//! How the agent behaves: its name, its first words, what a language model is told, and its patience.
//!
//! [`Behaviour::default`] is a friendly receptionist. [`Behaviour::parse`] reads another one from TOML and
//! reports every fault of the file at once; [`Behaviour::for_job`] changes it for one call. What callers may
//! reach is no matter of behaviour: that is the operator's
//! [`TransferPolicy`](transfer_core::policy::TransferPolicy).

use std::{
    fmt, fs, io,
    ops::{Range, RangeInclusive},
    path::{Path, PathBuf},
    time::Duration,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use transfer_core::{AgentText, AgentTexts, NAME_PLACEHOLDER};

/// How long a callee who picks up is given to say hello before the agent speaks.
///
/// Shorter and both speak at once; longer and people hang up, taking us for an autodialler.
pub(crate) const HELLO_WAIT: Duration = Duration::from_secs(2);

/// The same where the agent speaks first: how long a phone gets to open its audio.
const AT_ONCE: Duration = Duration::from_millis(300);

/// How long nobody may speak before the agent says something. LiveKit calls it user away.
pub(crate) const SILENCE: Duration = Duration::from_secs(15);

/// The same after the person made a sound that turned out to be no words.
pub(crate) const SILENCE_AFTER_INTERRUPTION: Duration = Duration::from_secs(5);

/// How long after an interruption its words may take before the agent goes on with what it was saying.
///
/// Shorter and a slow recognition makes the agent begin again and stop once more; longer and a cough makes a longer gap.
pub(crate) const RESUME_AFTER: Duration = Duration::from_secs(2);

/// How long nobody may press a key before an entry on the keypad counts as complete.
pub(crate) const KEY_PAUSE: Duration = Duration::from_secs(4);

/// How long the person may hear nothing after its words before it hears the filler.
///
/// Shorter and a number that is recognised twice is answered with the filler first; longer and people say "Hello?".
pub(crate) const FILLER_WAIT: Duration = Duration::from_secs(2);

/// Silences in a row after which the agent hangs up.
const SILENCES: u32 = 2;

const NAME: &str = "Ada";
const GREETING: &str = "Hello, this is {name}. I can transfer your call. How can I help?";
const SCREENING_REPLY: &str = "This is {name}, calling for the owner of this number.";
const INSTRUCTIONS: &str = "You are {name}, a friendly assistant on the telephone.";
const FILLER: &str = "One moment, please.";

/// Characters that the filler may have: the answer waits until it was said.
const LONGEST_FILLER: usize = 100;

const FILLER_FORM: &str =
    "a text of up to 100 characters, such as \"One moment, please.\"; empty for none";
const SPEAK_FIRST_FORM: &str =
    "true, false, or the seconds to wait for a hello, from 0 to 30, such as 2";
const SILENCE_FORM: &str = "seconds from 3 to 300, such as 15";
const AFTER_INTERRUPTION_FORM: &str = "seconds from 1 to 60, such as 5";
const RESUME_AFTER_FORM: &str = "seconds from 0.5 to 10, such as 2";
const KEY_PAUSE_FORM: &str = "seconds from 1 to 30, such as 4";
const FILLER_WAIT_FORM: &str = "seconds from 1 to 10, such as 2";
const SILENCES_FORM: &str = "a whole number from 1 to 10, such as 2";
const MESSAGE_FORM: &str =
    "a text of at most 500 characters, in which {name} stands for the name; empty hangs up";
const SWITCH_FORM: &str = "true or false";

const KEYS: &[&str] = &[
    "name",
    "greeting",
    "filler",
    "instructions",
    "voice",
    "speak_first",
    "timings",
    "tools",
    "voicemail",
];
const TIMINGS_KEYS: &[&str] = &[
    "silence",
    "silences_before_hanging_up",
    "silence_after_interruption",
    "resume_after",
    "key_pause",
    "filler",
];
const TOOLS_KEYS: &[&str] = &["transfer_call", "end_call", "send_dtmf"];
const VOICEMAIL_KEYS: &[&str] = &["detect", "message", "screening_reply"];

/// Keys that are this alike, from 0 to 1, are taken for one that was mistyped.
const ALIKE: f64 = 0.75;

/// How the agent behaves in a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Behaviour {
    texts: AgentTexts,
    /// Empty for none.
    filler: String,
    speak_first: SpeakFirst,
    pub(crate) timings: Timings,
    pub(crate) tools: Tools,
    pub(crate) voicemail: Voicemail,
}

/// Who speaks first when a callee has picked up. An inbound caller is always greeted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SpeakFirst {
    /// The callee, who is greeted after a hello, or after this time without one.
    After(Duration),
    /// The callee; without a hello the agent speaks after [`Timings::silence`], so that no call is silent for ever.
    Never,
}

/// How patient the agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timings {
    /// How long nobody may speak before the agent says something.
    pub(crate) silence: Duration,
    /// The same after the person made a sound that turned out to be no words.
    pub(crate) silence_after_interruption: Duration,
    /// How long after an interruption its words may take before the agent goes on with what it was saying.
    pub(crate) resume_after: Duration,
    /// How long nobody may press a key before an entry on the keypad counts as complete.
    pub(crate) key_pause: Duration,
    /// How long the person may hear nothing after its words before it hears the filler.
    pub(crate) filler: Duration,
    /// Silences in a row after which the agent hangs up.
    pub(crate) silences: u32,
}

/// What a language model may call. The rules keep the person's own ways: keys, numbers and departments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tools {
    pub(crate) transfer_call: bool,
    pub(crate) end_call: bool,
    pub(crate) send_dtmf: bool,
}

/// What the agent does when a machine picks up. An inbound caller is never taken for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Voicemail {
    /// Whether machines are recognised at all.
    pub(crate) detect: bool,
    /// What is left after the tone; empty hangs up.
    message: String,
    /// What a call screener is answered; empty hangs up.
    screening_reply: String,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            texts: AgentTexts::default(),
            filler: FILLER.to_owned(),
            speak_first: SpeakFirst::After(HELLO_WAIT),
            timings: Timings::default(),
            tools: Tools::default(),
            voicemail: Voicemail::default(),
        }
    }
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            silence: SILENCE,
            silence_after_interruption: SILENCE_AFTER_INTERRUPTION,
            resume_after: RESUME_AFTER,
            key_pause: KEY_PAUSE,
            filler: FILLER_WAIT,
            silences: SILENCES,
        }
    }
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            transfer_call: true,
            end_call: true,
            // A model that presses keys can spend money or open doors.
            send_dtmf: false,
        }
    }
}

impl Default for Voicemail {
    fn default() -> Self {
        Self {
            detect: true,
            message: String::new(),
            screening_reply: SCREENING_REPLY.to_owned(),
        }
    }
}

impl Behaviour {
    /// Reads the file at `path`.
    pub fn load(path: &Path) -> Result<Self, LoadBehaviourError> {
        let unreadable = |source| LoadBehaviourError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let text = fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text).map_err(|faults| LoadBehaviourError::Wrong {
            path: path.to_owned(),
            faults,
        })
    }

    /// Reads TOML. What it does not say is as in [`Behaviour::default`].
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let document = match DeTable::parse(text) {
            Ok(document) => document,
            Err(error) => {
                return Err(vec![Fault {
                    line: line_of(text, error.span().unwrap_or_default()),
                    key: None,
                    problem: Problem::Syntax(error.message().to_owned()),
                }]);
            }
        };
        let mut section = Section {
            text,
            prefix: "",
            known: KEYS,
            faults: Vec::new(),
        };
        let mut behaviour = Self::default();
        for (key, value) in document.get_ref() {
            if let Some(text) = AgentText::with_key(key.get_ref()) {
                section.read(text.key(), value, text.form(), |value| {
                    let set = behaviour.texts.set(text, string(value)?);
                    set.map_err(|error| error.reason())
                });
                continue;
            }
            match key.get_ref().as_ref() {
                key @ "filler" => {
                    section.take(&mut behaviour.filler, key, value, FILLER_FORM, |value| {
                        filler(string(value)?)
                    })
                }
                key @ "speak_first" => section.take(
                    &mut behaviour.speak_first,
                    key,
                    value,
                    SPEAK_FIRST_FORM,
                    speak_first,
                ),
                "timings" => {
                    section.table("timings", TIMINGS_KEYS, value, |section, key, value| {
                        timing(section, &mut behaviour.timings, key, value)
                    })
                }
                "tools" => section.table("tools", TOOLS_KEYS, value, |section, key, value| {
                    tool(section, &mut behaviour.tools, key, value)
                }),
                "voicemail" => {
                    section.table("voicemail", VOICEMAIL_KEYS, value, |section, key, value| {
                        voicemail(section, &mut behaviour.voicemail, key, value)
                    })
                }
                unknown => section.unknown(unknown, key.span()),
            }
        }
        let mut faults = section.faults;
        faults.sort_by_key(|fault| fault.line);
        match faults.is_empty() {
            true => Ok(behaviour),
            false => Err(faults),
        }
    }

    /// The behaviour in one call, as its job wants it.
    pub fn for_job(&self, job: &AgentTexts) -> Self {
        let mut behaviour = self.clone();
        behaviour.texts.update(job);
        behaviour
    }

    /// The agent's name, as it is spoken.
    pub fn name(&self) -> &str {
        self.texts.get(AgentText::Name).unwrap_or(NAME)
    }

    /// The name that the provider has for the agent's voice, where it is not that of the settings.
    pub(crate) fn voice(&self) -> Option<&str> {
        self.texts.get(AgentText::Voice)
    }

    /// The agent's first words.
    pub fn greeting(&self) -> String {
        self.named(self.texts.get(AgentText::Greeting).unwrap_or(GREETING))
    }

    /// What is said when an answer takes long, if anything is.
    pub(crate) fn filler(&self) -> Option<&str> {
        Some(self.filler.as_str()).filter(|filler| !filler.is_empty())
    }

    /// How long the person may hear nothing after its words, if that is limited.
    pub(crate) fn filler_wait(&self) -> Option<Duration> {
        self.filler().map(|_| self.timings.filler)
    }

    /// What is left on voicemail, if anything is.
    pub(crate) fn voicemail_message(&self) -> Option<String> {
        self.spoken(&self.voicemail.message)
    }

    /// What a call screener is answered, if anything is.
    pub(crate) fn screening_reply(&self) -> Option<String> {
        self.spoken(&self.voicemail.screening_reply)
    }

    fn spoken(&self, text: &str) -> Option<String> {
        (!text.is_empty()).then(|| self.named(text))
    }

    fn named(&self, text: &str) -> String {
        text.replace(NAME_PLACEHOLDER, self.name())
    }

    /// What a language model is told about itself.
    pub(crate) fn instructions(&self) -> String {
        let own = self.texts.get(AgentText::Instructions);
        self.named(own.unwrap_or(INSTRUCTIONS))
    }

    /// How long a callee who has picked up is given to say hello.
    pub(crate) fn hello_wait(&self) -> Duration {
        match self.speak_first {
            SpeakFirst::After(wait) => wait,
            SpeakFirst::Never => self.timings.silence,
        }
    }
}

/// A table of the file that is being read.
struct Section<'a> {
    text: &'a str,
    /// The table's name with its dot, or nothing for the document.
    prefix: &'static str,
    known: &'static [&'static str],
    faults: Vec<Fault>,
}

impl Section<'_> {
    /// Puts a value in its place, or reports it.
    fn take<T>(
        &mut self,
        place: &mut T,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        expected: &'static str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, &'static str>,
    ) {
        if let Some(read) = self.read(key, value, expected, read) {
            *place = read;
        }
    }

    /// Returns a value, or reports it.
    fn read<T>(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        expected: &'static str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, &'static str>,
    ) -> Option<T> {
        let read = read(value.get_ref());
        read.map_err(|reason| {
            self.fault(key, value.span(), Problem::Invalid { reason, expected });
        })
        .ok()
    }

    fn table(
        &mut self,
        name: &'static str,
        known: &'static [&'static str],
        value: &Spanned<DeValue<'_>>,
        mut read: impl FnMut(&mut Self, &str, &Spanned<DeValue<'_>>) -> bool,
    ) {
        let Some(table) = value.get_ref().as_table() else {
            let problem = Problem::Invalid {
                reason: "it is not a table",
                expected: "a line with its name in brackets, and its keys below",
            };
            return self.fault(name, value.span(), problem);
        };
        let outer = (self.prefix, self.known);
        (self.prefix, self.known) = (name, known);
        for (key, value) in table {
            if !read(self, key.get_ref(), value) {
                self.unknown(key.get_ref(), key.span());
            }
        }
        (self.prefix, self.known) = outer;
    }

    fn unknown(&mut self, key: &str, span: Range<usize>) {
        let similarity = |known: &str| strsim::jaro_winkler(&key.to_lowercase(), known);
        let nearest = self
            .known
            .iter()
            .copied()
            .filter(|known| similarity(known) >= ALIKE)
            .max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
        let problem = Problem::Unknown {
            nearest,
            known: self.known,
        };
        self.fault(key, span, problem);
    }

    fn fault(&mut self, key: &str, span: Range<usize>, problem: Problem) {
        let key = match self.prefix {
            "" => key.to_owned(),
            prefix => format!("{prefix}.{key}"),
        };
        self.faults.push(Fault {
            line: line_of(self.text, span),
            key: Some(key),
            problem,
        });
    }
}

/// Reads a key of `[timings]`; false if there is no such key.
fn timing(
    section: &mut Section<'_>,
    timings: &mut Timings,
    key: &str,
    value: &Spanned<DeValue<'_>>,
) -> bool {
    let (place, range, expected) = match key {
        "silence" => (&mut timings.silence, 3.0..=300.0, SILENCE_FORM),
        "silence_after_interruption" => (
            &mut timings.silence_after_interruption,
            1.0..=60.0,
            AFTER_INTERRUPTION_FORM,
        ),
        "resume_after" => (&mut timings.resume_after, 0.5..=10.0, RESUME_AFTER_FORM),
        "key_pause" => (&mut timings.key_pause, 1.0..=30.0, KEY_PAUSE_FORM),
        "filler" => (&mut timings.filler, 1.0..=10.0, FILLER_WAIT_FORM),
        "silences_before_hanging_up" => {
            section.take(&mut timings.silences, key, value, SILENCES_FORM, count);
            return true;
        }
        _ => return false,
    };
    section.take(place, key, value, expected, |value| seconds(value, range));
    true
}

/// Reads a key of `[tools]`; false if there is no such key.
fn tool(
    section: &mut Section<'_>,
    tools: &mut Tools,
    key: &str,
    value: &Spanned<DeValue<'_>>,
) -> bool {
    let place = match key {
        "transfer_call" => &mut tools.transfer_call,
        "end_call" => &mut tools.end_call,
        "send_dtmf" => &mut tools.send_dtmf,
        _ => return false,
    };
    section.take(place, key, value, SWITCH_FORM, switch);
    true
}

/// Reads a key of `[voicemail]`; false if there is no such key.
fn voicemail(
    section: &mut Section<'_>,
    voicemail: &mut Voicemail,
    key: &str,
    value: &Spanned<DeValue<'_>>,
) -> bool {
    let place = match key {
        "detect" => {
            section.take(&mut voicemail.detect, key, value, SWITCH_FORM, switch);
            return true;
        }
        "message" => &mut voicemail.message,
        "screening_reply" => &mut voicemail.screening_reply,
        _ => return false,
    };
    section.take(place, key, value, MESSAGE_FORM, |value| {
        match string(value)?.trim() {
            "" => Ok(String::new()),
            text => {
                let checked = AgentText::Greeting.check(text);
                checked.map_err(|error| error.reason())
            }
        }
    });
    true
}

fn switch(value: &DeValue<'_>) -> Result<bool, &'static str> {
    value.as_bool().ok_or("it is not true or false")
}

fn string<'a>(value: &'a DeValue<'_>) -> Result<&'a str, &'static str> {
    value.as_str().ok_or("it is not a text in quotes")
}

fn filler(filler: &str) -> Result<String, &'static str> {
    match filler.trim() {
        "" => Ok(String::new()),
        filler if filler.chars().count() > LONGEST_FILLER => Err("it is too long"),
        filler => Ok(filler.to_owned()),
    }
}

fn speak_first(value: &DeValue<'_>) -> Result<SpeakFirst, &'static str> {
    match value.as_bool() {
        Some(true) => Ok(SpeakFirst::After(AT_ONCE)),
        Some(false) => Ok(SpeakFirst::Never),
        None => seconds(value, 0.0..=30.0).map(SpeakFirst::After),
    }
}

fn seconds(value: &DeValue<'_>, range: RangeInclusive<f64>) -> Result<Duration, &'static str> {
    let digits = match (value.as_integer(), value.as_float()) {
        (Some(integer), _) if integer.radix() == 10 => integer.as_str(),
        (_, Some(float)) => float.as_str(),
        _ => return Err("it is not a number"),
    };
    let seconds: f64 = digits.parse().map_err(|_| "it is not a number")?;
    match range.contains(&seconds) {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err("it is out of range"),
    }
}

fn count(value: &DeValue<'_>) -> Result<u32, &'static str> {
    let integer = value.as_integer().ok_or("it is not a whole number")?;
    match u32::from_str_radix(integer.as_str(), integer.radix()) {
        Ok(count @ 1..=10) => Ok(count),
        Ok(_) | Err(_) => Err("it is out of range"),
    }
}

/// The line, counted from 1, on which `span` begins.
fn line_of(text: &str, span: Range<usize>) -> usize {
    let before = text.get(..span.start).unwrap_or(text);
    before.matches('\n').count() + 1
}

/// What is wrong with one key of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    /// With its table; `None` when the file is no TOML from this line on.
    pub key: Option<String>,
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// What the TOML parser says.
    Syntax(String),
    Unknown {
        /// What may have been meant.
        nearest: Option<&'static str>,
        known: &'static [&'static str],
    },
    Invalid {
        reason: &'static str,
        expected: &'static str,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(key) = &self.key {
            write!(f, ", `{}`", key.escape_default())?;
        }
        match &self.problem {
            Problem::Syntax(message) => {
                let message = message.lines().collect::<Vec<_>>().join(", ");
                write!(f, ": {message}\n    expected: TOML (https://toml.io)")
            }
            Problem::Unknown { nearest, known } => {
                write!(f, ": there is no such key\n    ")?;
                match nearest {
                    Some(nearest) => write!(f, "did you mean: {nearest}"),
                    None => write!(f, "expected: {}", known.join(", ")),
                }
            }
            Problem::Invalid { reason, expected } => {
                write!(f, ": {reason}\n    expected: {expected}")
            }
        }
    }
}

/// The file cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum LoadBehaviourError {
    #[error("cannot read AGENT_CONFIG `{}`", .path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}", report(.path, .faults))]
    Wrong { path: PathBuf, faults: Vec<Fault> },
}

fn report(path: &Path, faults: &[Fault]) -> String {
    let path = path.display();
    let head = match faults.len() {
        1 => format!("{path}: 1 thing is wrong (docs/behaviour.md lists all keys)"),
        count => format!("{path}: {count} things are wrong (docs/behaviour.md lists all keys)"),
    };
    let faults = faults.iter().map(|fault| format!("\n  {fault}"));
    head + &faults.collect::<String>()
}

#[cfg(test)]
mod tests;
