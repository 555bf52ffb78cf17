//! The part of the run that lives in a network, process and mount namespace of its own.
//!
//! There every port is free, nothing reaches the world outside, and the kernel ends everything with the first
//! process of the namespace.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fs::{self, File},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::{libtest, process, progress::seconds};

const CONFIG: &str = include_str!("../../upstream-tests.livekit.yaml");
const PORT: u16 = 7880;
/// As in the server's configuration.
const API_KEY: &str = "devkey";
const API_SECRET: &str = "secretsecretsecretsecretsecretsecret";

/// How long the server may take to listen. It takes a tenth of a second; reaching this means that it is broken.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How long one test binary may run. The longest takes three minutes on two cores; reaching this means a hang.
const BINARY_LIMIT: Duration = Duration::from_secs(15 * 60);

/// How often something is looked at that gives no signal.
const POLL: Duration = Duration::from_millis(50);

/// What the outer process tells the inner one.
#[derive(Serialize, Deserialize)]
pub(super) struct Plan {
    /// For logs and results.
    pub(super) dir: PathBuf,
    pub(super) server: PathBuf,
    pub(super) tests: Vec<Test>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Test {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) package: PathBuf,
}

/// How a test binary did.
#[derive(Serialize, Deserialize)]
pub(super) struct TestResult {
    pub(super) name: String,
    pub(super) took: Duration,
    /// The error says why the binary gave no result.
    pub(super) outcome: Result<Outcome, String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) passed: BTreeSet<String>,
    /// Name of the test and what it printed.
    pub(super) failed: BTreeMap<String, String>,
    pub(super) ignored: u32,
}

/// Runs `plan` in namespaces, from the outside.
pub(super) fn start(plan: &Plan) -> anyhow::Result<Vec<TestResult>> {
    let plan_file = plan.dir.join("plan.json");
    fs::write(&plan_file, serde_json::to_vec_pretty(plan)?).context("cannot write the plan")?;
    let results = results_file(&plan.dir);
    if results.exists() {
        fs::remove_file(&results).context("cannot remove earlier results")?;
    }
    let mut command =
        process::unshare(&["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command
        .arg(env::current_exe().context("cannot tell where the running program lies")?)
        .args(["upstream-tests", "--inside"])
        .arg(&plan_file);
    process::run(&mut command)?;
    let results = fs::read(&results).context("cannot read the results")?;
    serde_json::from_slice(&results).context("cannot read the results")
}

/// Runs the plan in `file`; the first process of the namespaces.
pub(super) fn run(file: &Path) -> anyhow::Result<ExitCode> {
    let plan: Plan = serde_json::from_slice(&fs::read(file).context("cannot read the plan")?)?;
    for words in [
        "link set lo up",
        // WebRTC gathers nothing on a machine that has a loopback only (192.0.2.0/24 is RFC 5737's).
        "link add world type veth peer name nowhere",
        "addr add 192.0.2.10/24 dev world",
        "link set world up",
        "link set nowhere up",
    ] {
        process::output(process::command("ip").args(words.split(' ')))?;
    }
    let mut server = start_server(&plan)?;
    let mut results = Vec::new();
    for test in &plan.tests {
        println!("-- {}", test.name);
        let started = Instant::now();
        let outcome = run_test(test, &plan.dir).map_err(|error| format!("{error:#}"));
        let took = started.elapsed();
        match &outcome {
            Ok(outcome) => {
                println!(
                    "   {} passed, {} failed in {}",
                    outcome.passed.len(),
                    outcome.failed.len(),
                    seconds(took)
                );
            }
            Err(error) => println!("   {error}"),
        }
        results.push(TestResult {
            name: test.name.clone(),
            took,
            outcome,
        });
        if let Some(status) = server.try_wait()? {
            bail!(
                "livekit-server ended while {} ran: {status}; its log is in {}",
                test.name,
                plan.dir.display()
            );
        }
    }
    server.kill().context("cannot stop livekit-server")?;
    server.wait()?;
    fs::write(
        results_file(&plan.dir),
        serde_json::to_vec_pretty(&results)?,
    )
    .context("cannot write the results")?;
    Ok(ExitCode::SUCCESS)
}

fn results_file(dir: &Path) -> PathBuf {
    dir.join("results.json")
}

fn start_server(plan: &Plan) -> anyhow::Result<Child> {
    let config = plan.dir.join("livekit.yaml");
    fs::write(&config, CONFIG).context("cannot write livekit-server's configuration")?;
    let log = create(&plan.dir.join("livekit-server.log"))?;
    let mut command = process::command(&plan.server);
    command
        .arg("--config")
        .arg(&config)
        .stdout(log.try_clone()?)
        .stderr(log);
    let mut server = process::spawn(&mut command)?;
    let started = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).is_err() {
        if let Some(status) = server.try_wait()? {
            bail!(
                "livekit-server ended at once: {status}; its log is in {}",
                plan.dir.display()
            );
        }
        if started.elapsed() > START_LIMIT {
            bail!("livekit-server does not listen on port {PORT} after {START_LIMIT:?}");
        }
        std::thread::sleep(POLL);
    }
    Ok(server)
}

fn run_test(test: &Test, dir: &Path) -> anyhow::Result<Outcome> {
    let names = |arguments: &[&str]| -> anyhow::Result<BTreeSet<String>> {
        Ok(libtest::listed(&process::output(
            test.command().args(["--list"]).args(arguments),
        )?))
    };
    let (listed, ignored) = (names(&[])?, names(&["--ignored"])?);

    let log = dir.join(format!("{}.log", test.name));
    let file = create(&log)?;
    // One at a time: the tests have limits of their own, which were chosen for machines with more cores.
    let mut command = test.command();
    command
        .arg("--test-threads=1")
        .stdout(file.try_clone()?)
        .stderr(file);
    let mut child = process::spawn(&mut command)?;
    let started = Instant::now();
    while child.try_wait()?.is_none() {
        if started.elapsed() > BINARY_LIMIT {
            child.kill()?;
            bail!(
                "it did not end within {BINARY_LIMIT:?}; see {}",
                log.display()
            );
        }
        std::thread::sleep(POLL);
    }
    let output = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let output = String::from_utf8_lossy(&output);
    let outcome = libtest::outcome(&listed, &ignored, &output)
        .with_context(|| format!("see {}", log.display()))?;
    let printed = |name: String| {
        let printed = libtest::printed_by(&output, &name).to_owned();
        (name, printed)
    };
    Ok(Outcome {
        passed: outcome.passed,
        failed: outcome.failed.into_iter().map(printed).collect(),
        ignored: outcome.ignored,
    })
}

impl Test {
    fn command(&self) -> Command {
        let mut command = process::command(&self.program);
        command
            .current_dir(&self.package)
            .env("LIVEKIT_URL", format!("ws://127.0.0.1:{PORT}"))
            .env("LIVEKIT_API_KEY", API_KEY)
            .env("LIVEKIT_API_SECRET", API_SECRET)
            // Backtraces through the runtime would bury what a failed test says.
            .env("RUST_BACKTRACE", "0");
        command
    }
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("cannot create {}", path.display()))
}
