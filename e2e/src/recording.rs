//! What one leg of a call sounded like, from the phone's own recorder.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use speech::{Endpoint, Endpointer, HEARING_RATE, Pass, Pcm, Whisper, resample};

use crate::{
    tone::{HEARD_DB, level_db},
    wait::{LIMIT, Unmet, wait_for_condition},
};

/// How much audio a tone must fill to count.
const TONE: Duration = Duration::from_secs(1);

/// The [`loudness`] from which a window is a sound: 46 dB below full scale.
pub const SOUND: u16 = 160;

/// How much audio is a sound or none.
const SOUND_WINDOW: Duration = Duration::from_millis(20);

/// One direction of one leg, possibly still growing: mono S16 in a WAV file.
#[derive(Debug, Clone)]
pub struct Recording {
    path: PathBuf,
}

impl Recording {
    /// The recording in `path`, which must exist by the time it is read.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything recorded so far.
    ///
    /// The header of a growing file says a length of zero, so the samples are what follows it.
    pub fn pcm(&self) -> anyhow::Result<Pcm> {
        let bytes =
            fs::read(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        let data = bytes
            .windows(4)
            .position(|chunk| chunk == b"data")
            .map(|at| at + 8);
        let (Some(data), Some(rate)) = (data, bytes.get(24..28)) else {
            bail!("{} is not a WAV file yet", self.path.display())
        };
        let samples = bytes.get(data..).unwrap_or_default();
        Ok(Pcm {
            sample_rate: u32::from_le_bytes(rate.try_into().expect("four bytes were taken")),
            samples: samples
                .chunks_exact(2)
                .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                .collect(),
        })
    }

    /// Waits until the latest second carries a tone of `hz`, and returns its level in dB.
    pub async fn wait_for_tone(&self, hz: u32) -> anyhow::Result<f64> {
        wait_for_condition(
            &format!("a tone of {hz} Hz in {}", self.path.display()),
            LIMIT,
            async || {
                let level = level_db(&latest(self.pcm()?, TONE), hz);
                if level >= HEARD_DB {
                    Ok(level)
                } else {
                    Err(Unmet::NotYet(format!("{level:.0} dB")))
                }
            },
        )
        .await
    }

    /// Asserts that no second of the recording so far carries a tone of `hz`.
    pub fn expect_no_tone(&self, hz: u32) -> anyhow::Result<()> {
        let pcm = self.pcm()?;
        let second = usize::try_from(pcm.sample_rate).context("a rate is small")?;
        for (n, samples) in pcm.samples.chunks(second).enumerate() {
            let level = level_db(
                &Pcm {
                    sample_rate: pcm.sample_rate,
                    samples: samples.to_vec(),
                },
                hz,
            );
            ensure!(
                level < HEARD_DB,
                "{} has {hz} Hz with {level:.0} dB in second {n}",
                self.path.display()
            );
        }
        Ok(())
    }

    /// When there was something to hear, counted from the beginning. Pauses shorter than `pause` are none.
    pub fn sounds(&self, pause: Duration) -> anyhow::Result<Vec<Range<Duration>>> {
        Ok(sounds(&self.pcm()?, pause))
    }

    /// What was said in the recording so far, turn by turn.
    ///
    /// Blocks for a few tenths of a second for each turn.
    pub fn transcribe(&self, whisper: &Whisper) -> anyhow::Result<Vec<String>> {
        let mut pcm = resample(&self.pcm()?, HEARING_RATE);
        // The endpointer ends a turn by the silence after it.
        pcm.samples.extend(vec![0; HEARING_RATE as usize * 2]);
        Endpointer::default()
            .push(&pcm.samples)
            .into_iter()
            .filter_map(|event| match event {
                Endpoint::TurnEnded(turn) => Some(turn),
                Endpoint::SpeechStarted | Endpoint::Paused(_) | Endpoint::WentOn => None,
            })
            .map(|turn| {
                Ok(whisper
                    .transcribe(&turn.samples(), Pass::First)?
                    .text
                    .trim()
                    .to_owned())
            })
            .collect()
    }
}

fn sounds(pcm: &Pcm, pause: Duration) -> Vec<Range<Duration>> {
    let window = (SOUND_WINDOW.as_secs_f64() * f64::from(pcm.sample_rate)) as usize;
    let mut sounds: Vec<Range<Duration>> = Vec::new();
    for (n, samples) in (0_u32..).zip(pcm.samples.chunks(window)) {
        if loudness(samples) < SOUND {
            continue;
        }
        let (start, end) = (n * SOUND_WINDOW, (n + 1) * SOUND_WINDOW);
        match sounds.last_mut() {
            Some(last) if start < last.end + pause => last.end = end,
            Some(_) | None => sounds.push(start..end),
        }
    }
    sounds
}

/// Mean of the samples' magnitudes, rounded down.
pub fn loudness(samples: &[i16]) -> u16 {
    let sum: u64 = samples
        .iter()
        .map(|sample| u64::from(sample.unsigned_abs()))
        .sum();
    u16::try_from(sum / (samples.len().max(1) as u64)).unwrap_or(u16::MAX)
}

fn latest(mut pcm: Pcm, duration: Duration) -> Pcm {
    let samples = (duration.as_secs_f64() * f64::from(pcm.sample_rate)) as usize;
    pcm.samples
        .drain(..pcm.samples.len().saturating_sub(samples));
    pcm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sounds_are_told_from_silence_and_joined_over_short_pauses() {
        let ms = Duration::from_millis;
        let mut pcm = Pcm {
            sample_rate: 8_000,
            samples: Vec::new(),
        };
        for (loudness, length_ms) in [
            (20, 500),
            (2_000, 300),
            (0, 200),
            (900, 100),
            (30, 400),
            (500, 40),
        ] {
            let samples = (0..length_ms * 8).map(|n| if n % 2 == 0 { loudness } else { -loudness });
            pcm.samples.extend(samples);
        }
        let whole = [ms(500)..ms(1_100), ms(1_500)..ms(1_540)];
        assert_eq!(sounds(&pcm, ms(300)), whole);
        let each = [ms(500)..ms(800), ms(1_000)..ms(1_100), ms(1_500)..ms(1_540)];
        assert_eq!(sounds(&pcm, ms(100)), each);
        pcm.samples.fill(0);
        assert_eq!(sounds(&pcm, ms(100)), []);
    }
}
