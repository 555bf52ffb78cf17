//! Makes sense of what is seen of a call from its room: how far it is, whether its agent is lost, and what
//! to do about it.
//!
//! Contract: feed it with [`Follow::handle`] and [`Follow::handle_timeout`], then drain
//! [`Follow::poll_step`], then wait until something is seen or [`Follow::poll_timeout`] has come.
//! It reads no clock; `now` must not go back. After [`Step::End`] nothing follows.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    time::{Duration, Instant},
};

use serde::Serialize;
use transfer_core::{CallOutcome, CallProgress};

/// What is seen in the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    AgentJoined(String),
    AgentTold(CallProgress),
    AgentLeft(String),
    Phone(PhoneStatus),
    PhoneLeft,
    /// What the room remembers of its call.
    Remembered(CallProgress),
    RoomEnded,
}

/// How far the callee's leg is, by LiveKit's SIP service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PhoneStatus {
    Dialing,
    Ringing,
    Active,
}

/// What is worth showing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    AgentJoined,
    Ringing,
    Answered,
    Transferring,
    TransferFailed,
    /// The agent is gone, and the callee's phone is not.
    AgentVanished,
    DispatchedAgain,
    /// Nobody takes care of the callee, so the room is ended.
    GivenUp,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AgentJoined => "agent joined",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Transferring => "transferring",
            Self::TransferFailed => "transfer failed, the callee is with the agent",
            Self::AgentVanished => "agent vanished, the callee's phone is still in the call",
            Self::DispatchedAgain => {
                "dispatched again to take the call over; nobody is called again"
            }
            Self::GivenUp => "no agent takes care of the call, hanging up",
        })
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Show(Event),
    /// Dispatch an agent that takes the call over.
    TakeOver,
    /// Hang up the callee's phone.
    HangUp,
    End(CallOutcome),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Dialing,
    Ringing,
    Answered,
    Transferring,
}

#[derive(Debug)]
pub(crate) struct Follow {
    /// How long an agent may take to come.
    patience: Duration,
    agents: BTreeSet<String>,
    phone: bool,
    stage: Stage,
    /// When an agent must have come.
    agent_by: Option<Instant>,
    taken_over: bool,
    ended: bool,
    steps: VecDeque<Step>,
}

impl Follow {
    /// An agent is expected from `now` on.
    pub(crate) fn new(now: Instant, patience: Duration) -> Self {
        Self {
            patience,
            agents: BTreeSet::new(),
            phone: false,
            stage: Stage::Dialing,
            agent_by: Some(now + patience),
            taken_over: false,
            ended: false,
            steps: VecDeque::new(),
        }
    }

    pub(crate) fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called, if nothing else happens before.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.agent_by
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if !self.ended && self.agent_by.is_some_and(|due| due <= now) {
            self.agent_by = None;
            self.nobody_cares(now);
        }
    }

    pub(crate) fn handle(&mut self, now: Instant, sight: Sight) {
        if self.ended {
            return;
        }
        match sight {
            Sight::AgentJoined(identity) => {
                self.agent_by = None;
                if self.agents.insert(identity) {
                    self.show(Event::AgentJoined);
                }
            }
            Sight::AgentTold(progress) => self.told(progress),
            Sight::AgentLeft(identity) => {
                if self.agents.remove(&identity) && self.agents.is_empty() {
                    if self.phone {
                        self.show(Event::AgentVanished);
                    }
                    self.nobody_cares(now);
                }
            }
            Sight::Phone(status) => {
                self.phone = true;
                match status {
                    PhoneStatus::Dialing => {}
                    PhoneStatus::Ringing => self.advance(Stage::Ringing, Event::Ringing),
                    PhoneStatus::Active => self.advance(Stage::Answered, Event::Answered),
                }
            }
            Sight::PhoneLeft => {
                self.phone = false;
                if self.agents.is_empty() && self.taken_over {
                    self.nobody_cares(now);
                }
            }
            Sight::Remembered(CallProgress::Ended(outcome)) => self.end(outcome),
            // Written before the call, and no news.
            Sight::Remembered(_) => {}
            Sight::RoomEnded => self.end(CallOutcome::Lost),
        }
    }

    fn told(&mut self, progress: CallProgress) {
        match progress {
            CallProgress::Dialing => {}
            CallProgress::Ringing => self.advance(Stage::Ringing, Event::Ringing),
            CallProgress::Answered if self.stage == Stage::Transferring => {
                self.stage = Stage::Answered;
                self.show(Event::TransferFailed);
            }
            CallProgress::Answered => self.advance(Stage::Answered, Event::Answered),
            CallProgress::Transferring => self.advance(Stage::Transferring, Event::Transferring),
            CallProgress::Ended(outcome) => self.end(outcome),
        }
    }

    /// A callee without an agent gets another one, once; a call without a callee is over.
    fn nobody_cares(&mut self, now: Instant) {
        if self.phone && !self.taken_over {
            self.taken_over = true;
            self.agent_by = Some(now + self.patience);
            self.steps.push_back(Step::TakeOver);
            self.show(Event::DispatchedAgain);
            return;
        }
        if self.phone {
            self.show(Event::GivenUp);
        }
        self.steps.push_back(Step::HangUp);
        self.end(CallOutcome::Lost);
    }

    fn advance(&mut self, stage: Stage, event: Event) {
        if self.stage < stage {
            self.stage = stage;
            self.show(event);
        }
    }

    fn show(&mut self, event: Event) {
        self.steps.push_back(Step::Show(event));
    }

    fn end(&mut self, outcome: CallOutcome) {
        self.ended = true;
        self.agent_by = None;
        self.steps.push_back(Step::End(outcome));
    }
}

#[cfg(test)]
mod tests {
    use transfer_core::DialFailure;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn joined(agent: &str) -> Sight {
        Sight::AgentJoined(agent.to_owned())
    }

    fn left(agent: &str) -> Sight {
        Sight::AgentLeft(agent.to_owned())
    }

    /// What the sights, all at once, lead to; and the timeout that is left.
    fn steps(sights: impl IntoIterator<Item = Sight>) -> (Vec<Step>, bool) {
        let start = Instant::now();
        let mut follow = Follow::new(start, PATIENCE);
        for sight in sights {
            follow.handle(start, sight);
        }
        let waits = follow.poll_timeout().is_some();
        (std::iter::from_fn(|| follow.poll_step()).collect(), waits)
    }

    #[test]
    fn a_call_is_shown_from_its_agent_to_its_transfer() {
        use CallProgress::*;
        let (steps, waits) = steps([
            joined("a"),
            Sight::AgentTold(Dialing),
            Sight::Phone(PhoneStatus::Dialing),
            Sight::AgentTold(Ringing),
            Sight::Phone(PhoneStatus::Ringing),
            Sight::Phone(PhoneStatus::Active),
            Sight::AgentTold(Answered),
            Sight::AgentTold(Transferring),
            Sight::AgentTold(Answered),
            Sight::AgentTold(Transferring),
            Sight::PhoneLeft,
            Sight::AgentTold(Ended(CallOutcome::Transferred)),
            left("a"),
            Sight::RoomEnded,
        ]);
        assert_eq!(
            steps,
            [
                Step::Show(Event::AgentJoined),
                Step::Show(Event::Ringing),
                Step::Show(Event::Answered),
                Step::Show(Event::Transferring),
                Step::Show(Event::TransferFailed),
                Step::Show(Event::Transferring),
                Step::End(CallOutcome::Transferred),
            ]
        );
        assert!(!waits);
    }

    #[test]
    fn a_room_that_remembers_the_end_has_ended() {
        let busy = CallOutcome::NotAnswered(DialFailure::Busy);
        let (steps, _) = steps([
            Sight::Remembered(CallProgress::Dialing),
            Sight::Remembered(CallProgress::Ended(busy)),
        ]);
        assert_eq!(steps, [Step::End(busy)]);
    }

    #[test]
    fn a_room_that_ends_without_an_outcome_is_a_lost_call() {
        let (steps, _) = steps([joined("a"), Sight::RoomEnded]);
        assert_eq!(
            steps,
            [Step::Show(Event::AgentJoined), Step::End(CallOutcome::Lost)]
        );
    }

    #[test]
    fn a_callee_without_an_agent_gets_another_one_once() {
        let (steps, waits) = steps([
            joined("a"),
            Sight::Phone(PhoneStatus::Ringing),
            left("a"),
            joined("b"),
            Sight::Phone(PhoneStatus::Active),
            left("b"),
        ]);
        assert_eq!(
            steps,
            [
                Step::Show(Event::AgentJoined),
                Step::Show(Event::Ringing),
                Step::Show(Event::AgentVanished),
                Step::TakeOver,
                Step::Show(Event::DispatchedAgain),
                Step::Show(Event::AgentJoined),
                Step::Show(Event::Answered),
                Step::Show(Event::AgentVanished),
                Step::Show(Event::GivenUp),
                Step::HangUp,
                Step::End(CallOutcome::Lost),
            ]
        );
        assert!(!waits);
    }

    #[test]
    fn one_of_two_agents_may_leave() {
        let (steps, _) = steps([
            joined("a"),
            Sight::Phone(PhoneStatus::Ringing),
            joined("b"),
            left("b"),
        ]);
        assert!(!steps.contains(&Step::TakeOver), "{steps:?}");
    }

    #[test]
    fn without_an_agent_and_a_callee_there_is_nothing_to_take_over() {
        let (steps, _) = steps([joined("a"), left("a")]);
        assert_eq!(
            steps,
            [
                Step::Show(Event::AgentJoined),
                Step::HangUp,
                Step::End(CallOutcome::Lost)
            ]
        );
    }

    #[test]
    fn an_agent_that_does_not_come_is_given_up() {
        let start = Instant::now();
        let mut follow = Follow::new(start, PATIENCE);
        follow.handle(start, Sight::Phone(PhoneStatus::Ringing));
        assert_eq!(follow.poll_timeout(), Some(start + PATIENCE));

        follow.handle_timeout(start + PATIENCE);
        let again = start + PATIENCE + PATIENCE;
        assert_eq!(follow.poll_timeout(), Some(again));
        follow.handle_timeout(again);

        let steps: Vec<_> = std::iter::from_fn(|| follow.poll_step()).collect();
        assert_eq!(
            steps,
            [
                Step::Show(Event::Ringing),
                Step::TakeOver,
                Step::Show(Event::DispatchedAgain),
                Step::Show(Event::GivenUp),
                Step::HangUp,
                Step::End(CallOutcome::Lost),
            ]
        );
    }
}
