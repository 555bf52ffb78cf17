//! What the target of a warm transfer is told and asked, before the caller hears a word.

use std::time::{Duration, Instant};

use transfer_core::TransferFailure;

use crate::conversation::consent;

/// How long the target may think about it before it is asked again.
const PATIENCE: Duration = Duration::from_secs(8);

/// How often the target is asked. A mailbox never answers, and the caller waits meanwhile.
const QUESTIONS: u32 = 3;

/// How long a turn may take from its first sound to its words.
const TURN_LIMIT: Duration = Duration::from_secs(20);

const QUESTION: &str = "To take the call, press 1 or say yes. To decline, press 2 or say no.";

/// What follows on what the target did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Accept,
    Decline(TransferFailure),
    Ask(&'static str),
    Listen,
}

#[derive(Debug)]
pub(super) struct Briefing {
    request: String,
    asked: u32,
    /// When the target is asked again; `None` while the agent speaks.
    until: Option<Instant>,
}

impl Briefing {
    /// `request` is what the caller has asked for, in its own words.
    pub(super) fn new(request: &str) -> Self {
        Self {
            request: request.trim().to_owned(),
            asked: 1,
            until: None,
        }
    }

    /// `agent` is how the agent names itself.
    pub(super) fn opening(&self, agent: &str) -> String {
        let about = match self.request.as_str() {
            "" => "who asked to be transferred to you.".to_owned(),
            request => format!("who said: {}.", request.trim_end_matches(['.', '!', '?'])),
        };
        format!(
            "Hello, this is {agent}, an automated assistant. I have a caller on the line, {about} {QUESTION}"
        )
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.until
    }

    pub(super) fn spoke(&mut self, now: Instant) {
        self.until = Some(now + PATIENCE);
    }

    pub(super) fn speech_started(&mut self) {
        self.until = self.until.map(|until| until + TURN_LIMIT);
    }

    pub(super) fn silence(&mut self) -> Answer {
        self.ask("Are you still there? To take the call, press 1 or say yes. To decline, press 2 or say no.")
    }

    pub(super) fn turn(&mut self, text: &str) -> Answer {
        match consent(text) {
            Some(true) => Answer::Accept,
            Some(false) => Answer::Decline(TransferFailure::TargetDeclined),
            // "Hello?" and the mailbox's first words come over our own.
            None if self.until.is_none() => Answer::Listen,
            None => self.ask(QUESTION),
        }
    }

    pub(super) fn key(&mut self, key: char) -> Answer {
        match key {
            '1' => Answer::Accept,
            '2' => Answer::Decline(TransferFailure::TargetDeclined),
            _ => Answer::Listen,
        }
    }

    fn ask(&mut self, question: &'static str) -> Answer {
        if self.asked >= QUESTIONS {
            return Answer::Decline(TransferFailure::TargetNoAnswer);
        }
        self.asked += 1;
        self.until = None;
        Answer::Ask(question)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_hears_what_it_is_about_and_how_to_answer() {
        let opening = Briefing::new("Transfer me to sales, please.").opening("Max");
        assert!(opening.contains("this is Max, an"), "{opening}");
        assert!(
            opening.contains("who said: Transfer me to sales, please. To take the call, press 1"),
            "{opening}"
        );
        assert!(
            Briefing::new(" ")
                .opening("Max")
                .contains("asked to be transferred to you.")
        );
    }

    #[test]
    fn words_and_keys_accept_and_decline() {
        let declined = Answer::Decline(TransferFailure::TargetDeclined);
        for (text, answer) in [
            ("Yes.", Answer::Accept),
            ("Yes, put them through.", Answer::Accept),
            ("No.", declined),
            ("Not now, sorry.", declined),
            ("Hello?", Answer::Ask(QUESTION)),
        ] {
            let mut briefing = Briefing::new("");
            briefing.spoke(Instant::now());
            assert_eq!(briefing.turn(text), answer, "{text}");
        }
        assert_eq!(Briefing::new("").key('1'), Answer::Accept);
        assert_eq!(Briefing::new("").key('2'), declined);
        assert_eq!(Briefing::new("").key('#'), Answer::Listen);
    }

    #[test]
    fn a_mailbox_is_not_talked_to_for_ever() {
        let mut briefing = Briefing::new("");
        for _ in 1..QUESTIONS {
            briefing.spoke(Instant::now());
            assert!(matches!(briefing.silence(), Answer::Ask(_)));
        }
        briefing.spoke(Instant::now());
        assert_eq!(
            briefing.silence(),
            Answer::Decline(TransferFailure::TargetNoAnswer)
        );
    }

    #[test]
    fn what_is_said_over_the_question_is_no_answer_unless_it_is_one() {
        let mut briefing = Briefing::new("");
        assert_eq!(briefing.turn("Hello, who is this?"), Answer::Listen);
        assert_eq!(briefing.turn("Yes."), Answer::Accept);
    }
}
