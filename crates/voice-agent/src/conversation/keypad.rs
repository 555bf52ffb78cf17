//! The keys of a telephone, and numbers that are entered on them.

use transfer_core::{ParsePhoneNumberError, PhoneNumber, Region};

use super::spoken_number::SpokenNumber;

/// A key of a telephone: `0` to `9`, `*` or `#`.
///
/// The letter keys A to D of RFC 4733 are not on the phones that people have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(char);

impl Key {
    pub const ZERO: Self = Self('0');
    pub const ONE: Self = Self('1');
    pub const TWO: Self = Self('2');
    pub const STAR: Self = Self('*');
    pub const HASH: Self = Self('#');

    /// Returns the key's event code (RFC 4733 §3.2).
    pub fn event_code(self) -> u32 {
        match self.0 {
            '*' => 10,
            '#' => 11,
            digit => u32::from(digit) - u32::from('0'),
        }
    }

    fn digit(self) -> Option<char> {
        self.0.is_ascii_digit().then_some(self.0)
    }
}

impl From<Key> for char {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl TryFrom<char> for Key {
    type Error = UnknownKey;

    fn try_from(key: char) -> Result<Self, Self::Error> {
        match key {
            '0'..='9' | '*' | '#' => Ok(Self(key)),
            _ => Err(UnknownKey(key)),
        }
    }
}

/// The character is no key of a telephone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no key of a telephone (0 to 9, * or #)", .0.escape_default())]
pub struct UnknownKey(char);

/// Digits that are kept at most: more than any number with an international prefix has, so that one
/// that is too long stays too long.
const MOST_DIGITS: usize = 24;

/// What was entered so far.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The star was the first key: a country code follows.
    plus: bool,
    digits: String,
}

impl Entry {
    /// Takes a key other than the hash key, which ends an entry.
    ///
    /// The star is a plus where nothing was entered, else it starts again.
    pub(super) fn press(&mut self, key: Key) {
        match key.digit() {
            Some(digit) if self.digits.len() < MOST_DIGITS => self.digits.push(digit),
            Some(_) => {}
            None if key == Key::STAR && self.digits.is_empty() => self.plus = true,
            None => *self = Self::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.digits.is_empty()
    }

    /// Reads the entry as [`SpokenNumber::phone_number`] reads digits, but for what only ears get wrong.
    pub(super) fn phone_number(
        self,
        default_region: Option<Region>,
    ) -> Result<PhoneNumber, ParsePhoneNumberError> {
        SpokenNumber::plain(self.plus, self.digits, None).as_given(default_region)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_those_of_a_telephone() {
        for key in "0123456789*#".chars() {
            assert!(Key::try_from(key).is_ok(), "{key}");
        }
        for other in ['A', '+', ' ', '٣', '\n'] {
            assert_eq!(Key::try_from(other), Err(UnknownKey(other)));
        }
        assert_eq!(
            UnknownKey('\n').to_string(),
            r"`\n` is no key of a telephone (0 to 9, * or #)"
        );
    }

    #[test]
    fn event_codes_are_those_of_rfc_4733() {
        let codes = "0123456789*#".chars().map(|key| {
            let key = Key::try_from(key).unwrap();
            key.event_code()
        });
        assert!(codes.eq(0..=11));
    }

    fn entered(keys: &str, region: Option<&str>) -> String {
        let mut entry = Entry::default();
        for key in keys.chars() {
            entry.press(Key::try_from(key).unwrap());
        }
        match entry.phone_number(region.map(|region| region.parse().unwrap())) {
            Ok(number) => number.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_number_is_entered_with_star_with_two_zeros_or_as_it_is() {
        let check = |keys: &str, region: Option<&str>, expect: &str| {
            let entered = entered(keys, region);
            assert!(entered.contains(expect), "{keys} in {region:?}: {entered}");
        };
        check("*15550001234", None, "+15550001234");
        check("0015550001234", None, "+15550001234");
        check("15550001234", None, "+15550001234");
        check("01115550001234", Some("US"), "+15550001234");
        check("2025550143", Some("US"), "+12025550143");
        check("9876543210", Some("IN"), "+919876543210");
        check("02079460958", Some("GB"), "+442079460958");
        check("*442079460958", Some("US"), "+442079460958");
        check("12*15550001234", None, "+15550001234");
        check("*12**15550001234", None, "+15550001234");
        check("2025550143", None, "country code");
        check("911", Some("US"), "too few");
        check("*155500001234", None, "too many");
        check("", None, "no digits");
    }

    proptest! {
        #[test]
        fn a_number_that_is_entered_whole_is_read_as_entered(keys in "[0-9*]{0,40}") {
            let number = entered(&format!("{keys}**15550001234"), None);
            prop_assert!(number == "+15550001234" || keys.is_empty() , "{number}");
        }
    }
}
