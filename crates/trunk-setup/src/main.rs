//! Copies the carrier's credentials from the settings to the LiveKit SIP trunk: `trunk-setup`; and
//! finds out why calls fail: `trunk-setup doctor`.

use std::process::ExitCode;

use clap::Parser as _;
use sip_config::{DialerSettings, Environment, LiveKitSettings, TrunkSettings};

use crate::cli::{Args, Command, Mode};
use crate::error::SetupError;
use crate::inbound::{RuleStep, TrunkStep, Wanted};
use crate::plan::Plan;
use crate::server::Server;

mod cli;
mod doctor;
mod env_file;
mod error;
mod inbound;
mod output;
mod plan;
mod server;

/// The exit code of `--check` when something differs, and of `doctor` when a check failed.
const DRIFTED: u8 = 1;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args).await {
        Ok(code) => code,
        Err(error) => {
            output::failure(&args, &error);
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(args: &Args) -> Result<ExitCode, SetupError> {
    let environment = Environment::load()?;
    if let Some(Command::Doctor(doctor)) = &args.command {
        let findings = doctor::examine(doctor, &environment).await;
        doctor::report::conclude(&findings, doctor.json);
        return Ok(match doctor::report::is_healthy(&findings) {
            true => ExitCode::SUCCESS,
            false => ExitCode::from(DRIFTED),
        });
    }
    match args.mode() {
        Mode::List => {
            let livekit: LiveKitSettings = environment.settings()?;
            let trunks = Server::new(&livekit).trunks().await?;
            output::list(&trunks, args.json);
            Ok(ExitCode::SUCCESS)
        }
        Mode::Check => {
            let (livekit, settings) = environment.settings::<(LiveKitSettings, TrunkSettings)>()?;
            let plan = plan::plan(Server::new(&livekit).trunks().await?, &settings)?;
            Ok(match output::check(&plan, &settings, args.json) {
                true => ExitCode::SUCCESS,
                false => ExitCode::from(DRIFTED),
            })
        }
        Mode::Apply { dry } => {
            let (livekit, settings) = environment.settings::<(LiveKitSettings, TrunkSettings)>()?;
            let server = Server::new(&livekit);
            let plan = plan::plan(server.trunks().await?, &settings)?;
            if dry {
                output::check(&plan, &settings, args.json);
                return Ok(ExitCode::SUCCESS);
            }
            apply(args, &server, &plan, &settings).await?;
            Ok(ExitCode::SUCCESS)
        }
        Mode::Inbound { dry } => {
            let (livekit, settings, agent) =
                environment.settings::<(LiveKitSettings, TrunkSettings, DialerSettings)>()?;
            let wanted = Wanted::new(&settings, agent.agent_name, args.allow_address.clone());
            set_up_inbound(args, &Server::new(&livekit), &wanted, dry).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn apply(
    args: &Args,
    server: &Server,
    plan: &Plan,
    settings: &TrunkSettings,
) -> Result<(), SetupError> {
    output::applying(plan, settings, args.json);
    let trunk = match plan {
        Plan::Create => server.create(settings).await?,
        Plan::Update { trunk, .. } => server.update(trunk, settings).await?,
    };
    let written = match args.write_env {
        true => env_file::write_trunk_id(&trunk.sip_trunk_id)?,
        false => None,
    };
    output::applied(plan, &trunk, settings, written.as_deref(), args.json);
    Ok(())
}

async fn set_up_inbound(
    args: &Args,
    server: &Server,
    wanted: &Wanted,
    dry: bool,
) -> Result<(), SetupError> {
    let (trunks, rules) = server.inbound().await?;
    let plan = inbound::plan(trunks, &rules, wanted)?;
    output::inbound_plan(&plan, wanted, args.json, dry);
    if dry {
        return Ok(());
    }
    let trunk_id = match plan.trunk {
        TrunkStep::Create => server.create_inbound(wanted).await?.sip_trunk_id,
        TrunkStep::Allow {
            trunk_id,
            addresses,
        } => {
            server.allow(&trunk_id, &addresses).await?;
            trunk_id
        }
        TrunkStep::Keep { trunk_id } => trunk_id,
    };
    let rule_id = match plan.rule {
        RuleStep::Create => server.create_rule(&trunk_id, wanted).await?,
        RuleStep::Replace(rule) => {
            let id = rule.sip_dispatch_rule_id.clone();
            server.replace_rule(*rule).await?;
            id
        }
        RuleStep::Keep { rule_id } => rule_id,
    };
    output::inbound_ready(&trunk_id, &rule_id, args.json);
    Ok(())
}
