//! One call as a state machine: who speaks when, and when the caller is sent on.
//!
//! Contract: feed it with [`Call::handle`] and [`Call::handle_timeout`], then drain
//! [`Call::poll_output`], then wait until something happens or [`Call::poll_timeout`] has come.
//! It reads no clock; `now` must not go back. After [`Output::End`] nothing follows.

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use transfer_core::{
    DialFailure, Doubt, PhoneNumber, ReferTarget, SipDomain, TransferAnswer, TransferFailure,
    TransferPlan, UserParameter, Verdict,
};

use super::{
    attributes::CallStatus,
    dead_air::DeadAir,
    gate::{Decision, TransferGate},
    handover::{Audience, Handover, Step},
};
use crate::{
    behaviour::Behaviour,
    conversation::{
        Action, Heard, Key, Keys, Machine, Reply, TransferRequest, expects_answer, is_backchannel,
        is_noise, is_yes_or_no,
    },
};

/// How long an inbound caller's phone gets to open its audio once it can hear us.
///
/// LiveKit's SIP service answers the call when our track is there, which takes it about 0.2 s;
/// what is said before is lost.
const INBOUND_GREETING_DELAY: Duration = Duration::from_millis(700);

/// An inbound caller is greeted after this even if LiveKit never said that our track is heard.
const INBOUND_GREETING_LIMIT: Duration = Duration::from_secs(3);

/// Words of a first turn that can be no more than a salutation: "Yes, hello?", "Miller, good day".
const SALUTATION: usize = 3;

/// How long a turn may take from its first sound to its words: 15 s of speech and its recognition.
const TURN_LIMIT: Duration = Duration::from_secs(20);

/// How long an unconfirmed REFER may stay alive in livekit-sip (SIP timer F); until then it accepts
/// no other, and a second one could make two phones ring.
const UNCONFIRMED_LIMIT: Duration = Duration::from_secs(32);

/// Answers in a row that could not be spoken, after which an agent that cannot transfer hangs up.
const SPEECHLESS: u32 = 2;

/// How long after the callee has picked up what is said is looked at for a machine's words.
const MACHINE_WINDOW: Duration = Duration::from_secs(25);

/// How long a person whom a call screener has asked gets to decide. Phones ring for 20 to 30 s meanwhile.
const SCREENING_LIMIT: Duration = Duration::from_secs(45);

/// How long a voicemail box must be silent before we speak. What it said was understood about 1.5 s after its
/// end, and its tone comes within that time or soon after.
const TONE_WAIT: Duration = Duration::from_millis(1500);

/// A voicemail box is spoken to after this even if it has not fallen silent.
const TONE_LIMIT: Duration = Duration::from_secs(30);

/// Who called whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// We dial; the callee speaks first.
    Outbound,
    /// Somebody dialled us; the agent speaks first.
    Inbound,
}

impl Direction {
    /// Returns one word for metrics and the console.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct CallSettings {
    pub(crate) direction: Direction,
    pub(crate) behaviour: Behaviour,
    /// Where [`TransferRequest::Default`] leads.
    pub(crate) default_transfer: Option<PhoneNumber>,
    /// The carrier's domain for the `Refer-To` URI.
    pub(crate) sip_domain: Option<SipDomain>,
    pub(crate) user_parameter: UserParameter,
    /// Whom callers may reach.
    pub(crate) gate: TransferGate,
    /// How a transfer is done, and what is tried when it does not work.
    pub(crate) plan: TransferPlan,
    /// Whether the caller hears a sound of ours while the target rings.
    pub(crate) hold: bool,
}

/// How a dial that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialed {
    Answered,
    /// The callee's participant was in the room already, so nobody was dialled.
    AlreadyInRoom,
}

#[derive(Debug)]
pub(crate) enum Input {
    /// We are in the room and our audio track is published.
    Joined,
    /// Somebody hears our audio track.
    Audible,
    /// The result of [`Output::Dial`].
    Dialed(Result<Dialed, DialFailure>),
    /// The phone is in the room, or its status changed.
    Phone {
        identity: String,
        status: CallStatus,
    },
    PhoneLeft,
    /// The transfer target, whom we have called, is out of the room.
    TargetLeft,
    /// A key was pressed on the phone of `from`.
    Key {
        from: Party,
        key: char,
    },
    SpeechStarted,
    /// The person has finished its words, at that time. What it said follows once it is recognised.
    SpeechEnded {
        at: Instant,
    },
    /// The person said something, and whoever was to recognise it failed.
    Unrecognised,
    /// What the person said; `second` is the second decode, when the agent expected a number.
    Turn {
        first: String,
        second: Option<String>,
    },
    /// The next sentence of the answer to [`Output::Think`], which is still being written.
    Sentence(String),
    /// The end of that answer, or all of it.
    Replied(Reply),
    /// The first audio of [`Output::Say`] goes to the room, or the first after an underrun.
    Sounds(Utterance),
    /// All that has come of the utterance was heard, and it is not finished.
    Underrun(Utterance),
    /// The finished utterance of [`Output::Say`], or that of [`Output::Fill`], was played to its last sample.
    Spoke(Utterance),
    /// There is no voice for [`Output::Say`]: it is over, and nothing was heard.
    Unspoken(Utterance),
    /// Whether [`Output::KeepNote`] was done.
    Noted {
        kept: bool,
    },
    /// LiveKit's answer to [`Output::Refer`].
    Transferred(TransferAnswer),
    /// The result of [`Output::CallTarget`].
    TargetCalled(Result<(), DialFailure>),
    /// We are out of the room and do not come back.
    RoomLost,
    /// Somebody else ends the call: the worker, or the server by ending the job.
    HangUp,
}

/// Whose phone it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    Caller,
    /// The transfer target.
    Target,
}

/// Numbers the utterances of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Utterance(pub u32);

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Output {
    /// Dial the callee, unless the callee is in the room.
    Dial,
    /// Let the conversation answer. The answer to what it thought about before is not wanted any more.
    Think(Heard),
    /// Say the first words of an utterance, or more of them after what was said of it before.
    Say(Utterance, String),
    /// The utterance has all its words.
    Finish(Utterance),
    /// Play the filler, before whatever else is said.
    Fill(Utterance),
    /// Ends what is being said, the filler included.
    StopSpeaking,
    /// Fall silent at once, and keep what is not said yet.
    PauseSpeaking,
    /// Go on with what was paused, from the beginning of the clause.
    ResumeSpeaking,
    /// Send the participant `identity` to `target` by REFER.
    Refer {
        identity: String,
        target: ReferTarget,
        /// What the caller has said, for the one who answers.
        request: String,
    },
    /// Call the transfer target into the room.
    CallTarget {
        number: PhoneNumber,
        request: String,
    },
    /// Press keys on the line of the participant `identity`, after those that are being pressed.
    PressKeys {
        identity: String,
        keys: Keys,
    },
    /// Write down that the caller wants to be called back.
    KeepNote {
        /// Of the caller.
        identity: String,
        wanted: PhoneNumber,
        cause: TransferFailure,
        message: Option<String>,
    },
    /// Take the transfer target out of the room.
    DismissTarget(PhoneNumber),
    Audience(Audience),
    End(Outcome),
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    NotAnswered(DialFailure),
    /// The caller left by a transfer, or has talked to the target; the failed ones do not end a call.
    Transferred(Verdict),
    /// The person hung up.
    PhoneLeft,
    AgentHungUp,
    /// Voicemail or an announcement.
    AnsweredByMachine {
        message_left: bool,
    },
    RoomLost,
    /// The worker shut down or the server ended the job.
    Terminated,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnswered(cause) => write!(f, "not answered: {cause}"),
            Self::Transferred(Verdict::Connected) => f.write_str("transferred"),
            Self::Transferred(Verdict::Unconfirmed(doubt)) => {
                write!(f, "left during the transfer, unconfirmed: {doubt}")
            }
            Self::Transferred(Verdict::Failed(cause)) => write!(f, "transfer failed: {cause}"),
            Self::PhoneLeft => f.write_str("caller hung up"),
            Self::AgentHungUp => f.write_str("agent hung up"),
            Self::AnsweredByMachine {
                message_left: false,
            } => f.write_str("answered by a machine"),
            Self::AnsweredByMachine { message_left: true } => {
                f.write_str("answered by a machine, message left")
            }
            Self::RoomLost => f.write_str("room lost"),
            Self::Terminated => f.write_str("terminated"),
        }
    }
}

#[derive(Debug)]
enum Phase {
    /// Nobody hears us: the callee's phone rings, or the caller's waits for our track.
    Connecting,
    /// The person hears us and the agent has said nothing.
    Answered {
        greet_at: Instant,
    },
    Listening {
        until: Instant,
    },
    Thinking,
    Speaking(Speech),
    /// The person speaks over the agent, which is silent until it is known what was said.
    Interrupted {
        speech: Speech,
        /// Whether the agent had come to its end at that moment.
        finished: bool,
        /// When the agent goes on without knowing.
        until: Instant,
    },
    HandingOver(Handover),
    /// Voicemail has been recognised; we speak at `until`, after its tone.
    AwaitingTone {
        message: String,
        until: Instant,
        limit: Instant,
    },
    /// A note is being written down; that takes milliseconds.
    Noting,
    Ended,
}

/// Where the person's latest words are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    /// Known, or there are none.
    Heard,
    BeingSaid,
    BeingRecognised,
}

/// What the agent is saying.
#[derive(Debug, Clone)]
struct Speech {
    utterance: Utterance,
    /// Whether a mere "yeah" answers it.
    expects_answer: bool,
    /// What the person began to say over it and is not known yet.
    turns: u32,
    /// `None` while the conversation is still writing what is said.
    then: Option<Next>,
}

/// An [`Action`] that may be done.
#[derive(Debug, Clone)]
enum Next {
    Listen,
    HangUp,
    /// The gate has admitted the number.
    HandOver {
        number: PhoneNumber,
        plan: TransferPlan,
    },
    KeepNote {
        message: Option<String>,
    },
    PressKeys(Keys),
    /// The transfer that was announced is not to be: the conversation says why.
    Refuse(TransferFailure),
    /// A call screener has been answered: a person decides.
    AwaitPerson,
    /// The message is in the voicemail box.
    LeaveMachine,
}

#[derive(Debug)]
pub(crate) struct Call {
    settings: CallSettings,
    phase: Phase,
    joined: bool,
    /// Set when the dial has returned without failure.
    dialed: Option<Dialed>,
    status: Option<CallStatus>,
    /// The person's identity, once the phone is in the room.
    identity: Option<String>,
    /// When an inbound caller is greeted at the latest.
    greet_limit: Option<Instant>,
    /// Set while a turn goes on that began before the phone was answered: an announcement of the
    /// carrier, not the callee.
    early_media: bool,
    /// Until when a machine may have picked up.
    machine_until: Option<Instant>,
    /// Set once the agent has spoken.
    greeted: bool,
    speech: Words,
    /// The utterance that the person hears, or heard last.
    sounding: Option<Utterance>,
    dead_air: DeadAir,
    /// Turns in a row that could not be recognised.
    unrecognised: u32,
    /// Answers in a row that could not be spoken.
    unspoken: u32,
    /// Words in the turn that the conversation thinks about.
    words: usize,
    /// The last thing that the person said besides yes and no.
    request: String,
    /// Set while a key was the last thing that the person did.
    entering: bool,
    /// What came while the conversation was thinking: all keys, and the latest turn.
    waiting: VecDeque<Heard>,
    /// Sentences that are not said before the answer is complete.
    held_back: Option<String>,
    /// Whom the caller was to reach by the last transfer.
    wanted: Option<PhoneNumber>,
    /// Why that transfer failed, all that stood in included.
    failure: Option<TransferFailure>,
    /// No REFER before, because an unconfirmed one may be alive.
    no_transfer_before: Option<Instant>,
    utterances: u32,
    outputs: VecDeque<Output>,
}

impl Call {
    pub(crate) fn new(settings: CallSettings) -> Self {
        let outputs = match settings.direction {
            Direction::Outbound => VecDeque::from([Output::Dial]),
            Direction::Inbound => VecDeque::new(),
        };
        let dead_air = DeadAir::new(settings.behaviour.filler_wait());
        Self {
            settings,
            phase: Phase::Connecting,
            joined: false,
            dialed: None,
            status: None,
            identity: None,
            greet_limit: None,
            early_media: false,
            machine_until: None,
            greeted: false,
            speech: Words::Heard,
            sounding: None,
            dead_air,
            unrecognised: 0,
            unspoken: 0,
            words: 0,
            request: String::new(),
            entering: false,
            waiting: VecDeque::new(),
            held_back: None,
            wanted: None,
            failure: None,
            no_transfer_before: None,
            utterances: 0,
            outputs,
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether we have been in the room.
    pub(crate) fn has_joined(&self) -> bool {
        self.joined
    }

    /// What the operator's rules have said about a transfer, once.
    pub(crate) fn take_decision(&mut self) -> Option<Decision> {
        self.settings.gate.take_decision()
    }

    /// Whether a turn would be answered if it ended now: then its answer may be thought of before.
    pub(crate) fn would_answer(&self, now: Instant, turn: &Heard) -> bool {
        let Heard::Turn { first, second } = turn else {
            return false;
        };
        let listens = match &self.phase {
            Phase::Answered { .. } | Phase::Listening { .. } => true,
            Phase::Interrupted { .. } => !self.goes_on_over(first, second.as_deref()),
            Phase::Connecting
            | Phase::Thinking
            | Phase::Speaking(_)
            | Phase::HandingOver(_)
            | Phase::AwaitingTone { .. }
            | Phase::Noting
            | Phase::Ended => false,
        };
        listens && !self.early_media && self.machine(now, turn).is_none()
    }

    /// When [`Self::handle_timeout`] wants to be called, if nothing else happens before.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let due = [self.phase_timeout(), self.dead_air.poll_timeout()];
        due.into_iter().flatten().min()
    }

    fn phase_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Connecting => self.greet_limit,
            Phase::Answered { greet_at } => Some(*greet_at),
            Phase::Listening { until }
            | Phase::Interrupted { until, .. }
            | Phase::AwaitingTone { until, .. } => Some(*until),
            Phase::HandingOver(handover) => handover.poll_timeout(),
            Phase::Thinking | Phase::Speaking(_) | Phase::Noting | Phase::Ended => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.dead_air.is_due(now) {
            let filler = self.next_utterance();
            self.dead_air.fill(filler);
            self.outputs.push_back(Output::Fill(filler));
        }
        if self.phase_timeout().is_some_and(|due| due <= now) {
            self.phase_timed_out(now);
        }
        self.watch_dead_air(now);
    }

    fn phase_timed_out(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Connecting | Phase::Answered { .. } => {
                let greeting = self.settings.behaviour.greeting();
                self.say(greeting, Next::Listen);
            }
            Phase::Listening { .. } if self.entering => self.think(Heard::KeysEnded),
            Phase::Listening { .. } => self.think(Heard::Silence),
            Phase::Interrupted { .. } => self.resume(now),
            Phase::AwaitingTone { message, .. } => {
                let message = std::mem::take(message);
                self.say(message, Next::LeaveMachine);
            }
            Phase::HandingOver(handover) => {
                handover.handle_timeout();
                self.follow(now);
            }
            Phase::Thinking | Phase::Speaking(_) | Phase::Noting | Phase::Ended => {}
        }
    }

    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        match input {
            Input::Joined => {
                self.joined = true;
                self.check_answered(now);
            }
            Input::Audible => self.audible(now),
            Input::Dialed(Ok(dialed)) => {
                if dialed == Dialed::Answered {
                    self.status = Some(CallStatus::Active);
                }
                self.dialed = Some(dialed);
                self.check_answered(now);
            }
            Input::Dialed(Err(cause)) => self.end(Outcome::NotAnswered(cause)),
            Input::Phone { identity, status } => {
                self.identity = Some(identity);
                self.status = Some(status);
                // The carrier has ended the leg; livekit-sip may keep the participant for seconds more.
                if status == CallStatus::Hangup {
                    self.phone_left(now);
                }
                self.check_answered(now);
            }
            Input::PhoneLeft => self.phone_left(now),
            Input::SpeechStarted => self.speech_started(now),
            Input::SpeechEnded { at } => self.speech_ended(now, at),
            Input::Unrecognised => self.unrecognised(now),
            Input::Turn { first, second } => self.turn(now, first, second),
            Input::Sentence(text) => self.sentence(now, text),
            Input::Replied(reply) => self.replied(now, reply),
            Input::Sounds(utterance) => {
                self.sounding = Some(utterance);
                self.unspoken = 0;
            }
            Input::Underrun(utterance) => {
                self.sounding.take_if(|sounding| *sounding == utterance);
            }
            Input::Spoke(spoken) => self.spoke(now, spoken),
            Input::Unspoken(utterance) => self.unspoken(now, utterance),
            Input::Noted { kept } => {
                if matches!(self.phase, Phase::Noting) {
                    self.think(Heard::Noted { kept });
                }
            }
            Input::Transferred(answer) => {
                self.hand_over(now, |handover| handover.answered(now, answer));
            }
            Input::TargetCalled(result) => {
                let name = self.settings.behaviour.name().to_owned();
                self.hand_over(now, |handover| handover.called(result, &name));
            }
            Input::TargetLeft => self.hand_over(now, Handover::target_left),
            Input::Key {
                from: Party::Target,
                key,
            } => self.hand_over(now, |handover| handover.target_key(key)),
            Input::Key {
                from: Party::Caller,
                key,
            } => self.key(now, key),
            Input::RoomLost => self.end(Outcome::RoomLost),
            Input::HangUp => self.end(Outcome::Terminated),
        }
        self.watch_dead_air(now);
    }

    /// Sees to it that a person who waits for the agent does not hear nothing for long.
    fn watch_dead_air(&mut self, now: Instant) {
        let waits = match (&self.phase, self.speech) {
            (_, Words::BeingSaid) => false,
            (Phase::Thinking, _) => true,
            (Phase::Speaking(speech), _) => self.sounding != Some(speech.utterance),
            // What was paused goes on after a while, unless it had come to its end.
            (
                Phase::Answered { .. }
                | Phase::Listening { .. }
                | Phase::Interrupted { finished: true, .. },
                words,
            ) => words == Words::BeingRecognised,
            (
                Phase::Connecting
                | Phase::Interrupted { .. }
                | Phase::HandingOver(_)
                | Phase::AwaitingTone { .. }
                | Phase::Noting
                | Phase::Ended,
                _,
            ) => false,
        };
        match waits {
            true => self.dead_air.begins(now),
            false => self.dead_air.ends(),
        }
    }

    /// An outbound call is answered when the dial says so; one that was dialled before us, and an
    /// inbound one, when the phone's status does.
    fn check_answered(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Connecting)
            || !self.joined
            || self.status != Some(CallStatus::Active)
        {
            return;
        }
        match (self.settings.direction, self.dialed) {
            (Direction::Outbound, Some(_)) => {
                self.machine_until = Some(now + MACHINE_WINDOW);
                self.phase = Phase::Answered {
                    greet_at: now + self.settings.behaviour.hello_wait(),
                };
            }
            (Direction::Outbound, None) => {}
            (Direction::Inbound, _) => {
                self.greet_limit.get_or_insert(now + INBOUND_GREETING_LIMIT);
            }
        }
    }

    fn audible(&mut self, now: Instant) {
        if self.settings.direction == Direction::Inbound && matches!(self.phase, Phase::Connecting)
        {
            self.phase = Phase::Answered {
                greet_at: now + INBOUND_GREETING_DELAY,
            };
        }
    }

    fn phone_left(&mut self, now: Instant) {
        self.status = Some(CallStatus::Hangup);
        match &mut self.phase {
            // The dial tells why, a moment later.
            Phase::Connecting
                if self.settings.direction == Direction::Outbound && self.dialed.is_none() => {}
            Phase::HandingOver(_) => self.hand_over(now, |handover| handover.caller_left(now)),
            Phase::AwaitingTone { .. }
            | Phase::Speaking(Speech {
                then: Some(Next::LeaveMachine),
                ..
            }) => self.end(Outcome::AnsweredByMachine {
                message_left: false,
            }),
            Phase::Connecting
            | Phase::Answered { .. }
            | Phase::Listening { .. }
            | Phase::Thinking
            | Phase::Noting
            | Phase::Speaking(_)
            | Phase::Interrupted { .. } => self.end(Outcome::PhoneLeft),
            Phase::Ended => {}
        }
    }

    fn speech_started(&mut self, now: Instant) {
        self.early_media = matches!(self.phase, Phase::Connecting);
        self.speech = Words::BeingSaid;
        // The notice of a transfer, and what comes before it, is heard in full.
        let gives_way = match &self.phase {
            Phase::Answered { .. }
            | Phase::Listening { .. }
            | Phase::Thinking
            | Phase::Interrupted { finished: true, .. } => true,
            Phase::Connecting
            | Phase::Speaking(_)
            | Phase::Interrupted { .. }
            | Phase::HandingOver(_)
            | Phase::AwaitingTone { .. }
            | Phase::Noting
            | Phase::Ended => false,
        };
        if gives_way && self.dead_air.stop() {
            self.outputs.push_back(Output::StopSpeaking);
        }
        match &mut self.phase {
            Phase::Answered { greet_at } => *greet_at = now + TURN_LIMIT,
            Phase::Listening { until } => *until = now + TURN_LIMIT,
            Phase::AwaitingTone { until, limit, .. } => *until = *limit,
            Phase::Speaking(speech) if speech.is_interruptible() => {
                self.dead_air.stop();
                self.outputs.push_back(Output::PauseSpeaking);
                speech.turns += 1;
                self.phase = Phase::Interrupted {
                    speech: speech.clone(),
                    finished: false,
                    until: now + TURN_LIMIT,
                };
            }
            Phase::Interrupted { speech, until, .. } => {
                speech.turns += 1;
                *until = now + TURN_LIMIT;
            }
            Phase::HandingOver(_) => self.hand_over(now, Handover::speech_started),
            Phase::Connecting
            | Phase::Thinking
            | Phase::Speaking(_)
            | Phase::Noting
            | Phase::Ended => {}
        }
    }

    /// From here on, words that were said over the agent are waited for no longer than the behaviour says. Where all
    /// was said, what follows may be the end of the call, and waits for them.
    fn speech_ended(&mut self, now: Instant, at: Instant) {
        if self.early_media {
            return;
        }
        self.speech = Words::BeingRecognised;
        let resume_after = self.settings.behaviour.timings.resume_after;
        match &mut self.phase {
            Phase::Answered { .. } | Phase::Listening { .. } | Phase::Thinking => {
                self.dead_air.begins(at);
            }
            Phase::Interrupted {
                finished: false,
                until,
                ..
            } => *until = now + resume_after,
            Phase::Connecting
            | Phase::Speaking(_)
            | Phase::Interrupted { .. }
            | Phase::HandingOver(_)
            | Phase::AwaitingTone { .. }
            | Phase::Noting
            | Phase::Ended => {}
        }
    }

    fn unrecognised(&mut self, now: Instant) {
        self.speech = Words::Heard;
        if std::mem::take(&mut self.early_media) {
            return;
        }
        if self.await_tone(now) {
            return;
        }
        let again = self.unrecognised > 0;
        self.unrecognised += 1;
        self.hear(now, Heard::Unrecognised { again });
    }

    fn turn(&mut self, now: Instant, first: String, second: Option<String>) {
        self.speech = Words::Heard;
        if std::mem::take(&mut self.early_media) {
            return;
        }
        if self.await_tone(now) {
            return;
        }
        if self.goes_on_over(&first, second.as_deref()) {
            self.resume_after_turn(now);
            return;
        }
        if first.trim().is_empty() {
            // Whoever was told to wait is answered.
            if let Phase::Answered { .. } | Phase::Listening { .. } = self.phase
                && self.dead_air.was_filled()
            {
                return self.think(Heard::Unrecognised { again: false });
            }
            // A noise: nothing to answer, and the wait goes on.
            let timings = self.settings.behaviour.timings;
            let hello_wait = self.settings.behaviour.hello_wait();
            match &mut self.phase {
                Phase::Answered { greet_at } => *greet_at = (*greet_at).min(now + hello_wait),
                Phase::Listening { until } => {
                    *until = (*until).min(now + timings.silence_after_interruption);
                }
                Phase::Connecting
                | Phase::Thinking
                | Phase::Speaking(_)
                | Phase::Interrupted { .. }
                | Phase::HandingOver(_)
                | Phase::AwaitingTone { .. }
                | Phase::Noting
                | Phase::Ended => {}
            }
            return;
        }
        if let Phase::HandingOver(_) = self.phase {
            self.hand_over(now, |handover| handover.turn(&first));
            return;
        }
        self.unrecognised = 0;
        // Said over the notice of a transfer.
        if matches!(&self.phase, Phase::Speaking(speech) if !speech.is_interruptible()) {
            return;
        }
        if !is_yes_or_no(&first) {
            self.request.clone_from(&first);
        }
        // Of turns only the latest waits.
        self.waiting
            .retain(|waiting| matches!(waiting, Heard::Key(_)));
        self.hear(now, Heard::Turn { first, second });
    }

    fn key(&mut self, now: Instant, key: char) {
        // A to D of RFC 4733 are not on the phones that people have.
        let Ok(key) = Key::try_from(key) else {
            return;
        };
        self.hear(now, Heard::Key(key));
    }

    /// Lets the conversation answer, as soon as it has answered what came before.
    fn hear(&mut self, now: Instant, heard: Heard) {
        match &self.phase {
            Phase::Answered { .. } | Phase::Listening { .. } => self.attend(now, heard),
            Phase::Speaking(speech) if !speech.is_interruptible() => {}
            Phase::Speaking(_) | Phase::Interrupted { .. } => {
                self.dead_air.stop();
                self.outputs.push_back(Output::StopSpeaking);
                self.attend(now, heard);
            }
            Phase::Thinking => self.waiting.push_back(heard),
            Phase::Connecting
            | Phase::HandingOver(_)
            | Phase::AwaitingTone { .. }
            | Phase::Noting
            | Phase::Ended => {}
        }
    }

    /// Whether a voicemail box has fallen silent; its tone comes now.
    fn await_tone(&mut self, now: Instant) -> bool {
        let Phase::AwaitingTone { until, .. } = &mut self.phase else {
            return false;
        };
        *until = (*until).min(now + TONE_WAIT);
        true
    }

    /// Thinks about what a person said, and meets a machine.
    fn attend(&mut self, now: Instant, heard: Heard) {
        match self.machine(now, &heard) {
            Some(machine) => self.meet(now, machine),
            None => self.think(heard),
        }
    }

    /// The machine that said this, if one did.
    fn machine(&self, now: Instant, heard: &Heard) -> Option<Machine> {
        let may_be_one = self.settings.behaviour.voicemail.detect
            && self.machine_until.is_some_and(|until| now < until);
        if let Heard::Turn { first, .. } = heard
            && may_be_one
        {
            Machine::of(first)
        } else {
            None
        }
    }

    fn meet(&mut self, now: Instant, machine: Machine) {
        self.waiting.clear();
        self.dead_air.stop();
        let behaviour = &self.settings.behaviour;
        match (
            machine,
            behaviour.voicemail_message(),
            behaviour.screening_reply(),
        ) {
            (Machine::Screener, _, Some(reply)) => {
                self.machine_until = Some(now + SCREENING_LIMIT);
                self.say(reply, Next::AwaitPerson);
                // Whoever takes the call then wants to know who calls.
                self.greeted = false;
            }
            (Machine::Voicemail, Some(message), _) => {
                self.phase = Phase::AwaitingTone {
                    message,
                    until: now + TONE_WAIT,
                    limit: now + TONE_LIMIT,
                };
            }
            (Machine::Screener, _, None)
            | (Machine::Voicemail, None, _)
            | (Machine::Announcement, _, _) => self.end(Outcome::AnsweredByMachine {
                message_left: false,
            }),
        }
    }

    /// Says a sentence of an answer that is not complete yet.
    fn sentence(&mut self, now: Instant, text: String) {
        if self.unfinished().is_some() {
            self.go_on(text);
            return;
        }
        if !matches!(self.phase, Phase::Thinking) {
            return;
        }
        if let Some(heard) = self.waiting.pop_front() {
            // The person went on, so the answer to the first half is not wanted.
            self.attend(now, heard);
        } else if self.is_met_with_greeting() {
            self.hold_back(Some(text));
        } else {
            self.begin(text);
        }
    }

    fn replied(&mut self, now: Instant, reply: Reply) {
        let is_begun = self.unfinished().is_some();
        if !is_begun {
            if !matches!(self.phase, Phase::Thinking) {
                return;
            }
            if !matches!(reply.then, Action::Listen | Action::PressKeys(_)) {
                self.waiting.clear();
            }
            if let Some(heard) = self.waiting.pop_front() {
                // As above.
                self.attend(now, heard);
                return;
            }
        }
        self.hold_back(reply.say);
        let say = self.held_back.take();
        // Asked before the notice is spoken: nobody is told of a transfer that does not come.
        let (say, then) = match self.admit(now, reply.then) {
            Ok(then) => (say, then),
            Err(cause) => (None, Next::Refuse(cause)),
        };
        match (say, then) {
            // "Hello?" wants to know who calls.
            (_, Next::Listen) if !is_begun && self.is_met_with_greeting() => {
                self.say(self.settings.behaviour.greeting(), Next::Listen);
            }
            (say, then) if is_begun => {
                if let Some(text) = say {
                    self.go_on(text);
                }
                self.finish(then);
            }
            (Some(text), then) => self.say(text, then),
            (None, then) => self.act(now, then),
        }
    }

    /// Whether whoever was heard is greeted, unless the answer is more than words.
    fn is_met_with_greeting(&self) -> bool {
        !self.greeted && self.words <= SALUTATION
    }

    fn hold_back(&mut self, text: Option<String>) {
        let Some(text) = text else {
            return;
        };
        match &mut self.held_back {
            Some(held_back) => *held_back = format!("{held_back} {text}"),
            None => self.held_back = Some(text),
        }
    }

    fn admit(&mut self, now: Instant, action: Action) -> Result<Next, TransferFailure> {
        let request = match action {
            Action::Listen => return Ok(Next::Listen),
            Action::HangUp => return Ok(Next::HangUp),
            Action::KeepNote { message } => return Ok(Next::KeepNote { message }),
            Action::PressKeys(keys) => return Ok(Next::PressKeys(keys)),
            Action::Transfer(request) => request,
        };
        self.can_transfer(now)?;
        // Whoever asked for one number wants nobody else.
        let (number, plan) = match request {
            TransferRequest::Default => (
                self.settings.default_transfer.clone(),
                self.settings.plan.clone(),
            ),
            TransferRequest::Number(number) => (Some(number), self.settings.plan.without_next()),
        };
        let number = number.ok_or(TransferFailure::BadTarget)?;
        self.settings.gate.admit(now, &number)?;
        Ok(Next::HandOver { number, plan })
    }

    fn spoke(&mut self, now: Instant, spoken: Utterance) {
        if self.dead_air.spoke(now, spoken) {
            return;
        }
        match &mut self.phase {
            Phase::Speaking(speech) if speech.utterance == spoken => {
                if let Some(then) = speech.then.clone() {
                    self.act(now, then);
                }
            }
            Phase::Interrupted {
                speech,
                finished,
                until,
                ..
            } if speech.utterance == spoken => {
                *finished = true;
                *until = now + TURN_LIMIT;
            }
            Phase::HandingOver(_) if spoken == Utterance(self.utterances) => {
                self.hand_over(now, |handover| handover.spoke(now));
            }
            Phase::Connecting
            | Phase::Answered { .. }
            | Phase::Listening { .. }
            | Phase::Thinking
            | Phase::Speaking(_)
            | Phase::Interrupted { .. }
            | Phase::HandingOver(_)
            | Phase::AwaitingTone { .. }
            | Phase::Noting
            | Phase::Ended => {}
        }
    }

    /// Whoever cannot be spoken to goes where somebody can.
    fn unspoken(&mut self, now: Instant, utterance: Utterance) {
        match &self.phase {
            Phase::Speaking(Speech {
                utterance: wanted,
                then: None | Some(Next::Listen | Next::KeepNote { .. }),
                ..
            }) if *wanted == utterance => {}
            Phase::Speaking(Speech {
                utterance: wanted,
                then: Some(Next::LeaveMachine),
                ..
            }) if *wanted == utterance => {
                return self.end(Outcome::AnsweredByMachine {
                    message_left: false,
                });
            }
            Phase::Connecting
            | Phase::Answered { .. }
            | Phase::Listening { .. }
            | Phase::Thinking
            | Phase::Speaking(_)
            | Phase::Interrupted { .. }
            | Phase::HandingOver(_)
            | Phase::AwaitingTone { .. }
            | Phase::Noting
            | Phase::Ended => return self.spoke(now, utterance),
        }
        self.unspoken += 1;
        // One that has failed is not tried again and again.
        let transfer = match self.unspoken {
            1 => self
                .admit(now, Action::Transfer(TransferRequest::Default))
                .ok(),
            _ => None,
        };
        match transfer {
            Some(transfer) => self.act(now, transfer),
            None if self.unspoken >= SPEECHLESS => self.end(Outcome::AgentHungUp),
            None => self.act(now, Next::Listen),
        }
    }

    /// Whether the agent says something that these words do not stop: a noise, or a sign of listening.
    ///
    /// After the agent's last word a sign of listening is an answer.
    fn goes_on_over(&self, first: &str, second: Option<&str>) -> bool {
        let (speech, finished) = if let Phase::Speaking(speech) = &self.phase {
            (speech, false)
        } else if let Phase::Interrupted {
            speech, finished, ..
        } = &self.phase
        {
            (speech, *finished)
        } else {
            return false;
        };
        let is_listening = |said| !finished && !speech.expects_answer && is_backchannel(said);
        first.trim().is_empty()
            || [Some(first), second]
                .into_iter()
                .flatten()
                .all(|said| is_noise(said) || is_listening(said))
    }

    /// Counts a turn that ends nothing, and goes on when it was the last that was waited for.
    fn resume_after_turn(&mut self, now: Instant) {
        if let Phase::Speaking(speech) | Phase::Interrupted { speech, .. } = &mut self.phase {
            speech.turns = speech.turns.saturating_sub(1);
            if speech.turns == 0 {
                self.resume(now);
            }
        }
    }

    /// Goes on with what the person spoke over without wanting to.
    fn resume(&mut self, now: Instant) {
        let Phase::Interrupted {
            speech, finished, ..
        } = &self.phase
        else {
            return;
        };
        match (speech.then.clone(), *finished) {
            (Some(then), true) => self.act(now, then),
            (_, _) => {
                self.phase = Phase::Speaking(speech.clone());
                self.outputs.push_back(Output::ResumeSpeaking);
            }
        }
    }

    fn act(&mut self, now: Instant, next: Next) {
        match next {
            Next::Listen => {
                let timings = self.settings.behaviour.timings;
                let patience = if self.entering {
                    timings.key_pause
                } else {
                    timings.silence
                };
                self.phase = Phase::Listening {
                    until: now + patience,
                }
            }
            Next::HangUp => self.end(Outcome::AgentHungUp),
            Next::LeaveMachine => self.end(Outcome::AnsweredByMachine { message_left: true }),
            Next::AwaitPerson => {
                self.phase = Phase::Listening {
                    until: now + SCREENING_LIMIT,
                }
            }
            Next::KeepNote { message } => self.keep_note(message),
            Next::PressKeys(keys) => self.press(now, keys),
            Next::Refuse(cause) => self.think(Heard::TransferFailed(cause)),
            Next::HandOver { number, plan } => match self.can_transfer(now) {
                Ok(()) => {
                    self.wanted = Some(number.clone());
                    self.failure = None;
                    let request = std::mem::take(&mut self.request);
                    let handover = Handover::begin(plan, number, request, self.settings.hold);
                    self.phase = Phase::HandingOver(handover);
                    self.follow(now);
                }
                Err(cause) => self.think(Heard::TransferFailed(cause)),
            },
        }
    }

    /// Presses keys and listens; the machine that wanted them is given its time from the last one on.
    fn press(&mut self, now: Instant, keys: Keys) {
        self.phase = Phase::Listening {
            until: now + keys.duration() + self.settings.behaviour.timings.silence,
        };
        if let Some(identity) = self.identity.clone() {
            self.outputs.push_back(Output::PressKeys { identity, keys });
        }
    }

    fn keep_note(&mut self, message: Option<String>) {
        let (Some(wanted), Some(cause)) = (self.wanted.clone(), self.failure) else {
            self.think(Heard::Noted { kept: false });
            return;
        };
        self.phase = Phase::Noting;
        self.outputs.push_back(Output::KeepNote {
            identity: self.identity.clone().unwrap_or_default(),
            wanted,
            cause,
            message,
        });
    }

    /// Lets `event` happen to the transfer that is going on, if one is.
    fn hand_over(&mut self, now: Instant, event: impl FnOnce(&mut Handover)) {
        if let Phase::HandingOver(handover) = &mut self.phase {
            event(handover);
            self.follow(now);
        }
    }

    /// Does what the transfer wants done.
    fn follow(&mut self, now: Instant) {
        while let Phase::HandingOver(handover) = &mut self.phase
            && let Some(step) = handover.poll_step()
        {
            let request = handover.request().to_owned();
            match step {
                Step::Refer(number) => {
                    let target = ReferTarget::new(number, self.settings.sip_domain.as_ref())
                        .with_user(self.settings.user_parameter);
                    let identity = self.identity.clone().unwrap_or_default();
                    self.outputs.push_back(Output::Refer {
                        identity,
                        target,
                        request,
                    });
                }
                Step::Call(number) => {
                    self.outputs
                        .push_back(Output::CallTarget { number, request });
                }
                Step::Dismiss(number) => self.outputs.push_back(Output::DismissTarget(number)),
                Step::Say(text) => {
                    let utterance = self.next_utterance();
                    self.outputs.push_back(Output::Say(utterance, text));
                    self.outputs.push_back(Output::Finish(utterance));
                }
                Step::StopSpeaking => self.outputs.push_back(Output::StopSpeaking),
                Step::Audience(audience) => self.outputs.push_back(Output::Audience(audience)),
                Step::Return(heard) => {
                    if let Heard::TransferFailed(cause) = heard {
                        self.failure = Some(cause);
                    }
                    if let Heard::TransferUnconfirmed(Doubt::TimedOut | Doubt::AnswerLost) = heard {
                        self.no_transfer_before = Some(now + UNCONFIRMED_LIMIT);
                    }
                    self.think(heard);
                }
                Step::End(outcome) => self.end(outcome),
            }
        }
    }

    /// Whether the caller's leg can be transferred now, to whomever.
    fn can_transfer(&self, now: Instant) -> Result<(), TransferFailure> {
        if self.no_transfer_before.is_some_and(|free| now < free) {
            return Err(TransferFailure::AlreadyTransferring);
        }
        // LiveKit would keep a REFER until the phone is answered and send it then.
        if self.status != Some(CallStatus::Active) || self.identity.is_none() {
            return Err(TransferFailure::CallerGone);
        }
        Ok(())
    }

    fn say(&mut self, text: String, then: Next) {
        self.begin(text);
        self.finish(then);
    }

    /// Begins to say something of which there is more to come.
    fn begin(&mut self, text: String) {
        self.greeted = true;
        self.entering = false;
        let utterance = self.next_utterance();
        self.phase = Phase::Speaking(Speech {
            utterance,
            expects_answer: expects_answer(&text),
            turns: 0,
            then: None,
        });
        self.outputs.push_back(Output::Say(utterance, text));
    }

    /// Says more of what was begun.
    fn go_on(&mut self, text: String) {
        if let Some(speech) = self.unfinished() {
            speech.expects_answer |= expects_answer(&text);
            let utterance = speech.utterance;
            self.outputs.push_back(Output::Say(utterance, text));
        }
    }

    /// What was begun has all its words.
    fn finish(&mut self, then: Next) {
        if let Some(speech) = self.unfinished() {
            speech.then = Some(then);
            let utterance = speech.utterance;
            self.outputs.push_back(Output::Finish(utterance));
        }
    }

    /// What is being said, also if it is paused, while more of it is to come.
    fn unfinished(&mut self) -> Option<&mut Speech> {
        match &mut self.phase {
            Phase::Speaking(speech) | Phase::Interrupted { speech, .. } => {
                Some(speech).filter(|speech| speech.then.is_none())
            }
            Phase::Connecting
            | Phase::Answered { .. }
            | Phase::Listening { .. }
            | Phase::Thinking
            | Phase::HandingOver(_)
            | Phase::AwaitingTone { .. }
            | Phase::Noting
            | Phase::Ended => None,
        }
    }

    fn next_utterance(&mut self) -> Utterance {
        self.utterances += 1;
        Utterance(self.utterances)
    }

    fn think(&mut self, heard: Heard) {
        self.words = match &heard {
            Heard::Turn { first, .. } => first.split_whitespace().count(),
            Heard::Key(_)
            | Heard::KeysEnded
            | Heard::Silence
            | Heard::Unrecognised { .. }
            | Heard::TransferFailed(_)
            | Heard::Noted { .. }
            | Heard::TransferUnconfirmed(_) => 0,
        };
        self.entering = matches!(heard, Heard::Key(_));
        self.held_back = None;
        self.phase = Phase::Thinking;
        self.outputs.push_back(Output::Think(heard));
    }

    fn end(&mut self, outcome: Outcome) {
        self.phase = Phase::Ended;
        self.outputs.push_back(Output::End(outcome));
    }
}

impl Speech {
    /// The notice of a transfer and what voicemail records are heard in full; everything else gives way to the person.
    fn is_interruptible(&self) -> bool {
        !matches!(self.then, Some(Next::HandOver { .. } | Next::LeaveMachine))
    }
}

#[cfg(test)]
mod tests;
