//! What phones play: synthesised speech, silence, or a pilot tone.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, ensure};
use speech::{Pcm, Piper, resample};

use crate::{binaries::debian, tone::Pilot};

/// Silence before the first word: baresip's jitter buffer settles after a switch of the source, and would
/// swallow a syllable.
const LEAD: Duration = Duration::from_millis(400);

/// How long a file plays. At its end baresip falls silent, so it must outlast any call.
const LENGTH: Duration = Duration::from_secs(180);

/// Who speaks. Whisper understands all of these; it does not understand espeak-ng.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// Piper's `en_US-joe-medium`.
    Joe,
    /// flite's `rms`, a man.
    Rms,
    /// flite's `slt`, a woman.
    Slt,
}

/// Writes a sound file for a phone, with the rate of `background`: `speech`, and then nothing more, all of it over
/// the background, which is repeated.
///
/// Returns when the last word ends.
pub(crate) fn write(path: &Path, speech: &Pcm, background: &Pcm) -> anyhow::Result<Duration> {
    let rate = background.sample_rate;
    let mut pcm = silence(rate, LEAD);
    pcm.samples.extend(resample(speech, rate).samples);
    let spoken = pcm.duration();
    pcm.samples.resize(silence(rate, LENGTH).samples.len(), 0);
    for (sample, &behind) in pcm
        .samples
        .iter_mut()
        .zip(background.samples.iter().cycle())
    {
        *sample = sample.saturating_add(behind);
    }
    write_wav(path, &pcm)?;
    Ok(spoken)
}

/// Writes a sound file of `rate` Hz with nothing but the pilot tone.
pub(crate) fn write_pilot(path: &Path, pilot: Pilot, rate: u32) -> anyhow::Result<()> {
    let mut pcm = silence(rate, LENGTH);
    pilot.mix_under(&mut pcm);
    write_wav(path, &pcm)
}

/// Nothing, for so long.
pub(crate) fn silence(rate: u32, duration: Duration) -> Pcm {
    Pcm {
        sample_rate: rate,
        samples: vec![0; (duration.as_secs_f64() * f64::from(rate)) as usize],
    }
}

/// The voices, loaded once.
pub struct Voices {
    joe: Piper,
}

impl Voices {
    /// Loads Piper; blocks for about 60 ms.
    pub fn load(piper: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            joe: Piper::load(piper)?.steady(),
        })
    }

    /// Says `text`. Blocks for a tenth of the time that it takes to say it. `scratch` is a folder for flite.
    pub fn say(&self, voice: Voice, text: &str, scratch: &Path) -> anyhow::Result<Pcm> {
        match voice {
            Voice::Joe => Ok(self.joe.synthesize(text)?),
            Voice::Rms => flite("rms", text, scratch),
            Voice::Slt => flite("slt", text, scratch),
        }
    }
}

fn flite(voice: &str, text: &str, scratch: &Path) -> anyhow::Result<Pcm> {
    let wav = scratch.join("flite.wav");
    let output = Command::new(debian("flite", "flite")?)
        .args(["-voice", voice, "-t", text, "-o"])
        .arg(&wav)
        .output()
        .context("cannot start flite")?;
    ensure!(
        output.status.success(),
        "flite failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut reader =
        hound::WavReader::open(&wav).with_context(|| format!("cannot read {}", wav.display()))?;
    let sample_rate = reader.spec().sample_rate;
    let samples = reader
        .samples::<i16>()
        .collect::<Result<_, _>>()
        .context("flite's WAV is broken")?;
    fs::remove_file(&wav).context("cannot remove flite's WAV")?;
    Ok(Pcm {
        sample_rate,
        samples,
    })
}

/// Writes mono 16-bit PCM.
pub fn write_wav(path: &Path, pcm: &Pcm) -> anyhow::Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: pcm.sample_rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let write = || {
        let mut writer = hound::WavWriter::create(path, spec)?;
        let mut block = writer.get_i16_writer(pcm.samples.len() as u32);
        for &sample in &pcm.samples {
            block.write_sample(sample);
        }
        block.flush()?;
        writer.finalize()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
