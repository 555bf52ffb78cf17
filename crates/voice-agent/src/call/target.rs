//! The transfer target as a leg of ours: called into the room for a bridge or a warm transfer.

use std::{collections::HashMap, time::Duration};

use livekit_api::services::sip::CreateSIPParticipantOptions;
use tracing::{debug, info, warn};
use transfer_core::{DialFailure, FORWARDED_PREFIX, PhoneNumber, TransferFailure};

use super::{
    Api,
    dial::{API_MARGIN, MAX_CALL_DURATION, is_not_found, twirp_failure},
};
use crate::conversation::has_whole_number;

/// Longest header value that carriers pass on without cutting it, in characters.
const LONGEST_REASON: usize = 64;

/// The reason of whoever has asked for a number.
const NUMBER_ASKED_FOR: &str = "Transfer to a phone number";

const TARGET: &str = "target_";

/// One call to a transfer target.
#[derive(Debug)]
pub(super) struct TargetCall {
    pub(super) room: String,
    pub(super) trunk_id: String,
    pub(super) number: PhoneNumber,
    /// The caller number to show instead of the trunk's own.
    pub(super) from: Option<PhoneNumber>,
    pub(super) headers: HashMap<String, String>,
    /// Whether livekit-sip plays ringback to the room meanwhile.
    pub(super) dialtone: bool,
    /// How long the target may ring.
    pub(super) ringing_timeout: Duration,
}

/// The identity of the target in the room. Not that of a callee with the same number: LiveKit would put
/// the one out for the other.
pub(super) fn target_identity(number: &PhoneNumber) -> String {
    format!("{TARGET}{number}")
}

/// Whether an identity is that of a target whom we have called.
pub(super) fn is_target(identity: &str) -> bool {
    identity.starts_with(TARGET)
}

/// Headers for the one who answers: the job's own, and what the caller has asked for.
pub(crate) fn headers(
    of_the_job: &HashMap<String, String>,
    request: &str,
) -> HashMap<String, String> {
    let mut headers = of_the_job.clone();
    // Whose number it is, is nobody's business on the way.
    let request = match has_whole_number(request) {
        true => NUMBER_ASKED_FOR,
        false => request,
    };
    let reason: String = request
        .chars()
        .filter(|c| (' '..='~').contains(c))
        .take(LONGEST_REASON)
        .collect();
    if !reason.trim().is_empty() {
        headers.insert(
            format!("{FORWARDED_PREFIX}Reason"),
            reason.trim().to_owned(),
        );
    }
    headers.insert(
        format!("{FORWARDED_PREFIX}Source"),
        "voice-agent".to_owned(),
    );
    headers
}

/// Calls the target and waits until it answers.
///
/// Not cancel safe: dropped while the phone rings, the call goes on until the room is deleted.
pub(super) async fn call(api: &Api, call: TargetCall) -> Result<(), DialFailure> {
    info!("Calling transfer target {}", call.number.masked());
    let options = CreateSIPParticipantOptions {
        participant_identity: target_identity(&call.number),
        participant_name: Some(format!("Phone {}", call.number)),
        sip_number: call.from.as_ref().map(PhoneNumber::to_string),
        wait_until_answered: Some(true),
        play_dialtone: Some(call.dialtone),
        ringing_timeout: Some(call.ringing_timeout),
        max_call_duration: Some(MAX_CALL_DURATION),
        headers: Some(call.headers),
        timeout: Some(call.ringing_timeout + API_MARGIN),
        ..CreateSIPParticipantOptions::default()
    };
    let number = call.number.to_string();
    let answered = api
        .sip
        .create_sip_participant(call.trunk_id, number, call.room, options, None)
        .await;
    let Err(error) = answered else {
        info!("transfer target answered");
        return Ok(());
    };
    let failure = twirp_failure(&error);
    let dial = failure.map_or(DialFailure::Unconfirmed, |failure| {
        DialFailure::classify(&failure)
    });
    let sip_status = failure
        .and_then(|failure| failure.sip_status)
        .map(|status| status.0);
    let cause = TransferFailure::from(dial);
    warn!(
        verdict = "failed", %cause, sip_status, hint = cause.hint(),
        "Transfer failed: {cause}"
    );
    debug!(%error, "LiveKit's answer");
    Err(dial)
}

/// Takes the target out of the room, which ends its call or its ringing. One that is gone is fine.
pub(super) async fn dismiss(api: &Api, room: &str, number: &PhoneNumber) {
    let identity = target_identity(number);
    match api.rooms.remove_participant(room, &identity).await {
        Ok(()) => info!("transfer target dismissed"),
        Err(error) if is_not_found(&error) => {}
        Err(error) => warn!(%error, "cannot take the transfer target out of the room"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_who_answers_reads_the_request_on_one_clean_line() {
        let job = HashMap::from([("X-VH-Campaign".to_owned(), "spring".to_owned())]);
        let reason = |request: &str| headers(&job, request).remove("X-VH-Reason");

        assert_eq!(reason("Transfer me."), Some("Transfer me.".to_owned()));
        assert_eq!(
            reason("Sales\r\nX-Evil: 1, r\u{e9}sum\u{e9}").as_deref(),
            Some("SalesX-Evil: 1, rsum")
        );
        assert_eq!(
            reason(&"long ".repeat(40)).map(|reason| reason.len()),
            Some(64)
        );
        assert_eq!(reason(" "), None);
        for number in [
            "Transfer me to +15550001234.",
            "to +44 20 7946 0958",
            "Plus 4.4.20.7946.0958",
            "to plus one, triple five, triple zero, twelve thirty-four",
        ] {
            assert_eq!(
                reason(number).as_deref(),
                Some(NUMBER_ASKED_FOR),
                "{number}"
            );
        }
        let order = "It is about order 4711.";
        assert_eq!(reason(order).as_deref(), Some(order));
        assert_eq!(headers(&job, "")["X-VH-Campaign"], "spring");
        assert_eq!(headers(&job, "")["X-VH-Source"], "voice-agent");
    }
}
