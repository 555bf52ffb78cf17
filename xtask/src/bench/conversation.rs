//! `cargo xtask bench conversation`: our agent and the Python one in the same conversation.
//!
//! The package `e2e` measures both, and prints a JSON object for each figure; the table is made here.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::{BUILD, significant};
use crate::{cargo, e2e, process, setup};

/// Names the Python agent's packages; `e2e::contestant` reads it.
const PACKAGES: &str = "PYTHON_PEER_PACKAGES";

/// Measures a conversation with our agent, and the same one with the guide's agent on LiveKit's Python framework
///
/// Both run in the same telephone world, one after the other, with the same providers: a server on this machine
/// that answers after fixed times. Measured are the stages of a turn (median and 95th percentile), CPU and memory of
/// one more call, and how many calls this machine carries before a frame is late.
///
/// Takes about 9 minutes for the conversations and up to 10 for the calls at the same time, after what is built
/// (20 minutes the first time) and what pip installs (540 MB, once). Nothing else should run meanwhile.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Options {
    /// Turns of each conversation, at least 12
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(12..))]
    turns: u16,
    /// Leave out how many calls the machine carries
    #[arg(long)]
    no_capacity: bool,
}

/// A line of the table.
struct Row {
    what: &'static str,
    /// Empty for a count.
    unit: &'static str,
    cells: Cells,
    better: Better,
    /// Whether it is measured with `--no-capacity` too.
    in_conversation: bool,
}

/// Which figure is the better one. The ratio says how many times better ours is.
enum Better {
    Less,
    More,
    /// It belongs to another figure, and has no ratio.
    Neither,
}

/// Names of figures.
enum Cells {
    One(&'static str),
    /// Of many measurements: median and 95th percentile.
    Spread(&'static str, &'static str),
}

const fn spread(what: &'static str, median: &'static str, p95: &'static str) -> Row {
    Row {
        what,
        unit: "ms",
        cells: Cells::Spread(median, p95),
        better: Better::Less,
        in_conversation: true,
    }
}

const fn one(what: &'static str, unit: &'static str, name: &'static str) -> Row {
    Row {
        what,
        unit,
        cells: Cells::One(name),
        better: Better::Less,
        in_conversation: true,
    }
}

const fn capacity(
    better: Better,
    what: &'static str,
    unit: &'static str,
    name: &'static str,
) -> Row {
    Row {
        better,
        in_conversation: false,
        ..one(what, unit, name)
    }
}

const ROWS: &[Row] = &[
    Row {
        better: Better::Neither,
        ..one("turns measured", "", "turns")
    },
    spread(
        "end of speech to transcription asked",
        "endpoint_median_ms",
        "endpoint_p95_ms",
    ),
    spread(
        "transcript to model asked",
        "model_median_ms",
        "model_p95_ms",
    ),
    spread(
        "first token to speech asked",
        "speech_median_ms",
        "speech_p95_ms",
    ),
    spread(
        "first audio to first sound at phone",
        "phone_median_ms",
        "phone_p95_ms",
    ),
    spread(
        "end of speech to first sound at phone",
        "whole_median_ms",
        "whole_p95_ms",
    ),
    one("idle, all processes", "MB", "idle_mb"),
    one("one more call, memory", "MB", "call_mb"),
    one("one more call, CPU of a core", "%", "call_cpu_percent"),
    capacity(
        Better::More,
        "calls before a frame is late",
        "",
        "capacity_calls",
    ),
    capacity(
        Better::Neither,
        "then: CPU of the agent",
        "%",
        "capacity_agent_percent",
    ),
    capacity(
        Better::Neither,
        "then: CPU of the machine",
        "%",
        "capacity_machine_percent",
    ),
];

pub(super) fn run(options: Options) -> anyhow::Result<ExitCode> {
    let installed = setup::world()?;
    let packages = setup::python_peer()?;
    let executables = cargo::build(&mut cargo::command(BUILD))?;

    println!("measuring two agents in the telephone world; nothing else should run");
    let mut command = cargo::binary(&executables, "bench_conversation")?.command();
    e2e::tell(&mut command, &installed);
    command
        .env(PACKAGES, packages)
        .args(["--turns", &options.turns.to_string()]);
    if options.no_capacity {
        command.arg("--no-capacity");
    }
    let mut figures = Figures::new();
    let status = process::stdout_lines(&mut command, |line| {
        match serde_json::from_str::<Figure>(&line) {
            Ok(Figure { who, figure, value }) => drop(figures.insert((who, figure), value)),
            Err(_) => println!("{line}"),
        }
    })?;
    if !status.success() {
        bail!("the measurement failed: {status}");
    }

    println!("\n{}", line(["figure", "ours", "Python", "ratio"]));
    let rows = ROWS
        .iter()
        .filter(|row| row.in_conversation || !options.no_capacity);
    for row in rows {
        println!("{}", rendered(row, &figures)?);
    }
    println!(
        "\nmilliseconds are median / 95th percentile; the providers' own 450 ms are in the whole only"
    );
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Who {
    Ours,
    Python,
}

#[derive(Deserialize)]
struct Figure {
    who: Who,
    figure: String,
    value: f64,
}

type Figures = BTreeMap<(Who, String), f64>;

fn rendered(row: &Row, figures: &Figures) -> anyhow::Result<String> {
    let value = |who: Who, name: &str| {
        figures
            .get(&(who, name.to_owned()))
            .copied()
            .with_context(|| format!("`{name}` of {who:?} was not measured"))
    };
    let amount = |who: Who| {
        let text = match row.cells {
            Cells::One(name) if row.unit.is_empty() => format!("{:.0}", value(who, name)?),
            Cells::One(name) => format!("{} {}", significant(value(who, name)?), row.unit),
            Cells::Spread(median, p95) => format!(
                "{} / {} {}",
                significant(value(who, median)?),
                significant(value(who, p95)?),
                row.unit
            ),
        };
        anyhow::Ok(text.trim_end().to_owned())
    };
    let (Cells::One(name) | Cells::Spread(name, _)) = row.cells;
    let (ours, python) = (value(Who::Ours, name)?, value(Who::Python, name)?);
    let ratio = |less: f64, more: f64| format!("{}x", significant(more / less));
    let ratio = match row.better {
        Better::Less => ratio(ours, python),
        Better::More => ratio(python, ours),
        Better::Neither => String::new(),
    };
    Ok(line([
        row.what,
        &amount(Who::Ours)?,
        &amount(Who::Python)?,
        &ratio,
    ]))
}

fn line(cells: [&str; 4]) -> String {
    let [what, ours, python, ratio] = cells;
    format!("{what:38} {ours:>18} {python:>18} {ratio:>8}")
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(lines: &str) -> Figures {
        lines
            .lines()
            .map(|line| {
                let Figure { who, figure, value } = serde_json::from_str(line).unwrap();
                ((who, figure), value)
            })
            .collect()
    }

    #[test]
    fn a_figure_stands_beside_that_of_the_python_agent() {
        let figures = figures(
            r#"{"who":"ours","figure":"whole_median_ms","value":1100.4}
{"who":"ours","figure":"whole_p95_ms","value":1190.0}
{"who":"python","figure":"whole_median_ms","value":1540.0}
{"who":"python","figure":"whole_p95_ms","value":1710.0}
{"who":"ours","figure":"call_mb","value":2.25}
{"who":"python","figure":"call_mb","value":90.0}
{"who":"ours","figure":"calls","value":12}
{"who":"python","figure":"calls","value":4}"#,
        );
        let check = |row: Row, expect| assert_eq!(rendered(&row, &figures).unwrap(), expect);
        check(
            spread("whole", "whole_median_ms", "whole_p95_ms"),
            "whole                                      1100 / 1190 ms     1540 / 1710 ms     1.4x",
        );
        check(
            one("one more call, memory", "MB", "call_mb"),
            "one more call, memory                              2.2 MB            90.0 MB    40.0x",
        );
        check(
            capacity(Better::More, "calls", "", "calls"),
            "calls                                                  12                  4     3.0x",
        );
        check(
            capacity(Better::Neither, "calls", "", "calls"),
            "calls                                                  12                  4",
        );
    }

    #[test]
    fn a_figure_that_is_not_there_is_named() {
        let figures = figures(r#"{"who":"ours","figure":"idle_mb","value":1}"#);
        let error = rendered(&one("idle", "MB", "idle_mb"), &figures).unwrap_err();
        assert_eq!(error.to_string(), "`idle_mb` of Python was not measured");
    }
}
