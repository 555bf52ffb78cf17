//! The agent's mouth at the console: 10 ms of what is said at a time.

use std::{collections::VecDeque, time::Instant};

use speech::{Pcm, resample};
use tokio::sync::mpsc::{self, error::TryRecvError};

use crate::{
    audio::SPEAKING_RATE,
    call::Utterance,
    delivery::{Clip, Delivery},
    voice::Words,
};

/// The agent's mouth.
#[derive(Default)]
pub(super) struct Mouth {
    /// The utterance that is being said, or was said last.
    speaking: Option<Speaking>,
    paused: bool,
    /// The filler, and what of it is left. What is to be said waits for its end.
    filling: Option<(Utterance, VecDeque<i16>)>,
}

/// What comes to the caller's ears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audible {
    /// The first 10 ms of it, or the first after a gap.
    Begins(Utterance),
    /// The last that has come; there is more to come.
    Gap(Utterance),
    /// The last.
    Ends(Utterance),
    /// There was nothing in it.
    Nothing(Utterance),
}

pub(super) struct Speaking {
    utterance: Utterance,
    /// Takes its words; `None` when it has all of them.
    pub(super) words: Option<Words>,
    pieces: mpsc::Receiver<Clip>,
    delivery: Delivery,
    /// Whether all pieces have come.
    complete: bool,
    /// Whether any of it was said.
    begun: bool,
    /// Whether it is being said, without a gap.
    sounds: bool,
    /// Whether all of it was said.
    over: bool,
    /// Whether it is said to the caller, not to the transfer target in private.
    to_caller: bool,
}

impl Mouth {
    pub(super) fn begin(
        &mut self,
        utterance: Utterance,
        words: Words,
        pieces: mpsc::Receiver<Clip>,
        to_caller: bool,
    ) {
        self.paused = false;
        self.speaking = Some(Speaking {
            utterance,
            words: Some(words),
            pieces,
            delivery: Delivery::default(),
            complete: false,
            begun: false,
            sounds: false,
            over: false,
            to_caller,
        });
    }

    pub(super) fn fill(&mut self, utterance: Utterance, filler: &[Pcm]) {
        let samples = filler
            .iter()
            .flat_map(|pcm| resample(pcm, SPEAKING_RATE).samples);
        self.filling = Some((utterance, samples.collect()));
    }

    pub(super) fn speaking_of(&mut self, utterance: Utterance) -> Option<&mut Speaking> {
        let speaking = self.speaking.as_mut();
        speaking.filter(|speaking| speaking.utterance == utterance)
    }

    pub(super) fn is_speaking(&self) -> bool {
        self.filling.is_some() || self.has_more()
    }

    fn has_more(&self) -> bool {
        self.speaking
            .as_ref()
            .is_some_and(|speaking| !speaking.over)
    }

    /// Puts the next 10 ms into `frame`, and returns what begins or ends by that.
    pub(super) fn speak(&mut self, now: Instant, frame: &mut [i16]) -> Option<Audible> {
        if let Some((utterance, samples)) = &mut self.filling {
            let utterance = *utterance;
            for place in frame {
                *place = samples.pop_front().unwrap_or_default();
            }
            return samples.is_empty().then(|| {
                self.filling = None;
                Audible::Ends(utterance)
            });
        }
        let paused = self.paused;
        let speaking = self.speaking.as_mut().filter(|speaking| !speaking.over)?;
        let (begun, sounded) = (speaking.begun, speaking.sounds);
        if !paused {
            speaking.take(false);
            if let Some(samples) = speaking.delivery.next_frame() {
                frame.copy_from_slice(&samples);
                speaking.delivery.queued(now);
                (speaking.begun, speaking.sounds) = (true, true);
                speaking.take(false);
            }
        }
        if speaking.sounds && !sounded {
            return Some(Audible::Begins(speaking.utterance));
        }
        let is_dry = speaking.delivery.next_frame().is_none();
        speaking.over = speaking.complete && is_dry;
        if speaking.over {
            let end = if begun {
                Audible::Ends
            } else {
                Audible::Nothing
            };
            return Some(end(speaking.utterance));
        }
        speaking.sounds &= paused || !is_dry;
        (sounded && !speaking.sounds).then_some(Audible::Gap(speaking.utterance))
    }

    /// Returns whether something was being said.
    pub(super) fn pause(&mut self, now: Instant) -> bool {
        let Some(speaking) = self.speaking.as_mut().filter(|speaking| !speaking.over) else {
            return false;
        };
        speaking.take(true);
        speaking.delivery.pause(now);
        self.paused = true;
        true
    }

    /// Returns whether there is something that goes on.
    pub(super) fn resume(&mut self) -> bool {
        std::mem::take(&mut self.paused) && self.has_more()
    }

    /// Ends the utterance, and returns what the caller has heard of it.
    pub(super) fn conclude(&mut self, now: Instant) -> Option<String> {
        let heard = self.heard(now);
        *self = Self::default();
        heard
    }

    /// What the caller has heard of the utterance until now.
    pub(super) fn heard(&self, now: Instant) -> Option<String> {
        let speaking = self.speaking.as_ref()?;
        speaking.to_caller.then(|| speaking.delivery.words(now))
    }
}

impl Speaking {
    /// Takes pieces that have come: all of them, or as many as the next frame needs.
    fn take(&mut self, all: bool) {
        while !self.complete && (all || self.delivery.next_frame().is_none()) {
            match self.pieces.try_recv() {
                Ok(clip) => {
                    let pcm = resample(&clip.pcm, SPEAKING_RATE);
                    self.delivery.take(Clip { pcm, ..clip });
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => self.complete = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::voice::Voice;

    const FRAME: Duration = Duration::from_millis(10);

    /// Samples of a frame.
    const SPOKEN: usize = SPEAKING_RATE as usize / 100;

    #[tokio::test]
    async fn what_is_said_is_over_with_its_last_sample_and_keeps_what_is_paused() {
        let start = Instant::now();
        let (pieces, receiver) = mpsc::channel(2);
        let clip = |begins: Option<&str>| Clip {
            pcm: Pcm {
                sample_rate: SPEAKING_RATE,
                samples: vec![1_000; SPOKEN],
            },
            begins: begins.map(str::to_owned),
            ends: begins.is_none(),
        };
        pieces.try_send(clip(Some("Hello."))).unwrap();
        let mut mouth = Mouth::default();
        let (words, _) = Voice::new(None, None).begin("Hello.".to_owned());
        mouth.begin(Utterance(1), words, receiver, true);
        let mut frame = [0; SPOKEN];
        let begins = Some(Audible::Begins(Utterance(1)));
        assert_eq!(mouth.speak(start, &mut frame), begins);
        assert_eq!(frame, [1_000; SPOKEN]);

        // There is more to come.
        let gap = Some(Audible::Gap(Utterance(1)));
        assert_eq!(mouth.speak(start + FRAME, &mut frame), gap);
        assert_eq!(mouth.speak(start + FRAME, &mut frame), None);

        pieces.try_send(clip(None)).unwrap();
        drop(pieces);
        assert!(mouth.pause(start + FRAME));
        frame = [0; SPOKEN];
        assert_eq!(mouth.speak(start + FRAME, &mut frame), None);
        assert_eq!(frame, [0; SPOKEN], "it is silent meanwhile");
        assert!(mouth.resume());

        let sounds = (2..100).filter_map(|tick| mouth.speak(start + FRAME * tick, &mut frame));
        let ends = Audible::Ends(Utterance(1));
        assert_eq!(
            sounds.collect::<Vec<_>>(),
            [Audible::Begins(Utterance(1)), ends]
        );
        assert!(!mouth.is_speaking());
        let heard = mouth.conclude(start + FRAME * 200);
        assert_eq!(heard.as_deref(), Some("Hello."));
    }
}
