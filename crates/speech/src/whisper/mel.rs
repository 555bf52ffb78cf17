//! The log-mel spectrogram that Whisper listens to.
//!
//! As in OpenAI's `log_mel_spectrogram`: 16 kHz, Hann window of 400 samples, a frame every 160, edges
//! reflected, Slaney mel scale (that of librosa), the quietest 8 decades below the peak kept.

use std::{f32::consts::TAU, sync::Arc};

use rustfft::{Fft, FftPlanner, num_complex::Complex};

const WINDOW: usize = 400;
const HOP: usize = 160;
const BINS: usize = WINDOW / 2 + 1;

pub(super) struct LogMel {
    fft: Arc<dyn Fft<f32>>,
    window: Vec<f32>,
    bands: Vec<Band>,
}

/// A triangle over the power spectrum: its first bin and its weights.
struct Band {
    first: usize,
    weights: Vec<f32>,
}

impl LogMel {
    pub(super) fn new(bands: usize) -> Self {
        Self {
            fft: FftPlanner::new().plan_fft_forward(WINDOW),
            window: (0..WINDOW)
                .map(|i| 0.5 - 0.5 * (TAU * i as f32 / WINDOW as f32).cos())
                .collect(),
            bands: mel_bands(bands),
        }
    }

    pub(super) fn bands(&self) -> usize {
        self.bands.len()
    }

    /// Computes `frames` frames of 10 ms, band after band, from audio that is cut or padded with silence.
    pub(super) fn compute(&self, pcm: &[f32], frames: usize) -> Vec<f32> {
        let length = frames * HOP;
        let pcm = &pcm[..pcm.len().min(length)];
        // The last frame's window reaches over the end, where silence mirrors silence unless the audio
        // fills the window.
        let sample = |at: isize| -> f32 {
            let last = length as isize - 1;
            let at = if at < 0 {
                -at
            } else if at > last {
                2 * last - at
            } else {
                at
            };
            pcm.get(at as usize).copied().unwrap_or(0.0)
        };
        const FLOOR: f32 = -10.0;
        let mut mel = vec![FLOOR; self.bands.len() * frames];
        let mut buffer = vec![Complex::default(); WINDOW];
        let mut scratch = vec![Complex::default(); self.fft.get_inplace_scratch_len()];
        let mut power = [0f32; BINS];
        let heard = frames.min((pcm.len() + WINDOW / 2).div_ceil(HOP));
        for frame in 0..heard {
            let start = (frame * HOP) as isize - (WINDOW / 2) as isize;
            for (i, (slot, window)) in buffer.iter_mut().zip(&self.window).enumerate() {
                *slot = Complex::new(sample(start + i as isize) * window, 0.0);
            }
            self.fft.process_with_scratch(&mut buffer, &mut scratch);
            for (power, bin) in power.iter_mut().zip(&buffer) {
                *power = bin.norm_sqr();
            }
            for (row, band) in self.bands.iter().enumerate() {
                let energy: f32 = band
                    .weights
                    .iter()
                    .zip(&power[band.first..])
                    .map(|(weight, power)| weight * power)
                    .sum();
                mel[row * frames + frame] = energy.max(1e-10).log10();
            }
        }
        let peak = mel.iter().copied().fold(FLOOR, f32::max);
        for value in &mut mel {
            *value = (value.max(peak - 8.0) + 4.0) / 4.0;
        }
        mel
    }
}

fn mel_bands(count: usize) -> Vec<Band> {
    // Linear below 1 kHz, logarithmic above (Slaney's Auditory Toolbox).
    const BREAK_HERTZ: f64 = 1000.0;
    const BREAK_MEL: f64 = 15.0;
    let step = 6.4f64.ln() / 27.0;
    let to_hertz = |mel: f64| {
        if mel < BREAK_MEL {
            mel * BREAK_HERTZ / BREAK_MEL
        } else {
            BREAK_HERTZ * ((mel - BREAK_MEL) * step).exp()
        }
    };
    let top = BREAK_MEL + (8_000.0 / BREAK_HERTZ).ln() / step;
    let edge = |n: usize| to_hertz(top * n as f64 / (count + 1) as f64);
    let bin_hertz = 16_000.0 / WINDOW as f64;
    (0..count)
        .map(|n| {
            let (low, centre, high) = (edge(n), edge(n + 1), edge(n + 2));
            let weight = |bin: usize| {
                let hertz = bin as f64 * bin_hertz;
                let rise = (hertz - low) / (centre - low);
                let fall = (high - hertz) / (high - centre);
                (rise.min(fall).max(0.0) * 2.0 / (high - low)) as f32
            };
            let first = (0..BINS).find(|&bin| weight(bin) > 0.0).unwrap_or(0);
            let weights = (first..BINS).map(weight).take_while(|&w| w > 0.0).collect();
            Band { first, weights }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bands_are_those_of_librosa() {
        // librosa.filters.mel(sr=16000, n_fft=400, n_mels=80): first non-zero weights.
        let bands = mel_bands(80);
        let check = |band: usize, bin: usize, expect: f32| {
            let band = &bands[band];
            let weight = band.weights[bin - band.first];
            assert!((weight - expect).abs() < 1e-6, "{bin}: {weight}");
        };
        check(0, 1, 0.024_862_594);
        check(1, 1, 0.001_990_824_2);
        check(1, 2, 0.022_871_77);
        // Every band of 80 has at least one bin, each triangle has area 1 over hertz.
        assert!(bands.iter().all(|band| !band.weights.is_empty()));
    }

    #[test]
    fn a_tone_peaks_in_its_band_and_silence_is_flat() {
        let mel = LogMel::new(80);
        let silence = mel.compute(&[], 100);
        assert!(silence.iter().all(|&v| (v + 1.5).abs() < 1e-6));
        let tone: Vec<f32> = (0..16_000)
            .map(|n| 0.5 * (TAU * 1000.0 * n as f32 / 16_000.0).sin())
            .collect();
        let spectrum = mel.compute(&tone, 200);
        let at = |band: usize, frame: usize| spectrum[band * 200 + frame];
        let loudest = (0..80).max_by(|a, b| at(*a, 50).total_cmp(&at(*b, 50)));
        let centre = mel_bands(80)[loudest.unwrap()].first as f32 * 40.0;
        assert!((centre - 1000.0).abs() < 80.0, "{centre}");
        assert!(at(loudest.unwrap(), 50) - at(loudest.unwrap(), 150) > 1.9);
    }
}
