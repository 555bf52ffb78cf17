//! Agents that are measured side by side: ours, and the one on LiveKit's Python framework that it is compared with.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use nix::sys::signal::Signal;

use crate::{binaries::debian, process::Process, tool, wait::LIMIT, world::World};

/// Names the folder that `cargo xtask bench conversation` installs the Python agent's packages in.
pub const PACKAGES: &str = "PYTHON_PEER_PACKAGES";

const SCRIPT: &str = include_str!("../peer/agent.py");

/// What both log when LiveKit knows them.
const READY: &str = "registered worker";

/// A running agent.
pub struct Contestant {
    process: Process,
}

impl Contestant {
    /// Starts `voice-agent`, which takes every job; waits until it is registered.
    pub async fn ours(world: &World) -> anyhow::Result<Self> {
        let command = tool::command("voice-agent", &["dev"], world.dir())?;
        Self::start("ours", command, world.dir()).await
    }

    /// Starts the Python agent, which takes every job; waits until it is registered.
    pub async fn python(world: &World) -> anyhow::Result<Self> {
        let packages = env::var_os(PACKAGES)
            .map(PathBuf::from)
            .with_context(|| format!("{PACKAGES} is not set"))?;
        let script = world.dir().join("agent.py");
        std::fs::write(&script, SCRIPT)
            .with_context(|| format!("cannot write {}", script.display()))?;
        let mut command = Command::new(debian("python3", "python3")?);
        command
            .arg("-s")
            .arg(script)
            .arg("start")
            .current_dir(world.dir())
            .envs(world.variables()?)
            .env("PYTHONPATH", packages);
        Self::start("python", command, world.dir()).await
    }

    async fn start(name: &str, mut command: Command, dir: &Path) -> anyhow::Result<Self> {
        let mut process = Process::spawn(name, &mut command, dir)?;
        process.wait_for_log(READY).await?;
        Ok(Self { process })
    }

    /// The id of its first process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Asks it to stop (SIGTERM), and waits until it has ended with all its processes.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        self.process.wait(LIMIT).await.map(drop)
    }

    /// Fails, with the end of its log, when it is gone.
    pub fn check_running(&mut self) -> anyhow::Result<()> {
        self.process.check_running()
    }
}
