//! What the stages of a turn took, from what was seen outside the agent.

use std::time::{Duration, Instant};

use crate::vendor::{Event, Stamp};

/// The stages of one turn. What lies between them are the fixed times of the providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    /// From the end of the caller's speech to the request that has its audio.
    pub(crate) endpoint: Duration,
    /// From the transcript to the request for a reply; zero when a reply was asked for ahead.
    pub(crate) transcript_to_model: Duration,
    /// From the first token to the request for speech.
    pub(crate) token_to_speech: Duration,
    /// From the first byte of speech to the first sound at the phone.
    pub(crate) speech_to_phone: Duration,
    /// From the end of the caller's speech to the first sound at the phone.
    pub(crate) whole: Duration,
}

impl Turn {
    /// The turn in which the caller spoke until `ended` and heard the first sound at `sounded`.
    ///
    /// A provider may be asked more than once: what counts is the request that led to the sound.
    /// `None` when no such chain is there, as after a request in the middle of the caller's words.
    pub(crate) fn of(ended: Instant, stamps: &[Stamp], sounded: Instant) -> Option<Self> {
        let within = |from: Instant, event: Event, to: Instant| {
            stamps
                .iter()
                .filter(move |stamp| stamp.event == event && stamp.at >= from && stamp.at <= to)
                .map(|stamp| stamp.at)
        };
        let last = |event, to| within(ended, event, to).next_back();
        // The first sentence, not one that was asked for ahead.
        let audio = within(ended, Event::FirstAudio, sounded).next()?;
        let speech = within(ended, Event::SpeechAsked, audio).next()?;
        let token = last(Event::FirstToken, speech)?;
        let model = last(Event::ReplyAsked, token)?;
        let transcript = last(Event::Transcribed, model)?;
        let transcription = last(Event::TranscriptionAsked, transcript)?;
        Some(Self {
            endpoint: transcription - ended,
            transcript_to_model: model - transcript,
            token_to_speech: speech - token,
            speech_to_phone: sounded - audio,
            whole: sounded - ended,
        })
    }
}

/// The median of `times`, and what 95 in 100 do not exceed (nearest rank); `None` of none.
pub(crate) fn median_and_p95(mut times: Vec<Duration>) -> Option<(Duration, Duration)> {
    times.sort();
    let rank = |percent: usize| times.get((times.len() * percent).div_ceil(100).checked_sub(1)?);
    Some((*rank(50)?, *rank(95)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn stamps(start: Instant, events: &[(u64, Event)]) -> Vec<Stamp> {
        let stamp = |(at, event): &(u64, Event)| Stamp {
            at: start + ms(*at),
            event: *event,
        };
        events.iter().map(stamp).collect()
    }

    const PLAIN: [(u64, Event); 6] = [
        (1_500, Event::TranscriptionAsked),
        (1_650, Event::Transcribed),
        (1_660, Event::ReplyAsked),
        (1_860, Event::FirstToken),
        (2_000, Event::SpeechAsked),
        (2_100, Event::FirstAudio),
    ];

    #[test]
    fn the_stages_and_the_providers_make_the_whole() {
        let start = Instant::now();
        let turn = Turn::of(start + ms(1_000), &stamps(start, &PLAIN), start + ms(2_190)).unwrap();
        let expect = Turn {
            endpoint: ms(500),
            transcript_to_model: ms(10),
            token_to_speech: ms(140),
            speech_to_phone: ms(90),
            whole: ms(1_190),
        };
        assert_eq!(turn, expect);
    }

    #[test]
    fn requests_of_other_turns_and_such_that_led_to_nothing_do_not_count() {
        let start = Instant::now();
        let mut events = vec![
            (200, Event::SpeechAsked),
            (300, Event::FirstAudio),
            (900, Event::TranscriptionAsked),
            (1_050, Event::Transcribed),
            (1_060, Event::ReplyAsked),
        ];
        events.extend(PLAIN);
        // The second sentence, asked for while the first one is on its way to the phone.
        events.extend([(2_110, Event::SpeechAsked), (2_180, Event::FirstAudio)]);
        let stamps = stamps(start, &events);
        let turn = Turn::of(start + ms(1_000), &stamps, start + ms(2_190)).unwrap();
        assert_eq!((turn.endpoint, turn.token_to_speech), (ms(500), ms(140)));
        assert_eq!(turn.speech_to_phone, ms(90));
    }

    #[test]
    fn a_turn_that_was_cut_or_not_answered_is_none() {
        let start = Instant::now();
        let all = stamps(start, &PLAIN);
        let (ended, sounded) = (start + ms(1_000), start + ms(2_190));
        assert_eq!(Turn::of(ended, &all[1..], sounded), None);
        assert_eq!(Turn::of(start + ms(1_600), &all, sounded), None);
        assert_eq!(Turn::of(ended, &all, start + ms(2_050)), None);
    }

    #[test]
    fn median_and_95th_percentile_are_times_that_were_measured() {
        let check = |times: Vec<u64>, expect: Option<(u64, u64)>| {
            let times = times.into_iter().map(ms).collect();
            assert_eq!(
                median_and_p95(times),
                expect.map(|(median, p95)| (ms(median), ms(p95)))
            );
        };
        check((1..=20).rev().collect(), Some((10, 19)));
        check(vec![3, 1, 2], Some((2, 3)));
        check(vec![7], Some((7, 7)));
        check(vec![], None);
    }
}
