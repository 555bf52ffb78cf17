//! Why nobody answered an outbound call.

use crate::{SipStatus, TwirpFailure};

/// Why `CreateSIPParticipant` (with `wait_until_answered`) did not end in an answered call.
///
/// The SIP status decides first, since LiveKit maps several onto one Twirp code; without one, the
/// text does, as livekit-sip 1.8 writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialFailure {
    /// The line is in use, or the callee pressed the red button on a phone that answers so.
    #[error("the callee is busy")]
    Busy,
    #[error("the callee declined the call")]
    Declined,
    /// It rang until the limit, or the carrier never got as far as ringing.
    #[error("nobody answered")]
    NoAnswer,
    /// Switched off or out of coverage.
    #[error("the callee cannot be reached now")]
    Unavailable,
    #[error("the number is not in service")]
    UnknownNumber,
    /// The carrier does not accept the trunk's user and password.
    #[error("the carrier refused the trunk's credentials")]
    BadCredentials,
    /// The carrier knows us and does not put this call through.
    #[error("the carrier refused the call with {status}")]
    Forbidden { status: SipStatus },
    /// No common codec, or a media option that the other side does not speak.
    #[error("the callee's side refused the media with {status}")]
    MediaRefused { status: SipStatus },
    #[error("the trunk does not exist")]
    TrunkNotFound,
    /// The trunk's address leads nowhere.
    #[error("the trunk's address cannot be resolved")]
    CarrierNotFound,
    #[error("LiveKit refused the request as invalid")]
    BadRequest,
    #[error("LiveKit refused the API key")]
    ApiKeyRefused,
    #[error("the carrier failed with {status}")]
    CarrierFault { status: SipStatus },
    #[error("no SIP service is running")]
    SipServiceDown,
    #[error("the SIP service is at its limit")]
    Overloaded,
    /// The outcome is not known; the phone may be ringing. Dialling again could call twice.
    #[error("it is not known what became of the call")]
    Unconfirmed,
}

impl DialFailure {
    /// Classifies an error answer to `CreateSIPParticipant`.
    pub fn classify(failure: &TwirpFailure<'_>) -> Self {
        match failure.sip_status {
            Some(status) => Self::from_sip(status),
            None => Self::from_text(failure),
        }
    }

    fn from_sip(status: SipStatus) -> Self {
        match status.0 {
            486 | 600 => Self::Busy,
            603 | 607 | 608 => Self::Declined,
            408 | 487 => Self::NoAnswer,
            480 => Self::Unavailable,
            404 | 410 | 484 | 604 => Self::UnknownNumber,
            401 | 407 => Self::BadCredentials,
            488 | 606 => Self::MediaRefused { status },
            300..=499 => Self::Forbidden { status },
            _ => Self::CarrierFault { status },
        }
    }

    fn from_text(failure: &TwirpFailure<'_>) -> Self {
        use DialFailure as Cause;
        const TEXTS: [(&str, Cause); 10] = [
            ("max auth retry attempts reached", Cause::BadCredentials),
            ("sip server required auth", Cause::BadCredentials),
            ("request timed out", Cause::NoAnswer),
            ("sip trunk does not exist", Cause::TrunkNotFound),
            ("fail to resolve target", Cause::CarrierNotFound),
            ("no response from servers", Cause::SipServiceDown),
            ("cpu exhausted", Cause::Overloaded),
            ("transaction failed to complete", Cause::Unconfirmed),
            ("missing sip callee number", Cause::BadRequest),
            ("should be a phone number", Cause::BadRequest),
        ];

        let by_text = TEXTS.iter().find(|(text, _)| failure.says(text));
        match by_text {
            Some((_, cause)) => *cause,
            None if failure.is_api_key_refused() => Self::ApiKeyRefused,
            None if failure.code == "invalid_argument" => Self::BadRequest,
            None => Self::Unconfirmed,
        }
    }

    /// Returns the cause's name on the wire.
    pub fn code(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Declined => "declined",
            Self::NoAnswer => "no_answer",
            Self::Unavailable => "unavailable",
            Self::UnknownNumber => "unknown_number",
            Self::BadCredentials => "bad_credentials",
            Self::Forbidden { .. } => "forbidden",
            Self::MediaRefused { .. } => "media_refused",
            Self::TrunkNotFound => "trunk_not_found",
            Self::CarrierNotFound => "carrier_not_found",
            Self::BadRequest => "bad_request",
            Self::ApiKeyRefused => "api_key_refused",
            Self::CarrierFault { .. } => "carrier_fault",
            Self::SipServiceDown => "sip_service_down",
            Self::Overloaded => "overloaded",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    /// Returns the SIP status, for the causes that several statuses share.
    pub fn sip_status(self) -> Option<SipStatus> {
        match self {
            Self::Forbidden { status }
            | Self::MediaRefused { status }
            | Self::CarrierFault { status } => Some(status),
            Self::Busy
            | Self::Declined
            | Self::NoAnswer
            | Self::Unavailable
            | Self::UnknownNumber
            | Self::BadCredentials
            | Self::TrunkNotFound
            | Self::CarrierNotFound
            | Self::BadRequest
            | Self::ApiKeyRefused
            | Self::SipServiceDown
            | Self::Overloaded
            | Self::Unconfirmed => None,
        }
    }

    /// Reads what [`Self::code`] and [`Self::sip_status`] say.
    pub fn from_code(code: &str, status: Option<SipStatus>) -> Option<Self> {
        Some(match code {
            "busy" => Self::Busy,
            "declined" => Self::Declined,
            "no_answer" => Self::NoAnswer,
            "unavailable" => Self::Unavailable,
            "unknown_number" => Self::UnknownNumber,
            "bad_credentials" => Self::BadCredentials,
            "forbidden" => Self::Forbidden { status: status? },
            "media_refused" => Self::MediaRefused { status: status? },
            "trunk_not_found" => Self::TrunkNotFound,
            "carrier_not_found" => Self::CarrierNotFound,
            "bad_request" => Self::BadRequest,
            "api_key_refused" => Self::ApiKeyRefused,
            "carrier_fault" => Self::CarrierFault { status: status? },
            "sip_service_down" => Self::SipServiceDown,
            "overloaded" => Self::Overloaded,
            "unconfirmed" => Self::Unconfirmed,
            _ => return None,
        })
    }

    /// Returns what the operator can do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Busy | Self::Declined => "call again later",
            Self::NoAnswer => {
                "call again later, or let it ring longer with DIAL_RINGING_TIMEOUT; if the phone never rang, \
                 check VOBIZ_SIP_DOMAIN and the carrier's log"
            }
            Self::Unavailable => "the phone is switched off or out of coverage; call again later",
            Self::UnknownNumber => "check the number, and that the carrier serves its country",
            Self::BadCredentials => {
                "check VOBIZ_USERNAME and VOBIZ_PASSWORD, then run `trunk-setup` to copy them to the trunk \
                 (`trunk-setup --check` shows what differs)"
            }
            Self::Forbidden {
                status: SipStatus(402),
            } => "top up the carrier account",
            Self::Forbidden { .. } => {
                "check in the carrier's console that the account may call this destination with this caller \
                 number; some carriers also answer wrong credentials so, which `trunk-setup` repairs"
            }
            Self::MediaRefused { .. } => {
                "check the codecs (G.722, PCMU and PCMA are offered) and the trunk's media encryption"
            }
            Self::TrunkNotFound => {
                "check OUTBOUND_TRUNK_ID: `trunk-setup --list` shows the trunks, `trunk-setup` creates one"
            }
            Self::CarrierNotFound => {
                "check VOBIZ_SIP_DOMAIN, then run `trunk-setup` to copy it to the trunk"
            }
            Self::BadRequest => "check the number, the caller number and the headers",
            Self::ApiKeyRefused => "check LIVEKIT_API_KEY and LIVEKIT_API_SECRET",
            Self::CarrierFault { .. } => "the carrier has a fault; call again later",
            Self::SipServiceDown => {
                "start livekit-sip, and check that it uses the same Redis as livekit-server"
            }
            Self::Overloaded => {
                "add capacity for livekit-sip, or raise its max_cpu_utilization; call again later"
            }
            Self::Unconfirmed => {
                "look at the carrier's call log before calling again: the phone may have rung"
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
