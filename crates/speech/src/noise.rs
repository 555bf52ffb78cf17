//! Noise suppression: RNNoise in pure Rust.

use std::time::Duration;

use nnnoiseless::DenoiseState;
use rubato::Fft;

use crate::pcm::{HEARING_RATE, block_resampler, convert_block};

/// What RNNoise works at, in Hz.
const RATE: u32 = 48_000;

/// Samples that RNNoise takes at once: 10 ms.
const FRAME: usize = DenoiseState::FRAME_SIZE;

/// The same 10 ms as they are heard.
const BLOCK: usize = FRAME * HEARING_RATE as usize / RATE as usize;

/// Takes the noise out of one person's audio, and leaves the voice.
///
/// A recurrent network sets the gains of 22 bands every 10 ms (Valin, "A Hybrid DSP/Deep Learning Approach to
/// Real-Time Full-Band Speech Enhancement", 2018), with the weights of RNNoise 0.1, which are part of the crate
/// `nnnoiseless`. It remembers what it has heard: take a new one for each call.
pub struct NoiseSuppressor {
    network: Box<DenoiseState<'static>>,
    up: Fft<f32>,
    down: Fft<f32>,
    /// Less than one block.
    partial: Vec<i16>,
    ready: Vec<i16>,
    block: [f32; BLOCK],
    noisy: [f32; FRAME],
    clean: [f32; FRAME],
}

impl Default for NoiseSuppressor {
    fn default() -> Self {
        Self {
            network: DenoiseState::new(),
            up: block_resampler(HEARING_RATE, RATE),
            down: block_resampler(RATE, HEARING_RATE),
            partial: Vec::with_capacity(2 * BLOCK),
            ready: Vec::with_capacity(BLOCK),
            block: [0.0; BLOCK],
            noisy: [0.0; FRAME],
            clean: [0.0; FRAME],
        }
    }
}

impl NoiseSuppressor {
    /// How much later the voice comes out: 10 ms for the network's overlapping windows, 10 ms for the two ways
    /// between 16 and 48 kHz.
    pub const DELAY: Duration = Duration::from_millis(20);

    /// Takes the next audio, 16 kHz mono and of any length, and returns what is ready, in whole blocks of 10 ms.
    ///
    /// As many samples come out as went in, if those are whole blocks. Once it has seen a push of that length,
    /// and this thread, it allocates nothing.
    pub fn push(&mut self, pcm: &[i16]) -> &[i16] {
        self.ready.clear();
        self.partial.extend_from_slice(pcm);
        let whole = self.partial.len() / BLOCK * BLOCK;
        for block in self.partial[..whole].chunks_exact(BLOCK) {
            for (to, from) in self.block.iter_mut().zip(block) {
                *to = f32::from(*from);
            }
            convert_block(&mut self.up, &self.block, &mut self.noisy);
            self.network.process_frame(&mut self.clean, &self.noisy);
            convert_block(&mut self.down, &self.clean, &mut self.block);
            // `as` saturates, which is what a peak above full scale should do.
            self.ready
                .extend(self.block.iter().map(|sample| sample.round() as i16));
        }
        self.partial.drain(..whole);
        &self.ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suppress(pcm: &[i16], piece: usize) -> Vec<i16> {
        let mut suppressor = NoiseSuppressor::default();
        pcm.chunks(piece)
            .flat_map(|piece| suppressor.push(piece).to_vec())
            .collect()
    }

    /// White noise, 70 % of it between -`amplitude` and `amplitude`.
    fn noise(amplitude: i32, seconds: usize) -> Vec<i16> {
        let mut seed = 1u32;
        let noise = (0..HEARING_RATE as usize * seconds).map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (i32::from((seed >> 16) as i16) * amplitude / 23_000) as i16
        });
        noise.collect()
    }

    fn level(pcm: &[i16]) -> f64 {
        let power = pcm.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / pcm.len() as f64;
        10.0 * power.max(1e-3).log10()
    }

    #[test]
    fn as_much_comes_out_as_went_in_wherever_it_is_cut() {
        let noise = noise(1_000, 3);
        let whole = suppress(&noise, noise.len());
        assert_eq!(whole.len(), noise.len());
        assert_eq!(suppress(&noise, BLOCK), whole);
        assert_eq!(suppress(&noise, 7), whole);
        assert!(suppress(&noise[..BLOCK - 1], BLOCK).is_empty());
    }

    #[test]
    fn silence_stays_silence() {
        assert_eq!(suppress(&[0; 16_000], BLOCK), [0; 16_000]);
    }

    #[test]
    fn steady_noise_falls_by_20_db() {
        for amplitude in [100, 1_000] {
            let noise = noise(amplitude, 4);
            let left = suppress(&noise, BLOCK);
            let later = 2 * HEARING_RATE as usize..;
            let fallen = level(&noise[later.clone()]) - level(&left[later]);
            assert!(fallen > 20.0, "{amplitude}: by {fallen} dB");
        }
    }

    #[test]
    fn each_call_begins_anew() {
        let noise = noise(1_000, 2);
        let mut used = NoiseSuppressor::default();
        used.push(&noise);
        let anew = suppress(&noise, BLOCK);
        assert_ne!(used.push(&noise), anew);
        assert_eq!(suppress(&noise, BLOCK), anew);
    }
}
