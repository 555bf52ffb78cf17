//! From text to audio.
//!
//! A vendor speaks where one is chosen, and the local voice otherwise and whenever the vendor fails. Nothing is
//! said twice: what a vendor has begun to say and broken off stays half said, and the local voice goes on
//! with the next clause.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use speech::{Pcm, Piper, StreamResampler, clauses};
use speech_cloud::{CloudVoice, Refusal, SpeakError};
use tokio::sync::mpsc;
use tracing::{Instrument as _, Span, debug, error, warn};

use crate::{audio::SPEAKING_RATE, delivery::Clip, inference::Inference, vendor::Vendor};

/// Sentences that wait to be spoken: more than a language model may write in one answer.
const SENTENCES: usize = 64;

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

/// The same when nobody can stand in. The person hears the filler meanwhile.
const LONG_PATIENCE: Duration = Duration::from_secs(5);

/// How long a vendor may take to the first audio of a later sentence: there is no filler in the middle of an answer.
const LATER_PATIENCE: Duration = Duration::from_secs(2);

/// How fast the vendors speak, for a guess how far a sentence had come that broke off.
pub(crate) const CHARACTERS_PER_SECOND: f64 = 14.0;

/// The agent's voice.
#[derive(Clone)]
pub struct Voice {
    vendor: Option<(CloudVoice, Vendor)>,
    wish: Option<Wish>,
    local: Option<LocalVoice>,
    ready: Ready,
}

/// Another voice of the vendor than that of the settings.
#[derive(Clone)]
struct Wish {
    name: String,
    voice: CloudVoice,
    /// The vendor has no such voice: that of the settings speaks.
    is_refused: Arc<AtomicBool>,
}

/// The sentence that was last made ahead, and its audio. Clones share it, so that one is made for all calls.
#[derive(Clone, Default)]
pub(crate) struct Ready(Arc<Mutex<Option<Made>>>);

struct Made {
    text: String,
    /// The voice that was wished for.
    voice: Option<String>,
    clip: Ahead,
}

/// Takes the words of an utterance. It has all of them when this is dropped.
pub(crate) struct Words(mpsc::Sender<String>);

/// Audio in the order in which it is played.
pub(crate) type Ahead = Arc<[Pcm]>;

/// Who has spoken a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    /// All of it by the voice that was chosen.
    Chosen,
    /// Some of it by the local voice in place of the vendor, or by nobody.
    StandIn,
}

/// Piper, on this machine.
#[derive(Clone)]
pub(crate) struct LocalVoice {
    pub(crate) piper: Arc<Piper>,
    pub(crate) inference: Inference,
}

/// Nobody listens any more.
struct Gone;

/// What a vendor has said of some clauses.
struct Said {
    /// How many need not be said any more.
    clauses: usize,
    is_broken_off: bool,
}

/// How far a sentence came that its vendor did not bring to an end.
struct BrokenOff {
    error: SpeakError,
    /// Length of the audio that was passed on.
    heard: Duration,
}

impl Voice {
    pub(crate) fn new(vendor: Option<(CloudVoice, Vendor)>, local: Option<LocalVoice>) -> Self {
        Self {
            vendor,
            wish: None,
            local,
            ready: Ready::default(),
        }
    }

    /// The same vendor with another of its voices; without a vendor there is no other.
    pub(crate) fn wishing(self, name: Option<&str>) -> Self {
        let wish = self.vendor.as_ref().zip(name);
        let wish = wish.map(|((vendors, _), name)| Wish {
            name: name.to_owned(),
            voice: vendors.with_voice(name),
            is_refused: Arc::default(),
        });
        Self { wish, ..self }
    }

    /// The same voice, which shares what is made ahead.
    pub(crate) fn sharing(self, ready: Ready) -> Self {
        Self { ready, ..self }
    }

    /// Speaks a sentence ahead of its time, so that it is there whoever fails then. `None` when nobody can.
    ///
    /// What the local voice said in place of a vendor is made again for the next call.
    pub(crate) async fn make_ahead(&self, text: &str) -> Option<Ahead> {
        let voice = self.wish.as_ref().map(|wish| wish.name.as_str());
        if let Some(clip) = self.ready.get(text, voice) {
            return Some(clip);
        }
        let (say, texts) = mpsc::channel(1);
        say.send(text.to_owned()).await.ok();
        drop(say);
        let (audio, mut made) = mpsc::channel(PIECES_AHEAD);
        let collect = async {
            let mut clip = Vec::new();
            while let Some(Clip { pcm, .. }) = made.recv().await {
                clip.push(pcm);
            }
            clip
        };
        let (speaker, clip) = tokio::join!(self.speak(texts, audio), collect);
        if clip.is_empty() {
            return None;
        }
        let clip = Ahead::from(clip);
        if let Ok(Speaker::Chosen) = speaker {
            self.ready.set(text, voice, clip.clone());
        }
        Some(clip)
    }

    /// Begins to speak an utterance: `text`, and what is added to its words, each of whole sentences, with the pauses
    /// between clauses.
    ///
    /// The first audio comes after a tenth of a second from the local voice and when a vendor has it, the rest
    /// while it plays. Pieces are as long as they come, from a vendor in whole frames of 10 ms of 48 kHz.
    /// Dropping the receiver ends the work. What cannot be spoken is logged and left out; when nobody can speak at all
    /// the audio ends before the words.
    pub(crate) fn begin(&self, text: String) -> (Words, mpsc::Receiver<Clip>) {
        let (words, texts) = mpsc::channel(SENTENCES);
        let words = Words(words);
        words.add(text);
        let ahead = match &self.vendor {
            Some(_) => PIECES_AHEAD,
            None => AHEAD,
        };
        let (audio, receiver) = mpsc::channel(ahead);
        let voice = self.clone();
        let speak = async move {
            // That nobody listens any more is no news to whoever stopped listening.
            voice.speak(texts, audio).await.ok();
        };
        tokio::spawn(speak.instrument(Span::current()));
        (words, receiver)
    }

    async fn speak(
        &self,
        mut texts: mpsc::Receiver<String>,
        audio: mpsc::Sender<Clip>,
    ) -> Result<Speaker, Gone> {
        let is_asked = |vendor: &Vendor| self.local.is_none() || vendor.is_worth_asking();
        let mut vendor = self.vendor.as_ref().filter(|(_, vendor)| is_asked(vendor));
        let mut speaker = match self.vendor.is_some() == vendor.is_some() {
            true => Speaker::Chosen,
            false => Speaker::StandIn,
        };
        let (mut is_first, mut is_heard) = (true, false);
        loop {
            let text = tokio::select! {
                text = texts.recv() => text,
                () = audio.closed() => return Err(Gone),
            };
            let Some(text) = text else {
                return Ok(speaker);
            };
            let mut clauses: Vec<String> = clauses(&text).map(str::to_owned).collect();
            if let Some((voice, by)) = vendor {
                let said = tokio::select! {
                    said = self.speak_by_vendor(voice, by, &clauses, is_first, &audio) => said?,
                    () = audio.closed() => return Err(Gone),
                };
                clauses.drain(..said.clauses);
                is_heard |= said.clauses > 0;
                if said.is_broken_off {
                    // Who stands in says the rest, also where the vendor would do.
                    (vendor, speaker) = (None, Speaker::StandIn);
                }
            }
            is_first = false;
            let Some(local) = &self.local else {
                if speaker == Speaker::StandIn && !is_heard {
                    return Ok(speaker);
                }
                continue;
            };
            for clause in clauses {
                match local.clause(clause.clone()).await {
                    Some(pcm) => {
                        let clip = Clip {
                            pcm,
                            begins: Some(clause),
                            ends: true,
                        };
                        audio.send(clip).await.map_err(|_| Gone)?;
                    }
                    None => speaker = Speaker::StandIn,
                }
            }
        }
    }

    /// `is_first`: nothing was said before these clauses.
    async fn speak_by_vendor(
        &self,
        voice: &CloudVoice,
        vendor: &Vendor,
        clauses: &[String],
        is_first: bool,
        audio: &mpsc::Sender<Clip>,
    ) -> Result<Said, Gone> {
        let (patience, consequence) = match &self.local {
            Some(_) => (PATIENCE, "the local voice goes on"),
            None => (LONG_PATIENCE, "nobody can stand in, the rest is not said"),
        };
        for sentence in sentences(clauses) {
            let text = clauses[sentence.clone()].join(" ");
            let patience = match is_first && sentence.start == 0 {
                true => patience,
                false => patience.min(LATER_PATIENCE),
            };
            match self.say_as_wished(voice, &text, patience, audio).await? {
                Ok(()) => vendor.succeeded(),
                Err(BrokenOff { error, heard }) => {
                    let pause = error.pause();
                    vendor.failed(error, pause, consequence);
                    return Ok(Said {
                        clauses: sentence.start + begun(&clauses[sentence], heard),
                        is_broken_off: true,
                    });
                }
            }
        }
        Ok(Said {
            clauses: clauses.len(),
            is_broken_off: false,
        })
    }

    /// By the wished voice, or by `voice` where there is no such wish or it was refused.
    async fn say_as_wished(
        &self,
        voice: &CloudVoice,
        text: &str,
        patience: Duration,
        audio: &mpsc::Sender<Clip>,
    ) -> Result<Result<(), BrokenOff>, Gone> {
        if let Some(wish) = &self.wish
            && !wish.is_refused.load(Relaxed)
        {
            match say(&wish.voice, text, patience, audio).await? {
                Err(BrokenOff { error, .. }) if is_about_the_request(&error) => {
                    wish.is_refused.store(true, Relaxed);
                    warn!(
                        voice = wish.name,
                        "{error}; the voice of the settings speaks"
                    );
                }
                said => return Ok(said),
            }
        }
        say(voice, text, patience, audio).await
    }
}

/// Whether the vendor would do something else, such as speak with another voice.
fn is_about_the_request(error: &SpeakError) -> bool {
    matches!(error, SpeakError::Refused(Refusal::Request { .. }))
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
    let mut resampler = StreamResampler::new(spoken.sample_rate(), SPEAKING_RATE);
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
        heard += Duration::from_secs(1) * samples.len() as u32 / spoken.sample_rate();
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

impl Words {
    /// Adds whole sentences.
    pub(crate) fn add(&self, text: String) {
        if self.0.try_send(text).is_err() {
            warn!("the voice is gone or far behind: a sentence is not said");
        }
    }
}

impl Ready {
    fn get(&self, text: &str, voice: Option<&str>) -> Option<Ahead> {
        let ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |made: &&Made| made.text == text && made.voice.as_deref() == voice;
        Some(ready.as_ref().filter(is_it)?.clip.clone())
    }

    fn set(&self, text: &str, voice: Option<&str>, clip: Ahead) {
        let mut ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *ready = Some(Made {
            text: text.to_owned(),
            voice: voice.map(str::to_owned),
            clip,
        });
    }
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

    /// The audio of a whole text.
    fn sentences(voice: &Voice, text: &str) -> mpsc::Receiver<Clip> {
        let (_, audio) = voice.begin(text.to_owned());
        audio
    }

    /// What was said: the vendor's tone in milliseconds, and the clauses of the local voice.
    #[derive(Debug, PartialEq)]
    struct Sounds {
        tone_ms: usize,
        clauses: usize,
    }

    async fn said(voice: &Voice, text: &str) -> Sounds {
        let mut audio = sentences(voice, text);
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
        Sounds {
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
        let mut audio = sentences(
            &Voice::new(None, Some(local())),
            "Sure, one moment please. Goodbye.",
        );
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

    #[tokio::test]
    async fn a_text_is_said_before_the_next_one_is_there_and_by_who_said_the_first() {
        let server = Server::start(|request| match request.json()["input"].as_str().unwrap() {
            "Hello." => Answer::refused(500),
            _ => Answer::Stream(tone(700)),
        })
        .await;
        let voice = Voice::new(Some(by(&server)), Some(local()));
        let (words, mut audio) = voice.begin("Hello.".to_owned());
        let begins = |clip: Option<Clip>| clip.and_then(|clip| clip.begins);
        assert_eq!(begins(audio.recv().await).as_deref(), Some("Hello."));
        words.add("How can I help?".to_owned());
        assert_eq!(
            begins(audio.recv().await).as_deref(),
            Some("How can I help?")
        );
        drop(words);
        assert_eq!(audio.recv().await, None);
        assert_eq!(asked(&server), ["Hello."]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_to_say_is_no_audio() {
        let voice = Voice::new(None, Some(local()));
        assert_eq!(sentences(&voice, "").recv().await, None);
        assert_eq!(sentences(&voice, " ... ").recv().await, None);
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
                    Sounds {
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
        let mut audio = sentences(&voice, "One moment please.");
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

    /// The voices that the server was asked for.
    fn voices(server: &Server) -> Vec<String> {
        let voices = server.requests().into_iter().map(|request| {
            let voice = &request.json()["voice"];
            voice.as_str().unwrap().to_owned()
        });
        voices.collect()
    }

    #[tokio::test]
    async fn a_call_may_have_another_voice() {
        let server = Server::always(Answer::Stream(tone(700))).await;
        let voice = Voice::new(Some(by(&server)), Some(local())).wishing(Some("nova"));
        let said = said(&voice, "Sure. Goodbye.").await;
        assert!(about(said.tone_ms, 1_400), "{said:?}");
        assert_eq!(voices(&server), ["nova", "nova"]);
    }

    #[tokio::test]
    async fn who_wishes_for_a_voice_that_is_none_hears_that_of_the_settings() {
        let server = Server::start(|request| match request.json()["voice"].as_str().unwrap() {
            "nobody" => Answer::refused(400),
            _ => Answer::Stream(tone(700)),
        })
        .await;
        let voice = Voice::new(Some(by(&server)), Some(local())).wishing(Some("nobody"));
        let said = said(&voice, "Sure. Goodbye.").await;
        assert!(about(said.tone_ms, 1_400), "{said:?}");
        let [wished, settings, again] = &voices(&server)[..] else {
            panic!("{:?}", voices(&server))
        };
        assert_eq!(wished, "nobody");
        assert_eq!(settings, again);
        assert_eq!(asked(&server), ["Sure.", "Sure.", "Goodbye."]);
        let (_, vendor) = voice.vendor.unwrap();
        assert!(
            vendor.is_worth_asking(),
            "other calls are spoken to as before"
        );
    }

    #[tokio::test]
    async fn what_is_made_ahead_is_of_the_calls_voice() {
        let server = Server::always(Answer::Stream(tone(700))).await;
        let ready = Ready::default();
        for wish in [None, Some("nova"), Some("nova"), None] {
            let voice = Voice::new(Some(by(&server)), None).sharing(ready.clone());
            let clip = voice.wishing(wish).make_ahead("One moment, please.").await;
            assert!(clip.is_some(), "{wish:?}");
        }
        let [settings, wished, again] = &voices(&server)[..] else {
            panic!("{:?}", voices(&server))
        };
        assert_eq!(wished, "nova");
        assert_eq!(settings, again);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_made_ahead_is_made_once_for_all_calls_unless_somebody_stood_in() {
        let server = Server::always(Answer::Stream(tone(700))).await;
        let ready = Ready::default();
        for call in 1..3 {
            let voice = Voice::new(Some(by(&server)), None).sharing(ready.clone());
            let clip = voice.make_ahead("One moment, please.").await.unwrap();
            let length: Duration = clip.iter().map(Pcm::duration).sum();
            assert!(length > Duration::from_millis(650), "{call}: {length:?}");
        }
        assert_eq!(asked(&server), ["One moment, please."]);

        let dead = Server::always(Answer::refused(500)).await;
        let voice = Voice::new(Some(by(&dead)), Some(local()));
        for _ in 0..2 {
            assert!(voice.make_ahead("One moment, please.").await.is_some());
        }
        assert_eq!(dead.requests().len(), 2);
        let voice = Voice::new(Some(by(&dead)), None);
        assert_eq!(voice.make_ahead("One moment, please.").await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_vendor_that_stalls_between_two_sentences_is_waited_for_less_long() {
        let server = Server::start(|request| match request.json()["input"].as_str().unwrap() {
            "Hello." => Answer::Stream(tone(100)),
            _ => Answer::Silent,
        })
        .await;
        let voice = Voice::new(Some(by(&server)), None);
        let mut audio = sentences(&voice, "Hello. How can I help?");
        assert!(audio.recv().await.is_some());
        let before = tokio::time::Instant::now();
        while audio.recv().await.is_some() {}
        let waited = before.elapsed();
        assert!(
            waited >= LATER_PATIENCE && waited < LATER_PATIENCE + Duration::from_millis(500),
            "{waited:?}"
        );
    }

    #[tokio::test]
    async fn without_models_a_vendor_that_fails_leaves_silence_and_the_next_one_is_tried() {
        let server = Server::always(Answer::refused(500)).await;
        let voice = Voice::new(Some(by(&server)), None);
        for _ in 0..5 {
            let said = said(&voice, "Hello. Goodbye.").await;
            assert_eq!(
                said,
                Sounds {
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
        let mut audio = sentences(&voice, "Hello. Goodbye.");
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
