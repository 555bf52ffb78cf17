//! A test call to a number that the operator named, and its transfer. Nobody else is called.

use std::time::Duration;

use livekit_api::services::sip::{CreateSIPParticipantOptions, TransferSIPParticipantOptions};
use tokio::time::{Instant, sleep};
use transfer_core::{
    PhoneNumber, ReferTarget, SipDomain, TransferAnswer, UserParameter, Verdict, identity,
};

use super::finding::{Check, Finding};
use super::room::Room;
use crate::server::{Refusal, Server};

/// How long the phone, and then the target, may ring.
const RINGING: Duration = Duration::from_secs(40);

/// LiveKit's answer comes after its own limit.
const API_MARGIN: Duration = Duration::from_secs(10);

/// livekit-sip ends a transferred leg a second after success.
const LEAVES_WITHIN: Duration = Duration::from_secs(3);

const PAUSE: Duration = Duration::from_millis(50);

/// Who is called, and to where.
pub(super) struct TestCall<'a> {
    pub(super) trunk_id: &'a str,
    pub(super) callee: &'a PhoneNumber,
    pub(super) target: &'a PhoneNumber,
    pub(super) domain: &'a SipDomain,
    pub(super) user: UserParameter,
}

/// Calls, and transfers when answered.
///
/// Not cancel safe: neither a call nor a REFER can be called back by dropping this.
pub(super) async fn probe(server: &Server, room: &Room, call: &TestCall<'_>) -> Finding {
    let identity = identity(call.callee);
    let options = CreateSIPParticipantOptions {
        participant_identity: identity.clone(),
        wait_until_answered: Some(true),
        ringing_timeout: Some(RINGING),
        timeout: Some(RINGING + API_MARGIN),
        ..CreateSIPParticipantOptions::default()
    };
    let answered = server.client().create_sip_participant(
        call.trunk_id.to_owned(),
        call.callee.to_string(),
        room.name().to_owned(),
        options,
        None,
    );
    if let Err(error) = answered.await {
        let refusal = Refusal::new(&error);
        return Finding::failed(
            Check::Refer,
            format!("the test call failed: {}", refusal.dial_failure()),
            "repair what the other checks name, and see that somebody answers the phone",
        )
        .with_evidence(refusal.to_string());
    }
    let target = ReferTarget::new(call.target.clone(), Some(call.domain)).with_user(call.user);
    let options = TransferSIPParticipantOptions {
        ringing_timeout: Some(RINGING),
        timeout: Some(RINGING + API_MARGIN),
        ..TransferSIPParticipantOptions::default()
    };
    let transferred = server.client().transfer_sip_participant(
        room.name().to_owned(),
        identity.clone(),
        target.to_string(),
        options,
    );
    let refusal = transferred.await.err().map(|error| Refusal::new(&error));
    let answer = match &refusal {
        None => TransferAnswer::Success(None),
        Some(refusal) => refusal.transfer_answer(),
    };
    let left_after = match answer {
        TransferAnswer::Success(_) => leaving(room, &identity).await,
        TransferAnswer::Failure(_) | TransferAnswer::Open(_) => None,
    };
    let finding = judge(Verdict::of(answer, left_after));
    match refusal {
        Some(refusal) => finding.with_evidence(refusal.to_string()),
        None => finding,
    }
}

/// Returns after what time the participant left, if it did.
async fn leaving(room: &Room, identity: &str) -> Option<Duration> {
    let start = Instant::now();
    while start.elapsed() < LEAVES_WITHIN {
        let present = room.participants().await.unwrap_or_default();
        if present
            .iter()
            .all(|participant| participant.identity != identity)
        {
            return Some(start.elapsed());
        }
        sleep(PAUSE).await;
    }
    None
}

fn judge(verdict: Verdict) -> Finding {
    match verdict {
        Verdict::Connected => Finding::ok(Check::Refer, "the test call was transferred"),
        Verdict::Unconfirmed(doubt) => Finding::warn(Check::Refer, doubt.to_string(), doubt.hint()),
        Verdict::Failed(failure) => {
            Finding::failed(Check::Refer, failure.to_string(), failure.hint())
        }
    }
}

#[cfg(test)]
mod tests {
    use transfer_core::{Doubt, TransferFailure};

    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn what_is_not_known_is_no_failure() {
        let status = |verdict| judge(verdict).status;
        assert_eq!(status(Verdict::Connected), Status::Ok);
        assert_eq!(status(Verdict::Unconfirmed(Doubt::TimedOut)), Status::Warn);
        let busy = Verdict::Failed(TransferFailure::TargetBusy);
        assert_eq!(status(busy), Status::Failed);
    }
}
