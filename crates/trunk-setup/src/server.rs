//! The trunks on the LiveKit server.

use livekit_api::services::ServiceError;
use livekit_api::services::sip::{
    CreateSIPOutboundTrunkOptions, ListSIPOutboundTrunkFilter, SIPClient,
};
use livekit_protocol::SipOutboundTrunkInfo;
use secrecy::ExposeSecret as _;
use sip_config::{LiveKitSettings, TrunkSettings};

use crate::error::SetupError;
use crate::plan;

/// The name of trunks that we create; people may change it.
const TRUNK_NAME: &str = "sip-transfer-agent";

/// LiveKit's SIP API, which is asked everything once: a repeated create would leave two trunks.
pub(crate) struct Server {
    client: SIPClient,
    url: String,
}

impl Server {
    /// Connects on the first request.
    pub(crate) fn new(livekit: &LiveKitSettings) -> Self {
        let url = livekit.api_url();
        let secret = livekit.api_secret.expose_secret();
        Self {
            client: SIPClient::with_api_key(&url, &livekit.api_key, secret).with_failover(false),
            url,
        }
    }

    /// Returns all outbound trunks.
    pub(crate) async fn trunks(&self) -> Result<Vec<SipOutboundTrunkInfo>, SetupError> {
        let all = ListSIPOutboundTrunkFilter::All;
        let trunks = self.client.list_sip_outbound_trunk(all).await;
        trunks.map_err(|error| self.failure(error))
    }

    /// Creates a trunk, and returns it.
    pub(crate) async fn create(
        &self,
        settings: &TrunkSettings,
    ) -> Result<SipOutboundTrunkInfo, SetupError> {
        let options = CreateSIPOutboundTrunkOptions {
            auth_username: settings.username.clone(),
            auth_password: settings.password.expose_secret().to_owned(),
            ..CreateSIPOutboundTrunkOptions::default()
        };
        let address = settings.domain.to_string();
        let numbers = vec![settings.outbound_number.to_string()];
        let trunk = self
            .client
            .create_sip_outbound_trunk(TRUNK_NAME.to_owned(), address, numbers, options)
            .await;
        trunk.map_err(|error| self.failure(error))
    }

    /// Sets the fields of a trunk that the settings own, and returns it.
    pub(crate) async fn update(
        &self,
        id: &str,
        settings: &TrunkSettings,
    ) -> Result<SipOutboundTrunkInfo, SetupError> {
        let trunk = self
            .client
            .update_sip_outbound_trunk(id.to_owned(), plan::update(settings))
            .await;
        trunk.map_err(|error| self.failure(error))
    }

    fn failure(&self, error: ServiceError) -> SetupError {
        SetupError::from_service(&self.url, error)
    }
}
