//! `cargo xtask test`: everything, with what each step ran and took.
//!
//! What compiles does so without a network: no build script downloads anything.
//! `clippy` and `doc` share what they learn about dependencies, which `build` cannot use, nor they what it built.

use std::{
    process::{Command, ExitCode, ExitStatus},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};

use crate::{
    cargo::{self, Executable},
    e2e,
    libtest::{self, Counts},
    process,
    progress::seconds,
    setup::{self, Installed},
};

/// Names of crates that bring upstream's C++ libwebrtc, which its build script downloads.
const DOWNLOADERS: &[&str] = &["webrtc-sys", "webrtc-sys-build"];

/// How many test programs run at the same time. More would not be done sooner on two cores.
const PROGRAMS_AT_ONCE: usize = 2;

/// How many tests of a program run at the same time: most of them wait.
const TESTS_AT_ONCE: &str = "6";

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    let installed = report.step("setup", setup::world);
    report.step("formatting", || {
        process::run(&mut echo(cargo::command(&["fmt", "--all", "--check"])))
    });
    report.step("dependencies", dependencies);
    report.step("clippy", || {
        let arguments = ["clippy", "--workspace", "--all-targets"];
        process::run(&mut echo(cargo::offline(
            &arguments,
            &["--", "--deny", "warnings"],
        )))
    });
    report.step("docs", || {
        let arguments = [
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ];
        process::run(echo(cargo::offline(&arguments, &[])).env("RUSTDOCFLAGS", "-Dwarnings"))
    });
    let built = report.step("build", || {
        cargo::build(&mut echo(cargo::offline(e2e::BUILD, &[])))
    });
    match &built {
        Some(executables) => {
            report.tests("unit and integration tests", |tally| {
                unit_and_integration(executables, tally)
            });
            report.tests("examples in docs", |tally| {
                tally.run(&mut cargo::command(&[
                    "test",
                    "--workspace",
                    "--doc",
                    "--locked",
                    "--quiet",
                ]))
            });
        }
        None => report.not_run("unit and integration tests"),
    }
    match (&built, &installed) {
        (Some(executables), Some(installed)) => {
            report.tests("end-to-end tests", |tally| {
                end_to_end(executables, installed, tally)
            });
        }
        (Some(_) | None, _) => report.not_run("end-to-end tests"),
    }
    Ok(report.conclude())
}

/// `livekit` is the published one and runs on our `libwebrtc`.
fn dependencies() -> anyhow::Result<()> {
    let packages = cargo::lockfile()?;
    let sources = |name: &str| -> Vec<_> {
        packages
            .iter()
            .filter(|package| package.name == name)
            .map(|package| package.source.as_deref())
            .collect()
    };
    ensure!(
        sources("libwebrtc") == [None],
        "the libwebrtc in Cargo.lock is not the one in crates/libwebrtc"
    );
    for name in ["livekit", "livekit-api", "livekit-protocol"] {
        let published = sources(name)
            .iter()
            .all(|source| source.is_some_and(|source| source.starts_with("registry+")));
        ensure!(published, "{name} is not the published one");
    }
    for name in DOWNLOADERS {
        ensure!(
            sources(name).is_empty(),
            "Cargo.lock has {name}, whose build script downloads a binary"
        );
    }
    process::run(&mut echo(cargo::command(&["fetch", "--locked"])))?;
    process::run(&mut echo(cargo::command(&[
        "tree",
        "--locked",
        "--package",
        "voice-agent",
        "--invert",
        "libwebrtc",
        "--edges",
        "normal",
    ])))
}

fn unit_and_integration(executables: &[Executable], tally: &mut Tally) -> anyhow::Result<()> {
    let is_wanted = |executable: &&Executable| executable.is_test && !e2e::is_scenarios(executable);
    tally.run_each(executables.iter().filter(is_wanted).map(|test| {
        let mut command = test.command();
        command.env("RUST_TEST_THREADS", TESTS_AT_ONCE);
        (test.title(), command)
    }))?;
    tally.ensure_any()
}

fn end_to_end(
    executables: &[Executable],
    installed: &Installed,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let mut command = e2e::scenarios(executables)?;
    e2e::tell(&mut command, installed);
    tally.run(&mut command)?;
    tally.ensure_any()
}

/// Prints the command before it runs.
fn echo(command: Command) -> Command {
    println!("$ {}", process::shown(&command));
    command
}

/// Tests of one step.
#[derive(Default)]
struct Tally {
    counts: Counts,
    /// Names of tests that failed, and of binaries that died.
    failed: Vec<String>,
}

impl Tally {
    /// Runs test programs with their titles, some at the same time, and prints what each printed when it is done.
    fn run_each(
        &mut self,
        programs: impl Iterator<Item = (String, Command)> + Send,
    ) -> anyhow::Result<()> {
        let programs = Mutex::new(programs);
        let next = || programs.lock().expect("no lane panics in between").next();
        let lane = || -> anyhow::Result<Self> {
            let mut tally = Self::default();
            while let Some((title, mut command)) = next() {
                let mut printed = format!("-- {title}\n");
                tally.watch(&mut command, |line| printed.extend([line, "\n"]))?;
                print!("{printed}");
            }
            Ok(tally)
        };
        thread::scope(|scope| {
            let lanes: Vec<_> = (0..PROGRAMS_AT_ONCE).map(|_| scope.spawn(lane)).collect();
            for lane in lanes {
                let lane = lane.join().expect("a lane does not panic")?;
                self.counts += lane.counts;
                self.failed.extend(lane.failed);
            }
            Ok(())
        })
    }

    /// Runs a test program, printing what it prints.
    fn run(&mut self, command: &mut Command) -> anyhow::Result<()> {
        self.watch(command, |line| println!("{line}"))
    }

    /// Runs a test program, and gives each line that it prints to `show`.
    fn watch(&mut self, command: &mut Command, mut show: impl FnMut(&str)) -> anyhow::Result<()> {
        let before = self.counts;
        let status = process::stdout_lines(command, |line| {
            if let Some(counts) = libtest::counts(&line) {
                self.counts += counts;
            }
            if let Some(name) = line
                .strip_prefix("test ")
                .and_then(|line| line.strip_suffix(" ... FAILED"))
            {
                self.failed.push(name.to_owned());
            }
            show(&line);
        })?;
        self.judge(command, status, self.counts.failed > before.failed);
        Ok(())
    }

    /// A step that ran no test has shown nothing.
    fn ensure_any(&self) -> anyhow::Result<()> {
        ensure!(self.counts.passed + self.counts.failed > 0, "no test ran");
        Ok(())
    }

    fn judge(&mut self, command: &Command, status: ExitStatus, counted: bool) {
        if !status.success() && !counted {
            self.counts.failed += 1;
            self.failed
                .push(format!("`{}` ended with {status}", process::shown(command)));
        }
    }
}

#[derive(Default)]
struct Report {
    rows: Vec<Row>,
    counts: Counts,
    failed: Vec<String>,
}

struct Row {
    name: &'static str,
    took: Duration,
    result: Result<String, String>,
}

impl Report {
    /// Runs a step; the value is there when it went well.
    fn step<T>(
        &mut self,
        name: &'static str,
        run: impl FnOnce() -> anyhow::Result<T>,
    ) -> Option<T> {
        println!("\n=== {name}");
        let started = Instant::now();
        let outcome = run();
        let (result, value) = match outcome {
            Ok(value) => (Ok("ok".to_owned()), Some(value)),
            Err(error) => {
                println!("{name} failed: {error:#}");
                (Err("failed".to_owned()), None)
            }
        };
        self.rows.push(Row {
            name,
            took: started.elapsed(),
            result,
        });
        value
    }

    /// Runs a step that consists of tests.
    fn tests(&mut self, name: &'static str, run: impl FnOnce(&mut Tally) -> anyhow::Result<()>) {
        let mut tally = Tally::default();
        self.step(name, || {
            run(&mut tally)?;
            if tally.counts.failed > 0 {
                bail!("{} of them", tally.counts.failed);
            }
            Ok(())
        });
        let row = self.rows.last_mut().expect("the step is there");
        let Counts {
            passed,
            failed,
            ignored,
        } = tally.counts;
        let counted = match ignored {
            0 => format!("{passed} passed, {failed} failed"),
            _ => format!("{passed} passed, {failed} failed, {ignored} ignored"),
        };
        row.result = if row.result.is_ok() {
            Ok(counted)
        } else {
            Err(counted)
        };
        self.counts += tally.counts;
        self.failed.extend(tally.failed);
    }

    fn not_run(&mut self, name: &'static str) {
        self.rows.push(Row {
            name,
            took: Duration::ZERO,
            result: Err("not run".to_owned()),
        });
    }

    fn conclude(self) -> ExitCode {
        println!("\n=== summary");
        let mut good = true;
        for row in &self.rows {
            let (Ok(result) | Err(result)) = &row.result;
            let mark = if row.result.is_ok() { "ok  " } else { "FAIL" };
            println!(
                "{mark}  {:28} {:>12}  {result}",
                row.name,
                seconds(row.took)
            );
            good &= row.result.is_ok();
        }
        let total = self.rows.iter().map(|row| row.took).sum();
        println!("      {:28} {:>12}", "all", seconds(total));
        for name in &self.failed {
            println!("failed: {name}");
        }
        println!(
            "{} passed, {} failed",
            self.counts.passed, self.counts.failed
        );
        if good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(script: &str) -> Tally {
        let mut tally = Tally::default();
        tally
            .run(process::command("sh").args(["-c", script]))
            .unwrap();
        tally
    }

    #[test]
    fn tests_are_counted_and_failures_named() {
        let tally = tally(
            "echo 'test opens ... FAILED'; echo 'test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out'; exit 101",
        );
        assert_eq!(
            tally.counts,
            Counts {
                passed: 3,
                failed: 1,
                ignored: 0
            }
        );
        assert_eq!(tally.failed, ["opens"]);
    }

    #[test]
    fn programs_that_run_at_the_same_time_are_all_counted() {
        let program = |number: usize| {
            let last = if number == 3 {
                "sh -c 'exit 3'"
            } else {
                "true"
            };
            let mut command = process::command("sh");
            let result = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured;";
            command.args(["-c", &format!("echo '{result}'; {last}")]);
            (number.to_string(), command)
        };
        let mut tally = Tally::default();
        tally.run_each((0..5).map(program)).unwrap();
        let Counts { passed, failed, .. } = tally.counts;
        assert_eq!((passed, failed), (10, 1));
        assert!(tally.failed[0].contains("exit 3"), "{:?}", tally.failed);
    }

    #[test]
    fn a_test_program_that_dies_is_a_failure() {
        let tally = tally("echo 'running 3 tests'; exit 134");
        assert_eq!(tally.counts.failed, 1);
        assert!(
            tally.failed[0].ends_with("ended with exit status: 134"),
            "{:?}",
            tally.failed
        );
    }

    #[test]
    fn a_step_without_tests_that_fails_fails_the_whole() {
        let mut report = Report::default();
        report.step("lint", || -> anyhow::Result<()> { bail!("untidy") });
        report.tests("tests", |tally| {
            tally.counts.passed = 1;
            Ok(())
        });
        assert!(report.rows[0].result.is_err());
        assert_eq!(report.rows[1].result, Ok("1 passed, 0 failed".to_owned()));
        assert_eq!(report.conclude(), ExitCode::FAILURE);
    }
}
