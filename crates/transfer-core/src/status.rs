//! What LiveKit's SIP API reports when a call or a transfer fails.

use std::fmt;

use crate::TransferReason;

/// A SIP response code (RFC 3261 §21).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SipStatus(pub u16);

impl SipStatus {
    /// Returns the standard reason phrase, if the code is one that telephony uses.
    pub fn reason_phrase(self) -> Option<&'static str> {
        Some(match self.0 {
            200 => "OK",
            202 => "Accepted",
            400 => "Bad Request",
            401 => "Unauthorized",
            402 => "Payment Required",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            406 => "Not Acceptable",
            407 => "Proxy Authentication Required",
            408 => "Request Timeout",
            410 => "Gone",
            415 => "Unsupported Media Type",
            420 => "Bad Extension",
            480 => "Temporarily Unavailable",
            481 => "Call/Transaction Does Not Exist",
            482 => "Loop Detected",
            483 => "Too Many Hops",
            484 => "Address Incomplete",
            485 => "Ambiguous",
            486 => "Busy Here",
            487 => "Request Terminated",
            488 => "Not Acceptable Here",
            500 => "Server Internal Error",
            501 => "Not Implemented",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            504 => "Server Time-out",
            600 => "Busy Everywhere",
            603 => "Decline",
            604 => "Does Not Exist Anywhere",
            606 => "Not Acceptable",
            607 => "Unwanted",
            608 => "Rejected",
            _ => return None,
        })
    }
}

impl fmt::Display for SipStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason_phrase() {
            Some(reason) => write!(f, "{} {reason}", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for SipStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An error answer of LiveKit's Twirp API, taken apart.
///
/// The HTTP status is left out: it follows from `code`, and several causes share one
/// (busy and unavailable 429, forbidden and declined 403).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwirpFailure<'a> {
    /// The Twirp code, such as `resource_exhausted`.
    pub code: &'a str,
    /// The text; livekit-sip's texts come prefixed with `twirp error unknown: `.
    pub message: &'a str,
    /// `sip_status_code` of the error's `meta`; there only when a SIP response was the cause.
    pub sip_status: Option<SipStatus>,
    /// Of a `SIPTransferError` in the error's details; there only for a transfer, from servers that send it.
    pub transfer_reason: Option<TransferReason>,
}

impl TwirpFailure<'_> {
    /// Tells whether the message holds `text`.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.message.contains(text)
    }

    /// Tells whether LiveKit refused our API key, rather than a carrier our call.
    pub(crate) fn is_api_key_refused(&self) -> bool {
        self.sip_status.is_none() && matches!(self.code, "unauthenticated" | "permission_denied")
    }
}
