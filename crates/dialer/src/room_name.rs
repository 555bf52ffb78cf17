//! Names of rooms for outbound calls.

use rand::Rng as _;
use transfer_core::PhoneNumber;

/// Random characters at the end of a room's name.
///
/// Two calls to one number must never share a room: with 36^12 names they do not, while four digits
/// would collide after a hundred calls or so.
const SUFFIX_LEN: usize = 12;

/// Returns a new name for a call to `number`: `call-919876543210-k3v9x0a7c2mq`.
pub(crate) fn room_name(number: &PhoneNumber) -> String {
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = rand::rng();
    let suffix: String = (0..SUFFIX_LEN)
        .map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())]))
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
}
