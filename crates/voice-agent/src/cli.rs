//! The command line, and what it and the environment make of a worker.

use std::{ffi::OsString, io::IsTerminal as _, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use sip_config::{
    AgentSettings, Environment, LiveKitSettings, LogLevel, OutboundTrunkSettings, SettingsError,
};

use crate::console::{CallerWish, Devices, Ending, Wishes};

/// Calls people over a SIP trunk of LiveKit, talks with them and transfers them.
///
/// The worker registers with LiveKit under its agent name and waits for jobs; `dialer --to +15550001234` makes one.
/// Settings come from the environment, `.env.local` and `.env`; see `.env.example`.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Without a telephone:\n  \
        voice-agent console          talk with the agent by microphone or keyboard\n\n\
        First call:\n  \
        cargo xtask setup            get the speech models\n  \
        trunk-setup                  create or repair the outbound trunk\n  \
        voice-agent dev              start the agent\n  \
        dialer --to +15550001234     have it call somebody"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run for a developer: coloured logs, takes every job, Ctrl-C hangs up and ends
    Dev(WorkerArgs),
    /// Run in production: JSON logs, refuses jobs under load, SIGTERM lets calls end
    ///
    /// The first SIGTERM or SIGINT stops taking jobs and waits for running calls; the second one, or
    /// the end of `--drain-timeout`, hangs them up.
    Start(WorkerArgs),
    /// Talk with the agent by microphone, keyboard or audio files, without LiveKit: nobody is called
    ///
    /// At a terminal with a microphone you speak as the caller; elsewhere, and with --text, you type what the caller
    /// says, and what the caller would hear is printed, with the rule that allows or refuses a transfer and the SIP
    /// messages that would be sent. No server is needed, nobody is called and no number leaves the machine; only
    /// providers whose keys are set are asked, as in a call.
    ///
    /// The settings are those of the worker, from the environment, `.env.local` and `.env`, without LiveKit's and
    /// the trunk's. The keyboard needs no speech models. A script on standard input works like the keyboard,
    /// and its end hangs up; a line in it that is no command ends it with exit code 2.
    ///
    /// Microphone and speaker are those of PulseAudio or PipeWire, and need the speech models or a provider for both;
    /// with a headset the agent does not hear itself (docs/console.md).
    #[command(after_long_help = CONSOLE_HELP)]
    Console(ConsoleArgs),
    /// Check everything that a call needs: runs `trunk-setup doctor`, with its options and exit code
    #[command(disable_help_flag = true)]
    Doctor {
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "OPTIONS"
        )]
        args: Vec<OsString>,
    },
}

const CONSOLE_HELP: &str = "\
Examples:
  voice-agent console
  printf 'transfer me\\n' | DEFAULT_TRANSFER_NUMBER=+15550001234 voice-agent console
  voice-agent console --transfer busy --json < script.txt
  voice-agent console --wav hello.wav --wav yes.wav --out answer.wav
  voice-agent console --list-devices
  voice-agent console --input-device alsa_input.usb-headset --output-device alsa_output.usb-headset

Exit codes, as those of dialer --wait:
  0    the caller was transferred or hung up, or the agent hung up
  1    standard input or output failed, or microphone and speaker
  2    usage or settings, a file that cannot be read or written, or speech models that are missing
  19   not known whether the transfer target answered
  130  interrupted";

#[derive(Debug, Args)]
pub struct ConsoleArgs {
    /// Least important level that is logged to standard error [default: warnings]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How the agent behaves, in TOML; docs/behaviour.md lists the keys [env: AGENT_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// Metadata of the job, such as '{"phone_number": "+15550001234"}'; with a number the agent calls you
    #[arg(
        long,
        value_name = "JSON",
        default_value = "",
        hide_default_value = true
    )]
    metadata: String,
    /// How transfers end, the first one first; all others connect. Words: connected, busy, declined, no-answer,
    /// unknown-number, carrier-fault, refused, unconfirmed, hung-up, or a SIP status
    #[arg(long, value_name = "ENDING", value_delimiter = ',')]
    transfer: Vec<Ending>,
    /// Print one JSON object for each event
    #[arg(long)]
    json: bool,
    /// What the caller says, as a WAV file; repeatable: each is said when it is the caller's turn
    #[arg(long, value_name = "FILE")]
    wav: Vec<PathBuf>,
    /// Where to write what the caller hears, as a WAV file
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    out: Option<PathBuf>,
    /// Type what the caller says, also where there is a microphone
    #[arg(long, conflicts_with_all = ["wav", "sound", "input_device", "output_device"])]
    text: bool,
    /// Speak by microphone and speaker, and fail where there are none; a terminal that has them does so by itself
    #[arg(long, conflicts_with = "wav")]
    sound: bool,
    /// Microphone to listen to, in place of the default one
    #[arg(long, value_name = "NAME", conflicts_with = "wav")]
    input_device: Option<String>,
    /// Speaker or headset to play on, in place of the default one
    #[arg(long, value_name = "NAME", conflicts_with = "wav")]
    output_device: Option<String>,
    /// Only name the microphones and speakers
    #[arg(long, exclusive = true)]
    pub list_devices: bool,
}

impl ConsoleArgs {
    /// Reads the settings; options win over the environment. The level is that of the logs, if it was given.
    pub fn settings(
        self,
        environment: Environment,
    ) -> Result<(AgentSettings, Wishes, Option<LogLevel>), SettingsError> {
        let is_level_given = self.log_level.is_some();
        let environment = environment
            .with("LIVEKIT_LOG_LEVEL", self.log_level)
            .with("AGENT_CONFIG", self.config);
        let settings = environment.settings::<AgentSettings>()?;
        let level = is_level_given.then_some(settings.log_level);
        let (input, output) = (self.input_device, self.output_device);
        // Nobody at a keyboard hears anything that could be written.
        let is_sound = self.sound || input.is_some() || output.is_some() || self.out.is_some();
        let caller = match (self.wav, self.text) {
            (recordings, _) if !recordings.is_empty() => CallerWish::Recordings(recordings),
            (_, true) => CallerWish::Keyboard,
            (_, false) if is_sound => CallerWish::Sound(Devices { input, output }),
            (_, false) => CallerWish::Any,
        };
        let wishes = Wishes {
            json: self.json,
            metadata: self.metadata,
            transfers: self.transfer,
            caller,
            out: self.out,
        };
        Ok((settings, wishes, level))
    }
}

#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// Least important level that is logged: error, warn, info, debug or trace [env: LIVEKIT_LOG_LEVEL]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How the agent behaves, in TOML; docs/behaviour.md lists the keys [env: AGENT_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// Address of LiveKit, `ws://…` or `wss://…` [env: LIVEKIT_URL]
    #[arg(long)]
    url: Option<String>,
    /// [env: LIVEKIT_API_KEY]
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// Other users of this machine can read it in the process list [env: LIVEKIT_API_SECRET]
    #[arg(long, value_name = "SECRET")]
    api_secret: Option<String>,
    /// Seconds that running calls get to end by themselves
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    drain_timeout: u64,
}

/// Everything that the worker needs to know.
#[derive(Debug)]
pub struct Settings {
    pub mode: Mode,
    pub livekit: LiveKitSettings,
    pub trunk: OutboundTrunkSettings,
    pub agent: AgentSettings,
    /// How long calls may go on after the first signal.
    pub drain_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Dev,
    Start,
}

impl Mode {
    /// No job is taken at this load; LiveKit's own workers have the same limit.
    pub fn load_limit(self) -> Option<f32> {
        match self {
            Self::Dev => None,
            Self::Start => Some(0.7),
        }
    }
}

impl WorkerArgs {
    /// Reads the settings; options win over the environment.
    pub fn settings(self, mode: Mode, environment: Environment) -> Result<Settings, SettingsError> {
        let environment = environment
            .with("LIVEKIT_LOG_LEVEL", self.log_level)
            .with("AGENT_CONFIG", self.config)
            .with("LIVEKIT_URL", self.url)
            .with("LIVEKIT_API_KEY", self.api_key)
            .with("LIVEKIT_API_SECRET", self.api_secret);
        let (livekit, trunk, agent) =
            environment.settings::<(LiveKitSettings, OutboundTrunkSettings, AgentSettings)>()?;
        let drain_timeout = match mode {
            Mode::Dev => Duration::ZERO,
            Mode::Start => Duration::from_secs(self.drain_timeout),
        };
        Ok(Settings {
            mode,
            livekit,
            trunk,
            agent,
            drain_timeout,
        })
    }
}

/// Sends logs to stderr: text for people in `dev`, one JSON object a line in `start`.
///
/// `RUST_LOG` wins over `level` and reaches the libraries as well.
pub fn start_logging(mode: Mode, level: LogLevel) {
    log(
        mode,
        &format!("warn,livekit_signaling=error,voice_agent={level},speech={level}"),
    );
}

/// Sends the console's logs to stderr; without a level warnings, but for those that its events tell.
pub fn start_console_logging(level: Option<LogLevel>) {
    let filter = level.map_or_else(
        || "warn,voice_agent::call::gate=error,pulseaudio=off".to_owned(),
        |level| format!("warn,voice_agent={level},speech={level}"),
    );
    log(Mode::Dev, &filter);
}

fn log(mode: Mode, filter: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(filter));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match mode {
        Mode::Dev => {
            let coloured = std::io::stderr().is_terminal();
            logs.with_target(false).with_ansi(coloured).init();
        }
        Mode::Start => logs.json().flatten_event(true).init(),
    }
}
