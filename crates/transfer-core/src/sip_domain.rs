//! The host part of SIP URIs and trunk addresses.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A host name or IP address with an optional port, as in `sip:number@HOST[:PORT]`
/// (`hostport` of RFC 3261 §25.1).
///
/// Host names are kept in lower case. IPv6 addresses need their brackets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SipDomain {
    host: String,
    port: Option<u16>,
}

impl SipDomain {
    /// Returns the host without the port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port, if one was given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Tells whether `other` names this domain; a port that is left out is not a difference.
    pub fn admits(&self, other: &Self) -> bool {
        self.host == other.host && (other.port.is_none() || other.port == self.port)
    }
}

impl FromStr for SipDomain {
    type Err = ParseSipDomainError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        let text = input.trim();
        if text.is_empty() {
            return Err(ParseSipDomainError::Empty);
        }
        if text.contains("//") || has_scheme(text) {
            return Err(ParseSipDomainError::Scheme);
        }
        let (host, port) = split_port(text)?;
        let host = host.to_ascii_lowercase();
        if !is_host(&host) {
            return Err(ParseSipDomainError::InvalidHost);
        }
        Ok(Self { host, port })
    }
}

fn has_scheme(text: &str) -> bool {
    ["sip:", "sips:", "tel:"].iter().any(|scheme| {
        text.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })
}

fn split_port(text: &str) -> Result<(&str, Option<u16>), ParseSipDomainError> {
    let after_host = match text.find(']') {
        Some(bracket) => bracket + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(after_host);
    if rest.is_empty() {
        return Ok((host, None));
    }
    let port = rest
        .strip_prefix(':')
        .ok_or(ParseSipDomainError::InvalidHost)?;
    match port.parse::<u16>() {
        Ok(number) if number != 0 && port.bytes().all(|b| b.is_ascii_digit()) => {
            Ok((host, Some(number)))
        }
        _ => Err(ParseSipDomainError::InvalidPort),
    }
}

/// A host name of LDH labels (RFC 1123 §2.1), an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let looks_numeric = host
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    if looks_numeric {
        return host.parse::<Ipv4Addr>().is_ok();
    }
    host.len() <= 253 && host.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

impl fmt::Display for SipDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for SipDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a SIP domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseSipDomainError {
    #[error("it is empty")]
    Empty,
    /// It is a URI or URL, not a host.
    #[error("write the host only, without `sip:` or `https://`")]
    Scheme,
    #[error("it is not a host name or IP address")]
    InvalidHost,
    #[error("the port is not a number from 1 to 65535")]
    InvalidPort,
}

#[cfg(test)]
mod tests;
