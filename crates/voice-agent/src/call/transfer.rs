//! The cold transfer: LiveKit's `TransferSIPParticipant`, which sends a REFER (RFC 3515).

use std::time::Duration;

use livekit_api::services::{ServiceError, sip::TransferSIPParticipantOptions};
use tracing::{debug, info, warn};
use transfer_core::{ReferTarget, TransferFailure};

use super::{
    Api,
    dial::{API_MARGIN, twirp_failure},
};

/// Sends the caller to `target` and waits until the target has answered or failed.
///
/// The caller hears a dial tone meanwhile, since the agent is silent.
/// Success means that the target answered *or* that the caller's leg ended; the time until the
/// participant leaves tells which ([`transfer_core::TransferOutcome::of_success`]).
///
/// Not cancel safe: a REFER cannot be called back.
pub(super) async fn transfer(
    api: &Api,
    room: &str,
    identity: &str,
    target: &ReferTarget,
    ringing_timeout: Duration,
) -> Result<(), TransferFailure> {
    info!("Transferring call to {}", target.masked());
    let options = TransferSIPParticipantOptions {
        play_dialtone: Some(true),
        ringing_timeout: Some(ringing_timeout),
        timeout: Some(ringing_timeout + API_MARGIN),
        ..TransferSIPParticipantOptions::default()
    };
    api.sip
        .transfer_sip_participant(
            room.to_owned(),
            identity.to_owned(),
            target.to_string(),
            options,
        )
        .await
        .map_err(|error| failed(&error))
}

fn failed(error: &ServiceError) -> TransferFailure {
    let failure = twirp_failure(error);
    let cause = failure.map_or(TransferFailure::Unconfirmed, |failure| {
        TransferFailure::classify(&failure)
    });
    let sip_status = failure
        .and_then(|failure| failure.sip_status)
        .map(|status| status.0);
    warn!(%cause, sip_status, hint = cause.hint(), "Transfer failed: {cause}");
    debug!(%error, "LiveKit's answer");
    cause
}

#[cfg(test)]
mod tests {
    use livekit_protocol as proto;

    use super::*;
    use crate::twirp_server::{Answer, TwirpServer};

    const TRANSFER: &str = "SIP/TransferSIPParticipant";

    #[tokio::test]
    async fn the_request_names_the_target_and_a_ringing_limit() {
        let server = TwirpServer::start(|_| Answer::Ok(Vec::new())).await;

        assert_eq!(transfer_to_live_agent(&server).await, Ok(()));

        let request: proto::TransferSipParticipantRequest = server.request(TRANSFER);
        assert_eq!(request.room_name, "call-1");
        assert_eq!(request.participant_identity, "sip_+15550001234");
        assert_eq!(request.transfer_to, "sip:+15550009999@sip.example.net");
        assert!(request.play_dialtone);
        assert_eq!(request.ringing_timeout.map(|limit| limit.seconds), Some(40));
    }

    #[tokio::test]
    async fn a_failed_transfer_is_sent_once_and_classified() {
        for (status, code, text, sip_status, cause) in [
            (
                429,
                "resource_exhausted",
                "call transfer failed: sip status: 486: Busy Here",
                Some(486),
                TransferFailure::TargetBusy,
            ),
            (
                408,
                "deadline_exceeded",
                "request timed out",
                None,
                TransferFailure::Unconfirmed,
            ),
            (
                503,
                "unavailable",
                "no response from servers",
                None,
                TransferFailure::SipServiceDown,
            ),
        ] {
            let server =
                TwirpServer::start(move |_| Answer::Error(status, code, text, sip_status)).await;

            assert_eq!(transfer_to_live_agent(&server).await, Err(cause));
            assert_eq!(server.methods(), [TRANSFER], "a REFER is never repeated");
        }
    }

    async fn transfer_to_live_agent(server: &TwirpServer) -> Result<(), TransferFailure> {
        let domain = "sip.example.net".parse().unwrap();
        let target = ReferTarget::new("+15550009999".parse().unwrap(), Some(&domain));
        let limit = Duration::from_secs(40);
        transfer(&server.api(), "call-1", "sip_+15550001234", &target, limit).await
    }
}
