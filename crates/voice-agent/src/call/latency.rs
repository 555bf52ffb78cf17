//! How long the person waits in each turn, and for what.
//!
//! Contract: [`Latency::heard`] begins a turn, the other events follow as they come, and [`Moment::Sent`] ends it and
//! returns its record. Reads no clock: every event says when it was. What happens without a turn, such as the
//! greeting of somebody who says nothing, leaves no record.

use std::time::{Duration, Instant};

/// What happened on the way from words to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// The language model's first word or tool.
    FirstToken(Instant),
    /// The first sentence of the answer is there to be said: the model's, or the whole answer of the rules.
    Answered(Instant),
    /// The voice has made the first audio of the answer.
    Made(Instant),
    /// The first audio of the answer goes to the room.
    Sent(Instant),
}

/// The times of one turn; each begins where the one before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TurnLatency {
    /// From the last sound of the person to its words.
    pub(super) transcription_delay: Duration,
    /// From the words to the model's first token; `None` when the rules answered.
    pub(super) ttft: Option<Duration>,
    /// From the words to the first sentence of the answer.
    pub(super) answer: Duration,
    /// From that sentence to its first audio.
    pub(super) ttfb: Duration,
    /// From the first audio to the room: a filler is said to its end.
    pub(super) queued: Duration,
    /// From the last sound of the person to the first audio of the answer.
    pub(super) total: Duration,
    /// How often the person was told to wait.
    pub(super) fillers: u32,
}

#[derive(Debug, Clone, Copy)]
struct Turn {
    speech_ended: Instant,
    transcribed: Instant,
    first_token: Option<Instant>,
    answered: Option<Instant>,
    made: Option<Instant>,
}

/// Follows the turns of a call.
#[derive(Debug, Default)]
pub(super) struct Latency {
    turn: Option<Turn>,
    fillers: u32,
    records: Vec<TurnLatency>,
}

/// Median and 95th percentile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spread {
    pub(super) median: Duration,
    pub(super) p95: Duration,
}

impl Latency {
    /// A turn has its words. One that has no answer yet never gets one.
    pub(super) fn heard(&mut self, speech_ended: Instant, transcribed: Instant) {
        self.turn = Some(Turn {
            speech_ended,
            transcribed,
            first_token: None,
            answered: None,
            made: None,
        });
    }

    /// A filler is played.
    pub(super) fn filled(&mut self) {
        self.fillers += 1;
    }

    /// The conversation begins to think: what it thought before is not said.
    pub(super) fn thinks(&mut self) {
        if let Some(turn) = &mut self.turn {
            (turn.first_token, turn.answered, turn.made) = (None, None, None);
        }
    }

    /// Returns the record of the turn that this ends.
    pub(super) fn happened(&mut self, moment: Moment) -> Option<TurnLatency> {
        let turn = self.turn.as_mut()?;
        match moment {
            Moment::FirstToken(at) => turn.first_token = Some(at),
            Moment::Answered(at) => {
                turn.answered.get_or_insert(at);
            }
            Moment::Made(at) => turn.made = Some(at),
            Moment::Sent(at) => {
                let record = turn.sent(at, self.fillers)?;
                self.turn = None;
                self.fillers = 0;
                self.records.push(record);
                return Some(record);
            }
        }
        None
    }

    /// How many turns have a record.
    pub(super) fn turns(&self) -> usize {
        self.records.len()
    }

    /// Over all turns that have that time.
    pub(super) fn spread(&self, time: impl Fn(&TurnLatency) -> Option<Duration>) -> Option<Spread> {
        let mut times: Vec<_> = self.records.iter().filter_map(time).collect();
        times.sort();
        let last = times.len().checked_sub(1)?;
        // Nearest rank: of twenty times the nineteenth is the 95th percentile, of two the larger one.
        let p95 = (times.len() * 95).div_ceil(100).saturating_sub(1);
        Some(Spread {
            median: times[last / 2],
            p95: times[p95.min(last)],
        })
    }
}

impl Turn {
    /// `None` when something is missing: what is said is no answer to this turn.
    fn sent(&self, at: Instant, fillers: u32) -> Option<TurnLatency> {
        let (answered, made) = (self.answered?, self.made?);
        let first_token = self.first_token;
        Some(TurnLatency {
            transcription_delay: self
                .transcribed
                .saturating_duration_since(self.speech_ended),
            ttft: first_token.map(|at| at.saturating_duration_since(self.transcribed)),
            answer: answered.saturating_duration_since(self.transcribed),
            ttfb: made.saturating_duration_since(answered),
            queued: at.saturating_duration_since(made),
            total: at.saturating_duration_since(self.speech_ended),
            fillers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A turn of 1.5 s, with a model.
    fn turn(latency: &mut Latency, start: Instant, factor: u32) -> Option<TurnLatency> {
        let at = |ms: u32| start + MS * ms * factor;
        latency.heard(start, at(700));
        latency.thinks();
        for moment in [
            Moment::FirstToken(at(1_000)),
            Moment::Answered(at(1_200)),
            Moment::Made(at(1_400)),
        ] {
            assert_eq!(latency.happened(moment), None);
        }
        latency.happened(Moment::Sent(at(1_500)))
    }

    #[test]
    fn the_times_of_a_turn_add_up() {
        let mut latency = Latency::default();
        let record = turn(&mut latency, Instant::now(), 1).unwrap();
        let expected = TurnLatency {
            transcription_delay: 700 * MS,
            ttft: Some(300 * MS),
            answer: 500 * MS,
            ttfb: 200 * MS,
            queued: 100 * MS,
            total: 1_500 * MS,
            fillers: 0,
        };
        assert_eq!(record, expected);
        let parts = record.transcription_delay + record.answer + record.ttfb + record.queued;
        assert_eq!(parts, record.total);
    }

    #[test]
    fn what_is_said_without_a_turn_is_no_record() {
        let (mut latency, now) = (Latency::default(), Instant::now());
        for moment in [Moment::Answered(now), Moment::Made(now), Moment::Sent(now)] {
            assert_eq!(latency.happened(moment), None);
        }
        latency.heard(now, now);
        assert_eq!(
            latency.happened(Moment::Sent(now)),
            None,
            "of the words before"
        );
        assert_eq!(latency.turns(), 0);
        assert_eq!(latency.spread(|turn| Some(turn.total)), None);
    }

    #[test]
    fn the_second_clause_of_an_answer_is_no_second_turn() {
        let (mut latency, now) = (Latency::default(), Instant::now());
        assert!(turn(&mut latency, now, 1).is_some());
        assert_eq!(latency.happened(Moment::Made(now)), None);
        assert_eq!(latency.happened(Moment::Sent(now)), None);
        assert_eq!(latency.turns(), 1);
    }

    #[test]
    fn an_answer_is_there_with_its_first_sentence() {
        let (mut latency, now) = (Latency::default(), Instant::now());
        latency.heard(now, now);
        for moment in [
            Moment::Answered(now + MS),
            Moment::Made(now + 2 * MS),
            Moment::Answered(now + 3 * MS),
        ] {
            assert_eq!(latency.happened(moment), None);
        }
        let record = latency.happened(Moment::Sent(now + 5 * MS)).unwrap();
        assert_eq!((record.answer, record.ttfb), (MS, MS));
    }

    #[test]
    fn thoughts_that_were_given_up_do_not_count() {
        let (mut latency, now) = (Latency::default(), Instant::now());
        latency.heard(now, now);
        latency.thinks();
        latency.happened(Moment::FirstToken(now + MS));
        latency.happened(Moment::Answered(now + 2 * MS));
        latency.thinks();
        latency.happened(Moment::Answered(now + 900 * MS));
        latency.happened(Moment::Made(now + 900 * MS));
        let record = latency.happened(Moment::Sent(now + 900 * MS)).unwrap();
        assert_eq!((record.ttft, record.answer), (None, 900 * MS));
    }

    #[test]
    fn fillers_belong_to_the_turn_whose_answer_they_came_before() {
        let (mut latency, now) = (Latency::default(), Instant::now());
        // The first one before the words were there.
        latency.filled();
        latency.heard(now, now);
        latency.filled();
        for moment in [Moment::Answered(now), Moment::Made(now)] {
            latency.happened(moment);
        }
        let record = latency.happened(Moment::Sent(now)).unwrap();
        assert_eq!(record.fillers, 2);
        assert_eq!(turn(&mut latency, now, 1).unwrap().fillers, 0);
    }

    #[test]
    fn median_and_95th_percentile_are_times_that_were_measured() {
        for (turns, median, p95) in [(1, 1, 1), (2, 1, 2), (3, 2, 3), (20, 10, 19), (21, 11, 20)] {
            let mut latency = Latency::default();
            // The order does not matter.
            for factor in (1..=turns).rev() {
                turn(&mut latency, Instant::now(), factor);
            }
            let spread = latency.spread(|turn| Some(turn.total)).unwrap();
            let expected = Spread {
                median: 1_500 * MS * median,
                p95: 1_500 * MS * p95,
            };
            assert_eq!(spread, expected, "{turns} turns");
        }
    }
}
