//! Asks LiveKit to have the voice agent call somebody: `dialer --to +91XXXXXXXXXX`.

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Args;
use crate::error::DialerError;

mod call;
mod cli;
mod dispatch;
mod error;
mod output;
mod room_name;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::failure(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(args: &Args) -> Result<(), DialerError> {
    let environment = sip_config::Environment::load()?;
    if args.dry_run {
        let call = call::plan(args, environment.settings()?)?;
        output::dry_run(args, &call);
        return Ok(());
    }
    let (livekit, settings) = environment.settings()?;
    let call = call::plan(args, settings)?;
    output::dialling(args, &call);
    let taken = tokio::select! {
        taken = dispatch::dispatch(&livekit, &call, args.timeout()) => taken?,
        _ = tokio::signal::ctrl_c() => {
            dispatch::withdraw(&livekit, &call).await?;
            return Err(DialerError::Interrupted);
        }
    };
    output::dispatched(args, &call, &taken);
    Ok(())
}
