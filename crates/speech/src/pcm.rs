//! Mono audio with its rate.

use std::time::Duration;

use rubato::{Fft, FixedSync, Resampler, audioadapter_buffers::direct::InterleavedSlice};

/// The sample rate that recognition and voice activity detection want, in Hz.
pub const HEARING_RATE: u32 = 16_000;

/// Mono audio.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pcm {
    /// Samples in a second.
    pub sample_rate: u32,
    pub samples: Vec<i16>,
}

impl Pcm {
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.samples.len() as f64 / f64::from(self.sample_rate.max(1)))
    }
}

/// Converts a whole clip to `rate` Hz.
///
/// The clip is taken as complete: silence before and after it is assumed and the filter's delay is cut
/// off, so the result is as long as the input, rounded up to a sample.
/// For a stream keep a resampler instead.
///
/// # Panics
///
/// When either rate is zero.
pub fn resample(pcm: &Pcm, rate: u32) -> Pcm {
    if pcm.sample_rate == rate || pcm.samples.is_empty() {
        return Pcm {
            sample_rate: rate,
            samples: pcm.samples.clone(),
        };
    }
    let mut resampler = Fft::<f32>::new(
        pcm.sample_rate as usize,
        rate as usize,
        1024,
        1,
        FixedSync::Input,
    )
    .expect("rates above zero and a chunk above zero are accepted");
    let input: Vec<f32> = pcm.samples.iter().copied().map(f32::from).collect();
    let adapter =
        InterleavedSlice::new(&input, 1, input.len()).expect("one channel of that many frames");
    let output = resampler
        .process_all(&adapter, input.len(), None)
        .expect("the buffers have the asked size");
    Pcm {
        sample_rate: rate,
        // `as` saturates, which is what a peak above full scale should do.
        samples: output
            .take_data()
            .into_iter()
            .map(|sample| sample.round() as i16)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hertz: f64, seconds: f64) -> Pcm {
        let samples = (0..(f64::from(rate) * seconds) as usize)
            .map(|n| {
                let phase = std::f64::consts::TAU * hertz * n as f64 / f64::from(rate);
                (10_000.0 * phase.sin()) as i16
            })
            .collect();
        Pcm {
            sample_rate: rate,
            samples,
        }
    }

    fn level(pcm: &Pcm) -> f64 {
        let middle = &pcm.samples[pcm.samples.len() / 4..pcm.samples.len() * 3 / 4];
        (middle.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / middle.len() as f64).sqrt()
    }

    #[test]
    fn length_and_level_survive_every_rate_in_use() {
        for from in [8_000, 16_000, 22_050, 48_000] {
            for to in [8_000, 16_000, 48_000] {
                let tone = tone(from, 440.0, 1.0);
                let converted = resample(&tone, to);
                assert_eq!(converted.sample_rate, to);
                let length = converted.samples.len() as f64 / f64::from(to);
                assert!((length - 1.0).abs() < 0.001, "{from} to {to}: {length} s");
                let ratio = level(&converted) / level(&tone);
                assert!((ratio - 1.0).abs() < 0.02, "{from} to {to}: {ratio}");
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_is_removed_not_folded() {
        let folded = level(&resample(&tone(48_000, 7_000.0, 1.0), 8_000));
        assert!(folded < 20.0, "{folded}");
    }

    #[test]
    fn nothing_stays_nothing() {
        let nothing = Pcm {
            sample_rate: 22_050,
            samples: vec![],
        };
        assert!(resample(&nothing, 16_000).samples.is_empty());
    }
}
