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
