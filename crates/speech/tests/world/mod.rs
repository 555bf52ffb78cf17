//! The installed models, other people's voices, and the telephone between.

use std::{
    process::Command,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use sip_config::{Environment, SpeechSettings};
use speech::{HEARING_RATE, ModelsDir, Pcm, Piper, Whisper, resample};

pub fn models() -> ModelsDir {
    let environment = Environment::load().expect("the settings can be read");
    let settings = environment.settings::<SpeechSettings>();
    ModelsDir::new(settings.expect("the defaults do").models_dir)
}

pub static WHISPER: LazyLock<Whisper> =
    LazyLock::new(|| Whisper::load(&models().whisper()).unwrap_or_else(|error| panic!("{error}")));

pub static PIPER: LazyLock<Piper> = LazyLock::new(|| {
    Piper::load(&models().piper())
        .unwrap_or_else(|error| panic!("{error}"))
        .steady()
});

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// Our own.
    Joe,
    /// Voices of the Debian package `flite`.
    Flite(&'static str),
}

impl Voice {
    pub fn say(self, text: &str) -> Pcm {
        match self {
            Self::Joe => PIPER.synthesize(text).expect("Piper speaks"),
            Self::Flite(voice) => flite(voice, text),
        }
    }
}

fn flite(voice: &str, text: &str) -> Pcm {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("flite-{}-{number}.wav", std::process::id()));
    let status = Command::new("flite")
        .args(["-voice", voice, "-t", text, "-o"])
        .arg(&path)
        .status()
        .expect("the program `flite` is installed; `cargo xtask setup` does it");
    assert!(status.success(), "flite: {status}");
    let mut reader = hound::WavReader::open(&path).expect("flite wrote a wave file");
    let sample_rate = reader.spec().sample_rate;
    let samples = reader
        .samples()
        .collect::<Result<_, _>>()
        .expect("16-bit samples");
    std::fs::remove_file(&path).expect("it was there");
    Pcm {
        sample_rate,
        samples,
    }
}

/// What is left of `pcm` after a G.711 call: 8 kHz, nothing below 300 Hz, mu-law; at 16 kHz again.
pub fn telephone(pcm: &Pcm) -> Pcm {
    through_mu_law(narrow_band(pcm))
}

/// The part of `pcm` that a telephone sends: 8 kHz, nothing below 300 Hz.
pub fn narrow_band(pcm: &Pcm) -> Pcm {
    let mut narrow = resample(pcm, 8_000);
    high_pass(&mut narrow.samples);
    narrow
}

/// What is left of `narrow`, 8 kHz, after G.711, at 16 kHz.
pub fn through_mu_law(mut narrow: Pcm) -> Pcm {
    for sample in &mut narrow.samples {
        *sample = mu_law_round_trip(*sample);
    }
    resample(&narrow, HEARING_RATE)
}

/// The words of `text`, in small letters.
pub fn words(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || c == '\'' {
                c
            } else {
                ' '
            }
        })
        .collect();
    let words: Vec<_> = plain.split_whitespace().map(str::to_lowercase).collect();
    words.join(" ")
}

pub fn floats(pcm: &Pcm) -> Vec<f32> {
    assert_eq!(pcm.sample_rate, HEARING_RATE);
    pcm.samples
        .iter()
        .map(|&s| f32::from(s) / 32_768.0)
        .collect()
}

/// Second-order Butterworth, 300 Hz at 8 kHz (Robert Bristow-Johnson's cookbook).
fn high_pass(samples: &mut [i16]) {
    let omega = std::f64::consts::TAU * 300.0 / 8_000.0;
    let alpha = omega.sin() / std::f64::consts::SQRT_2;
    let a0 = 1.0 + alpha;
    let b0 = (1.0 + omega.cos()) / 2.0 / a0;
    let (a1, a2) = (-2.0 * omega.cos() / a0, (1.0 - alpha) / a0);
    let (mut x1, mut x2, mut y1, mut y2) = (0.0, 0.0, 0.0, 0.0);
    for sample in samples {
        let x = f64::from(*sample);
        let y = b0 * (x - 2.0 * x1 + x2) - a1 * y1 - a2 * y2;
        (x2, x1, y2, y1) = (x1, x, y1, y);
        *sample = y.round() as i16;
    }
}

/// ITU-T G.711, mu-law.
fn mu_law_round_trip(sample: i16) -> i16 {
    const BIAS: i32 = 132;
    const CLIP: i32 = 32_635;
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    let exponent = 31 - magnitude.leading_zeros() as i32 - 7;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    let decoded = (((mantissa << 3) + BIAS) << exponent) - BIAS;
    (if sample < 0 { -decoded } else { decoded }) as i16
}
