//! Reads what Rust's test harness prints (libtest and libtest-mimic print the same).

use std::collections::BTreeSet;

use anyhow::{Context, bail};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) ignored: u32,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// Reads `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; …`.
pub(crate) fn counts(line: &str) -> Option<Counts> {
    let (_, rest) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut counts = Counts::default();
    for part in rest.split("; ") {
        let (number, word) = part.split_once(' ')?;
        match word {
            "passed" => counts.passed = number.parse().ok()?,
            "failed" => counts.failed = number.parse().ok()?,
            "ignored" => counts.ignored = number.parse().ok()?,
            _ => {}
        }
    }
    Some(counts)
}

/// Reads the names that `--list` prints, as in `engine::tests::opens: test`.
pub(crate) fn listed(output: &str) -> BTreeSet<String> {
    output
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(str::to_owned)
        .collect()
}

/// How one test binary did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) passed: BTreeSet<String>,
    pub(crate) failed: BTreeSet<String>,
    pub(crate) ignored: u32,
}

/// Works out who passed, from the names that `--list` gave and what the run printed.
///
/// Progress lines cannot be used: threads that a test left behind print into them.
/// The list of failures at the end and the closing line are whole, and are checked against each other.
///
/// # Errors
///
/// When the run did not come to its closing line, or the numbers do not add up.
pub(crate) fn outcome(
    listed: &BTreeSet<String>,
    ignored: &BTreeSet<String>,
    output: &str,
) -> anyhow::Result<Outcome> {
    let counts = output
        .lines()
        .rev()
        .find_map(counts)
        .context("it ended before its closing line")?;
    let failed = failures(output);
    let passed: BTreeSet<_> = listed
        .difference(&failed)
        .filter(|name| !ignored.contains(*name))
        .cloned()
        .collect();
    if passed.len() != counts.passed as usize || failed.len() != counts.failed as usize {
        bail!(
            "{} passed and {} failed by name, but its closing line says {counts:?}",
            passed.len(),
            failed.len()
        );
    }
    Ok(Outcome {
        passed,
        failed,
        ignored: counts.ignored,
    })
}

/// The last block of names under `failures:`.
fn failures(output: &str) -> BTreeSet<String> {
    let lines: Vec<_> = output.lines().collect();
    let Some(start) = lines.iter().rposition(|line| *line == "failures:") else {
        return BTreeSet::new();
    };
    lines[start + 1..]
        .iter()
        .map_while(|line| line.strip_prefix("    "))
        .map(str::to_owned)
        .collect()
}

/// What the test named `name` printed, or failed with: the harness repeats that of each failed test.
pub(crate) fn printed_by<'o>(output: &'o str, name: &str) -> &'o str {
    // libtest says what was printed, libtest-mimic what it failed with.
    let headings = [
        format!("---- {name} stdout ----\n"),
        format!("---- {name} ----\n"),
    ];
    let found = headings
        .iter()
        .find_map(|heading| output.split_once(heading));
    let Some((_, rest)) = found else {
        return "";
    };
    let end = rest
        .find("\n---- ")
        .or_else(|| rest.find("\nfailures:\n"))
        .unwrap_or(rest.len());
    rest[..end].trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "
running 4 tests
test opens ... ok
test closes ... [WARN] a thread that is still there
FAILED
test draws ... ignored
test leaks ... FAILED

failures:

---- closes stdout ----

thread 'closes' panicked at src/door.rs:3:5:
the door is locked

---- leaks stdout ----
thread 'leaks' panicked

failures:
    closes
    leaks

test result: FAILED. 1 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_run_is_read_from_its_last_lines() {
        let outcome = outcome(
            &names(&["opens", "closes", "draws", "leaks"]),
            &names(&["draws"]),
            RUN,
        )
        .unwrap();
        assert_eq!(
            outcome,
            Outcome {
                passed: names(&["opens"]),
                failed: names(&["closes", "leaks"]),
                ignored: 1
            }
        );
    }

    #[test]
    fn a_run_that_died_is_an_error() {
        let died = RUN.split("test result").next().unwrap();
        let error = outcome(&names(&["opens"]), &names(&[]), died).unwrap_err();
        assert_eq!(error.to_string(), "it ended before its closing line");
    }

    #[test]
    fn a_test_that_did_not_run_is_an_error() {
        let listed = names(&["opens", "closes", "draws", "leaks", "waits"]);
        outcome(&listed, &names(&["draws"]), RUN).unwrap_err();
    }

    #[test]
    fn what_a_failed_test_printed_is_found() {
        assert_eq!(
            printed_by(RUN, "closes"),
            "thread 'closes' panicked at src/door.rs:3:5:\nthe door is locked"
        );
        assert_eq!(printed_by(RUN, "leaks"), "thread 'leaks' panicked");
        assert_eq!(printed_by(RUN, "opens"), "");
        let mimic = RUN.replace(" stdout ----", " ----");
        assert_eq!(printed_by(&mimic, "leaks"), "thread 'leaks' panicked");
    }

    #[test]
    fn names_are_listed_without_their_kind() {
        let output = "engine::opens: test\nengine::is_fast: benchmark\n\n1 test, 1 benchmark\n";
        assert_eq!(listed(output), names(&["engine::opens"]));
    }

    #[test]
    fn closing_lines_of_both_harnesses_are_read() {
        let counts = counts(
            "test result: ok. 7 passed; 0 failed; 2 ignored; 0 measured; 1 filtered out; finished in 1s",
        );
        assert_eq!(
            counts,
            Some(Counts {
                passed: 7,
                failed: 0,
                ignored: 2
            })
        );
    }
}
