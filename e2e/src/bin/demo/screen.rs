//! What the demo prints: lines only, so that it reads the same in a pipe; colours on a terminal.

use std::{
    env,
    fs::File,
    io::{IsTerminal, Write, stdout},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use e2e::{
    ladder::Ladder,
    phone::Phone,
    words::digits,
    worker::{Worker, WorkerEvent},
    world::World,
};
use tokio::task::JoinSet;

use crate::Step;

/// Fewer digits in a sentence are no telephone number: `One moment please.`
const SHORTEST_NUMBER: usize = 3;

/// Whose line it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Who {
    Demo,
    Tool,
    Person,
    Agent,
    /// What the agent does, and why.
    Reason,
    Sip,
}

impl Who {
    /// Name and ANSI colour.
    fn looks(self) -> (&'static str, u8) {
        match self {
            Self::Demo => ("", 1),
            Self::Tool => ("", 2),
            Self::Person => ("person", 36),
            Self::Agent => ("agent", 32),
            Self::Reason => ("agent", 33),
            Self::Sip => ("SIP", 2),
        }
    }
}

pub(crate) struct Screen {
    start: SystemTime,
    colours: bool,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let colours = stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
        Self {
            start: SystemTime::now(),
            colours,
        }
    }

    pub(crate) fn line(&self, who: Who, text: &str) {
        self.line_at(SystemTime::now(), who, text);
    }

    /// A line about something that was seen a little late: tshark takes half a second.
    fn line_at(&self, when: SystemTime, who: Who, text: &str) {
        let (name, colour) = who.looks();
        let text = format!("{:7.2}  {name:<7}{text}", self.seconds(when));
        self.print(&if self.colours {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text
        });
    }

    /// Seconds since the start; the clock of this machine may be set back meanwhile, which counts as none.
    fn seconds(&self, when: SystemTime) -> f64 {
        when.duration_since(self.start)
            .unwrap_or_default()
            .as_secs_f64()
    }

    pub(crate) fn ladder_heading(&self) {
        // Aligned with the rungs, which bring nine columns of their own.
        self.print(&format!("{:>16}{}", "", Ladder::heading().trim_start()));
    }

    pub(crate) fn steps(&self, steps: &[Step]) {
        self.print("");
        for Step { what, took } in steps {
            self.print(&format!("{:9.2} s  {what}", took.as_secs_f64()));
        }
    }

    pub(crate) fn verdict(&self, verdict: Result<&str, String>, dir: &Path) {
        self.print("");
        match verdict {
            Ok(text) => self.print(&format!("PASSED: {text}")),
            Err(why) => self.print(&format!("FAILED: {why}")),
        }
        for (what, file) in [
            ("recording", "recording.wav"),
            ("transcript", "transcript.txt"),
            ("SIP ladder", "ladder.txt"),
            ("capture", "sip.pcapng"),
            ("agent's log", "voice-agent.log"),
        ] {
            let path = dir.join(file);
            if path.exists() {
                self.print(&format!("{what:>12}: {}", path.display()));
            }
        }
    }

    #[expect(clippy::print_stdout, reason = "this is the program's output")]
    fn print(&self, line: &str) {
        println!("{line}");
    }
}

/// Shows what happens on the wire, in the agent and at the person's end, until the result is dropped; writes
/// what was said to `transcript.txt`.
pub(crate) fn follow(
    screen: &Arc<Screen>,
    world: &World,
    worker: &Worker,
    person: &Phone,
    dir: &Path,
) -> anyhow::Result<JoinSet<()>> {
    let transcript =
        File::create(dir.join("transcript.txt")).context("cannot create transcript.txt")?;
    let transcript = Arc::new(Mutex::new(transcript));
    let mut followers = JoinSet::new();

    let (messages, on_screen) = (world.capture.messages().clone(), screen.clone());
    followers.spawn(messages.follow(move |message| {
        if let Some(rung) = Ladder::untimed_rung(message) {
            on_screen.line_at(UNIX_EPOCH + message.at, Who::Sip, &rung);
        }
    }));

    let (words, on_screen, to_file) = (person.words().clone(), screen.clone(), transcript.clone());
    followers.spawn(words.follow(move |text| {
        on_screen.line(Who::Person, &format!("“{text}”"));
        note(&to_file, &on_screen, "person", text);
    }));

    let (events, on_screen) = (worker.events().clone(), screen.clone());
    followers.spawn(events.follow(move |event| {
        if let WorkerEvent::Says { text } = event {
            on_screen.line(Who::Agent, &format!("“{text}”"));
            note(&transcript, &on_screen, "agent", text);
        }
        if let Some(reason) = reason(event) {
            on_screen.line(Who::Reason, &reason);
        }
    }));
    Ok(followers)
}

fn note(transcript: &Mutex<File>, screen: &Screen, who: &str, text: &str) {
    let seconds = screen.seconds(SystemTime::now());
    let mut file = transcript.lock().unwrap_or_else(PoisonError::into_inner);
    // The same words are on the screen; a full disk shows there.
    drop(writeln!(file, "{seconds:7.2}  {who}: {text}"));
}

/// What the agent does, and why.
fn reason(event: &WorkerEvent) -> Option<String> {
    let reason = match event {
        WorkerEvent::JobReceived { room } => {
            format!("takes the job in {room}: dials at once, joins the room meanwhile")
        }
        WorkerEvent::Dialling => {
            "dials through LiveKit; the carrier asks for digest credentials first".to_owned()
        }
        WorkerEvent::Answered => {
            "the phone was answered: waits for a hello, or speaks first".to_owned()
        }
        WorkerEvent::DialFailed { cause, .. } => format!("the call failed: {cause}"),
        WorkerEvent::Heard { text } => format!("understood “{text}”"),
        WorkerEvent::Says { text } if digits(text).len() >= SHORTEST_NUMBER => {
            "reads the number back: what was heard is never trusted".to_owned()
        }
        WorkerEvent::Transferring => {
            "has finished its sentence, now LiveKit sends the REFER; waits in silence".to_owned()
        }
        WorkerEvent::TransferFailed { cause, .. } => {
            format!("the transfer failed: {cause}; talks on")
        }
        WorkerEvent::TransferUnconfirmed { cause } => {
            format!("cannot tell how the transfer ended: {cause}; talks on")
        }
        WorkerEvent::JobEnded { outcome } => format!("the job ended: {outcome}"),
        WorkerEvent::Registered
        | WorkerEvent::Says { .. }
        | WorkerEvent::Spoke
        | WorkerEvent::Pauses
        | WorkerEvent::GoesOn
        | WorkerEvent::StoppedSpeaking
        | WorkerEvent::TransferConnected
        | WorkerEvent::ParticipantLeft => return None,
    };
    Some(reason)
}
