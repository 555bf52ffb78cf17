//! LiveKit's servers, built from their Go modules.

use std::{
    collections::VecDeque,
    env, fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use super::{
    cache::{self, Cache},
    debian::{self, on_path},
    go::Go,
    wheel::sha256,
};
use crate::{cargo, process, progress::Progress};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Server {
    name: &'static str,
    version: &'static str,
    /// As it stands in the build information of the binary.
    module: &'static str,
    /// Names a binary to use instead, of whatever version.
    pub(crate) variable: &'static str,
    recipe: Recipe,
    /// Debian packages without which it does not build.
    pub(crate) packages: &'static [debian::Package],
    /// On two cores with nothing in Go's caches.
    takes: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
enum Recipe {
    /// `go install <package>@v<version>`; the binary gets the name of the package's last part.
    Package(&'static str),
    /// `go install tool` in a module of ours, a folder of this package. For modules that replace dependencies: `go install` refuses those.
    Tool {
        name: &'static str,
        module: &'static str,
    },
}

pub(crate) const LIVEKIT_SERVER: Server = Server {
    name: "livekit-server",
    version: "1.13.5",
    module: "github.com/livekit/livekit-server",
    variable: "LIVEKIT_SERVER_BIN",
    recipe: Recipe::Package("github.com/livekit/livekit-server/cmd/server"),
    packages: &[],
    takes: "about 2 min",
};

pub(crate) const LIVEKIT_SIP: Server = Server {
    name: "livekit-sip",
    version: "1.8.0",
    module: "github.com/livekit/sip",
    variable: "LIVEKIT_SIP_BIN",
    recipe: Recipe::Tool {
        name: "livekit-sip",
        module: "livekit-sip",
    },
    packages: debian::LIVEKIT_SIP,
    takes: "about 2 min",
};

pub(crate) const SERVERS: &[&Server] = &[&LIVEKIT_SERVER, &LIVEKIT_SIP];

/// How much of a failed build is shown.
const SHOWN_LINES: usize = 30;

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

impl Server {
    /// The binary: what the environment names, what was built before, or the tested version on `PATH`.
    ///
    /// # Errors
    ///
    /// When the environment names something that is not a file.
    pub(crate) fn find(&self, cache: &Cache) -> anyhow::Result<Option<PathBuf>> {
        if let Some(named) = env::var_os(self.variable).filter(|value| !value.is_empty()) {
            let path = PathBuf::from(named);
            if !path.is_file() {
                bail!(
                    "{} names {}, which is not a file",
                    self.variable,
                    path.display()
                );
            }
            return Ok(Some(path));
        }
        let built = self.path(cache);
        if cache::is_made_from(&built, &self.origin()?) {
            return Ok(Some(built));
        }
        Ok(on_path(self.name).filter(|path| self.is_tested_version(path)))
    }

    pub(crate) fn locate(&self, cache: &Cache) -> anyhow::Result<PathBuf> {
        self.find(cache)?
            .with_context(|| format!("{self} vanished from {}", cache.dir().display()))
    }

    pub(crate) fn build(&self, go: &Go, cache: &Cache) -> anyhow::Result<()> {
        let progress = Progress::start(
            self.to_string(),
            &format!("building from its Go module ({})", self.takes),
        );
        let path = self.path(cache);
        cache::make(&path, &self.origin()?, |partial| {
            let bin = cache.bin().join("building");
            fs::create_dir_all(&bin).with_context(|| format!("cannot create {}", bin.display()))?;
            let mut command = go.command();
            command.env("GOBIN", &bin).args(["install", "-v"]);
            let binary = match &self.recipe {
                Recipe::Package(package) => {
                    command.arg(format!("{package}@v{}", self.version));
                    package
                        .rsplit('/')
                        .next()
                        .expect("a package has a last part")
                }
                Recipe::Tool { name, module } => {
                    command
                        .args(["-mod=readonly", "tool"])
                        .current_dir(cargo::package().join(module));
                    name
                }
            };
            self.watch(&mut command, &progress)?;
            fs::rename(bin.join(binary), partial).context("the build left no binary")?;
            fs::remove_dir_all(&bin).with_context(|| format!("cannot remove {}", bin.display()))
        })?;
        progress.done(&format!("built as {}", path.display()));
        Ok(())
    }

    /// `go install -v` names each package that it compiles, after each module that it downloads.
    fn watch(&self, command: &mut Command, progress: &Progress) -> anyhow::Result<()> {
        let mut compiled = 0;
        let mut tail = VecDeque::new();
        let status = process::stderr_lines(command, |line| {
            if line.starts_with("go: ") {
                progress.at(&line);
            } else {
                compiled += 1;
                progress.at(&format!("{compiled} packages compiled, now {line}"));
            }
            if tail.len() == SHOWN_LINES {
                tail.pop_front();
            }
            tail.push_back(line);
        })?;
        if !status.success() {
            bail!(
                "cannot build {self}: `{}` failed: {status}\n{}\nhint: name a binary that you have in {}",
                process::shown(command),
                Vec::from(tail).join("\n"),
                self.variable,
            );
        }
        Ok(())
    }

    fn path(&self, cache: &Cache) -> PathBuf {
        cache.bin().join(format!("{}-{}", self.name, self.version))
    }

    fn origin(&self) -> anyhow::Result<String> {
        match &self.recipe {
            Recipe::Package(package) => Ok(format!("go install {package}@v{}", self.version)),
            Recipe::Tool { module, .. } => {
                let sum = sha256(&cargo::package().join(module).join("go.sum"))?;
                Ok(format!(
                    "go install tool, {} v{}, go.sum sha256:{sum}",
                    self.module, self.version
                ))
            }
        }
    }

    /// Releases say their version; what `go install` made carries it in its build information only.
    fn is_tested_version(&self, path: &Path) -> bool {
        let says = process::output(process::command(path).arg("--version"))
            .is_ok_and(|says| self.says_version(&says));
        says || fs::read(path).is_ok_and(|binary| {
            let module = format!("{}\tv{}\t", self.module, self.version);
            binary
                .windows(module.len())
                .any(|window| window == module.as_bytes())
        })
    }

    fn says_version(&self, says: &str) -> bool {
        says.split_whitespace()
            .any(|word| word.trim_start_matches('v') == self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tested_version_on_path_is_taken() {
        let check = |says, expect| assert_eq!(LIVEKIT_SERVER.says_version(says), expect, "{says}");
        check("livekit-server version 1.13.5\n", true);
        check("livekit-server version v1.13.5", true);
        check("livekit-server version 1.13.50\n", false);
        check("SIP version 0.0.0-dev", false);
    }

    #[test]
    fn the_module_of_livekit_sip_asks_for_the_version_that_is_named() {
        let go_mod = include_str!("../../livekit-sip/go.mod");
        assert!(go_mod.contains(&format!(
            "\t{} v{} //",
            LIVEKIT_SIP.module, LIVEKIT_SIP.version
        )));
    }

    #[test]
    fn the_scenarios_look_for_the_versions_that_are_built() {
        let scenarios = include_str!("../../../e2e/src/binaries.rs");
        for server in SERVERS {
            let named = format!("version: \"{}\"", server.version);
            assert!(
                scenarios.contains(&named),
                "e2e/src/binaries.rs has no `{named}` for {}",
                server.name
            );
        }
    }
}
