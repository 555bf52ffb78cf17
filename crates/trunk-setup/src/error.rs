//! Why the trunk is not set up.

use livekit_api::services::{ServerError, ServiceError};
use sip_config::{EnvFileError, LoadError, SettingsError};

use crate::inbound::InboundError;
use crate::plan::PlanError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("cannot reach LiveKit at {url}")]
    Unreachable {
        url: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// livekit-server answers in plain text, which its client cannot read, when it refuses the key.
    #[error(
        "LiveKit at {url} refused the request without a reason, as it does with a wrong API key"
    )]
    Unexplained { url: String },
    #[error("LiveKit refused the API key ({message})")]
    ApiKeyRefused { message: String },
    /// livekit-server without Redis answers so.
    #[error("LiveKit has no SIP service ({message})")]
    NoSip { message: String },
    #[error("LiveKit refused the trunk with {code} ({message})")]
    Refused { code: String, message: String },
    #[error("LiveKit's answer is not understood")]
    Protocol(#[source] Box<ServiceError>),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Inbound(#[from] InboundError),
    #[error("the trunk {id} is set up, but its id could not be written")]
    EnvFile {
        id: String,
        #[source]
        source: EnvFileError,
    },
}

impl SetupError {
    /// Sorts what LiveKit's client reports.
    pub(crate) fn from_service(url: &str, error: ServiceError) -> Self {
        match error {
            ServiceError::Twirp(ServerError::Request(source)) if source.is_decode() => {
                Self::Unexplained {
                    url: url.to_owned(),
                }
            }
            ServiceError::Twirp(ServerError::Request(source)) => Self::Unreachable {
                url: url.to_owned(),
                source: Box::new(source),
            },
            ServiceError::Twirp(ServerError::Twirp(refusal)) => {
                let (code, message) = (refusal.code, refusal.msg);
                match code.as_str() {
                    "unauthenticated" | "permission_denied" => Self::ApiKeyRefused { message },
                    _ if message.contains("sip not connected") => Self::NoSip { message },
                    _ => Self::Refused { code, message },
                }
            }
            other @ (ServiceError::Env(_)
            | ServiceError::AccessToken(_)
            | ServiceError::Twirp(ServerError::Url(_) | ServerError::Prost(_))) => {
                Self::Protocol(Box::new(other))
            }
        }
    }

    /// Returns what to do about it, if that is not plain from the message.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unreachable { .. } => "check LIVEKIT_URL, and that the server is running",
            Self::Unexplained { .. } | Self::ApiKeyRefused { .. } => {
                "check LIVEKIT_API_KEY and LIVEKIT_API_SECRET, and the clock of this machine"
            }
            Self::NoSip { .. } => {
                "give livekit-server a Redis, and run livekit-sip on the same one"
            }
            Self::Plan(PlanError::NoSuchTrunk { .. }) => {
                "`trunk-setup --list` shows the trunks; without OUTBOUND_TRUNK_ID one is found or created"
            }
            Self::Plan(PlanError::Ambiguous { .. }) => "set OUTBOUND_TRUNK_ID to one of them",
            Self::Inbound(InboundError::ForeignRule { .. }) => {
                "add the agent to that rule, or delete the rule and run this again"
            }
            Self::EnvFile { .. } => "set OUTBOUND_TRUNK_ID to it yourself",
            Self::Load(_) | Self::Settings(_) | Self::Refused { .. } | Self::Protocol(_) => {
                return None;
            }
        })
    }

    /// Returns the exit code that `--help` promises.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Load(_) | Self::Settings(_) => 2,
            Self::Unreachable { .. } => 3,
            Self::Unexplained { .. }
            | Self::ApiKeyRefused { .. }
            | Self::NoSip { .. }
            | Self::Refused { .. }
            | Self::Protocol(_) => 4,
            Self::Plan(_) | Self::Inbound(_) => 5,
            Self::EnvFile { .. } => 6,
        }
    }
}
