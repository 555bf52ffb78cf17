//! The key under which a call happens once.

use std::{fmt, str::FromStr};

use serde::Serialize;

/// Longest key. It travels in the job's metadata; longer than a URL it is not a name any more.
const MAX_LEN: usize = 200;

/// A name that its user gave to one call, so that asking again does not call again: an order number, a
/// UUID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = IdempotencyKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Err(IdempotencyKeyError::Empty);
        }
        if text.len() > MAX_LEN {
            return Err(IdempotencyKeyError::TooLong { len: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(IdempotencyKeyError::ControlCharacter);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdempotencyKeyError {
    #[error("the key is empty; use what names this call, such as an order number or a UUID")]
    Empty,
    #[error("the key is {len} bytes long; at most {MAX_LEN} are allowed")]
    TooLong { len: usize },
    #[error("the key holds a control character")]
    ControlCharacter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_short_text_in_one_line() {
        let long = "x".repeat(201);
        for (text, expected) in [
            ("order-4711", Ok(())),
            ("Ünïcode ✓ key", Ok(())),
            ("", Err(IdempotencyKeyError::Empty)),
            ("  ", Err(IdempotencyKeyError::Empty)),
            ("a\nb", Err(IdempotencyKeyError::ControlCharacter)),
            (&long, Err(IdempotencyKeyError::TooLong { len: 201 })),
            (&long[1..], Ok(())),
        ] {
            let parsed = text.parse::<IdempotencyKey>();
            assert_eq!(parsed.map(|key| assert_eq!(key.as_str(), text)), expected);
        }
    }
}
