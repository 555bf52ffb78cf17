//! Which of LiveKit's tests fail, and why: `xtask/upstream-tests.toml`, kept honest by every run.

use std::fmt;

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::{LIB, inside::TestResult};
use crate::progress::seconds;

const FILE: &str = "xtask/upstream-tests.toml";
const TEXT: &str = include_str!("../../upstream-tests.toml");

/// Binaries in which nothing may fail: they cover what a voice agent needs.
const REQUIRED: &[&str] = &[
    LIB,
    "audio_test",
    "data_channel_test",
    "dynacast_test",
    "engine_lifecycle_test",
    "peer_connection_signaling_test",
    "reconnection_test",
    "rpc_test",
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    expected_failure: Vec<ExpectedFailure>,
}

/// A test that is known to fail.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedFailure {
    binary: String,
    test: String,
    reason: String,
    /// It passes at times; the reason says what that depends on.
    #[serde(default)]
    flaky: bool,
}

/// A way in which the list is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Complaint {
    /// A test failed that is not on the list.
    Unlisted {
        binary: String,
        test: String,
        printed: String,
    },
    /// A test passed that is on the list.
    Passed { binary: String, test: String },
    /// A test is on the list that the binary does not have.
    NoSuchTest { binary: String, test: String },
    /// A binary did not run to its end.
    Died { binary: String, error: String },
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlisted {
                binary,
                test,
                printed,
            } => {
                write!(
                    f,
                    "{binary}: {test} failed and is not in {FILE}:\n{printed}"
                )
            }
            Self::Passed { binary, test } => {
                write!(f, "{binary}: {test} passed: take it out of {FILE}")
            }
            Self::NoSuchTest { binary, test } => {
                write!(f, "{binary} has no test {test}: take it out of {FILE}")
            }
            Self::Died { binary, error } => write!(f, "{binary}: {error}"),
        }
    }
}

pub(super) fn read() -> anyhow::Result<Vec<ExpectedFailure>> {
    parse(TEXT).with_context(|| format!("in {FILE}"))
}

fn parse(text: &str) -> anyhow::Result<Vec<ExpectedFailure>> {
    let File { expected_failure } = basic_toml::from_str(text)?;
    for entry in &expected_failure {
        ensure!(
            !REQUIRED.contains(&entry.binary.as_str()),
            "nothing may fail in {}",
            entry.binary
        );
        ensure!(
            !entry.reason.trim().is_empty(),
            "{}: {} has no reason",
            entry.binary,
            entry.test
        );
    }
    Ok(expected_failure)
}

/// Everything in which `results` and the list disagree; of binaries that did not run, nothing.
pub(super) fn compare(expected: &[ExpectedFailure], results: &[TestResult]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for result in results {
        let binary = result.name.clone();
        let outcome = match &result.outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                complaints.push(Complaint::Died {
                    binary,
                    error: error.clone(),
                });
                continue;
            }
        };
        for (test, printed) in &outcome.failed {
            if reason(expected, &binary, test).is_none() {
                let (binary, test, printed) = (binary.clone(), test.clone(), printed.clone());
                complaints.push(Complaint::Unlisted {
                    binary,
                    test,
                    printed,
                });
            }
        }
        for entry in expected.iter().filter(|entry| entry.binary == binary) {
            let (binary, test) = (binary.clone(), entry.test.clone());
            if outcome.passed.contains(&test) {
                if !entry.flaky {
                    complaints.push(Complaint::Passed { binary, test });
                }
            } else if !outcome.failed.contains_key(&test) {
                complaints.push(Complaint::NoSuchTest { binary, test });
            }
        }
    }
    complaints
}

fn reason<'e>(expected: &'e [ExpectedFailure], binary: &str, test: &str) -> Option<&'e str> {
    let entry = expected
        .iter()
        .find(|entry| entry.binary == binary && entry.test == test)?;
    Some(&entry.reason)
}

/// Prints every binary with its numbers, and every failure with its reason.
pub(super) fn print_table(expected: &[ExpectedFailure], results: &[TestResult]) {
    println!(
        "\n{:32} {:>6} {:>6} {:>7} {:>12}",
        "test binary", "passed", "failed", "ignored", "time"
    );
    for result in results {
        let took = seconds(result.took);
        match &result.outcome {
            Ok(outcome) => {
                let (passed, failed) = (outcome.passed.len(), outcome.failed.len());
                println!(
                    "{:32} {passed:>6} {failed:>6} {:>7} {took:>12}",
                    result.name, outcome.ignored
                );
                for test in outcome.failed.keys() {
                    println!(
                        "    {test}: {}",
                        reason(expected, &result.name, test).unwrap_or("NOT EXPECTED")
                    );
                }
            }
            Err(error) => println!("{:32} {error} {took:>12}", result.name),
        }
    }
    let outcomes = || {
        results
            .iter()
            .filter_map(|result| result.outcome.as_ref().ok())
    };
    let passed: usize = outcomes().map(|outcome| outcome.passed.len()).sum();
    let failed: usize = outcomes().map(|outcome| outcome.failed.len()).sum();
    println!("{:32} {passed:>6} {failed:>6}", "all");
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        time::Duration,
    };

    use super::{super::inside::Outcome, *};

    const LIST: &str = r#"
        [[expected_failure]]
        binary = "video_test"
        test = "test_video"
        reason = "video is not implemented"

        [[expected_failure]]
        binary = "room_test"
        test = "test_close"
        reason = "a race with tokio's timer"
        flaky = true
    "#;

    fn ran(name: &str, passed: &[&str], failed: &[&str]) -> TestResult {
        let passed = passed
            .iter()
            .map(|test| (*test).to_owned())
            .collect::<BTreeSet<_>>();
        let failed = failed
            .iter()
            .map(|test| ((*test).to_owned(), "boom".to_owned()))
            .collect::<BTreeMap<_, _>>();
        TestResult {
            name: name.to_owned(),
            took: Duration::ZERO,
            outcome: Ok(Outcome {
                passed,
                failed,
                ignored: 0,
            }),
        }
    }

    fn complaints(results: &[TestResult]) -> Vec<String> {
        compare(&parse(LIST).unwrap(), results)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_run_as_expected_has_no_complaints() {
        assert_eq!(
            complaints(&[
                ran("video_test", &[], &["test_video"]),
                ran("room_test", &["test_close"], &[])
            ]),
            [""; 0]
        );
        assert_eq!(
            complaints(&[ran("room_test", &[], &["test_close"])]),
            [""; 0]
        );
    }

    #[test]
    fn an_unlisted_failure_is_shown_with_what_it_printed() {
        assert_eq!(
            complaints(&[ran("audio_test", &[], &["test_audio"])]),
            ["audio_test: test_audio failed and is not in xtask/upstream-tests.toml:\nboom"]
        );
    }

    #[test]
    fn a_listed_test_that_passes_has_to_leave_the_list() {
        assert_eq!(
            complaints(&[ran("video_test", &["test_video"], &[])]),
            ["video_test: test_video passed: take it out of xtask/upstream-tests.toml"]
        );
    }

    #[test]
    fn a_listed_test_that_does_not_exist_has_to_leave_the_list() {
        assert_eq!(
            complaints(&[ran("room_test", &["test_open"], &[])]),
            ["room_test has no test test_close: take it out of xtask/upstream-tests.toml"]
        );
    }

    #[test]
    fn a_binary_that_died_is_a_complaint() {
        let died = TestResult {
            name: "rpc_test".into(),
            took: Duration::ZERO,
            outcome: Err("it hung".into()),
        };
        assert_eq!(complaints(&[died]), ["rpc_test: it hung"]);
    }

    #[test]
    fn failures_of_required_tests_cannot_be_listed() {
        let list =
            "[[expected_failure]]\nbinary = \"rpc_test\"\ntest = \"test_rpc\"\nreason = \"hard\"\n";
        assert_eq!(
            parse(list).unwrap_err().to_string(),
            "nothing may fail in rpc_test"
        );
    }

    #[test]
    fn a_reason_is_not_optional() {
        let list =
            "[[expected_failure]]\nbinary = \"room_test\"\ntest = \"test_a\"\nreason = \" \"\n";
        assert_eq!(
            parse(list).unwrap_err().to_string(),
            "room_test: test_a has no reason"
        );
    }

    #[test]
    fn the_list_of_this_project_is_sound() {
        read().unwrap();
    }
}
