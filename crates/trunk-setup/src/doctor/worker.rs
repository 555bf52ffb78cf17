//! Whether a worker takes a job.
//!
//! The job has no metadata: for the agent it is an inbound or web call, so that it dials nobody.

use std::time::Duration;

use livekit_api::services::ServiceError;
use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_protocol::CreateAgentDispatchRequest;
use livekit_protocol::participant_info::Kind;
use secrecy::ExposeSecret as _;
use sip_config::LiveKitSettings;
use tokio::time::{Instant, sleep};

use super::finding::{Check, Finding};
use super::room::Room;
use crate::server::Refusal;

/// A worker that is there takes a job within half a second, the first one after its registration in five.
const PATIENCE: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(50);

/// Dispatches the agent into the doctor's room, and waits until it is there.
pub(super) async fn probe(livekit: &LiveKitSettings, agent_name: &str, room: &Room) -> Finding {
    let start = Instant::now();
    match wait_for_agent(livekit, agent_name, room).await {
        Ok(true) => Finding::ok(
            Check::Worker,
            format!("`{agent_name}` took a job within {} ms", start.elapsed().as_millis()),
        ),
        Ok(false) => Finding::failed(
            Check::Worker,
            format!("no worker named `{agent_name}` took a job"),
            "start one with `voice-agent start`; if one runs, compare LIVEKIT_AGENT_NAME and LIVEKIT_URL there and here",
        )
        .with_evidence(format!("waited {} s for the agent to join a room", PATIENCE.as_secs())),
        Err(error) => Finding::failed(
            Check::Worker,
            "LiveKit did not dispatch the agent",
            "look into the log of livekit-server",
        )
        .with_evidence(Refusal::new(&error).to_string()),
    }
}

async fn wait_for_agent(
    livekit: &LiveKitSettings,
    agent_name: &str,
    room: &Room,
) -> Result<bool, ServiceError> {
    let secret = livekit.api_secret.expose_secret();
    let client = AgentDispatchClient::with_api_key(&livekit.api_url(), &livekit.api_key, secret)
        .with_failover(false);
    let request = CreateAgentDispatchRequest {
        agent_name: agent_name.to_owned(),
        room: room.name().to_owned(),
        ..CreateAgentDispatchRequest::default()
    };
    client.create_dispatch(request).await?;
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let present = room.participants().await?;
        if present.iter().any(|someone| someone.kind() == Kind::Agent) {
            return Ok(true);
        }
        sleep(PAUSE).await;
    }
    Ok(false)
}
