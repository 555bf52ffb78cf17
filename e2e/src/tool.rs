//! The command-line tools of the product, run as a user runs them: in a folder with a `.env`.

use std::{
    env, fmt, io,
    path::Path,
    process::{Command, ExitStatus},
};

use anyhow::{Context, ensure};

use crate::{binaries::product, tls_front};

/// What of our own environment a tool may see; its settings come from the `.env` alone.
const PASSED_ON: [&str; 3] = ["PATH", "HOME", "XDG_CACHE_HOME"];

/// What a finished tool left behind.
#[derive(Debug, Clone)]
pub struct Output {
    command: String,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Fails, with everything that the tool said, unless it succeeded.
    pub fn expect_success(self) -> anyhow::Result<Self> {
        ensure!(self.status.success(), "{self}");
        Ok(self)
    }

    /// Fails, with everything that the tool said, unless it failed.
    pub fn expect_failure(self) -> anyhow::Result<Self> {
        ensure!(!self.status.success(), "{self}");
        Ok(self)
    }

    /// Fails, with everything that the tool said, unless it ended with `code`.
    pub fn expect_code(self, code: i32) -> anyhow::Result<Self> {
        ensure!(
            self.status.code() == Some(code),
            "the exit code must be {code}: {self}"
        );
        Ok(self)
    }

    /// Fails unless the tool printed `text`, on either stream.
    pub fn expect_text(&self, text: &str) -> anyhow::Result<&Self> {
        ensure!(
            self.stdout.contains(text) || self.stderr.contains(text),
            "no `{text}` in the output of {self}"
        );
        Ok(self)
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}`: {}\n--- stdout\n{}--- stderr\n{}",
            self.command, self.status, self.stdout, self.stderr
        )
    }
}

/// The command for the tool `name` in `dir`.
pub(crate) fn command(name: &str, args: &[&str], dir: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(product(name)?);
    command.args(args).current_dir(dir).env_clear().envs(
        PASSED_ON
            .iter()
            .filter_map(|name| Some((name, env::var_os(name)?))),
    );
    let authority = dir.join(tls_front::AUTHORITY);
    if authority.exists() {
        command.env("SSL_CERT_FILE", authority);
    }
    Ok(command)
}

/// Runs the tool `name` to its end.
pub(crate) async fn run(name: &str, args: &[&str], dir: &Path) -> anyhow::Result<Output> {
    let mut command = command(name, args, dir)?;
    let line = format!("{name} {}", args.join(" "));
    let output = tokio::task::spawn_blocking(move || -> io::Result<_> { command.output() })
        .await?
        .with_context(|| format!("cannot start {line}"))?;
    Ok(Output {
        command: line,
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
