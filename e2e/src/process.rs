//! A child process: its output in a file, its command line on record, killed and reaped on drop.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::wait::{LIMIT, Unmet, wait_for_condition};

/// How many of the last lines of a log go into an error.
const TAIL: usize = 15;

#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with stdout and stderr in `<dir>/<name>.log`, whose first line is the command.
    pub(crate) fn spawn(name: &str, command: &mut Command, dir: &Path) -> anyhow::Result<Self> {
        let (mut log_file, log) = create_log(name, command, dir)?;
        let stderr = log_file.try_clone().context("cannot share a log file")?;
        log_file.flush()?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log_file)
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// As [`Process::spawn`], and gives each line of `stream` to `on_line` as it comes.
    ///
    /// `on_line` is dropped when the stream ends; the other stream goes to the log only.
    pub(crate) fn spawn_with_lines(
        name: &str,
        command: &mut Command,
        dir: &Path,
        stream: Stream,
        on_line: impl FnMut(&str) + Send + 'static,
    ) -> anyhow::Result<Self> {
        Self::spawn_with_input(name, command, dir, Stdio::null(), stream, on_line)
    }

    /// As [`Process::spawn_with_lines`], with a standard input.
    pub(crate) fn spawn_with_input(
        name: &str,
        command: &mut Command,
        dir: &Path,
        input: impl Into<Stdio>,
        stream: Stream,
        on_line: impl FnMut(&str) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (log_file, log) = create_log(name, command, dir)?;
        let other = log_file.try_clone().context("cannot share a log file")?;
        command.stdin(input);
        match stream {
            Stream::Stdout => command.stdout(Stdio::piped()).stderr(other),
            Stream::Stderr => command.stdout(other).stderr(Stdio::piped()),
        };
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let pipe: Box<dyn Read + Send> = match stream {
            Stream::Stdout => Box::new(child.stdout.take().expect("stdout is piped")),
            Stream::Stderr => Box::new(child.stderr.take().expect("stderr is piped")),
        };
        // The thread ends with the pipe, which ends with the process.
        std::thread::spawn(move || copy_lines(pipe, log_file, on_line));
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// Everything the process wrote to its log so far.
    pub(crate) fn log_text(&self) -> anyhow::Result<String> {
        let bytes =
            fs::read(&self.log).with_context(|| format!("cannot read {}", self.log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Polls `ready` until it holds, and fails at once when the process exits first.
    pub(crate) async fn wait_until_ready(
        &mut self,
        what: &str,
        mut ready: impl AsyncFnMut() -> bool,
    ) -> anyhow::Result<()> {
        let what = format!("{} to {what}", self.name);
        wait_for_condition(&what, LIMIT, async || {
            self.check_running()?;
            if ready().await {
                Ok(())
            } else {
                Err(Unmet::NotYet("it does not yet".to_owned()))
            }
        })
        .await
    }

    /// As [`Process::wait_until_ready`], for a text in the log.
    pub(crate) async fn wait_for_log(&mut self, text: &str) -> anyhow::Result<()> {
        let what = format!("{} to log `{text}`", self.name);
        wait_for_condition(&what, LIMIT, async || {
            self.check_running()?;
            if self.log_text()?.contains(text) {
                Ok(())
            } else {
                Err(Unmet::NotYet("not in the log".to_owned()))
            }
        })
        .await
    }

    /// Fails with the end of the log when the process is gone.
    pub(crate) fn check_running(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let log = self.log_text()?;
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
        bail!("{} exited with {status}; its log ends:\n{tail}", self.name)
    }

    /// Sends `signal` to the process.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let sent = self.signals().and_then(|signals| signals.send(signal));
        sent.with_context(|| format!("cannot signal {}", self.name))
    }

    /// What stops, continues or kills the process, from any thread.
    pub(crate) fn signals(&self) -> anyhow::Result<Signals> {
        let pid = i32::try_from(self.child.id()).context("a process id is an i32")?;
        Ok(Signals(Pid::from_raw(pid)))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("{} to exit", self.name);
        wait_for_condition(&what, limit, async || match self.child.try_wait()? {
            Some(status) => Ok(status),
            None => Err(Unmet::NotYet("it is running".to_owned())),
        })
        .await
    }
}

/// Sends signals to a process. Only of use while its owner lives.
#[derive(Debug, Clone, Copy)]
pub struct Signals(Pid);

impl Signals {
    pub fn send(self, signal: Signal) -> anyhow::Result<()> {
        kill(self.0, signal).context("the process is gone")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the process is gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Which output of a process is read line by line.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

fn create_log(name: &str, command: &Command, dir: &Path) -> anyhow::Result<(File, PathBuf)> {
    let path = dir.join(format!("{name}.log"));
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    writeln!(file, "{command:?}")?;
    Ok((file, path))
}

fn copy_lines(pipe: impl Read, mut log: File, mut on_line: impl FnMut(&str)) {
    for line in BufReader::new(pipe).split(b'\n') {
        let Ok(line) = line else { return };
        let line = String::from_utf8_lossy(&line);
        // A full disk shows elsewhere; the journal must go on.
        drop(writeln!(log, "{line}"));
        on_line(&line);
    }
}
