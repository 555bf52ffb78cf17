//! Calling the callee: LiveKit's `CreateSIPParticipant`, waited for until somebody answers.

use std::time::Duration;

use livekit_api::services::{
    ServerError, ServerErrorCode, ServiceError,
    sip::{CreateSIPParticipantOptions, SIPClient},
};
use livekit_protocol::SipHeaderOptions;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};
use transfer_core::{DialFailure, JobMetadata, PhoneNumber, SipStatus, TwirpFailure, identity};

use super::{Api, attributes::CallStatus, state::Dialed};

/// How much longer we wait for LiveKit's answer than a phone may ring.
///
/// A request that is given up while the phone rings leaves a call that nobody owns.
pub(super) const API_MARGIN: Duration = Duration::from_secs(10);

/// Longest call. Without it LiveKit allows a day, and a phone that was put down badly costs one.
pub(super) const MAX_CALL_DURATION: Duration = Duration::from_secs(30 * 60);

/// How often a leg that we did not dial is looked at until it is answered.
const ADOPTION_PAUSE: Duration = Duration::from_millis(250);

/// What a dial needs to know besides the room.
#[derive(Debug, Clone)]
pub(crate) struct DialSettings {
    pub(crate) trunk_id: String,
    pub(crate) callee: PhoneNumber,
    /// The callee was called before us: wait for the answer and dial nobody.
    pub(crate) adopt: bool,
    pub(crate) metadata: JobMetadata,
    /// How long the callee's phone may ring.
    pub(crate) ringing_timeout: Duration,
}

/// Dials the callee and waits until somebody answers; or takes over the leg of a callee who was called
/// before us.
///
/// Not cancel safe: dropped while the phone rings, the call goes on until the room is deleted.
pub(super) async fn dial(
    api: &Api,
    room: &str,
    settings: &DialSettings,
) -> Result<Dialed, DialFailure> {
    if settings.adopt {
        adopt(api, room, settings).await
    } else {
        call(api, room, settings).await
    }
}

/// Waits until the callee's leg, which rings in the room, is answered.
async fn adopt(api: &Api, room: &str, settings: &DialSettings) -> Result<Dialed, DialFailure> {
    info!("taking over the call to {}", settings.callee.masked());
    let identity = identity(&settings.callee);
    let end_of_patience = Instant::now() + settings.ringing_timeout + API_MARGIN;
    let mut seen = false;
    let cause = loop {
        match api.rooms.get_participant(room, &identity).await {
            Ok(callee) => match CallStatus::of(&callee.attributes) {
                Some(CallStatus::Active | CallStatus::Automation) => {
                    info!("Call answered! Agent is now listening.");
                    return Ok(Dialed::AlreadyInRoom);
                }
                Some(CallStatus::Dialing | CallStatus::Ringing) | None => seen = true,
                Some(CallStatus::Hangup) => break DialFailure::NoAnswer,
            },
            // LiveKit tells why only the one who dialled.
            Err(error) if is_not_found(&error) => {
                break match seen {
                    true => DialFailure::NoAnswer,
                    false => DialFailure::Unconfirmed,
                };
            }
            Err(error) => debug!(%error, "cannot look for the callee in the room"),
        }
        if Instant::now() >= end_of_patience {
            break DialFailure::NoAnswer;
        }
        sleep(ADOPTION_PAUSE).await;
    };
    warn!(%cause, hint = cause.hint(), "Failed to place outbound call: {cause}");
    Err(cause)
}

async fn call(api: &Api, room: &str, settings: &DialSettings) -> Result<Dialed, DialFailure> {
    let identity = identity(&settings.callee);
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
        transfer_reason: None,
    })
}

pub(super) fn is_not_found(error: &ServiceError) -> bool {
    twirp_failure(error).is_some_and(|failure| failure.code == ServerErrorCode::NOT_FOUND)
}

#[cfg(test)]
pub(super) mod tests {
    use livekit_protocol as proto;

    use super::*;
    use crate::twirp_server::{Answer, TwirpServer};

    const CREATE: &str = "SIP/CreateSIPParticipant";
    const LOOK: &str = "RoomService/GetParticipant";

    #[tokio::test]
    async fn the_request_says_all_that_the_job_asks_for() {
        let server = server(Answer::ok(&proto::SipParticipantInfo::default())).await;

        let dialed = dial(&server.api(), "call-1", &settings()).await;

        assert_eq!(dialed, Ok(Dialed::Answered));
        assert_eq!(server.methods(), [CREATE]);
        let request: proto::CreateSipParticipantRequest = server.request(CREATE);
        assert_eq!(request.sip_trunk_id, "ST_1");
        assert_eq!(request.sip_call_to, "+15550001234");
        assert_eq!(request.sip_number, "+15550007777");
        assert_eq!(request.room_name, "call-1");
        assert_eq!(request.participant_identity, "sip_+15550001234");
        assert_eq!(request.headers["X-VH-Campaign"], "spring");
        assert_eq!(request.include_headers(), SipHeaderOptions::SipXHeaders);
        assert!(request.wait_until_answered);
        assert_eq!(request.ringing_timeout.map(|limit| limit.seconds), Some(20));
        assert_eq!(
            request.max_call_duration.map(|limit| limit.seconds),
            Some(1800)
        );
    }

    #[tokio::test]
    async fn a_leg_that_rings_is_waited_for_and_never_dialled_again() {
        for (looks, expected) in [
            (vec![Some("active")], Ok(Dialed::AlreadyInRoom)),
            (
                vec![Some("dialing"), Some("ringing"), Some("active")],
                Ok(Dialed::AlreadyInRoom),
            ),
            (vec![Some("ringing"), None], Err(DialFailure::NoAnswer)),
            (vec![Some("hangup")], Err(DialFailure::NoAnswer)),
            (vec![None], Err(DialFailure::Unconfirmed)),
        ] {
            let expected_looks = vec![LOOK; looks.len()];
            let looks = std::sync::Mutex::new(looks.into_iter());
            let server = TwirpServer::start(move |_| {
                match looks.lock().unwrap().next().expect("no look too many") {
                    Some(status) => Answer::ok(&proto::ParticipantInfo {
                        attributes: [("sip.callStatus".to_owned(), status.to_owned())].into(),
                        ..proto::ParticipantInfo::default()
                    }),
                    None => Answer::Error(404, "not_found", "participant does not exist", None),
                }
            })
            .await;
            let settings = DialSettings {
                adopt: true,
                ..settings()
            };

            let dialed = dial(&server.api(), "call-1", &settings).await;

            assert_eq!(dialed, expected);
            assert_eq!(server.methods(), expected_looks);
        }
    }

    #[tokio::test]
    async fn a_failed_dial_is_sent_once_and_classified() {
        for (answer, cause) in [
            (
                Answer::Error(
                    429,
                    "resource_exhausted",
                    "INVITE failed: sip status: 486: Busy Here",
                    Some(486),
                ),
                DialFailure::Busy,
            ),
            (
                Answer::Error(
                    412,
                    "failed_precondition",
                    "max auth retry attempts reached for SIP invite",
                    None,
                ),
                DialFailure::BadCredentials,
            ),
            (
                Answer::Error(503, "unavailable", "no response from servers", None),
                DialFailure::SipServiceDown,
            ),
        ] {
            let server = server(answer).await;

            let dialed = dial(&server.api(), "call-1", &settings()).await;

            assert_eq!(dialed, Err(cause));
            assert_eq!(server.methods(), [CREATE], "nobody is called twice");
        }
    }

    async fn server(answer: Answer) -> TwirpServer {
        let answer = std::sync::Mutex::new(Some(answer));
        TwirpServer::start(move |method| match method {
            CREATE => answer.lock().unwrap().take().expect("one dial"),
            _ => Answer::Error(404, "not_found", "participant does not exist", None),
        })
        .await
    }

    pub(in crate::call) fn settings() -> DialSettings {
        let metadata = r#"{
            "phone_number": "+15550001234",
            "from_number": "+15550007777",
            "sip_headers": {"X-VH-Campaign": "spring"}
        }"#;
        let (metadata, _) = JobMetadata::parse(metadata).unwrap();
        DialSettings {
            trunk_id: "ST_1".to_owned(),
            callee: metadata.phone_number.clone().unwrap(),
            adopt: false,
            metadata,
            ringing_timeout: Duration::from_secs(20),
        }
    }
}
