//! Checks everything that a call needs, in the order in which a call needs it.
//!
//! A check that fails does not stop those that do not depend on it. Each module has a thin probe and a
//! pure judgement of what the probe saw.

use std::error::Error;

use sip_config::{
    AgentSettings, DialerSettings, Environment, LiveKitSettings, LlmSettings,
    OutboundTrunkSettings, SettingsError, TransferNumberSettings, Transport, TrunkSettings,
};

use crate::cli::DoctorArgs;
use crate::server::Server;
use finding::{Check, Finding};
use refer::TestCall;
use room::Room;

mod carrier;
mod clock;
mod dns;
mod finding;
mod language_model;
mod livekit;
mod numbers;
mod refer;
pub(crate) mod report;
mod room;
mod sip;
mod sip_service;
mod trunk;
mod worker;

const SEE_ENVIRONMENT: &str = "needs settings that are missing or wrong";
const NO_LIVEKIT: &str = "needs LiveKit";

/// Collects findings, and shows each as it comes.
struct Findings {
    all: Vec<Finding>,
    json: bool,
}

impl Findings {
    fn add(&mut self, finding: Finding) {
        if !self.json {
            report::print(&finding);
        }
        self.all.push(finding);
    }
}

/// Makes all checks.
pub(crate) async fn examine(args: &DoctorArgs, environment: &Environment) -> Vec<Finding> {
    let mut findings = Findings {
        all: Vec::new(),
        json: args.json,
    };
    let everything = environment.settings::<(
        LiveKitSettings,
        TrunkSettings,
        OutboundTrunkSettings,
        AgentSettings,
    )>();
    findings.add(judge_environment(everything.err().as_ref()));
    let livekit = environment.settings::<LiveKitSettings>().ok();
    let trunk = environment.settings::<TrunkSettings>().ok();
    let transfer_number = environment.settings::<TransferNumberSettings>().ok();

    let mut trunks = None;
    let mut server = None;
    match &livekit {
        Some(settings) => {
            let client = Server::new(settings);
            let seen = livekit::probe(settings, &client).await;
            let usable = seen.livekit.status == finding::Status::Ok;
            findings.add(seen.livekit);
            findings.add(seen.clock);
            if usable {
                server = Some((settings, client));
                trunks = seen.trunks.ok();
            }
        }
        None => {
            findings.add(Finding::skipped(Check::Livekit, SEE_ENVIRONMENT));
            findings.add(Finding::skipped(Check::Clock, SEE_ENVIRONMENT));
        }
    }

    findings.add(match &server {
        Some((settings, server)) => {
            let room = Room::new(settings);
            let finding = sip_service::probe(server, &room).await;
            and_delete(&room, finding).await
        }
        None => Finding::skipped(Check::SipService, NO_LIVEKIT),
    });
    findings.add(match (&trunk, trunks.clone()) {
        (Some(settings), Some(trunks)) => trunk::judge(trunks, settings),
        (None, _) => Finding::skipped(Check::Trunk, SEE_ENVIRONMENT),
        (_, None) => Finding::skipped(Check::Trunk, NO_LIVEKIT),
    });
    match &trunk {
        Some(settings) => examine_carrier(&mut findings, settings).await,
        None => {
            for check in [Check::Dns, Check::Options, Check::Digest] {
                findings.add(Finding::skipped(check, SEE_ENVIRONMENT));
            }
        }
    }
    findings.add(match (&trunk, &transfer_number) {
        (Some(trunk), Some(transfer)) => numbers::judge(
            &trunk.outbound_number,
            transfer.default_transfer_number.as_ref(),
        ),
        _ => Finding::skipped(Check::Numbers, SEE_ENVIRONMENT),
    });
    let target = args
        .transfer_to
        .clone()
        .or_else(|| transfer_number.and_then(|settings| settings.default_transfer_number));
    findings.add(match (&args.test_call, target, &server, &trunk) {
        (None, ..) => Finding::skipped(
            Check::Refer,
            "calls somebody: give --test-call NUMBER, and answer that phone",
        ),
        (_, None, ..) => Finding::skipped(
            Check::Refer,
            "needs --transfer-to NUMBER or DEFAULT_TRANSFER_NUMBER",
        ),
        (Some(callee), Some(target), Some((livekit, server)), Some(trunk)) => {
            match trunk::id(trunks.unwrap_or_default(), trunk) {
                Some(trunk_id) => {
                    let call = TestCall {
                        trunk_id: &trunk_id,
                        callee,
                        target: &target,
                        domain: &trunk.domain,
                        user: trunk.user_parameter,
                    };
                    let room = Room::new(livekit);
                    let finding = refer::probe(server, &room, &call).await;
                    and_delete(&room, finding).await
                }
                None => Finding::skipped(Check::Refer, "needs a trunk"),
            }
        }
        (_, _, None, _) => Finding::skipped(Check::Refer, NO_LIVEKIT),
        (_, _, _, None) => Finding::skipped(Check::Refer, SEE_ENVIRONMENT),
    });
    let agent = environment.settings::<DialerSettings>().ok();
    findings.add(match (&server, agent) {
        (Some((livekit, _)), Some(agent)) => {
            let room = Room::new(livekit);
            let finding = worker::probe(livekit, &agent.agent_name, &room).await;
            and_delete(&room, finding).await
        }
        (None, _) => Finding::skipped(Check::Worker, NO_LIVEKIT),
        (_, None) => Finding::skipped(Check::Worker, SEE_ENVIRONMENT),
    });
    findings.add(match environment.settings::<Option<LlmSettings>>() {
        Ok(Some(settings)) => language_model::probe(&settings).await,
        Ok(None) => Finding::skipped(Check::LanguageModel, "OPENAI_API_KEY is not set"),
        Err(_) => Finding::skipped(Check::LanguageModel, SEE_ENVIRONMENT),
    });
    findings.all
}

async fn examine_carrier(findings: &mut Findings, settings: &TrunkSettings) {
    let transport = settings.transport.unwrap_or(Transport::Auto);
    let resolved = dns::probe(&settings.domain, transport).await;
    findings.add(dns::judge(&settings.domain, &resolved));
    match resolved.addresses().first() {
        Some(address) => {
            for finding in carrier::probe(*address, transport, settings).await {
                findings.add(finding);
            }
        }
        None => {
            for check in [Check::Options, Check::Digest] {
                findings.add(Finding::skipped(check, "needs the carrier's address"));
            }
        }
    }
}

/// Deletes the room of a check; what stays behind is said.
async fn and_delete(room: &Room, finding: Finding) -> Finding {
    match room.delete().await {
        Ok(()) => finding,
        Err(error) => finding.with_evidence(format!(
            "the room {} could not be deleted: {error}",
            room.name()
        )),
    }
}

fn judge_environment(error: Option<&SettingsError>) -> Finding {
    let Some(error) = error else {
        return Finding::ok(Check::Environment, "all settings are there and understood");
    };
    let mut finding = Finding::failed(
        Check::Environment,
        match error.faults().len() {
            1 => "1 setting is missing or wrong".to_owned(),
            count => format!("{count} settings are missing or wrong"),
        },
        "set them in .env; .env.example explains each",
    );
    for fault in error.faults() {
        let text = fault.to_string();
        finding = finding.with_evidence(text.lines().next().unwrap_or_default());
    }
    finding
}

/// Returns the error with the deepest of its causes, which is the one that says something.
fn describe(error: &(dyn Error + 'static)) -> String {
    let mut root = error.source();
    while let Some(deeper) = root.and_then(Error::source) {
        root = Some(deeper);
    }
    match root {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
