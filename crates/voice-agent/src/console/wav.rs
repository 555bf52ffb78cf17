//! Audio files: what the caller says, and what the caller has heard.

use std::{
    collections::VecDeque,
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use speech::{HEARING_RATE, Pcm, resample};

use super::ConsoleError;
use crate::audio::SPEAKING_RATE;

/// Samples of 10 ms that the agent hears.
const HEARD: usize = HEARING_RATE as usize / 100;

/// How long the caller waits for more before the next recording, as people do when it is their turn.
const PAUSE: Duration = Duration::from_millis(500);

/// The same after the last one, before the caller hangs up.
const PATIENCE: Duration = Duration::from_secs(3);

/// Reads a recording of the caller, of any rate and any number of channels.
pub(super) fn read(path: &Path) -> Result<Vec<i16>, ConsoleError> {
    let unreadable = |source| ConsoleError::ReadWav {
        path: path.to_owned(),
        source,
    };
    let mut reader = WavReader::open(path).map_err(unreadable)?;
    let spec = reader.spec();
    let samples: Vec<f32> = match spec.sample_format {
        SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>(),
        SampleFormat::Int => {
            let full_scale = (1_u64 << spec.bits_per_sample.saturating_sub(1)) as f32;
            let samples = reader.samples::<i32>();
            samples
                .map(|sample| Ok(sample? as f32 / full_scale))
                .collect()
        }
    }
    .map_err(unreadable)?;
    if samples.is_empty() || spec.sample_rate == 0 {
        return Err(ConsoleError::EmptyWav {
            path: path.to_owned(),
        });
    }
    let channels = usize::from(spec.channels.max(1));
    let mono = samples.chunks(channels).map(|samples| {
        let mean = samples.iter().sum::<f32>() / channels as f32;
        // `as` saturates, which is what a peak above full scale should do.
        (mean * f32::from(i16::MAX)).round() as i16
    });
    let pcm = Pcm {
        sample_rate: spec.sample_rate,
        samples: mono.collect(),
    };
    Ok(resample(&pcm, HEARING_RATE).samples)
}

/// What the caller hears, as a file.
pub(super) struct Recording {
    path: PathBuf,
    writer: WavWriter<BufWriter<File>>,
}

impl Recording {
    pub(super) fn create(path: PathBuf) -> Result<Self, ConsoleError> {
        let spec = WavSpec {
            channels: 1,
            sample_rate: SPEAKING_RATE,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        match WavWriter::create(&path, spec) {
            Ok(writer) => Ok(Self { path, writer }),
            Err(source) => Err(ConsoleError::WriteWav { path, source }),
        }
    }

    pub(super) fn append(&mut self, samples: &[i16]) -> Result<(), ConsoleError> {
        for sample in samples {
            if let Err(source) = self.writer.write_sample(*sample) {
                let path = self.path.clone();
                return Err(ConsoleError::WriteWav { path, source });
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), ConsoleError> {
        let path = self.path;
        self.writer
            .finalize()
            .map_err(|source| ConsoleError::WriteWav { path, source })
    }
}

/// A caller by recordings: says one recording after the other, each when it is the caller's turn.
pub(super) struct Script {
    turns: VecDeque<Vec<i16>>,
    saying: Option<(Vec<i16>, usize)>,
    /// Since when it is the caller's turn.
    turn_since: Option<Instant>,
}

impl Script {
    pub(super) fn new(recordings: Vec<Vec<i16>>) -> Self {
        Self {
            turns: recordings.into(),
            saying: None,
            turn_since: None,
        }
    }

    /// Returns the next 10 ms; `None` when the caller hangs up. `is_its_turn`: nobody else does anything.
    pub(super) fn frame(&mut self, now: Instant, is_its_turn: bool) -> Option<Vec<i16>> {
        let mut frame = vec![0; HEARD];
        if let Some((samples, at)) = &mut self.saying {
            let piece = &samples[*at..samples.len().min(*at + HEARD)];
            frame[..piece.len()].copy_from_slice(piece);
            *at += piece.len();
            if *at == samples.len() {
                self.saying = None;
            }
            self.turn_since = None;
            return Some(frame);
        }
        if !is_its_turn {
            self.turn_since = None;
            return Some(frame);
        }
        let waited = now.saturating_duration_since(*self.turn_since.get_or_insert(now));
        if waited >= PAUSE
            && let Some(samples) = self.turns.pop_front()
        {
            self.saying = Some((samples, 0));
        }
        (waited < PATIENCE || self.saying.is_some()).then_some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(10);

    #[test]
    fn recordings_of_any_kind_are_heard_in_mono_at_the_rate_of_the_ears() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, spec: WavSpec, write: &dyn Fn(&mut WavWriter<BufWriter<File>>)| {
            let path = dir.path().join(name);
            let mut writer = WavWriter::create(&path, spec).unwrap();
            write(&mut writer);
            writer.finalize().unwrap();
            path
        };
        let spec = |channels, sample_rate, bits_per_sample, sample_format| WavSpec {
            channels,
            sample_rate,
            bits_per_sample,
            sample_format,
        };
        let plain = write(
            "plain.wav",
            spec(1, 16_000, 16, SampleFormat::Int),
            &|out| {
                (0..160).for_each(|_| out.write_sample(1_000_i16).unwrap());
            },
        );
        let heard = read(&plain).unwrap();
        assert_eq!(heard.len(), 160);
        assert!(heard.iter().all(|sample| sample.abs_diff(1_000) <= 1));

        let stereo = write(
            "stereo.wav",
            spec(2, 48_000, 32, SampleFormat::Float),
            &|out| {
                for _ in 0..4_800 {
                    out.write_sample(0.5_f32).unwrap();
                    out.write_sample(0.0_f32).unwrap();
                }
            },
        );
        let heard = read(&stereo).unwrap();
        assert_eq!(heard.len(), 1_600);
        assert!(heard[800].abs_diff(i16::MAX / 4) < 100, "{}", heard[800]);

        let empty = write("empty.wav", spec(1, 16_000, 16, SampleFormat::Int), &|_| {});
        assert!(matches!(read(&empty), Err(ConsoleError::EmptyWav { .. })));
        let text = dir.path().join("text.wav");
        std::fs::write(&text, "hello").unwrap();
        assert!(matches!(read(&text), Err(ConsoleError::ReadWav { .. })));
    }

    #[test]
    fn the_caller_waits_for_the_turn_says_all_and_hangs_up() {
        let start = Instant::now();
        let mut caller = Script::new(vec![vec![1; HEARD * 3 / 2], vec![2; HEARD]]);
        let mut ticks = 0;
        // The time in frames when each thing was said, and what.
        let mut said = Vec::new();
        let end = loop {
            let now = start + FRAME * ticks;
            let Some(frame) = caller.frame(now, ticks >= 100) else {
                break ticks;
            };
            if frame[0] != 0 {
                let silent = frame.iter().filter(|sample| **sample == 0).count();
                said.push((ticks, frame[0], silent));
            }
            ticks += 1;
        };
        // Half a second from frame 100 on, then again from the end of the first recording.
        assert_eq!(said, [(151, 1, 0), (152, 1, HEARD / 2), (204, 2, 0)]);
        assert_eq!(end, 505);
    }
}
