//! Project tasks, run as `cargo xtask <task>`; see `docs/development.md`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the program's output"
)]

mod bench;
mod cargo;
mod e2e;
mod libtest;
mod mutants;
mod process;
mod progress;
mod providers;
mod setup;
mod test;
mod upstream_tests;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::setup::Scope;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Tasks of this project"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Makes this machine ready: Debian packages, the LiveKit servers, the speech models
    Setup {
        /// Only say what is there and what is missing; exit 1 when something is
        #[arg(long)]
        check: bool,
        /// Only what the agent itself needs: no servers, carrier or phones
        #[arg(long)]
        agent: bool,
    },
    /// Shows a whole call on this machine, from dial to transfer
    Demo {
        /// Given to the demo as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Runs the end-to-end scenarios against real servers, a real carrier and phones
    E2e {
        /// Only scenarios whose name contains this
        filter: Option<String>,
        /// Only name the scenarios
        #[arg(long)]
        list: bool,
        /// Keep logs and captures of scenarios that pass
        #[arg(long)]
        keep: bool,
    },
    /// Breaks the program in a copy, in one way after the other, and expects the end-to-end scenarios to fail
    Mutants {
        /// Only mutants whose name contains this
        filter: Option<String>,
        /// Only name the mutants and say what each breaks
        #[arg(long)]
        list: bool,
    },
    /// Runs the clients of providers against servers that other people wrote, with the faults of servers
    Providers {
        /// Only trials whose name contains this
        filter: Option<String>,
    },
    /// Runs everything: formatting, lints, docs, unit, integration and end-to-end tests
    Test,
    /// Runs LiveKit's own integration tests on our `libwebrtc` against a real server
    UpstreamTests(upstream_tests::Options),
    /// Prints sizes, memory and latencies against those of the Python original
    Bench {
        #[command(subcommand)]
        what: Option<bench::What>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    match task {
        Task::Setup { check, agent } => {
            let scope = if agent {
                Scope::Agent
            } else {
                Scope::Everything
            };
            if check {
                setup::check(scope)
            } else {
                setup::run(scope).map(|()| ExitCode::SUCCESS)
            }
        }
        Task::Demo { args } => e2e::demo(&args),
        Task::E2e { filter, list, keep } => e2e::run(filter.as_deref(), list, keep),
        Task::Mutants { filter, list } => mutants::run(filter.as_deref(), list),
        Task::Providers { filter } => providers::run(filter.as_deref()),
        Task::Test => test::run(),
        Task::UpstreamTests(options) => upstream_tests::run(&options),
        Task::Bench { what } => bench::run(what),
    }
}
