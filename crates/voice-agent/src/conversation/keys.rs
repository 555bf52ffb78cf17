//! Keys that the agent presses on the person's line, for the machines that ask for them.

use std::{fmt, str::FromStr, time::Duration};

use super::{Key, UnknownKey};

/// From the beginning of a key to the beginning of the next one.
///
/// livekit-sip sends each for 250 ms; closer together, some machines hear one key where there were two.
const KEY_STEP: Duration = Duration::from_millis(300);

/// What a `w` waits for; the same as in LiveKit's own `dtmf` of a dial.
const PAUSE: Duration = Duration::from_millis(500);

/// Keys and pauses that are pressed in a row: a credit card's number with all that goes with it.
const LONGEST: usize = 32;

/// Keys to press, one after the other, with pauses between them.
///
/// They may be a secret, such as a PIN: `Debug` shows how many there are, and only [`Keys::reveal`] which.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys(Vec<Stroke>);

/// One step of [`Keys`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stroke {
    Key(Key),
    Pause,
}

impl Keys {
    /// Returns the keys and pauses in their order.
    pub fn strokes(&self) -> impl Iterator<Item = Stroke> {
        self.0.iter().copied()
    }

    /// Returns how many keys there are, pauses aside.
    pub fn count(&self) -> usize {
        let is_key = |stroke: &Stroke| matches!(stroke, Stroke::Key(_));
        self.strokes().filter(is_key).count()
    }

    /// Returns how long it takes to press them.
    pub fn duration(&self) -> Duration {
        self.strokes().map(Stroke::duration).sum()
    }

    /// Returns the keys in the form that is parsed, for whoever asked for them.
    pub fn reveal(&self) -> String {
        let character = |stroke| match stroke {
            Stroke::Key(key) => key.into(),
            Stroke::Pause => 'w',
        };
        self.strokes().map(character).collect()
    }
}

impl Stroke {
    /// Returns how long it takes until the next one.
    pub fn duration(self) -> Duration {
        match self {
            Self::Key(_) => KEY_STEP,
            Self::Pause => PAUSE,
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} keys)", self.count())
    }
}

impl FromStr for Keys {
    type Err = ParseKeysError;

    /// Spaces between keys do not count.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut strokes = Vec::new();
        for character in text.chars().filter(|character| !character.is_whitespace()) {
            if strokes.len() == LONGEST {
                return Err(ParseKeysError::TooLong);
            }
            strokes.push(match character {
                'w' | 'W' => Stroke::Pause,
                key => Stroke::Key(key.try_into()?),
            });
        }
        let keys = Self(strokes);
        match keys.count() {
            0 => Err(ParseKeysError::NoKey),
            _ => Ok(keys),
        }
    }
}

/// The text is no row of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseKeysError {
    #[error("there is no key to press; expected 0 to 9, * and #, with w for a pause, such as 1w2#")]
    NoKey,
    #[error("more than {LONGEST} keys and pauses; press fewer at a time")]
    TooLong,
    #[error("{0}; w is a pause")]
    UnknownKey(#[from] UnknownKey),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(&str, usize, u64), &str>) {
        let keys = text.parse::<Keys>();
        let read = keys.as_ref().map(|keys| {
            let milliseconds = keys.duration().as_millis() as u64;
            (keys.reveal(), keys.count(), milliseconds)
        });
        let expected = expected.map(|(keys, count, time)| (keys.to_owned(), count, time));
        let expected = expected.map_err(str::to_owned);
        assert_eq!(read.map_err(ToString::to_string), expected, "{text}");
    }

    #[test]
    fn keys_are_read_with_their_pauses() {
        check("1", Ok(("1", 1, 300)));
        check(" 12 W * # ", Ok(("12w*#", 4, 1_700)));
        check(&"9".repeat(32), Ok((&"9".repeat(32), 32, 9_600)));
    }

    #[test]
    fn what_is_no_row_of_keys_is_refused_with_what_is_expected() {
        let no_key =
            "there is no key to press; expected 0 to 9, * and #, with w for a pause, such as 1w2#";
        for text in ["", " ", "ww"] {
            check(text, Err(no_key));
        }
        check(
            &"9".repeat(33),
            Err("more than 32 keys and pauses; press fewer at a time"),
        );
        check(
            "1,2",
            Err("`,` is no key of a telephone (0 to 9, * or #); w is a pause"),
        );
        check(
            "A",
            Err("`A` is no key of a telephone (0 to 9, * or #); w is a pause"),
        );
    }

    #[test]
    fn a_log_shows_how_many_keys_there_are_and_not_which() {
        let keys: Keys = "4711w#".parse().unwrap();
        assert_eq!(format!("{keys:?}"), "Keys(5 keys)");
    }
}
