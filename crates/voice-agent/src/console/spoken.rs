//! The call by ear and mouth, at the pace of a call: what the caller says goes in, from recordings or a microphone,
//! and what the caller would hear comes out. One loop of 10 ms does all of it.

use std::{
    future::pending,
    io,
    time::{Duration, Instant},
};

use speech::Pcm;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{
    ConsoleError,
    event::{Event, Screen},
    line::{Line, Step},
    mouth::{Audible, Mouth},
    sound::Sound,
    text::lines,
    typed::{HELP, Typed, TypedError},
    wav::{Recording, Script},
};
use crate::{
    audio::SPEAKING_RATE,
    call::{Audience, Direction, Input, Outcome, Party, Utterance},
    conversation::{Brain, Done, Heard, Mind, Told},
    ears::{Attention, EarEvent, Ears},
    voice::{Ahead, Voice},
};

const FRAME: Duration = Duration::from_millis(10);

/// Samples of a frame that the caller hears.
const SPOKEN: usize = SPEAKING_RATE as usize / 100;

/// How long a target who is asked in private thinks before pressing 1.
const TARGET_THINKS: Duration = Duration::from_secs(1);

/// A second of audio. When recognition is further behind than that, the newest audio is lost.
const FRAMES: usize = 100;

/// Turns and answers that wait for the loop; it takes them within 10 ms.
const EVENTS: usize = 8;

/// Who speaks to the agent.
pub(super) enum Caller {
    Script(Script),
    /// Whoever sits at this machine.
    Sound(Sound),
}

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

/// A call by ear and mouth.
pub(super) struct Talk<'s> {
    line: Line,
    screen: &'s mut Screen,
    caller: Caller,
    /// What is typed beside the talk; `None` once nothing more will be.
    typed: Option<mpsc::Receiver<io::Result<String>>>,
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
        caller: Caller,
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
            typed: match &caller {
                Caller::Script(_) => None,
                Caller::Sound(_) => Some(lines()),
            },
            caller,
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
                line = typed(&mut self.typed) => self.type_in(line)?,
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
        if let Some(speaking) = self.mouth.speaking_of(utterance) {
            if let Some(words) = &speaking.words {
                words.add(text.clone());
            }
            self.attention.agent_goes_on(&text);
            return;
        }
        self.agent_first = false;
        self.attention.agent_speaks(true);
        self.attention.agent_says(&text);
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
        let is_callers_turn = self.is_callers_turn();
        let said = match &mut self.caller {
            Caller::Script(script) => script.frame(now, is_callers_turn),
            Caller::Sound(sound) => {
                sound.play(&frame);
                Some(sound.heard(now)?)
            }
        };
        match said {
            Some(samples) if audience == Audience::Caller && !samples.is_empty() => {
                // When the ears are behind by a second the newest audio is lost, as in a call.
                self.to_ears.try_send(samples).ok();
            }
            Some(_) => {}
            None => self.line.handle(now, Input::PhoneLeft),
        }
        let spoken = spoken.map(|audible| match audible {
            Audible::Begins(utterance) => Input::Sounds(utterance),
            Audible::Gap(utterance) => Input::Underrun(utterance),
            Audible::Ends(utterance) => Input::Spoke(utterance),
            Audible::Nothing(utterance) => Input::Unspoken(utterance),
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

    /// Thinks of an answer to what may be a whole turn, as in a call.
    fn think_ahead(&mut self, turn: Heard) {
        let now = Instant::now();
        if self.line.would_answer(now, &turn) {
            let heard = self.mouth.heard(now).map(Done::Said);
            let done = self.done.iter().cloned().chain(heard);
            self.mind.think_ahead(done.collect(), turn);
        }
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

    /// Does what was typed beside the talk; the end of the input hangs up.
    fn type_in(&mut self, line: Option<io::Result<String>>) -> Result<(), ConsoleError> {
        let now = Instant::now();
        let line = line.transpose().map_err(ConsoleError::Stdin)?;
        let typed = match line.as_deref().map(str::parse) {
            None => {
                self.typed = None;
                Typed::HangUp
            }
            Some(Ok(typed)) => typed,
            Some(Err(error)) => {
                let error: TypedError = error;
                self.screen.note(&error.to_string())?;
                return Ok(());
            }
        };
        match typed {
            Typed::Nothing => {}
            Typed::Words(_) | Typed::Silence(_) => {
                self.screen
                    .note("Speak: the agent listens to the microphone. /help has the commands.")?;
            }
            Typed::Keys(keys) => {
                for key in keys {
                    let (from, key) = (self.line.party(), key.into());
                    self.line.handle(now, Input::Key { from, key });
                }
            }
            Typed::Next(ending) => self.screen.note(&self.line.next_ending(ending))?,
            Typed::Connected => self.screen.note(self.line.connect())?,
            Typed::HangUp => self.line.handle(now, Input::PhoneLeft),
            Typed::Help => self.screen.note(HELP)?,
        }
        Ok(())
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
            EarEvent::Drafted { first, second } => {
                return self.think_ahead(Heard::Turn { first, second });
            }
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

/// The next line, `None` at the end of the input; waits for ever when nothing is typed. Cancel safe.
async fn typed(
    lines: &mut Option<mpsc::Receiver<io::Result<String>>>,
) -> Option<io::Result<String>> {
    match lines {
        Some(lines) => lines.recv().await,
        None => pending().await,
    }
}
