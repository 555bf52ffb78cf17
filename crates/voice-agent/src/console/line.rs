//! A call without a telephone: the state machine of a real one, and what stands in for LiveKit, the carrier
//! and the phones.
//!
//! Contract: feed it with [`Line::handle`], [`Line::told`] and [`Line::advance`], then drain
//! [`Line::poll_step`], then wait until something happens or [`Line::next_due`] or [`Line::poll_timeout`] has
//! come. It reads no clock; `now` must not go back. After [`Step::End`] nothing follows.

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

use transfer_core::{PhoneNumber, Verdict, identity};

use super::{
    ending::Ending,
    event::{Event, Who},
};
use crate::{
    call::{
        Audience, Call, CallSettings, CallStatus, Decision, Dialed, Input, Outcome, Output, Party,
        Utterance, target_headers,
    },
    conversation::{Heard, Keys, Told},
};

/// The identity of a caller without a number.
const CALLER: &str = "sip_console";

/// What is to be done outside.
#[derive(Debug)]
pub(super) enum Step {
    Show(Event),
    /// Let the conversation answer, and pass on to [`Line::told`] what it tells.
    Think(Heard),
    /// Speak, or go on speaking, and tell [`Input::Sounds`] and [`Input::Underrun`].
    Say(Utterance, String),
    /// The utterance has all its words; tell [`Input::Spoke`].
    Finish(Utterance),
    /// Say the filler, and tell [`Input::Spoke`].
    Fill(Utterance),
    /// Remember that these keys were pressed.
    Press(Keys),
    StopSpeaking,
    /// Fall silent, and keep what is not said yet.
    PauseSpeaking,
    ResumeSpeaking,
    End(Outcome),
}

/// What happens by itself, and when.
#[derive(Debug)]
struct Due {
    at: Instant,
    wire: Option<String>,
    input: Input,
}

pub(super) struct Line {
    call: Call,
    /// Whom an outbound call is made to.
    callee: Option<PhoneNumber>,
    /// Of the job, for whoever answers.
    headers: HashMap<String, String>,
    /// What is said when an answer takes long.
    filler: String,
    /// How the next attempts to reach a target end; all others connect.
    endings: VecDeque<Ending>,
    audience: Audience,
    /// Whether an attempt is under way.
    rings: bool,
    /// Whether it was said that a transfer connected.
    connected: bool,
    /// The earliest first.
    due: VecDeque<Due>,
    steps: VecDeque<Step>,
}

impl Line {
    /// Begins a call in which everybody is there: the agent is in the room, and the phone answered.
    pub(super) fn new(
        now: Instant,
        settings: CallSettings,
        callee: Option<PhoneNumber>,
        headers: HashMap<String, String>,
        endings: Vec<Ending>,
    ) -> Self {
        let identity = callee.as_ref().map_or_else(|| CALLER.to_owned(), identity);
        let filler = settings.behaviour.filler().unwrap_or_default().to_owned();
        let mut line = Self {
            filler,
            call: Call::new(settings),
            callee,
            headers,
            endings: endings.into(),
            audience: Audience::Caller,
            rings: false,
            connected: false,
            due: VecDeque::new(),
            steps: VecDeque::new(),
        };
        line.follow(now);
        let status = CallStatus::Active;
        line.handle(now, Input::Joined);
        line.handle(now, Input::Phone { identity, status });
        line.handle(now, Input::Audible);
        line.advance(now);
        line
    }

    pub(super) fn handle(&mut self, now: Instant, input: Input) {
        match &input {
            Input::Key { from, key } => self.show(Event::Key {
                from: (*from).into(),
                key: *key,
            }),
            Input::Turn { first, second } if !first.trim().is_empty() => self.show(Event::Heard {
                from: self.party().into(),
                text: first.clone(),
                second: second.clone(),
            }),
            Input::Transferred(_) | Input::TargetCalled(_) => self.rings = false,
            Input::Turn { .. }
            | Input::Joined
            | Input::Audible
            | Input::Dialed(_)
            | Input::Phone { .. }
            | Input::PhoneLeft
            | Input::TargetLeft
            | Input::SpeechStarted
            | Input::SpeechEnded { .. }
            | Input::Unrecognised
            | Input::Sounds(_)
            | Input::Unspoken(_)
            | Input::Sentence(_)
            | Input::Replied(_)
            | Input::Underrun(_)
            | Input::Spoke(_)
            | Input::Noted { .. }
            | Input::RoomLost
            | Input::HangUp => {}
        }
        self.call.handle(now, input);
        self.follow(now);
    }

    /// What comes of [`Step::Think`].
    pub(super) fn told(&mut self, now: Instant, told: Told) {
        match told {
            Told::FirstToken(_) => {}
            Told::Sentence(text) => self.handle(now, Input::Sentence(text)),
            Told::Reply { reply, refused, .. } => {
                if let Some((number, refusal)) = refused {
                    let ruling = Err(refusal);
                    self.show_decision(&Decision { number, ruling });
                }
                self.handle(now, Input::Replied(reply));
            }
        }
    }

    /// How the next attempt that has no ending yet ends. Returns what whoever typed it is told.
    pub(super) fn next_ending(&mut self, ending: Ending) -> String {
        self.endings.push_back(ending);
        format!("Next transfer: {ending}.")
    }

    /// From now on all attempts connect. Returns what whoever typed it is told.
    pub(super) fn connect(&mut self) -> &'static str {
        self.endings.clear();
        "Transfers connect."
    }

    /// Lets `input` happen at `at`.
    pub(super) fn schedule(&mut self, at: Instant, input: Input) {
        let wire = None;
        self.insert(Due { at, wire, input });
    }

    /// Takes back that an utterance is heard to its end.
    pub(super) fn unschedule_speech(&mut self) {
        self.due.retain(|due| !matches!(due.input, Input::Spoke(_)));
    }

    pub(super) fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// When something happens by itself.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.front().map(|due| due.at)
    }

    /// When the patience of somebody is at its end.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.call.poll_timeout()
    }

    /// Lets happen what happens first, if it does until `now`.
    pub(super) fn advance(&mut self, now: Instant) {
        let due = self.next_due().filter(|at| *at <= now);
        let timeout = self.poll_timeout().filter(|at| *at <= now);
        match (due, timeout) {
            (Some(due), timeout) if timeout.is_none_or(|timeout| due <= timeout) => {
                if let Some(Due { wire, input, .. }) = self.due.pop_front() {
                    if let Some(wire) = wire {
                        self.show(Event::Answered { wire });
                    }
                    self.handle(now, input);
                }
            }
            (_, Some(_)) => {
                self.call.handle_timeout(now);
                self.follow(now);
            }
            (_, None) => {}
        }
    }

    /// Whether a turn would be answered if it ended now.
    pub(super) fn would_answer(&self, now: Instant, turn: &Heard) -> bool {
        self.call.would_answer(now, turn)
    }

    pub(super) fn audience(&self) -> Audience {
        self.audience
    }

    /// With whom the agent talks.
    pub(super) fn party(&self) -> Party {
        match self.audience {
            Audience::Caller | Audience::Together => Party::Caller,
            Audience::Target => Party::Target,
        }
    }

    /// Whether a transfer target is being reached.
    pub(super) fn rings(&self) -> bool {
        self.rings
    }

    /// Does or asks for what the call wants done.
    fn follow(&mut self, now: Instant) {
        if let Some(decision) = self.call.take_decision() {
            self.show_decision(&decision);
        }
        while let Some(output) = self.call.poll_output() {
            match output {
                Output::Dial => {
                    let callee = self.callee.as_ref().map(PhoneNumber::masked);
                    self.send("INVITE", callee.unwrap_or_default(), HashMap::new());
                    self.insert(Due {
                        at: now,
                        wire: Some("200 OK".to_owned()),
                        input: Input::Dialed(Ok(Dialed::Answered)),
                    });
                }
                Output::Think(heard) => {
                    self.judge(&heard);
                    self.steps.push_back(Step::Think(heard));
                }
                Output::Say(utterance, text) => {
                    self.show(Event::Said {
                        to: Who::from(self.party()),
                        text: text.clone(),
                    });
                    self.steps.push_back(Step::Say(utterance, text));
                }
                Output::Finish(utterance) => self.steps.push_back(Step::Finish(utterance)),
                Output::Fill(utterance) => {
                    self.show(Event::Said {
                        to: Who::from(self.party()),
                        text: self.filler.clone(),
                    });
                    self.steps.push_back(Step::Fill(utterance));
                }
                Output::StopSpeaking => self.steps.push_back(Step::StopSpeaking),
                Output::PauseSpeaking => self.steps.push_back(Step::PauseSpeaking),
                Output::ResumeSpeaking => self.steps.push_back(Step::ResumeSpeaking),
                Output::Refer {
                    target, request, ..
                } => {
                    let headers = target_headers(&self.headers, &request);
                    self.send("REFER", target.masked(), headers);
                    self.rings = true;
                    for happening in self.ending().of_refer() {
                        self.insert(Due {
                            at: now + happening.after,
                            wire: happening.wire,
                            input: happening.input,
                        });
                    }
                }
                Output::CallTarget { number, request } => {
                    let headers = target_headers(&self.headers, &request);
                    self.send("INVITE", number.masked(), headers);
                    self.rings = true;
                    let happening = self.ending().of_call();
                    self.insert(Due {
                        at: now + happening.after,
                        wire: happening.wire,
                        input: happening.input,
                    });
                }
                Output::KeepNote {
                    wanted,
                    cause,
                    message,
                    ..
                } => {
                    self.show(Event::Note {
                        wanted: wanted.masked(),
                        cause: cause.to_string(),
                        message,
                    });
                    self.schedule(now, Input::Noted { kept: true });
                }
                Output::PressKeys { keys, .. } => {
                    self.show(Event::Pressed {
                        keys: keys.reveal(),
                    });
                    self.steps.push_back(Step::Press(keys));
                }
                Output::DismissTarget(number) => {
                    self.send("hang up", number.masked(), HashMap::new());
                }
                Output::Audience(audience) => {
                    self.audience = audience;
                    if audience == Audience::Together {
                        self.show_verdict(Verdict::Connected);
                        self.show(Event::Together);
                    }
                }
                Output::End(outcome) => {
                    if let Outcome::Transferred(verdict) = outcome {
                        self.show_verdict(verdict);
                    }
                    self.steps.push_back(Step::End(outcome));
                }
            }
        }
    }

    /// What became of a transfer that did not connect.
    fn judge(&mut self, heard: &Heard) {
        match heard {
            // The rule was shown, and nothing was sent.
            Heard::TransferFailed(transfer_core::TransferFailure::Policy(_)) => {}
            Heard::TransferFailed(cause) => self.show_verdict(Verdict::Failed(*cause)),
            Heard::TransferUnconfirmed(doubt) => self.show_verdict(Verdict::Unconfirmed(*doubt)),
            Heard::Turn { .. }
            | Heard::Key(_)
            | Heard::KeysEnded
            | Heard::Unrecognised { .. }
            | Heard::Silence
            | Heard::Noted { .. } => {}
        }
    }

    fn ending(&mut self) -> Ending {
        self.endings.pop_front().unwrap_or(Ending::Connected)
    }

    fn insert(&mut self, due: Due) {
        let place = self.due.partition_point(|other| other.at <= due.at);
        self.due.insert(place, due);
    }

    fn show(&mut self, event: Event) {
        self.steps.push_back(Step::Show(event));
    }

    fn send(&mut self, request: &'static str, to: String, headers: HashMap<String, String>) {
        self.show(Event::Sent {
            request,
            to,
            headers: headers.into_iter().collect(),
        });
    }

    fn show_decision(&mut self, decision: &Decision) {
        let (allowed, rule, hint) = match &decision.ruling {
            Ok(rule) => (true, rule.to_string(), None),
            Err(refusal) => (false, refusal.to_string(), Some(refusal.hint())),
        };
        self.show(Event::Policy {
            number: decision.number.masked(),
            allowed,
            rule,
            hint,
        });
    }

    /// That a transfer connected is said once, however the two go on.
    fn show_verdict(&mut self, verdict: Verdict) {
        if std::mem::replace(&mut self.connected, verdict == Verdict::Connected) {
            return;
        }
        let (cause, hint) = match verdict {
            Verdict::Connected => (None, None),
            Verdict::Failed(cause) => (Some(cause.to_string()), Some(cause.hint())),
            Verdict::Unconfirmed(doubt) => (Some(doubt.to_string()), Some(doubt.hint())),
        };
        self.show(Event::Verdict {
            verdict: verdict.name(),
            cause,
            hint,
        });
    }
}
