//! `voice-agent dev` and `voice-agent start`.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::Parser as _;
use sip_config::{Environment, exec_doctor};
use tokio::{runtime::Runtime, select, task::JoinSet};
use tracing::info;
use transfer_core::policy::Confirmation;
use url::Url;
use voice_agent::{
    Agent, CallbackFile, Speech,
    behaviour::Behaviour,
    cli::{Cli, Command, Mode, Settings, start_logging},
    shutdown::follow_signals,
    worker::{
        self, Shutdown, WorkerSettings, registration::RegistrationSettings, socket::Endpoint,
    },
};

/// Usage and settings, as clap has it.
const BAD_SETTINGS: u8 = 2;

#[expect(clippy::print_stderr, reason = "there may be no log yet")]
fn main() -> ExitCode {
    let (settings, behaviour) = match settings(Cli::parse().command) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::from(BAD_SETTINGS);
        }
    };
    start_logging(settings.mode, settings.agent.log_level);
    match run(settings, behaviour) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn settings(command: Command) -> anyhow::Result<(Settings, Behaviour)> {
    let (mode, args) = match command {
        Command::Dev(args) => (Mode::Dev, args),
        Command::Start(args) => (Mode::Start, args),
        Command::Doctor { args } => return Err(exec_doctor(&args).into()),
    };
    let settings = args.settings(mode, Environment::load()?)?;
    let behaviour = match &settings.agent.behaviour_file {
        Some(path) => Behaviour::load(path)?,
        None => Behaviour::default(),
    };
    Ok((settings, behaviour))
}

fn run(settings: Settings, behaviour: Behaviour) -> anyhow::Result<()> {
    // Our dependencies bring rustls two providers; without a choice it panics at the first `wss://`.
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.install_default().expect("nobody has chosen yet");
    info!(version = env!("CARGO_PKG_VERSION"), "starting worker");
    match &settings.agent.transfer_rules.allow {
        Some(allow) => {
            info!(%allow, "callers may name only these, the default number and the departments")
        }
        None => info!(
            "callers may name any ordinary phone number; set TRANSFER_ALLOW to narrow it, such as TRANSFER_ALLOW=IN,US"
        ),
    }
    if settings.agent.transfer_rules.confirmation == Confirmation::WhenInDoubt {
        info!(
            "a spoken number that is understood the same way twice is transferred to without a question (TRANSFER_CONFIRM=false)"
        );
    }
    let callbacks = settings.agent.transfer.callback_file.clone();
    let callbacks = callbacks.map(CallbackFile::open).transpose()?;
    let speech = Speech::load(&settings.agent)?;
    let check_keys = speech.check_keys();
    let worker = WorkerSettings {
        endpoint: Endpoint {
            url: Url::parse(&settings.livekit.signal_url()).context("LIVEKIT_URL")?,
            api_key: settings.livekit.api_key.clone(),
            api_secret: settings.livekit.api_secret.clone(),
        },
        registration: RegistrationSettings {
            agent_name: settings.agent.agent_name.clone(),
            load_limit: settings.mode.load_limit(),
        },
    };
    let agent = Arc::new(Agent::new(
        &settings.livekit,
        settings.trunk,
        settings.agent,
        behaviour,
        speech,
        callbacks,
    ));
    let shutdown = Shutdown::default();
    Runtime::new()?.block_on(async {
        let mut background = JoinSet::new();
        background.spawn(check_keys);
        select! {
            ended = worker::run(worker, |job, end| agent.clone().run(job, end), shutdown.clone()) => {
                Ok(ended?)
            }
            never = follow_signals(shutdown.clone(), settings.drain_timeout) => match never {},
        }
    })
}
