//! The line to Deepgram, for as long as a call lasts.
//!
//! It is opened with the first frame and again whenever it has broken, unless Deepgram is left alone just
//! then; when nobody stands in for it, it is tried all the same. Positions are those of the call's audio.

use std::{collections::VecDeque, future::pending, ops::Range, time::Duration};

use sip_config::DeepgramStt;
use speech::{HEARING_RATE, Turn};
use speech_cloud::{
    Listen, ListenError, Pause,
    listen::{Command, Noticed, ServerMessage, Words},
};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinSet},
    time::Instant,
};
use tracing::{Instrument as _, Span, debug};

use crate::vendor::Vendor;

/// Frames that wait for the connection: three seconds. Deepgram is as good as dead when it takes no more.
const FRAMES_AHEAD: usize = 300;

/// Messages that wait for the ears.
const MESSAGES: usize = 64;

/// How long after the agent has spoken its echo may come back.
const ECHO: Duration = Duration::from_millis(300);

/// How long after a failure Deepgram is tried again when nobody stands in for it, whatever else holds.
const RETRY: Duration = Duration::from_secs(2);

const CONSEQUENCE: &str = "this machine listens until Deepgram answers again";

const NO_STAND_IN: &str = "nobody listens until Deepgram answers again";

pub(super) struct Line {
    settings: DeepgramStt,
    vendor: Vendor,
    /// Whether turns are recognised without Deepgram, too.
    has_stand_in: bool,
    lost_at: Option<Instant>,
    link: Option<Link>,
    position: Duration,
    /// Until when the agent has spoken.
    agent_until: Duration,
}

/// One connection.
struct Link {
    commands: mpsc::Sender<Command>,
    messages: mpsc::Receiver<ServerMessage>,
    task: JoinSet<Result<(), ListenError>>,
    /// Where in the call its audio begins.
    begin: Duration,
    listen: Listen,
    /// Turns of which Deepgram has not finished the words, in positions of this connection.
    turns: VecDeque<(Range<Duration>, watch::Sender<Words>)>,
    /// What may be the next turn.
    draft: Option<(Range<Duration>, watch::Sender<Words>)>,
}

/// Words that no turn of ours was noticed for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Utterance {
    pub(super) text: String,
    /// How long ago the last word was.
    pub(super) silence: Duration,
}

impl Line {
    pub(super) fn new(settings: DeepgramStt, vendor: Vendor, has_stand_in: bool) -> Self {
        Self {
            settings,
            vendor,
            has_stand_in,
            lost_at: None,
            link: None,
            position: Duration::ZERO,
            agent_until: Duration::ZERO,
        }
    }

    /// Passes on what the person says; a second of it is as long as a second.
    pub(super) fn hear(&mut self, frame: &[i16], agent_speaks: bool) {
        if self.link.is_none() && self.is_worth_opening() {
            self.link = Some(Link::open(self.settings.clone(), self.position));
        }
        self.position += length(frame.len());
        if agent_speaks {
            self.agent_until = self.position;
        }
        if let Some(link) = &self.link
            && let Err(mpsc::error::TrySendError::Full(_)) =
                link.commands.try_send(Command::Audio(frame.to_vec()))
        {
            let stalled = ListenError::Stalled(length(160) * FRAMES_AHEAD as u32);
            self.lost(Ok(Err(stalled)));
        }
    }

    fn is_worth_opening(&self) -> bool {
        if self.has_stand_in {
            return self.vendor.is_worth_asking();
        }
        self.lost_at.is_none_or(|lost| lost.elapsed() >= RETRY)
    }

    /// Returns where the words of the turn that has just ended will be; `None` when the line has not heard all
    /// of it. The sender goes when the line breaks.
    pub(super) fn turn_ended(&mut self, turn: &Turn) -> Option<watch::Receiver<Words>> {
        let (link, range) = self.heard(turn)?;
        let (sender, words) = watch::channel(Words::default());
        link.draft = None;
        link.turns.push_back((range, sender));
        link.settle();
        if !link.turns.is_empty() && link.commands.try_send(Command::Finalize).is_err() {
            debug!("the line is behind or broken");
        }
        Some(words)
    }

    /// As [`Self::turn_ended`], for what may be a whole turn: Deepgram is not told to finish. The sender goes with the
    /// next pause and the end of the turn, too.
    pub(super) fn paused(&mut self, turn: &Turn) -> Option<watch::Receiver<Words>> {
        let (link, range) = self.heard(turn)?;
        let (sender, words) = watch::channel(link.listen.turn(&range));
        link.draft = Some((range, sender));
        Some(words)
    }

    /// The connection, and where in it the person said that; `None` when it has not heard all of it.
    fn heard(&mut self, turn: &Turn) -> Option<(&mut Link, Range<Duration>)> {
        let start = self.position.saturating_sub(length(turn.pcm.len()));
        let end = self.position.saturating_sub(turn.silence);
        let link = self.link.as_mut().filter(|link| link.begin <= start)?;
        let range = start - link.begin..end.max(start) - link.begin;
        Some((link, range))
    }

    /// Waits for words that no turn was noticed for, and keeps the turns up to date meanwhile; never returns
    /// while there is no connection. Cancel safe.
    pub(super) async fn utterance(&mut self, person_speaks: bool) -> Utterance {
        loop {
            let Some(link) = &mut self.link else {
                return pending().await;
            };
            tokio::select! {
                biased;
                Some(message) = link.messages.recv() => match link.listen.handle(message) {
                    Noticed::Words => link.settle(),
                    Noticed::UtteranceEnded if !person_speaks => {
                        let begin = link.begin;
                        if let Some((range, text)) = link.untaken() && begin + range.start > self.agent_until + ECHO {
                            return Utterance { text, silence: self.position.saturating_sub(begin + range.end) };
                        }
                    }
                    Noticed::UtteranceEnded | Noticed::Nothing => {}
                },
                Some(ended) = link.task.join_next() => self.lost(ended),
            }
        }
    }

    fn lost(&mut self, ended: Result<Result<(), ListenError>, JoinError>) {
        self.link = None;
        self.lost_at = Some(Instant::now());
        let consequence = match self.has_stand_in {
            true => CONSEQUENCE,
            false => NO_STAND_IN,
        };
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let pause = error.pause();
                self.vendor.failed(error, pause, consequence);
            }
            Err(error) => self.vendor.failed(error, Pause::None, consequence),
        }
    }
}

impl Link {
    fn open(settings: DeepgramStt, begin: Duration) -> Self {
        let (commands, mut to_send) = mpsc::channel(FRAMES_AHEAD);
        let (received, messages) = mpsc::channel(MESSAGES);
        let mut task = JoinSet::new();
        let listen = async move { speech_cloud::listen(&settings, &mut to_send, received).await };
        task.spawn(listen.instrument(Span::current()));
        Self {
            commands,
            messages,
            task,
            begin,
            listen: Listen::default(),
            turns: VecDeque::new(),
            draft: None,
        }
    }

    /// Tells the turns their words. What Deepgram has finished is taken, also when nobody waits for it any
    /// more, so that it is not heard a second time.
    fn settle(&mut self) {
        while let Some((range, sender)) = self.turns.front() {
            if !self.listen.turn(range).complete {
                break;
            }
            sender.send_replace(self.listen.take(range));
            self.turns.pop_front();
        }
        if let Some((range, sender)) = self.turns.front() {
            sender.send_replace(self.listen.turn(range));
        }
        if let Some((range, sender)) = &self.draft {
            sender.send_replace(self.listen.turn(range));
        }
    }

    /// Takes final words that belong to no turn.
    fn untaken(&mut self) -> Option<(Range<Duration>, String)> {
        if !self.turns.is_empty() {
            return None;
        }
        let range = self.listen.untaken()?;
        let words = self.listen.take(&range);
        Some((range, words.text))
    }
}

fn length(samples: usize) -> Duration {
    Duration::from_micros(samples as u64 * 1_000_000 / u64::from(HEARING_RATE))
}
