//! Lengthening, shortening and continuing audio where nobody hears it (WSOLA).
//!
//! All of it is one question: where in a signal does it look most like another piece?
//! There one can be faded into the other.

use super::super::opus::CLOCK_RATE;

/// The length of a cross-fade and of the pieces that are compared: 5 ms, in samples per channel.
pub(super) const FADE: usize = CLOCK_RATE as usize / 200;

/// The shortest and longest shift that is looked for: the periods of 400 Hz and 66 Hz.
pub(super) const SHIFTS: std::ops::RangeInclusive<usize> = 120..=720;

/// The search is made on every fourth sample first.
const COARSE: usize = 4;

/// Below this (mean square, about -50 dB of full scale) any place is as good as another.
const QUIET: f32 = 100.0 * 100.0;

/// The mean of the channels of interleaved samples.
fn mono(pcm: &[i16], channels: usize) -> Vec<f32> {
    pcm.chunks_exact(channels)
        .map(|frame| frame.iter().map(|s| f32::from(*s)).sum::<f32>() / channels as f32)
        .collect()
}

/// Where in `signal` it looks most like `template`, and how much: 1.0 is equal up to a factor.
///
/// `None`: the template is silence, which looks like anything.
/// `signal` is at least as long as `template`.
fn best_match(template: &[f32], signal: &[f32]) -> Option<(usize, f32)> {
    let power = template.iter().map(|s| s * s).sum::<f32>() / template.len() as f32;
    if power < QUIET {
        return None;
    }
    let thin = |samples: &[f32]| -> Vec<f32> {
        samples
            .chunks_exact(COARSE)
            .map(|chunk| chunk.iter().sum())
            .collect()
    };
    let last = signal.len() - template.len();
    let (coarse, _) = search(&thin(template), &thin(signal), 0, last / COARSE);
    let from = (coarse * COARSE).saturating_sub(COARSE);
    let to = (coarse * COARSE + COARSE).min(last);
    Some(search(template, signal, from, to))
}

/// The offset from `from` to `to` with the highest normalised correlation.
fn search(template: &[f32], signal: &[f32], from: usize, to: usize) -> (usize, f32) {
    let power = |samples: &[f32]| samples.iter().map(|s| s * s).sum::<f32>();
    let own = power(template);
    let mut best = (from, f32::MIN);
    for offset in from..=to {
        let Some(piece) = signal.get(offset..offset + template.len()) else {
            break;
        };
        let product: f32 = template.iter().zip(piece).map(|(a, b)| a * b).sum();
        let correlation = product / (own * power(piece)).sqrt().max(1.0);
        if correlation > best.1 {
            best = (offset, correlation);
        }
    }
    best
}

/// Fades the start of `to` in over the start of `from`; both are interleaved and of one length.
fn fade(from: &[i16], to: &[i16], channels: usize) -> Vec<i16> {
    let frames = (from.len() / channels) as f32;
    from.iter()
        .zip(to)
        .enumerate()
        .map(|(i, (from, to))| {
            let weight = ((i / channels) as f32 + 0.5) / frames;
            (f32::from(*from) * (1.0 - weight) + f32::from(*to) * weight).round() as i16
        })
        .collect()
}

/// Removes some of what follows `at` and returns how many samples per channel it were.
///
/// `pcm` is interleaved, `at` an index into it. `None`: there is not enough audio behind `at`, or
/// no place that is at least `similarity` alike.
pub(super) fn shorten(
    pcm: &mut Vec<i16>,
    at: usize,
    channels: usize,
    similarity: f32,
) -> Option<usize> {
    let behind = mono(&pcm[at..], channels);
    let longest = (behind.len().checked_sub(FADE)?).min(*SHIFTS.end());
    if longest < *SHIFTS.start() {
        return None;
    }
    let (offset, alike) = best_match(&behind[..FADE], &behind[*SHIFTS.start()..longest + FADE])
        .unwrap_or((longest - SHIFTS.start(), 1.0));
    if alike < similarity {
        return None;
    }
    let shift = SHIFTS.start() + offset;
    let fade_len = FADE * channels;
    let target = at + shift * channels;
    let faded = fade(
        &pcm[at..at + fade_len],
        &pcm[target..target + fade_len],
        channels,
    );
    pcm.splice(at..target + fade_len, faded);
    Some(shift)
}

/// Repeats some of what is before `at` and returns how many samples per channel it were.
///
/// `None` as for [`shorten`]; it also needs [`FADE`] samples behind `at`.
pub(super) fn lengthen(
    pcm: &mut Vec<i16>,
    at: usize,
    channels: usize,
    similarity: f32,
) -> Option<usize> {
    let fade_len = FADE * channels;
    let before = mono(&pcm[..at], channels);
    let template = mono(pcm.get(at..at + fade_len)?, channels);
    // A repetition shorter than the fade would read what it has not written yet.
    let shortest = FADE.max(*SHIFTS.start());
    let longest = before.len().min(*SHIFTS.end());
    if longest < shortest {
        return None;
    }
    let mut signal = before[before.len() - longest..].to_vec();
    signal.truncate(longest - shortest + FADE);
    let (offset, alike) = best_match(&template, &signal).unwrap_or((0, 1.0));
    if alike < similarity {
        return None;
    }
    let shift = longest - offset;
    let source = at - shift * channels;
    let mut inserted = fade(
        &pcm[at..at + fade_len],
        &pcm[source..source + fade_len],
        channels,
    );
    inserted.extend_from_slice(&pcm[source + fade_len..at]);
    pcm.splice(at..at, inserted);
    Some(shift)
}

/// Goes on with the last period of a signal, ever quieter.
pub(super) struct Expansion {
    /// One period, interleaved.
    period: Vec<i16>,
    channels: usize,
    /// Samples per channel made so far.
    position: usize,
}

impl Expansion {
    /// The first 20 ms are as loud as what went before.
    const LOUD: usize = CLOCK_RATE as usize / 50;

    /// The next 100 ms fade to silence.
    const FADING: usize = CLOCK_RATE as usize / 10;

    /// `past` is interleaved.
    pub(super) fn new(past: &[i16], channels: usize) -> Self {
        let signal = mono(past, channels);
        let period = match signal.len().checked_sub(FADE + SHIFTS.end()) {
            Some(start) => {
                let template = &signal[signal.len() - FADE..];
                let candidates = &signal[start..signal.len() - SHIFTS.start()];
                let offset = best_match(template, candidates).map_or(0, |(offset, _)| offset);
                SHIFTS.end() - offset
            }
            None => 0,
        };
        Self {
            period: past[past.len() - period * channels..].to_vec(),
            channels,
            position: 0,
        }
    }

    pub(super) fn is_silent(&self) -> bool {
        self.period.is_empty() || self.position >= Self::LOUD + Self::FADING
    }

    /// Appends `samples` per channel to `out`.
    pub(super) fn extend(&mut self, samples: usize, out: &mut Vec<i16>) {
        for _ in 0..samples {
            for channel in 0..self.channels {
                out.push(self.sample(self.position, channel));
            }
            self.position += 1;
        }
    }

    fn sample(&self, position: usize, channel: usize) -> i16 {
        let at = position * self.channels + channel;
        let Some(sample) = at.checked_rem(self.period.len()).map(|at| self.period[at]) else {
            return 0;
        };
        let faded = position.saturating_sub(Self::LOUD).min(Self::FADING);
        let gain = 1.0 - faded as f32 / Self::FADING as f32;
        (f32::from(sample) * gain) as i16
    }

    /// Appends `next` (interleaved) to `out`, where the two fit together.
    ///
    /// Returns how many samples per channel this took in addition to `next`.
    pub(super) fn merge(&mut self, next: &[i16], out: &mut Vec<i16>) -> usize {
        let fade_len = FADE * self.channels;
        if next.len() < fade_len {
            out.extend_from_slice(next);
            return 0;
        }
        let mut goes_on = Vec::new();
        let search = if self.is_silent() {
            0
        } else {
            (self.period.len() / self.channels).min(2 * FADE)
        };
        self.extend(search + FADE, &mut goes_on);
        let offset = best_match(
            &mono(&next[..fade_len], self.channels),
            &mono(&goes_on, self.channels),
        )
        .map_or(0, |(offset, _)| offset);
        let at = offset * self.channels;
        out.extend_from_slice(&goes_on[..at]);
        out.extend(fade(
            &goes_on[at..at + fade_len],
            &next[..fade_len],
            self.channels,
        ));
        out.extend_from_slice(&next[fade_len..]);
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone at 48 kHz from `start`, on `channels` channels.
    fn tone(hertz: f64, start: usize, samples: usize, channels: usize) -> Vec<i16> {
        (start..start + samples)
            .flat_map(|i| {
                let phase = i as f64 * hertz * std::f64::consts::TAU / f64::from(CLOCK_RATE);
                std::iter::repeat_n((phase.sin() * 10_000.0) as i16, channels)
            })
            .collect()
    }

    /// The largest step between neighbouring samples: a click is larger than the tone's own.
    fn steepest(pcm: &[i16], channels: usize) -> i32 {
        pcm.windows(channels + 1)
            .map(|w| (i32::from(w[0]) - i32::from(w[channels])).abs())
            .max()
            .unwrap()
    }

    #[test]
    fn shortening_and_lengthening_a_tone_leaves_a_tone() {
        for hertz in [90.0, 215.0, 440.0, 1_234.0] {
            for channels in [1, 2] {
                let whole = tone(hertz, 0, 4_000, channels);
                let limit = steepest(&whole, channels) * 5 / 4 + 5;
                let at = 1_500 * channels;

                let mut shorter = whole.clone();
                let removed = shorten(&mut shorter, at, channels, 0.95).unwrap();
                assert_eq!(shorter.len(), (4_000 - removed) * channels);
                assert!(steepest(&shorter, channels) <= limit, "{hertz} Hz");

                let mut longer = whole.clone();
                let added = lengthen(&mut longer, at, channels, 0.95).unwrap();
                assert_eq!(longer.len(), (4_000 + added) * channels);
                assert!(steepest(&longer, channels) <= limit, "{hertz} Hz");
                assert_eq!(longer[..at], whole[..at]);
            }
        }
    }

    #[test]
    fn unlike_audio_is_left_alone() {
        let mut noise: Vec<i16> = (0..4_000u32)
            .map(|i| (i.wrapping_mul(i).wrapping_mul(2_654_435_761) >> 17) as i16)
            .collect();
        let before = noise.clone();
        assert_eq!(shorten(&mut noise, 1_500, 1, 0.9), None);
        assert_eq!(lengthen(&mut noise, 1_500, 1, 0.9), None);
        assert_eq!(noise, before);
    }

    #[test]
    fn too_little_audio_is_left_alone() {
        let mut short = tone(400.0, 0, 300, 1);
        assert_eq!(shorten(&mut short, 100, 1, 0.5), None);
        assert_eq!(lengthen(&mut short, 100, 1, 0.5), None);
    }

    #[test]
    fn an_expansion_goes_on_without_a_click_fades_and_hands_over() {
        for (hertz, channels) in [(150.0, 1), (440.0, 2), (777.0, 1)] {
            let mut pcm = tone(hertz, 0, 2_000, channels);
            let limit = steepest(&pcm, channels) * 5 / 4 + 5;
            let mut expansion = Expansion::new(&pcm, channels);
            expansion.extend(1_500, &mut pcm);
            let next = tone(hertz, 77, 960, channels);
            let extra = expansion.merge(&next, &mut pcm);
            assert_eq!(pcm.len(), (2_000 + 1_500 + extra + 960) * channels);
            assert!(steepest(&pcm, channels) <= limit, "{hertz} Hz");
            assert_eq!(pcm[pcm.len() - 700..], next[next.len() - 700..]);
        }
        let pcm = tone(440.0, 0, 2_000, 1);
        let mut expansion = Expansion::new(&pcm, 1);
        let mut out = Vec::new();
        expansion.extend(6_000, &mut out);
        assert!(expansion.is_silent());
        assert_eq!(out[5_900..], [0; 100]);
    }

    #[test]
    fn an_expansion_of_nothing_is_silence() {
        let mut expansion = Expansion::new(&[], 1);
        let mut out = Vec::new();
        expansion.extend(480, &mut out);
        assert_eq!(expansion.merge(&[5; 960], &mut out), 0);
        assert_eq!(out[..480], [0; 480]);
        assert_eq!(out.len(), 480 + 960);
    }
}
