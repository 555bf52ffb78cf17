//! `cargo xtask providers`: the clients of providers against real servers of OpenAI's protocol.
//!
//! The servers are installed here; the package `e2e` runs them, tries the agent and prints the table.

use std::process::ExitCode;

use crate::{cargo, e2e, process, setup};

/// Name the servers' packages and the folder of their language model; `e2e::provider` reads them.
const PACKAGES: &str = "PROVIDER_PACKAGES";
const LANGUAGE_MODEL: &str = "PROVIDER_LANGUAGE_MODEL";

pub(crate) fn run(filter: Option<&str>) -> anyhow::Result<ExitCode> {
    let installed = setup::world()?;
    let servers = setup::provider_servers()?;
    let executables = cargo::build(&mut cargo::command(e2e::BUILD))?;
    let mut command = cargo::binary(&executables, "providers")?.command();
    e2e::tell(&mut command, &installed);
    command
        .env(PACKAGES, servers.packages)
        .env(LANGUAGE_MODEL, servers.language_model)
        .args(filter);
    process::status(&mut command).map(process::exit_code)
}
