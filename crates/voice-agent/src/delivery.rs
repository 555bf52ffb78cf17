//! An utterance on its way to the person: where to go on after a pause, and which words were heard.
//!
//! Contract: [`Delivery::take`] what is to be said as it comes, play [`Delivery::next_frame`] and say so by
//! [`Delivery::queued`]. It reads no clock; `now` must not go back. What was played is heard, also while it is still
//! on its way.

use std::time::{Duration, Instant};

use speech::Pcm;

use crate::{
    audio::{FRAME, SPEAKING_RATE},
    voice::CHARACTERS_PER_SECOND,
};

/// What one frame plays for.
const FRAME_TIME: Duration = Duration::from_millis(10);

/// How far back the beginning of a clause is looked for when an interrupted one is said again.
const REWIND_LIMIT: usize = 3 * SPEAKING_RATE as usize;

/// How far the agent goes back in a clause that is longer than that.
const REWIND: usize = SPEAKING_RATE as usize;

/// What is kept of the past: as much as a rewind needs, and what is queued.
const KEPT: usize = REWIND_LIMIT + SPEAKING_RATE as usize;

/// Frames of silence before a clause, at least (80 ms).
const GAP: usize = 8;

/// Samples below this are silence.
const QUIET: u16 = 256;

/// A piece of speech.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Clip {
    pub(crate) pcm: Pcm,
    /// The words that begin with it; `None` goes on with those of the clip before.
    pub(crate) begins: Option<String>,
    /// Whether the words that were begun end with it.
    pub(crate) ends: bool,
}

/// How far an utterance has come. Positions are samples of it in [`SPEAKING_RATE`], counted from its beginning.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    passages: Vec<Passage>,
    /// In whole frames, without what is too long ago to be said again.
    audio: Vec<i16>,
    /// Position of the first sample of `audio`.
    kept_from: usize,
    /// Position of the next frame.
    next: usize,
    /// When the last queued frame has been played.
    played_at: Option<Instant>,
    /// Up to where the person had heard it when it was last paused.
    heard: usize,
}

/// Words, and where they are.
#[derive(Debug)]
struct Passage {
    words: String,
    /// Positions of the first and behind the last sample that is not silence; empty until there is one.
    start: usize,
    end: usize,
    /// Whether all of its audio has come.
    ended: bool,
}

impl Delivery {
    /// Takes the next piece, which is in [`SPEAKING_RATE`].
    pub(crate) fn take(&mut self, clip: Clip) {
        let forgotten = self.next.saturating_sub(self.kept_from + KEPT);
        self.audio.drain(..forgotten);
        self.kept_from += forgotten;

        let samples = clip.pcm.samples;
        let at = self.end();
        if let Some(words) = clip.begins {
            self.passages.push(Passage {
                words,
                start: at,
                end: at,
                ended: false,
            });
        }
        if let Some(passage) = self.passages.last_mut() {
            passage.ended |= clip.ends;
            let loud = |sample: &i16| !is_quiet(*sample);
            if let (Some(first), Some(last)) = (
                samples.iter().position(loud),
                samples.iter().rposition(loud),
            ) {
                if passage.start == passage.end {
                    passage.start = at + first;
                }
                passage.end = at + last + 1;
            }
        }
        self.audio.extend(samples);
        self.audio
            .resize(self.audio.len().next_multiple_of(FRAME), 0);
    }

    /// The next 10 ms to be played, if they have come.
    pub(crate) fn next_frame(&self) -> Option<Vec<i16>> {
        let start = self.next - self.kept_from;
        self.audio.get(start..start + FRAME).map(<[i16]>::to_vec)
    }

    /// The next frame is on its way.
    pub(crate) fn queued(&mut self, now: Instant) {
        self.next += FRAME;
        self.played_at = Some(self.played_at.map_or(now, |at| at.max(now)) + FRAME_TIME);
    }

    /// When all that is queued has been played; `None` when nothing was.
    pub(crate) fn played_at(&self) -> Option<Instant> {
        self.played_at
    }

    /// What was queued and not played yet is lost. Goes back to the beginning of the clause that was being said, unless
    /// nothing is left to be said, and never as far as where it was paused before: nothing is said three times.
    pub(crate) fn pause(&mut self, now: Instant) {
        let at = self.position(now);
        self.next = if at == self.end() {
            at
        } else {
            self.clause_start(at).max(self.heard.min(at))
        };
        self.heard = self.heard.max(at);
        self.played_at = Some(now);
    }

    /// The words that the person has heard, to the last one that was whole.
    ///
    /// A guess within a clause, or within a sentence of a vendor: each character takes as long as another.
    pub(crate) fn words(&self, now: Instant) -> String {
        let heard = self.heard.max(self.position(now));
        let words: Vec<_> = self
            .passages
            .iter()
            .map(|passage| passage.words_until(heard))
            .filter(|words| !words.is_empty())
            .collect();
        words.join(" ")
    }

    /// Where the person is who hears what is played.
    fn position(&self, now: Instant) -> usize {
        let ahead = self
            .played_at
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let frames = ahead.as_nanos().div_ceil(FRAME_TIME.as_nanos());
        self.next.saturating_sub(frames as usize * FRAME)
    }

    fn end(&self) -> usize {
        self.kept_from + self.audio.len()
    }

    /// Where the clause begins that is being said at the position `at`.
    fn clause_start(&self, at: usize) -> usize {
        let earliest = at.saturating_sub(REWIND_LIMIT).max(self.kept_from);
        let is_quiet_at = |start: usize| {
            let frame = &self.audio[start - self.kept_from..][..FRAME];
            frame.iter().all(|sample| is_quiet(*sample))
        };
        let mut quiet = 0;
        for start in (earliest..at).step_by(FRAME).rev() {
            quiet = if is_quiet_at(start) { quiet + 1 } else { 0 };
            if quiet == GAP {
                return start + GAP * FRAME;
            }
        }
        if earliest == 0 { 0 } else { at - REWIND }
    }
}

impl Passage {
    /// Those that were said in full at the position `at`.
    fn words_until(&self, at: usize) -> &str {
        if self.start == self.end || at <= self.start {
            return "";
        }
        if self.ended && at >= self.end {
            return &self.words;
        }
        let said = (at.min(self.end) - self.start) as f64;
        let characters = if self.ended {
            let all = self.words.chars().count() as f64;
            all * said / (self.end - self.start) as f64
        } else {
            said / f64::from(SPEAKING_RATE) * CHARACTERS_PER_SECOND
        };
        whole_words(&self.words, characters as usize)
    }
}

fn is_quiet(sample: i16) -> bool {
    sample.unsigned_abs() < QUIET
}

/// The words that end within so many characters.
fn whole_words(text: &str, characters: usize) -> &str {
    let Some((end, next)) = text.char_indices().nth(characters) else {
        return text;
    };
    let end = match next.is_whitespace() {
        true => end,
        false => text[..end].rfind(char::is_whitespace).unwrap_or(0),
    };
    text[..end].trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: usize = SPEAKING_RATE as usize;

    fn speech(milliseconds: usize) -> Vec<i16> {
        vec![5_000; milliseconds * SECOND / 1000]
    }

    fn silence(milliseconds: usize) -> Vec<i16> {
        vec![100; milliseconds * SECOND / 1000]
    }

    fn clip(samples: Vec<i16>, begins: Option<&str>, ends: bool) -> Clip {
        Clip {
            pcm: Pcm {
                sample_rate: SPEAKING_RATE,
                samples,
            },
            begins: begins.map(str::to_owned),
            ends,
        }
    }

    fn clause(words: &str, samples: Vec<i16>) -> Clip {
        clip(samples, Some(words), true)
    }

    /// A delivery with its clock, whose queue is 200 ms long.
    struct Playing {
        delivery: Delivery,
        now: Instant,
    }

    impl Playing {
        fn of(clips: impl IntoIterator<Item = Clip>) -> Self {
            let mut delivery = Delivery::default();
            for clip in clips {
                delivery.take(clip);
            }
            Self {
                delivery,
                now: Instant::now(),
            }
        }

        /// Plays for so long, or to the end.
        fn play(&mut self, milliseconds: u64) {
            let until = self.now + Duration::from_millis(milliseconds);
            let queue = Duration::from_millis(200);
            while self.now < until {
                while self.delivery.next_frame().is_some()
                    && self
                        .delivery
                        .played_at()
                        .is_none_or(|at| at < self.now + queue)
                {
                    self.delivery.queued(self.now);
                }
                self.now += FRAME_TIME;
            }
        }

        /// In milliseconds, where it goes on.
        fn pause(&mut self) -> usize {
            self.delivery.pause(self.now);
            self.now += Duration::from_secs(1);
            self.delivery.next * 1000 / SECOND
        }

        fn words(&self) -> String {
            self.delivery.words(self.now)
        }
    }

    #[test]
    fn a_clause_begins_after_its_silence_or_with_the_text() {
        let two = |gap| [speech(1000), silence(gap), speech(1000)].concat();
        for (audio, paused_after, goes_on_at) in [
            (speech(1000), 500, 0),
            (speech(1000), 0, 0),
            (two(80), 1_090, 1_080),
            (two(80), 1_080, 1_080),
            (two(80), 1_900, 1_080),
            // In the gap.
            (two(200), 1_100, 1_100),
            // That is no gap between clauses.
            (two(70), 1_080, 0),
            (speech(5_000), 4_000, 3_000),
        ] {
            let mut playing = Playing::of([clause("Words.", audio)]);
            playing.play(paused_after);
            assert_eq!(playing.pause(), goes_on_at, "after {paused_after} ms");
        }
    }

    #[test]
    fn what_was_queued_is_said_again_at_the_least() {
        let mut playing = Playing::of([clause("Words.", [silence(1000), speech(500)].concat())]);
        playing.play(900);
        assert_eq!(playing.delivery.next * 1000 / SECOND, 1_090);
        assert_eq!(playing.pause(), 900);
    }

    #[test]
    fn nothing_is_said_three_times() {
        let mut playing = Playing::of([clause("Words.", speech(2_900))]);
        playing.play(1_000);
        assert_eq!(playing.pause(), 0);
        playing.play(600);
        assert_eq!(playing.pause(), 600, "the second time is enough");
        playing.play(1_400);
        assert_eq!(playing.pause(), 1_000);
    }

    #[test]
    fn who_speaks_when_all_was_said_hears_nothing_again() {
        let mut playing = Playing::of([clause("Words.", speech(500))]);
        playing.play(520);
        assert_eq!(playing.pause(), 500);
        assert_eq!(playing.delivery.next_frame(), None);
        assert_eq!(playing.words(), "Words.");
    }

    #[test]
    fn a_long_utterance_keeps_what_a_rewind_needs_and_no_more() {
        let mut playing = Playing::of([]);
        for _ in 0..60 {
            playing.delivery.take(clause("Words,", speech(1_000)));
            playing.play(1_000);
        }
        assert!(playing.delivery.audio.len() < KEPT + 2 * SECOND);
        assert_eq!(playing.pause(), 60_000);
        assert_eq!(playing.words().matches("Words,").count(), 60);
    }

    #[test]
    fn the_words_that_were_heard_are_those_that_were_played_in_full() {
        let clauses = [
            clause("Sure,", [silence(100), speech(400), silence(80)].concat()),
            clause("we open at nine.", [speech(1_600), silence(200)].concat()),
        ];
        for (played, words) in [
            (0, ""),
            (90, ""),
            (490, ""),
            (510, "Sure,"),
            (570, "Sure,"),
            // "we open" takes 700 of 1600 ms.
            (1_270, "Sure, we"),
            (1_290, "Sure, we open"),
            (2_170, "Sure, we open at"),
            // The silence after it is no word.
            (2_190, "Sure, we open at nine."),
            (5_000, "Sure, we open at nine."),
        ] {
            let mut playing = Playing::of(clauses.clone());
            playing.play(played);
            assert_eq!(playing.words(), words, "after {played} ms");
            playing.pause();
            assert_eq!(playing.words(), words, "paused after {played} ms");
        }
    }

    #[test]
    fn of_a_sentence_whose_end_has_not_come_the_words_are_guessed() {
        // 14 characters a second.
        let said = |played| {
            let mut playing = Playing::of([
                clip(speech(100), Some("We open at nine, on every day."), false),
                clip(speech(1_900), None, false),
            ]);
            playing.play(played);
            playing.words()
        };
        assert_eq!(said(400), "We");
        assert_eq!(said(1_000), "We open at");
        assert_eq!(said(5_000), "We open at nine, on every");
    }

    #[test]
    fn a_sentence_that_its_vendor_broke_off_was_not_said_in_full() {
        let mut playing = Playing::of([
            clip(speech(700), Some("We open at nine, on every day."), false),
            clause("on every day.", speech(800)),
        ]);
        playing.play(5_000);
        assert_eq!(playing.words(), "We open on every day.");
    }
}
