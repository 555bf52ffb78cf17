//! What noise on a G.711 line does to turns, words and numbers, and what suppressing it does.
//!
//! `cargo run -p voice-agent --example noise` prints the table of `docs/speech.md`; with `-- -v` also what was heard.
//! Takes a quarter of an hour of computing time, shared by all cores. The noise is the same in every run.

#![allow(clippy::print_stdout, reason = "the tables are the program's output")]

#[path = "callers/aloud.rs"]
mod aloud;
#[path = "callers/background.rs"]
mod background;
mod callers;

use std::{
    collections::BTreeMap,
    fmt,
    ops::{AddAssign, Range},
    sync::Mutex,
    time::Duration,
};

use aloud::{Saying, Tally, read_back, sayings};
use background::Background;
use callers::{
    VOICES, Voice, on_the_line, power, through_mu_law, transcribe, with_every_voice, words,
};
use speech::{
    Endpoint, Endpointer, HANG, HEARING_RATE, NUMBER_HANG, NoiseSuppressor, Pass, Pcm, Turn,
};
use voice_agent::conversation::has_number;

/// What every caller says.
const COMMANDS: [&str; 6] = [
    "Transfer me to a live agent.",
    "No.",
    "What are your opening hours?",
    "Yes please.",
    "Put me through to billing.",
    "Could you repeat that please?",
];

/// Of the numbers that are said digit by digit, those of each caller.
const NUMBERS: usize = 3;

/// Signal to noise in dB: the power of what is said, pauses aside, to that of the noise, both on the line.
const RATIOS: [i32; 4] = [20, 15, 10, 5];

/// What callers and noise are recorded at.
const LINE_RATE: u32 = 8_000;

/// The level of speech: -26 dB of full scale, which is ordinary on a telephone.
const LEVEL: f64 = 32_768.0 * 0.05;

/// Before the first sentence, and after each: longer than any hang.
const PAUSE: Duration = Duration::from_millis(2_500);

/// A turn that is noticed so late is still of the sentence before, whose audio is kept.
const LATEST_START: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Suppression {
    Off,
    /// Turns are found in audio without noise, and recognised as they were.
    VoiceActivity,
    All,
}

const SUPPRESSIONS: [Suppression; 3] = [
    Suppression::Off,
    Suppression::VoiceActivity,
    Suppression::All,
];

/// What is behind the caller, and how many dB under them.
type Noise = Option<(Background, i32)>;

/// What a caller says in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    Commands,
    Numbers,
}

/// What one caller says in one call, and when.
struct Call {
    voice: Voice,
    script: Script,
    /// As a telephone sends it, 8 kHz.
    speech: Vec<f64>,
    said: Vec<Range<Duration>>,
}

/// A turn, and when what told of it came.
struct Found {
    started: Duration,
    ended: Duration,
    turn: Turn,
}

impl Found {
    fn is_of(&self, said: &Range<Duration>) -> bool {
        let silent_since = self.ended.saturating_sub(self.turn.silence);
        self.started < said.end + LATEST_START && said.start < silent_since
    }
}

/// How the turns were found.
#[derive(Default)]
struct Turns {
    said: usize,
    /// Sentences with one turn of their own.
    alone: usize,
    /// Sentences in a turn with others.
    merged: usize,
    /// Sentences in several turns.
    cut: usize,
    /// Sentences without a turn, or with one that had no end when the call had.
    missed: usize,
    /// Turns in which nobody said anything.
    false_turns: usize,
    /// Of those that are `alone`: from the first sound to the news of it, and to that of the end from the last
    /// sound and the hang.
    start_ms: Vec<f64>,
    end_ms: Vec<f64>,
}

/// What was understood of them.
#[derive(Default)]
struct Understood {
    words: usize,
    word_errors: usize,
    numbers: Tally,
}

impl AddAssign for Turns {
    fn add_assign(&mut self, more: Self) {
        self.said += more.said;
        self.alone += more.alone;
        self.merged += more.merged;
        self.cut += more.cut;
        self.missed += more.missed;
        self.false_turns += more.false_turns;
        self.start_ms.extend(more.start_ms);
        self.end_ms.extend(more.end_ms);
    }
}

impl AddAssign for Understood {
    fn add_assign(&mut self, more: Self) {
        self.words += more.words;
        self.word_errors += more.word_errors;
        self.numbers += more.numbers;
    }
}

fn main() {
    let verbose = std::env::args().any(|argument| argument == "-v");
    let noisy = [Background::Pink, Background::Babble]
        .into_iter()
        .flat_map(|background| RATIOS.map(|ratio| Some((background, ratio))));
    let noises: Vec<Noise> = [None].into_iter().chain(noisy).collect();
    let scripts = [Script::Commands, Script::Numbers];
    let calls: Vec<_> = VOICES
        .iter()
        .flat_map(|voice| scripts.map(|script| Call::new(*voice, script)))
        .collect();

    let found = score_all(&noises, &calls, |call, _, turns| count_turns(call, turns));
    print(
        "sentences | found | merged | cut | missed | false turns | start ms | end ms",
        &found,
    );
    let understood = score_all(&noises, &calls, |call, condition, turns| {
        let (understood, heard) = match call.script {
            Script::Commands => commands(turns),
            Script::Numbers => numbers(call.voice, &call.said, turns),
        };
        if verbose {
            println!("{:?}\t{condition:?}\t{heard:?}", call.voice);
        }
        understood
    });
    print(
        "word errors % | numbers right | wrong | asked again",
        &understood,
    );
}

type Condition = (Noise, Suppression);

/// The sum of the scores of all calls under each condition.
fn score_all<T: Default + AddAssign + Send>(
    noises: &[Noise],
    calls: &[Call],
    score: impl Fn(&Call, Condition, &[Found]) -> T + Sync,
) -> BTreeMap<Condition, T> {
    let scores = Mutex::new(BTreeMap::<_, T>::new());
    with_every_voice(noises, |voice, noise| {
        for call in calls.iter().filter(|call| call.voice == voice) {
            let line = call.with(noise);
            for suppression in SUPPRESSIONS {
                let turns = turns(&line, suppression, call.script.hang());
                let score = score(call, (noise, suppression), &turns);
                let mut scores = scores.lock().expect("no worker panics");
                *scores.entry((noise, suppression)).or_default() += score;
            }
        }
    });
    scores.into_inner().expect("no worker panics")
}

/// The numbers of a caller, no two callers having the same.
fn numbers_of(voice: Voice) -> Vec<Saying> {
    let caller = VOICES.iter().position(|other| *other == voice);
    let digits = sayings().into_iter().filter(|it| it.style == "digits");
    let caller = caller.expect("it is one of them");
    digits.skip(caller * NUMBERS).take(NUMBERS).collect()
}

impl Script {
    fn hang(self) -> Duration {
        match self {
            Self::Commands => HANG,
            Self::Numbers => NUMBER_HANG,
        }
    }
}

impl Call {
    fn new(voice: Voice, script: Script) -> Self {
        let texts = match script {
            Script::Commands => COMMANDS.to_vec(),
            Script::Numbers => numbers_of(voice).iter().map(|saying| saying.text).collect(),
        };
        let mut speech = vec![0.0; samples(PAUSE)];
        let mut said = Vec::new();
        for text in texts {
            let spoken = on_the_line(&voice.say(text));
            let sounds = sounds(&spoken);
            let gain = LEVEL / power(&spoken[sounds.clone()]).sqrt();
            said.push(time(speech.len() + sounds.start)..time(speech.len() + sounds.end));
            speech.extend(spoken.into_iter().map(|sample| sample * gain));
            speech.resize(speech.len() + samples(PAUSE), 0.0);
        }
        Self {
            voice,
            script,
            speech,
            said,
        }
    }

    /// What of it arrives, 16 kHz.
    fn with(&self, noise: Noise) -> Pcm {
        let mut line = self.speech.clone();
        if let Some((background, ratio)) = noise {
            let noise = &background.samples()[..line.len()];
            let gain = LEVEL / power(noise).sqrt() / 10f64.powf(f64::from(ratio) / 20.0);
            for (sample, noise) in line.iter_mut().zip(noise) {
                *sample += noise * gain;
            }
        }
        through_mu_law(Pcm {
            sample_rate: LINE_RATE,
            samples: line
                .into_iter()
                .map(|sample| sample.round() as i16)
                .collect(),
        })
    }
}

fn turns(line: &Pcm, suppression: Suppression, hang: Duration) -> Vec<Found> {
    let mut suppressor = NoiseSuppressor::default();
    let mut endpointer = Endpointer::default();
    endpointer.set_hang(hang);
    let mut now = Duration::ZERO;
    let mut started = None;
    let mut turns = Vec::new();
    for frame in line.samples.chunks(HEARING_RATE as usize / 100) {
        now += Duration::from_millis(10);
        let events = match suppression {
            Suppression::Off => endpointer.push(frame),
            Suppression::VoiceActivity => endpointer.push_cleaned(frame, suppressor.push(frame)),
            Suppression::All => endpointer.push(suppressor.push(frame)),
        };
        for event in events {
            match event {
                Endpoint::SpeechStarted => started = Some(now),
                Endpoint::Paused(_) | Endpoint::WentOn => {}
                Endpoint::TurnEnded(turn) => turns.push(Found {
                    started: started.take().expect("a turn starts before it ends"),
                    ended: now,
                    turn,
                }),
            }
        }
    }
    turns
}

/// From the first sound to the last: frames of 10 ms that are at most 30 dB under the whole.
fn sounds(spoken: &[f64]) -> Range<usize> {
    const FRAME: usize = LINE_RATE as usize / 100;
    let threshold = power(spoken) / 1_000.0;
    let mut sounds = spoken
        .chunks(FRAME)
        .enumerate()
        .filter(|(_, frame)| power(frame) > threshold)
        .map(|(n, _)| n * FRAME);
    let first = sounds.next().expect("somebody speaks");
    let last = sounds.next_back().unwrap_or(first);
    first..spoken.len().min(last + FRAME)
}

fn count_turns(call: &Call, turns: &[Found]) -> Turns {
    let said = &call.said;
    let mut score = Turns {
        said: said.len(),
        ..Turns::default()
    };
    for sentence in said {
        let of_it: Vec<_> = turns.iter().filter(|turn| turn.is_of(sentence)).collect();
        let shared = |turn: &Found| said.iter().filter(|other| turn.is_of(other)).count() > 1;
        match of_it[..] {
            [] => score.missed += 1,
            [turn] if shared(turn) => score.merged += 1,
            [turn] => {
                score.alone += 1;
                let since =
                    |from: Duration, to: Duration| (to.as_secs_f64() - from.as_secs_f64()) * 1e3;
                score.start_ms.push(since(sentence.start, turn.started));
                score
                    .end_ms
                    .push(since(sentence.end + call.script.hang(), turn.ended));
            }
            _ if of_it.iter().any(|turn| shared(turn)) => score.merged += 1,
            _ => score.cut += 1,
        }
    }
    let is_false = |turn: &&Found| !said.iter().any(|sentence| turn.is_of(sentence));
    score.false_turns = turns.iter().filter(is_false).count();
    score
}

/// Counts the errors in all that was heard in the call, in its order.
fn commands(turns: &[Found]) -> (Understood, Vec<String>) {
    let heard: Vec<_> = turns.iter().map(|turn| text(turn, Pass::First)).collect();
    let (said, got) = (words(&COMMANDS.join(" ")), words(&heard.join(" ")));
    let said: Vec<_> = said.split_whitespace().collect();
    let got: Vec<_> = got.split_whitespace().collect();
    let understood = Understood {
        words: said.len(),
        word_errors: strsim::generic_levenshtein(&said, &got),
        ..Understood::default()
    };
    (understood, heard)
}

/// A number in several turns is joined, as the ears do it; one that nobody heard is asked again.
fn numbers(voice: Voice, said: &[Range<Duration>], turns: &[Found]) -> (Understood, Vec<String>) {
    let (mut understood, mut heard) = (Understood::default(), Vec::new());
    for (saying, sentence) in numbers_of(voice).iter().zip(said) {
        let of_it: Vec<_> = turns.iter().filter(|turn| turn.is_of(sentence)).collect();
        let join = |pass| {
            let texts = of_it.iter().map(|turn| text(turn, pass));
            texts.collect::<Vec<_>>().join(" ")
        };
        let first = join(Pass::First);
        let second = if has_number(&first) {
            join(Pass::Second)
        } else {
            String::new()
        };
        let number = read_back(&first, &second, saying.region);
        understood.numbers.count(number.as_ref(), saying.number);
        heard.extend([first, second]);
    }
    (understood, heard)
}

/// What is recognised, if it is taken for speech.
fn text(found: &Found, pass: Pass) -> String {
    let transcript = transcribe(&found.turn.samples(), pass);
    if transcript.is_speech() {
        transcript.text
    } else {
        String::new()
    }
}

fn print<T: fmt::Display>(columns: &str, scores: &BTreeMap<Condition, T>) {
    println!("\n| noise | suppression | {columns} |");
    println!("|{}", " --- |".repeat(columns.split('|').count() + 2));
    for ((noise, suppression), score) in scores {
        let noise = noise.map_or("none".to_owned(), |(background, ratio)| {
            format!("{background:?}, {ratio} dB")
        });
        println!("| {noise} | {suppression:?} | {score} |");
    }
}

impl fmt::Display for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} | {} | {} | {} | {} | {} | {} | {}",
            self.said,
            self.alone,
            self.merged,
            self.cut,
            self.missed,
            self.false_turns,
            median(&self.start_ms),
            median(&self.end_ms),
        )
    }
}

/// Whole, or a dash where there is none.
fn median(values: &[f64]) -> String {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len() / 2);
    middle.map_or("-".to_owned(), |middle| format!("{middle:.0}"))
}

impl fmt::Display for Understood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} | {} | {} | {}",
            100.0 * self.word_errors as f64 / self.words as f64,
            self.numbers.right,
            self.numbers.wrong,
            self.numbers.asked_again,
        )
    }
}

fn samples(duration: Duration) -> usize {
    (duration.as_secs_f64() * f64::from(LINE_RATE)) as usize
}

fn time(samples: usize) -> Duration {
    Duration::from_secs_f64(samples as f64 / f64::from(LINE_RATE))
}
