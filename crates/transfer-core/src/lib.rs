//! The nouns of a cold transfer and the rules about them: phone numbers, refer targets, the job
//! metadata between dialer and agent, and what became of a dial or a transfer.
//!
//! Pure: no runtime, no clock, no environment, no randomness.
//! Whatever a person, a model or a carrier said comes in as text and leaves as a type or as an error.
//!
//! ```
//! use transfer_core::{PhoneNumber, ReferTarget, SipDomain};
//!
//! let number = PhoneNumber::parse("+1 555 000 1234", None)?;
//! let domain: SipDomain = "sip.example.net".parse()?;
//! let target = ReferTarget::new(number, Some(&domain));
//! assert_eq!(target.to_string(), "sip:+15550001234@sip.example.net");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! Specifications: ITU-T E.164 (numbers), RFC 3966 (`tel:`), RFC 3261 §19.1 (`sip:`),
//! RFC 3515 (REFER), LiveKit's Twirp error codes with their SIP status.

mod agent_texts;
mod call_progress;
mod dial;
mod idempotency_key;
mod job_metadata;
mod phone_number;
pub mod policy;
mod refer_target;
mod sip_domain;
mod sip_header;
mod status;
mod transfer;
mod transfer_plan;
mod verdict;

pub use agent_texts::{
    AgentSetting, AgentSettingError, AgentText, AgentTextError, AgentTexts, NAME_PLACEHOLDER,
};
pub use call_progress::{CallOutcome, CallProgress};
pub use dial::DialFailure;
pub use idempotency_key::{IdempotencyKey, IdempotencyKeyError};
pub use job_metadata::{JobMetadata, MetadataWarning, ParseJobMetadataError};
pub use phone_number::{
    ParsePhoneNumberError, ParseRegionError, PhoneNumber, Region, identity, mask_digits, number_of,
};
pub use refer_target::{ParseReferTargetError, ReferTarget, UserParameter};
pub use sip_domain::{ParseSipDomainError, SipDomain};
pub use sip_header::{FORWARDED_PREFIX, SipHeader, SipHeaderError};
pub use status::{SipStatus, TwirpFailure};
pub use transfer::TransferFailure;
pub use transfer_plan::{Attempt, Fallback, Means, TransferMode, TransferPlan};
pub use verdict::{Doubt, TransferAnswer, TransferReason, Verdict};

/// The name under which the worker registers and the dialer dispatches, unless configured.
pub const AGENT_NAME: &str = "outbound-caller";
