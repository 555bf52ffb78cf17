//! Starts what the `e2e` package has: scenarios and the demo. It makes a network namespace for each run itself.

use std::process::{Command, ExitCode};

use anyhow::Context;

use crate::{
    cargo::{self, Executable},
    process,
    setup::{self, Installed},
};

/// Name of the test target with the scenarios.
pub(crate) const SCENARIOS: &str = "scenarios";

/// What everything that is run from here is built with: one selection of packages, so that cargo chooses the
/// features of dependencies once and builds each of them once.
pub(crate) const BUILD: &[&str] = &["build", "--workspace", "--bins", "--tests"];

pub(crate) fn run(filter: Option<&str>, list: bool, keep: bool) -> anyhow::Result<ExitCode> {
    let installed = if list { None } else { Some(setup::world()?) };
    let executables = cargo::build(&mut cargo::command(BUILD))?;
    let mut command = scenarios(&executables)?;
    if let Some(installed) = &installed {
        tell(&mut command, installed);
    }
    command.args(filter);
    if list {
        command.arg("--list");
    }
    if keep {
        command.env("E2E_KEEP", "1");
    }
    process::status(&mut command).map(process::exit_code)
}

pub(crate) fn demo(args: &[String]) -> anyhow::Result<ExitCode> {
    let installed = setup::world()?;
    let executables = cargo::build(&mut cargo::command(BUILD))?;
    let mut command = cargo::binary(&executables, "demo")?.command();
    tell(&mut command, &installed);
    process::status(command.args(args)).map(process::exit_code)
}

/// The command that runs the scenarios.
pub(crate) fn scenarios(executables: &[Executable]) -> anyhow::Result<Command> {
    let executable = executables
        .iter()
        .find(|executable| is_scenarios(executable))
        .context("the package `e2e` has no test `scenarios`")?;
    Ok(executable.command())
}

pub(crate) fn is_scenarios(executable: &Executable) -> bool {
    executable.is_test && executable.target == SCENARIOS && executable.package.ends_with("e2e")
}

/// Tells `command` where everything is.
pub(crate) fn tell(command: &mut Command, installed: &Installed) {
    command.envs(installed.variables());
}
