//! How long the person hears nothing after its words, and when it is told to go on waiting.
//!
//! Contract: [`DeadAir::begins`] when the person begins to wait and [`DeadAir::ends`] when it does not any more; at
//! [`DeadAir::poll_timeout`] a filler is due, of which [`DeadAir::fill`] and [`DeadAir::spoke`] are told. Reads no clock;
//! `now` must not go back.

use std::time::{Duration, Instant};

use super::state::Utterance;

#[derive(Debug)]
pub(super) struct DeadAir {
    /// How long it may last; `None` for as long as it takes.
    patience: Option<Duration>,
    waits: bool,
    /// When the next filler is due.
    due: Option<Instant>,
    /// The filler that is being played.
    filler: Option<Utterance>,
    /// Whether there was a filler since the person began to wait.
    is_filled: bool,
}

impl DeadAir {
    pub(super) fn new(patience: Option<Duration>) -> Self {
        Self {
            patience,
            waits: false,
            due: None,
            filler: None,
            is_filled: false,
        }
    }

    /// The person has waited since then. Nothing new when it waits already.
    pub(super) fn begins(&mut self, since: Instant) {
        if !self.waits {
            self.waits = true;
            self.is_filled = false;
            self.silent_from(since);
        }
    }

    /// Nobody waits any more: the answer is heard, there is none, or the person speaks. A filler is not cut off.
    pub(super) fn ends(&mut self) {
        self.waits = false;
        self.due = None;
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// The filler that is due is played as `filler`.
    pub(super) fn fill(&mut self, filler: Utterance) {
        self.due = None;
        self.filler = Some(filler);
        self.is_filled = true;
    }

    /// An utterance has come to its end; whether it was the filler.
    pub(super) fn spoke(&mut self, now: Instant, spoken: Utterance) -> bool {
        let is_filler = self.filler == Some(spoken);
        if is_filler {
            self.filler = None;
            if self.waits {
                self.silent_from(now);
            }
        }
        is_filler
    }

    /// The agent is told to be silent; whether it is the filler that is cut off.
    pub(super) fn stop(&mut self) -> bool {
        self.filler.take().is_some()
    }

    /// Whether the person who waits was told that an answer comes.
    pub(super) fn was_filled(&self) -> bool {
        self.waits && self.is_filled
    }

    fn silent_from(&mut self, since: Instant) {
        if self.filler.is_none() {
            self.due = self.patience.map(|patience| since + patience);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);
    const FILLER: Duration = Duration::from_millis(1_300);

    #[test]
    fn a_filler_is_due_after_each_silence_until_the_person_waits_no_more() {
        let start = Instant::now();
        let mut dead_air = DeadAir::new(Some(PATIENCE));
        assert_eq!(dead_air.poll_timeout(), None);
        dead_air.begins(start);
        dead_air.begins(start + PATIENCE / 2);
        let mut now = start;
        for filler in 1..4 {
            assert_eq!(dead_air.poll_timeout(), Some(now + PATIENCE));
            now += PATIENCE;
            assert!(dead_air.is_due(now));
            dead_air.fill(Utterance(filler));
            assert_eq!(dead_air.poll_timeout(), None);
            assert!(!dead_air.spoke(now, Utterance(9)));
            now += FILLER;
            assert!(dead_air.spoke(now, Utterance(filler)));
        }
        assert!(dead_air.was_filled());
        dead_air.ends();
        assert_eq!(dead_air.poll_timeout(), None);
        assert!(!dead_air.was_filled());
    }

    #[test]
    fn who_waits_again_while_the_filler_is_played_is_not_told_twice_at_once() {
        let start = Instant::now();
        let mut dead_air = DeadAir::new(Some(PATIENCE));
        dead_air.begins(start);
        dead_air.fill(Utterance(1));
        dead_air.ends();
        dead_air.begins(start + PATIENCE);
        assert_eq!(dead_air.poll_timeout(), None);
        let spoken = start + PATIENCE + FILLER;
        assert!(dead_air.spoke(spoken, Utterance(1)));
        assert_eq!(dead_air.poll_timeout(), Some(spoken + PATIENCE));
    }

    #[test]
    fn a_filler_that_was_cut_off_is_over() {
        let mut dead_air = DeadAir::new(Some(PATIENCE));
        assert!(!dead_air.stop());
        dead_air.begins(Instant::now());
        dead_air.fill(Utterance(1));
        assert!(dead_air.stop());
        assert!(!dead_air.spoke(Instant::now(), Utterance(1)));
    }

    #[test]
    fn without_patience_nothing_is_ever_due() {
        let mut dead_air = DeadAir::new(None);
        dead_air.begins(Instant::now());
        assert_eq!(dead_air.poll_timeout(), None);
    }
}
