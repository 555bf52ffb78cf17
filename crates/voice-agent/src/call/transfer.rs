//! The cold transfer: LiveKit's `TransferSIPParticipant`, which sends a REFER (RFC 3515).

use std::{collections::HashMap, time::Duration};

use livekit_protocol as proto;
use tracing::{debug, info, warn};
use transfer_core::{ReferTarget, TransferAnswer, TransferFailure, TransferReason};

use super::{Api, dial::API_MARGIN, sip_api::SipApiError};

/// One REFER.
#[derive(Debug)]
pub(super) struct Refer {
    pub(super) room: String,
    /// The participant to send away.
    pub(super) identity: String,
    pub(super) target: ReferTarget,
    /// For the one who answers.
    pub(super) headers: HashMap<String, String>,
    /// Whether livekit-sip plays ringback to the caller meanwhile.
    pub(super) dialtone: bool,
    /// How long the target may ring.
    pub(super) ringing_timeout: Duration,
}

/// Sends the caller to the target and waits until the target has answered or failed.
///
/// The answer is judged together with when the caller's leg leaves the room: [`transfer_core::Verdict::of`].
///
/// Not cancel safe: a REFER cannot be called back.
pub(super) async fn refer(api: &Api, refer: Refer) -> TransferAnswer {
    info!("Transferring call to {}", refer.target.masked());
    let limit = refer.ringing_timeout + API_MARGIN;
    let request = proto::TransferSipParticipantRequest {
        participant_identity: refer.identity,
        room_name: refer.room,
        transfer_to: refer.target.to_string(),
        play_dialtone: refer.dialtone,
        headers: refer.headers,
        ringing_timeout: Some(pbjson_types::Duration {
            seconds: refer.ringing_timeout.as_secs() as i64,
            nanos: 0,
        }),
    };
    match api.sip_api.transfer(request, limit).await {
        Ok(response) => TransferAnswer::Success(TransferReason::from_wire(response.reason)),
        Err(error) => failed(&error),
    }
}

fn failed(error: &SipApiError) -> TransferAnswer {
    let failure = error.twirp_failure();
    let answer = failure.map_or(
        TransferAnswer::Open(transfer_core::Doubt::AnswerLost),
        |failure| TransferFailure::classify(&failure),
    );
    let sip_status = failure
        .and_then(|failure| failure.sip_status)
        .map(|status| status.0);
    match answer {
        TransferAnswer::Failure(cause) => warn!(
            verdict = "failed", %cause, sip_status, hint = cause.hint(),
            "Transfer failed: {cause}"
        ),
        TransferAnswer::Open(doubt) => warn!(
            verdict = "unconfirmed", cause = %doubt, sip_status, hint = doubt.hint(),
            "Transfer unconfirmed: {doubt}"
        ),
        TransferAnswer::Success(_) => {}
    }
    debug!(error = format!("{error:#}"), "LiveKit's answer");
    answer
}

#[cfg(test)]
mod tests {
    use transfer_core::Doubt;

    use super::*;
    use crate::twirp_server::{Answer, TwirpServer};

    const TRANSFER: &str = "SIP/TransferSIPParticipant";

    #[tokio::test]
    async fn the_request_names_the_target_and_a_ringing_limit() {
        let server = TwirpServer::start(|_| Answer::Ok(Vec::new())).await;

        assert_eq!(
            refer_to_live_agent(&server).await,
            TransferAnswer::Success(None)
        );

        let request: proto::TransferSipParticipantRequest = server.request(TRANSFER);
        assert_eq!(request.room_name, "call-1");
        assert_eq!(request.participant_identity, "sip_+15550001234");
        assert_eq!(request.transfer_to, "sip:+15550009999@sip.example.net");
        assert_eq!(request.headers["X-VH-Reason"], "Transfer me.");
        assert!(request.play_dialtone);
        assert_eq!(request.ringing_timeout.map(|limit| limit.seconds), Some(40));
    }

    #[tokio::test]
    async fn a_server_that_says_why_the_leg_ended_is_believed() {
        let response = proto::TransferSipParticipantResponse {
            reason: proto::SipTransferReason::StrCallEnded as i32,
            ..Default::default()
        };
        let server = TwirpServer::start(move |_| Answer::ok(&response)).await;

        assert_eq!(
            refer_to_live_agent(&server).await,
            TransferAnswer::Success(Some(TransferReason::CallEnded))
        );
    }

    #[tokio::test]
    async fn a_failed_transfer_is_sent_once_and_classified() {
        for (status, code, text, sip_status, answer) in [
            (
                429,
                "resource_exhausted",
                "call transfer failed: sip status: 486: Busy Here",
                Some(486),
                TransferAnswer::Failure(TransferFailure::TargetBusy),
            ),
            (
                408,
                "deadline_exceeded",
                "request timed out",
                None,
                TransferAnswer::Open(Doubt::TimedOut),
            ),
            (
                503,
                "unavailable",
                "no response from servers",
                None,
                TransferAnswer::Failure(TransferFailure::SipServiceDown),
            ),
        ] {
            let server =
                TwirpServer::start(move |_| Answer::Error(status, code, text, sip_status)).await;

            assert_eq!(refer_to_live_agent(&server).await, answer);
            assert_eq!(server.methods(), [TRANSFER], "a REFER is never repeated");
        }
    }

    async fn refer_to_live_agent(server: &TwirpServer) -> TransferAnswer {
        let domain = "sip.example.net".parse().unwrap();
        let wanted = Refer {
            room: "call-1".to_owned(),
            identity: "sip_+15550001234".to_owned(),
            target: ReferTarget::new("+15550009999".parse().unwrap(), Some(&domain)),
            headers: [("X-VH-Reason".to_owned(), "Transfer me.".to_owned())].into(),
            dialtone: true,
            ringing_timeout: Duration::from_secs(40),
        };
        refer(&server.api(), wanted).await
    }
}
