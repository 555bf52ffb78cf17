//! Which words belong to a turn, and whether Deepgram has finished with it.

use std::{collections::VecDeque, ops::Range, time::Duration};

use super::{Results, ServerMessage};

/// How far results may end before the person stopped speaking and still be complete.
///
/// Our end of speech and Deepgram's are found by different means and a frame apart at least.
const TOLERANCE: Duration = Duration::from_millis(100);

/// What Deepgram has heard and nobody has taken yet. Positions are those of the audio that was sent.
#[derive(Debug, Default)]
pub struct Listen {
    finals: VecDeque<Piece>,
    /// Words that may change.
    interim: Option<Piece>,
    /// Up to here the results are final.
    covered: Duration,
}

#[derive(Debug)]
struct Piece {
    range: Range<Duration>,
    text: String,
}

/// The words of a turn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words {
    pub text: String,
    /// Whether Deepgram has finished with them.
    pub complete: bool,
}

/// What a message was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noticed {
    /// There are new words, or words have become final.
    Words,
    /// There was no word for a while.
    UtteranceEnded,
    /// Nothing to act on.
    Nothing,
}

impl Listen {
    pub fn handle(&mut self, message: ServerMessage) -> Noticed {
        match message {
            ServerMessage::Results(results) => {
                self.results(&results);
                Noticed::Words
            }
            ServerMessage::UtteranceEnd { .. } => Noticed::UtteranceEnded,
            ServerMessage::SpeechStarted { .. }
            | ServerMessage::Metadata {}
            | ServerMessage::Error { .. }
            | ServerMessage::Unknown => Noticed::Nothing,
        }
    }

    fn results(&mut self, results: &Results) {
        let piece = Some(results.text())
            .filter(|text| !text.is_empty())
            .map(|text| Piece {
                range: results.start..results.end(),
                text: text.to_owned(),
            });
        if results.is_final {
            self.interim = None;
            self.covered = self.covered.max(results.end());
            self.finals.extend(piece);
        } else {
            self.interim = piece;
        }
    }

    /// Returns the words of a turn from its first to its last sound, and leaves them where they are.
    pub fn turn(&self, range: &Range<Duration>) -> Words {
        let pieces = self.finals.iter().chain(&self.interim);
        let text = pieces
            .filter(|piece| belongs(piece, range))
            .map(|piece| piece.text.as_str())
            .collect::<Vec<_>>()
            .join(" ");
        Words {
            text,
            complete: self.covered + TOLERANCE >= range.end,
        }
    }

    /// Takes the words of a turn, and forgets those before it.
    pub fn take(&mut self, range: &Range<Duration>) -> Words {
        let words = self.turn(range);
        self.finals.retain(|piece| piece.range.start >= range.end);
        if let Some(interim) = &self.interim
            && interim.range.start < range.end
        {
            self.interim = None;
        }
        words
    }

    /// From the first to the last of the words that are final and that nobody has taken.
    pub fn untaken(&self) -> Option<Range<Duration>> {
        let first = self.finals.front()?;
        let last = self.finals.back()?;
        Some(first.range.start..last.range.end)
    }
}

/// Whether some of the piece is in the turn.
fn belongs(piece: &Piece, turn: &Range<Duration>) -> bool {
    piece.range.start < turn.end && piece.range.end > turn.start
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Alternative, Channel},
        *,
    };

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn results(from: u64, to: u64, is_final: bool, text: &str) -> ServerMessage {
        ServerMessage::Results(Results {
            start: ms(from),
            duration: ms(to - from),
            is_final,
            speech_final: false,
            from_finalize: false,
            channel: Channel {
                alternatives: vec![Alternative {
                    transcript: text.to_owned(),
                }],
            },
        })
    }

    fn listen(messages: &[(u64, u64, bool, &str)]) -> Listen {
        let mut listen = Listen::default();
        for (from, to, is_final, text) in messages {
            listen.handle(results(*from, *to, *is_final, text));
        }
        listen
    }

    #[test]
    fn a_turn_is_complete_when_final_results_reach_its_end() {
        let turn = ms(800)..ms(2500);
        let check = |messages: &[(u64, u64, bool, &str)], text: &str, complete| {
            let words = listen(messages).turn(&turn);
            assert_eq!((words.text.as_str(), words.complete), (text, complete));
        };
        check(&[], "", false);
        check(&[(0, 1000, false, "transfer")], "transfer", false);
        check(
            &[
                (0, 1000, false, "trans"),
                (0, 2000, true, "transfer me"),
                (2000, 2600, false, "to a"),
            ],
            "transfer me to a",
            false,
        );
        check(
            &[
                (0, 2000, true, "transfer me"),
                (2000, 2600, true, "to an agent"),
            ],
            "transfer me to an agent",
            true,
        );
        check(&[(0, 2450, true, "yes")], "yes", true);
        check(&[(0, 3000, true, "")], "", true);
    }

    #[test]
    fn words_before_a_turn_are_not_its_own_and_are_forgotten_with_it() {
        let mut listen = listen(&[
            (0, 700, true, "echo"),
            (800, 2600, true, "yes please"),
            (2600, 4000, false, "and"),
        ]);
        let words = listen.take(&(ms(800)..ms(2500)));
        assert_eq!(words.text, "yes please");
        assert_eq!(listen.untaken(), None);
        listen.handle(results(2600, 4500, true, "and now"));
        assert_eq!(listen.untaken(), Some(ms(2600)..ms(4500)));
        assert_eq!(listen.take(&(ms(2600)..ms(4500))).text, "and now");
    }

    #[test]
    fn the_words_after_a_turn_stay_for_the_next_one() {
        let mut listen = listen(&[(0, 1000, true, "yes"), (1500, 2600, true, "no wait")]);
        assert_eq!(listen.take(&(ms(0)..ms(1000))).text, "yes");
        assert_eq!(listen.take(&(ms(1400)..ms(2500))).text, "no wait");
    }
}
