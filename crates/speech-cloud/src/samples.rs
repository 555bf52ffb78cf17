//! From the bytes of a spoken answer to its samples: raw ones, or those of a WAV file, which says its rate itself.

use crate::speak::SPEAKING_RATE;

/// A WAV file whose samples have not begun by then is none; some have a title in front.
const LONGEST_HEAD: usize = 64 * 1024;

/// What `data` has for its size when the server did not know it as it began.
const UNKNOWN_SIZES: [u32; 2] = [0, u32::MAX];

/// What cannot be played, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unplayable(pub(crate) String);

/// Takes an answer piece by piece.
#[derive(Debug)]
pub(crate) struct Samples {
    /// In Hz; known with the first sample.
    rate: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The beginning, of which nobody knows yet what it is.
    Head(Vec<u8>),
    /// The samples have begun.
    Body {
        /// Half a sample.
        odd: Option<u8>,
        /// How many bytes of samples there are to come, where that is known; what follows is no audio.
        left: Option<usize>,
    },
}

/// What a WAV file says of itself.
struct Wav {
    rate: u32,
    /// Where its samples begin.
    begins: usize,
    size: Option<usize>,
}

impl Samples {
    pub(crate) fn new() -> Self {
        Self {
            rate: SPEAKING_RATE,
            state: State::Head(Vec::new()),
        }
    }

    pub(crate) fn rate(&self) -> u32 {
        self.rate
    }

    /// Returns the samples that are complete with this piece.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<Vec<i16>, Unplayable> {
        match &mut self.state {
            State::Head(head) => {
                head.extend_from_slice(piece);
                if head.len() < 4 {
                    return Ok(Vec::new());
                }
                let (begins, left) = match head.starts_with(b"RIFF") {
                    false => (0, None),
                    true => match wav(head)? {
                        None => return Ok(Vec::new()),
                        Some(Wav { rate, begins, size }) => {
                            self.rate = rate;
                            (begins, size)
                        }
                    },
                };
                let body = head.split_off(begins);
                self.state = State::Body { odd: None, left };
                self.push(&body)
            }
            State::Body { odd, left } => {
                let length = left.map_or(piece.len(), |left| left.min(piece.len()));
                if let Some(left) = left {
                    *left -= length;
                }
                let mut samples = Vec::with_capacity(length / 2 + 1);
                for &byte in &piece[..length] {
                    match odd.take() {
                        Some(low) => samples.push(i16::from_le_bytes([low, byte])),
                        None => *odd = Some(byte),
                    }
                }
                Ok(samples)
            }
        }
    }

    /// To be called at the end of the answer.
    pub(crate) fn finish(&self) -> Result<(), Unplayable> {
        match &self.state {
            State::Head(head) if head.starts_with(b"RIFF") => {
                Err(Unplayable("a WAV file without samples".to_owned()))
            }
            State::Head(_) | State::Body { .. } => Ok(()),
        }
    }
}

/// Reads the chunks up to `data` ("Multimedia Programming Interface and Data Specifications 1.0", 1991); `None` when
/// they are not all there.
fn wav(head: &[u8]) -> Result<Option<Wav>, Unplayable> {
    let number = |at: usize| {
        let bytes = head.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let short = |at: usize| {
        let bytes = head.get(at..at + 2)?;
        Some(u16::from_le_bytes(bytes.try_into().ok()?))
    };
    let mut rate = None;
    let mut at = 12;
    while let (Some(id), Some(size)) = (head.get(at..at + 4), number(at + 4)) {
        let begins = at + 8;
        if id == b"data" {
            let rate = rate.ok_or_else(|| Unplayable("a WAV file without a format".to_owned()))?;
            let known = !UNKNOWN_SIZES.contains(&size);
            let size = known.then_some(size as usize);
            return Ok(Some(Wav { rate, begins, size }));
        }
        if id == b"fmt " {
            let (Some(channels), Some(hertz), Some(bits)) =
                (short(begins + 2), number(begins + 4), short(begins + 14))
            else {
                break;
            };
            if channels != 1 || bits != 16 || hertz == 0 {
                return Err(Unplayable(format!(
                    "a WAV file of {channels} channels, {bits} bits and {hertz} Hz"
                )));
            }
            rate = Some(hertz);
        }
        // Chunks begin at even places.
        at = begins.saturating_add(size as usize).next_multiple_of(2);
    }
    match head.len() < LONGEST_HEAD && at < LONGEST_HEAD {
        true => Ok(None),
        false => Err(Unplayable("a WAV file without samples".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with two samples and what follows them; `size` is what it says of their bytes.
    fn file(rate: u32, channels: u16, size: u32) -> Vec<u8> {
        let mut file = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0".to_vec();
        file.extend(channels.to_le_bytes());
        file.extend(rate.to_le_bytes());
        file.extend((rate * 2).to_le_bytes());
        file.extend(b"\x02\0\x10\0LIST\x03\0\0\0abc\0data");
        file.extend(size.to_le_bytes());
        file.extend(b"\x01\0\x02\0LIST");
        file
    }

    /// Pushed in pieces of each length, as a network cuts them.
    fn check(answer: &[u8], expected: &Result<(u32, Vec<i16>), Unplayable>) {
        for length in [1, 2, 3, 7, answer.len()] {
            let mut samples = Samples::new();
            let pushed: Result<Vec<_>, _> = answer
                .chunks(length)
                .map(|piece| samples.push(piece))
                .collect();
            let all = pushed.and_then(|pieces| {
                samples.finish()?;
                Ok((samples.rate(), pieces.concat()))
            });
            assert_eq!(&all, expected, "in pieces of {length}");
        }
    }

    #[test]
    fn raw_samples_have_the_rate_that_was_asked_for() {
        check(b"\x01\0\x02\0\x03\0", &Ok((24_000, vec![1, 2, 3])));
    }

    #[test]
    fn a_wav_file_says_its_rate_and_where_its_samples_end() {
        check(&file(22_050, 1, 4), &Ok((22_050, vec![1, 2])));
    }

    #[test]
    fn a_wav_file_that_was_begun_without_knowing_its_length_goes_to_its_end() {
        for unknown in UNKNOWN_SIZES {
            let streamed = file(24_000, 1, unknown);
            let streamed = &streamed[..streamed.len() - 4];
            check(streamed, &Ok((24_000, vec![1, 2])));
        }
    }

    #[test]
    fn what_cannot_be_played_is_named() {
        let error = Unplayable("a WAV file of 2 channels, 16 bits and 8000 Hz".to_owned());
        check(&file(8_000, 2, 4), &Err(error));
        let error = Unplayable("a WAV file without samples".to_owned());
        check(&file(8_000, 1, 4)[..30], &Err(error));
    }
}
