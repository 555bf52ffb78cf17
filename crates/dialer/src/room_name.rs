//! Names of rooms for outbound calls.

use rand::Rng as _;
use sha2::{Digest as _, Sha256};
use transfer_core::{IdempotencyKey, PhoneNumber};

const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Random characters at the end of a room's name.
///
/// Two calls to one number must never share a room: with 36^12 names they do not, while four digits
/// would collide after a hundred calls or so.
const SUFFIX_LEN: usize = 12;

/// Returns a new name for a call to `number`: `call-919876543210-k3v9x0a7c2mq`.
pub(crate) fn room_name(number: &PhoneNumber) -> String {
    let mut random = rand::rng();
    named(
        number,
        std::iter::repeat_with(|| random.random_range(0..ALPHABET.len())),
    )
}

/// Returns the name of the one call to `number` under `key`: it looks like the others, and is always the
/// same.
pub(crate) fn keyed_room_name(number: &PhoneNumber, key: &IdempotencyKey) -> String {
    let hash = Sha256::digest(key.as_str());
    let picks = hash.iter().map(|byte| usize::from(*byte) % ALPHABET.len());
    named(number, picks)
}

/// `picks` are places in the alphabet.
fn named(number: &PhoneNumber, picks: impl Iterator<Item = usize>) -> String {
    let suffix: String = picks
        .take(SUFFIX_LEN)
        .map(|pick| char::from(ALPHABET[pick]))
        .collect();
    format!("call-{}-{suffix}", number.digits())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_hold_the_digits_and_are_never_the_same() {
        let number: PhoneNumber = "+919876543210".parse().unwrap();
        let names: HashSet<_> = (0..10_000).map(|_| room_name(&number)).collect();
        assert_eq!(names.len(), 10_000);
        for name in names {
            let suffix = name.strip_prefix("call-919876543210-").unwrap();
            assert_eq!(suffix.len(), SUFFIX_LEN);
        }
    }

    #[test]
    fn a_key_names_its_call_by_number_and_key() {
        let name = |number: &str, key: &str| {
            keyed_room_name(&number.parse().unwrap(), &key.parse().unwrap())
        };
        assert_eq!(
            name("+919876543210", "order-4711"),
            "call-919876543210-xznddd3d80qo",
            "another release must find the same room"
        );
        let names: HashSet<_> = (0..10_000)
            .map(|order| name("+919876543210", &format!("order-{order}")))
            .chain([name("+15550001234", "order-1")])
            .collect();
        assert_eq!(names.len(), 10_001);
    }
}
