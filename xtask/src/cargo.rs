//! Runs cargo in the workspace and reads what it built.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::process;

/// The folder of the workspace manifest.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
}

/// `cargo <arguments>` in the workspace.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = process::command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// A program that cargo built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Executable {
    pub(crate) path: PathBuf,
    /// Name of the target: of a binary, a test file, or a library's unit tests.
    pub(crate) target: String,
    /// Whether it is a test.
    pub(crate) is_test: bool,
    /// Whether it stands for the whole crate: unit tests of a library.
    pub(crate) is_lib: bool,
    /// The folder of its package.
    pub(crate) package: PathBuf,
}

impl Executable {
    /// The package's folder and the target, as in `crates/dialer: cli`.
    pub(crate) fn title(&self) -> String {
        let package = self
            .package
            .strip_prefix(root())
            .unwrap_or(&self.package)
            .display();
        if self.is_lib {
            format!("{package}: unit tests")
        } else {
            format!("{package}: {}", self.target)
        }
    }

    /// Runs it as cargo would.
    pub(crate) fn command(&self) -> Command {
        let mut command = process::command(&self.path);
        command
            .current_dir(&self.package)
            .env("CARGO_MANIFEST_DIR", &self.package);
        command
    }
}

/// Runs a `cargo build` or `cargo test --no-run` command and returns the programs that it made.
pub(crate) fn build(command: &mut Command) -> anyhow::Result<Vec<Executable>> {
    let shown = process::shown(command);
    command
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    let mut executables = Vec::new();
    let status = process::stdout_lines(command, |line| executables.extend(executable(&line)))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(executables)
}

/// Builds the binaries of the workspace and returns the one named `target`, beside which the others lie.
pub(crate) fn binary<'e>(
    executables: &'e [Executable],
    target: &str,
) -> anyhow::Result<&'e Executable> {
    executables
        .iter()
        .find(|executable| !executable.is_test && executable.target == target)
        .with_context(|| format!("the workspace has no binary `{target}`"))
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Reads one line of cargo's JSON messages.
fn executable(line: &str) -> Option<Executable> {
    let message: Message = serde_json::from_str(line).ok()?;
    if message.reason != "compiler-artifact" {
        return None;
    }
    let target = message.target?;
    Some(Executable {
        path: message.executable?,
        is_test: message.profile?.test || target.kind.iter().any(|kind| kind == "test"),
        is_lib: target.kind.iter().any(|kind| kind.ends_with("lib")),
        target: target.name,
        package: message.manifest_path?.parent()?.to_owned(),
    })
}

/// Where cargo keeps what is asked of it here.
pub(crate) struct Metadata {
    pub(crate) target_dir: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct RawMetadata {
    target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) manifest_path: PathBuf,
}

pub(crate) fn metadata() -> anyhow::Result<Metadata> {
    let json = process::output(&mut command(&[
        "metadata",
        "--format-version=1",
        "--locked",
    ]))?;
    let raw: RawMetadata =
        serde_json::from_str(&json).context("cannot read what `cargo metadata` prints")?;
    Ok(Metadata {
        target_dir: raw.target_directory,
        packages: raw.packages,
    })
}

impl Metadata {
    pub(crate) fn package(&self, name: &str) -> anyhow::Result<&Package> {
        self.packages
            .iter()
            .find(|package| package.name == name)
            .with_context(|| format!("the workspace does not depend on `{name}`"))
    }
}

/// A package as `Cargo.lock` pins it.
#[derive(Debug, Deserialize)]
pub(crate) struct Locked {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Where it comes from; none for what lies in the workspace.
    pub(crate) source: Option<String>,
    /// SHA-256 of the published archive.
    pub(crate) checksum: Option<String>,
}

#[derive(Deserialize)]
struct Lockfile {
    package: Vec<Locked>,
}

/// Everything in the workspace's `Cargo.lock`.
pub(crate) fn lockfile() -> anyhow::Result<Vec<Locked>> {
    let path = root().join("Cargo.lock");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let lockfile: Lockfile =
        basic_toml::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(lockfile.package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_among_cargos_messages() {
        let check = |line: &str, expect: Option<(&str, bool, bool)>| {
            let found = executable(line);
            let found = found
                .as_ref()
                .map(|e| (e.target.as_str(), e.is_test, e.is_lib));
            assert_eq!(found, expect, "{line}");
        };
        check(
            r#"{"reason":"compiler-artifact","manifest_path":"/w/dialer/Cargo.toml","target":{"kind":["bin"],"name":"dialer"},"profile":{"test":false},"executable":"/t/dialer"}"#,
            Some(("dialer", false, false)),
        );
        check(
            r#"{"reason":"compiler-artifact","manifest_path":"/w/core/Cargo.toml","target":{"kind":["lib"],"name":"core"},"profile":{"test":true},"executable":"/t/deps/core-1"}"#,
            Some(("core", true, true)),
        );
        check(
            r#"{"reason":"compiler-artifact","manifest_path":"/w/core/Cargo.toml","target":{"kind":["lib"],"name":"core"},"profile":{"test":false},"executable":null}"#,
            None,
        );
        check(r#"{"reason":"build-finished","success":true}"#, None);
        check("warning: not JSON", None);
    }
}
