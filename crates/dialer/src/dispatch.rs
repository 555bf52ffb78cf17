//! The dispatch: asked for once, watched until a worker takes it, withdrawn if none does. The rooms that
//! remember their call are made here.

use std::time::Duration;

use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_api::services::room::{CreateRoomOptions, RoomClient};
use livekit_api::services::{ServerError, ServerErrorCode, ServiceError};
use livekit_protocol::participant_info::Kind;
use livekit_protocol::{
    AgentDispatch, CreateAgentDispatchRequest, Job, JobRestartPolicy, JobStatus,
};
use secrecy::ExposeSecret as _;
use sip_config::LiveKitSettings;
use tokio::time::{Instant, sleep, timeout};
use transfer_core::{CallOutcome, CallProgress, JobMetadata};

use crate::call::Call;
use crate::error::DialerError;

/// The shortest pause between two looks at the dispatch.
///
/// livekit-server takes 200 ms to choose a worker; shorter pauses would only add requests.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// How long the room of a call with an idempotency key outlives the call, and remembers it.
const MEMORY: Duration = Duration::from_secs(60 * 60);

/// What there was before we asked for anything.
pub(crate) enum Opened {
    /// Nobody has asked for this call.
    New,
    /// This call was asked for before, and goes on or waits for its agent.
    Known,
    /// This call was asked for before, and is over.
    Over(CallOutcome),
}

/// Finds the room of a call that was asked for before; otherwise makes it, where it must exist before its
/// dispatch: because it outlives its call, or is `watched`.
pub(crate) async fn open(
    livekit: &LiveKitSettings,
    call: &Call,
    watched: bool,
) -> Result<Opened, DialerError> {
    let failed = |error| DialerError::from_service(livekit, error);
    let rooms = rooms(livekit);
    if call.is_keyed() {
        let known = rooms.list_rooms(vec![call.room.clone()]).await;
        if let Some(room) = known.map_err(failed)?.first() {
            return Ok(match CallProgress::from_json(&room.metadata) {
                Some(CallProgress::Ended(outcome)) => Opened::Over(outcome),
                _ => Opened::Known,
            });
        }
    }
    if call.is_keyed() || watched {
        let memory = match call.is_keyed() {
            true => MEMORY.as_secs() as u32,
            // The server's own.
            false => 0,
        };
        let options = CreateRoomOptions {
            empty_timeout: memory,
            departure_timeout: memory,
            ..CreateRoomOptions::default()
        };
        rooms
            .create_room(&call.room, options)
            .await
            .map_err(failed)?;
    }
    Ok(Opened::New)
}

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

/// Asks LiveKit to dispatch the agent, and waits until a worker has taken the job. A call that is
/// [known](Opened::Known) is not asked for again.
///
/// The request is sent once: failover is off, since a request that LiveKit Cloud answers late would
/// be repeated in another region, and the phone would ring twice.
///
/// Not cancel safe: when dropped, a new call has to be [withdrawn](withdraw).
pub(crate) async fn dispatch(
    livekit: &LiveKitSettings,
    call: &Call,
    known: bool,
    patience: Duration,
) -> Result<Taken, DialerError> {
    let client = client(livekit);
    let asked = match call.is_keyed() {
        true => dispatch_once(livekit, &client, call, known).await,
        false => create(&client, call, false).await,
    };
    let dispatch = match asked {
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
        // Another dialer with the same key has withdrawn it: its room stays when it is over.
        Withdrawal::WasGone if call.is_keyed() => Err(failure),
        Withdrawal::WasGone => Ok(Taken {
            dispatch_id: dispatch.id,
            sign: Sign::Over,
        }),
    }
}

/// Dispatches the agent unless somebody has, and returns the first dispatch to the room.
///
/// LiveKit cannot do this in one step. Of two that are made at almost the same time the later is deleted
/// here; its agent calls nobody if it sees the earlier one in time.
async fn dispatch_once(
    livekit: &LiveKitSettings,
    client: &AgentDispatchClient,
    call: &Call,
    known: bool,
) -> Result<AgentDispatch, ServiceError> {
    if known && let Some(first) = first_dispatch(client, call).await? {
        return Ok(first);
    }
    let ours = create(client, call, false).await?;
    let Some(first) = first_dispatch(client, call).await? else {
        return Ok(ours);
    };
    if first.id != ours.id
        && let Err(error) = client.delete_dispatch(&ours.id, &call.room).await
        && !is_not_found(&error)
        && rooms(livekit)
            .list_participants(&call.room)
            .await?
            .is_empty()
    {
        return Err(error);
    }
    Ok(first)
}

/// The dispatch of our agent that came first; see the agent's own order in its `call::claim`.
async fn first_dispatch(
    client: &AgentDispatchClient,
    call: &Call,
) -> Result<Option<AgentDispatch>, ServiceError> {
    let dispatches = client.list_dispatch(&call.room).await?;
    Ok(dispatches
        .into_iter()
        .filter(|dispatch| dispatch.agent_name == call.agent_name)
        .min_by_key(|dispatch| {
            let created_at = dispatch.state.as_ref().map_or(0, |state| state.created_at);
            (created_at, dispatch.id.clone())
        }))
}

/// With `resume` the agent takes over the callee who is in the room, and dials nobody.
///
/// LiveKit Cloud would restart a job that failed, and a call that nobody answered is one.
async fn create(
    client: &AgentDispatchClient,
    call: &Call,
    resume: bool,
) -> Result<AgentDispatch, ServiceError> {
    let metadata = JobMetadata {
        resume,
        ..call.metadata.clone()
    };
    client
        .create_dispatch(CreateAgentDispatchRequest {
            agent_name: call.agent_name.clone(),
            room: call.room.clone(),
            metadata: metadata.to_json(),
            restart_policy: JobRestartPolicy::JrpNever.into(),
            ..CreateAgentDispatchRequest::default()
        })
        .await
}

/// Dispatches an agent to a call whose agent is gone, in place of the dispatches before.
pub(crate) async fn take_over(livekit: &LiveKitSettings, call: &Call) -> Result<(), DialerError> {
    let failed = |error| DialerError::from_service(livekit, error);
    let client = client(livekit);
    for old in client.list_dispatch(&call.room).await.map_err(failed)? {
        // Two dialers that wait for one call do this at the same time: a dispatch that takes over stays.
        let takes_over = JobMetadata::parse(&old.metadata).is_ok_and(|(job, _)| job.resume);
        if old.agent_name != call.agent_name || takes_over {
            continue;
        }
        if_there(client.delete_dispatch(&old.id, &call.room).await).map_err(failed)?;
    }
    create(&client, call, true).await.map_err(failed)?;
    Ok(())
}

/// Ends a call that no agent takes care of.
pub(crate) async fn hang_up(livekit: &LiveKitSettings, call: &Call) -> Result<(), DialerError> {
    if !call.is_keyed() {
        return withdraw(livekit, call).await.map(drop);
    }
    let failed = |error| DialerError::from_service(livekit, error);
    let rooms = rooms(livekit);
    let lost = CallProgress::Ended(CallOutcome::Lost).to_json();
    let told = rooms.update_room_metadata(&call.room, &lost).await;
    if if_there(told).map_err(failed)?.is_none() {
        return Ok(());
    }
    for participant in rooms.list_participants(&call.room).await.map_err(failed)? {
        if participant.kind() == Kind::Sip {
            let removed = rooms.remove_participant(&call.room, &participant.identity);
            if_there(removed.await).map_err(failed)?;
        }
    }
    Ok(())
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
        Err(error) if is_not_found(&error) => Ok(Withdrawal::WasGone),
        Err(error) => Err(DialerError::NotWithdrawn {
            room: call.room.clone(),
            source: Box::new(error),
        }),
    }
}

/// `None` when what the request was about is not there.
fn if_there<T>(result: Result<T, ServiceError>) -> Result<Option<T>, ServiceError> {
    match result {
        Err(error) if is_not_found(&error) => Ok(None),
        result => result.map(Some),
    }
}

fn is_not_found(error: &ServiceError) -> bool {
    matches!(
        error,
        ServiceError::Twirp(ServerError::Twirp(refusal))
            if refusal.code == ServerErrorCode::NOT_FOUND
    )
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
