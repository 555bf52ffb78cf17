//! `doctor`, where people look for it: every command hands it to `trunk-setup`.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

/// The program with the checks.
const PROGRAM: &str = "trunk-setup";

/// Becomes `trunk-setup doctor ARGS`, so that its exit code is this process's. Returns when there is no
/// `trunk-setup` beside the running program.
pub fn exec_doctor(args: &[OsString]) -> ExecDoctorError {
    let program = match std::env::current_exe() {
        Ok(own) => own.with_file_name(PROGRAM),
        Err(_) => PathBuf::from(PROGRAM),
    };
    let source = Command::new(&program).arg("doctor").args(args).exec();
    ExecDoctorError { program, source }
}

/// There is no `trunk-setup` to do the checks.
#[derive(Debug, thiserror::Error)]
#[error(
    "the checks are made by `trunk-setup doctor`, and `{}` cannot be started; build it and run the checks with \
     `cargo run -p trunk-setup -- doctor`",
    program.display()
)]
pub struct ExecDoctorError {
    program: PathBuf,
    #[source]
    source: io::Error,
}
