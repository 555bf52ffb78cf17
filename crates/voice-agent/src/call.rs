//! One call from its job to its end.
//!
//! [`state`] decides, and [`handover`] for it while a transfer goes on. The rest does: [`dial`], [`transfer`] and
//! [`target`] talk to LiveKit's SIP API, [`room`] is our presence in the room, [`claim`](mod@claim) sees to it that
//! nobody is called twice, [`callback`] keeps notes, [`progress`] tells others how far the call has come. All of it
//! runs as one tree of tasks that ends with [`run`].

mod attributes;
mod briefing;
mod callback;
mod claim;
mod dead_air;
mod dial;
mod dtmf;
mod gate;
mod handover;
#[cfg(test)]
mod hostile;
mod latency;
mod progress;
mod room;
mod sip_api;
mod state;
mod tally;
mod target;
mod transfer;

use std::{
    collections::HashMap,
    future::pending,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use livekit_api::services::{
    ServiceError, agent_dispatch::AgentDispatchClient, room::RoomClient, sip::SIPClient,
};
use livekit_protocol::participant_info::Kind;
use speech::{Pcm, clauses};
use tokio::{
    sync::{Mutex, mpsc, watch},
    task::{AbortHandle, JoinError, JoinSet, spawn_blocking},
    time::{sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, debug, error, info, trace, warn};
use transfer_core::{
    CallOutcome, CallProgress, PhoneNumber, Verdict, identity, mask_digits, number_of,
};

pub use self::callback::{CallbackFile, CallbackFileError};
pub(crate) use self::{
    attributes::CallStatus,
    claim::{Claim, Claimant, claim},
    dial::DialSettings,
    gate::{Decision, TransferGate},
    handover::Audience,
    progress::outcome_of,
    state::{Call, CallSettings, Dialed, Direction, Input, Outcome, Output, Party, Utterance},
    target::headers as target_headers,
};
use self::{
    callback::Note,
    dtmf::Press,
    latency::{Latency, Moment, Spread, TurnLatency},
    progress::Progress,
    room::{Absence, Phone, Presence},
    sip_api::SipApi,
    tally::Tally,
    target::TargetCall,
    transfer::Refer,
};
use crate::{
    audio::Speaker,
    conversation::{Brain, Done, Heard, Mind, Told},
    delivery::Delivery,
    ears::{Attention, EarEvent, Ears},
    hold::chime,
    metrics::Metrics,
    voice::{Ahead, Voice, Words},
};

/// What happens to a call before its state machine has taken it.
///
/// Full means that a burst of room events waits for us; nothing is lost.
const INPUTS: usize = 64;

/// A second of audio. When recognition is further behind than that, the newest audio is lost.
const FRAMES: usize = 100;

/// Turns that wait for the state machine; the person makes one in some seconds.
const EVENTS: usize = 8;

/// Moments of turns that wait to be recorded; each piece of an answer has two.
const MOMENTS: usize = 16;

/// Rows of keys that wait to be pressed; a turn has one.
const PRESSES: usize = 8;

/// How long a call that is over waits for its joining, which takes 50 ms to 300 ms.
const JOIN_PATIENCE: Duration = Duration::from_secs(2);

/// How long leaving the room may take once it is deleted.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the end of a call waits until it is told; it takes one round trip.
const REPORT_LIMIT: Duration = Duration::from_secs(1);

/// How often the deletion of a room is tried; a room that stays keeps a phone leg alive, which costs.
const DELETE_ATTEMPTS: u32 = 3;

/// LiveKit's server API as a call uses it.
pub(crate) struct Api {
    sip: SIPClient,
    sip_api: SipApi,
    rooms: RoomClient,
    dispatches: AgentDispatchClient,
}

impl Api {
    pub(crate) fn new(url: &str, api_key: &str, api_secret: &str) -> Self {
        Self {
            sip: dial::sip_client(url, api_key, api_secret),
            sip_api: SipApi::new(url, api_key, api_secret),
            rooms: RoomClient::with_api_key(url, api_key, api_secret),
            dispatches: AgentDispatchClient::with_api_key(url, api_key, api_secret),
        }
    }

    /// Ends every leg of a call, and its room, unless the room has to remember the outcome.
    pub(crate) async fn end_call(&self, room: &str, memory: RoomMemory, outcome: CallOutcome) {
        match memory {
            RoomMemory::None => self.delete_room(room).await,
            RoomMemory::Outcome => {
                if let Err(error) = self.remember(room, CallProgress::Ended(outcome)).await {
                    error!(%error, "the room does not remember how the call ended");
                }
                if let Err(error) = self.remove_phones(room).await {
                    warn!(%error, "cannot hang up alone, so the room goes");
                    self.delete_room(room).await;
                }
            }
        }
    }

    /// Writes to the room's metadata how far its call has come.
    async fn remember(&self, room: &str, progress: CallProgress) -> Result<(), ServiceError> {
        self.rooms
            .update_room_metadata(room, &progress.to_json())
            .await
            .map(drop)
    }

    async fn remove_phones(&self, room: &str) -> Result<(), ServiceError> {
        for participant in self.rooms.list_participants(room).await? {
            if participant.kind() == Kind::Sip {
                match self
                    .rooms
                    .remove_participant(room, &participant.identity)
                    .await
                {
                    Err(error) if !dial::is_not_found(&error) => return Err(error),
                    Ok(()) | Err(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Ends the room and with it every leg. A room that is gone already is fine.
    pub(crate) async fn delete_room(&self, room: &str) {
        for attempt in 1..=DELETE_ATTEMPTS {
            match self.rooms.delete_room(room).await {
                Ok(()) => return,
                Err(error) if dial::is_not_found(&error) => return,
                Err(error) => {
                    warn!(%error, attempt, "cannot delete the room");
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
        error!(
            room = mask_digits(room),
            "the room was not deleted, its phone may still be connected"
        );
    }
}

/// What a room keeps when its call is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoomMemory {
    /// Nothing: it is deleted.
    None,
    /// How the call ended, so that a second request with the same idempotency key calls nobody. The
    /// room then goes by itself, when its dialer said.
    Outcome,
}

/// What one call is made of.
pub(crate) struct Setup {
    pub(crate) api: Arc<Api>,
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) room: String,
    pub(crate) memory: RoomMemory,
    /// `None` for an inbound call.
    pub(crate) dial: Option<DialSettings>,
    pub(crate) call: CallSettings,
    pub(crate) transfers: Transfers,
    /// Where it is noted who wants to be called back.
    pub(crate) callbacks: Option<CallbackFile>,
    pub(crate) brain: Brain,
    pub(crate) voice: Voice,
    pub(crate) ears: Ears,
    pub(crate) metrics: Arc<Metrics>,
}

/// What transfers need besides their target.
#[derive(Debug, Clone)]
pub(crate) struct Transfers {
    pub(crate) trunk_id: String,
    /// The caller number that a target whom we call sees, instead of the trunk's own.
    pub(crate) from: Option<PhoneNumber>,
    /// For the one who answers.
    pub(crate) headers: HashMap<String, String>,
    /// Whether livekit-sip plays ringback while the target rings.
    pub(crate) dialtone: bool,
    /// What a caller on hold hears.
    pub(crate) hold_sound: Option<Pcm>,
    /// How long a target may ring.
    pub(crate) ringing_timeout: Duration,
}

/// Runs a call until it has ended and its room is gone.
///
/// `end` asks for a clean end: the phone is hung up. Dropping the future stops all its tasks but
/// leaves the room; [`Api::delete_room`] is the caller's then.
///
/// # Panics
///
/// When one of its tasks did.
pub(crate) async fn run(setup: Setup, end: CancellationToken) -> Outcome {
    let mut shell = Shell::start(setup);
    loop {
        while let Some(output) = shell.call.poll_output() {
            shell.progress.output(&output);
            shell.tally.output(&output);
            if let Output::End(outcome) = output {
                report(outcome);
                shell.report_latency();
                shell.close(outcome_of(outcome)).await;
                return outcome;
            }
            shell.act(output);
        }
        let timeout = shell.call.poll_timeout();
        tokio::select! {
            Some(input) = shell.inputs.recv() => {
                shell.progress.input(&input);
                shell.call.handle(Instant::now(), input);
            }
            Some(event) = shell.heard.recv() => shell.hear(event),
            Some(told) = shell.mind.told() => shell.told(told),
            Some(moment) = shell.moments.recv() => shell.happened(moment),
            Some(ended) = shell.tasks.join_next() => propagate_panic(ended),
            () = sleep_until_maybe(timeout) => shell.call.handle_timeout(Instant::now()),
            () = end.cancelled() => shell.call.handle(Instant::now(), Input::HangUp),
        }
    }
}

struct Shell {
    call: Call,
    api: Arc<Api>,
    room: String,
    memory: RoomMemory,
    progress: Progress,
    tally: Tally,
    dial: Option<DialSettings>,
    transfers: Transfers,
    callbacks: Option<CallbackFile>,
    audience: watch::Sender<Audience>,
    voice: Voice,
    attention: Attention,
    speaker: Speaker,
    /// The utterance that is being played, or was played last.
    speaking: Option<Speaking>,
    /// What the agent has done since the last thought, as far as the caller has heard it.
    done: Vec<Done>,
    presses: mpsc::Sender<Press>,
    /// The filler that is being played.
    filling: Option<AbortHandle>,
    /// Taken by whoever plays: what is said waits for the filler.
    mouth: Arc<Mutex<()>>,
    /// What fills a silence, once it is made; `None` when there is no voice for it.
    filler: watch::Receiver<Option<Ahead>>,
    latency: Latency,
    tell_moment: mpsc::Sender<Moment>,
    moments: mpsc::Receiver<Moment>,
    mind: Mind,
    heard: mpsc::Receiver<EarEvent>,
    tell: mpsc::Sender<Input>,
    inputs: mpsc::Receiver<Input>,
    tasks: JoinSet<()>,
    leave: CancellationToken,
    /// Closed when the end of the call is told, or cannot be.
    told: mpsc::Receiver<()>,
    /// Closed when we have left the room.
    left: mpsc::Receiver<()>,
}

/// An utterance on its way to the person.
struct Speaking {
    utterance: Utterance,
    /// Takes its words; `None` when it has all of them.
    words: Option<Words>,
    task: AbortHandle,
    paused: watch::Sender<bool>,
    delivery: watch::Receiver<Delivery>,
    /// Whether it is said to the caller, not to the transfer target in private.
    to_caller: bool,
}

impl Speaking {
    /// What the caller has heard of it.
    fn heard(&self) -> Option<String> {
        let heard = || self.delivery.borrow().words(Instant::now());
        self.to_caller.then(heard)
    }
}

impl Shell {
    fn start(setup: Setup) -> Self {
        let (tell, inputs) = mpsc::channel(INPUTS);
        let (frames, audible) = mpsc::channel(FRAMES);
        let (events, heard) = mpsc::channel(EVENTS);
        let (leaving, left) = mpsc::channel(1);
        let (telling, told) = mpsc::channel(1);
        let (tell_moment, moments) = mpsc::channel(MOMENTS);
        let (presses, to_press) = mpsc::channel(PRESSES);
        let (made, filler) = watch::channel(None);
        let leave = CancellationToken::new();
        let speaker = Speaker::new();
        let progress = Progress::new(setup.call.direction);
        let mut tasks = JoinSet::new();

        let (audience, audiences) = watch::channel(Audience::Caller);
        let presence = Presence {
            api: setup.api.clone(),
            room_name: setup.room.clone(),
            url: setup.url,
            token: setup.token,
            phone: setup.dial.as_ref().map_or(Phone::AnySip, |dial| {
                Phone::Identity(identity(&dial.callee))
            }),
            speaker: speaker.clone(),
            hold_sound: setup.transfers.hold_sound.clone(),
            audience: audiences,
            frames,
            inputs: tell.clone(),
            presses: Some(to_press),
            absence: Absence::default(),
            progress: Some((progress.follow(), telling)),
        };
        let attend = presence.attend(leave.clone());
        spawn(&mut tasks, async move {
            attend.await;
            drop(leaving);
        });
        let attention = setup.ears.attention();
        spawn(&mut tasks, setup.ears.listen(audible, events));
        let (mind, thinks) = Mind::start(setup.brain);
        spawn(&mut tasks, thinks);
        if let Some(text) = setup.call.behaviour.filler() {
            let (voice, text) = (setup.voice.clone(), text.to_owned());
            spawn(&mut tasks, async move {
                made.send_replace(voice.make_ahead(&text).await);
            });
        }

        Self {
            call: Call::new(setup.call),
            api: setup.api,
            room: setup.room,
            memory: setup.memory,
            progress,
            tally: Tally::new(setup.metrics),
            dial: setup.dial,
            transfers: setup.transfers,
            callbacks: setup.callbacks,
            audience,
            voice: setup.voice,
            attention,
            speaker,
            speaking: None,
            filling: None,
            mouth: Arc::default(),
            filler,
            latency: Latency::default(),
            tell_moment,
            moments,
            done: Vec::new(),
            presses,
            mind,
            heard,
            tell,
            inputs,
            tasks,
            leave,
            told,
            left,
        }
    }

    /// Does what the state machine wants done, except ending.
    fn act(&mut self, output: Output) {
        match output {
            Output::Dial => self.dial(),
            Output::Think(heard) => {
                self.latency.thinks();
                self.conclude_speech();
                self.mind.think(std::mem::take(&mut self.done), heard);
            }
            Output::Say(utterance, text) => self.say(utterance, text),
            Output::Finish(utterance) => {
                if let Some(speaking) = self.speaking_of(utterance) {
                    speaking.words = None;
                }
            }
            Output::Fill(utterance) => self.fill(utterance),
            Output::StopSpeaking => {
                self.stop_filling();
                if let Some(speaking) = &self.speaking {
                    speaking.task.abort();
                    self.speaker.stop();
                    self.attention.agent_speaks(false);
                    debug!("stopped speaking");
                }
                self.conclude_speech();
            }
            Output::PauseSpeaking => self.pause_speaking(true),
            Output::ResumeSpeaking => self.pause_speaking(false),
            Output::Refer {
                identity,
                target,
                request,
            } => {
                let refer = Refer {
                    room: self.room.clone(),
                    identity,
                    target,
                    headers: target::headers(&self.transfers.headers, &request),
                    dialtone: self.transfers.dialtone,
                    ringing_timeout: self.transfers.ringing_timeout,
                };
                let (api, tell) = (self.api.clone(), self.tell.clone());
                spawn(&mut self.tasks, async move {
                    let answer = transfer::refer(&api, refer).await;
                    send(&tell, Input::Transferred(answer)).await;
                });
            }
            Output::CallTarget { number, request } => {
                let call = TargetCall {
                    room: self.room.clone(),
                    trunk_id: self.transfers.trunk_id.clone(),
                    number,
                    from: self.transfers.from.clone(),
                    headers: target::headers(&self.transfers.headers, &request),
                    dialtone: self.transfers.dialtone,
                    ringing_timeout: self.transfers.ringing_timeout,
                };
                let (api, tell) = (self.api.clone(), self.tell.clone());
                spawn(&mut self.tasks, async move {
                    let result = target::call(&api, call).await;
                    send(&tell, Input::TargetCalled(result)).await;
                });
            }
            Output::KeepNote {
                identity,
                wanted,
                cause,
                message,
            } => {
                self.keep_note(Note {
                    time: SystemTime::now(),
                    room: self.room.clone(),
                    caller: number_of(&identity),
                    wanted,
                    cause,
                    message,
                });
            }
            Output::PressKeys { identity, keys } => {
                self.conclude_speech();
                let done = Done::Pressed(keys.clone());
                match self.presses.try_send(Press { identity, keys }) {
                    Ok(()) => self.done.push(done),
                    Err(_) => {
                        warn!("keys lost: others wait to be pressed, or we are out of the room")
                    }
                }
            }
            Output::DismissTarget(number) => {
                let (api, room) = (self.api.clone(), self.room.clone());
                spawn(&mut self.tasks, async move {
                    target::dismiss(&api, &room, &number).await;
                });
            }
            Output::Audience(audience) => {
                debug!(?audience, "audience changed");
                if audience == Audience::Together {
                    info!(
                        verdict = "connected",
                        means = "bridge",
                        "transfer connected"
                    );
                }
                self.audience.send_replace(audience);
            }
            Output::End(_) => unreachable!("the loop ends with it"),
        }
    }

    fn say(&mut self, utterance: Utterance, text: String) {
        debug!(text, "says");
        if let Some(speaking) = self.speaking_of(utterance) {
            if let Some(words) = &speaking.words {
                words.add(text.clone());
            }
            self.attention.agent_goes_on(&text);
            return;
        }
        self.conclude_speech();
        self.attention.agent_says(&text);
        self.attention.agent_speaks(true);
        let (paused, pauses) = watch::channel(false);
        let (delivered, delivery) = watch::channel(Delivery::default());
        let has_words = clauses(&text).next().is_some();
        let (words, audio) = self.voice.begin(text);
        let (speaker, mouth) = (self.speaker.clone(), self.mouth.clone());
        let (attention, tell) = (self.attention.clone(), self.tell.clone());
        let moments = self.tell_moment.clone();
        let task = spawn(&mut self.tasks, async move {
            let mut playing = speaker.playing(audio, pauses.clone(), &delivered);
            let mut is_heard = false;
            while playing.comes().await {
                is_heard = true;
                note(&moments, Moment::Made(Instant::now())).await;
                let _mouth = mouth.lock().await;
                attention.agent_speaks(!*pauses.borrow());
                note(&moments, Moment::Sent(Instant::now())).await;
                send(&tell, Input::Sounds(utterance)).await;
                playing.play().await;
                attention.agent_speaks(false);
                send(&tell, Input::Underrun(utterance)).await;
            }
            let end = if is_heard || !has_words {
                debug!(text = delivered.borrow().words(Instant::now()), "spoke");
                Input::Spoke(utterance)
            } else {
                attention.agent_speaks(false);
                error!("there is no voice: an answer was not said");
                Input::Unspoken(utterance)
            };
            send(&tell, end).await;
        });
        self.speaking = Some(Speaking {
            utterance,
            words: Some(words),
            task,
            paused,
            delivery,
            to_caller: *self.audience.borrow() == Audience::Caller,
        });
    }

    /// The utterance, while it is on its way.
    fn speaking_of(&mut self, utterance: Utterance) -> Option<&mut Speaking> {
        let speaking = self.speaking.as_mut();
        speaking.filter(|speaking| speaking.utterance == utterance)
    }

    /// Goes on with what comes of a thought.
    fn told(&mut self, told: Told) {
        let now = Instant::now();
        let input = match told {
            Told::FirstToken(at) => return self.happened(Moment::FirstToken(at)),
            Told::Sentence(text) => Input::Sentence(text),
            Told::Reply {
                reply,
                expects_number,
                refused: _,
            } => {
                self.attention.expect_number(expects_number);
                Input::Replied(reply)
            }
        };
        self.happened(Moment::Answered(now));
        self.call.handle(now, input);
    }

    fn fill(&mut self, utterance: Utterance) {
        self.latency.filled();
        let ahead = self.filler.borrow().clone();
        debug!(voice = ahead.is_some(), "fills the silence");
        let ahead = ahead.unwrap_or_else(|| Ahead::from([chime()]));
        let (speaker, mouth) = (self.speaker.clone(), self.mouth.clone());
        let (attention, tell) = (self.attention.clone(), self.tell.clone());
        let filling = spawn(&mut self.tasks, async move {
            let _mouth = mouth.lock().await;
            attention.agent_speaks(true);
            speaker.play_ahead(&ahead).await;
            attention.agent_speaks(false);
            send(&tell, Input::Spoke(utterance)).await;
        });
        self.filling = Some(filling);
    }

    fn stop_filling(&mut self) {
        if let Some(filling) = self.filling.take() {
            filling.abort();
            self.speaker.stop();
            self.attention.agent_speaks(false);
        }
    }

    fn happened(&mut self, moment: Moment) {
        if let Some(turn) = self.latency.happened(moment) {
            report_turn(&turn);
            self.tally.turn(&turn);
        }
    }

    /// Says in the log how long the person has waited in this call.
    fn report_latency(&self) {
        let spread = |time: fn(&TurnLatency) -> Option<Duration>| self.latency.spread(time);
        let Some(total) = spread(|turn| Some(turn.total)) else {
            return;
        };
        let transcription = spread(|turn| Some(turn.transcription_delay));
        let ttft = spread(|turn| turn.ttft);
        let answer = spread(|turn| Some(turn.answer));
        let ttfb = spread(|turn| Some(turn.ttfb));
        let median = |spread: Option<Spread>| spread.map(|spread| milliseconds(spread.median));
        let p95 = |spread: Option<Spread>| spread.map(|spread| milliseconds(spread.p95));
        info!(
            turns = self.latency.turns(),
            e2e_latency_ms_median = milliseconds(total.median),
            e2e_latency_ms_p95 = milliseconds(total.p95),
            transcription_delay_ms_median = median(transcription),
            transcription_delay_ms_p95 = p95(transcription),
            llm_ttft_ms_median = median(ttft),
            llm_ttft_ms_p95 = p95(ttft),
            answer_ms_median = median(answer),
            answer_ms_p95 = p95(answer),
            tts_ttfb_ms_median = median(ttfb),
            tts_ttfb_ms_p95 = p95(ttfb),
            "call latency"
        );
    }

    /// Says nothing of an utterance that has just ended.
    fn pause_speaking(&mut self, pause: bool) {
        if pause {
            self.stop_filling();
        }
        let speaking = self.speaking.as_ref();
        if let Some(speaking) = speaking.filter(|speaking| !speaking.paused.is_closed()) {
            speaking.paused.send_replace(pause);
            self.attention.agent_speaks(!pause);
            debug!("{}", if pause { "pauses" } else { "goes on" });
        }
    }

    /// Remembers for the conversation what has been heard of the last utterance, which has ended.
    fn conclude_speech(&mut self) {
        let heard = self.speaking.take().and_then(|speaking| speaking.heard());
        if let Some(heard) = heard {
            trace!(heard, "told");
            self.done.push(Done::Said(heard));
        }
    }

    /// Thinks of an answer to what may be a whole turn, as if it had ended.
    fn think_ahead(&mut self, turn: Heard) {
        if self.call.would_answer(Instant::now(), &turn) {
            let heard = self.speaking.as_ref().and_then(Speaking::heard);
            let done = self.done.iter().cloned().chain(heard.map(Done::Said));
            self.mind.think_ahead(done.collect(), turn);
        }
    }

    fn dial(&mut self) {
        let Some(dial) = self.dial.take() else {
            return;
        };
        let (api, room, tell) = (self.api.clone(), self.room.clone(), self.tell.clone());
        spawn(&mut self.tasks, async move {
            let result = dial::dial(&api, &room, &dial).await;
            send(&tell, Input::Dialed(result)).await;
        });
    }

    fn keep_note(&mut self, note: Note) {
        let file = self.callbacks.clone();
        // Begun here: a caller who hangs up in these milliseconds is called back all the same.
        let written = spawn_blocking(move || file.map(|file| file.append(&note)));
        let tell = self.tell.clone();
        spawn(&mut self.tasks, async move {
            let kept = match written.await {
                Ok(Some(Ok(()))) => {
                    info!("call-back note kept");
                    true
                }
                Ok(Some(Err(error))) => {
                    error!(%error, "the call-back note is lost: CALLBACK_FILE cannot be written");
                    false
                }
                Ok(None) => {
                    error!("the call-back note is lost: there is no CALLBACK_FILE");
                    false
                }
                Err(error) => {
                    error!(%error, "the call-back note is lost");
                    false
                }
            };
            send(&tell, Input::Noted { kept }).await;
        });
    }

    fn hear(&mut self, event: EarEvent) {
        let input = match event {
            EarEvent::SpeechStarted => Input::SpeechStarted,
            EarEvent::SpeechEnded { at } => Input::SpeechEnded { at },
            EarEvent::Drafted { first, second } => {
                return self.think_ahead(Heard::Turn { first, second });
            }
            EarEvent::Unrecognised => {
                warn!("a turn was not recognised");
                Input::Unrecognised
            }
            EarEvent::Turn {
                first,
                second,
                speech_ended,
                transcribed,
            } => {
                let stt = transcribed.saturating_duration_since(speech_ended);
                let stt_ms = stt.as_millis() as u64;
                debug!(text = first, second, stt_ms, "heard");
                if !first.trim().is_empty() {
                    self.latency.heard(speech_ended, transcribed);
                }
                Input::Turn { first, second }
            }
        };
        self.call.handle(Instant::now(), input);
    }

    /// Hangs up, once the end is told: the room goes before us, so that the phone is free even if leaving
    /// takes long.
    async fn close(mut self, outcome: CallOutcome) {
        // A room that is deleted under a joining is made anew by it.
        let joined = self.call.has_joined() || self.join_settles().await;
        if timeout(REPORT_LIMIT, self.told.recv()).await.is_err() {
            warn!("the end of the call was not told in time");
        }
        self.api.end_call(&self.room, self.memory, outcome).await;
        self.leave.cancel();
        if timeout(LEAVE_TIMEOUT, self.left.recv()).await.is_err() {
            warn!("leaving the room takes too long");
        }
        if !joined && self.memory == RoomMemory::None {
            self.api.delete_room(&self.room).await;
        }
    }

    /// Waits until we are in the room, or have given it up. False when neither came soon.
    async fn join_settles(&mut self) -> bool {
        let joined = async {
            while let Some(input) = self.inputs.recv().await {
                if matches!(input, Input::Joined) {
                    break;
                }
            }
        };
        tokio::select! {
            () = joined => true,
            _ = self.left.recv() => true,
            () = sleep(JOIN_PATIENCE) => false,
        }
    }
}

/// Says in the log how long the person has waited in a turn. There are no words in it.
fn report_turn(turn: &TurnLatency) {
    info!(
        e2e_latency_ms = milliseconds(turn.total),
        transcription_delay_ms = milliseconds(turn.transcription_delay),
        llm_ttft_ms = turn.ttft.map(milliseconds),
        answer_ms = milliseconds(turn.answer),
        tts_ttfb_ms = milliseconds(turn.ttfb),
        queued_ms = milliseconds(turn.queued),
        fillers = turn.fillers,
        "turn latency"
    );
}

fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

/// Says in the log what became of a transfer that ended the call.
fn report(outcome: Outcome) {
    match outcome {
        Outcome::Transferred(verdict @ Verdict::Connected) => {
            info!(verdict = verdict.name(), "transfer connected");
        }
        Outcome::Transferred(verdict @ Verdict::Unconfirmed(doubt)) => warn!(
            verdict = verdict.name(), cause = %doubt, hint = doubt.hint(),
            "Transfer unconfirmed: {doubt}"
        ),
        Outcome::Transferred(Verdict::Failed(_))
        | Outcome::NotAnswered(_)
        | Outcome::PhoneLeft
        | Outcome::AgentHungUp
        | Outcome::AnsweredByMachine { .. }
        | Outcome::RoomLost
        | Outcome::Terminated => {}
    }
}

/// The call drops its end when it is over, and nothing is worth telling then.
async fn send(tell: &mpsc::Sender<Input>, input: Input) {
    if tell.send(input).await.is_err() {
        debug!("call is over");
    }
}

/// As [`send`].
async fn note(moments: &mpsc::Sender<Moment>, moment: Moment) {
    if moments.send(moment).await.is_err() {
        debug!("call is over");
    }
}

fn spawn(tasks: &mut JoinSet<()>, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    tasks.spawn(task.instrument(Span::current()))
}

/// A task that was aborted has ended as it should; one that panicked takes the call with it.
fn propagate_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

async fn sleep_until_maybe(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => pending().await,
    }
}
