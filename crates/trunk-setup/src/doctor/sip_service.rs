//! Whether livekit-sip is alive.
//!
//! It is asked to dial through a host that never resolves (`.invalid`, RFC 6761 §6.4): it answers that
//! before any SIP message, and only it does.

use std::time::Duration;

use livekit_api::services::sip::CreateSIPParticipantOptions;
use livekit_protocol::SipOutboundConfig;
use transfer_core::DialFailure;

use super::finding::{Check, Finding};
use super::room::Room;
use crate::server::{Refusal, Server};

const NOWHERE: &str = "doctor.invalid";

/// livekit-server waits a second for a SIP service to answer, and a resolver may take its time.
const PATIENCE: Duration = Duration::from_secs(15);

/// Asks LiveKit's SIP service for a call that it refuses.
pub(super) async fn probe(server: &Server, room: &Room) -> Finding {
    let options = CreateSIPParticipantOptions {
        participant_identity: "doctor".to_owned(),
        sip_number: Some("doctor".to_owned()),
        wait_until_answered: Some(true),
        ringing_timeout: Some(Duration::from_secs(5)),
        timeout: Some(PATIENCE),
        ..CreateSIPParticipantOptions::default()
    };
    let trunk = SipOutboundConfig {
        hostname: NOWHERE.to_owned(),
        ..SipOutboundConfig::default()
    };
    let call = server.client().create_sip_participant(
        String::new(),
        "doctor".to_owned(),
        room.name().to_owned(),
        options,
        Some(trunk),
    );
    judge(call.await.err().map(|error| Refusal::new(&error)))
}

fn judge(refusal: Option<Refusal>) -> Finding {
    let Some(refusal) = refusal else {
        return Finding::warn(
            Check::SipService,
            format!("a call to {NOWHERE} was accepted"),
            "have the resolver of livekit-sip not answer for names that do not exist",
        );
    };
    let finding = match refusal.dial_failure() {
        DialFailure::CarrierNotFound => return Finding::ok(Check::SipService, "is running"),
        DialFailure::SipServiceDown => Finding::failed(
            Check::SipService,
            "no livekit-sip is running",
            "start livekit-sip, on the same Redis as livekit-server",
        ),
        DialFailure::Overloaded => Finding::failed(
            Check::SipService,
            "livekit-sip refuses calls because its machine is busy",
            "add capacity for livekit-sip, or raise its max_cpu_utilization",
        ),
        _ if refusal.message.contains("sip not connected") => Finding::failed(
            Check::SipService,
            "livekit-server has no Redis, and so no SIP service",
            "give livekit-server a Redis, and run livekit-sip on the same one",
        ),
        DialFailure::Busy
        | DialFailure::Declined
        | DialFailure::NoAnswer
        | DialFailure::Unavailable
        | DialFailure::UnknownNumber
        | DialFailure::BadCredentials
        | DialFailure::Forbidden { .. }
        | DialFailure::MediaRefused { .. }
        | DialFailure::TrunkNotFound
        | DialFailure::BadRequest
        | DialFailure::ApiKeyRefused
        | DialFailure::CarrierFault { .. }
        | DialFailure::Unconfirmed => Finding::warn(
            Check::SipService,
            "it is not clear whether livekit-sip is running",
            "look into the log of livekit-sip",
        ),
    };
    finding.with_evidence(refusal.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn only_livekit_sip_says_that_a_host_does_not_resolve() {
        let check = |code: &str, message: &str, expected: Status| {
            let refusal = Refusal {
                code: code.to_owned(),
                message: message.to_owned(),
                sip_status: None,
            };
            assert_eq!(judge(Some(refusal)).status, expected, "{message}");
        };
        check(
            "invalid_argument",
            "twirp error unknown: fail to resolve target for \"doctor.invalid\"",
            Status::Ok,
        );
        check("unavailable", "no response from servers", Status::Failed);
        check("unavailable", "cpu exhausted", Status::Failed);
        check(
            "internal",
            "sip not connected (redis required)",
            Status::Failed,
        );
        check("internal", "something else", Status::Warn);
    }
}
