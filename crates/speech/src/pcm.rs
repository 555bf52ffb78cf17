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

/// Converts a stream to another rate, without clicks between its pieces.
///
/// Delays by half of the block of 10 ms in which it works. [`resample`] is for what is complete.
pub struct StreamResampler {
    inner: Fft<f32>,
    input: Vec<f32>,
    output: Vec<f32>,
}

impl StreamResampler {
    /// # Panics
    ///
    /// When either rate is zero.
    pub fn new(from: u32, to: u32) -> Self {
        let inner = block_resampler(from, to);
        Self {
            output: vec![0.0; inner.output_frames_max()],
            input: Vec::new(),
            inner,
        }
    }

    /// Takes the next samples and returns what is ready, in whole blocks.
    pub fn push(&mut self, samples: &[i16]) -> Vec<i16> {
        self.input.extend(samples.iter().copied().map(f32::from));
        let mut ready = Vec::new();
        let mut taken = 0;
        loop {
            let wanted = self.inner.input_frames_next();
            let Some(block) = self.input.get(taken..taken + wanted) else {
                break;
            };
            let (read, written) = convert_block(&mut self.inner, block, &mut self.output);
            taken += read;
            ready.extend(self.output[..written].iter().map(|s| s.round() as i16));
        }
        self.input.drain(..taken);
        ready
    }

    /// Returns the rest, with silence up to a whole block.
    pub fn finish(mut self) -> Vec<i16> {
        let wanted = self.inner.input_frames_next();
        // What is left of a block, and the delay.
        self.push(&vec![0; 2 * wanted - self.input.len()])
    }
}

/// Takes blocks of 10 ms, or the next length that gives whole samples at both rates.
///
/// # Panics
///
/// When either rate is zero.
pub(crate) fn block_resampler(from: u32, to: u32) -> Fft<f32> {
    let block = (from as usize / 100).max(1);
    Fft::new(from as usize, to as usize, block, 1, FixedSync::Both)
        .expect("rates above zero and a block above zero are accepted")
}

/// Converts one block without allocating. Returns how many samples were read and written.
///
/// # Panics
///
/// When `from` is less than a block, or `to` has less room.
pub(crate) fn convert_block(
    resampler: &mut Fft<f32>,
    from: &[f32],
    to: &mut [f32],
) -> (usize, usize) {
    let (frames, room) = (from.len(), to.len());
    let from = InterleavedSlice::new(from, 1, frames).expect("one channel of that many frames");
    let mut to = InterleavedSlice::new_mut(to, 1, room).expect("one channel of that many frames");
    resampler
        .process_into_buffer(&from, &mut to, None)
        .expect("the buffers have the asked size")
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
    fn a_stream_is_converted_as_the_whole_is_wherever_it_is_cut() {
        let tone = tone(24_000, 440.0, 1.0);
        let convert = |piece: usize| {
            let mut resampler = StreamResampler::new(24_000, 48_000);
            let mut samples: Vec<i16> = tone
                .samples
                .chunks(piece)
                .flat_map(|piece| {
                    let ready = resampler.push(piece);
                    assert_eq!(ready.len() % 480, 0);
                    ready
                })
                .collect();
            samples.extend(resampler.finish());
            samples
        };
        let whole = convert(24_000);
        assert_eq!(convert(1_001), whole);
        assert_eq!(convert(7), whole);
        assert!((48_000..=48_960).contains(&whole.len()), "{}", whole.len());
        let converted = Pcm {
            sample_rate: 48_000,
            samples: whole,
        };
        assert!((level(&converted) / level(&tone) - 1.0).abs() < 0.02);
        // A click would be a step; a tone of 440 Hz climbs by 576 at most.
        let step = |pair: &[i16]| (i32::from(pair[0]) - i32::from(pair[1])).abs();
        let steepest = converted.samples[960..47_000].windows(2).map(step).max();
        assert!(steepest < Some(650), "{steepest:?}");
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
