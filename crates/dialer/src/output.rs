//! What the dialer prints: the result on standard output, warnings and failures on standard error.
//!
//! Numbers are masked, but in `--dry-run` and `--json`, which were asked for, and in the room's
//! name, by which the call is found in LiveKit.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the program's output"
)]

use std::error::Error as _;
use std::time::Duration;

use serde::Serialize;
use sip_config::ExecDoctorError;
use transfer_core::{CallOutcome, JobMetadata};

use crate::call::Call;
use crate::cli::Args;
use crate::dispatch::{Sign, Taken};
use crate::ending::Ending;
use crate::error::DialerError;
use crate::follow::Event;

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    /// `dispatched` with `--wait`, where more lines follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    room: &'a str,
    agent_name: &'a str,
    metadata: &'a JobMetadata,
    #[serde(skip_serializing_if = "Option::is_none")]
    dispatch_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker_id: Option<&'a str>,
}

/// What `--json --wait` prints while the call goes on.
#[derive(Serialize)]
struct Progress {
    event: Event,
    seconds: f64,
}

/// The last line of `--json --wait`.
#[derive(Serialize)]
struct End {
    event: &'static str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sip_status: Option<u16>,
    /// None when the call was over before.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    message: String,
    exit_code: u8,
}

/// Prints what would be sent.
pub(crate) fn dry_run(args: &Args, call: &Call) {
    warnings(args);
    if !call.number.is_assigned() {
        eprintln!("warning: {} is in no range that is in service", call.number);
    }
    if args.json {
        return print_json(args, call, None);
    }
    println!("Dry run: nobody is contacted");
    println!("Number: {}", call.number);
    println!("Session Room: {}", call.room);
    println!("Agent: {}", call.agent_name);
    println!("Metadata: {}", call.metadata.to_json());
}

/// Prints what is about to be asked for.
pub(crate) fn dialling(args: &Args, call: &Call) {
    warnings(args);
    if !args.json {
        println!("Initiating call to {}...", call.number.masked());
        println!("Session Room: {}", call.room);
    }
}

/// Prints that a worker has taken the call.
pub(crate) fn dispatched(args: &Args, call: &Call, taken: &Taken) {
    if args.json {
        print_json(args, call, Some(taken));
    } else {
        println!("\u{2705} Call Dispatched Successfully!");
        println!("Dispatch ID: {}", taken.dispatch_id);
    }
    if matches!(taken.sign, Sign::Over) && !args.wait {
        eprintln!("note: the call is over already; the worker's log says how it ended");
    }
}

/// Prints that the call was asked for before, if it was.
pub(crate) fn known(args: &Args, known: bool) {
    if known && !args.json {
        println!("Asked for before with this key: nobody is called again");
    }
}

/// Prints how far the call has come, `elapsed` after it was asked for.
pub(crate) fn progress(args: &Args, event: Event, elapsed: Duration) {
    if args.json {
        let seconds = elapsed.as_secs_f64();
        print_line(&Progress { event, seconds });
    } else {
        println!("{:7.1} s  {event}", elapsed.as_secs_f64());
    }
}

/// Prints how it ended, and what to do about it.
pub(crate) fn ended(args: &Args, ending: Ending, elapsed: Option<Duration>) {
    let cause = match ending {
        Ending::Over(CallOutcome::NotAnswered(cause)) => Some(cause),
        Ending::Over(_) | Ending::TimedOut | Ending::Interrupted | Ending::ConnectionLost => None,
    };
    if args.json {
        print_line(&End {
            event: "ended",
            outcome: ending.code(),
            cause: cause.map(transfer_core::DialFailure::code),
            sip_status: cause.and_then(|cause| Some(cause.sip_status()?.0)),
            seconds: elapsed.map(|elapsed| elapsed.as_secs_f64()),
            message: ending.to_string(),
            exit_code: ending.exit_code(),
        });
        return;
    }
    match (ending, elapsed) {
        (Ending::Over(_), Some(elapsed)) => {
            println!("{:7.1} s  ended: {ending}", elapsed.as_secs_f64());
        }
        (Ending::Over(_), None) => println!("Ended: {ending}"),
        (Ending::TimedOut | Ending::Interrupted | Ending::ConnectionLost, _) => {
            eprintln!("{ending}");
        }
    }
    if let Some(cause) = cause {
        eprintln!("hint: {}", cause.hint());
    }
}

/// Prints a warning while the call goes on.
pub(crate) fn warning(error: &DialerError) {
    eprintln!("warning: {error}");
}

/// Says who does the checks, and why they are not done.
pub(crate) fn no_doctor(error: &ExecDoctorError) {
    match error.source() {
        Some(cause) => eprintln!("\u{274c} {error}: {cause}"),
        None => eprintln!("\u{274c} {error}"),
    }
}

/// Prints the failure with its cause, and what to do about it.
pub(crate) fn failure(error: &DialerError) {
    let mut root = error.source();
    while let Some(deeper) = root.and_then(|cause| cause.source()) {
        root = Some(deeper);
    }
    match root {
        Some(cause) => eprintln!("\u{274c} Error dispatching call: {error}: {cause}"),
        None => eprintln!("\u{274c} Error dispatching call: {error}"),
    }
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
}

fn warnings(args: &Args) {
    for header in args.headers.iter().filter(|header| !header.is_forwarded()) {
        eprintln!(
            "warning: header {} does not start with {}, so Vobiz will drop it",
            header.name(),
            transfer_core::FORWARDED_PREFIX
        );
    }
}

fn print_json(args: &Args, call: &Call, taken: Option<&Taken>) {
    let job = taken.and_then(|taken| match &taken.sign {
        Sign::Job(job) => Some(job),
        Sign::Agent | Sign::Over => None,
    });
    let report = Report {
        event: (args.wait && taken.is_some()).then_some("dispatched"),
        room: &call.room,
        agent_name: &call.agent_name,
        metadata: &call.metadata,
        dispatch_id: taken.map(|taken| taken.dispatch_id.as_str()),
        job_id: job.map(|job| job.id.as_str()),
        worker_id: job.and_then(|job| Some(job.state.as_ref()?.worker_id.as_str())),
    };
    print_line(&report);
}

fn print_line(line: &impl Serialize) {
    let json = serde_json::to_string(line).expect("strings and finite numbers always serialize");
    println!("{json}");
}
