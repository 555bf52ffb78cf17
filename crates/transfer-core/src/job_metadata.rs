//! The JSON that the dialer hands to the agent.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    AgentText, AgentTextError, AgentTexts, FORWARDED_PREFIX, IdempotencyKey, IdempotencyKeyError,
    ParsePhoneNumberError, PhoneNumber, SipHeader, SipHeaderError,
};

/// The metadata of one job: whom to call, as whom, with which extra SIP headers, and where to
/// transfer to.
///
/// On the wire it is `metadata` of LiveKit's `CreateAgentDispatchRequest`, a JSON object with these
/// names as keys; keys without a value are left out.
/// Without `phone_number` the job is an inbound or web call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JobMetadata {
    /// Whom to call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<PhoneNumber>,
    /// Headers for the INVITE, each checked as a [`SipHeader`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sip_headers: BTreeMap<String, String>,
    /// The caller number to show instead of the trunk's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_number: Option<PhoneNumber>,
    /// Whom to transfer to unless the caller names somebody, instead of `DEFAULT_TRANSFER_NUMBER`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_to: Option<PhoneNumber>,
    /// Under which key this call happens once. Its room outlives it and remembers how it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
    /// The callee was called by an agent that is gone: take the call over, and dial nobody.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub resume: bool,
    /// How the agent is to behave in this call, where that differs from its own settings.
    #[serde(skip_serializing_if = "AgentTexts::is_empty")]
    pub agent: AgentTexts,
}

/// The keys that we know, as text; `null` and `""` count as absent.
#[derive(Deserialize)]
struct Wire {
    phone_number: Option<String>,
    sip_headers: Option<BTreeMap<String, String>>,
    from_number: Option<String>,
    transfer_to: Option<String>,
    idempotency_key: Option<String>,
    resume: Option<bool>,
    agent: Option<BTreeMap<String, Value>>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

impl JobMetadata {
    /// Parses the metadata of a job, from our dialer or from anybody's `lk dispatch create`.
    ///
    /// Empty metadata is an inbound call. A bare number instead of JSON is taken as `phone_number`.
    pub fn parse(text: &str) -> Result<(Self, Vec<MetadataWarning>), ParseJobMetadataError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok((Self::default(), Vec::new()));
        }
        if !text.starts_with('{') {
            return Self::parse_bare(text);
        }
        let wire: Wire = serde_json::from_str(text).map_err(ParseJobMetadataError::Json)?;
        let mut warnings: Vec<_> = wire
            .unknown
            .into_keys()
            .map(MetadataWarning::UnknownKey)
            .collect();
        let mut agent = AgentTexts::default();
        for (key, value) in wire.agent.unwrap_or_default() {
            let Some(text) = AgentText::with_key(&key) else {
                warnings.push(MetadataWarning::UnknownKey(format!("agent.{key}")));
                continue;
            };
            let set = match value {
                Value::Null => Ok(()),
                Value::String(value) if value.is_empty() => Ok(()),
                Value::String(value) => agent.set(text, &value),
                Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    Err(AgentTextError::no_text(text))
                }
            };
            set.map_err(ParseJobMetadataError::Agent)?;
        }
        let mut sip_headers = BTreeMap::new();
        for (name, value) in wire.sip_headers.unwrap_or_default() {
            let header =
                SipHeader::new(&name, &value).map_err(|source| ParseJobMetadataError::Header {
                    name: name.clone(),
                    source,
                })?;
            if !header.is_forwarded() {
                warnings.push(MetadataWarning::NotForwarded(name.clone()));
            }
            sip_headers.insert(name, header.value().to_owned());
        }
        let metadata = Self {
            phone_number: number("phone_number", wire.phone_number)?,
            sip_headers,
            from_number: number("from_number", wire.from_number)?,
            transfer_to: number("transfer_to", wire.transfer_to)?,
            idempotency_key: wire
                .idempotency_key
                .filter(|key| !key.is_empty())
                .map(|key| key.parse())
                .transpose()
                .map_err(ParseJobMetadataError::IdempotencyKey)?,
            resume: wire.resume.unwrap_or_default(),
            agent,
        };
        Ok((metadata, warnings))
    }

    fn parse_bare(text: &str) -> Result<(Self, Vec<MetadataWarning>), ParseJobMetadataError> {
        let text = text.trim_matches('"');
        let metadata = Self {
            phone_number: number("phone_number", Some(text.to_owned()))?,
            ..Self::default()
        };
        Ok((metadata, vec![MetadataWarning::BareNumber]))
    }

    /// Returns the JSON for the wire.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and string maps always serialize")
    }
}

fn number(
    key: &'static str,
    text: Option<String>,
) -> Result<Option<PhoneNumber>, ParseJobMetadataError> {
    match text.filter(|text| !text.trim().is_empty()) {
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|source| ParseJobMetadataError::Number { key, source }),
        None => Ok(None),
    }
}

/// Something in the metadata that does not do what its author may expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataWarning {
    /// Ignored; perhaps a typing mistake.
    UnknownKey(String),
    /// The metadata was a number, not a JSON object.
    BareNumber,
    /// The carrier drops this header.
    NotForwarded(String),
}

impl fmt::Display for MetadataWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey(key) => write!(f, "unknown key `{}` ignored", key.escape_default()),
            Self::BareNumber => f.write_str("a bare number was taken as `phone_number`"),
            Self::NotForwarded(name) => write!(
                f,
                "the carrier passes on headers that start with {FORWARDED_PREFIX} only, not `{name}`"
            ),
        }
    }
}

/// Why a job cannot be done as its metadata says.
#[derive(Debug, thiserror::Error)]
pub enum ParseJobMetadataError {
    #[error("job metadata is not a JSON object with text values")]
    Json(#[source] serde_json::Error),
    #[error("`{key}` is not a phone number")]
    Number {
        key: &'static str,
        #[source]
        source: ParsePhoneNumberError,
    },
    #[error("`sip_headers`: `{}` cannot be sent", .name.escape_default())]
    Header {
        name: String,
        #[source]
        source: SipHeaderError,
    },
    #[error("`idempotency_key` cannot be used")]
    IdempotencyKey(#[source] IdempotencyKeyError),
    #[error("`agent.{}` cannot be used", .0.text().key())]
    Agent(#[source] AgentTextError),
}

#[cfg(test)]
mod tests;
