//! Sample rates and channel counts: streaming, without clicks between calls.

use rubato::{
    Async, Fft, FixedAsync, FixedSync, SincInterpolationParameters, SincInterpolationType,
    WindowFunction, audioadapter_buffers::direct::InterleavedSlice,
};

/// The FFT resampler works in whole blocks of the rates' ratio; above this duration (1/50 s) of a
/// block, which only rates with hardly a common divisor reach, the sinc one is taken.
const LONGEST_BLOCK_PER_SECOND: u32 = 50;

/// Converts a stream of interleaved i16 samples from one rate to another.
///
/// At the usual rates it delays by 5 ms and 10 ms in give 10 ms out.
pub(crate) struct Resampler {
    channels: usize,
    engine: Option<Engine>,
}

struct Engine {
    inner: Box<dyn rubato::Resampler<f32>>,
    input: Vec<f32>,
    output: Vec<f32>,
}

impl Resampler {
    /// `from` and `to` are in Hz and, like `channels`, not zero.
    pub(crate) fn new(from: u32, to: u32, channels: usize) -> Self {
        Self {
            channels,
            engine: (from != to).then(|| Engine::new(from, to, channels)),
        }
    }

    /// Takes interleaved samples, any number of frames, and appends what is ready to `out`.
    pub(crate) fn push(&mut self, pcm: &[i16], out: &mut Vec<i16>) {
        match &mut self.engine {
            Some(engine) => engine.push(pcm, self.channels, out),
            None => out.extend_from_slice(pcm),
        }
    }
}

impl Engine {
    fn new(from: u32, to: u32, channels: usize) -> Self {
        let (from_hz, to_hz) = (from as usize, to as usize);
        let ten_ms = (from_hz / 100).max(1);
        let block = from / gcd(from, to);
        let inner: Box<dyn rubato::Resampler<f32>> = if block <= from / LONGEST_BLOCK_PER_SECOND {
            Box::new(
                Fft::new(from_hz, to_hz, ten_ms, channels, FixedSync::Both)
                    .expect("the rates are not zero"),
            )
        } else {
            let sinc = SincInterpolationParameters {
                sinc_len: 64,
                f_cutoff: None,
                interpolation: SincInterpolationType::Cubic,
                oversampling_factor: 128,
                window: WindowFunction::BlackmanHarris2,
            };
            let ratio = f64::from(to) / f64::from(from);
            Box::new(
                Async::new_sinc(ratio, 1.0, &sinc, ten_ms, channels, FixedAsync::Input)
                    .expect("the rates are not zero"),
            )
        };
        let output = vec![0.0; inner.output_frames_max() * channels];
        Self {
            inner,
            input: Vec::new(),
            output,
        }
    }

    fn push(&mut self, pcm: &[i16], channels: usize, out: &mut Vec<i16>) {
        self.input
            .extend(pcm.iter().map(|sample| f32::from(*sample)));
        let mut taken = 0;
        loop {
            let wanted = self.inner.input_frames_next();
            let Some(input) = self.input.get(taken..taken + wanted * channels) else {
                break;
            };
            let input = InterleavedSlice::new(input, channels, wanted)
                .expect("the slice has that many frames");
            let room = self.output.len() / channels;
            let mut output = InterleavedSlice::new_mut(&mut self.output, channels, room)
                .expect("the slice has that many frames");
            let (read, written) = self
                .inner
                .process_into_buffer(&input, &mut output, None)
                .expect("both buffers have the frames it asked for");
            taken += read * channels;
            // `as` saturates: an overshoot of the filter clips.
            out.extend(
                self.output[..written * channels]
                    .iter()
                    .map(|sample| sample.round() as i16),
            );
        }
        self.input.drain(..taken);
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Appends interleaved `pcm` of `from` channels to `out` as `to` channels.
///
/// Mono is duplicated, stereo to mono is the mean; other layouts repeat or drop channels.
pub(crate) fn remix(pcm: &[i16], from: usize, to: usize, out: &mut Vec<i16>) {
    match (from, to) {
        _ if from == to => out.extend_from_slice(pcm),
        (1, _) => out.extend(pcm.iter().flat_map(|s| std::iter::repeat_n(*s, to))),
        (2, 1) => out.extend(
            pcm.as_chunks::<2>()
                .0
                .iter()
                .map(|[l, r]| i16::midpoint(*l, *r)),
        ),
        _ => out.extend(
            pcm.chunks_exact(from)
                .flat_map(|frame| (0..to).map(|channel| frame[channel % from])),
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tone(rate: u32, hertz: f64, samples: usize) -> Vec<i16> {
        (0..samples)
            .map(|i| {
                let phase = i as f64 * hertz * std::f64::consts::TAU / f64::from(rate);
                (phase.sin() * 10_000.0) as i16
            })
            .collect()
    }

    /// Amplitude of `hertz` in `pcm`, and of everything else.
    fn amplitudes(pcm: &[i16], rate: u32, hertz: f64) -> (f64, f64) {
        let n = pcm.len() as f64;
        let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
        for (i, sample) in pcm.iter().enumerate() {
            let phase = i as f64 * hertz * std::f64::consts::TAU / f64::from(rate);
            let sample = f64::from(*sample);
            re += sample * phase.cos();
            im += sample * phase.sin();
            power += sample * sample;
        }
        let amplitude = 2.0 * re.hypot(im) / n;
        let rest = (power / n - amplitude * amplitude / 2.0).max(0.0);
        (amplitude, (2.0 * rest).sqrt())
    }

    fn resample_in_frames(pcm: &[i16], from: u32, to: u32, frame: usize) -> Vec<i16> {
        let mut resampler = Resampler::new(from, to, 1);
        let mut out = Vec::new();
        for frame in pcm.chunks(frame) {
            resampler.push(frame, &mut out);
        }
        out
    }

    #[test]
    fn ten_ms_in_give_ten_ms_out_at_the_usual_rates() {
        for rate in [
            8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000,
        ] {
            for (from, to) in [(rate, 48_000), (48_000, rate)] {
                let mut resampler = Resampler::new(from, to, 2);
                for _ in 0..3 {
                    let mut out = Vec::new();
                    resampler.push(&vec![0; from as usize / 100 * 2], &mut out);
                    assert_eq!(out.len(), to as usize / 100 * 2, "{from} to {to}");
                }
            }
        }
    }

    #[test]
    fn a_tone_stays_that_tone_and_nothing_else() {
        for (from, to) in [
            (8_000, 48_000),
            (16_000, 48_000),
            (22_050, 48_000),
            (44_100, 48_000),
            (48_000, 8_000),
            (48_000, 16_000),
            (48_000, 22_050),
            (48_000, 44_100),
            (48_000, 11_025),
            (44_101, 48_000),
        ] {
            let out = resample_in_frames(&tone(from, 1_000.0, from as usize), from, to, 441);
            let tail = &out[out.len() - to as usize / 2..];
            let (amplitude, rest) = amplitudes(tail, to, 1_000.0);
            assert!(
                (9_900.0..10_100.0).contains(&amplitude),
                "{from} to {to}: {amplitude}"
            );
            assert!(rest < 100.0, "{from} to {to}: {rest} beside the tone");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_is_gone_and_not_folded() {
        let out = resample_in_frames(&tone(48_000, 7_000.0, 48_000), 48_000, 8_000, 480);
        let (alias, rest) = amplitudes(&out[4_000..], 8_000, 1_000.0);
        assert!(alias + rest < 20.0, "{alias} aliased, {rest} other");
    }

    #[test]
    fn channels_are_duplicated_averaged_or_cut() {
        let mix = |pcm: &[i16], from, to| {
            let mut out = Vec::new();
            remix(pcm, from, to, &mut out);
            out
        };
        assert_eq!(mix(&[1, 2], 1, 2), [1, 1, 2, 2]);
        assert_eq!(mix(&[i16::MAX, i16::MAX, -4, 2], 2, 1), [i16::MAX, -1]);
        assert_eq!(mix(&[1, 2, 3, 4, 5, 6], 3, 2), [1, 2, 4, 5]);
        assert_eq!(mix(&[1, 2], 2, 4), [1, 2, 1, 2]);
    }

    proptest! {
        #[test]
        fn the_split_into_calls_does_not_change_the_samples(
            cuts in prop::collection::vec(1usize..900, 1..30),
            rates in prop::sample::select(vec![(16_000u32, 48_000u32), (48_000, 16_000), (44_100, 48_000), (48_000, 22_050)]),
        ) {
            let (from, to) = rates;
            let pcm = tone(from, 440.0, cuts.iter().sum());
            let mut whole = Vec::new();
            Resampler::new(from, to, 1).push(&pcm, &mut whole);
            let mut parts = Vec::new();
            let mut resampler = Resampler::new(from, to, 1);
            let mut rest = pcm.as_slice();
            for cut in cuts {
                let (head, tail) = rest.split_at(cut);
                resampler.push(head, &mut parts);
                rest = tail;
            }
            prop_assert_eq!(whole, parts);
        }
    }
}
