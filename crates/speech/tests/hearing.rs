//! The real models on real audio: what is said is what is heard.

#[allow(
    unreachable_pub,
    dead_code,
    reason = "each test binary uses its part of the world"
)]
mod world;

use speech::{Endpoint, Endpointer, NoiseSuppressor, Pass, Pcm, resample};
use world::{Voice, WHISPER, floats, telephone, words};

const SLT: Voice = Voice::Flite("slt");
const RMS: Voice = Voice::Flite("rms");

/// What Whisper hears over the telephone.
fn heard(voice: Voice, text: &str, pass: Pass) -> String {
    let pcm = telephone(&voice.say(text));
    let transcript = WHISPER.transcribe(&floats(&pcm), pass);
    transcript.expect("it transcribes").text
}

/// The digits of a text in which numbers are figures or single words.
fn digits(text: &str) -> String {
    let names = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    ];
    words(text)
        .split(' ')
        .map(|word| match names.iter().position(|name| *name == word) {
            Some(digit) => digit.to_string(),
            None => word.chars().filter(char::is_ascii_digit).collect(),
        })
        .collect()
}

#[test]
fn commands_are_heard_over_the_telephone_word_by_word() {
    let check = |text: &str| {
        for voice in [Voice::Joe, SLT, RMS] {
            let heard = heard(voice, text, Pass::First);
            assert_eq!(words(&heard), words(text), "{voice:?}");
        }
    };
    check("Transfer me to a live agent.");
    check("Connect me to the sales team.");
    check("I want to talk to a real person.");
    check("Yes please.");
    check("What are your opening hours?");
}

#[test]
fn phone_numbers_are_heard_over_the_telephone_digit_by_digit() {
    let check = |voice: Voice, text: &str| {
        for pass in [Pass::First, Pass::Second] {
            let heard = heard(voice, text, pass);
            assert_eq!(digits(&heard), digits(text), "{voice:?} {pass:?}: {heard}");
        }
    };
    for voice in [Voice::Joe, RMS] {
        check(
            voice,
            "Plus four four, two zero, seven nine four six, zero nine five eight.",
        );
    }
}

#[test]
fn silence_and_an_empty_clip_are_no_words() {
    for pcm in [vec![], vec![0.0; 16_000]] {
        let transcript = WHISPER.transcribe(&pcm, Pass::First).unwrap();
        assert!(
            transcript.no_speech > 0.3 || transcript.text.is_empty(),
            "{transcript:?}"
        );
    }
}

#[test]
fn more_audio_than_the_window_of_the_pass_is_heard_to_the_end() {
    let begin = resample(&Voice::Joe.say("I want to talk to a real person."), 16_000);
    let end = resample(&Voice::Joe.say("What are your opening hours?"), 16_000);
    let mut samples = begin.samples;
    samples.resize(17 * 16_000, 0);
    samples.extend(end.samples);
    let pcm = Pcm {
        sample_rate: 16_000,
        samples,
    };
    let heard = WHISPER.transcribe(&floats(&pcm), Pass::First).unwrap().text;
    assert!(words(&heard).contains("opening hours"), "{heard}");
    assert!(words(&heard).contains("real person"), "{heard}");
}

#[test]
fn several_calls_share_one_model() {
    let pcm = floats(&telephone(&Voice::Joe.say("Put me through to billing.")));
    let alone = WHISPER.transcribe(&pcm, Pass::First).unwrap();
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| WHISPER.transcribe(&pcm, Pass::First).unwrap()))
            .collect();
        for run in runs {
            assert_eq!(run.join().unwrap(), alone);
        }
    });
}

#[test]
fn the_same_text_gives_the_same_voice() {
    let text = "One moment please.";
    let first = Voice::Joe.say(text);
    assert!(first == Voice::Joe.say(text), "the samples differ");
    let seconds = first.duration().as_secs_f64();
    assert!((0.6..2.0).contains(&seconds), "{seconds}");
}

#[test]
fn nothing_to_say_is_no_audio() {
    assert!(Voice::Joe.say("").samples.is_empty());
    assert!(Voice::Joe.say(" \n").samples.is_empty());
}

#[test]
fn turns_are_found_in_telephone_audio_and_hold_the_whole_sentence() {
    let sentences = [
        (Voice::Joe, "Hello, who is this?"),
        (Voice::Joe, "Yes please."),
        (SLT, "Transfer me to a live agent."),
        (RMS, "No."),
        (RMS, "Connect me to the sales team."),
        (Voice::Joe, "No."),
    ];
    for noise in [Noise::none(), Noise::at(100)] {
        let mut noise = noise;
        let mut call = vec![0i16; 16_000];
        for (voice, sentence) in sentences {
            call.extend(telephone(&voice.say(sentence)).samples);
            call.extend([0; 20_000]);
        }
        for sample in &mut call {
            *sample += noise.next();
        }
        let mut endpointer = Endpointer::default();
        let events: Vec<_> = call
            .chunks(160)
            .flat_map(|frame| endpointer.push(frame))
            .collect();
        let mut heard = Vec::new();
        for turn in events.iter().filter_map(|event| match event {
            Endpoint::TurnEnded(turn) => Some(turn),
            Endpoint::SpeechStarted | Endpoint::Paused(_) | Endpoint::WentOn => None,
        }) {
            let transcript = WHISPER.transcribe(&turn.samples(), Pass::First).unwrap();
            heard.push(words(&transcript.text));
        }
        assert_eq!(heard, sentences.map(|(_, sentence)| words(sentence)));
    }
}

#[test]
fn a_short_word_over_the_agent_is_noticed_and_its_echo_is_not() {
    let turns = |said: &[i16]| {
        let mut line = vec![0; 16_000];
        line.extend(said);
        line.resize(line.len() + 16_000, 0);
        let mut endpointer = Endpointer::default();
        endpointer.set_agent_speaking(true);
        let events = endpointer.push(&line);
        let ended = |event: &&Endpoint| matches!(event, Endpoint::TurnEnded(_));
        events.iter().filter(ended).count()
    };
    for voice in [Voice::Joe, SLT, RMS] {
        for word in ["Stop.", "Wait.", "No.", "Transfer me."] {
            let said = telephone(&voice.say(word)).samples;
            assert_eq!(turns(&at_level(&said, SPEECH)), 1, "{voice:?}: {word}");
        }
    }
    let long = "We sell train tickets to every large city in Europe, and to many small villages.";
    let echo = at_level(&telephone(&Voice::Joe.say(long)).samples, ECHO);
    assert_eq!(turns(&echo), 0);
}

#[test]
fn clicks_and_line_noise_start_no_turn() {
    let mut noise = Noise::at(80);
    let mut line: Vec<i16> = (0..16_000 * 5).map(|_| noise.next()).collect();
    let mut crackle = Noise::at(8_000);
    for click in (0..line.len()).step_by(8_000) {
        for sample in &mut line[click..click + 80] {
            *sample = crackle.next();
        }
    }
    let mut endpointer = Endpointer::default();
    assert!(endpointer.push(&line).is_empty());
}

#[test]
fn noise_is_suppressed_and_the_voice_stays_where_it_is() {
    for voice in [Voice::Joe, SLT, RMS] {
        // It takes some seconds to know a noise.
        let begin = 5 * 16_000;
        let mut call = vec![0; begin];
        let said = telephone(&voice.say("Please connect me to the sales team.")).samples;
        call.extend(&said);
        call.resize(call.len() + 16_000, 0);
        // 15 dB under the voice.
        let mut noise = Noise::at((level(&said) * 0.178 * 1.732) as i32);
        let noisy: Vec<_> = call.iter().map(|sample| sample + noise.next()).collect();
        let mut suppressor = NoiseSuppressor::default();
        let clean: Vec<_> = noisy
            .chunks(160)
            .flat_map(|frame| suppressor.push(frame).to_vec())
            .collect();

        let decibels = |of: &[i16], to: &[i16]| 20.0 * (level(of) / level(to).max(0.1)).log10();
        let before_it = begin - 16_000..begin;
        let fallen = decibels(&noisy[before_it.clone()], &clean[before_it]);
        assert!(fallen > 15.0, "{voice:?}: noise falls by {fallen} dB");
        let delay = NoiseSuppressor::DELAY.as_millis() as usize * 16;
        let during = begin..begin + said.len();
        let voice_after = &clean[during.start + delay..during.end + delay];
        let changed = decibels(voice_after, &call[during.clone()]);
        assert!(changed.abs() < 3.0, "{voice:?}: it changes by {changed} dB");
        // In step with what was said, and with nothing before or after.
        let likeness = |shift: usize| {
            let after = &clean[during.start + shift..during.end + shift];
            let both = after.iter().zip(&call[during.clone()]);
            both.map(|(&a, &b)| f64::from(a) * f64::from(b))
                .sum::<f64>()
        };
        let best = (0..2 * delay).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b)));
        assert_eq!(best, Some(delay), "{voice:?}");
    }
}

#[test]
fn turns_that_are_found_without_noise_hold_what_came_over_the_line() {
    let mut line = vec![0; 3 * 16_000];
    line.extend(telephone(&Voice::Joe.say("Transfer me to a live agent.")).samples);
    line.resize(line.len() + 2 * 16_000, 0);
    let mut noise = Noise::at(200);
    for sample in &mut line {
        *sample += noise.next();
    }
    let mut suppressor = NoiseSuppressor::default();
    let mut endpointer = Endpointer::default();
    let events: Vec<_> = line
        .chunks(160)
        .flat_map(|frame| endpointer.push_cleaned(frame, suppressor.push(frame)))
        .collect();
    let [
        Endpoint::SpeechStarted,
        Endpoint::Paused(_),
        Endpoint::TurnEnded(turn),
    ] = &events[..]
    else {
        panic!("{} events", events.len())
    };
    assert!(
        line.windows(turn.pcm.len()).any(|part| part == turn.pcm),
        "the turn was changed"
    );
}

/// Ordinary speech on a telephone, -26 dB of full scale.
const SPEECH: f64 = 0.05 * 32_768.0;

/// What comes back of an agent that is as loud.
const ECHO: f64 = SPEECH * 0.056;

/// `pcm` with that root mean square.
fn at_level(pcm: &[i16], wanted: f64) -> Vec<i16> {
    let gain = wanted / level(pcm);
    let louder = pcm.iter().map(|&sample| f64::from(sample) * gain);
    louder.map(|sample| sample.round() as i16).collect()
}

/// Root mean square.
fn level(pcm: &[i16]) -> f64 {
    (pcm.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / pcm.len() as f64).sqrt()
}

/// White noise that is the same in every run.
struct Noise {
    amplitude: i32,
    seed: u32,
}

impl Noise {
    fn none() -> Self {
        Self::at(0)
    }

    fn at(amplitude: i32) -> Self {
        Self { amplitude, seed: 1 }
    }

    fn next(&mut self) -> i16 {
        self.seed = self
            .seed
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        let unit = i32::from((self.seed >> 16) as i16);
        (unit * self.amplitude / 32_768) as i16
    }
}
