//! A room of the doctor's own, which goes when the check is over.

use livekit_api::services::room::RoomClient;
use livekit_api::services::{ServerError, ServerErrorCode, ServiceError};
use livekit_protocol::ParticipantInfo;
use rand::Rng as _;
use secrecy::ExposeSecret as _;
use sip_config::LiveKitSettings;

pub(super) struct Room {
    name: String,
    client: RoomClient,
}

impl Room {
    /// A name that nobody else has; LiveKit makes the room on first use.
    pub(super) fn new(livekit: &LiveKitSettings) -> Self {
        let secret = livekit.api_secret.expose_secret();
        Self {
            name: format!("doctor-{:016x}", rand::rng().random::<u64>()),
            client: RoomClient::with_api_key(&livekit.api_url(), &livekit.api_key, secret)
                .with_failover(false),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn participants(&self) -> Result<Vec<ParticipantInfo>, ServiceError> {
        self.client.list_participants(&self.name).await
    }

    /// Ends whatever is in the room; that there is none is no failure.
    pub(super) async fn delete(&self) -> Result<(), ServiceError> {
        match self.client.delete_room(&self.name).await {
            Err(ServiceError::Twirp(ServerError::Twirp(refusal)))
                if refusal.code == ServerErrorCode::NOT_FOUND =>
            {
                Ok(())
            }
            other => other,
        }
    }
}
