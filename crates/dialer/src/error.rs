//! Why nobody is being called.

use std::time::Duration;

use livekit_api::services::{ServerError, ServiceError};
use sip_config::{LiveKitSettings, LoadError, SettingsError};
use transfer_core::ParsePhoneNumberError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum DialerError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("{flag} is not a phone number")]
    Number {
        flag: &'static str,
        #[source]
        source: ParsePhoneNumberError,
    },
    #[error("cannot reach LiveKit at {url}")]
    Unreachable {
        url: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The request went out, and the answer did not come.
    #[error("LiveKit at {url} did not answer")]
    NoAnswer {
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
    #[error("LiveKit refused the call with {code} ({message})")]
    Refused { code: String, message: String },
    #[error("LiveKit's answer is not understood")]
    Protocol(#[source] Box<ServiceError>),
    #[error(
        "no worker named `{agent_name}` took the call within {} s; it was withdrawn ({dispatch_id})",
        .patience.as_secs()
    )]
    NoWorker {
        agent_name: String,
        dispatch_id: String,
        patience: Duration,
    },
    #[error(
        "no worker took the call, and room {room} could not be deleted: a worker may still take it"
    )]
    NotWithdrawn {
        room: String,
        #[source]
        source: Box<ServiceError>,
    },
    #[error("cannot join room {room} to wait for the end of the call; nobody is called")]
    CannotWatch {
        room: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("interrupted; the call was withdrawn")]
    Interrupted,
    #[error("interrupted; the call was asked for before, and goes on")]
    InterruptedKnown,
}

impl DialerError {
    /// Sorts what LiveKit's client reports.
    pub(crate) fn from_service(livekit: &LiveKitSettings, error: ServiceError) -> Self {
        match error {
            ServiceError::Twirp(ServerError::Request(source)) => {
                let url = livekit.api_url();
                if source.is_decode() {
                    return Self::Unexplained { url };
                }
                let is_connect = source.is_connect();
                let source = Box::new(source);
                match is_connect {
                    true => Self::Unreachable { url, source },
                    false => Self::NoAnswer { url, source },
                }
            }
            ServiceError::Twirp(ServerError::Twirp(refusal)) => {
                let (code, message) = (refusal.code, refusal.msg);
                match code.as_str() {
                    "unauthenticated" | "permission_denied" => Self::ApiKeyRefused { message },
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

    /// Tells whether LiveKit may have taken the request all the same, so that it has to be withdrawn.
    pub(crate) fn leaves_doubt(&self) -> bool {
        matches!(self, Self::NoAnswer { .. } | Self::Protocol(_))
    }

    /// Returns what to do about it, if that is not plain from the message.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Number {
                source: ParsePhoneNumberError::MissingCountryCode,
                ..
            } => "write the country code, or set DEFAULT_REGION",
            Self::Number {
                source: ParsePhoneNumberError::TooShort { .. },
                ..
            } => "emergency numbers and short codes cannot be called",
            Self::Unreachable { .. } | Self::NoAnswer { .. } | Self::CannotWatch { .. } => {
                "check LIVEKIT_URL, and that the server is running"
            }
            Self::Unexplained { .. } | Self::ApiKeyRefused { .. } => {
                "check LIVEKIT_API_KEY and LIVEKIT_API_SECRET, and the clock of this machine"
            }
            Self::NoWorker { .. } => {
                "start one with `voice-agent dev`, with the same LIVEKIT_URL and LIVEKIT_AGENT_NAME"
            }
            Self::NotWithdrawn { .. } => "delete the room, or stop the workers",
            Self::Load(_)
            | Self::Settings(_)
            | Self::Number { .. }
            | Self::Refused { .. }
            | Self::Protocol(_)
            | Self::Interrupted
            | Self::InterruptedKnown => return None,
        })
    }

    /// Returns the exit code that `--help` promises.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Load(_) | Self::Settings(_) | Self::Number { .. } => 2,
            Self::Unreachable { .. } | Self::NoAnswer { .. } | Self::CannotWatch { .. } => 3,
            Self::Unexplained { .. }
            | Self::ApiKeyRefused { .. }
            | Self::Refused { .. }
            | Self::Protocol(_) => 4,
            Self::NoWorker { .. } => 5,
            Self::NotWithdrawn { .. } => 6,
            Self::Interrupted | Self::InterruptedKnown => 130,
        }
    }
}
