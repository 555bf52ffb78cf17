//! From text to audio.
//!
//! A vendor speaks where one is chosen, and the local voice otherwise and whenever the vendor fails. Nothing is
//! said twice: what a vendor has begun to say and broken off stays half said, and the local voice goes on
//! with the next clause.

use std::{ops::Range, sync::Arc, time::Duration};

use speech::{Pcm, Piper, StreamResampler, clauses};
use speech_cloud::{CloudVoice, SpeakError};
use tokio::sync::mpsc;
use tracing::{Instrument as _, Span, debug, error};

use crate::{audio::SPEAKING_RATE, delivery::Clip, inference::Inference, vendor::Vendor};

/// Clauses that are made ahead of the one that is being played.
const AHEAD: usize = 2;

/// Pieces of a vendor's audio ahead of the one that is being played: ten seconds when they are full, so that
/// the next sentence is asked for while this one is played.
const PIECES_AHEAD: usize = 100;

/// Samples of a vendor's audio that are passed on at once (100 ms).
const PIECE: usize = SPEAKING_RATE as usize / 10;

/// Silence after a comma and the like.
const CLAUSE_PAUSE: Duration = Duration::from_millis(80);

/// Silence after a sentence.
const SENTENCE_PAUSE: Duration = Duration::from_millis(200);

/// How long a vendor may take to its first audio when the local voice can stand in.
///
/// The person hears silence meanwhile.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// The same when nobody can stand in.
const LONG_PATIENCE: Duration = Duration::from_secs(5);

/// How fast the vendors speak, for a guess how far a sentence had come that broke off.
pub(crate) const CHARACTERS_PER_SECOND: f64 = 14.0;

/// The agent's voice.
#[derive(Clone)]
pub struct Voice {
    vendor: Option<(CloudVoice, Vendor)>,
    local: Option<LocalVoice>,
}

/// Piper, on this machine.
#[derive(Clone)]
pub(crate) struct LocalVoice {
    pub(crate) piper: Arc<Piper>,
    pub(crate) inference: Inference,
}

/// Nobody listens any more.
struct Gone;

/// How far a sentence came that its vendor did not bring to an end.
struct BrokenOff {
    error: SpeakError,
    /// Length of the audio that was passed on.
    heard: Duration,
}

impl Voice {
    pub(crate) fn new(vendor: Option<(CloudVoice, Vendor)>, local: Option<LocalVoice>) -> Self {
        Self { vendor, local }
    }

    /// Speaks a text, the pauses between its clauses included.
    ///
    /// The first audio comes after a tenth of a second from the local voice and when a vendor has it, the rest
    /// while it plays. Pieces are as long as they come, from a vendor in whole frames of 10 ms of 48 kHz.
    /// Dropping the receiver ends the work. What cannot be spoken is logged and left out.
    pub(crate) fn sentences(&self, text: &str) -> mpsc::Receiver<Clip> {
        let ahead = match &self.vendor {
            Some(_) => PIECES_AHEAD,
            None => AHEAD,
        };
        let (audio, receiver) = mpsc::channel(ahead);
        let clauses: Vec<String> = clauses(text).map(str::to_owned).collect();
        let voice = self.clone();
        let speak = async move {
            // That nobody listens any more is no news to whoever stopped listening.
            voice.speak(clauses, audio).await.ok();
        };
        tokio::spawn(speak.instrument(Span::current()));
        receiver
    }

    async fn speak(&self, clauses: Vec<String>, audio: mpsc::Sender<Clip>) -> Result<(), Gone> {
        let said = match &self.vendor {
            Some((voice, vendor)) if self.local.is_none() || vendor.is_worth_asking() => {
                tokio::select! {
                    said = self.speak_by_vendor(voice, vendor, &clauses, &audio) => said?,
                    () = audio.closed() => return Err(Gone),
                }
            }
            Some(_) | None => 0,
        };
        let Some(local) = &self.local else {
            return Ok(());
        };
        for clause in clauses.into_iter().skip(said) {
            if let Some(pcm) = local.clause(clause.clone()).await {
                let clip = Clip {
                    pcm,
                    begins: Some(clause),
                    ends: true,
                };
                audio.send(clip).await.map_err(|_| Gone)?;
            }
        }
        Ok(())
    }

    /// Returns how many of the clauses need not be said any more.
    async fn speak_by_vendor(
        &self,
        voice: &CloudVoice,
        vendor: &Vendor,
        clauses: &[String],
        audio: &mpsc::Sender<Clip>,
    ) -> Result<usize, Gone> {
        let (patience, consequence) = match &self.local {
            Some(_) => (PATIENCE, "the local voice goes on"),
            None => (LONG_PATIENCE, "nobody can stand in, the rest is not said"),
        };
        for sentence in sentences(clauses) {
            let text = clauses[sentence.clone()].join(" ");
            match say(voice, &text, patience, audio).await? {
                Ok(()) => vendor.succeeded(),
                Err(BrokenOff { error, heard }) => {
                    let pause = error.pause();
                    vendor.failed(error, pause, consequence);
                    return Ok(sentence.start + begun(&clauses[sentence], heard));
                }
            }
        }
        Ok(clauses.len())
    }
}

/// Has a vendor say a sentence, and passes it on as it comes.
async fn say(
    voice: &CloudVoice,
    text: &str,
    patience: Duration,
    audio: &mpsc::Sender<Clip>,
) -> Result<Result<(), BrokenOff>, Gone> {
    let asked = tokio::time::Instant::now();
    let mut heard = Duration::ZERO;
    let mut spoken = match voice.speak(text, patience).await {
        Ok(spoken) => spoken,
        Err(error) => return Ok(Err(BrokenOff { error, heard })),
    };
    let first_audio_ms = asked.elapsed().as_millis() as u64;
    debug!(vendor = voice.name(), first_audio_ms, "speaks");
    let mut resampler = StreamResampler::new(speech_cloud::SPEAKING_RATE, SPEAKING_RATE);
    let mut begins = Some(text.to_owned());
    loop {
        let samples = match spoken.next().await {
            Ok(Some(samples)) => samples,
            Ok(None) => break,
            Err(error) => {
                pass_on(&resampler.finish(), &mut begins, false, audio).await?;
                return Ok(Err(BrokenOff { error, heard }));
            }
        };
        heard += Duration::from_secs(1) * samples.len() as u32 / speech_cloud::SPEAKING_RATE;
        pass_on(&resampler.push(&samples), &mut begins, false, audio).await?;
    }
    pass_on(&resampler.finish(), &mut begins, false, audio).await?;
    // The vendors end with some silence of their own.
    let pause = f64::from(SPEAKING_RATE) * CLAUSE_PAUSE.as_secs_f64();
    pass_on(&vec![0; pause as usize], &mut begins, true, audio).await?;
    Ok(Ok(()))
}

/// `begins`: the words that the first piece begins.
async fn pass_on(
    samples: &[i16],
    begins: &mut Option<String>,
    ends: bool,
    audio: &mpsc::Sender<Clip>,
) -> Result<(), Gone> {
    for piece in samples.chunks(PIECE) {
        let clip = Clip {
            pcm: Pcm {
                sample_rate: SPEAKING_RATE,
                samples: piece.to_vec(),
            },
            begins: begins.take(),
            ends,
        };
        audio.send(clip).await.map_err(|_| Gone)?;
    }
    Ok(())
}

/// Which clauses make a sentence together. A vendor sings better when it sees the whole of one.
fn sentences(clauses: &[String]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    let ends =
        (1..=clauses.len()).filter(|end| *end == clauses.len() || !is_inner(&clauses[end - 1]));
    ends.map(move |end| {
        let sentence = start..end;
        start = end;
        sentence
    })
}

/// Whether the sentence goes on after the clause.
fn is_inner(clause: &str) -> bool {
    clause.ends_with([',', ';', ':'])
}

/// Guesses how many clauses of a sentence were begun after so much audio.
fn begun(clauses: &[String], heard: Duration) -> usize {
    let position = heard.as_secs_f64() * CHARACTERS_PER_SECOND;
    let mut start = 0.0;
    clauses
        .iter()
        .take_while(|clause| {
            let is_begun = start < position;
            start += clause.chars().count() as f64;
            is_begun
        })
        .count()
}

impl LocalVoice {
    async fn clause(&self, clause: String) -> Option<Pcm> {
        let piper = self.piper.clone();
        let spoken = self.inference.run(move || {
            let pause = if is_inner(&clause) {
                CLAUSE_PAUSE
            } else {
                SENTENCE_PAUSE
            };
            let mut pcm = piper.synthesize(&clause)?;
            let silence = f64::from(pcm.sample_rate) * pause.as_secs_f64();
            pcm.samples.resize(pcm.samples.len() + silence as usize, 0);
            Ok::<_, speech::SynthesizeError>(pcm)
        });
        match spoken.await {
            Ok(pcm) => Some(pcm),
            Err(error) => {
                error!("cannot speak: {:#}", anyhow::Error::from(error));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ears::tests::MODELS,
        loopback::{Answer, Vendor as Server},
    };

    fn local() -> LocalVoice {
        LocalVoice {
            piper: MODELS.piper.clone(),
            inference: Inference::on_all_cores(),
        }
    }

    fn by(server: &Server) -> (CloudVoice, Vendor) {
        let http = speech_cloud::http_client().unwrap();
        let voice = CloudVoice::new(http, &server.openai_tts()).unwrap();
        (voice, Vendor::new("OpenAI"))
    }

    /// What was said: the vendor's tone in milliseconds, and the clauses of the local voice.
    #[derive(Debug, PartialEq)]
    struct Said {
        tone_ms: usize,
        clauses: usize,
    }

    async fn said(voice: &Voice, text: &str) -> Said {
        let mut audio = voice.sentences(text);
        let (mut tone, mut clauses) = (0, 0);
        while let Some(Clip { pcm, .. }) = audio.recv().await {
            if pcm.sample_rate == SPEAKING_RATE {
                assert_eq!(clauses, 0, "the vendor speaks after the local voice");
                assert_eq!(pcm.samples.len() % 480, 0, "a frame is cut");
                tone += pcm
                    .samples
                    .iter()
                    .filter(|sample| sample.abs() > 3_000)
                    .count();
            } else {
                clauses += 1;
            }
        }
        Said {
            tone_ms: tone / 48,
            clauses,
        }
    }

    /// The texts that the server was asked to speak.
    fn asked(server: &Server) -> Vec<String> {
        let texts = server.requests().into_iter().map(|request| {
            let input = &request.json()["input"];
            input.as_str().unwrap().to_owned()
        });
        texts.collect()
    }

    fn tone(ms: u64) -> Vec<Vec<u8>> {
        Answer::tone(Duration::from_millis(ms))
    }

    fn about(tone_ms: usize, expected: usize) -> bool {
        tone_ms.abs_diff(expected) < 40 + expected / 10
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_text_comes_clause_by_clause_with_its_pauses() {
        let mut audio =
            Voice::new(None, Some(local())).sentences("Sure, one moment please. Goodbye.");
        let (mut words, mut clauses) = (Vec::new(), Vec::new());
        while let Some(Clip { pcm, begins, ends }) = audio.recv().await {
            assert!(ends);
            words.push(begins.unwrap());
            clauses.push(pcm);
        }
        assert_eq!(words, ["Sure,", "one moment please.", "Goodbye."]);
        for (pcm, pause) in clauses
            .iter()
            .zip([CLAUSE_PAUSE, SENTENCE_PAUSE, SENTENCE_PAUSE])
        {
            let silence = (f64::from(pcm.sample_rate) * pause.as_secs_f64()) as usize;
            let (spoken, end) = pcm.samples.split_at(pcm.samples.len() - silence);
            assert!(end.iter().all(|sample| *sample == 0));
            assert!(spoken.iter().any(|sample| sample.unsigned_abs() > 2_000));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_to_say_is_no_audio() {
        let voice = Voice::new(None, Some(local()));
        assert_eq!(voice.sentences("").recv().await, None);
        assert_eq!(voice.sentences(" ... ").recv().await, None);
    }

    #[tokio::test]
    async fn a_vendor_speaks_sentence_by_sentence() {
        let server = Server::always(Answer::Stream(tone(700))).await;
        let voice = Voice::new(Some(by(&server)), Some(local()));
        let said = said(&voice, "Sure, one moment please. Goodbye.").await;
        assert!(about(said.tone_ms, 1_400), "{said:?}");
        assert_eq!(said.clauses, 0);
        assert_eq!(asked(&server), ["Sure, one moment please.", "Goodbye."]);
    }

    #[tokio::test]
    async fn a_vendor_that_refuses_is_stood_in_for_and_then_left_alone() {
        for (answer, requests) in [
            (Answer::refused(401), 1),
            (Answer::refused(429), 1),
            (Answer::refused(500), 3),
            (Answer::Garbage, 3),
            (Answer::Typed("text/html", b"<html>".to_vec()), 3),
            (Answer::Cut(vec![]), 3),
        ] {
            let server = Server::always(answer.clone()).await;
            let voice = Voice::new(Some(by(&server)), Some(local()));
            for _ in 0..5 {
                let said = said(&voice, "Sure, one moment. Goodbye.").await;
                assert_eq!(
                    said,
                    Said {
                        tone_ms: 0,
                        clauses: 3
                    },
                    "{answer:?}"
                );
            }
            assert_eq!(server.requests().len(), requests, "{answer:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_vendor_that_stalls_is_waited_for_no_longer_than_the_bound() {
        let server = Server::always(Answer::Silent).await;
        let voice = Voice::new(Some(by(&server)), Some(local()));
        let before = tokio::time::Instant::now();
        let mut audio = voice.sentences("One moment please.");
        let Clip { pcm, .. } = audio.recv().await.unwrap();
        assert!(
            pcm.samples
                .iter()
                .any(|sample| sample.unsigned_abs() > 2_000)
        );
        let waited = before.elapsed();
        assert!(
            waited >= PATIENCE && waited < PATIENCE + Duration::from_secs(1),
            "{waited:?}"
        );
    }

    #[tokio::test]
    async fn what_a_vendor_broke_off_in_is_not_said_again() {
        // 0.7 s are ten characters: in the middle of the first clause of three.
        let server = Server::start(|request| {
            match request.json()["input"]
                .as_str()
                .unwrap()
                .starts_with("You said")
            {
                true => Answer::Cut(tone(700)),
                false => Answer::Stream(tone(500)),
            }
        })
        .await;
        let voice = Voice::new(Some(by(&server)), Some(local()));
        let said = said(
            &voice,
            "Sure. You said plus one, two zero two, five. Right?",
        )
        .await;
        assert!(about(said.tone_ms, 1_200), "{said:?}");
        assert_eq!(said.clauses, 3);
        // The rest is the local voice's, also where the vendor would do.
        let text = "You said plus one, two zero two, five.";
        assert_eq!(asked(&server), ["Sure.", text]);
    }

    #[tokio::test]
    async fn without_models_a_vendor_that_fails_leaves_silence_and_the_next_one_is_tried() {
        let server = Server::always(Answer::refused(500)).await;
        let voice = Voice::new(Some(by(&server)), None);
        for _ in 0..5 {
            let said = said(&voice, "Hello. Goodbye.").await;
            assert_eq!(
                said,
                Said {
                    tone_ms: 0,
                    clauses: 0
                }
            );
        }
        assert_eq!(server.requests().len(), 5);
    }

    #[tokio::test]
    async fn who_stops_listening_ends_the_request() {
        let server = Server::always(Answer::Stall(tone(500))).await;
        let voice = Voice::new(Some(by(&server)), Some(local()));
        let mut audio = voice.sentences("Hello. Goodbye.");
        assert!(audio.recv().await.is_some());
        drop(audio);
        assert_eq!(asked(&server), ["Hello."]);
    }

    #[test]
    fn a_clause_counts_as_begun_when_the_audio_reaches_it() {
        let clauses = ["You said plus one,", "two zero two,", "five."].map(str::to_owned);
        for (heard_ms, expected) in [
            (0, 0),
            (10, 1),
            (1_280, 1),
            (1_300, 2),
            (2_300, 3),
            (9_000, 3),
        ] {
            let heard = Duration::from_millis(heard_ms);
            assert_eq!(begun(&clauses, heard), expected, "{heard_ms} ms");
        }
    }
}
