//! The packages of the Python agent that ours is compared with, which only the comparison installs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use super::{
    cache::{self, Cache},
    wheel::{ensure_pip, python, sha256},
};
use crate::{cargo, process, progress::Progress};

/// Where the packages are; installs them if need be.
///
/// They go to a folder of their own (`pip install --target`), which Python is told of when the agent is started:
/// a virtual environment would not stand to be renamed, and needs another Debian package.
pub(crate) fn python_peer() -> anyhow::Result<PathBuf> {
    let cache = Cache::open()?;
    let requirements = cargo::root().join("e2e/peer/requirements.txt");
    let version = process::output(python().arg("--version"))?;
    let origin = format!("sha256:{} {}", sha256(&requirements)?, version.trim());
    let path = cache.dir().join("python-peer");
    if !cache::is_made_from(&path, &origin) {
        let _lock = cache.lock()?;
        if !cache::is_made_from(&path, &origin) {
            install(&requirements, &path, &origin)?;
        }
    }
    Ok(path)
}

fn install(requirements: &Path, path: &Path, origin: &str) -> anyhow::Result<()> {
    ensure_pip()?;
    let progress = Progress::start(
        "livekit-agents",
        "installing the Python agent to compare with, about 540 MB",
    );
    cache::make(path, origin, |partial| {
        fs::create_dir(partial).with_context(|| format!("cannot create {}", partial.display()))?;
        let mut pip = python();
        pip.args(["-m", "pip", "install", "--disable-pip-version-check"])
            .args(["--progress-bar", "off", "--no-cache-dir"])
            .args(["--root-user-action", "ignore"])
            .args(["--only-binary", ":all:", "--require-hashes"])
            .arg("--requirement")
            .arg(requirements)
            .arg("--target")
            .arg(partial)
            .env("PIP_REQUIRE_VIRTUALENV", "0");
        let status = process::stdout_lines(&mut pip, |line| progress.at(line.trim()))?;
        if !status.success() {
            bail!(
                "cannot install the Python agent: pip failed with {status}\n\
                 hint: its packages are wheels for Python 3.11 and later; see what pip says above"
            );
        }
        Ok(())
    })?;
    progress.done("installed");
    Ok(())
}
