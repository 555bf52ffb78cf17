//! What trunk-setup prints: the result on standard output, failures on standard error, and no
//! password on either.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the program's output"
)]

use std::error::Error as _;
use std::path::Path;

use livekit_protocol::SipOutboundTrunkInfo;
use serde::Serialize;
use serde_json::json;
use sip_config::TrunkSettings;

use crate::cli::{Args, Mode};
use crate::error::SetupError;
use crate::inbound::{InboundPlan, RuleStep, TrunkStep, Wanted};
use crate::plan::{Difference, Plan};

/// A trunk, as `--json` shows it.
#[derive(Serialize)]
struct Trunk<'a> {
    id: &'a str,
    name: &'a str,
    address: &'a str,
    username: &'a str,
    numbers: &'a [String],
}

impl<'a> Trunk<'a> {
    fn new(trunk: &'a SipOutboundTrunkInfo) -> Self {
        Self {
            id: &trunk.sip_trunk_id,
            name: &trunk.name,
            address: &trunk.address,
            username: &trunk.auth_username,
            numbers: &trunk.numbers,
        }
    }
}

/// Prints the outbound trunks.
pub(crate) fn list(trunks: &[SipOutboundTrunkInfo], json: bool) {
    if json {
        let trunks: Vec<_> = trunks.iter().map(Trunk::new).collect();
        return println!("{}", json!(trunks));
    }
    if trunks.is_empty() {
        return println!("There are no outbound trunks; `trunk-setup` creates one");
    }
    for trunk in trunks {
        println!("{}  {}", trunk.sip_trunk_id, trunk.name);
        println!("  Address: {}", trunk.address);
        println!("  Username: {}", trunk.auth_username);
        println!("  Numbers: {}", trunk.numbers.join(", "));
    }
}

/// Prints what differs; returns whether nothing does.
pub(crate) fn check(plan: &Plan, settings: &TrunkSettings, json: bool) -> bool {
    let (id, differences) = match plan {
        Plan::Create => (None, &[][..]),
        Plan::Update { trunk, differences } => (Some(&trunk.sip_trunk_id), differences.as_slice()),
    };
    let in_sync = id.is_some() && differences.is_empty();
    if json {
        let report = json!({ "trunk_id": id, "in_sync": in_sync, "differences": differences });
        println!("{report}");
        return in_sync;
    }
    match id {
        None => println!(
            "No SIP Trunk has address {} and number {}; `trunk-setup` creates one",
            settings.domain, settings.outbound_number
        ),
        Some(id) if in_sync => println!("SIP Trunk {id} agrees with the settings"),
        Some(id) => {
            println!("SIP Trunk {id} differs from the settings; `trunk-setup` repairs it");
            differences.iter().for_each(print_difference);
        }
    }
    in_sync
}

fn print_difference(difference: &Difference) {
    let field = difference.field.name();
    match &difference.values {
        Some((trunk, settings)) => {
            println!("  {field}: trunk has `{trunk}`, settings have `{settings}`");
        }
        None => println!("  {field}: differs"),
    }
}

/// Prints what is about to be set.
pub(crate) fn applying(plan: &Plan, settings: &TrunkSettings, json: bool) {
    if json {
        return;
    }
    match plan {
        Plan::Create => println!("Creating SIP Trunk"),
        Plan::Update { trunk, .. } => println!("Updating SIP Trunk: {}", trunk.sip_trunk_id),
    }
    if let Plan::Update { differences, .. } = plan {
        differences.iter().for_each(print_difference);
    }
    println!("  Address: {}", settings.domain);
    println!("  Username: {}", settings.username);
    println!("  Numbers: {}", settings.outbound_number);
}

/// Prints what was set.
pub(crate) fn applied(
    plan: &Plan,
    trunk: &SipOutboundTrunkInfo,
    settings: &TrunkSettings,
    written: Option<&Path>,
    json: bool,
) {
    let (action, changed) = match plan {
        Plan::Create => ("created", Vec::new()),
        Plan::Update { differences, .. } => (
            "updated",
            differences.iter().map(|d| d.field.name()).collect(),
        ),
    };
    if json {
        let report = json!({
            "action": action,
            "changed": changed,
            "trunk": Trunk::new(trunk),
            "env_file": written,
        });
        return println!("{report}");
    }
    println!("\u{2705} SIP Trunk {action} successfully!");
    if action == "updated" {
        match changed.is_empty() {
            true => println!("Nothing had changed"),
            false => println!("Changed: {}", changed.join(", ")),
        }
    }
    let id = &trunk.sip_trunk_id;
    match written {
        Some(path) => println!("OUTBOUND_TRUNK_ID={id} written to {}", path.display()),
        None if settings.trunk_id.is_none() => {
            println!("Set OUTBOUND_TRUNK_ID={id} for the voice agent (`--write-env` does)");
        }
        None => {}
    }
}

/// Prints what has to be done for inbound calls.
pub(crate) fn inbound_plan(plan: &InboundPlan, wanted: &Wanted, json: bool, dry: bool) {
    let trunk = match &plan.trunk {
        TrunkStep::Create => format!("create one for {}", wanted.numbers.join(", ")),
        TrunkStep::Allow {
            trunk_id,
            addresses,
        } => format!("let {} in on {trunk_id}", addresses.join(", ")),
        TrunkStep::Keep { trunk_id } => format!("{trunk_id} is as it should be"),
    };
    let rule = match &plan.rule {
        RuleStep::Create => format!("create one that leads to {}", wanted.agent_name),
        RuleStep::Replace(rule) => format!(
            "lead {} to {}",
            rule.sip_dispatch_rule_id, wanted.agent_name
        ),
        RuleStep::Keep { rule_id } => format!("{rule_id} is as it should be"),
    };
    if !json {
        println!("  Inbound trunk: {trunk}");
        println!("  Dispatch rule: {rule}");
    } else if dry {
        println!(
            "{}",
            json!({ "inbound_trunk": trunk, "dispatch_rule": rule })
        );
    }
}

/// Prints what takes inbound calls.
pub(crate) fn inbound_ready(trunk_id: &str, rule_id: &str, json: bool) {
    if json {
        let report = json!({ "inbound_trunk_id": trunk_id, "dispatch_rule_id": rule_id });
        return println!("{report}");
    }
    println!("\u{2705} Inbound calls reach the agent (trunk {trunk_id}, rule {rule_id})");
}

/// Prints the failure with its cause, and what to do about it.
pub(crate) fn failure(args: &Args, error: &SetupError) {
    let what = match args.mode() {
        _ if args.command.is_some() => "read settings",
        Mode::List => "list trunks",
        Mode::Check => "check trunk",
        Mode::Apply { dry: true } => "plan trunk",
        Mode::Apply { dry: false } => "update trunk",
        Mode::Inbound { .. } => "set up inbound calls",
    };
    let mut root = error.source();
    while let Some(deeper) = root.and_then(|cause| cause.source()) {
        root = Some(deeper);
    }
    match root {
        Some(cause) => eprintln!("\u{274c} Failed to {what}: {error}: {cause}"),
        None => eprintln!("\u{274c} Failed to {what}: {error}"),
    }
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
}
