//! What the examples share: several callers, and how the agent hears them.

#[allow(
    unreachable_pub,
    dead_code,
    reason = "the examples use their part of the world"
)]
#[path = "../../../speech/tests/world/mod.rs"]
mod world;

use std::{sync::Mutex, thread::available_parallelism};

use speech::{Pass, Pcm, Transcript};

#[allow(unused_imports, reason = "each example uses its part")]
pub(crate) use self::world::{Voice, narrow_band, telephone, through_mu_law, words};

pub(crate) const VOICES: [Voice; 4] = [
    Voice::Joe,
    Voice::Flite("rms"),
    Voice::Flite("slt"),
    Voice::Flite("awb"),
];

/// What the first and the second pass make of `heard`.
#[allow(dead_code, reason = "each example uses its part")]
pub(crate) fn recognise(heard: &Pcm) -> (String, String) {
    let samples = world::floats(heard);
    let text = |pass| transcribe(&samples, pass).text;
    (text(Pass::First), text(Pass::Second))
}

/// What Whisper makes of `samples`: 16 kHz, full scale being 1.
pub(crate) fn transcribe(samples: &[f32], pass: Pass) -> Transcript {
    world::WHISPER
        .transcribe(samples, pass)
        .expect("it transcribes")
}

/// What a telephone sends of `pcm`, at 8 kHz.
#[allow(dead_code, reason = "each example uses its part")]
pub(crate) fn on_the_line(pcm: &Pcm) -> Vec<f64> {
    let narrow = narrow_band(pcm).samples;
    narrow.into_iter().map(f64::from).collect()
}

/// The mean square.
#[allow(dead_code, reason = "each example uses its part")]
pub(crate) fn power(samples: &[f64]) -> f64 {
    samples.iter().map(|sample| sample.powi(2)).sum::<f64>() / samples.len() as f64
}

/// Does `work` with every voice and each of `sayings`, as many at a time as there are cores.
#[allow(dead_code, reason = "each example uses its part")]
pub(crate) fn with_every_voice<T: Copy + Send + Sync>(
    sayings: &[T],
    work: impl Fn(Voice, T) + Sync,
) {
    let all = VOICES
        .iter()
        .flat_map(|voice| sayings.iter().map(move |saying| (*voice, *saying)));
    let queue = Mutex::new(all);
    let workers = available_parallelism().map_or(1, |cores| cores.get());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no worker panics").next();
                    let Some((voice, saying)) = next else {
                        break;
                    };
                    work(voice, saying);
                }
            });
        }
    });
}
