//! What is behind a caller. The same in every run.

use std::sync::LazyLock;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use speech::Pcm;

use super::callers::{VOICES, on_the_line, power};

/// A minute and a half at 8 kHz: longer than any call here.
const LENGTH: usize = 90 * 8_000;

/// How many people babble. Fewer are understood, more are as steady as a fan.
const TALKERS: usize = 6;

/// What they say.
const TALK: [&str; 6] = [
    "Did you see the weather this morning? They say that it will rain until the weekend.",
    "The train was late again, so we walked from the station and had a coffee on the way.",
    "My sister is looking for a new flat, somewhere near the park and not too far from school.",
    "Put it over there, please, next to the window. The other one goes into the kitchen.",
    "We should ask them about the garden party before everybody is away on holiday.",
    "It was a good film, but the ending was much too long and the music was terrible.",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Background {
    /// A fan, a road, wind: as much power in each octave.
    Pink,
    /// An office, a café: people who talk at the same time.
    Babble,
}

impl Background {
    /// What a telephone sends of it: 8 kHz, of any level, for a minute and a half.
    pub(crate) fn samples(self) -> &'static [f64] {
        static PINK: LazyLock<Vec<f64>> = LazyLock::new(pink);
        static BABBLE: LazyLock<Vec<f64>> = LazyLock::new(babble);
        match self {
            Self::Pink => &PINK,
            Self::Babble => &BABBLE,
        }
    }
}

/// McCartney's way with Voss's algorithm: of sixteen random numbers the n-th changes every 2^n samples.
fn pink() -> Vec<f64> {
    let mut random = StdRng::seed_from_u64(1);
    let mut rows = [0.0; 16];
    let samples = (1..=LENGTH).map(|n| {
        let row = n.trailing_zeros() as usize % rows.len();
        rows[row] = random.random_range(-1_000.0..1_000.0);
        (rows.iter().sum::<f64>() + random.random_range(-1_000.0..1_000.0)) as i16
    });
    on_the_line(&Pcm {
        sample_rate: 8_000,
        samples: samples.collect(),
    })
}

fn babble() -> Vec<f64> {
    let talk = VOICES.map(|voice| {
        TALK.map(|sentence| {
            let mut said = on_the_line(&voice.say(sentence));
            let loudness = power(&said).sqrt();
            for sample in &mut said {
                *sample /= loudness;
            }
            said
        })
    });
    let mut babble = vec![0.0; LENGTH];
    for talker in 0..TALKERS {
        // Each begins with a sentence of their own.
        let sentences = talk[talker % talk.len()].iter().cycle().skip(talker);
        for (sample, said) in babble.iter_mut().zip(sentences.flatten()) {
            *sample += said;
        }
    }
    babble
}
