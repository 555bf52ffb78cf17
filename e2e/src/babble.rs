//! Other people who talk near the phone, all the time and all at once.

use std::path::Path;

use speech::{Pcm, resample};

use crate::utterance::{Voice, Voices};

/// What each of them says, over and over.
const TALK: [(Voice, &str); 3] = [
    (
        Voice::Rms,
        "The train to the mountains was late again, so we went by bus and had lunch at the lake.",
    ),
    (
        Voice::Slt,
        "My sister has bought an old house with a garden, and she paints every room in another colour.",
    ),
    (
        Voice::Joe,
        "If it rains on the weekend, we stay at home and cook a large pot of soup for our friends.",
    ),
];

/// Below this share of the loudest sample there is a pause in what somebody says.
const PAUSE: f64 = 0.02;

/// Some seconds of talk that may be repeated, at `rate` Hz: each person as loud as the others, and all together
/// `below_db` dB quieter than `person`.
pub(crate) fn babble(
    voices: &Voices,
    person: &Pcm,
    below_db: f64,
    rate: u32,
    scratch: &Path,
) -> anyhow::Result<Pcm> {
    let mut sum = Vec::new();
    for (voice, text) in TALK {
        let said = resample(&voices.say(voice, text, scratch)?, rate);
        let gain = 1.0 / level(&said);
        sum.resize(sum.len().max(said.samples.len()), 0.0);
        // Each is repeated to the end of the longest.
        for (all, &own) in sum.iter_mut().zip(said.samples.iter().cycle()) {
            *all += gain * f64::from(own);
        }
    }
    let gain =
        level(person) * 10_f64.powf(-below_db / 20.0) / root_mean_square(sum.iter().copied());
    Ok(Pcm {
        sample_rate: rate,
        samples: sum.iter().map(|sample| (gain * sample) as i16).collect(),
    })
}

/// How loud somebody speaks, without the pauses: the root mean square of the samples.
fn level(speech: &Pcm) -> f64 {
    let samples = speech.samples.iter().copied().map(f64::from);
    let loudest = samples.clone().map(f64::abs).fold(1.0, f64::max);
    root_mean_square(samples.filter(|sample| sample.abs() > PAUSE * loudest))
}

fn root_mean_square(samples: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = samples.fold((0.0, 0.0), |(count, sum), sample| {
        (count + 1.0, sum + sample * sample)
    });
    (sum / f64::max(count, 1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_of_speech_is_that_without_its_pauses() {
        let mut pcm = Pcm {
            sample_rate: 8_000,
            samples: vec![1_000, -1_000, 1_000, -1_000],
        };
        assert_eq!(level(&pcm).round(), 1_000.0);
        pcm.samples.resize(100, 5);
        assert_eq!(level(&pcm).round(), 1_000.0);
    }
}
