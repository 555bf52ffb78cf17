//! `voice-agent console`: a call without a telephone, a carrier or LiveKit.
//!
//! The same state machine, conversation and rules as in a call (`line`), by keyboard (`text`), or by ear and mouth
//! (`spoken`): with a microphone and a speaker (`sound`) or audio files (`wav`). What would leave the machine is shown
//! instead. Only providers that are configured are
//! asked, for what they would be asked for in a call.

mod ending;
mod event;
mod line;
mod mouth;
mod sound;
mod spoken;
mod text;
mod typed;
mod wav;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    time::Instant,
};

use sip_config::{AgentSettings, HoldSound};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};
use tracing::warn;
use transfer_core::{JobMetadata, ParseJobMetadataError, PhoneNumber, policy::TransferPolicy};

pub use self::{
    ending::{Ending, UnknownEnding},
    sound::{DeviceKind, Devices, SoundError},
    typed::TypedError,
};
use self::{
    event::{Event, Format, Screen},
    line::Line,
    sound::Sound,
    spoken::Caller,
    wav::Script,
};
use crate::{
    Speech,
    behaviour::Behaviour,
    call::{TransferGate, outcome_of},
    conversation::{Brain, PolicySettings},
    hold::{chime, hold_sound},
    inference::{LoadSpeechError, language_model},
    job::call_settings,
};

/// What whoever talks by microphone is told.
const SPEAK: &str = "Speak as the caller; wear a headset, or the agent hears itself. Ctrl-D hangs up, /help has commands.";

/// As a shell reports a process that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// How the console was asked to run.
#[derive(Debug)]
pub struct Wishes {
    pub json: bool,
    /// A job's metadata; empty is an inbound call.
    pub metadata: String,
    /// How the first attempts to reach a transfer target end.
    pub transfers: Vec<Ending>,
    pub caller: CallerWish,
    /// Where what the caller hears is written.
    pub out: Option<PathBuf>,
}

/// How the caller is to speak.
#[derive(Debug, PartialEq, Eq)]
pub enum CallerWish {
    /// By microphone and speaker for whoever sits at a terminal and has them, else by keyboard.
    Any,
    Keyboard,
    Recordings(Vec<PathBuf>),
    Sound(Devices),
}

/// Why there is no call, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    #[error("--metadata cannot be used")]
    Metadata(#[from] ParseJobMetadataError),
    #[error(transparent)]
    Speech(#[from] LoadSpeechError),
    #[error("cannot start the threads that a call needs")]
    Runtime(#[source] io::Error),
    #[error("cannot read `{}`; expected a WAV file of PCM or floating-point samples", .path.display())]
    ReadWav {
        path: PathBuf,
        #[source]
        source: hound::Error,
    },
    #[error("`{}` has no audio in it", .path.display())]
    EmptyWav { path: PathBuf },
    #[error("cannot write `{}`; name a file in a folder that exists and that you may write to", .path.display())]
    WriteWav {
        path: PathBuf,
        #[source]
        source: hound::Error,
    },
    #[error(transparent)]
    Sound(#[from] SoundError),
    #[error("cannot read standard input")]
    Stdin(#[source] io::Error),
    #[error("cannot write to standard output")]
    Stdout(#[from] io::Error),
    #[error("line {line} of standard input")]
    Script {
        /// Counted from 1.
        line: usize,
        #[source]
        source: TypedError,
    },
}

impl ConsoleError {
    /// Whether what was asked for is at fault, not the machine.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Metadata(_)
            | Self::Speech(_)
            | Self::ReadWav { .. }
            | Self::EmptyWav { .. }
            | Self::WriteWav { .. }
            | Self::Script { .. } => true,
            Self::Sound(error) => error.is_usage(),
            Self::Runtime(_) | Self::Stdin(_) | Self::Stdout(_) => false,
        }
    }

    /// Whether nobody reads what we write any more.
    fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Has a conversation and returns the exit code that its end has.
pub fn run(
    settings: &AgentSettings,
    behaviour: &Behaviour,
    wishes: Wishes,
) -> Result<u8, ConsoleError> {
    let runtime = Runtime::new().map_err(ConsoleError::Runtime)?;
    let talked = runtime.block_on(talk(settings, behaviour, wishes));
    // A thread may be reading standard input, or thinking about what nobody waits for.
    runtime.shutdown_background();
    match talked {
        // Who closes the pipe has hung up.
        Err(error) if error.is_broken_pipe() => Ok(0),
        talked => talked,
    }
}

/// Prints the devices by which one can talk.
pub fn list_devices() -> Result<(), ConsoleError> {
    let runtime = Runtime::new().map_err(ConsoleError::Runtime)?;
    let devices = runtime.block_on(sound::devices());
    // A thread may wait for a sound server that does not answer.
    runtime.shutdown_background();
    let mut out = io::stdout().lock();
    for device in devices? {
        let option = match device.kind {
            DeviceKind::Microphone => "--input-device",
            DeviceKind::Speaker => "--output-device",
        };
        let default = if device.is_default { " (default)" } else { "" };
        let (name, description) = (device.name, device.description);
        let written = writeln!(out, "{option} {name}  {description}{default}");
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    Ok(())
}

/// The caller at a microphone, and who listens and speaks.
async fn open_sound(
    settings: &AgentSettings,
    devices: &Devices,
) -> Result<(Caller, Speech), ConsoleError> {
    let sound = Sound::open(devices).await?;
    Ok((Caller::Sound(sound), Speech::load(settings)?))
}

async fn talk(
    settings: &AgentSettings,
    behaviour: &Behaviour,
    wishes: Wishes,
) -> Result<u8, ConsoleError> {
    let (metadata, warnings) = JobMetadata::parse(&wishes.metadata)?;
    for warning in warnings {
        warn!("job metadata: {warning}");
    }
    let behaviour = behaviour.for_job(&metadata.agent);
    let policy =
        TransferPolicy::new(settings.transfer_rules.clone()).for_job(metadata.transfer_to.clone());
    let gate = TransferGate::new(policy.clone(), Default::default());
    let call = call_settings(settings, behaviour.clone(), &metadata, gate);
    let direction = call.direction;
    let started = Event::Started {
        agent: behaviour.name().to_owned(),
        direction: direction.name(),
        model: settings
            .llm
            .as_ref()
            .map(|llm| format!("{} at {}", llm.model, llm.base_url)),
        default_transfer: call.default_transfer.as_ref().map(PhoneNumber::masked),
    };
    let mut brain = Brain::new(
        language_model(settings),
        PolicySettings {
            behaviour,
            default_transfer: call.default_transfer.clone(),
            default_region: settings.default_region,
            transfer_policy: policy,
        },
    );
    if settings.transfer.callback_file.is_some() {
        brain.take_notes();
    }
    let is_at_terminal = io::stdin().is_terminal();
    let (spoken, fault) = match wishes.caller {
        CallerWish::Keyboard => (None, None),
        CallerWish::Any if !is_at_terminal => (None, None),
        CallerWish::Any => match open_sound(settings, &Devices::default()).await {
            Ok(spoken) => (Some(spoken), None),
            // Most servers have none, and nobody misses it there.
            Err(ConsoleError::Sound(SoundError::NoServer)) => (None, None),
            Err(fault) => (None, Some(anyhow::Error::from(fault))),
        },
        CallerWish::Sound(devices) => (Some(open_sound(settings, &devices).await?), None),
        CallerWish::Recordings(paths) => {
            let recordings = paths.iter().map(|path| wav::read(path));
            let recordings = recordings.collect::<Result<_, _>>()?;
            let caller = Caller::Script(Script::new(recordings));
            (Some((caller, Speech::load(settings)?)), None)
        }
    };
    let out = wishes.out.map(wav::Recording::create).transpose()?;

    // Before anything is shown: whoever has read that the call goes on may end it.
    let mut interrupts = signal(SignalKind::interrupt()).expect("a handler of SIGINT can be set");
    let now = Instant::now();
    let is_typed = spoken.is_none() && is_at_terminal;
    let format = match wishes.json {
        true => Format::Json,
        false if is_typed && io::stdout().is_terminal() => Format::Dialogue,
        false => Format::Text,
    };
    let mut screen = Screen::new(format, is_typed, now);
    screen.show(&started)?;
    if let Some(fault) = fault {
        screen.note(&format!("No microphone is used: {fault:#}."))?;
    }
    match &spoken {
        Some((Caller::Sound(sound), _)) => {
            let devices = sound.description();
            screen.note(&format!("{SPEAK}\nYou are on {devices}."))?;
        }
        None if is_typed => screen.note("Say something as the caller, or /help.")?,
        Some((Caller::Script(_), _)) | None => {}
    }
    let wish = call.behaviour.voice().map(str::to_owned);
    let filler = call.behaviour.filler().map(str::to_owned);
    let headers = metadata.sip_headers.into_iter().collect();
    let line = Line::new(now, call, metadata.phone_number, headers, wishes.transfers);
    let talked = async {
        match spoken {
            None => text::Talk::new(line, brain, &mut screen, now).run().await,
            Some((caller, speech)) => {
                let voice = speech.voice(wish.as_deref());
                let filler = match filler {
                    Some(filler) => voice.make_ahead(&filler).await,
                    None => None,
                };
                let agent = spoken::Agent {
                    ears: speech.ears(),
                    brain,
                    voice,
                    filler: filler.unwrap_or_else(|| [chime()].into()),
                };
                let hold = spoken::Hold {
                    sound: hold_sound(settings.transfer.hold_sound),
                    rings: settings.transfer.hold_sound == HoldSound::Dialtone,
                };
                spoken::Talk::new(line, direction, agent, caller, hold, out, &mut screen)
                    .run()
                    .await
            }
        }
    };
    let (outcome, message, exit_code) = tokio::select! {
        outcome = talked => {
            let outcome = outcome?;
            let told = outcome_of(outcome);
            (told.code(), outcome.to_string(), told.exit_code())
        }
        _ = interrupts.recv() => ("interrupted", "interrupted".to_owned(), INTERRUPTED),
    };
    screen.show(&Event::Ended {
        outcome,
        message,
        exit_code,
    })?;
    Ok(exit_code)
}
