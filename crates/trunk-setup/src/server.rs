//! The trunks on the LiveKit server.

use std::fmt;
use std::time::Duration;

use livekit_api::services::sip::{
    CreateSIPDispatchRuleOptions, CreateSIPInboundTrunkOptions, CreateSIPOutboundTrunkOptions,
    ListSIPDispatchRuleFilter, ListSIPInboundTrunkFilter, ListSIPOutboundTrunkFilter, SIPClient,
};
use livekit_api::services::{ServerError, ServiceError};
use livekit_protocol::{
    ListUpdate, SipDispatchRuleInfo, SipInboundTrunkInfo, SipInboundTrunkUpdate,
    SipOutboundTrunkInfo,
};
use secrecy::ExposeSecret as _;
use sip_config::{LiveKitSettings, TrunkSettings};
use tokio::time::sleep;
use transfer_core::{DialFailure, SipStatus, TransferAnswer, TransferFailure, TwirpFailure};

use crate::error::SetupError;
use crate::inbound;
use crate::plan;

/// The name of what we create; people may change it.
pub(crate) const NAME: &str = "sip-transfer-agent";

/// How long after a creation the trunks are listed again.
///
/// LiveKit has no lock. Whoever creates a trunk has seen shortly before that there was none; longer
/// than that takes, and everybody who creates one at the same time sees all of them.
const OTHERS_CREATE_WITHIN: Duration = Duration::from_secs(1);

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

    /// LiveKit's SIP API.
    pub(crate) fn client(&self) -> &SIPClient {
        &self.client
    }

    /// Returns all outbound trunks.
    pub(crate) async fn trunks(&self) -> Result<Vec<SipOutboundTrunkInfo>, SetupError> {
        let all = ListSIPOutboundTrunkFilter::All;
        let trunks = self.client.list_sip_outbound_trunk(all).await;
        trunks.map_err(|error| self.failure(error))
    }

    /// Creates a trunk, and returns it; or the one that somebody else created at the same time.
    pub(crate) async fn create(
        &self,
        settings: &TrunkSettings,
    ) -> Result<SipOutboundTrunkInfo, SetupError> {
        let options = CreateSIPOutboundTrunkOptions {
            auth_username: settings.username.clone(),
            auth_password: settings.password.expose_secret().to_owned(),
            transport: settings.transport.map(plan::transport).unwrap_or_default(),
            ..CreateSIPOutboundTrunkOptions::default()
        };
        let address = settings.domain.to_string();
        let numbers = vec![settings.number_format.write(&settings.outbound_number)];
        let created = self
            .client
            .create_sip_outbound_trunk(NAME.to_owned(), address, numbers, options)
            .await
            .map_err(|error| self.failure(error))?;
        sleep(OTHERS_CREATE_WITHIN).await;
        let survivor = plan::survivor(self.trunks().await?, settings);
        let trunk = match survivor {
            Some(other) if other.sip_trunk_id != created.sip_trunk_id => {
                self.delete_trunk(&created.sip_trunk_id).await?;
                other
            }
            _ => created,
        };
        match settings.media_encryption {
            // The request that creates a trunk has no place for it.
            Some(_) => self.update(&trunk, settings).await,
            None => Ok(trunk),
        }
    }

    /// Sets the fields of a trunk that the settings own, and returns it.
    pub(crate) async fn update(
        &self,
        trunk: &SipOutboundTrunkInfo,
        settings: &TrunkSettings,
    ) -> Result<SipOutboundTrunkInfo, SetupError> {
        let update = plan::update(trunk, settings);
        let trunk = self
            .client
            .update_sip_outbound_trunk(trunk.sip_trunk_id.clone(), update)
            .await;
        trunk.map_err(|error| self.failure(error))
    }

    async fn delete_trunk(&self, id: &str) -> Result<(), SetupError> {
        let deleted = self.client.delete_sip_trunk(id).await;
        deleted.map(drop).map_err(|error| self.failure(error))
    }

    /// Returns all inbound trunks and all dispatch rules.
    pub(crate) async fn inbound(
        &self,
    ) -> Result<(Vec<SipInboundTrunkInfo>, Vec<SipDispatchRuleInfo>), SetupError> {
        let trunks = self
            .client
            .list_sip_inbound_trunk(ListSIPInboundTrunkFilter::All)
            .await
            .map_err(|error| self.failure(error))?;
        let rules = self
            .client
            .list_sip_dispatch_rule(ListSIPDispatchRuleFilter::All)
            .await
            .map_err(|error| self.failure(error))?;
        Ok((trunks, rules))
    }

    /// Creates the inbound trunk.
    ///
    /// LiveKit refuses a second one for the same number, but for requests at the same moment; those
    /// leave one, as with outbound trunks.
    pub(crate) async fn create_inbound(
        &self,
        wanted: &inbound::Wanted,
    ) -> Result<SipInboundTrunkInfo, SetupError> {
        let options = CreateSIPInboundTrunkOptions {
            allowed_addresses: Some(wanted.allowed_addresses.clone()),
            ..CreateSIPInboundTrunkOptions::default()
        };
        let created = self
            .client
            .create_sip_inbound_trunk(NAME.to_owned(), wanted.numbers.clone(), options)
            .await;
        let created = match created {
            Ok(created) => created,
            Err(error) => {
                let error = self.failure(error);
                let (trunks, _) = self.inbound().await?;
                return inbound::survivor(trunks, wanted).ok_or(error);
            }
        };
        sleep(OTHERS_CREATE_WITHIN).await;
        let (trunks, _) = self.inbound().await?;
        match inbound::survivor(trunks, wanted) {
            Some(other) if other.sip_trunk_id != created.sip_trunk_id => {
                self.delete_trunk(&created.sip_trunk_id).await?;
                Ok(other)
            }
            _ => Ok(created),
        }
    }

    /// Lets calls from these addresses in too.
    pub(crate) async fn allow(
        &self,
        trunk_id: &str,
        addresses: &[String],
    ) -> Result<(), SetupError> {
        let update = SipInboundTrunkUpdate {
            allowed_addresses: Some(ListUpdate {
                add: addresses.to_vec(),
                ..ListUpdate::default()
            }),
            ..SipInboundTrunkUpdate::default()
        };
        let updated = self
            .client
            .update_sip_inbound_trunk(trunk_id.to_owned(), update)
            .await;
        updated.map(drop).map_err(|error| self.failure(error))
    }

    /// Creates the dispatch rule for the calls of a trunk; of several that are created at the same
    /// time one stays.
    pub(crate) async fn create_rule(
        &self,
        trunk_id: &str,
        wanted: &inbound::Wanted,
    ) -> Result<String, SetupError> {
        let options = CreateSIPDispatchRuleOptions {
            name: NAME.to_owned(),
            trunk_ids: vec![trunk_id.to_owned()],
            room_config: Some(wanted.room_config()),
            ..CreateSIPDispatchRuleOptions::default()
        };
        let created = self
            .client
            .create_sip_dispatch_rule(inbound::rule(), options)
            .await;
        let created = match created {
            Ok(created) => created.sip_dispatch_rule_id,
            Err(error) => {
                let error = self.failure(error);
                let (_, rules) = self.inbound().await?;
                return inbound::surviving_rule(&rules, trunk_id).ok_or(error);
            }
        };
        sleep(OTHERS_CREATE_WITHIN).await;
        let (_, rules) = self.inbound().await?;
        match inbound::surviving_rule(&rules, trunk_id) {
            Some(other) if other != created => {
                let deleted = self.client.delete_sip_dispatch_rule(&created).await;
                deleted.map_err(|error| self.failure(error))?;
                Ok(other)
            }
            _ => Ok(created),
        }
    }

    /// Replaces a dispatch rule of ours.
    pub(crate) async fn replace_rule(&self, rule: SipDispatchRuleInfo) -> Result<(), SetupError> {
        let id = rule.sip_dispatch_rule_id.clone();
        let replaced = self.client.update_sip_dispatch_rule_replace(id, rule).await;
        replaced.map(drop).map_err(|error| self.failure(error))
    }

    fn failure(&self, error: ServiceError) -> SetupError {
        SetupError::from_service(&self.url, error)
    }
}

/// LiveKit's answer to a call or a transfer that it did not make.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Empty when there was no answer that could be read.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) sip_status: Option<SipStatus>,
}

impl Refusal {
    pub(crate) fn new(error: &ServiceError) -> Self {
        match error {
            ServiceError::Twirp(ServerError::Twirp(answer)) => Self {
                code: answer.code.clone(),
                message: answer.msg.clone(),
                sip_status: answer
                    .meta
                    .get("sip_status_code")
                    .and_then(|status| status.parse().ok())
                    .map(SipStatus),
            },
            other @ (ServiceError::Env(_)
            | ServiceError::AccessToken(_)
            | ServiceError::Twirp(
                ServerError::Request(_) | ServerError::Url(_) | ServerError::Prost(_),
            )) => Self {
                code: String::new(),
                message: other.to_string(),
                sip_status: None,
            },
        }
    }

    pub(crate) fn dial_failure(&self) -> DialFailure {
        DialFailure::classify(&self.answer())
    }

    pub(crate) fn transfer_answer(&self) -> TransferAnswer {
        TransferFailure::classify(&self.answer())
    }

    fn answer(&self) -> TwirpFailure<'_> {
        TwirpFailure {
            code: &self.code,
            message: &self.message,
            sip_status: self.sip_status,
            // In the error's details, which LiveKit's client does not keep.
            transfer_reason: None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code.is_empty() {
            true => f.write_str(&self.message),
            false => write!(f, "{}: {}", self.code, self.message),
        }
    }
}
