//! From audio to what was said.
//!
//! Turns are found on this machine, whoever recognises them: that is as fast as it can be, and a turn that a
//! vendor does not recognise in time is there for the local recognition.

mod line;

use std::{
    future::pending,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, MaybeDone, maybe_done},
    stream::FuturesOrdered,
};
use sip_config::DeepgramStt;
use speech::{
    Endpoint, Endpointer, HANG, NUMBER_HANG, NoiseSuppressor, Pass, Transcript, Turn, Whisper,
};
use speech_cloud::{ListenError, Pause, Transcriber, listen::Words};
use tokio::{
    join,
    sync::{mpsc, watch},
    time::{sleep_until, timeout},
};
use tracing::{debug, error};

use self::line::{Line, Utterance};
use crate::{
    conversation::{
        expects_answer, has_number, is_echo, is_noise, is_unfinished_number, may_be_murmur,
    },
    inference::Inference,
    vendor::Vendor,
};

/// Confidence below which the other recognition is asked, too.
///
/// "Transfer me." heard as "for me." scores about -0.4, clear sentences -0.2 and better. Asking costs
/// the person half a second of silence.
const UNSURE: f32 = -0.4;

/// Confidence below which a few words over the agent's are taken for a murmur.
///
/// "Mm-hm." comes as "M-H-M", "MMA CHEM" or "Bye bye." with -0.9 and less; a soft "yes" has -0.65. Higher and words
/// over the agent are lost on bad lines; lower and an "mm-hm" stops the agent.
const MURMUR: f32 = -0.8;

/// No echo is louder than this (-24 dB of full scale, as the power of its loudest 16 ms): who says the agent's words
/// and is louder is a person.
const LOUDEST_ECHO: f32 = 4.0e-3;

/// Words of the agent from which on it is no chance that they are heard while it says them; of fewer, only those that
/// ask for nothing are taken for its echo.
const NO_CHANCE: usize = 3;

/// How long after the end of a turn Deepgram may take to finish its words; they are mostly there before.
const FINAL_PATIENCE: Duration = Duration::from_millis(700);

/// How long a transcription by OpenAI's protocol may take.
const TRANSCRIPT_PATIENCE: Duration = Duration::from_millis(2_500);

/// Either of them, when there are no models that could stand in.
const LONG_PATIENCE: Duration = Duration::from_secs(5);

/// What the person on the line did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EarEvent {
    /// The person begins to speak. A [`EarEvent::Turn`] follows, perhaps with an empty text, or
    /// [`EarEvent::Unrecognised`].
    SpeechStarted,
    /// The person has stopped speaking, at that time; the recognition begins. Not told of words without a turn.
    SpeechEnded { at: Instant },
    /// What the person has said, if a pause turns out to be the end of the turn; the turn, if it comes, says whether it
    /// did.
    Drafted {
        first: String,
        second: Option<String>,
    },
    /// Whoever was to recognise a turn failed.
    Unrecognised,
    Turn {
        /// What the fast recognition made of it; empty when it was no speech, or a murmur over the agent's words.
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
    answer: Arc<AtomicBool>,
    said: Arc<Mutex<String>>,
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

    /// The agent begins to say that. When it asks for an answer every word counts, and when it comes back it is nobody's.
    pub fn agent_says(&self, text: &str) {
        self.answer.store(expects_answer(text), Relaxed);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        text.clone_into(&mut said);
    }

    /// The agent says that, too, before it is silent.
    pub fn agent_goes_on(&self, text: &str) {
        self.answer.fetch_or(expects_answer(text), Relaxed);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push(' ');
        said.push_str(text);
    }

    /// What the agent is saying, nothing when it is silent.
    fn what_the_agent_says(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match self.agent.load(Relaxed) {
            true => said.clone(),
            false => String::new(),
        }
    }

    /// Whether somebody may murmur over what the agent says.
    fn allows_murmurs(&self) -> bool {
        self.agent.load(Relaxed) && !self.answer.load(Relaxed) && !self.expects_number()
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
    stt: Stt,
    /// Recognises what no vendor does, and numbers a second time.
    local: Option<LocalEars>,
    noise_suppression: bool,
    attention: Attention,
}

/// Who recognises.
#[derive(Clone)]
pub(crate) enum Stt {
    Local,
    OpenAi(Transcriber, Vendor),
    Deepgram(DeepgramStt, Vendor),
}

/// Whisper, on this machine.
#[derive(Clone)]
pub(crate) struct LocalEars {
    pub(crate) whisper: Arc<Whisper>,
    pub(crate) inference: Inference,
}

/// A recognition that has begun before the person was known to have finished.
struct Draft<'e> {
    recognition: Pin<Box<MaybeDone<BoxFuture<'e, Recognised>>>>,
    /// Whether it is known that it is ready.
    is_told: bool,
    /// Whether it is the turn's, should the pause be its end: Deepgram's words are finished by themselves.
    is_turns: bool,
}

/// What is to be recognised.
enum Said {
    Turn {
        turn: Turn,
        /// The words that Deepgram has for it.
        words: Option<watch::Receiver<Words>>,
        over: OverAgent,
    },
    /// Words without a turn.
    Words(Utterance),
}

/// What the agent was saying when a turn began.
#[derive(Debug, Clone, Default)]
struct OverAgent {
    /// Nothing when it was silent.
    said: String,
    /// Whether people may murmur over it: it does not ask for an answer.
    allows_murmurs: bool,
}

impl Ears {
    pub(crate) fn new(stt: Stt, local: Option<LocalEars>) -> Self {
        Self {
            stt,
            local,
            noise_suppression: false,
            attention: Attention::default(),
        }
    }

    /// Whether to find turns in audio without noise; what is recognised is the audio as it came.
    pub(crate) fn with_noise_suppression(mut self, noise_suppression: bool) -> Self {
        self.noise_suppression = noise_suppression;
        self
    }

    /// The handle by which these ears are told what to expect.
    pub fn attention(&self) -> Attention {
        self.attention.clone()
    }

    /// Listens until `frames` or `events` closes.
    ///
    /// `frames` are 16 kHz mono, 10 ms or any other length, and never stop while the call lasts:
    /// silence is what ends a turn. Recognition runs beside listening, and turns come in their order.
    /// It begins in the silence that may be the end of a turn, and in vain when the person goes on; what comes of it
    /// meanwhile is told as [`EarEvent::Drafted`].
    /// A phone number that breaks off is held back for [`NUMBER_HANG`] and joined with what follows.
    pub async fn listen(
        self,
        mut frames: mpsc::Receiver<Vec<i16>>,
        events: mpsc::Sender<EarEvent>,
    ) {
        let mut endpointer = Endpointer::default();
        let mut suppressor = self.noise_suppression.then(NoiseSuppressor::default);
        let mut line = match &self.stt {
            Stt::Deepgram(settings, vendor) => Some(Line::new(
                settings.clone(),
                vendor.clone(),
                self.local.is_some(),
            )),
            Stt::Local | Stt::OpenAi(..) => None,
        };
        let mut recognising = FuturesOrdered::<BoxFuture<'_, Recognised>>::new();
        let mut draft: Option<Draft<'_>> = None;
        let mut held: Option<Recognised> = None;
        let mut over = OverAgent::default();
        loop {
            let speaks = endpointer.is_speaking();
            let patience = held.as_ref().filter(|_| !speaks && recognising.is_empty());
            let patience = patience.map(|held| held.speech_ended + NUMBER_HANG);
            let out = tokio::select! {
                frame = frames.recv() => {
                    let Some(frame) = frame else { break };
                    self.attention.prepare(&mut endpointer);
                    if let Some(line) = &mut line {
                        line.hear(&frame, self.attention.agent.load(Relaxed));
                    }
                    let noticed = match &mut suppressor {
                        Some(suppressor) => endpointer.push_cleaned(&frame, suppressor.push(&frame)),
                        None => endpointer.push(&frame),
                    };
                    let mut out = Vec::new();
                    for event in noticed {
                        match event {
                            Endpoint::SpeechStarted => {
                                over = OverAgent {
                                    said: self.attention.what_the_agent_says(),
                                    allows_murmurs: self.attention.allows_murmurs(),
                                };
                                out.push(EarEvent::SpeechStarted);
                            }
                            Endpoint::Paused(turn) => {
                                draft = self.draft(turn, line.as_mut(), &over);
                            }
                            Endpoint::WentOn => draft = None,
                            Endpoint::TurnEnded(turn) => {
                                let at = before(turn.silence);
                                out.push(EarEvent::SpeechEnded { at });
                                let words = line.as_mut().and_then(|line| line.turn_ended(&turn));
                                let draft = draft.take().filter(|draft| draft.is_turns);
                                recognising.push_back(match draft {
                                    Some(draft) => draft.finished().boxed(),
                                    None => self.recognise(Said::Turn {
                                        turn,
                                        words,
                                        over: over.clone(),
                                    }).boxed(),
                                });
                            }
                        }
                    }
                    out
                }
                Some(recognised) = recognising.next() => {
                    if let Some(loudest) = recognised.echo {
                        endpointer.learn_echo(loudest);
                    }
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
                utterance = utterance(&mut line, speaks) => {
                    recognising.push_back(self.recognise(Said::Words(utterance)).boxed());
                    vec![EarEvent::SpeechStarted]
                }
                drafted = drafted(&mut draft) => {
                    let follows = held.is_none() && recognising.is_empty();
                    drafted.filter(|_| follows).into_iter().collect()
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

    /// Begins to recognise what may be a whole turn: where that takes time only when a core is free for it.
    fn draft(&self, turn: Turn, line: Option<&mut Line>, over: &OverAgent) -> Option<Draft<'_>> {
        let (recognition, is_turns) = match self.stt {
            Stt::Deepgram(..) => {
                let words = line?.paused(&turn)?;
                let finished = self.finished_by_deepgram(words, before(turn.silence));
                (finished.boxed(), false)
            }
            Stt::Local | Stt::OpenAi(..) => {
                let local = self.local.as_ref();
                if local.is_some_and(|local| !local.inference.has_free_core()) {
                    return None;
                }
                let words = None;
                let over = over.clone();
                let said = Said::Turn { turn, words, over };
                (self.recognise(said).boxed(), true)
            }
        };
        Some(Draft {
            recognition: Box::pin(maybe_done(recognition)),
            is_told: false,
            is_turns,
        })
    }

    /// What Deepgram has finished of what may be a whole turn; nothing where this is not all that is needed.
    async fn finished_by_deepgram(
        &self,
        mut words: watch::Receiver<Words>,
        speech_ended: Instant,
    ) -> Recognised {
        let words = words.wait_for(|words| words.complete).await;
        let mut first = words.map(|words| words.text.clone()).unwrap_or_default();
        // This machine will have its say, too.
        if self.local.is_some() && (has_number(&first) || self.attention.expects_number()) {
            first.clear();
        }
        Recognised {
            first,
            second: None,
            failed: false,
            speech_ended,
            echo: None,
        }
    }

    async fn recognise(&self, said: Said) -> Recognised {
        let (turn, words, over) = match said {
            Said::Turn { turn, words, over } => (turn, words, over),
            Said::Words(utterance) => {
                return Recognised {
                    first: utterance.text,
                    second: None,
                    failed: false,
                    speech_ended: before(utterance.silence),
                    echo: None,
                };
            }
        };
        let speech_ended = before(turn.silence);
        let samples: Arc<[f32]> = turn.samples().into();
        let expected = self.attention.expects_number();
        let second_at_once = async {
            match &self.local {
                Some(local) if expected => local.transcribe(&samples, Pass::Second).await,
                Some(_) | None => None,
            }
        };
        let (first, second) = join!(self.first(&turn, &samples, words), second_at_once);
        let failed = first.is_none();
        let first = first.unwrap_or_default();
        let nothing = |echo| Recognised {
            first: String::new(),
            second: None,
            failed: false,
            speech_ended,
            echo,
        };
        if over.allows_murmurs && first.confidence < MURMUR && may_be_murmur(&first.text) {
            debug!(text = first.text, "murmur");
            return nothing(None);
        }
        let is_no_chance = first.text.split_whitespace().count() >= NO_CHANCE;
        if turn.loudest <= LOUDEST_ECHO
            && (is_no_chance || may_be_murmur(&first.text))
            && is_echo(&first.text, &over.said)
        {
            debug!(text = first.text, loudest = turn.loudest, "echo");
            return nothing(Some(turn.loudest));
        }
        // The agent waits for this to go on.
        let is_noise = over.allows_murmurs && is_noise(&first.text);
        let is_doubtful = has_number(&first.text) || (first.confidence < UNSURE && !is_noise);
        let second = match (&self.local, second) {
            (Some(local), None) if is_doubtful => local.transcribe(&samples, Pass::Second).await,
            (_, second) => second,
        };
        Recognised {
            first: first.text,
            second: second.map(|second| second.text),
            failed,
            speech_ended,
            echo: None,
        }
    }

    /// What the vendor heard, if it says so in time, else what this machine does. `None` when both fail.
    async fn first(
        &self,
        turn: &Turn,
        samples: &Arc<[f32]>,
        words: Option<watch::Receiver<Words>>,
    ) -> Option<Transcript> {
        let from_vendor = match &self.stt {
            Stt::Local => Err(String::new()),
            Stt::OpenAi(transcriber, vendor) => {
                self.by_transcriber(transcriber, vendor, turn).await
            }
            Stt::Deepgram(_, vendor) => self.by_deepgram(vendor, words).await,
        };
        match (from_vendor, &self.local) {
            (Ok(text), _) => Some(heard(text)),
            (Err(_), Some(local)) => local.transcribe(samples, Pass::First).await,
            (Err(unfinished), None) if unfinished.is_empty() => None,
            (Err(unfinished), None) => Some(heard(unfinished)),
        }
    }

    /// `Err` has what there is, perhaps nothing.
    async fn by_transcriber(
        &self,
        transcriber: &Transcriber,
        vendor: &Vendor,
        turn: &Turn,
    ) -> Result<String, String> {
        if self.local.is_some() && !vendor.is_worth_asking() {
            return Err(String::new());
        }
        let patience = self.patience(TRANSCRIPT_PATIENCE);
        match transcriber.transcribe(&turn.pcm, patience).await {
            Ok(text) => {
                vendor.succeeded();
                Ok(text)
            }
            Err(error) => {
                let pause = error.pause();
                vendor.failed(error, pause, self.consequence());
                Err(String::new())
            }
        }
    }

    /// `Err` has what there is, perhaps nothing.
    async fn by_deepgram(
        &self,
        vendor: &Vendor,
        words: Option<watch::Receiver<Words>>,
    ) -> Result<String, String> {
        // The line is down, and has said why.
        let mut words = words.ok_or_else(String::new)?;
        let patience = self.patience(FINAL_PATIENCE);
        match timeout(patience, words.wait_for(|words| words.complete)).await {
            Ok(Ok(words)) => {
                vendor.succeeded();
                return Ok(words.text.clone());
            }
            // The line has broken, and has said why.
            Ok(Err(_)) => {}
            Err(_) => {
                let stalled = ListenError::Stalled(patience);
                vendor.failed(stalled, Pause::None, self.consequence());
            }
        }
        let unfinished = words.borrow().text.clone();
        Err(unfinished)
    }

    fn patience(&self, with_models: Duration) -> Duration {
        match &self.local {
            Some(_) => with_models,
            None => LONG_PATIENCE,
        }
    }

    fn consequence(&self) -> &'static str {
        match &self.local {
            Some(_) => "this machine recognises the turn",
            None => "the turn is not recognised",
        }
    }
}

/// What a vendor wrote, which is as sure as can be.
fn heard(text: String) -> Transcript {
    Transcript {
        text,
        ..Transcript::default()
    }
}

/// Goes on with the draft, and returns what came of it once, if that can be a turn by itself. Cancel safe.
async fn drafted(draft: &mut Option<Draft<'_>>) -> Option<EarEvent> {
    match draft {
        Some(draft) if !draft.is_told => {
            draft.recognition.as_mut().await;
            draft.is_told = true;
            let recognised = draft.recognition.as_mut().output_mut()?;
            recognised.drafted()
        }
        Some(_) | None => pending().await,
    }
}

impl Draft<'_> {
    async fn finished(mut self) -> Recognised {
        self.recognition.as_mut().await;
        let recognised = self.recognition.as_mut().take_output();
        recognised.expect("it has just ended, and is asked once")
    }
}

/// Never returns without a line. Cancel safe.
async fn utterance(line: &mut Option<Line>, person_speaks: bool) -> Utterance {
    match line {
        Some(line) => line.utterance(person_speaks).await,
        None => pending().await,
    }
}

impl LocalEars {
    /// A transcript without words is what noise gives; a failure, which is in the log, gives none.
    async fn transcribe(&self, samples: &Arc<[f32]>, pass: Pass) -> Option<Transcript> {
        let (whisper, samples) = (self.whisper.clone(), samples.clone());
        let transcript = self
            .inference
            .run(move || whisper.transcribe(&samples, pass))
            .await;
        match transcript {
            Ok(transcript) if transcript.is_speech() => Some(transcript),
            Ok(_) => Some(Transcript::default()),
            Err(error) => {
                error!("{:#}", anyhow::Error::from(error));
                None
            }
        }
    }
}

/// When a silence of that length began.
fn before(silence: Duration) -> Instant {
    let now = Instant::now();
    now.checked_sub(silence).unwrap_or(now)
}

struct Recognised {
    first: String,
    second: Option<String>,
    /// Nobody could recognise it.
    failed: bool,
    speech_ended: Instant,
    /// It was the agent's echo, and this loud at the most.
    echo: Option<f32>,
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
            failed: false,
            speech_ended: more.speech_ended,
            echo: None,
        }
    }

    /// What may be a whole turn. One that says nothing or breaks off in a number is worth no thought.
    fn drafted(&self) -> Option<EarEvent> {
        let may_be_one = !self.first.trim().is_empty() && !self.is_unfinished();
        may_be_one.then(|| EarEvent::Drafted {
            first: self.first.clone(),
            second: self.second.clone(),
        })
    }

    fn into_event(self) -> EarEvent {
        if self.failed {
            return EarEvent::Unrecognised;
        }
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
mod cloud_tests;

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

    pub(super) fn local() -> LocalEars {
        LocalEars {
            whisper: MODELS.whisper.clone(),
            inference: Inference::on_all_cores(),
        }
    }

    /// Each sentence after its pause.
    fn spoken(sentences: &[(u64, &str)]) -> Vec<i16> {
        let mut audio = Vec::new();
        for (pause_ms, sentence) in sentences {
            audio.resize(audio.len() + *pause_ms as usize * 16, 0);
            let spoken = MODELS.piper.synthesize(sentence).unwrap();
            audio.extend(resample(&spoken, HEARING_RATE).samples);
        }
        audio
    }

    /// Speech at the pace of a call, and silence.
    async fn speak(frames: mpsc::Sender<Vec<i16>>, mut audio: Vec<i16>) {
        audio.resize(audio.len() + 2 * HEARING_RATE as usize, 0);
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        for frame in audio.chunks(160) {
            pace.tick().await;
            frames.send(frame.to_vec()).await.unwrap();
        }
    }

    async fn heard(attention: Attention, turns: usize, sentences: &[(u64, &str)]) -> Vec<EarEvent> {
        let mut ears = Ears::new(Stt::Local, Some(local()));
        ears.attention = attention;
        heard_by(ears, turns, sentences).await
    }

    /// Speaks, and collects what is heard until `turns` turns are; not what only may be one.
    pub(super) async fn heard_by(
        ears: Ears,
        turns: usize,
        sentences: &[(u64, &str)],
    ) -> Vec<EarEvent> {
        let mut events = heard_with_drafts(ears, turns, sentences).await;
        events.retain(|event| !matches!(event, EarEvent::Drafted { .. }));
        events
    }

    pub(super) async fn heard_with_drafts(
        ears: Ears,
        turns: usize,
        sentences: &[(u64, &str)],
    ) -> Vec<EarEvent> {
        heard_in(ears, turns, spoken(sentences)).await
    }

    async fn heard_in(ears: Ears, turns: usize, audio: Vec<i16>) -> Vec<EarEvent> {
        let (to_ears, frames) = mpsc::channel(100);
        let (events, mut from_ears) = mpsc::channel(100);
        let mut collected = Vec::new();
        let collect = async {
            let is_turn = |event: &EarEvent| matches!(event, EarEvent::Turn { .. });
            while collected.iter().filter(|event| is_turn(event)).count() < turns {
                let event = from_ears.recv().await.expect("the ears listen");
                collected.push(event);
            }
        };
        let line = async {
            speak(to_ears.clone(), audio).await;
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

    pub(super) fn words(text: &str) -> String {
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
            EarEvent::SpeechEnded { at },
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
        assert!(speech_ended.saturating_duration_since(*at) < Duration::from_millis(100));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_noise_the_same_is_heard() {
        let ears = Ears::new(Stt::Local, Some(local())).with_noise_suppression(true);
        let said = [(500, "Transfer me to a live agent.")];
        let events = heard_by(ears, 1, &said).await;
        let [.., EarEvent::Turn { first, .. }] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(words(first), "transfer me to a live agent");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_murmur_over_the_agent_is_no_speech() {
        for (over_agent, asks, said, understood) in [
            (true, false, "Mm-hm.", ""),
            (true, false, "Yes.", "yes"),
            (true, false, "Wait a moment please.", "wait a moment please"),
            (true, true, "Mm-hm.", "mma chem"),
            (false, false, "Mm-hm.", "mma chem"),
        ] {
            let attention = Attention::default();
            attention.agent_speaks(over_agent);
            attention.agent_says(if asks {
                "How can I help?"
            } else {
                "We sell tickets."
            });
            let events = heard(attention, 1, &[(500, said)]).await;
            let Some(EarEvent::Turn { first, .. }) = events.last() else {
                panic!("{events:?}")
            };
            assert_eq!(words(first), understood, "{said}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_agents_echo_is_no_speech_and_does_not_interrupt_it_twice() {
        const SAID: &str = "We sell train tickets to every large city in Europe. How can I help?";
        let softer = |audio: Vec<i16>, by: i16| audio.into_iter().map(|s| s / by).collect();
        let echo = || -> Vec<i16> { softer(spoken(&[(500, SAID), (1_500, SAID)]), 4) };
        let person = softer(spoken(&[(1_500, "Transfer me.")]), 2);

        let attention = Attention::default();
        attention.agent_speaks(true);
        attention.agent_says(SAID);
        let mut ears = Ears::new(Stt::Local, Some(local()));
        ears.attention = attention;
        let mut events = heard_in(ears, 2, [echo(), person].concat()).await;
        events.retain(|event| !matches!(event, EarEvent::Drafted { .. }));
        let [
            EarEvent::SpeechStarted,
            EarEvent::SpeechEnded { .. },
            EarEvent::Turn { first: echo, .. },
            EarEvent::SpeechStarted,
            EarEvent::SpeechEnded { .. },
            EarEvent::Turn { first: person, .. },
        ] = &events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!(echo, "");
        assert_eq!(words(person), "transfer me");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_says_what_the_agent_says_is_heard() {
        let attention = Attention::default();
        attention.agent_speaks(true);
        attention.agent_says("Our office is open from Monday to Friday, and on Saturday.");
        let events = heard(attention, 1, &[(500, "From Monday to Friday?")]).await;
        let Some(EarEvent::Turn { first, .. }) = events.last() else {
            panic!("{events:?}")
        };
        assert_eq!(words(first), "from monday to friday");
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
