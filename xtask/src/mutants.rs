//! Breaks the program in ways that the end-to-end scenarios must notice, one after the other, in a copy.
//!
//! 1. The mutants are read and applied once to the sources in memory ([`patch`]).
//! 2. A copy of the workspace is built ([`copy`]), and every scenario that a mutant names must pass there.
//! 3. For each mutant the copy is broken and built, and each scenario that it names must fail, for the reason
//!    that it names. What fails for another reason has not noticed what is broken.

mod copy;
mod patch;

use std::{
    collections::BTreeSet,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

use self::{
    copy::Copy,
    patch::{Catch, Mutant},
};
use crate::{
    cargo, e2e,
    libtest::{self, Outcome},
    process,
    progress::seconds,
    setup::{self, Installed},
};

pub(crate) fn run(filter: Option<&str>, list: bool) -> anyhow::Result<ExitCode> {
    let mut mutants = patch::read_all(&cargo::root().join("e2e/mutants"))?;
    mutants.retain(|mutant| filter.is_none_or(|filter| mutant.name.contains(filter)));
    ensure!(
        !mutants.is_empty(),
        "no mutant has `{}` in its name; `cargo xtask mutants --list` names all",
        filter.unwrap_or_default()
    );
    if list {
        for mutant in &mutants {
            println!("{}: {}", mutant.name, mutant.breaks);
        }
        return Ok(ExitCode::SUCCESS);
    }
    for mutant in &mutants {
        mutant.edits(cargo::root())?;
    }
    let installed = setup::world()?;
    process::run(&mut cargo::command(&["fetch", "--locked"]))?;
    let started = Instant::now();
    let copy = Copy::make(&cargo::metadata()?)?;
    println!("mutants: building and running {}", copy.source().display());

    let scenarios = mutants.iter().flat_map(|mutant| &mutant.caught_by);
    let scenarios: BTreeSet<_> = scenarios.map(|catch| catch.scenario.clone()).collect();
    let mut rows = vec![unbroken(&copy, &installed, scenarios)?];
    for (number, mutant) in (1..).zip(&mutants) {
        println!(
            "\n=== {} ({number} of {}): {}",
            mutant.name,
            mutants.len(),
            mutant.breaks
        );
        rows.extend(broken(&copy, &installed, mutant)?);
    }

    println!();
    let good = print_table(&rows);
    println!("all: {}", seconds(started.elapsed()));
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Without a mutant all scenarios pass; one that does not would seem to catch everything.
fn unbroken(
    copy: &Copy,
    installed: &Installed,
    scenarios: BTreeSet<String>,
) -> anyhow::Result<Row> {
    println!("\n=== nothing is broken: all of these must pass");
    let started = Instant::now();
    let judged = scenarios.len();
    let run = Run::of(copy, installed, scenarios)?;
    if let Some(name) = run.outcome.failed.first() {
        bail!(
            "{name} fails although nothing is broken:\n{}",
            libtest::printed_by(&run.output, name)
        );
    }
    Ok(Row {
        mutant: "(nothing broken)".to_owned(),
        scenario: format!("{judged} scenarios"),
        result: Fate::Passed,
        took: started.elapsed(),
    })
}

/// A row for each scenario that must notice `mutant`.
fn broken(copy: &Copy, installed: &Installed, mutant: &Mutant) -> anyhow::Result<Vec<Row>> {
    let started = Instant::now();
    let scenarios = mutant.caught_by.iter();
    let scenarios = scenarios.map(|catch| catch.scenario.clone()).collect();
    let run = copy
        .broken_by(mutant, || Run::of(copy, installed, scenarios))
        .with_context(|| format!("cannot run with the mutant {}", mutant.name))?;
    let mut rows = Vec::new();
    for catch in &mutant.caught_by {
        let result = Fate::of(catch, &run);
        println!("{}: {}", catch.scenario, result.told());
        rows.push(Row {
            mutant: mutant.name.clone(),
            scenario: catch.scenario.clone(),
            result,
            took: started.elapsed(),
        });
    }
    let is_unclear = |row: &Row| matches!(row.result, Fate::FailedOtherwise { .. });
    if rows.iter().any(is_unclear) {
        println!("logs: {}", copy.keep_runs(mutant)?.display());
    } else {
        copy.forget_runs()?;
    }
    Ok(rows)
}

/// What some scenarios did in the copy.
struct Run {
    outcome: Outcome,
    output: String,
}

impl Run {
    /// Builds the copy as it is and runs `scenarios` there.
    fn of(copy: &Copy, installed: &Installed, scenarios: BTreeSet<String>) -> anyhow::Result<Self> {
        let started = Instant::now();
        let executables = copy.build()?;
        println!("built ({})", seconds(started.elapsed()));
        let all = libtest::listed(&process::output(
            e2e::scenarios(&executables)?.arg("--list"),
        )?);
        if let Some(name) = scenarios.difference(&all).next() {
            bail!("there is no scenario `{name}`; `cargo xtask e2e --list` names all");
        }
        let mut command = e2e::scenarios(&executables)?;
        e2e::tell(&mut command, installed);
        command.arg("--exact");
        for other in all.difference(&scenarios) {
            command.args(["--skip", other]);
        }
        let mut output = String::new();
        process::stdout_lines(&mut command, |line| {
            // The failures are told at the end, with their ladders and logs; too much for those that are wanted.
            if line.starts_with("test ") {
                println!("{line}");
            }
            output.push_str(&line);
            output.push('\n');
        })?;
        let outcome = libtest::outcome(&scenarios, &BTreeSet::new(), &output)
            .with_context(|| format!("cannot read what the scenarios printed:\n{output}"))?;
        Ok(Self { outcome, output })
    }
}

/// What became of a mutant under one scenario.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// There was no mutant, and no failure.
    Passed,
    Caught {
        by: String,
    },
    Survived,
    /// The scenario failed, but for another reason than the mutant's.
    FailedOtherwise {
        by: String,
        expected: String,
    },
}

impl Fate {
    fn of(catch: &Catch, run: &Run) -> Self {
        if !run.outcome.failed.contains(&catch.scenario) {
            return Self::Survived;
        }
        let reason = libtest::printed_by(&run.output, &catch.scenario);
        let by = reason.lines().next().unwrap_or_default().to_owned();
        if by.contains(&catch.with) {
            Self::Caught { by }
        } else {
            Self::FailedOtherwise {
                by,
                expected: catch.with.clone(),
            }
        }
    }

    fn is_good(&self) -> bool {
        matches!(self, Self::Passed | Self::Caught { .. })
    }

    /// As in the table.
    fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Caught { .. } => "caught",
            Self::Survived => "SURVIVED",
            Self::FailedOtherwise { .. } => "UNCLEAR",
        }
    }

    fn told(&self) -> String {
        match self {
            Self::Passed => self.word().to_owned(),
            Self::Caught { by } => format!("caught: {by}"),
            Self::Survived => "SURVIVED: the scenario passes".to_owned(),
            Self::FailedOtherwise { by, expected } => {
                format!("UNCLEAR: the scenario fails, but not with `{expected}`: {by}")
            }
        }
    }
}

struct Row {
    mutant: String,
    scenario: String,
    result: Fate,
    /// From the build to the end of all scenarios of the mutant.
    took: Duration,
}

/// Returns whether no mutant survived.
fn print_table(rows: &[Row]) -> bool {
    let wide = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).len()).max().unwrap_or(0);
    let (mutants, scenarios) = (wide(|row| &row.mutant), wide(|row| &row.scenario));
    for row in rows {
        println!(
            "{:8}  {:mutants$}  {:scenarios$}  {:>12}",
            row.result.word(),
            row.mutant,
            row.scenario,
            seconds(row.took)
        );
    }
    rows.iter().all(|row| row.result.is_good())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: &str = "
failures:

---- stays ----
the door must be shut: it is open

from                       to

exit status: 1; logs and capture are kept in /tmp/stays


failures:
    stays

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
";

    #[test]
    fn a_mutant_is_caught_when_the_scenario_fails_for_its_reason() {
        let names = BTreeSet::from(["stays", "goes"].map(str::to_owned));
        let run = Run {
            outcome: libtest::outcome(&names, &BTreeSet::new(), FAILED).unwrap(),
            output: FAILED.to_owned(),
        };
        let check = |scenario: &str, with: &str, expect: &str| {
            let catch = Catch {
                scenario: scenario.to_owned(),
                with: with.to_owned(),
            };
            let fate = Fate::of(&catch, &run);
            assert_eq!(fate.word(), expect, "{fate:?}");
            assert_eq!(fate.is_good(), expect == "caught");
        };
        check("stays", "must be shut", "caught");
        check("stays", "must be green", "UNCLEAR");
        check("stays", "kept in", "UNCLEAR");
        check("goes", "must be shut", "SURVIVED");
    }
}
