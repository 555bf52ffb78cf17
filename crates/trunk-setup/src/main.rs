//! Copies the carrier's credentials from the settings to the LiveKit SIP trunk: `trunk-setup`.

use std::process::ExitCode;

use clap::Parser as _;
use sip_config::{Environment, LiveKitSettings, TrunkSettings};

use crate::cli::{Args, Mode};
use crate::error::SetupError;
use crate::plan::Plan;
use crate::server::Server;

mod cli;
mod env_file;
mod error;
mod output;
mod plan;
mod server;

/// The exit code of `--check` when something differs.
const DRIFTED: u8 = 1;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args).await {
        Ok(code) => code,
        Err(error) => {
            output::failure(args.mode(), &error);
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(args: &Args) -> Result<ExitCode, SetupError> {
    let environment = Environment::load()?;
    if args.mode() == Mode::List {
        let livekit: LiveKitSettings = environment.settings()?;
        let trunks = Server::new(&livekit).trunks().await?;
        output::list(&trunks, args.json);
        return Ok(ExitCode::SUCCESS);
    }
    let (livekit, settings) = environment.settings::<(LiveKitSettings, TrunkSettings)>()?;
    let server = Server::new(&livekit);
    let plan = plan::plan(server.trunks().await?, &settings);
    if args.mode() == Mode::Check {
        let in_sync = output::check(&plan?, &settings, args.json);
        return Ok(match in_sync {
            true => ExitCode::SUCCESS,
            false => ExitCode::from(DRIFTED),
        });
    }
    let plan = plan?;
    output::applying(&plan, &settings, args.json);
    let trunk = match &plan {
        Plan::Create => server.create(&settings).await?,
        Plan::Update { trunk, .. } => server.update(&trunk.sip_trunk_id, &settings).await?,
    };
    let written = match args.write_env {
        true => env_file::write_trunk_id(&trunk.sip_trunk_id)?,
        false => None,
    };
    output::applied(&plan, &trunk, &settings, written.as_deref(), args.json);
    Ok(ExitCode::SUCCESS)
}
