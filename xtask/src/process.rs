//! Child processes that do not outlive this one.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
};

use anyhow::{Context, bail};
use nix::{
    sys::{prctl, signal::Signal},
    unistd::geteuid,
};

/// A command whose process is killed when the calling thread ends, however it ends.
///
/// Ctrl-C needs nothing: a terminal sends it to the whole process group.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    let die_with_parent = || prctl::set_pdeathsig(Signal::SIGKILL).map_err(Into::into);
    #[expect(unsafe_code, reason = "prctl(2) is safe between fork and exec")]
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe {
        command.pre_exec(die_with_parent);
    }
    command
}

/// `unshare <namespaces> --`, to be followed by a program and its arguments.
///
/// Without root it needs user namespaces that anybody may make, which is the default of most systems.
pub(crate) fn unshare(namespaces: &[&str]) -> Command {
    let mut command = command("unshare");
    if !geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(namespaces).arg("--");
    command
}

/// As it would be typed, for reports.
pub(crate) fn shown(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .collect();
    words.join(OsStr::new(" ")).to_string_lossy().into_owned()
}

/// Runs `command` on this terminal.
///
/// # Errors
///
/// When it cannot be started or does not exit with 0.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs `command` on this terminal and waits for it.
pub(crate) fn status(command: &mut Command) -> anyhow::Result<ExitStatus> {
    command
        .status()
        .with_context(|| format!("cannot start `{}`", shown(command)))
}

/// What `command` prints, when it exits with 0; its error output otherwise.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed: {}\n{}",
            shown(command),
            output.status,
            stderr.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `command` and gives each line of its standard output to `on_line` as it comes.
pub(crate) fn stdout_lines(
    command: &mut Command,
    on_line: impl FnMut(String),
) -> anyhow::Result<ExitStatus> {
    let mut child = spawn(command.stdout(Stdio::piped()))?;
    let pipe = child.stdout.take().expect("stdout is piped");
    lines(pipe, on_line);
    Ok(child.wait()?)
}

/// As [`stdout_lines`] for standard error; standard output is discarded.
pub(crate) fn stderr_lines(
    command: &mut Command,
    on_line: impl FnMut(String),
) -> anyhow::Result<ExitStatus> {
    let mut child = spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()))?;
    let pipe = child.stderr.take().expect("stderr is piped");
    lines(pipe, on_line);
    Ok(child.wait()?)
}

pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    command
        .spawn()
        .with_context(|| format!("cannot start `{}`", shown(command)))
}

/// The exit code to end with when `status` decides.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code) => ExitCode::from(code),
        None => ExitCode::FAILURE,
    }
}

fn lines(pipe: impl std::io::Read, mut on_line: impl FnMut(String)) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while reader
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        on_line(
            String::from_utf8_lossy(&line)
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
        );
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named() {
        let error = run(command("sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c exit 3` failed: exit status: 3");
    }

    #[test]
    fn a_command_that_is_not_there_is_named() {
        let error = run(&mut command("no-such-program")).unwrap_err();
        assert_eq!(error.to_string(), "cannot start `no-such-program`");
    }

    #[test]
    fn a_last_line_without_newline_is_a_line() {
        let mut seen = Vec::new();
        let status =
            stdout_lines(command("printf").arg("one\ntwo"), |line| seen.push(line)).unwrap();
        assert!(status.success());
        assert_eq!(seen, ["one", "two"]);
    }

    #[test]
    fn a_child_dies_with_the_thread_that_started_it() {
        let child = std::thread::spawn(|| spawn(command("sleep").arg("600")).unwrap())
            .join()
            .unwrap();
        let status = { child }.wait().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(Signal::SIGKILL as i32)
        );
    }
}
