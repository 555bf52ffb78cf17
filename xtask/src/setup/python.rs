//! Python programs that other people wrote and that only one task needs, with their dependencies.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use super::{
    cache::{self, Cache},
    debian::{self, Package},
    wheel::{ensure_pip, python, sha256},
};
use crate::{cargo, process, progress::Progress};

/// How llama.cpp is built: without pictures, which a voice agent does not send, and for any processor with AVX2.
/// What it finds of the one at hand may be more than a virtual machine lets it use, such as AMX: it dies of SIGILL then.
const CMAKE_ARGS: &str = "-DLLAVA_BUILD=OFF -DGGML_NATIVE=OFF";

/// A folder of Python packages, all of them pinned with their checksums.
///
/// They go to a folder of their own (`pip install --target`), which Python is told of when a program is started:
/// a virtual environment would not stand to be renamed, and needs another Debian package.
pub(crate) struct Packages {
    /// Of the folder in the cache.
    folder: &'static str,
    /// What it is for, and how much of it there is.
    purpose: &'static str,
    /// In the checkout.
    requirements: &'static str,
    /// Packages that have no wheel and are compiled here.
    compiled: &'static [&'static str],
    /// What it takes to compile them.
    compilers: &'static [Package],
}

/// The Python agent that ours is compared with.
pub(crate) const PEER: Packages = Packages {
    folder: "python-peer",
    purpose: "installing the Python agent to compare with, about 540 MB",
    requirements: "e2e/peer/requirements.txt",
    compiled: &[],
    compilers: &[],
};

/// The servers that the clients of providers are tried against.
pub(crate) const PROVIDERS: Packages = Packages {
    folder: "python-providers",
    purpose: "installing servers of OpenAI's protocol, about 600 MB; compiling llama.cpp takes 5 minutes on two idle cores",
    requirements: "e2e/providers/requirements.txt",
    compiled: &["llama-cpp-python"],
    compilers: debian::LLAMA_CPP,
};

impl Packages {
    /// Where the packages are; installs them if need be.
    pub(crate) fn path(&self) -> anyhow::Result<PathBuf> {
        let cache = Cache::open()?;
        let requirements = cargo::root().join(self.requirements);
        let version = process::output(python().arg("--version"))?;
        let origin = format!("sha256:{} {}", sha256(&requirements)?, version.trim());
        let path = cache.dir().join(self.folder);
        if !cache::is_made_from(&path, &origin) {
            let _lock = cache.lock()?;
            if !cache::is_made_from(&path, &origin) {
                self.install(&requirements, &path, &origin)?;
            }
        }
        Ok(path)
    }

    fn install(&self, requirements: &Path, path: &Path, origin: &str) -> anyhow::Result<()> {
        ensure_pip()?;
        let compilers: Vec<_> = self.compilers.iter().collect();
        debian::install(&debian::missing(&compilers))?;
        let progress = Progress::start(self.folder, self.purpose);
        cache::make(path, origin, |partial| {
            fs::create_dir(partial)
                .with_context(|| format!("cannot create {}", partial.display()))?;
            let mut pip = python();
            pip.args(["-m", "pip", "install", "--disable-pip-version-check"])
                .args(["--progress-bar", "off", "--no-cache-dir"])
                .args(["--root-user-action", "ignore", "--require-hashes"])
                .args(self.format_arguments())
                .arg("--requirement")
                .arg(requirements)
                .arg("--target")
                .arg(partial)
                .env("CMAKE_ARGS", CMAKE_ARGS)
                .env("PIP_REQUIRE_VIRTUALENV", "0");
            let status = process::stdout_lines(&mut pip, |line| progress.at(line.trim()))?;
            if !status.success() {
                bail!(
                    "cannot make {}: pip failed with {status}\n\
                     hint: its packages are wheels for Python 3.11 and later; see what pip says above",
                    self.folder
                );
            }
            Ok(())
        })?;
        progress.done("installed");
        Ok(())
    }

    /// Nothing is compiled but what must be.
    fn format_arguments(&self) -> Vec<&'static str> {
        let compiled = self.compiled.iter().flat_map(|name| ["--no-binary", name]);
        ["--only-binary", ":all:"]
            .into_iter()
            .chain(compiled)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_no_wheel_is_compiled() {
        assert_eq!(PEER.format_arguments(), ["--only-binary", ":all:"]);
        assert_eq!(
            PROVIDERS.format_arguments(),
            ["--only-binary", ":all:", "--no-binary", "llama-cpp-python"]
        );
    }

    #[test]
    fn whatever_is_installed_is_pinned_with_a_checksum() {
        for packages in [PEER, PROVIDERS] {
            let text = fs::read_to_string(cargo::root().join(packages.requirements)).unwrap();
            let (pins, hashes): (Vec<_>, Vec<_>) = text
                .lines()
                .filter(|line| !line.starts_with('#'))
                .partition(|line| !line.starts_with(' '));
            assert!(!pins.is_empty() && hashes.len() >= pins.len());
            for pin in pins {
                assert!(pin.contains("==") && pin.ends_with('\\'), "{pin}");
            }
            for name in packages.compiled {
                assert!(
                    text.contains(&format!("\n{name}==")),
                    "{name} is not pinned"
                );
            }
        }
    }
}
