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

use serde::Serialize;
use transfer_core::JobMetadata;

use crate::call::Call;
use crate::cli::Args;
use crate::dispatch::{Sign, Taken};
use crate::error::DialerError;

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
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

/// Prints what would be sent.
pub(crate) fn dry_run(args: &Args, call: &Call) {
    warnings(args);
    if !call.number.is_assigned() {
        eprintln!("warning: {} is in no range that is in service", call.number);
    }
    if args.json {
        return print_json(call, None);
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
        print_json(call, Some(taken));
    } else {
        println!("\u{2705} Call Dispatched Successfully!");
        println!("Dispatch ID: {}", taken.dispatch_id);
    }
    if matches!(taken.sign, Sign::Over) {
        eprintln!("note: the call is over already; the worker's log says how it ended");
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

fn print_json(call: &Call, taken: Option<&Taken>) {
    let job = taken.and_then(|taken| match &taken.sign {
        Sign::Job(job) => Some(job),
        Sign::Agent | Sign::Over => None,
    });
    let report = Report {
        room: &call.room,
        agent_name: &call.agent_name,
        metadata: &call.metadata,
        dispatch_id: taken.map(|taken| taken.dispatch_id.as_str()),
        job_id: job.map(|job| job.id.as_str()),
        worker_id: job.and_then(|job| Some(job.state.as_ref()?.worker_id.as_str())),
    };
    let json = serde_json::to_string(&report).expect("strings always serialize");
    println!("{json}");
}
