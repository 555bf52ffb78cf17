//! `voice-agent dev`, `start`, `console` and `doctor`.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::Parser as _;
use sip_config::{AgentSettings, Environment, exec_doctor};
use tokio::{runtime::Runtime, select, task::JoinSet};
use tracing::info;
use transfer_core::policy::Confirmation;
use url::Url;
use voice_agent::{
    Agent, CallbackFile, Speech,
    behaviour::Behaviour,
    cli::{
        Cli, Command, ConsoleArgs, Mode, Settings, WorkerArgs, start_console_logging, start_logging,
    },
    console::{self, ConsoleError},
    metrics,
    metrics::Metrics,
    shutdown::follow_signals,
    worker::{
        self, Shutdown, WorkerSettings, registration::RegistrationSettings, socket::Endpoint,
    },
};

/// Usage and settings, as clap has it.
const BAD_SETTINGS: u8 = 2;

/// Why the program ends, and its exit code.
struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    fn settings(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: BAD_SETTINGS,
            error: error.into(),
        }
    }

    fn console(error: ConsoleError) -> Self {
        if error.is_usage() {
            return Self::settings(error);
        }
        Self {
            code: 1,
            error: error.into(),
        }
    }
}

#[expect(clippy::print_stderr, reason = "there may be no log yet")]
fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Dev(args) => work(Mode::Dev, args),
        Command::Start(args) => work(Mode::Start, args),
        Command::Console(args) => converse(args),
        Command::Doctor { args } => Err(Failure::settings(exec_doctor(&args))),
    };
    ended.unwrap_or_else(|Failure { code, error }| {
        eprintln!("{error:#}");
        ExitCode::from(code)
    })
}

fn work(mode: Mode, args: WorkerArgs) -> Result<ExitCode, Failure> {
    let environment = Environment::load().map_err(Failure::settings)?;
    let settings = args.settings(mode, environment);
    let settings = settings.map_err(Failure::settings)?;
    let behaviour = behaviour(&settings.agent)?;
    start_logging(settings.mode, settings.agent.log_level);
    match run(settings, behaviour) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure { code: 1, error }),
    }
}

fn converse(args: ConsoleArgs) -> Result<ExitCode, Failure> {
    if args.list_devices {
        let listed = console::list_devices().map_err(Failure::console);
        return listed.map(|()| ExitCode::SUCCESS);
    }
    let environment = Environment::load().map_err(Failure::settings)?;
    let (settings, wishes, level) = args.settings(environment).map_err(Failure::settings)?;
    let behaviour = behaviour(&settings)?;
    start_console_logging(level);
    choose_tls_provider();
    let code = console::run(&settings, &behaviour, wishes);
    code.map(ExitCode::from).map_err(Failure::console)
}

fn behaviour(settings: &AgentSettings) -> Result<Behaviour, Failure> {
    match &settings.behaviour_file {
        Some(path) => Behaviour::load(path).map_err(Failure::settings),
        None => Ok(Behaviour::default()),
    }
}

/// Our dependencies bring rustls two providers; without a choice it panics at the first `wss://`.
fn choose_tls_provider() {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.install_default().expect("nobody has chosen yet");
}

fn run(settings: Settings, behaviour: Behaviour) -> anyhow::Result<()> {
    choose_tls_provider();
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
    let metrics_address = settings.agent.metrics_address;
    let counted = Arc::new(Metrics::default());
    let agent = Arc::new(Agent::new(
        &settings.livekit,
        settings.trunk,
        settings.agent,
        behaviour,
        speech,
        callbacks,
        counted.clone(),
    ));
    let shutdown = Shutdown::default();
    Runtime::new()?.block_on(async {
        let mut background = JoinSet::new();
        background.spawn(check_keys);
        if let Some(address) = metrics_address {
            let listener = metrics::listen(address).await?;
            info!(address = %listener.local_addr()?, "metrics are at /metrics");
            background.spawn(async move { match metrics::serve(listener, counted).await {} });
        }
        select! {
            ended = worker::run(worker, |job, end| agent.clone().run(job, end), shutdown.clone()) => {
                Ok(ended?)
            }
            never = follow_signals(shutdown.clone(), settings.drain_timeout) => match never {},
        }
    })
}
