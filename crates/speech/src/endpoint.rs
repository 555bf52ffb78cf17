//! Voice activity and the end of a turn.

use std::{collections::VecDeque, mem, time::Duration};

use earshot::Detector;

use crate::HEARING_RATE;

/// How long the person must be silent for the turn to be over.
///
/// Longer makes every answer later; shorter cuts people off in mid sentence.
pub const HANG: Duration = Duration::from_millis(500);

/// [`HANG`] while a phone number is being said: people pause between its groups.
pub const NUMBER_HANG: Duration = Duration::from_millis(1200);

/// How long the person must be silent for what was said to be handed over before the turn is known to be over.
///
/// Longer makes the answer later; shorter hands over more that goes on.
pub const PAUSE: Duration = Duration::from_millis(250);

/// The longest turn; what goes on for longer is handed over in pieces of this length.
///
/// Fits the window of [`crate::Pass::First`].
pub const MAX_TURN: Duration = Duration::from_secs(15);

/// The detector's score from which a frame counts as speech that begins.
///
/// The score climbs slowly: a lone "no" ends below 0.7, so that a higher threshold is deaf to answers.
const ON: f32 = 0.55;

/// Nothing softer (-34 dB of full scale, as power) starts a turn while the agent speaks: it is the agent's echo.
///
/// An echo 25 dB below its voice is softer. Higher, and a short "stop" of a soft caller does not interrupt the agent.
const ECHO: f32 = 4.0e-4;

/// How far (6 dB, as a ratio of powers) the loudest sounds of two echoes of the same agent are apart.
const ECHOES_DIFFER: f32 = 4.0;

/// No echo is learned to be louder (-28 dB of full scale, as power): it would not be known from a person.
const LEARNED_ECHO: f32 = 1.6e-3;

/// The score below which a frame of a running turn counts as silence.
const OFF: f32 = 0.45;

/// How far (8 dB, as a ratio of powers) speech must rise above the noise.
///
/// The score alone stays high in the noise after speech, and turns would not end.
const ABOVE_NOISE: f32 = 6.3;

/// The noise is the quietest moment of this many frames (2 s).
const NOISE_WINDOW: usize = 125;

/// The least noise that is assumed (-60 dB of full scale, as power), for lines with digital silence.
const LEAST_NOISE: f32 = 1.0e-6;

/// How far (12 dB, as a ratio of powers) others near the phone must be below the person to take no turn.
///
/// More, and others take turns; less, and a soft "yes" is not heard.
const BELOW_PERSON: f32 = 16.0;

/// How far (18 dB) they must be below the person not to prolong a turn.
///
/// People's last words are softer than their first.
const FAR_BELOW_PERSON: f32 = 63.0;

/// No person is assumed to be louder (-13 dB of full scale, as power), so that a slammed door deafens nobody.
const LOUDEST_PERSON: f32 = 0.05;

/// How fast the level of the person rises to that of louder speech, for each frame.
const RISE: f32 = 0.15;

/// How fast it falls while the person may speak and does not, for each frame: 0.25 dB a second.
///
/// Whoever moves away from the phone is heard again at last.
const FALL: f32 = 0.999_08;

/// What the detector judges at once: 16 ms.
const FRAME: usize = 256;

/// Speech must last for this many frames (64 ms) to start a turn, so a click starts none.
const START_FRAMES: usize = 4;

/// Audio kept from before the start was noticed (400 ms), so that the first word is whole.
const PRE_ROLL: usize = HEARING_RATE as usize * 2 / 5;

/// What [`Endpointer::push`] noticed.
#[derive(Debug, Clone, PartialEq)]
pub enum Endpoint {
    /// The person has begun to speak.
    SpeechStarted,
    /// The person has been silent for [`PAUSE`]: this is the turn, if nothing more is said in it.
    Paused(Turn),
    /// The person speaks again after a pause, in the same turn.
    WentOn,
    /// The person has stopped speaking, or has spoken for [`MAX_TURN`].
    TurnEnded(Turn),
}

/// What the person said, with a little of the silence around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// 16 kHz mono.
    pub pcm: Vec<i16>,
    /// The power of its loudest 16 ms, full scale being 1; without the noise where that is suppressed.
    pub loudest: f32,
    /// How long before the event the last speech was.
    pub silence: Duration,
}

impl Turn {
    /// The audio as [`crate::Whisper::transcribe`] takes it, full scale being 1.
    pub fn samples(&self) -> Vec<f32> {
        self.pcm.iter().map(|&s| f32::from(s) / 32_768.0).collect()
    }
}

/// Finds turns in the audio of one person.
///
/// No clock: time is the audio that was pushed, so feed silence while nothing arrives.
pub struct Endpointer {
    detector: Box<Detector>,
    noise: Noise,
    person: Person,
    agent_speaks: bool,
    /// What is at most as loud may be the agent's echo on this line.
    echo: f32,
    /// What is not judged yet: mostly less than one frame.
    pending: Vec<i16>,
    /// By what it will be judged.
    pending_cleaned: Vec<i16>,
    hang: Duration,
    state: State,
}

enum State {
    Quiet {
        recent: VecDeque<i16>,
        voiced_frames: usize,
    },
    Speaking {
        pcm: Vec<i16>,
        loudest: f32,
        silence: Duration,
    },
}

impl State {
    fn quiet() -> Self {
        Self::Quiet {
            recent: VecDeque::with_capacity(PRE_ROLL + FRAME),
            voiced_frames: 0,
        }
    }
}

impl Default for Endpointer {
    fn default() -> Self {
        Self {
            detector: Detector::default_boxed(),
            noise: Noise::default(),
            person: Person::default(),
            agent_speaks: false,
            echo: ECHO,
            pending: Vec::with_capacity(FRAME),
            pending_cleaned: Vec::with_capacity(FRAME),
            hang: HANG,
            state: State::quiet(),
        }
    }
}

impl Endpointer {
    /// Sets the silence that ends a turn, for the running turn too.
    pub fn set_hang(&mut self, hang: Duration) {
        self.hang = hang;
    }

    /// Says whether the agent's own voice is on the line: what may be its echo starts no turn then.
    pub fn set_agent_speaking(&mut self, speaking: bool) {
        self.agent_speaks = speaking;
    }

    /// Says that a turn was the agent's echo: over its voice, nothing that soft starts a turn any more.
    pub fn learn_echo(&mut self, loudest: f32) {
        let loudest = (loudest * ECHOES_DIFFER).min(LEARNED_ECHO);
        self.echo = self.echo.max(loudest);
    }

    /// Whether a turn is running.
    pub fn is_speaking(&self) -> bool {
        matches!(self.state, State::Speaking { .. })
    }

    /// Takes the next audio, 16 kHz mono and of any length, and says what happened in it, in order.
    pub fn push(&mut self, pcm: &[i16]) -> Vec<Endpoint> {
        self.push_cleaned(pcm, pcm)
    }

    /// The same, judged by `cleaned`: turns are found in that, and hold `pcm`.
    ///
    /// `cleaned` is what a [`crate::NoiseSuppressor`] makes of `pcm`, of which some may still be to come.
    /// Its delay is not made up for: it makes each event as much later.
    pub fn push_cleaned(&mut self, pcm: &[i16], cleaned: &[i16]) -> Vec<Endpoint> {
        let mut events = Vec::new();
        self.pending.extend_from_slice(pcm);
        self.pending_cleaned.extend_from_slice(cleaned);
        let mut pending = mem::take(&mut self.pending);
        let mut pending_cleaned = mem::take(&mut self.pending_cleaned);
        let frames = pending.len().min(pending_cleaned.len()) / FRAME;
        let both = pending
            .chunks_exact(FRAME)
            .zip(pending_cleaned.chunks_exact(FRAME));
        for (frame, cleaned) in both {
            let score = self.detector.predict_i16(cleaned);
            let power = power(cleaned);
            let stands_out = self.noise.is_below(power);
            self.person
                .learn(power, stands_out && score >= ON, !self.agent_speaks);
            let is_near = self.person.is_near(power, self.is_speaking());
            let score = if stands_out && is_near { score } else { 0.0 };
            events.extend(self.judge(frame, score, power));
        }
        pending.drain(..frames * FRAME);
        pending_cleaned.drain(..frames * FRAME);
        (self.pending, self.pending_cleaned) = (pending, pending_cleaned);
        events
    }

    /// Whether a frame of this power may be the agent's echo, and starts nothing.
    fn may_be_echo(&self, power: f32) -> bool {
        self.agent_speaks && power <= self.echo
    }

    fn judge(&mut self, frame: &[i16], score: f32, power: f32) -> Option<Endpoint> {
        let starts = score >= ON && !self.may_be_echo(power);
        match &mut self.state {
            State::Quiet {
                recent,
                voiced_frames,
            } => {
                recent.extend(frame);
                let surplus = recent.len().saturating_sub(PRE_ROLL);
                recent.drain(..surplus);
                *voiced_frames = if starts { *voiced_frames + 1 } else { 0 };
                if *voiced_frames < START_FRAMES {
                    return None;
                }
                self.state = State::Speaking {
                    pcm: mem::take(recent).into(),
                    loudest: power,
                    silence: Duration::ZERO,
                };
                Some(Endpoint::SpeechStarted)
            }
            State::Speaking {
                pcm,
                loudest,
                silence,
            } => {
                pcm.extend_from_slice(frame);
                *loudest = loudest.max(power);
                let silent_before = *silence;
                if score < OFF {
                    *silence += duration(FRAME);
                } else {
                    *silence = Duration::ZERO;
                }
                if *silence < self.hang && duration(pcm.len() + FRAME) <= MAX_TURN {
                    let paused = |silence| silence >= PAUSE;
                    return match (paused(silent_before), paused(*silence)) {
                        (false, true) => Some(Endpoint::Paused(Turn {
                            pcm: pcm.clone(),
                            loudest: *loudest,
                            silence: *silence,
                        })),
                        (true, false) => Some(Endpoint::WentOn),
                        (false, false) | (true, true) => None,
                    };
                }
                let turn = Turn {
                    pcm: mem::take(pcm),
                    loudest: *loudest,
                    silence: *silence,
                };
                self.state = State::quiet();
                Some(Endpoint::TurnEnded(turn))
            }
        }
    }
}

/// The noise on the line, by minimum statistics (Martin 2001, without its bias correction).
struct Noise {
    smoothed: f32,
    recent: VecDeque<f32>,
}

impl Default for Noise {
    fn default() -> Self {
        Self {
            smoothed: LEAST_NOISE,
            recent: VecDeque::from(vec![LEAST_NOISE; NOISE_WINDOW]),
        }
    }
}

impl Noise {
    /// Takes the power of the next frame and tells whether it stands out.
    fn is_below(&mut self, power: f32) -> bool {
        self.smoothed += 0.3 * (power - self.smoothed);
        self.recent.pop_front();
        self.recent.push_back(self.smoothed);
        let noise = self.recent.iter().copied().fold(f32::MAX, f32::min);
        power > noise.max(LEAST_NOISE) * ABOVE_NOISE
    }
}

/// How loud the person is, as power: the loudest who has spoken on the line.
#[derive(Default)]
struct Person {
    level: f32,
}

impl Person {
    /// Takes the power of the next frame: what `is_speech` counts. The level does not fall while the person only
    /// listens.
    fn learn(&mut self, power: f32, is_speech: bool, may_speak: bool) {
        if is_speech && power > self.level {
            self.level += RISE * (power.min(LOUDEST_PERSON) - self.level).max(0.0);
        } else if may_speak {
            self.level *= FALL;
        }
    }

    /// Whether a frame of this power is loud enough for the person, who takes a turn or goes on with one.
    fn is_near(&self, power: f32, in_turn: bool) -> bool {
        let below = if in_turn {
            FAR_BELOW_PERSON
        } else {
            BELOW_PERSON
        };
        power * below > self.level
    }
}

/// The power of a frame, full scale being 1.
fn power(frame: &[i16]) -> f32 {
    let squares = frame.iter().map(|&s| (f32::from(s) / 32_768.0).powi(2));
    squares.sum::<f32>() / frame.len() as f32
}

fn duration(samples: usize) -> Duration {
    Duration::from_micros(samples as u64 * 1_000_000 / u64::from(HEARING_RATE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Drives the state machine with scores in place of audio: one frame for each score, as soft as an echo.
    fn run(endpointer: &mut Endpointer, scores: &[(f32, u64)]) -> Vec<(u64, Endpoint)> {
        let mut now = 0;
        let mut events = vec![];
        for (score, ms) in scores {
            for _ in 0..ms / 16 {
                now += 16;
                let event = endpointer.judge(&[0; FRAME], *score, ECHO);
                events.extend(event.map(|event| (now, event)));
            }
        }
        events
    }

    fn times(events: &[(u64, Endpoint)]) -> Vec<(u64, &'static str)> {
        events
            .iter()
            .map(|(at, event)| match event {
                Endpoint::SpeechStarted => (*at, "started"),
                Endpoint::Paused(_) => (*at, "paused"),
                Endpoint::WentOn => (*at, "went on"),
                Endpoint::TurnEnded(_) => (*at, "ended"),
            })
            .collect()
    }

    #[test]
    fn a_turn_starts_after_64_ms_and_ends_after_the_hang() {
        let events = run(
            &mut Endpointer::default(),
            &[(0.0, 800), (0.9, 320), (0.1, 800)],
        );
        assert_eq!(
            times(&events),
            [(864, "started"), (1376, "paused"), (1632, "ended")]
        );
        let [
            _,
            (_, Endpoint::Paused(draft)),
            (_, Endpoint::TurnEnded(turn)),
        ] = &events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!(draft.silence, Duration::from_millis(256));
        assert!(turn.pcm.starts_with(&draft.pcm));
        assert_eq!(turn.silence, Duration::from_millis(512));
        // 400 ms up to the start, the rest of the speech, the hang.
        assert_eq!(duration(turn.pcm.len()).as_millis(), 400 + 320 - 64 + 512);
    }

    #[test]
    fn a_click_starts_nothing() {
        let clicks = [(0.95, 48), (0.1, 96), (0.95, 48), (0.1, 96)];
        assert_eq!(run(&mut Endpointer::default(), &clicks), []);
    }

    #[test]
    fn a_pause_shorter_than_the_hang_does_not_end_the_turn() {
        let speech = [(0.9, 480), (0.1, 480), (0.9, 480), (0.1, 640)];
        let events = run(&mut Endpointer::default(), &speech);
        let paused = [(736, "paused"), (976, "went on"), (1696, "paused")];
        let [start, between @ .., end] = &times(&events)[..] else {
            panic!("{events:?}")
        };
        assert_eq!([start, end], [&(64, "started"), &(1952, "ended")]);
        assert_eq!(between, paused);
    }

    #[test]
    fn a_longer_hang_waits_for_the_next_group_of_digits() {
        let mut endpointer = Endpointer::default();
        endpointer.set_hang(NUMBER_HANG);
        let speech = [(0.9, 480), (0.1, 800), (0.9, 480), (0.1, 1600)];
        let times = times(&run(&mut endpointer, &speech));
        let ended = times.last();
        assert_eq!(ended, Some(&(2960, "ended")), "{times:?}");
    }

    #[test]
    fn between_the_thresholds_a_turn_goes_on_but_does_not_begin() {
        assert_eq!(run(&mut Endpointer::default(), &[(0.5, 1600)]), []);
        let events = run(&mut Endpointer::default(), &[(0.9, 80), (0.5, 4000)]);
        assert_eq!(times(&events), [(64, "started")]);
    }

    #[test]
    fn over_the_agent_nothing_as_soft_as_its_echo_starts_a_turn() {
        let mut endpointer = Endpointer::default();
        let can_start = |endpointer: &Endpointer, power| !endpointer.may_be_echo(power);
        assert!(can_start(&endpointer, ECHO), "the agent is silent");
        endpointer.set_agent_speaking(true);
        assert!(!can_start(&endpointer, ECHO));
        assert_eq!(run(&mut endpointer, &[(0.9, 1600)]), []);
        assert!(can_start(&endpointer, 2.0 * ECHO));
        endpointer.learn_echo(2.0 * ECHO);
        assert!(!can_start(&endpointer, 2.0 * ECHO), "it is louder here");
        endpointer.learn_echo(0.01 * ECHO);
        assert!(!can_start(&endpointer, 2.0 * ECHO), "the louder one counts");
        endpointer.learn_echo(1.0);
        assert!(
            can_start(&endpointer, LEARNED_ECHO * 1.1),
            "a person is heard"
        );
    }

    #[test]
    fn steady_noise_is_learned_and_speech_stands_out() {
        let mut noise = Noise::default();
        let power = |amplitude: i16| power(&[amplitude; FRAME]);
        assert!(noise.is_below(power(300)), "before it is known");
        for _ in 0..2 * NOISE_WINDOW {
            noise.is_below(power(300));
        }
        assert!(!noise.is_below(power(300)));
        assert!(noise.is_below(power(3000)));
    }

    /// A line on which somebody has spoken for half a second.
    fn after(power: f32) -> Person {
        let mut person = Person::default();
        for _ in 0..30 {
            person.learn(power, true, true);
        }
        person
    }

    #[test]
    fn who_is_much_quieter_than_the_person_is_somebody_else() {
        let (soft, other, far) = (0.001, 0.000_5, 0.000_1);
        assert!(Person::default().is_near(far, false), "nobody is known");
        let person = after(0.01);
        let near = [0.01, soft, other, far].map(|power| person.is_near(power, false));
        assert_eq!(near, [true, true, false, false]);
        let goes_on = [0.01, soft, other, far].map(|power| person.is_near(power, true));
        assert_eq!(goes_on, [true, true, true, false]);
    }

    #[test]
    fn who_moves_away_from_the_phone_is_heard_again() {
        let mut person = after(0.01);
        let minute = 60 * HEARING_RATE as usize / FRAME;
        for _ in 0..minute {
            person.learn(0.0, false, false);
        }
        assert!(!person.is_near(0.000_5, false), "the agent spoke");
        for _ in 0..minute {
            person.learn(0.0, false, true);
        }
        assert!(person.is_near(0.000_5, false));
    }

    #[test]
    fn a_click_makes_nobody_quiet() {
        let mut person = after(0.002);
        person.learn(1.0, true, true);
        assert!(person.is_near(0.002, false));
    }

    #[test]
    fn an_endless_turn_is_cut() {
        let events = run(&mut Endpointer::default(), &[(0.9, 40_000)]);
        let kinds: Vec<_> = times(&events).into_iter().map(|(_, kind)| kind).collect();
        assert_eq!(kinds, ["started", "ended", "started", "ended", "started"]);
        for (_, event) in events {
            if let Endpoint::TurnEnded(turn) = event {
                assert!(duration(turn.pcm.len()) <= MAX_TURN);
            }
        }
    }

    #[test]
    fn the_length_of_the_pushes_does_not_matter() {
        let noise: Vec<i16> = (0..32_000u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 18) as i16)
            .collect();
        let run = |length: usize| -> Vec<Endpoint> {
            let mut endpointer = Endpointer::default();
            noise
                .chunks(length)
                .flat_map(|pcm| endpointer.push(pcm))
                .collect()
        };
        assert_eq!(run(160), run(1));
        assert_eq!(run(160), run(32_000));
    }
}
