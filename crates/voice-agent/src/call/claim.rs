//! Whether a job may call its callee: nobody is called twice, whatever was dispatched twice, was
//! restarted, or runs somewhere else as well.
//!
//! Not covered: jobs that claim within the same few hundredths of a second, since LiveKit has no claim that
//! only one can win.
//!
//! What decides is in LiveKit and not in us: who is in the room, which dispatches it has, and for a
//! call with an idempotency key what its room remembers.

use std::{fmt, time::Duration};

use livekit_api::services::ServiceError;
use livekit_protocol::{AgentDispatch, ParticipantInfo, participant_info::Kind};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};
use transfer_core::{CallOutcome, CallProgress, identity};

use super::{Api, RoomMemory, dial::DialSettings};
use crate::worker::messages::Assignment;

/// How long an agent may need from its dispatch to its place in the room.
///
/// An agent that is not there by then is taken for lost. It takes 0.1 s to 0.3 s.
const ARRIVAL: Duration = Duration::from_secs(3);

/// How long we wait for an agent in the room to be gone.
///
/// LiveKit shows an agent whose process died for some 20 s. One that stays longer is alive, and has
/// the call.
const STAND_BY: Duration = Duration::from_secs(40);

const PAUSE: Duration = Duration::from_millis(250);

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Claimant {
    room: String,
    dispatch_id: String,
    agent_name: String,
}

impl Claimant {
    pub(crate) fn of(job: &Assignment, agent_name: &str) -> Self {
        Self {
            room: job.room.clone(),
            dispatch_id: job.dispatch_id.clone(),
            agent_name: agent_name.to_owned(),
        }
    }

    /// Another agent of ours; we are not in the room yet.
    fn is_colleague(&self, participant: &ParticipantInfo) -> bool {
        participant.kind() == Kind::Agent && participant.name == self.agent_name
    }
}

/// What a job may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nobody was called yet.
    Dial,
    /// Somebody was called for this job already: take over that leg and dial nobody.
    Adopt,
    /// The call is not ours, and its room neither.
    Nothing(Why),
}

/// Why there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Another agent has the call, or had it to its end.
    Taken,
    /// The room remembers how it ended.
    Over(CallOutcome),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => f.write_str("another agent has the call"),
            Self::Over(outcome) => write!(f, "the call is over: {outcome}"),
        }
    }
}

/// Finds out what a job may do, and makes sure that no later one may dial.
///
/// Takes one round trip, or two with an idempotency key. When other jobs for the same call were
/// dispatched before this one, it waits until they are seen to have the call, or not to.
///
/// # Errors
///
/// When the room cannot be made to remember that its callee is called; then nobody may be.
pub(crate) async fn claim(
    api: &Api,
    claimant: &Claimant,
    dial: &DialSettings,
    memory: RoomMemory,
) -> Result<Claim, RememberError> {
    let room = claimant.room.as_str();
    let callee = identity(&dial.callee);
    let start = Instant::now();
    let (before, mut present, memorized) = tokio::join!(
        dispatched_before(api, claimant),
        participants(api, room),
        remembered(api, room, memory),
    );
    if let Some(CallProgress::Ended(outcome)) = memorized {
        return Ok(Claim::Nothing(Why::Over(outcome)));
    }
    let alone = |present: &[ParticipantInfo]| {
        !present
            .iter()
            .any(|participant| claimant.is_colleague(participant))
    };
    let called = |present: &[ParticipantInfo]| {
        present
            .iter()
            .any(|participant| participant.identity == callee)
    };
    if before == 0 && memorized.is_none() && alone(&present) {
        if called(&present) {
            warn!("callee is in the room already, nobody is dialled");
            return Ok(Claim::Adopt);
        }
        if dial.adopt {
            return Ok(Claim::Adopt);
        }
        if memory == RoomMemory::Outcome {
            api.remember(room, CallProgress::Dialing)
                .await
                .map_err(RememberError)?;
        }
        return Ok(Claim::Dial);
    }

    info!(before, "another agent was dispatched to this call before");
    // Who made the room remember may be about to dial, though its dispatch is not listed yet.
    let before = before.max(1);
    while start.elapsed() < STAND_BY {
        if alone(&present) && start.elapsed() >= ARRIVAL * before {
            if called(&present) {
                return Ok(Claim::Adopt);
            }
            return Ok(match remembered(api, room, memory).await {
                Some(CallProgress::Ended(outcome)) => Claim::Nothing(Why::Over(outcome)),
                // Called by an agent that is lost.
                Some(_) => Claim::Adopt,
                None => Claim::Nothing(Why::Taken),
            });
        }
        sleep(PAUSE).await;
        present = participants(api, room).await;
    }
    Ok(Claim::Nothing(Why::Taken))
}

/// The room does not remember, so its callee must not be called.
#[derive(Debug, thiserror::Error)]
#[error("the room cannot be made to remember that its callee is called")]
pub(crate) struct RememberError(#[source] ServiceError);

/// How many dispatches of our agent to the room came before ours; they are ordered by their time, and
/// by their names if that is the same.
async fn dispatched_before(api: &Api, claimant: &Claimant) -> u32 {
    let dispatches = match api.dispatches.list_dispatch(&claimant.room).await {
        Ok(dispatches) => dispatches,
        Err(error) => {
            debug!(%error, "cannot look for other dispatches");
            return 0;
        }
    };
    let rank = |dispatch: &AgentDispatch| {
        let created_at = dispatch.state.as_ref().map_or(0, |state| state.created_at);
        (created_at, dispatch.id.clone())
    };
    let ours = dispatches
        .iter()
        .find(|dispatch| dispatch.id == claimant.dispatch_id)
        .map(rank);
    let Some(ours) = ours else {
        return 0;
    };
    let before = dispatches
        .iter()
        .filter(|dispatch| dispatch.agent_name == claimant.agent_name && rank(dispatch) < ours);
    u32::try_from(before.count()).unwrap_or(u32::MAX)
}

/// Who is in the room; nobody if that cannot be told.
async fn participants(api: &Api, room: &str) -> Vec<ParticipantInfo> {
    match api.rooms.list_participants(room).await {
        Ok(participants) => participants,
        Err(error) => {
            debug!(%error, "cannot look who is in the room");
            Vec::new()
        }
    }
}

/// What the room remembers about its call.
async fn remembered(api: &Api, room: &str, memory: RoomMemory) -> Option<CallProgress> {
    if memory == RoomMemory::None {
        return None;
    }
    match api.rooms.list_rooms(vec![room.to_owned()]).await {
        Ok(rooms) => CallProgress::from_json(&rooms.first()?.metadata),
        Err(error) => {
            // Remembering fails too then, and nobody is dialled.
            debug!(%error, "cannot ask the room what it remembers");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use livekit_protocol::{
        AgentDispatchState, ListAgentDispatchResponse, ListParticipantsResponse, ListRoomsResponse,
        Room,
    };

    use super::*;
    use crate::{
        call::dial::tests::settings,
        twirp_server::{Answer, TwirpServer},
    };

    const LOOK: &str = "RoomService/ListParticipants";
    const DISPATCHES: &str = "AgentDispatchService/ListDispatch";
    const ROOMS: &str = "RoomService/ListRooms";
    const REMEMBER: &str = "RoomService/UpdateRoomMetadata";

    /// A room as the server describes it.
    #[derive(Clone, Default)]
    struct Scene {
        participants: Vec<ParticipantInfo>,
        dispatches: Vec<AgentDispatch>,
        metadata: &'static str,
        forgetful: bool,
    }

    impl Scene {
        async fn start(self) -> TwirpServer {
            TwirpServer::start(move |method| match method {
                LOOK => Answer::ok(&ListParticipantsResponse {
                    participants: self.participants.clone(),
                }),
                DISPATCHES => Answer::ok(&ListAgentDispatchResponse {
                    agent_dispatches: self.dispatches.clone(),
                }),
                ROOMS => Answer::ok(&ListRoomsResponse {
                    rooms: vec![Room {
                        metadata: self.metadata.to_owned(),
                        ..Room::default()
                    }],
                }),
                REMEMBER if self.forgetful => Answer::Error(503, "unavailable", "no", None),
                _ => Answer::Ok(Vec::new()),
            })
            .await
        }
    }

    fn dispatch(id: &str, created_at: i64) -> AgentDispatch {
        AgentDispatch {
            id: id.to_owned(),
            agent_name: "outbound-caller".to_owned(),
            state: Some(AgentDispatchState {
                created_at,
                ..AgentDispatchState::default()
            }),
            ..AgentDispatch::default()
        }
    }

    fn callee() -> ParticipantInfo {
        ParticipantInfo {
            identity: "sip_+15550001234".to_owned(),
            kind: Kind::Sip.into(),
            ..ParticipantInfo::default()
        }
    }

    fn agent(name: &str) -> ParticipantInfo {
        ParticipantInfo {
            identity: "agent-AJ_other".to_owned(),
            name: name.to_owned(),
            kind: Kind::Agent.into(),
            ..ParticipantInfo::default()
        }
    }

    async fn claim_in(server: &TwirpServer, memory: RoomMemory) -> Result<Claim, RememberError> {
        let claimant = Claimant {
            room: "call-1".to_owned(),
            dispatch_id: "AD_b".to_owned(),
            agent_name: "outbound-caller".to_owned(),
        };
        claim(&server.api(), &claimant, &settings(), memory).await
    }

    #[tokio::test]
    async fn the_first_job_dials_and_later_ones_do_not() {
        let ours = dispatch("AD_b", 20);
        for (scene, memory, expected) in [
            (Scene::default(), RoomMemory::None, Claim::Dial),
            (
                Scene {
                    dispatches: vec![ours.clone(), dispatch("AD_a", 30), dispatch("AD_c", 20)],
                    participants: vec![agent("note-taker")],
                    ..Scene::default()
                },
                RoomMemory::None,
                Claim::Dial,
            ),
            (
                Scene {
                    participants: vec![callee()],
                    ..Scene::default()
                },
                RoomMemory::None,
                Claim::Adopt,
            ),
            (
                Scene {
                    metadata: r#"{"call.state":"dialing"}"#,
                    ..Scene::default()
                },
                RoomMemory::Outcome,
                Claim::Adopt,
            ),
            (
                Scene {
                    metadata: r#"{"call.state":"ended","call.outcome":"transferred"}"#,
                    ..Scene::default()
                },
                RoomMemory::Outcome,
                Claim::Nothing(Why::Over(CallOutcome::Transferred)),
            ),
            (
                Scene {
                    metadata: "the room's own notes",
                    ..Scene::default()
                },
                RoomMemory::Outcome,
                Claim::Dial,
            ),
        ] {
            let server = scene.start().await;
            assert_eq!(claim_in(&server, memory).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_later_dispatch_never_dials() {
        let before = vec![dispatch("AD_a", 10), dispatch("AD_b", 20)];
        for (participants, expected) in [
            (vec![callee()], Claim::Adopt),
            (vec![], Claim::Nothing(Why::Taken)),
        ] {
            let server = Scene {
                dispatches: before.clone(),
                participants,
                ..Scene::default()
            }
            .start()
            .await;
            assert_eq!(claim_in(&server, RoomMemory::None).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_room_with_a_key_remembers_before_anybody_is_called() {
        let server = Scene::default().start().await;

        let claimed = claim_in(&server, RoomMemory::Outcome).await.unwrap();

        assert_eq!(claimed, Claim::Dial);
        let request: livekit_protocol::UpdateRoomMetadataRequest = server.request(REMEMBER);
        assert_eq!(request.room, "call-1");
        assert_eq!(request.metadata, r#"{"call.state":"dialing"}"#);
    }

    #[tokio::test]
    async fn when_the_room_cannot_remember_nobody_is_called() {
        let server = Scene {
            forgetful: true,
            ..Scene::default()
        }
        .start()
        .await;
        assert!(claim_in(&server, RoomMemory::Outcome).await.is_err());
    }
}
