//! The call by keyboard. Its clock goes on while somebody speaks, a phone rings or the person wants silence,
//! and stands still while the person thinks.

use std::{
    io::{self, BufRead as _},
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::JoinSet};

use super::{
    ConsoleError,
    event::{Screen, Who},
    line::{Line, Step},
    typed::{HELP, Typed},
};
use crate::{
    call::{Audience, Input, Outcome, Party, Utterance},
    conversation::{Brain, Done, Mind, Told, has_number},
    voice::CHARACTERS_PER_SECOND,
};

/// How long the caller needs to open the mouth: an agent that speaks first has begun by then.
const OPENING: Duration = Duration::from_secs(1);

/// Lines that wait; who types makes one in some seconds, and a script waits.
const LINES: usize = 1;

/// A call by keyboard.
pub(super) struct Talk<'s> {
    line: Line,
    mind: Mind,
    /// The mind's work; it ends with this.
    _tasks: JoinSet<()>,
    thinking: bool,
    expects_number: bool,
    screen: &'s mut Screen,
    now: Instant,
    /// What is being said.
    saying: Option<Saying>,
    /// What the agent has done since the last thought, as far as the caller has heard it.
    done: Vec<Done>,
}

/// An utterance that has not all its words yet.
struct Saying {
    utterance: Utterance,
    words: String,
    to: Party,
    /// When what it has is said.
    until: Instant,
}

impl<'s> Talk<'s> {
    /// `now` is when `line` began.
    pub(super) fn new(line: Line, brain: Brain, screen: &'s mut Screen, now: Instant) -> Self {
        let (mind, thinks) = Mind::start(brain);
        let mut tasks = JoinSet::new();
        tasks.spawn(thinks);
        Self {
            line,
            mind,
            _tasks: tasks,
            thinking: false,
            expects_number: false,
            screen,
            now,
            saying: None,
            done: Vec::new(),
        }
    }

    /// Talks until the call has ended. The end of the input hangs up.
    pub(super) async fn run(mut self) -> Result<Outcome, ConsoleError> {
        let mut lines = lines();
        let mut number = 0;
        if let Some(outcome) = self.pass(self.now + OPENING).await? {
            return Ok(outcome);
        }
        loop {
            self.screen.prompt(Who::from(self.line.party()))?;
            let line = lines
                .recv()
                .await
                .transpose()
                .map_err(ConsoleError::Stdin)?;
            number += 1;
            if line.is_some() {
                self.screen.answered();
            }
            let typed = match line.as_deref().map(str::parse) {
                None => Typed::HangUp,
                Some(Ok(typed)) => typed,
                Some(Err(error)) if self.screen.is_typed() => {
                    self.screen.note(&error.to_string())?;
                    continue;
                }
                Some(Err(source)) => {
                    return Err(ConsoleError::Script {
                        line: number,
                        source,
                    });
                }
            };
            if let Some(outcome) = self.type_in(typed).await? {
                return Ok(outcome);
            }
        }
    }

    async fn type_in(&mut self, typed: Typed) -> Result<Option<Outcome>, ConsoleError> {
        match typed {
            Typed::Nothing => {}
            Typed::Words(_) | Typed::Keys(_) if self.line.audience() == Audience::Together => {
                self.screen.note(
                    "Caller and target talk, and the agent does not listen; /hang-up ends it.",
                )?;
            }
            Typed::Words(words) => return self.speak(words).await,
            Typed::Keys(keys) => {
                for key in keys {
                    let from = self.line.party();
                    let key = key.into();
                    self.line.handle(self.now, Input::Key { from, key });
                    if let Some(outcome) = self.settle().await? {
                        return Ok(Some(outcome));
                    }
                }
            }
            Typed::Silence(Some(time)) => return self.pass(self.now + time).await,
            Typed::Silence(None) => match self.line.poll_timeout() {
                Some(until) => return self.pass(until).await,
                None => self.screen.note("Nobody is waiting for anything.")?,
            },
            Typed::Next(ending) => self.screen.note(&self.line.next_ending(ending))?,
            Typed::Connected => self.screen.note(self.line.connect())?,
            Typed::HangUp => {
                self.line.handle(self.now, Input::PhoneLeft);
                return self.settle().await;
            }
            Typed::Help => self.screen.note(HELP)?,
        }
        Ok(None)
    }

    async fn speak(&mut self, words: String) -> Result<Option<Outcome>, ConsoleError> {
        self.line.handle(self.now, Input::SpeechStarted);
        if let Some(outcome) = self.settle().await? {
            return Ok(Some(outcome));
        }
        self.now += duration(&words);
        // Two recognitions of what is typed are the same.
        let is_heard_twice = has_number(&words) || self.expects_number;
        let second = is_heard_twice.then(|| words.clone());
        let first = words;
        self.line.handle(self.now, Input::Turn { first, second });
        self.settle().await
    }

    /// Lets time pass until `until`, and longer if something is going on then.
    async fn pass(&mut self, until: Instant) -> Result<Option<Outcome>, ConsoleError> {
        loop {
            if let Some(outcome) = self.settle().await? {
                return Ok(Some(outcome));
            }
            match self.line.poll_timeout() {
                Some(timeout) if timeout <= until => {
                    self.now = self.now.max(timeout);
                    self.line.advance(self.now);
                }
                Some(_) | None => {
                    self.now = self.now.max(until);
                    return Ok(None);
                }
            }
        }
    }

    /// Lets everything happen that does without the person.
    async fn settle(&mut self) -> Result<Option<Outcome>, ConsoleError> {
        loop {
            self.screen.set_time(self.now);
            while let Some(step) = self.line.poll_step() {
                match step {
                    Step::Show(event) => self.screen.show(&event)?,
                    Step::Think(heard) => {
                        self.thinking = true;
                        self.mind.think(std::mem::take(&mut self.done), heard);
                    }
                    Step::Say(utterance, text) => self.say(utterance, &text),
                    Step::Finish(utterance) => self.finish(utterance),
                    Step::Fill(utterance) => self.line.schedule(self.now, Input::Spoke(utterance)),
                    Step::Press(keys) => self.done.push(Done::Pressed(keys)),
                    Step::StopSpeaking => self.line.unschedule_speech(),
                    // All has been said before anybody can type.
                    Step::PauseSpeaking | Step::ResumeSpeaking => {}
                    Step::End(outcome) => return Ok(Some(outcome)),
                }
            }
            if self.thinking {
                let told = self.mind.told().await;
                let told = told.expect("the conversation lasts as long as the call");
                if let Told::Reply { expects_number, .. } = told {
                    (self.thinking, self.expects_number) = (false, expects_number);
                }
                self.line.told(self.now, told);
                continue;
            }
            let Some(due) = self.line.next_due() else {
                return Ok(None);
            };
            let next = self
                .line
                .poll_timeout()
                .map_or(due, |timeout| timeout.min(due));
            self.now = self.now.max(next);
            self.line.advance(self.now);
        }
    }

    fn say(&mut self, utterance: Utterance, text: &str) {
        let to = self.line.party();
        let saying = self.saying.take();
        let said = saying.filter(|saying| saying.utterance == utterance);
        let mut saying = said.unwrap_or_else(|| {
            self.line.schedule(self.now, Input::Sounds(utterance));
            Saying {
                utterance,
                words: String::new(),
                to,
                until: self.now,
            }
        });
        if !saying.words.is_empty() {
            saying.words.push(' ');
        }
        saying.words.push_str(text);
        saying.until += duration(text);
        self.saying = Some(saying);
    }

    fn finish(&mut self, finished: Utterance) {
        let Some(saying) = self.saying.take_if(|saying| saying.utterance == finished) else {
            return;
        };
        self.line.schedule(saying.until, Input::Spoke(finished));
        if saying.to == Party::Caller {
            self.done.push(Done::Said(saying.words));
        }
    }
}

fn duration(text: &str) -> Duration {
    Duration::from_secs_f64(text.chars().count() as f64 / CHARACTERS_PER_SECOND)
}

/// Reads standard input, on a thread of its own: nothing can interrupt a read, and the end of the process
/// does not wait for the thread.
pub(super) fn lines() -> mpsc::Receiver<io::Result<String>> {
    let (lines, receiver) = mpsc::channel(LINES);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let line = match input.read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => Ok(String::from_utf8_lossy(&line).into_owned()),
                Err(error) => Err(error),
            };
            let is_last = line.is_err();
            if lines.blocking_send(line).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}
