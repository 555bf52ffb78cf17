//! Asks LiveKit to have the voice agent call somebody: `dialer --to +91XXXXXXXXXX`.

use std::process::ExitCode;

use clap::Parser as _;
use sip_config::exec_doctor;

use crate::cli::{Args, Command};
use crate::dispatch::Opened;
use crate::ending::Ending;
use crate::error::DialerError;
use crate::watch::Watch;

mod call;
mod cli;
mod dispatch;
mod ending;
mod error;
mod follow;
mod output;
mod room_name;
mod watch;

/// There is nobody to do the checks: usage, as clap has it.
const NO_DOCTOR: u8 = 2;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Command::Doctor { args }) = &args.command {
        output::no_doctor(&exec_doctor(args));
        return ExitCode::from(NO_DOCTOR);
    }
    let code = match run(&args).await {
        Ok(ending) => ending.map_or(0, Ending::exit_code),
        Err(error) => {
            output::failure(&error);
            error.exit_code()
        }
    };
    ExitCode::from(code)
}

/// Asks for the call. Returns how it ended, if that is waited for or known already.
async fn run(args: &Args) -> Result<Option<Ending>, DialerError> {
    let environment = sip_config::Environment::load()?;
    if args.dry_run {
        let call = call::plan(args, environment.settings()?)?;
        output::dry_run(args, &call);
        return Ok(None);
    }
    let (livekit, settings) = environment.settings()?;
    let call = call::plan(args, settings)?;
    output::dialling(args, &call);
    let known = match dispatch::open(&livekit, &call, args.wait).await? {
        Opened::New => false,
        Opened::Known => true,
        Opened::Over(outcome) => {
            let ending = Ending::Over(outcome);
            output::known(args, true);
            output::ended(args, ending, None);
            return Ok(Some(ending));
        }
    };
    output::known(args, known);
    let watch = match args.wait {
        true => Some(Watch::join(&livekit, &call).await?),
        false => None,
    };
    let taken = tokio::select! {
        taken = dispatch::dispatch(&livekit, &call, known, args.worker_timeout()) => taken?,
        _ = tokio::signal::ctrl_c() => {
            if known {
                return Err(DialerError::InterruptedKnown);
            }
            dispatch::withdraw(&livekit, &call).await?;
            return Err(DialerError::Interrupted);
        }
    };
    output::dispatched(args, &call, &taken);
    let Some(watch) = watch else {
        return Ok(None);
    };
    let started = watch.started();
    let ending = watch.follow(&livekit, &call, args).await?;
    output::ended(args, ending, Some(started.elapsed()));
    Ok(Some(ending))
}
