//! The call by audio files, at the pace of a call: the caller's recordings go in, and what the caller would
//! hear comes out. One loop of 10 ms does all of it.

use std::{
    collections::VecDeque,
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use speech::{HEARING_RATE, Pcm, resample};
use tokio::{
    sync::mpsc::{self, error::TryRecvError},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{
    ConsoleError,
    event::{Event, Screen},
    line::{Line, Step},
};
use crate::{
    audio::SPEAKING_RATE,
    call::{Audience, Direction, Input, Outcome, Party, Utterance},
    conversation::{Brain, Done, Mind, Told, expects_answer},
    delivery::{Clip, Delivery},
    ears::{Attention, EarEvent, Ears},
    voice::{Ahead, Voice, Words},
};

const FRAME: Duration = Duration::from_millis(10);

/// Samples of a frame that the agent hears, and of one that the caller does.
const HEARD: usize = HEARING_RATE as usize / 100;
const SPOKEN: usize = SPEAKING_RATE as usize / 100;

/// How long the caller waits for more before the next recording, as people do when it is their turn.
const PAUSE: Duration = Duration::from_millis(500);

/// The same after the last one, before the caller hangs up.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a target who is asked in private thinks before pressing 1.
const TARGET_THINKS: Duration = Duration::from_secs(1);

/// A second of audio. When recognition is further behind than that, the newest audio is lost.
const FRAMES: usize = 100;

/// Turns and answers that wait for the loop; it takes them within 10 ms.
const EVENTS: usize = 8;

/// Who listens, thinks and speaks.
pub(super) struct Agent {
    pub(super) ears: Ears,
    pub(super) brain: Brain,
    pub(super) voice: Voice,
    /// What is said when an answer takes long.
    pub(super) filler: Ahead,
}

/// What the caller hears besides the agent.
pub(super) struct Hold {
    /// The sound for whoever waits for a target.
    pub(super) sound: Option<Pcm>,
    /// Whether it is ringback, which is also heard while a target rings.
    pub(super) rings: bool,
}

/// Reads a recording of the caller, of any rate and any number of channels.
pub(super) fn read(path: &Path) -> Result<Vec<i16>, ConsoleError> {
    let unreadable = |source| ConsoleError::ReadWav {
        path: path.to_owned(),
        source,
    };
    let mut reader = WavReader::open(path).map_err(unreadable)?;
    let spec = reader.spec();
    let samples: Vec<f32> = match spec.sample_format {
        SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>(),
        SampleFormat::Int => {
            let full_scale = (1_u64 << spec.bits_per_sample.saturating_sub(1)) as f32;
            let samples = reader.samples::<i32>();
            samples
                .map(|sample| Ok(sample? as f32 / full_scale))
                .collect()
        }
    }
    .map_err(unreadable)?;
    if samples.is_empty() || spec.sample_rate == 0 {
        return Err(ConsoleError::EmptyWav {
            path: path.to_owned(),
        });
    }
    let channels = usize::from(spec.channels.max(1));
    let mono = samples.chunks(channels).map(|samples| {
        let mean = samples.iter().sum::<f32>() / channels as f32;
        // `as` saturates, which is what a peak above full scale should do.
        (mean * f32::from(i16::MAX)).round() as i16
    });
    let pcm = Pcm {
        sample_rate: spec.sample_rate,
        samples: mono.collect(),
    };
    Ok(resample(&pcm, HEARING_RATE).samples)
}

/// What the caller hears, as a file.
pub(super) struct Recording {
    path: PathBuf,
    writer: WavWriter<BufWriter<File>>,
}

impl Recording {
    pub(super) fn create(path: PathBuf) -> Result<Self, ConsoleError> {
        let spec = WavSpec {
            channels: 1,
            sample_rate: SPEAKING_RATE,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        match WavWriter::create(&path, spec) {
            Ok(writer) => Ok(Self { path, writer }),
            Err(source) => Err(ConsoleError::WriteWav { path, source }),
        }
    }

    fn append(&mut self, samples: &[i16]) -> Result<(), ConsoleError> {
        for sample in samples {
            if let Err(source) = self.writer.write_sample(*sample) {
                let path = self.path.clone();
                return Err(ConsoleError::WriteWav { path, source });
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), ConsoleError> {
        let path = self.path;
        self.writer
            .finalize()
            .map_err(|source| ConsoleError::WriteWav { path, source })
    }
}

/// The caller: says one recording after the other, each when it is the caller's turn.
struct Caller {
    turns: VecDeque<Vec<i16>>,
    saying: Option<(Vec<i16>, usize)>,
    /// Since when it is the caller's turn.
    turn_since: Option<Instant>,
}

impl Caller {
    /// Returns the next 10 ms; `None` when the caller hangs up. `is_its_turn`: nobody else does anything.
    fn frame(&mut self, now: Instant, is_its_turn: bool) -> Option<Vec<i16>> {
        let mut frame = vec![0; HEARD];
        if let Some((samples, at)) = &mut self.saying {
            let piece = &samples[*at..samples.len().min(*at + HEARD)];
            frame[..piece.len()].copy_from_slice(piece);
            *at += piece.len();
            if *at == samples.len() {
                self.saying = None;
            }
            self.turn_since = None;
            return Some(frame);
        }
        if !is_its_turn {
            self.turn_since = None;
            return Some(frame);
        }
        let waited = now.saturating_duration_since(*self.turn_since.get_or_insert(now));
        if waited >= PAUSE
            && let Some(samples) = self.turns.pop_front()
        {
            self.saying = Some((samples, 0));
        }
        (waited < PATIENCE || self.saying.is_some()).then_some(frame)
    }
}

/// The agent's mouth.
#[derive(Default)]
struct Mouth {
    /// The utterance that is being said, or was said last.
    speaking: Option<Speaking>,
    paused: bool,
    /// The filler, and what of it is left. What is to be said waits for its end.
    filling: Option<(Utterance, VecDeque<i16>)>,
}

/// What comes to the caller's ears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sound {
    /// The first 10 ms of it, or the first after a gap.
    Begins(Utterance),
    /// The last that has come; there is more to come.
    Gap(Utterance),
    /// The last.
    Ends(Utterance),
    /// There was nothing in it.
    Nothing(Utterance),
}

struct Speaking {
    utterance: Utterance,
    /// Takes its words; `None` when it has all of them.
    words: Option<Words>,
    pieces: mpsc::Receiver<Clip>,
    delivery: Delivery,
    /// Whether all pieces have come.
    complete: bool,
    /// Whether any of it was said.
    begun: bool,
    /// Whether it is being said, without a gap.
    sounds: bool,
    /// Whether all of it was said.
    over: bool,
    /// Whether it is said to the caller, not to the transfer target in private.
    to_caller: bool,
}

impl Mouth {
    fn begin(
        &mut self,
        utterance: Utterance,
        words: Words,
        pieces: mpsc::Receiver<Clip>,
        to_caller: bool,
    ) {
        self.paused = false;
        self.speaking = Some(Speaking {
            utterance,
            words: Some(words),
            pieces,
            delivery: Delivery::default(),
            complete: false,
            begun: false,
            sounds: false,
            over: false,
            to_caller,
        });
    }

    fn fill(&mut self, utterance: Utterance, filler: &[Pcm]) {
        let samples = filler
            .iter()
            .flat_map(|pcm| resample(pcm, SPEAKING_RATE).samples);
        self.filling = Some((utterance, samples.collect()));
    }

    fn speaking_of(&mut self, utterance: Utterance) -> Option<&mut Speaking> {
        let speaking = self.speaking.as_mut();
        speaking.filter(|speaking| speaking.utterance == utterance)
    }

    fn is_speaking(&self) -> bool {
        self.filling.is_some() || self.has_more()
    }

    fn has_more(&self) -> bool {
        self.speaking
            .as_ref()
            .is_some_and(|speaking| !speaking.over)
    }

    /// Puts the next 10 ms into `frame`, and returns what begins or ends by that.
    fn speak(&mut self, now: Instant, frame: &mut [i16]) -> Option<Sound> {
        if let Some((utterance, samples)) = &mut self.filling {
            let utterance = *utterance;
            for place in frame {
                *place = samples.pop_front().unwrap_or_default();
            }
            return samples.is_empty().then(|| {
                self.filling = None;
                Sound::Ends(utterance)
            });
        }
        let paused = self.paused;
        let speaking = self.speaking.as_mut().filter(|speaking| !speaking.over)?;
        let (begun, sounded) = (speaking.begun, speaking.sounds);
        if !paused {
            speaking.take(false);
            if let Some(samples) = speaking.delivery.next_frame() {
                frame.copy_from_slice(&samples);
                speaking.delivery.queued(now);
                (speaking.begun, speaking.sounds) = (true, true);
                speaking.take(false);
            }
        }
        if speaking.sounds && !sounded {
            return Some(Sound::Begins(speaking.utterance));
        }
        let is_dry = speaking.delivery.next_frame().is_none();
        speaking.over = speaking.complete && is_dry;
        if speaking.over {
            let end = if begun { Sound::Ends } else { Sound::Nothing };
            return Some(end(speaking.utterance));
        }
        speaking.sounds &= paused || !is_dry;
        (sounded && !speaking.sounds).then_some(Sound::Gap(speaking.utterance))
    }

    /// Returns whether something was being said.
    fn pause(&mut self, now: Instant) -> bool {
        let Some(speaking) = self.speaking.as_mut().filter(|speaking| !speaking.over) else {
            return false;
        };
        speaking.take(true);
        speaking.delivery.pause(now);
        self.paused = true;
        true
    }

    /// Returns whether there is something that goes on.
    fn resume(&mut self) -> bool {
        std::mem::take(&mut self.paused) && self.has_more()
    }

    /// Ends the utterance, and returns what the caller has heard of it.
    fn conclude(&mut self, now: Instant) -> Option<String> {
        self.paused = false;
        self.filling = None;
        let speaking = self.speaking.take()?;
        speaking.to_caller.then(|| speaking.delivery.words(now))
    }
}

impl Speaking {
    /// Takes pieces that have come: all of them, or as many as the next frame needs.
    fn take(&mut self, all: bool) {
        while !self.complete && (all || self.delivery.next_frame().is_none()) {
            match self.pieces.try_recv() {
                Ok(clip) => {
                    let pcm = resample(&clip.pcm, SPEAKING_RATE);
                    self.delivery.take(Clip { pcm, ..clip });
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => self.complete = true,
            }
        }
    }
}

/// A call by audio files.
pub(super) struct Talk<'s> {
    line: Line,
    screen: &'s mut Screen,
    caller: Caller,
    mouth: Mouth,
    hold: Hold,
    /// How much of the hold sound was heard.
    held: usize,
    recording: Option<Recording>,
    attention: Attention,
    voice: Voice,
    filler: Ahead,
    to_ears: mpsc::Sender<Vec<i16>>,
    heard: mpsc::Receiver<EarEvent>,
    /// What the agent has done since the last thought, as far as the caller has heard it.
    done: Vec<Done>,
    mind: Mind,
    /// The ears and the mind's work; they end with this.
    _tasks: JoinSet<()>,
    /// Whether the agent has the first word, and has not begun it.
    agent_first: bool,
    thinking: bool,
    /// Whether words of the caller are on their way through the ears.
    hearing: bool,
}

impl<'s> Talk<'s> {
    pub(super) fn new(
        line: Line,
        direction: Direction,
        agent: Agent,
        recordings: Vec<Vec<i16>>,
        hold: Hold,
        recording: Option<Recording>,
        screen: &'s mut Screen,
    ) -> Self {
        let (to_ears, frames) = mpsc::channel(FRAMES);
        let (events, heard) = mpsc::channel(EVENTS);
        let (mind, thinks) = Mind::start(agent.brain);
        let attention = agent.ears.attention();
        let mut tasks = JoinSet::new();
        tasks.spawn(agent.ears.listen(frames, events));
        tasks.spawn(thinks);
        Self {
            line,
            screen,
            caller: Caller {
                turns: recordings.into(),
                saying: None,
                turn_since: None,
            },
            mouth: Mouth::default(),
            hold,
            held: 0,
            recording,
            attention,
            voice: agent.voice,
            filler: agent.filler,
            done: Vec::new(),
            to_ears,
            heard,
            mind,
            _tasks: tasks,
            agent_first: direction == Direction::Inbound,
            thinking: false,
            hearing: false,
        }
    }

    /// Talks until the call has ended, in real time.
    pub(super) async fn run(mut self) -> Result<Outcome, ConsoleError> {
        let mut pace = interval(FRAME);
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let outcome = loop {
            if let Some(outcome) = self.follow()? {
                break outcome;
            }
            tokio::select! {
                _ = pace.tick() => self.frame(Instant::now())?,
                Some(event) = self.heard.recv() => self.hear(event),
                Some(told) = self.mind.told() => {
                    if let Told::Reply { expects_number, .. } = &told {
                        self.thinking = false;
                        self.attention.expect_number(*expects_number);
                    }
                    self.line.told(Instant::now(), told);
                }
            }
        };
        if let Some(recording) = self.recording {
            recording.finish()?;
        }
        Ok(outcome)
    }

    /// Does what the call wants done.
    fn follow(&mut self) -> Result<Option<Outcome>, ConsoleError> {
        self.screen.set_time(Instant::now());
        while let Some(step) = self.line.poll_step() {
            match step {
                Step::Show(event) => self.screen.show(&event)?,
                Step::Think(heard) => {
                    self.thinking = true;
                    self.conclude_speech();
                    self.mind.think(std::mem::take(&mut self.done), heard);
                }
                Step::Say(utterance, text) => self.say(utterance, text),
                Step::Finish(utterance) => {
                    if let Some(speaking) = self.mouth.speaking_of(utterance) {
                        speaking.words = None;
                    }
                }
                Step::Fill(utterance) => {
                    self.attention.agent_speaks(true);
                    self.mouth.fill(utterance, &self.filler);
                }
                Step::Press(keys) => {
                    self.conclude_speech();
                    self.done.push(Done::Pressed(keys));
                }
                Step::StopSpeaking => {
                    let was_speaking = self.mouth.is_speaking();
                    self.conclude_speech();
                    if was_speaking {
                        self.attention.agent_speaks(false);
                        self.screen.show(&Event::StoppedSpeaking)?;
                    }
                }
                Step::PauseSpeaking => {
                    if self.mouth.pause(Instant::now()) {
                        self.attention.agent_speaks(false);
                        self.screen.show(&Event::Paused)?;
                    }
                }
                Step::ResumeSpeaking => {
                    if self.mouth.resume() {
                        self.attention.agent_speaks(true);
                        self.screen.show(&Event::Resumed)?;
                    }
                }
                Step::End(outcome) => return Ok(Some(outcome)),
            }
        }
        Ok(None)
    }

    fn say(&mut self, utterance: Utterance, text: String) {
        let expects_answer = expects_answer(&text);
        if let Some(speaking) = self.mouth.speaking_of(utterance) {
            if let Some(words) = &speaking.words {
                words.add(text);
            }
            if expects_answer {
                self.attention.expect_answer(true);
            }
            return;
        }
        self.agent_first = false;
        self.attention.agent_speaks(true);
        self.attention.expect_answer(expects_answer);
        self.conclude_speech();
        let (words, pieces) = self.voice.begin(text);
        let to_caller = self.line.party() == Party::Caller;
        self.mouth.begin(utterance, words, pieces, to_caller);
    }

    /// Lets 10 ms pass.
    fn frame(&mut self, now: Instant) -> Result<(), ConsoleError> {
        let audience = self.line.audience();
        let mut frame = [0; SPOKEN];
        let spoken = self.mouth.speak(now, &mut frame);
        match audience {
            Audience::Caller if !(self.line.rings() && self.hold.rings) => self.held = 0,
            Audience::Caller | Audience::Target => self.hold(&mut frame),
            Audience::Together => frame = [0; SPOKEN],
        }
        if let Some(recording) = &mut self.recording {
            recording.append(&frame)?;
        }
        match self.caller.frame(now, self.is_callers_turn()) {
            Some(frame) if audience == Audience::Caller => {
                // When the ears are behind by a second the newest audio is lost, as in a call.
                self.to_ears.try_send(frame).ok();
            }
            Some(_) => {}
            None => self.line.handle(now, Input::PhoneLeft),
        }
        let spoken = spoken.map(|sound| match sound {
            Sound::Begins(utterance) => Input::Sounds(utterance),
            Sound::Gap(utterance) => Input::Underrun(utterance),
            Sound::Ends(utterance) => Input::Spoke(utterance),
            Sound::Nothing(utterance) => Input::Unspoken(utterance),
        });
        if let Some(input @ (Input::Sounds(_) | Input::Underrun(_))) = spoken {
            let sounds = matches!(input, Input::Sounds(_));
            self.attention.agent_speaks(sounds);
            self.line.handle(now, input);
        } else if let Some(input) = spoken {
            self.attention.agent_speaks(false);
            self.line.handle(now, input);
            if audience == Audience::Target && self.line.audience() == Audience::Target {
                let from = Party::Target;
                let key = Input::Key { from, key: '1' };
                self.line.schedule(now + TARGET_THINKS, key);
            }
        }
        self.line.advance(now);
        Ok(())
    }

    /// Remembers for the conversation what has been heard of the last utterance, which has ended.
    fn conclude_speech(&mut self) {
        let said = self.mouth.conclude(Instant::now());
        self.done.extend(said.map(Done::Said));
    }

    fn hold(&mut self, frame: &mut [i16]) {
        let sound = self
            .hold
            .sound
            .as_ref()
            .map_or(&[][..], |sound| &sound.samples);
        let sound = sound
            .iter()
            .copied()
            .cycle()
            .skip(self.held % sound.len().max(1));
        let sound = sound.chain(std::iter::repeat(0));
        for (place, sample) in frame.iter_mut().zip(sound) {
            *place = sample;
        }
        self.held += frame.len();
    }

    /// Whether nobody but the caller has anything to do.
    fn is_callers_turn(&self) -> bool {
        let nobody_does = !self.mouth.is_speaking() && !self.thinking && !self.hearing;
        nobody_does && !self.agent_first && self.line.next_due().is_none()
    }

    fn hear(&mut self, event: EarEvent) {
        let input = match event {
            EarEvent::SpeechStarted => {
                self.hearing = true;
                Input::SpeechStarted
            }
            EarEvent::SpeechEnded { at } => Input::SpeechEnded { at },
            EarEvent::Drafted { .. } => return,
            EarEvent::Unrecognised => {
                self.hearing = false;
                Input::Unrecognised
            }
            EarEvent::Turn { first, second, .. } => {
                self.hearing = false;
                Input::Turn { first, second }
            }
        };
        self.line.handle(Instant::now(), input);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_of_any_kind_are_heard_in_mono_at_the_rate_of_the_ears() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, spec: WavSpec, write: &dyn Fn(&mut WavWriter<BufWriter<File>>)| {
            let path = dir.path().join(name);
            let mut writer = WavWriter::create(&path, spec).unwrap();
            write(&mut writer);
            writer.finalize().unwrap();
            path
        };
        let spec = |channels, sample_rate, bits_per_sample, sample_format| WavSpec {
            channels,
            sample_rate,
            bits_per_sample,
            sample_format,
        };
        let plain = write(
            "plain.wav",
            spec(1, 16_000, 16, SampleFormat::Int),
            &|out| {
                (0..160).for_each(|_| out.write_sample(1_000_i16).unwrap());
            },
        );
        let heard = read(&plain).unwrap();
        assert_eq!(heard.len(), 160);
        assert!(heard.iter().all(|sample| sample.abs_diff(1_000) <= 1));

        let stereo = write(
            "stereo.wav",
            spec(2, 48_000, 32, SampleFormat::Float),
            &|out| {
                for _ in 0..4_800 {
                    out.write_sample(0.5_f32).unwrap();
                    out.write_sample(0.0_f32).unwrap();
                }
            },
        );
        let heard = read(&stereo).unwrap();
        assert_eq!(heard.len(), 1_600);
        assert!(heard[800].abs_diff(i16::MAX / 4) < 100, "{}", heard[800]);

        let empty = write("empty.wav", spec(1, 16_000, 16, SampleFormat::Int), &|_| {});
        assert!(matches!(read(&empty), Err(ConsoleError::EmptyWav { .. })));
        let text = dir.path().join("text.wav");
        std::fs::write(&text, "hello").unwrap();
        assert!(matches!(read(&text), Err(ConsoleError::ReadWav { .. })));
    }

    #[test]
    fn the_caller_waits_for_the_turn_says_all_and_hangs_up() {
        let start = Instant::now();
        let mut caller = Caller {
            turns: [vec![1; HEARD * 3 / 2], vec![2; HEARD]].into(),
            saying: None,
            turn_since: None,
        };
        let mut ticks = 0;
        // The time in frames when each thing was said, and what.
        let mut said = Vec::new();
        let end = loop {
            let now = start + FRAME * ticks;
            let Some(frame) = caller.frame(now, ticks >= 100) else {
                break ticks;
            };
            if frame[0] != 0 {
                let silent = frame.iter().filter(|sample| **sample == 0).count();
                said.push((ticks, frame[0], silent));
            }
            ticks += 1;
        };
        // Half a second from frame 100 on, then again from the end of the first recording.
        assert_eq!(said, [(151, 1, 0), (152, 1, HEARD / 2), (204, 2, 0)]);
        assert_eq!(end, 505);
    }

    #[tokio::test]
    async fn what_is_said_is_over_with_its_last_sample_and_keeps_what_is_paused() {
        let start = Instant::now();
        let (pieces, receiver) = mpsc::channel(2);
        let clip = |begins: Option<&str>| Clip {
            pcm: Pcm {
                sample_rate: SPEAKING_RATE,
                samples: vec![1_000; SPOKEN],
            },
            begins: begins.map(str::to_owned),
            ends: begins.is_none(),
        };
        pieces.try_send(clip(Some("Hello."))).unwrap();
        let mut mouth = Mouth::default();
        let (words, _) = Voice::new(None, None).begin("Hello.".to_owned());
        mouth.begin(Utterance(1), words, receiver, true);
        let mut frame = [0; SPOKEN];
        let begins = Some(Sound::Begins(Utterance(1)));
        assert_eq!(mouth.speak(start, &mut frame), begins);
        assert_eq!(frame, [1_000; SPOKEN]);

        // There is more to come.
        let gap = Some(Sound::Gap(Utterance(1)));
        assert_eq!(mouth.speak(start + FRAME, &mut frame), gap);
        assert_eq!(mouth.speak(start + FRAME, &mut frame), None);

        pieces.try_send(clip(None)).unwrap();
        drop(pieces);
        assert!(mouth.pause(start + FRAME));
        frame = [0; SPOKEN];
        assert_eq!(mouth.speak(start + FRAME, &mut frame), None);
        assert_eq!(frame, [0; SPOKEN], "it is silent meanwhile");
        assert!(mouth.resume());

        let sounds = (2..100).filter_map(|tick| mouth.speak(start + FRAME * tick, &mut frame));
        let ends = Sound::Ends(Utterance(1));
        assert_eq!(
            sounds.collect::<Vec<_>>(),
            [Sound::Begins(Utterance(1)), ends]
        );
        assert!(!mouth.is_speaking());
        let heard = mouth.conclude(start + FRAME * 200);
        assert_eq!(heard.as_deref(), Some("Hello."));
    }
}
