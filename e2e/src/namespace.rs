//! One network, process and mount namespace for each run.
//!
//! The program starts itself again inside `unshare`, as process 1 of the new namespace: when it ends, however
//! it ends, the kernel ends everything that it started. It also watches its standard input, a pipe from the
//! outer process that nobody writes to; when that closes, the outer process is gone and so is the run.
//!
//! # Assumptions
//!
//! * Root, or unprivileged user namespaces.
//! * livekit-sip and WebRTC refuse a machine that has a loopback only: a veth carries 192.0.2.10 (RFC 5737).

use std::{
    env,
    ffi::OsStr,
    fs,
    io::Read,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use nix::unistd::geteuid;

use crate::binaries::{debian, runs_dir};

/// Set in the environment of the inner process.
const INSIDE: &str = "E2E_INSIDE_NAMESPACE";

/// Resolves the carrier's domain; nothing inside can ask a name server.
const HOSTS: &str = include_str!("../config/hosts");

/// Whether this process is the inner one.
pub fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Has `work` run inside, with a new folder for what it leaves and with `args`; the folder is kept when it fails.
///
/// This runs twice: outside it starts the program again, inside it works. `main` does nothing else.
pub fn run_inside(
    prefix: &str,
    args: &[String],
    work: impl AsyncFnOnce(&Path, &[String]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if is_inside() {
        let (dir, args) = args
            .split_first()
            .context("the outer process gives a folder")?;
        let dir = Path::new(dir);
        return tokio::runtime::Runtime::new()?.block_on(async {
            enter(dir)?;
            work(dir, args).await
        });
    }
    let dir = tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in(runs_dir()?)?;
    let mut all: Vec<&OsStr> = vec![dir.path().as_os_str()];
    all.extend(args.iter().map(OsStr::new));
    let mut child = command(all)?.spawn().context("cannot start `unshare`")?;
    // The work ends when this closes, and `Child::wait` would close it.
    let lifeline = child.stdin.take();
    let status = child.wait()?;
    drop(lifeline);
    if !status.success() {
        bail!(
            "it ended with {status}; logs are kept in {}",
            dir.keep().display()
        );
    }
    Ok(())
}

/// The command that runs this program again with `args`, inside.
///
/// Its standard input is a pipe that must stay open as long as the run may live.
pub fn command<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> anyhow::Result<Command> {
    let mut command = Command::new(debian("unshare", "util-linux")?);
    if !geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command
        .args([
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
        ])
        .arg(env::current_exe().context("cannot tell where the running program lies")?)
        .args(args)
        .env(INSIDE, "1")
        .stdin(Stdio::piped());
    Ok(command)
}

/// Prepares the namespace from within; the first thing that the inner process does.
///
/// `dir` receives the hosts file, and is removed when the outer process dies.
pub fn enter(dir: &Path) -> anyhow::Result<()> {
    die_with_parent(dir);
    ip("link set lo up")?;
    ip("link add world type veth peer name nowhere")?;
    ip("addr add 192.0.2.10/24 dev world")?;
    ip("link set world up")?;
    ip("link set nowhere up")?;
    let hosts = dir.join("hosts");
    fs::write(&hosts, HOSTS).with_context(|| format!("cannot write {}", hosts.display()))?;
    run(Command::new(debian("mount", "mount")?)
        .arg("--bind")
        .arg(&hosts)
        .arg("/etc/hosts"))
}

fn die_with_parent(dir: &Path) {
    let dir = dir.to_owned();
    std::thread::spawn(move || {
        // Nothing is ever written to the pipe: whatever ends this read, the parent is gone.
        drop(std::io::stdin().read(&mut [0]));
        drop(fs::remove_dir_all(dir));
        std::process::exit(130);
    });
}

fn ip(args: &str) -> anyhow::Result<()> {
    run(Command::new(debian("ip", "iproute2")?).args(args.split(' ')))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
