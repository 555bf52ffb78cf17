//! What a waiting caller hears, made here: there is no recording to license, and nothing to download.

use std::f32::consts::TAU;

use sip_config::HoldSound;
use speech::Pcm;

const RATE: u32 = 48_000;

/// Soft beside speech, which peaks near full scale.
const LOUDNESS: f32 = 0.12 * i16::MAX as f32;

/// Ringback as most of the world has it (ETSI TR 101 041): 425 Hz, 1 s on, 4 s off.
const RINGBACK_HZ: f32 = 425.0;

/// How long one note of the tune lasts, in seconds.
const NOTE: f32 = 0.5;

/// Broken chords in C, A minor, F and G, within the telephone band; in Hz.
const TUNE: [f32; 16] = [
    523.25, 659.26, 783.99, 659.26, // C
    440.0, 523.25, 659.26, 523.25, // A minor
    349.23, 440.0, 523.25, 440.0, // F
    392.0, 493.88, 587.33, 493.88, // G
];

/// The sound to be repeated, or `None` for silence.
pub(crate) fn hold_sound(sound: HoldSound) -> Option<Pcm> {
    match sound {
        HoldSound::Dialtone => Some(ringback()),
        HoldSound::Music => Some(tune()),
        HoldSound::None => None,
    }
}

/// What a caller hears who waits for an answer when there is no voice to say so: two notes, up.
pub(crate) fn chime() -> Pcm {
    let decay = |seconds: f32| (-4.0 * seconds).exp();
    pcm([523.25, 659.26]
        .iter()
        .flat_map(|hz| note(*hz, NOTE, decay))
        .collect())
}

fn ringback() -> Pcm {
    let mut samples = note(RINGBACK_HZ, 1.0, |_| 1.0);
    samples.resize(5 * RATE as usize, 0);
    pcm(samples)
}

fn tune() -> Pcm {
    // Struck and dying away, as on a piano.
    let decay = |seconds: f32| (-4.0 * seconds).exp();
    pcm(TUNE.iter().flat_map(|hz| note(*hz, NOTE, decay)).collect())
}

/// Begins and ends at zero, so that nothing clicks.
fn note(hz: f32, seconds: f32, envelope: impl Fn(f32) -> f32) -> Vec<i16> {
    const RAMP: f32 = 0.01;
    let len = (seconds * RATE as f32) as usize;
    (0..len)
        .map(|n| {
            let at = n as f32 / RATE as f32;
            let ramp = (at / RAMP).min((seconds - at) / RAMP).min(1.0);
            ((TAU * hz * at).sin() * ramp * envelope(at) * LOUDNESS) as i16
        })
        .collect()
}

fn pcm(samples: Vec<i16>) -> Pcm {
    Pcm {
        sample_rate: RATE,
        samples,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ringback_is_a_second_of_tone_and_four_of_silence() {
        let sound = hold_sound(HoldSound::Dialtone).unwrap();
        let (on, off) = sound.samples.split_at(RATE as usize);
        let crossings = on.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0);
        assert_eq!(crossings.count(), 425);
        assert_eq!(off, vec![0; 4 * RATE as usize]);
    }

    #[test]
    fn the_tune_repeats_without_a_click_and_stays_soft() {
        let sound = hold_sound(HoldSound::Music).unwrap();
        assert_eq!(sound.duration().as_secs(), 8);
        let around = sound.samples.iter().chain(sound.samples.first());
        let samples: Vec<i32> = around.map(|sample| i32::from(*sample)).collect();
        let steepest = samples
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).abs())
            .max();
        assert!(steepest < Some(500), "{steepest:?}");
        let loudest = samples.iter().map(|sample| sample.abs()).max();
        assert!((2_000..5_000).contains(&loudest.unwrap()), "{loudest:?}");
        assert_eq!(hold_sound(HoldSound::None), None);
    }

    #[test]
    fn the_chime_is_short_and_soft() {
        let chime = chime();
        assert_eq!(chime.duration().as_secs(), 1);
        let loudest = chime.samples.iter().map(|sample| sample.unsigned_abs());
        assert!((2_000..5_000).contains(&loudest.max().unwrap()));
    }
}
