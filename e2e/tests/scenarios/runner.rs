//! Runs scenarios as libtest runs tests, each in a namespace and a process of its own.

use std::{
    env, fs,
    future::Future,
    io::Read,
    path::{Path, PathBuf},
    pin::Pin,
    process::{ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use e2e::{binaries::runs_dir, ladder::Ladder, namespace, world::World};
use libtest_mimic::{Arguments, Failed, Trial};

/// How many scenarios run at once unless `--test-threads` says otherwise.
///
/// More saves time while phones speak and ring, and costs it where Whisper listens.
const AT_ONCE: usize = 6;

/// How long a scenario may take; the slowest needs a third of it.
const LIMIT: Duration = Duration::from_secs(150);

/// Leaves the files of passed scenarios too; an argument, or a variable that is set.
const KEEP: (&str, &str) = ("--keep", "E2E_KEEP");

/// How many of the worker's last lines a failure shows.
const TAIL: usize = 40;

pub(crate) type Body = fn(World) -> Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) body: Body,
}

/// Lists functions `async fn(World) -> anyhow::Result<()>` by their paths; the last segment is the name.
macro_rules! scenarios {
    ($($module:ident :: $name:ident),+ $(,)?) => {
        &[$(Scenario { name: stringify!($name), body: |world| Box::pin($module::$name(world)) }),+]
    };
}
pub(crate) use scenarios;

pub(crate) fn run(scenarios: &'static [Scenario]) -> ExitCode {
    let mut args: Vec<_> = env::args().collect();
    if namespace::is_inside() {
        let [_, name, dir] = args.as_slice() else {
            panic!("the inner process is given a scenario and a folder")
        };
        let scenario = scenarios
            .iter()
            .find(|scenario| scenario.name == name)
            .expect("the outer process knows it");
        return inner(*scenario, Path::new(dir));
    }
    let keep = args.iter().any(|arg| arg == KEEP.0) || env::var_os(KEEP.1).is_some();
    args.retain(|arg| arg != KEEP.0);
    let mut arguments = Arguments::from_iter(args);
    arguments.test_threads.get_or_insert(AT_ONCE);
    let trials = scenarios
        .iter()
        .map(|&scenario| Trial::test(scenario.name, move || outer(scenario, keep)))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Runs the scenario inside, and shows its figures, or gives its report when it fails.
#[expect(clippy::print_stdout, reason = "this is the program's output")]
fn outer(scenario: Scenario, keep: bool) -> Result<(), Failed> {
    let start = Instant::now();
    let dir = tempfile::Builder::new()
        .prefix(&format!("{}-", scenario.name))
        .tempdir_in(runs_dir().map_err(report)?)
        .context("cannot create a folder for the run")
        .map_err(report)?;
    let mut command = namespace::command([Path::new(scenario.name), dir.path()]).map_err(report)?;
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start `unshare`")
        .map_err(report)?;
    // Held until the child has ended: it dies when this closes.
    let lifeline = child.stdin.take();
    let mut printed = String::new();
    child
        .stdout
        .take()
        .expect("stdout is piped")
        .read_to_string(&mut printed)
        .map_err(|e| report(e.into()))?;
    let status = child.wait().map_err(|e| report(e.into()))?;
    drop(lifeline);

    if status.success() {
        print!("{printed}");
        if keep {
            println!(
                "{}: {:.1} s, kept {}",
                scenario.name,
                start.elapsed().as_secs_f64(),
                dir.keep().display()
            );
        }
        return Ok(());
    }
    Err(format!(
        "{printed}\n{status}; logs and capture are kept in {}",
        dir.keep().display()
    )
    .into())
}

fn report(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}

/// Process 1 of the namespace: runs the scenario and prints why it failed.
#[expect(clippy::print_stdout, reason = "the outer process reads this")]
fn inner(scenario: Scenario, dir: &Path) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime needs threads and epoll");
    let outcome = runtime.block_on(async {
        namespace::enter(dir)?;
        match tokio::time::timeout(LIMIT, async {
            (scenario.body)(World::start(dir).await?).await
        })
        .await
        {
            Ok(outcome) => outcome,
            Err(_) => bail!("the scenario did not end within {LIMIT:?}"),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}\n\n{}", what_happened(dir));
            ExitCode::FAILURE
        }
    }
}

/// The ladder and the end of the worker's log, for whoever cannot look into the folder.
fn what_happened(dir: &Path) -> String {
    let read = |name: &str| fs::read_to_string(PathBuf::from(dir).join(name)).unwrap_or_default();
    let log = read("voice-agent.log");
    let lines: Vec<_> = log.lines().collect();
    format!(
        "{}\n{}\n{}",
        Ladder::heading(),
        read("ladder.txt"),
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    )
}
