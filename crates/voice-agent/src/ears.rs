//! From audio to what was said.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use futures_util::{StreamExt as _, stream::FuturesOrdered};
use speech::{Endpoint, Endpointer, HANG, NUMBER_HANG, Pass, Transcript, Turn, Whisper};
use tokio::{join, sync::mpsc, time::sleep_until};
use tracing::error;

use crate::{
    conversation::{has_number, is_unfinished_number},
    inference::Inference,
};

/// Confidence below which the other recognition is asked, too.
///
/// "Transfer me." heard as "for me." scores about -0.4, clear sentences -0.2 and better. Asking costs
/// the person half a second of silence.
const UNSURE: f32 = -0.4;

/// What the person on the line did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EarEvent {
    /// The person begins to speak. A [`EarEvent::Turn`] follows, perhaps with an empty text.
    SpeechStarted,
    Turn {
        /// What the fast recognition made of it; empty when it was no speech.
        first: String,
        /// What the other recognition made of it, when there is a number in it or the first was unsure.
        second: Option<String>,
        /// When the person stopped speaking.
        speech_ended: Instant,
        /// When the recognition was ready.
        transcribed: Instant,
    },
}

/// What the ears should be prepared for; a clone is told by those who know.
#[derive(Debug, Clone, Default)]
pub struct Attention {
    number: Arc<AtomicBool>,
    agent: Arc<AtomicBool>,
}

impl Attention {
    /// The agent has asked for a number: people pause in it, and it is recognised twice.
    pub fn expect_number(&self, expected: bool) {
        self.number.store(expected, Relaxed);
    }

    /// The agent's own voice is on the line and comes back as an echo.
    pub fn agent_speaks(&self, speaks: bool) {
        self.agent.store(speaks, Relaxed);
    }

    fn expects_number(&self) -> bool {
        self.number.load(Relaxed)
    }

    fn prepare(&self, endpointer: &mut Endpointer) {
        endpointer.set_hang(if self.expects_number() {
            NUMBER_HANG
        } else {
            HANG
        });
        endpointer.set_agent_speaking(self.agent.load(Relaxed));
    }
}

/// The ears of one call.
pub struct Ears {
    whisper: Arc<Whisper>,
    inference: Inference,
    attention: Attention,
}

impl Ears {
    pub(crate) fn new(whisper: Arc<Whisper>, inference: Inference) -> Self {
        Self {
            whisper,
            inference,
            attention: Attention::default(),
        }
    }

    /// The handle by which these ears are told what to expect.
    pub fn attention(&self) -> Attention {
        self.attention.clone()
    }

    /// Listens until `frames` or `events` closes.
    ///
    /// `frames` are 16 kHz mono, 10 ms or any other length, and never stop while the call lasts:
    /// silence is what ends a turn. Recognition runs beside listening, and turns come in their order.
    /// A phone number that breaks off is held back for [`NUMBER_HANG`] and joined with what follows.
    pub async fn listen(
        self,
        mut frames: mpsc::Receiver<Vec<i16>>,
        events: mpsc::Sender<EarEvent>,
    ) {
        let mut endpointer = Endpointer::default();
        let mut recognising = FuturesOrdered::new();
        let mut held: Option<Recognised> = None;
        loop {
            let speaks = endpointer.is_speaking();
            let patience = held.as_ref().filter(|_| !speaks && recognising.is_empty());
            let patience = patience.map(|held| held.speech_ended + NUMBER_HANG);
            let out = tokio::select! {
                frame = frames.recv() => {
                    let Some(frame) = frame else { break };
                    self.attention.prepare(&mut endpointer);
                    let mut out = Vec::new();
                    for event in endpointer.push(&frame) {
                        match event {
                            Endpoint::SpeechStarted => out.push(EarEvent::SpeechStarted),
                            Endpoint::TurnEnded(turn) => {
                                recognising.push_back(self.recognise(turn));
                            }
                        }
                    }
                    out
                }
                Some(recognised) = recognising.next() => {
                    let (finished, recognised) = match held.take() {
                        Some(begun) if has_number(&recognised.first) => (None, begun.join(recognised)),
                        other => (other, recognised),
                    };
                    let mut out: Vec<_> = finished.map(Recognised::into_event).into_iter().collect();
                    if recognised.is_unfinished() {
                        held = Some(recognised);
                    } else {
                        out.push(recognised.into_event());
                    }
                    out
                }
                () = sleep_until_maybe(patience) => {
                    held.take().map(Recognised::into_event).into_iter().collect()
                }
            };
            for event in out {
                if events.send(event).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn recognise(&self, turn: Turn) -> Recognised {
        let speech_ended = Instant::now()
            .checked_sub(turn.silence)
            .unwrap_or_else(Instant::now);
        let samples: Arc<[f32]> = turn.samples().into();
        let (first, second) = if self.attention.expects_number() {
            let (first, second) = join!(
                self.transcribe(samples.clone(), Pass::First),
                self.transcribe(samples, Pass::Second),
            );
            (first.text, Some(second.text))
        } else {
            let first = self.transcribe(samples.clone(), Pass::First).await;
            let second = if has_number(&first.text) || first.confidence < UNSURE {
                Some(self.transcribe(samples, Pass::Second).await.text)
            } else {
                None
            };
            (first.text, second)
        };
        Recognised {
            first,
            second,
            speech_ended,
        }
    }

    /// A transcript without words is what noise and failures give.
    async fn transcribe(&self, samples: Arc<[f32]>, pass: Pass) -> Transcript {
        let whisper = self.whisper.clone();
        let transcript = self
            .inference
            .run(move || whisper.transcribe(&samples, pass))
            .await;
        match transcript {
            Ok(transcript) if transcript.is_speech() => transcript,
            Ok(_) => Transcript::default(),
            Err(error) => {
                error!("{:#}", anyhow::Error::from(error));
                Transcript::default()
            }
        }
    }
}

struct Recognised {
    first: String,
    second: Option<String>,
    speech_ended: Instant,
}

impl Recognised {
    fn is_unfinished(&self) -> bool {
        is_unfinished_number(self.second.as_ref().unwrap_or(&self.first))
    }

    fn join(self, more: Self) -> Self {
        let second = match (&self.second, &more.second) {
            (None, None) => None,
            (begun, end) => Some(format!(
                "{} {}",
                begun.as_ref().unwrap_or(&self.first),
                end.as_ref().unwrap_or(&more.first)
            )),
        };
        Self {
            first: format!("{} {}", self.first, more.first),
            second,
            speech_ended: more.speech_ended,
        }
    }

    fn into_event(self) -> EarEvent {
        EarEvent::Turn {
            first: self.first,
            second: self.second,
            speech_ended: self.speech_ended,
            transcribed: Instant::now(),
        }
    }
}

async fn sleep_until_maybe(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => pending().await,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{sync::LazyLock, time::Duration};

    use speech::{HEARING_RATE, ModelsDir, Piper, resample};

    use super::*;
    use crate::conversation::SpokenNumber;

    pub(crate) struct Models {
        pub(crate) whisper: Arc<Whisper>,
        pub(crate) piper: Arc<Piper>,
    }

    /// The installed models, loaded once for all tests.
    pub(crate) static MODELS: LazyLock<Models> = LazyLock::new(|| {
        let models = sip_config::Environment::load()
            .unwrap()
            .settings::<sip_config::SpeechSettings>()
            .unwrap()
            .models_dir;
        let models = ModelsDir::new(models);
        let whisper = Whisper::load(&models.whisper()).unwrap_or_else(|error| panic!("{error}"));
        let piper = Piper::load(&models.piper()).unwrap_or_else(|error| panic!("{error}"));
        Models {
            whisper: Arc::new(whisper),
            piper: Arc::new(piper.steady()),
        }
    });

    /// Speech at the pace of a call, each sentence after its pause.
    async fn speak(frames: mpsc::Sender<Vec<i16>>, sentences: &[(u64, &str)]) {
        let mut audio = Vec::new();
        for (pause_ms, sentence) in sentences {
            audio.resize(audio.len() + *pause_ms as usize * 16, 0);
            let spoken = MODELS.piper.synthesize(sentence).unwrap();
            audio.extend(resample(&spoken, HEARING_RATE).samples);
        }
        audio.resize(audio.len() + 2 * HEARING_RATE as usize, 0);
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        for frame in audio.chunks(160) {
            pace.tick().await;
            frames.send(frame.to_vec()).await.unwrap();
        }
    }

    /// Speaks, and collects what is heard until `turns` turns are.
    async fn heard(attention: Attention, turns: usize, sentences: &[(u64, &str)]) -> Vec<EarEvent> {
        let mut ears = Ears::new(MODELS.whisper.clone(), Inference::on_all_cores());
        ears.attention = attention;
        let (to_ears, frames) = mpsc::channel(100);
        let (events, mut from_ears) = mpsc::channel(100);
        let mut collected = Vec::new();
        let collect = async {
            let is_turn = |event: &EarEvent| matches!(event, EarEvent::Turn { .. });
            while collected.iter().filter(|event| is_turn(event)).count() < turns {
                let event = from_ears.recv().await;
                collected.push(event.expect("the ears listen"));
            }
        };
        let line = async {
            speak(to_ears.clone(), sentences).await;
            // The line stays open until the recognition is ready.
            pending::<()>().await;
        };
        tokio::select! {
            () = ears.listen(frames, events) => unreachable!("the line is open"),
            () = line => unreachable!("it never ends"),
            () = collect => {}
        }
        collected
    }

    fn words(text: &str) -> String {
        let plain: String = text
            .chars()
            .map(|c| if c.is_alphanumeric() { c } else { ' ' })
            .collect();
        plain
            .to_lowercase()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_sentence_becomes_a_turn() {
        let started = Instant::now();
        let said = [(500, "Transfer me to a live agent.")];
        let events = heard(Attention::default(), 1, &said).await;
        let [
            EarEvent::SpeechStarted,
            EarEvent::Turn {
                first,
                second,
                speech_ended,
                transcribed,
            },
        ] = &events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!(words(first), "transfer me to a live agent");
        assert_eq!(*second, None);
        assert!(*speech_ended > started + Duration::from_millis(1500));
        assert!(*transcribed >= *speech_ended + HANG);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_number_is_recognised_twice() {
        let said = [(
            500,
            "Plus four four, two zero, seven nine four six, zero nine five eight.",
        )];
        for expected in [false, true] {
            let attention = Attention::default();
            attention.expect_number(expected);
            let events = heard(attention, 1, &said).await;
            let Some(EarEvent::Turn {
                first,
                second: Some(second),
                ..
            }) = events.last()
            else {
                panic!("{events:?}")
            };
            for text in [first, second] {
                let number = SpokenNumber::find(text).map(|number| number.digits);
                assert_eq!(number.as_deref(), Some("442079460958"), "{text}");
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_number_with_a_long_pause_in_it_is_one_turn() {
        let said = [
            (500, "Transfer me to plus four four, two zero."),
            (700, "Seven nine four six, zero nine five eight."),
        ];
        let events = heard(Attention::default(), 1, &said).await;
        let Some(EarEvent::Turn {
            first,
            second: Some(second),
            ..
        }) = events.last()
        else {
            panic!("{events:?}")
        };
        let digits = |text: &str| SpokenNumber::find(text).map_or(0, |number| number.digits.len());
        let whole = [digits(first), digits(second)].contains(&12);
        assert!(whole, "{first} / {second}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_number_that_stays_unfinished_is_told_after_a_while() {
        let said = [(500, "Plus four four, two zero, seven nine.")];
        let events = heard(Attention::default(), 1, &said).await;
        let Some(EarEvent::Turn {
            first,
            speech_ended,
            transcribed,
            ..
        }) = events.last()
        else {
            panic!("{events:?}")
        };
        assert!(has_number(first), "{first}");
        assert!(*transcribed >= *speech_ended + NUMBER_HANG);
    }
}
