//! Whether a word or two over the agent's voice is noticed, and how soon; and whether its echo is taken for a person.
//!
//! `cargo run -p voice-agent --example interruptions` prints the table of `docs/speech.md` in a few seconds.

#![allow(clippy::print_stdout, reason = "the table is the program's output")]

mod callers;

use callers::{VOICES, on_the_line, power, through_mu_law};
use speech::{Endpoint, Endpointer, HEARING_RATE, Pcm};

/// What people say to one who speaks.
const WORDS: [&str; 12] = [
    "Stop.",
    "Wait.",
    "Wait a moment.",
    "No.",
    "Yes.",
    "Hello?",
    "Pardon?",
    "Excuse me.",
    "Not interested.",
    "Transfer me.",
    "Operator.",
    "A human.",
];

/// What an agent says that comes back to it.
const MONOLOGUE: &str = "We sell train tickets to every large city in Europe, and to many small villages in \
                         the mountains. You may take a bicycle with you, and a small dog.";

/// Levels of the person and of the echo, in dB of full scale.
const PEOPLE: [i32; 3] = [-32, -26, -20];
const ECHOES: [i32; 3] = [-55, -50, -45];

const FULL_SCALE: f64 = 32_768.0;

/// What is sent over the line, in Hz.
const LINE_RATE: u32 = 8_000;

/// 10 ms of it.
const FRAME: usize = LINE_RATE as usize / 100;

/// Silence before and after: a second.
const PAUSE: usize = 100 * FRAME;

fn main() {
    println!("over the agent | dB of full scale | noticed | after ms, median");
    print("a word or two", &WORDS, PEOPLE);
    print("its echo", &[MONOLOGUE], ECHOES);
}

fn print(what: &str, texts: &[&str], levels: [i32; 3]) {
    let all = VOICES
        .iter()
        .flat_map(|voice| texts.iter().map(|text| on_the_line(&voice.say(text))));
    let spoken: Vec<Vec<f64>> = all.collect();
    for level in levels {
        let noticed = spoken.iter().map(|spoken| noticed(spoken, level));
        let mut after: Vec<usize> = noticed.flatten().collect();
        after.sort_unstable();
        let median = after.get(after.len() / 2);
        let median = median.map_or_else(|| "-".to_owned(), usize::to_string);
        println!(
            "{what} | {level} | {} of {} | {median}",
            after.len(),
            spoken.len()
        );
    }
}

/// How many ms after its first sound `spoken`, 8 kHz, begins a turn over the agent's voice, if it does.
fn noticed(spoken: &[f64], level: i32) -> Option<usize> {
    let frames = || spoken.chunks_exact(FRAME).map(power);
    let loudest = frames().fold(0.0, f64::max);
    let sounds = || {
        frames()
            .enumerate()
            .filter(|(_, power)| *power > loudest / 1_000.0)
    };
    let (first, _) = sounds().next().expect("somebody speaks");
    let loudness = sounds().map(|(_, power)| power).sum::<f64>() / sounds().count() as f64;
    let gain = FULL_SCALE * 10f64.powf(f64::from(level) / 20.0) / loudness.sqrt();

    let mut line = vec![0; PAUSE];
    line.extend(spoken.iter().map(|sample| (sample * gain).round() as i16));
    line.resize(line.len() + PAUSE, 0);
    let heard = through_mu_law(Pcm {
        sample_rate: LINE_RATE,
        samples: line,
    });
    let mut endpointer = Endpointer::default();
    endpointer.set_agent_speaking(true);
    let mut frames = heard.samples.chunks(HEARING_RATE as usize / 100);
    let noticed =
        frames.position(|frame| endpointer.push(frame).contains(&Endpoint::SpeechStarted))?;
    Some(10 * (noticed + 1).saturating_sub(PAUSE / FRAME + first))
}
