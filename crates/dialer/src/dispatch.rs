//! The dispatch: asked for once, watched until a worker takes it, withdrawn if none does.

use std::time::Duration;

use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_api::services::room::RoomClient;
use livekit_api::services::{ServerError, ServerErrorCode, ServiceError};
use livekit_protocol::participant_info::Kind;
use livekit_protocol::{AgentDispatch, CreateAgentDispatchRequest, Job, JobStatus};
use secrecy::ExposeSecret as _;
use sip_config::LiveKitSettings;
use tokio::time::{Instant, sleep, timeout};

use crate::call::Call;
use crate::error::DialerError;

/// The shortest pause between two looks at the dispatch.
///
/// livekit-server takes 200 ms to choose a worker; shorter pauses would only add requests.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// A dispatch that a worker has taken.
pub(crate) struct Taken {
    pub(crate) dispatch_id: String,
    pub(crate) sign: Sign,
}

/// How it shows that a worker has taken the call.
pub(crate) enum Sign {
    /// LiveKit lists the job.
    Job(Box<Job>),
    /// The agent is in the room, and its job not listed yet.
    ///
    /// livekit-server lists the first job after a worker has registered up to 5 s late: it first waits
    /// for all servers to say which workers they have (`CheckEnabledTimeout`), and meanwhile the job runs.
    Agent,
    /// The room is gone already: the worker ends it with the call.
    Over,
}

/// Asks LiveKit to dispatch the agent, and waits until a worker has taken the job.
///
/// The request is sent once: failover is off, since a request that LiveKit Cloud answers late would
/// be repeated in another region, and the phone would ring twice.
///
/// Not cancel safe: when dropped, the call has to be [withdrawn](withdraw).
pub(crate) async fn dispatch(
    livekit: &LiveKitSettings,
    call: &Call,
    patience: Duration,
) -> Result<Taken, DialerError> {
    let client = client(livekit);
    let request = CreateAgentDispatchRequest {
        agent_name: call.agent_name.clone(),
        room: call.room.clone(),
        metadata: call.metadata.to_json(),
        ..CreateAgentDispatchRequest::default()
    };
    let dispatch = match client.create_dispatch(request).await {
        Ok(dispatch) => dispatch,
        Err(error) => {
            let error = DialerError::from_service(livekit, error);
            if error.leaves_doubt() {
                withdraw(livekit, call).await?;
            }
            return Err(error);
        }
    };
    let failure = match timeout(patience, wait_for_worker(livekit, &client, &dispatch)).await {
        Ok(Ok(sign)) => {
            return Ok(Taken {
                dispatch_id: dispatch.id,
                sign,
            });
        }
        Ok(Err(error)) => DialerError::from_service(livekit, error),
        Err(_) => DialerError::NoWorker {
            agent_name: call.agent_name.clone(),
            dispatch_id: dispatch.id.clone(),
            patience,
        },
    };
    match withdraw(livekit, call).await? {
        Withdrawal::Deleted => Err(failure),
        Withdrawal::WasGone => Ok(Taken {
            dispatch_id: dispatch.id,
            sign: Sign::Over,
        }),
    }
}

/// Looks at the dispatch and into the room until a worker has taken the job, or all is over.
async fn wait_for_worker(
    livekit: &LiveKitSettings,
    client: &AgentDispatchClient,
    dispatch: &AgentDispatch,
) -> Result<Sign, ServiceError> {
    let rooms = rooms(livekit);
    let start = Instant::now();
    loop {
        let Some(seen) = client.get_dispatch(&dispatch.id, &dispatch.room).await? else {
            return Ok(Sign::Over);
        };
        let jobs = seen.state.unwrap_or_default().jobs;
        if let Some(job) = jobs.into_iter().find(is_taken) {
            return Ok(Sign::Job(Box::new(job)));
        }
        let present = rooms.list_participants(&dispatch.room).await?;
        if present
            .iter()
            .any(|participant| participant.kind() == Kind::Agent)
        {
            return Ok(Sign::Agent);
        }
        let pause = start.elapsed() / 10;
        sleep(pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
    }
}

/// livekit-server lists a job once a worker was assigned to it; LiveKit Cloud may list it before.
fn is_taken(job: &Job) -> bool {
    job.state.as_ref().is_some_and(|state| {
        state.status() != JobStatus::JsPending
            || !state.participant_identity.is_empty()
            || !state.worker_id.is_empty()
    })
}

/// What taking a call back found.
pub(crate) enum Withdrawal {
    Deleted,
    /// The room was gone already. Rooms of calls go when the agent ends the call.
    WasGone,
}

/// Takes a call back that no worker has taken, so that none calls by surprise later: the room goes,
/// and its dispatches with it.
pub(crate) async fn withdraw(
    livekit: &LiveKitSettings,
    call: &Call,
) -> Result<Withdrawal, DialerError> {
    match rooms(livekit).delete_room(&call.room).await {
        Ok(()) => Ok(Withdrawal::Deleted),
        Err(ServiceError::Twirp(ServerError::Twirp(refusal)))
            if refusal.code == ServerErrorCode::NOT_FOUND =>
        {
            Ok(Withdrawal::WasGone)
        }
        Err(error) => Err(DialerError::NotWithdrawn {
            room: call.room.clone(),
            source: Box::new(error),
        }),
    }
}

fn client(livekit: &LiveKitSettings) -> AgentDispatchClient {
    AgentDispatchClient::with_api_key(
        &livekit.api_url(),
        &livekit.api_key,
        livekit.api_secret.expose_secret(),
    )
    .with_failover(false)
}

fn rooms(livekit: &LiveKitSettings) -> RoomClient {
    RoomClient::with_api_key(
        &livekit.api_url(),
        &livekit.api_key,
        livekit.api_secret.expose_secret(),
    )
}
