//! Pilot tones: a faint sine that a phone hums says whose audio it is.
//!
//! Nobody hums while the agent listens: a tone under the words, however faint, makes Whisper write
//! `Press for me` for `Transfer me`, and one that sets in is a turn that says `Beeping`.
//!
//! Each party has a tone that passes any telephone codec and one above 4 kHz, which proves a wideband codec.

use rustfft::{FftPlanner, num_complex::Complex};
use speech::Pcm;

/// A tone counts as heard from this level on; measured 30 dB and more when present, below 10 dB when absent.
pub const HEARD_DB: f64 = 20.0;

/// Samples in one spectrum; at 16 kHz a bin is 3.9 Hz wide.
const WINDOW: usize = 4096;

/// Bins on each side of the tone that make up its neighbourhood, without the nearest ones, which the
/// window function spreads the tone over.
const NEIGHBOURHOOD: usize = 60;
const SPREAD: usize = 5;

/// The tones of one party, in Hz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pilot {
    /// Below 3.4 kHz.
    pub narrow: u32,
    /// Above 4 kHz: G.722 carries it, G.711 does not.
    pub wide: u32,
}

impl Pilot {
    pub const CALLEE: Self = Self {
        narrow: 1_900,
        wide: 5_000,
    };
    pub const TARGET: Self = Self {
        narrow: 2_300,
        wide: 5_500,
    };
    pub const LIVE_AGENT: Self = Self {
        narrow: 2_700,
        wide: 6_000,
    };

    /// Mixes the tones that the rate of `pcm` can carry under it, each at 1 % of full scale (-40 dBFS).
    pub fn mix_under(self, pcm: &mut Pcm) {
        let sample_rate = pcm.sample_rate;
        for (n, sample) in pcm.samples.iter_mut().enumerate() {
            let seconds = n as f64 / f64::from(sample_rate);
            let tones: f64 = [self.narrow, self.wide]
                .iter()
                .filter(|hz| **hz < sample_rate / 2)
                .map(|hz| {
                    (std::f64::consts::TAU * f64::from(*hz) * seconds).sin()
                        * 0.01
                        * f64::from(i16::MAX)
                })
                .sum();
            // `as` saturates, which is what a peak above full scale should do.
            *sample = (f64::from(*sample) + tones) as i16;
        }
    }
}

/// Level of a tone over the median of its spectral neighbourhood, in dB.
///
/// Negative infinity when `pcm` is shorter than one window (0.26 s at 16 kHz), is silent, or its rate cannot
/// carry the tone.
pub fn level_db(pcm: &Pcm, hz: u32) -> f64 {
    let spectrum = power_spectrum(&pcm.samples);
    let bin = (f64::from(hz) * WINDOW as f64 / f64::from(pcm.sample_rate)).round() as usize;
    if bin + NEIGHBOURHOOD >= spectrum.len() || bin < NEIGHBOURHOOD {
        return f64::NEG_INFINITY;
    }
    let peak = spectrum[bin - 2..=bin + 2]
        .iter()
        .copied()
        .fold(0.0, f64::max);
    let mut around: Vec<f64> = spectrum[bin - NEIGHBOURHOOD..bin - SPREAD]
        .iter()
        .chain(&spectrum[bin + SPREAD + 1..=bin + NEIGHBOURHOOD])
        .copied()
        .collect();
    around.sort_by(f64::total_cmp);
    let median = around[around.len() / 2];
    if peak == 0.0 {
        f64::NEG_INFINITY
    } else {
        10.0 * (peak / median.max(1e-9)).log10()
    }
}

/// Mean power spectrum of half-overlapping windows, [`WINDOW`] / 2 bins; empty when there is no full window.
fn power_spectrum(samples: &[i16]) -> Vec<f64> {
    let fft = FftPlanner::new().plan_fft_forward(WINDOW);
    let mut mean = Vec::new();
    let mut start = 0;
    while let Some(window) = samples.get(start..start + WINDOW) {
        let mut buffer: Vec<Complex<f64>> = window
            .iter()
            .enumerate()
            .map(|(n, &s)| Complex::from(f64::from(s) * hann(n)))
            .collect();
        fft.process(&mut buffer);
        mean.resize(WINDOW / 2, 0.0);
        for (sum, bin) in mean.iter_mut().zip(&buffer) {
            *sum += bin.norm_sqr();
        }
        start += WINDOW / 2;
    }
    mean
}

fn hann(n: usize) -> f64 {
    let half = (std::f64::consts::PI * n as f64 / WINDOW as f64).sin();
    half * half
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_second_of(rate: u32, sample: impl Fn(usize) -> i16) -> Pcm {
        Pcm {
            sample_rate: rate,
            samples: (0..rate as usize).map(sample).collect(),
        }
    }

    /// A cheap noise, the same every time.
    fn noise(n: usize) -> i16 {
        let hash = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5555;
        ((hash.wrapping_mul(hash) >> 40) % 200) as i16 - 100
    }

    #[test]
    fn a_pilot_is_found_under_noise_and_no_other_is() {
        let mut pcm = one_second_of(16_000, noise);
        Pilot::TARGET.mix_under(&mut pcm);
        for hz in [Pilot::TARGET.narrow, Pilot::TARGET.wide] {
            assert!(
                level_db(&pcm, hz) > HEARD_DB,
                "{hz}: {}",
                level_db(&pcm, hz)
            );
        }
        for pilot in [Pilot::CALLEE, Pilot::LIVE_AGENT] {
            assert!(
                level_db(&pcm, pilot.narrow) < 15.0,
                "{}",
                level_db(&pcm, pilot.narrow)
            );
        }
    }

    #[test]
    fn silence_has_no_tone() {
        let silence = one_second_of(16_000, |_| 0);
        assert_eq!(level_db(&silence, 1_900), f64::NEG_INFINITY);
    }

    #[test]
    fn narrowband_audio_cannot_carry_the_wide_tone() {
        let mut pcm = one_second_of(8_000, noise);
        Pilot::CALLEE.mix_under(&mut pcm);
        assert_eq!(level_db(&pcm, Pilot::CALLEE.wide), f64::NEG_INFINITY);
    }
}
