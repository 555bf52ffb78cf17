//! `cargo xtask bench`: what things cost, against the Python original on the same kind of machine.
//!
//! The package `e2e` measures the worker and the dialer in the telephone world, and prints a JSON object for
//! each figure; the table is made here.

mod conversation;

use std::{collections::BTreeMap, fs, process::ExitCode};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::{cargo, e2e, process, setup};

/// One command for all: a second one with other targets would build the dependencies again with other features.
const BUILD: &[&str] = &[
    "build",
    "--workspace",
    "--bin=voice-agent",
    "--bin=dialer",
    "--bin=trunk-setup",
    "--bin=bench",
    "--bin=bench_conversation",
    "--bench=audio",
    "--bench=speech",
    "--release",
];

/// What is measured without servers.
const BENCHES: &[&str] = &["audio", "speech"];

/// Binaries that a user installs.
const PRODUCTS: &[&str] = &["voice-agent", "dialer", "trunk-setup"];

/// In MB of 10⁶ bytes.
const SIZE_BUDGET: f64 = 25.0;

struct Row {
    figure: &'static str,
    what: &'static str,
    unit: &'static str,
    /// The Python original: two cores, Debian 12, livekit-agents with its local plugins loaded.
    python: Option<f64>,
    /// What we allow ourselves.
    budget: Option<f64>,
}

const fn row(
    figure: &'static str,
    what: &'static str,
    unit: &'static str,
    python: Option<f64>,
    budget: Option<f64>,
) -> Row {
    Row {
        figure,
        what,
        unit,
        python,
        budget,
    }
}

const ROWS: &[Row] = &[
    row(
        "idle_mb",
        "worker, idle, local speech loaded",
        "MB",
        Some(772.0),
        Some(300.0),
    ),
    row(
        "idle_after_calls_mb",
        "worker, idle again after the calls",
        "MB",
        None,
        Some(300.0),
    ),
    row(
        "one_more_call_mb",
        "one more call",
        "MB",
        Some(17.0),
        Some(10.0),
    ),
    row(
        "call_cpu_percent",
        "CPU of a call in which nobody speaks",
        "%",
        None,
        None,
    ),
    row(
        "joined_ms",
        "dispatch to agent in the room",
        "ms",
        Some(342.0),
        Some(150.0),
    ),
    row(
        "invite_ms",
        "dispatch to INVITE on the wire",
        "ms",
        None,
        Some(300.0),
    ),
    row(
        "heard_ms",
        "end of a sentence to its text",
        "ms",
        None,
        None,
    ),
    row("refer_ms", "end of a sentence to REFER", "ms", None, None),
    row(
        "refer_without_notice_ms",
        "the same without the spoken notice",
        "ms",
        None,
        Some(1500.0),
    ),
    row(
        "target_rings_ms",
        "REFER to ringing target",
        "ms",
        Some(60.0),
        Some(60.0),
    ),
    row(
        "dialer_ms",
        "dialer, whole process",
        "ms",
        Some(490.0),
        Some(30.0),
    ),
];

/// What can be measured besides the worker, the dialer and the codecs.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub(crate) enum What {
    Conversation(conversation::Options),
}

pub(crate) fn run(what: Option<What>) -> anyhow::Result<ExitCode> {
    match what {
        Some(What::Conversation(options)) => conversation::run(options),
        None => parts(),
    }
}

fn parts() -> anyhow::Result<ExitCode> {
    let installed = setup::world()?;
    let executables = cargo::build(&mut cargo::command(BUILD))?;
    let mut sizes = Vec::new();
    for name in PRODUCTS {
        let path = &cargo::binary(&executables, name)?.path;
        let bytes = fs::metadata(path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .len();
        sizes.push((*name, bytes as f64 / 1e6));
    }

    println!("measuring in the telephone world, about 3 min; nothing else should run");
    let mut command = cargo::binary(&executables, "bench")?.command();
    e2e::tell(&mut command, &installed);
    let mut figures = Figures::new();
    let status = process::stdout_lines(&mut command, |line| {
        match serde_json::from_str::<Figure>(&line) {
            Ok(Figure { figure, value }) => drop(figures.insert(figure, value)),
            Err(_) => println!("{line}"),
        }
    })?;
    if !status.success() {
        bail!("the measurement failed: {status}");
    }

    println!(
        "\n{}",
        line(["figure", "ours", "Python", "ratio", "budget"])
    );
    for (name, megabytes) in sizes {
        let what = format!("size of {name}, stripped");
        println!(
            "{}",
            rendered(&what, "MB", megabytes, None, Some(SIZE_BUDGET))
        );
    }
    for row in ROWS {
        let value = figures
            .get(row.figure)
            .with_context(|| format!("`{}` was not measured", row.figure))?;
        println!(
            "{}",
            rendered(row.what, row.unit, *value, row.python, row.budget)
        );
    }

    println!("\ncodecs, jitter buffer and speech:");
    for name in BENCHES {
        let bench = cargo::benchmark(&executables, name)?;
        process::run(bench.command().arg("--bench"))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Deserialize)]
struct Figure {
    figure: String,
    value: f64,
}

type Figures = BTreeMap<String, f64>;

fn rendered(what: &str, unit: &str, ours: f64, python: Option<f64>, budget: Option<f64>) -> String {
    let amount = |value: f64| format!("{} {unit}", significant(value));
    let ratio = |python: f64| format!("{}x", significant(python / ours));
    let mut line = line([
        what,
        &amount(ours),
        &python.map(amount).unwrap_or_default(),
        &python.map(ratio).unwrap_or_default(),
        &budget.map(amount).unwrap_or_default(),
    ]);
    if budget.is_some_and(|budget| ours > budget) {
        line.push_str("  OVER");
    }
    line
}

fn line(cells: [&str; 5]) -> String {
    let [what, ours, python, ratio, budget] = cells;
    format!("{what:36} {ours:>10} {python:>10} {ratio:>8} {budget:>10}")
        .trim_end()
        .to_owned()
}

/// As many digits as mean something.
fn significant(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_stands_beside_its_yardsticks() {
        let check = |line: String, expect| assert_eq!(line, expect);
        check(
            rendered("dialer, whole process", "ms", 12.3, Some(490.0), Some(30.0)),
            "dialer, whole process                   12.3 ms     490 ms    39.8x    30.0 ms",
        );
        check(
            rendered("one more call", "MB", 10.2, None, Some(10.0)),
            "one more call                           10.2 MB                        10.0 MB  OVER",
        );
    }

    #[test]
    fn figures_are_read_from_what_the_measurement_prints() {
        let figure: Figure =
            serde_json::from_str(r#"{"figure":"idle_mb","value":187.25}"#).unwrap();
        assert_eq!((figure.figure.as_str(), figure.value), ("idle_mb", 187.25));
    }
}
