//! Calling the callee: LiveKit's `CreateSIPParticipant`, waited for until somebody answers.

use std::time::Duration;

use livekit_api::services::{
    ServerError, ServerErrorCode, ServiceError,
    sip::{CreateSIPParticipantOptions, SIPClient},
};
use livekit_protocol::SipHeaderOptions;
use tracing::{debug, info, warn};
use transfer_core::{DialFailure, JobMetadata, PhoneNumber, SipStatus, TwirpFailure, identity};

use super::{Api, state::Dialed};

/// How much longer we wait for LiveKit's answer than a phone may ring.
///
/// A request that is given up while the phone rings leaves a call that nobody owns.
pub(super) const API_MARGIN: Duration = Duration::from_secs(10);

/// Longest call. Without it LiveKit allows a day, and a phone that was put down badly costs one.
const MAX_CALL_DURATION: Duration = Duration::from_secs(30 * 60);

/// What a dial needs to know besides the room.
#[derive(Debug, Clone)]
pub(crate) struct DialSettings {
    pub(crate) trunk_id: String,
    pub(crate) callee: PhoneNumber,
    pub(crate) metadata: JobMetadata,
    /// How long the callee's phone may ring.
    pub(crate) ringing_timeout: Duration,
}

/// Dials the callee, unless the callee's participant is in the room: a job that is given out a second
/// time must not call a second time.
///
/// Not cancel safe: dropped while the phone rings, the call goes on until the room is deleted.
pub(super) async fn dial(
    api: &Api,
    room: &str,
    settings: &DialSettings,
) -> Result<Dialed, DialFailure> {
    let identity = identity(&settings.callee);
    match api.rooms.get_participant(room, &identity).await {
        Ok(_) => {
            warn!("callee is in the room already, nobody is dialled");
            return Ok(Dialed::AlreadyInRoom);
        }
        Err(error) if is_not_found(&error) => {}
        Err(error) => debug!(%error, "cannot look for the callee in the room"),
    }
    info!(
        "Initiating outbound SIP call to {}",
        settings.callee.masked()
    );
    let options = CreateSIPParticipantOptions {
        participant_identity: identity,
        participant_name: Some(format!("Phone {}", settings.callee)),
        sip_number: settings
            .metadata
            .from_number
            .as_ref()
            .map(PhoneNumber::to_string),
        wait_until_answered: Some(true),
        ringing_timeout: Some(settings.ringing_timeout),
        max_call_duration: Some(MAX_CALL_DURATION),
        headers: Some(settings.metadata.sip_headers.clone().into_iter().collect()),
        include_headers: Some(SipHeaderOptions::SipXHeaders),
        timeout: Some(settings.ringing_timeout + API_MARGIN),
        ..CreateSIPParticipantOptions::default()
    };
    let number = settings.callee.to_string();
    let answered = api
        .sip
        .create_sip_participant(
            settings.trunk_id.clone(),
            number,
            room.to_owned(),
            options,
            None,
        )
        .await;
    match answered {
        Ok(participant) => {
            info!(
                sip_call_id = participant.sip_call_id,
                "Call answered! Agent is now listening."
            );
            Ok(Dialed::Answered)
        }
        Err(error) => Err(failed(&error)),
    }
}

fn failed(error: &ServiceError) -> DialFailure {
    let failure = twirp_failure(error);
    let cause = failure.map_or(DialFailure::Unconfirmed, |failure| {
        DialFailure::classify(&failure)
    });
    let sip_status = failure
        .and_then(|failure| failure.sip_status)
        .map(|status| status.0);
    warn!(%cause, sip_status, hint = cause.hint(), "Failed to place outbound call: {cause}");
    debug!(%error, "LiveKit's answer");
    cause
}

/// The SIP API without failover: livekit-api would repeat a dial or a REFER after an error of the
/// server, and the phone would ring twice.
pub(super) fn sip_client(host: &str, api_key: &str, api_secret: &str) -> SIPClient {
    SIPClient::with_api_key(host, api_key, api_secret).with_failover(false)
}

/// LiveKit's own answer, or `None` when there was none to read.
pub(super) fn twirp_failure(error: &ServiceError) -> Option<TwirpFailure<'_>> {
    let ServiceError::Twirp(ServerError::Twirp(answer)) = error else {
        return None;
    };
    let sip_status = answer
        .meta
        .get("sip_status_code")
        .and_then(|status| status.parse().ok());
    Some(TwirpFailure {
        code: &answer.code,
        message: &answer.msg,
        sip_status: sip_status.map(SipStatus),
    })
}

pub(super) fn is_not_found(error: &ServiceError) -> bool {
    twirp_failure(error).is_some_and(|failure| failure.code == ServerErrorCode::NOT_FOUND)
}
