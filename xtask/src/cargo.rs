//! Runs cargo in the workspace and reads what it built.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::process;

/// The folder of this package.
///
/// `cargo xtask` names it at run time. What was compiled in is another checkout's when both share a target
/// folder, so it only serves a binary that is started by hand.
pub(crate) fn package() -> &'static Path {
    static PACKAGE: LazyLock<PathBuf> = LazyLock::new(|| {
        env::var_os("CARGO_MANIFEST_DIR")
            .unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into())
            .into()
    });
    &PACKAGE
}

/// The folder of the workspace manifest.
pub(crate) fn root() -> &'static Path {
    package().parent().expect("xtask lies in the workspace")
}

/// `cargo <arguments>` in the workspace, as if typed in a shell.
///
/// `cargo run` describes this package in the environment. Build scripts that look there, ring's for one, would
/// run again with everything above them each time that a user changes between `cargo xtask` and `cargo run`.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = process::command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    forget_this_package(&mut command);
    command
}

fn forget_this_package(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name.as_ref());
        }
    }
}

/// As [`command`], where no build script can reach a network: `cargo fetch` must have run before.
///
/// `more` comes after everything else.
pub(crate) fn offline(arguments: &[&str], more: &[&str]) -> Command {
    let online = command(&[]);
    let mut command = process::unshare(&["--net"]);
    command
        .arg(online.get_program())
        .args(arguments)
        .args(["--locked", "--offline"])
        .args(more)
        .current_dir(root());
    forget_this_package(&mut command);
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
    /// Whether it is a benchmark.
    pub(crate) is_bench: bool,
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
    build_with(command, "--message-format=json-render-diagnostics")
}

/// As [`build`], for code that is not ours: its warnings are not shown.
pub(crate) fn build_foreign(command: &mut Command) -> anyhow::Result<Vec<Executable>> {
    build_with(command, "--message-format=json")
}

fn build_with(command: &mut Command, format: &str) -> anyhow::Result<Vec<Executable>> {
    let shown = process::shown(command);
    command.arg(format).stderr(Stdio::inherit());
    let mut executables = Vec::new();
    let status = process::stdout_lines(command, |line| {
        let Ok(message) = serde_json::from_str::<Message>(&line) else {
            return;
        };
        if let Some(error) = message.error() {
            eprint!("{error}");
        }
        executables.extend(message.executable());
    })?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(executables)
}

/// The binary named `target`.
pub(crate) fn binary<'e>(
    executables: &'e [Executable],
    target: &str,
) -> anyhow::Result<&'e Executable> {
    executables
        .iter()
        .find(|executable| {
            !executable.is_test && !executable.is_bench && executable.target == target
        })
        .with_context(|| format!("the workspace has no binary `{target}`"))
}

/// The benchmark named `target`.
pub(crate) fn benchmark<'e>(
    executables: &'e [Executable],
    target: &str,
) -> anyhow::Result<&'e Executable> {
    executables
        .iter()
        .find(|executable| executable.is_bench && executable.target == target)
        .with_context(|| format!("the workspace has no benchmark `{target}`"))
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
    message: Option<Diagnostic>,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    rendered: Option<String>,
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

impl Message {
    /// The program that cargo says it made.
    fn executable(self) -> Option<Executable> {
        if self.reason != "compiler-artifact" {
            return None;
        }
        let target = self.target?;
        let is = |name: &str| target.kind.iter().any(|kind| kind == name);
        let is_bench = is("bench");
        Some(Executable {
            path: self.executable?,
            is_test: !is_bench && (self.profile?.test || is("test")),
            is_bench,
            is_lib: target.kind.iter().any(|kind| kind.ends_with("lib")),
            target: target.name,
            package: self.manifest_path?.parent()?.to_owned(),
        })
    }

    /// The compiler's error, as it would show it.
    fn error(&self) -> Option<&str> {
        let diagnostic = self.message.as_ref()?;
        if diagnostic.level == "error" {
            diagnostic.rendered.as_deref()
        } else {
            None
        }
    }
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
    /// Where it comes from; none for what lies in the workspace.
    source: Option<String>,
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

    /// Names of the packages of the workspace.
    pub(crate) fn members(&self) -> Vec<&str> {
        let ours = self
            .packages
            .iter()
            .filter(|package| package.source.is_none());
        ours.map(|package| package.name.as_str()).collect()
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
            let found = serde_json::from_str::<Message>(line).unwrap().executable();
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
            r#"{"reason":"compiler-artifact","manifest_path":"/w/speech/Cargo.toml","target":{"kind":["bench"],"name":"speech"},"profile":{"test":true},"executable":"/t/deps/speech-1"}"#,
            Some(("speech", false, false)),
        );
        check(
            r#"{"reason":"compiler-artifact","manifest_path":"/w/core/Cargo.toml","target":{"kind":["lib"],"name":"core"},"profile":{"test":false},"executable":null}"#,
            None,
        );
        check(r#"{"reason":"build-finished","success":true}"#, None);
    }

    #[test]
    fn of_what_the_compiler_says_only_errors_are_shown() {
        let check = |line: &str, expect: Option<&str>| {
            let message: Message = serde_json::from_str(line).unwrap();
            assert_eq!(message.error(), expect, "{line}");
        };
        check(
            r#"{"reason":"compiler-message","message":{"level":"error","rendered":"error: no\n"}}"#,
            Some("error: no\n"),
        );
        check(
            r#"{"reason":"compiler-message","message":{"level":"warning","rendered":"warning: hm\n"}}"#,
            None,
        );
    }
}
