//! One transfer from the request to its verdict: REFER, bridge and warm transfer, and what follows when one of
//! them does not work.
//!
//! Contract: [`Handover::begin`] and each event append to the steps that [`Handover::poll_step`] returns. Reads
//! no clock; `now` must not go back. After [`Step::Return`] and [`Step::End`] it is over.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use transfer_core::{
    Attempt, DialFailure, Doubt, Means, PhoneNumber, TransferAnswer, TransferFailure, TransferPlan,
    TransferReason, Verdict,
};

use super::{
    briefing::{Answer, Briefing},
    state::Outcome,
};
use crate::conversation::Heard;

/// How long the leg of a transferred caller may outlive LiveKit's success; livekit-sip ends it after 1 s.
pub(super) const HANDOVER_LIMIT: Duration = Duration::from_secs(5);

/// How long LiveKit may need to tell what became of a transfer whose caller is gone already.
pub(super) const VERDICT_LIMIT: Duration = Duration::from_secs(3);

/// Who hears whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// The agent talks with the caller.
    Caller,
    /// The caller hears the hold sound, and the agent talks with the transfer target in private.
    Target,
    /// Caller and target talk; the agent is silent and deaf.
    Together,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Send the caller there by REFER.
    Refer(PhoneNumber),
    /// Call this phone into the room.
    Call(PhoneNumber),
    /// Take this phone out of the room, whether it rings or talks.
    Dismiss(PhoneNumber),
    /// To whoever is the audience.
    Say(String),
    StopSpeaking,
    Audience(Audience),
    /// The caller is with the agent again.
    Return(Heard),
    End(Outcome),
}

#[derive(Debug)]
enum Stage {
    /// The caller is being told what is tried next.
    Announcing,
    /// The REFER is out. `left`: when the caller's leg ended meanwhile.
    Referring {
        left: Option<Instant>,
    },
    /// LiveKit reported success, and the caller's leg is about to end.
    Leaving {
        at: Instant,
        reason: Option<TransferReason>,
    },
    /// The target's phone rings, called by us.
    Calling,
    /// The target has answered and hears what it is about.
    Briefing(Briefing),
    /// The target has accepted and is told so.
    Accepted,
    /// Caller and target talk.
    Together,
    Over,
}

#[derive(Debug)]
pub(super) struct Handover {
    plan: TransferPlan,
    attempt: Attempt,
    /// What the caller asked for, to be told to the target.
    request: String,
    /// Whether the caller hears something of ours while it waits.
    hold: bool,
    stage: Stage,
    audience: Audience,
    steps: VecDeque<Step>,
}

impl Handover {
    /// `hold`: whether a caller who waits for a target that rings is put on hold; a warm transfer always does.
    pub(super) fn begin(
        mut plan: TransferPlan,
        target: PhoneNumber,
        request: String,
        hold: bool,
    ) -> Self {
        let attempt = plan.first(target);
        let mut handover = Self {
            plan,
            attempt,
            request,
            hold,
            stage: Stage::Announcing,
            audience: Audience::Caller,
            steps: VecDeque::new(),
        };
        handover.attempt();
        handover
    }

    /// What the caller has asked for.
    pub(super) fn request(&self) -> &str {
        &self.request
    }

    pub(super) fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Referring { left } => left.map(|left| left + VERDICT_LIMIT),
            Stage::Leaving { at, .. } => Some(*at + HANDOVER_LIMIT),
            Stage::Briefing(briefing) => briefing.poll_timeout(),
            Stage::Announcing
            | Stage::Calling
            | Stage::Accepted
            | Stage::Together
            | Stage::Over => None,
        }
    }

    /// To be called when [`Self::poll_timeout`] has come.
    pub(super) fn handle_timeout(&mut self) {
        match &mut self.stage {
            Stage::Referring { .. } => {
                self.judge(Verdict::Unconfirmed(Doubt::LegEnded), true);
            }
            Stage::Leaving { reason, .. } => {
                let answer = TransferAnswer::Success(*reason);
                self.judge(Verdict::of(answer, None), true);
            }
            Stage::Briefing(briefing) => {
                let answer = briefing.silence();
                self.briefed(answer);
            }
            Stage::Announcing
            | Stage::Calling
            | Stage::Accepted
            | Stage::Together
            | Stage::Over => {}
        }
    }

    /// LiveKit's answer to [`Step::Refer`].
    pub(super) fn answered(&mut self, now: Instant, answer: TransferAnswer) {
        let Stage::Referring { left } = self.stage else {
            return;
        };
        match (answer, left) {
            (TransferAnswer::Success(reason), None) => {
                self.stage = Stage::Leaving { at: now, reason };
            }
            (answer, left) => {
                let verdict = Verdict::of(answer, left.map(|_| Duration::ZERO));
                self.judge(verdict, left.is_some());
            }
        }
    }

    /// The result of [`Step::Call`]: the target has answered, or has not. `agent` is how the agent names itself.
    pub(super) fn called(&mut self, result: Result<(), DialFailure>, agent: &str) {
        if !matches!(self.stage, Stage::Calling) {
            return;
        }
        match result {
            Ok(()) if self.attempt.means == Means::Warm => {
                let briefing = Briefing::new(&self.request);
                self.steps.push_back(Step::Say(briefing.opening(agent)));
                self.stage = Stage::Briefing(briefing);
            }
            Ok(()) => self.join(),
            Err(cause) => {
                // A phone that may ring on would find nobody in the room.
                self.dismiss();
                self.fail(cause.into());
            }
        }
    }

    pub(super) fn caller_left(&mut self, now: Instant) {
        match &mut self.stage {
            Stage::Referring { left } => *left = Some(now),
            Stage::Leaving { at, reason } => {
                let stayed = now.saturating_duration_since(*at);
                let verdict = Verdict::of(TransferAnswer::Success(*reason), Some(stayed));
                self.judge(verdict, true);
            }
            Stage::Together => self.end(Outcome::Transferred(Verdict::Connected)),
            Stage::Announcing | Stage::Calling | Stage::Briefing(_) | Stage::Accepted => {
                self.end(Outcome::PhoneLeft);
            }
            Stage::Over => {}
        }
    }

    /// The target whom we called is out of the room.
    pub(super) fn target_left(&mut self) {
        match self.stage {
            Stage::Together => self.end(Outcome::Transferred(Verdict::Connected)),
            Stage::Briefing(_) | Stage::Accepted => {
                self.steps.push_back(Step::StopSpeaking);
                self.fail(TransferFailure::TargetDeclined);
            }
            // The dial tells why, a moment later.
            Stage::Calling
            | Stage::Announcing
            | Stage::Referring { .. }
            | Stage::Leaving { .. }
            | Stage::Over => {}
        }
    }

    /// The agent has finished what [`Step::Say`] asked for.
    pub(super) fn spoke(&mut self, now: Instant) {
        match &mut self.stage {
            Stage::Announcing => self.attempt(),
            Stage::Briefing(briefing) => briefing.spoke(now),
            Stage::Accepted => self.join(),
            Stage::Referring { .. }
            | Stage::Leaving { .. }
            | Stage::Calling
            | Stage::Together
            | Stage::Over => {}
        }
    }

    /// The audience has begun to speak.
    pub(super) fn speech_started(&mut self) {
        if let Stage::Briefing(briefing) = &mut self.stage {
            briefing.speech_started();
        }
    }

    /// The audience has said something.
    pub(super) fn turn(&mut self, text: &str) {
        if let Stage::Briefing(briefing) = &mut self.stage {
            let answer = briefing.turn(text);
            self.briefed(answer);
        }
    }

    /// The target has pressed a key.
    pub(super) fn target_key(&mut self, key: char) {
        if let Stage::Briefing(briefing) = &mut self.stage {
            let answer = briefing.key(key);
            self.briefed(answer);
        }
    }

    fn attempt(&mut self) {
        let target = self.attempt.target.clone();
        if self.hold || self.attempt.means == Means::Warm {
            self.turn_to(Audience::Target);
        }
        match self.attempt.means {
            Means::Refer => {
                self.stage = Stage::Referring { left: None };
                self.steps.push_back(Step::Refer(target));
            }
            Means::Bridge | Means::Warm => {
                self.stage = Stage::Calling;
                self.steps.push_back(Step::Call(target));
            }
        }
    }

    fn briefed(&mut self, answer: Answer) {
        match answer {
            Answer::Listen => {}
            Answer::Ask(question) => {
                self.steps.push_back(Step::StopSpeaking);
                self.steps.push_back(Step::Say(question.to_owned()));
            }
            Answer::Accept => {
                self.steps.push_back(Step::StopSpeaking);
                self.steps
                    .push_back(Step::Say("Thank you. Connecting you now.".to_owned()));
                self.stage = Stage::Accepted;
            }
            Answer::Decline(cause) => {
                self.steps.push_back(Step::StopSpeaking);
                self.dismiss();
                self.fail(cause);
            }
        }
    }

    fn join(&mut self) {
        self.turn_to(Audience::Together);
        self.stage = Stage::Together;
    }

    fn dismiss(&mut self) {
        let target = self.attempt.target.clone();
        self.steps.push_back(Step::Dismiss(target));
    }

    fn judge(&mut self, verdict: Verdict, caller_is_gone: bool) {
        match verdict {
            Verdict::Failed(_) if caller_is_gone => self.end(Outcome::PhoneLeft),
            Verdict::Connected => self.end(Outcome::Transferred(verdict)),
            Verdict::Unconfirmed(_) if caller_is_gone => self.end(Outcome::Transferred(verdict)),
            Verdict::Failed(cause) => self.fail(cause),
            Verdict::Unconfirmed(doubt) => self.hand_back(Heard::TransferUnconfirmed(doubt)),
        }
    }

    fn fail(&mut self, cause: TransferFailure) {
        match self.plan.after(&self.attempt, cause) {
            Some(next) => {
                let announcement = announcement(cause, &next);
                self.attempt = next;
                self.turn_to(Audience::Caller);
                self.steps.push_back(Step::Say(announcement.to_owned()));
                self.stage = Stage::Announcing;
            }
            None => self.hand_back(Heard::TransferFailed(cause)),
        }
    }

    fn hand_back(&mut self, heard: Heard) {
        self.turn_to(Audience::Caller);
        self.steps.push_back(Step::Return(heard));
        self.stage = Stage::Over;
    }

    fn end(&mut self, outcome: Outcome) {
        self.steps.push_back(Step::End(outcome));
        self.stage = Stage::Over;
    }

    fn turn_to(&mut self, audience: Audience) {
        if self.audience != audience {
            self.audience = audience;
            self.steps.push_back(Step::Audience(audience));
        }
    }
}

/// What the caller hears between two attempts.
fn announcement(cause: TransferFailure, next: &Attempt) -> &'static str {
    match (cause, next.means) {
        (TransferFailure::Refused { .. }, _) => "One moment, I am connecting you another way.",
        (TransferFailure::TargetBusy, _) => {
            "That line is busy. One moment, I am trying somebody else."
        }
        (TransferFailure::TargetUnknown | TransferFailure::TargetFault { .. }, _) => {
            "That number could not be reached. One moment, I am trying somebody else."
        }
        _ => "Nobody could take the call there. One moment, I am trying somebody else.",
    }
}

#[cfg(test)]
mod tests;
