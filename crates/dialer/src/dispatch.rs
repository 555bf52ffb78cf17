//! The dispatch: asked for once, watched until a worker takes it, withdrawn if none does.

use std::time::Duration;

use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_api::services::room::RoomClient;
use livekit_protocol::{AgentDispatch, CreateAgentDispatchRequest, Job, JobStatus};
use secrecy::ExposeSecret as _;
use sip_config::LiveKitSettings;
use tokio::time::{Instant, sleep, timeout_at};

use crate::call::Call;
use crate::error::DialerError;

/// The pause between two looks at the dispatch, at first. A worker nearby takes a call within 20 ms.
const FIRST_PAUSE: Duration = Duration::from_millis(3);

/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// A call that a worker has taken.
pub(crate) struct TakenJob {
    pub(crate) dispatch_id: String,
    pub(crate) job_id: String,
    pub(crate) worker_id: String,
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
) -> Result<TakenJob, DialerError> {
    let client = client(livekit);
    let request = CreateAgentDispatchRequest {
        agent_name: call.agent_name.clone(),
        room: call.room.clone(),
        metadata: call.metadata.to_json(),
        ..CreateAgentDispatchRequest::default()
    };
    let dispatch = client
        .create_dispatch(request)
        .await
        .map_err(|error| DialerError::from_service(livekit, error))?;
    let deadline = Instant::now() + patience;
    match timeout_at(deadline, wait_for_job(&client, livekit, &dispatch)).await {
        Ok(job) => {
            let job = job?;
            Ok(TakenJob {
                dispatch_id: dispatch.id,
                worker_id: job.state.unwrap_or_default().worker_id,
                job_id: job.id,
            })
        }
        Err(_) => {
            withdraw(livekit, call).await?;
            Err(DialerError::NoWorker {
                agent_name: call.agent_name.clone(),
                dispatch_id: dispatch.id,
                patience,
            })
        }
    }
}

/// Looks at the dispatch until it has a job that a worker has taken.
async fn wait_for_job(
    client: &AgentDispatchClient,
    livekit: &LiveKitSettings,
    dispatch: &AgentDispatch,
) -> Result<Job, DialerError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let seen = client
            .get_dispatch(&dispatch.id, &dispatch.room)
            .await
            .map_err(|error| DialerError::from_service(livekit, error))?;
        let jobs = seen.and_then(|seen| seen.state).unwrap_or_default().jobs;
        if let Some(job) = jobs.into_iter().find(is_taken) {
            return Ok(job);
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
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

/// Takes a call back that no worker has taken, so that none calls by surprise later: the room goes,
/// and its dispatches with it.
pub(crate) async fn withdraw(livekit: &LiveKitSettings, call: &Call) -> Result<(), DialerError> {
    let rooms = RoomClient::with_api_key(
        &livekit.api_url(),
        &livekit.api_key,
        livekit.api_secret.expose_secret(),
    );
    rooms
        .delete_room(&call.room)
        .await
        .map_err(|error| DialerError::NotWithdrawn {
            room: call.room.clone(),
            source: Box::new(error),
        })
}

fn client(livekit: &LiveKitSettings) -> AgentDispatchClient {
    AgentDispatchClient::with_api_key(
        &livekit.api_url(),
        &livekit.api_key,
        livekit.api_secret.expose_secret(),
    )
    .with_failover(false)
}
