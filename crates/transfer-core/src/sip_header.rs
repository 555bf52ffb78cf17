//! Extra headers that an outbound INVITE carries.

use std::fmt;
use std::str::FromStr;

/// The prefix of header names that the Vobiz carrier passes on; it drops all others.
pub const FORWARDED_PREFIX: &str = "X-VH-";

/// Longer values make the INVITE outgrow one UDP datagram, and carriers cut or refuse it.
const MAX_VALUE_LEN: usize = 256;

/// Names that the SIP stack sets itself, with their compact forms (RFC 3261 §7.3.3, §20; RFC 3515;
/// RFC 6665).
///
/// Setting one would at best be refused by LiveKit and at worst break the dialog.
const RESERVED: [&str; 38] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "allow",
    "allow-events",
    "authorization",
    "call-id",
    "contact",
    "content-encoding",
    "content-length",
    "content-type",
    "cseq",
    "event",
    "expires",
    "from",
    "max-forwards",
    "proxy-authorization",
    "record-route",
    "refer-to",
    "replaces",
    "reply-to",
    "require",
    "route",
    "supported",
    "to",
    "via",
    "c",
    "e",
    "f",
    "i",
    "k",
    "l",
    "m",
    "o",
    "r",
    "t",
    "u",
    "v",
];

/// A header for the INVITE: a name that SIP itself does not use, and one line of text.
///
/// Parses from `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipHeader {
    name: String,
    value: String,
}

impl SipHeader {
    /// Checks a name and a value, which come from the command line or from job metadata.
    ///
    /// Names that SIP itself uses (`Via`, `From`, `Call-ID`, …) are refused, and so is whatever
    /// would end the line.
    pub fn new(name: &str, value: &str) -> Result<Self, SipHeaderError> {
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(SipHeaderError::InvalidName);
        }
        if RESERVED
            .iter()
            .any(|reserved| name.eq_ignore_ascii_case(reserved))
        {
            return Err(SipHeaderError::Reserved);
        }
        let value = value.trim_matches(' ');
        if let Some(character) = value.chars().find(|c| c.is_control()) {
            return Err(SipHeaderError::ControlCharacter(character));
        }
        if value.len() > MAX_VALUE_LEN {
            return Err(SipHeaderError::TooLong { bytes: value.len() });
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }

    /// Returns the name as given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the value.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Tells whether the Vobiz carrier passes the header on ([`FORWARDED_PREFIX`]).
    pub fn is_forwarded(&self) -> bool {
        self.name
            .get(..FORWARDED_PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(FORWARDED_PREFIX))
    }
}

/// A byte of a header name (`token` of RFC 3261 §25.1).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

impl FromStr for SipHeader {
    type Err = SipHeaderError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        let (name, value) = input.split_once('=').ok_or(SipHeaderError::NoValue)?;
        Self::new(name, value)
    }
}

impl fmt::Display for SipHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.value)
    }
}

/// Why a header cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SipHeaderError {
    #[error("write it as KEY=VALUE")]
    NoValue,
    #[error("the name may hold letters, digits and -.!%*_+`'~ only")]
    InvalidName,
    /// A header of SIP itself, which only the SIP stack may set.
    #[error("SIP itself sets this header; use a name that starts with {FORWARDED_PREFIX}")]
    Reserved,
    /// A line break would let the value forge further headers.
    #[error("the value holds the control character {}", .0.escape_default())]
    ControlCharacter(char),
    #[error("the value has {bytes} bytes; at most {MAX_VALUE_LEN} fit")]
    TooLong { bytes: usize },
}

#[cfg(test)]
mod tests;
