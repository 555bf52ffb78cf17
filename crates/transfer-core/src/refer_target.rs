//! Where a REFER sends the caller.

use std::fmt;

use crate::{ParsePhoneNumberError, ParseSipDomainError, PhoneNumber, Region, SipDomain};

/// A URI for the `Refer-To` header of a REFER (RFC 3515 §2.1, §2.4.1).
///
/// Displays as `sip:+15550001234@sip.example.net`, or as `tel:+15550001234` when no domain is
/// configured (RFC 3966).
/// Being made of a [`PhoneNumber`], a [`SipDomain`] and a [`UserParameter`] it holds no space, control
/// character, `%`, second host or parameter but ours, and LiveKit accepts it as `transfer_to`.
/// `Debug` masks the number.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ReferTarget {
    number: PhoneNumber,
    domain: Option<SipDomain>,
    user: UserParameter,
}

/// Whether a SIP URI says that its user part is a phone number (RFC 3261 §19.1.1).
///
/// A `tel:` URI always is one, and has no such parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UserParameter {
    #[default]
    Absent,
    /// `;user=phone`
    Phone,
}

impl ReferTarget {
    /// Returns the target that reaches `number` through `domain`.
    pub fn new(number: PhoneNumber, domain: Option<&SipDomain>) -> Self {
        Self {
            number,
            domain: domain.cloned(),
            user: UserParameter::Absent,
        }
    }

    /// Returns the same target with `;user=phone`, or without.
    pub fn with_user(self, user: UserParameter) -> Self {
        Self { user, ..self }
    }

    /// Parses what a person or a model named as the target: a number in any form that
    /// [`PhoneNumber::parse`] takes, `tel:…`, `sip:NUMBER`, or `[sip:]NUMBER@HOST`.
    ///
    /// The host has to be `domain`: calls leave through our carrier only, whatever somebody talked
    /// the agent into.
    pub fn parse(
        input: &str,
        domain: Option<&SipDomain>,
        default_region: Option<Region>,
    ) -> Result<Self, ParseReferTargetError> {
        let text = input.trim();
        if starts_with_scheme(text, "sips:") {
            return Err(ParseReferTargetError::SecureScheme);
        }
        let text = match starts_with_scheme(text, "sip:") {
            true => &text["sip:".len()..],
            false => text,
        };
        let user = match text.split_once('@') {
            Some((user, host)) => {
                check_host(host, domain)?;
                user
            }
            None => text,
        };
        let number = PhoneNumber::parse(user, default_region)?;
        Ok(Self::new(number, domain))
    }

    /// Returns the number that the target's phone has.
    pub fn number(&self) -> &PhoneNumber {
        &self.number
    }

    /// Returns the URI with the number masked, for logs.
    pub fn masked(&self) -> String {
        self.uri(&self.number.masked())
    }

    fn uri(&self, number: &str) -> String {
        match (&self.domain, self.user) {
            (Some(domain), UserParameter::Absent) => format!("sip:{number}@{domain}"),
            (Some(domain), UserParameter::Phone) => format!("sip:{number}@{domain};user=phone"),
            (None, _) => format!("tel:{number}"),
        }
    }
}

fn starts_with_scheme(text: &str, scheme: &str) -> bool {
    text.get(..scheme.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

fn check_host(host: &str, domain: Option<&SipDomain>) -> Result<(), ParseReferTargetError> {
    let named: SipDomain = host.parse().map_err(ParseReferTargetError::Host)?;
    match domain {
        Some(domain) if domain.admits(&named) => Ok(()),
        _ => Err(ParseReferTargetError::ForeignHost(named)),
    }
}

impl fmt::Display for ReferTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri(&self.number.to_string()))
    }
}

impl fmt::Debug for ReferTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// Why nobody can be transferred to what was named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseReferTargetError {
    #[error("not a phone number")]
    Number(#[from] ParsePhoneNumberError),
    #[error("not a host after the @")]
    Host(#[source] ParseSipDomainError),
    /// A host other than the carrier's: a mistake, or toll fraud.
    #[error("`{0}` is not the carrier's SIP domain")]
    ForeignHost(SipDomain),
    /// LiveKit takes `sip:` and `tel:` only; silently dropping the security would be a lie.
    #[error("`sips:` targets are not supported")]
    SecureScheme,
}

impl ParseReferTargetError {
    /// Returns what to tell the caller.
    pub fn spoken(&self) -> &'static str {
        match self {
            Self::Number(error) => error.spoken(),
            Self::Host(_) | Self::ForeignHost(_) | Self::SecureScheme => {
                "Sorry, I can only transfer you to a phone number. Please say it digit by digit."
            }
        }
    }
}

#[cfg(test)]
mod tests;
