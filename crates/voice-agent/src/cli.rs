//! The command line, and what it and the environment make of a worker.

use std::{ffi::OsString, io::IsTerminal as _, time::Duration};

use clap::{Args, Parser, Subcommand};
use sip_config::{
    AgentSettings, Environment, LiveKitSettings, LogLevel, OutboundTrunkSettings, SettingsError,
};

/// Calls people over a SIP trunk of LiveKit, talks with them and transfers them.
///
/// The worker registers with LiveKit under its agent name and waits for jobs; `dialer --to +15550001234` makes one.
/// Settings come from the environment, `.env.local` and `.env`; see `.env.example`.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "First call:\n  \
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
    let filter = format!("warn,livekit_signaling=error,voice_agent={level},speech={level}");
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
