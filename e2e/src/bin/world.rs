//! A world to try things in: servers, carrier, capture and three registered phones.
//!
//! `world` shows the SIP ladder until Ctrl-C. `world COMMAND [ARGUMENT]...` runs a command in it instead, in
//! the folder with the `.env` and with the built tools on `PATH`: `world bash -c 'trunk-setup && voice-agent dev'`.

use std::{
    env,
    ffi::OsString,
    fs::File,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::Context;
use e2e::{
    binaries::{products_dir, runs_dir},
    ladder::Ladder,
    namespace,
    phone::PhoneSettings,
    sip::SipMessage,
    world::World,
};

fn main() -> anyhow::Result<ExitCode> {
    let mut args: Vec<_> = env::args_os().skip(1).collect();
    if namespace::is_inside() {
        let command = args.split_off(1);
        return inner(Path::new(&args[0]), &command);
    }
    let dir = tempfile::Builder::new()
        .prefix("world-")
        .tempdir_in(runs_dir()?)?;
    args.insert(0, dir.path().into());
    let mut child = namespace::command(args)?
        .spawn()
        .context("cannot start `unshare`")?;
    // The world ends when this closes, and `Child::wait` would close it.
    let lifeline = child.stdin.take();
    let status = child.wait()?;
    drop(lifeline);
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[tokio::main]
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the program's output"
)]
async fn inner(dir: &Path, command: &[OsString]) -> anyhow::Result<ExitCode> {
    namespace::enter(dir)?;
    let world = World::start(dir).await?;
    let _phones = tokio::try_join!(
        world.phone(PhoneSettings::callee()),
        world.phone(PhoneSettings::target()),
        world.phone(PhoneSettings::live_agent())
    )?;
    eprintln!(
        "up; .env, logs, capture and recordings are in {}",
        dir.display()
    );

    if let [program, arguments @ ..] = command {
        let mut tool_path = products_dir()?.into_os_string();
        tool_path.push(":");
        tool_path.push(env::var_os("PATH").unwrap_or_default());
        let status = Command::new(program)
            .args(arguments)
            .current_dir(dir)
            .env("PATH", tool_path)
            // Standard input is the lifeline.
            .stdin(File::open("/dev/tty").map_or_else(|_| Stdio::null(), Stdio::from))
            .status()
            .with_context(|| format!("cannot start {}", program.display()))?;
        return Ok(if status.success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }

    let mut ladder = Ladder::default();
    println!("{}", Ladder::heading());
    let messages = world.capture.messages().clone();
    messages
        .follow(|message: &SipMessage| {
            if let Some(rung) = ladder.rung(message) {
                println!("{rung}");
            }
        })
        .await;
    anyhow::bail!("the capture ended")
}
