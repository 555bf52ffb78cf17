//! Providers of speech and language that die or stall in the middle of a call.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use e2e::{
    call::{Call, NOTICE},
    http::{Server, read_request},
    openai::{self, completion_chunk},
    party::LIVEKIT_SIP,
    phone::{CallId, Phone, PhoneSettings},
    provider::models,
    utterance::{Voice, Voices},
    words::{UNDERSTOOD, share_understood},
    worker::{Worker, WorkerEvent},
    world::World,
};
use serde_json::{Value, json};
use speech::{Pcm, resample};
use tokio::{
    io::{AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::sleep,
};

use crate::transferred::{expect_talk, expect_transferred};

/// What OpenAI's protocol says of raw audio.
const RATE: u32 = 24_000;

/// How long the caller may hear nothing between its words and the answer: the bound of docs/conversation.md.
const DEAD_AIR: Duration = Duration::from_secs(3);

/// How much the log and a phone's recording may differ: the way to the ear, and the silence before a voice sets in.
const WAY_TO_THE_EAR: Duration = Duration::from_millis(800);

/// How soon after the caller's words the default number rings when there is no voice for the answer.
const VOICELESS: Duration = Duration::from_secs(12);

/// A voice that is not the one of the settings.
const VOICE: &str = "nova";

const QUESTION: &str = "What are your opening hours?";
const ANSWER: &str = "We are open from nine to five, from Monday to Friday.";

pub(crate) async fn a_provider_that_dies_in_mid_call_is_stood_in_for(
    world: World,
) -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    provider.serve(&world)?;
    world.set("STT_PROVIDER", "openai")?;
    world.behave("name = \"Max\"\ngreeting = \"Hello.\"\n")?;
    provider.behave(Conducts {
        transcription: Conduct::Gone,
        chat: Conduct::Refuses,
        ..Conducts::WORK
    });
    let wishes = [
        "--agent",
        "greeting=Hello, this is {name} of Example Travel.",
        "--agent",
        &format!("voice={VOICE}"),
    ];
    let (live_agent, mut call) = tokio::try_join!(
        world.phone(PhoneSettings::live_agent()),
        Call::placed_with(&world, PhoneSettings::callee(), &wishes)
    )?;
    let greeting = call.said.join(" ");
    ensure!(
        greeting == "Hello, this is Max of Example Travel.",
        "the agent says: {greeting}"
    );
    let spoken = provider.asked.spoken.load(SeqCst);
    ensure!(spoken > 0, "the provider must have spoken the greeting");

    // From here on it takes requests and answers none of them to speak, and breaks off the others.
    provider.behave(Conducts {
        speech: Conduct::Silent,
        transcription: Conduct::Gone,
        chat: Conduct::Gone,
    });
    call.ask_for_transfer("Transfer me to a live agent.")
        .await?;
    expect_transferred(&world, &call, &live_agent, Some(LIVEKIT_SIP)).await?;

    ensure!(
        provider.asked.transcribed.load(SeqCst) > 0 && provider.asked.spoken.load(SeqCst) > spoken,
        "the provider must have been asked after its death"
    );
    let wished = provider.asked.spoken_by_wish.load(SeqCst);
    ensure!(
        wished == provider.asked.spoken.load(SeqCst),
        "{VOICE} was asked for {wished} times only"
    );
    let heard = world.transcribe(&call.leg().await?.heard).await?.join(" ");
    let share = share_understood(&greeting, &heard);
    ensure!(
        share >= UNDERSTOOD,
        "of `{greeting}` only {share:.2} was understood; the caller heard: {heard}"
    );
    Ok(())
}

pub(crate) async fn no_model_that_fails_leaves_dead_air(world: World) -> anyhow::Result<()> {
    let works = Conducts::WORK;
    let faults = [
        ("none", works),
        ("the model is silent", works.chat(Conduct::Silent)),
        ("the model drips", works.chat(Conduct::Drips)),
        // A model that fails three times in a row is left alone.
        ("none, the second time", works),
        ("the model stalls", works.chat(Conduct::Stalls)),
        ("the model breaks off", works.chat(Conduct::Breaks)),
        ("none, the third time", works),
        (
            "the model stalls after a sentence",
            works.chat(Conduct::StallsLate),
        ),
    ];
    expect_no_dead_air(world, &faults).await
}

pub(crate) async fn no_ears_or_voice_that_fail_leave_dead_air(world: World) -> anyhow::Result<()> {
    let works = Conducts::WORK;
    let transcription = |conduct| works.transcription(conduct);
    let faults = [
        ("none", works),
        ("transcription is silent", transcription(Conduct::Silent)),
        ("speech is silent", works.speech(Conduct::Silent)),
        ("transcription is gone", transcription(Conduct::Gone)),
        (
            "speech stalls in mid sentence",
            works.speech(Conduct::Stalls),
        ),
        (
            "all are silent",
            Conducts {
                speech: Conduct::Silent,
                transcription: Conduct::Silent,
                chat: Conduct::Silent,
            },
        ),
    ];
    expect_no_dead_air(world, &faults).await
}

/// The caller asks once for each fault, and hears something within the bound each time. The first fault is none, and
/// the second one takes so long that the caller is told to wait.
async fn expect_no_dead_air(world: World, faults: &[(&str, Conducts)]) -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    provider.serve(&world)?;
    world.set("STT_PROVIDER", "openai")?;
    let mut call = Call::placed(&world, PhoneSettings::callee()).await?;
    for (fault, conducts) in faults {
        provider.behave(*conducts);
        let answer = call.tell(QUESTION).await;
        let answer = answer.with_context(|| format!("fault: {fault}"))?;
        ensure!(!answer.is_empty(), "no answer; fault: {fault}");
    }
    call.phone.hang_up().await?;
    call.phone.closed(&call.id).await?;
    call.worker.job_outcome().await?;

    let silences = call.leg().await?.silences_after_words()?;
    ensure!(
        silences.len() == faults.len(),
        "the caller spoke {} times, and its recording has {} utterances",
        faults.len(),
        silences.len()
    );
    for ((fault, _), silence) in faults.iter().zip(&silences) {
        ensure!(
            *silence <= DEAD_AIR,
            "the caller heard nothing for {silence:.1?}; fault: {fault}"
        );
    }
    expect_record(&call, faults.len(), silences[0])?;
    let heard = world.transcribe(&call.leg().await?.heard).await?.join(" ");
    let share = share_understood(ANSWER, &heard);
    ensure!(
        share >= UNDERSTOOD,
        "of the answer only {share:.2}: {heard}"
    );
    world.expect_no_rooms().await
}

/// Each turn is in the log, and the first one as its caller lived through it.
fn expect_record(call: &Call, turns: usize, first: Duration) -> anyhow::Result<()> {
    let records = call.worker.events().all(|event| {
        let WorkerEvent::TurnLatency { total, fillers } = event else {
            return None;
        };
        Some((*total, *fillers))
    });
    ensure!(records.len() == turns, "the log has {records:?}");
    let (total, fillers) = records[0];
    ensure!(fillers == 0, "a filler although nothing failed");
    ensure!(
        first >= total && first - total <= WAY_TO_THE_EAR,
        "the log says {total:.1?}, the caller waited {first:.1?}"
    );
    ensure!(records[1].1 > 0, "the caller was not told to wait");
    Ok(())
}

/// The provider's voice stalls and there is none on the machine: nobody can say what is answered.
pub(crate) async fn an_agent_that_has_lost_its_voice_transfers_without_a_sentence(
    world: World,
) -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    only_voice(&provider, &world)?;
    let (live_agent, call) = tokio::try_join!(
        world.phone(PhoneSettings::live_agent()),
        Call::placed(&world, PhoneSettings::callee())
    )?;
    provider.behave(Conducts::WORK.speech(Conduct::Silent));
    expect_voiceless_transfer(&world, &call.worker, (&call.phone, &call.id), &live_agent).await
}

/// There is not even a voice that could have said ahead that the caller shall wait.
pub(crate) async fn an_agent_that_never_had_a_voice_transfers_without_a_sentence(
    world: World,
) -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    only_voice(&provider, &world)?;
    provider.behave(Conducts::WORK.speech(Conduct::Silent));
    let worker = async {
        world.trunk().await?;
        world.worker().await
    };
    let (worker, phone, live_agent) = tokio::try_join!(
        worker,
        world.phone(PhoneSettings::callee()),
        world.phone(PhoneSettings::live_agent())
    )?;
    let dialer = async {
        let args = ["--to", phone.settings().number];
        world.run("dialer", &args).await?.expect_success()
    };
    let answered = async {
        let ringing = phone.incoming().await?;
        phone.answer(&ringing).await?;
        Ok(ringing)
    };
    let (_, call) = tokio::try_join!(dialer, answered)?;
    expect_voiceless_transfer(&world, &worker, (&phone, &call), &live_agent).await
}

/// Has the agent speak by the provider and by nobody else, and listen by itself.
fn only_voice(provider: &Provider, world: &World) -> anyhow::Result<()> {
    provider.serve(world)?;
    world.set("STT_PROVIDER", "local")?;
    only_model(world, &models()?.whisper())
}

/// Leaves the agent no local model but that one.
fn only_model(world: &World, model: &Path) -> anyhow::Result<()> {
    let folder = world.dir().join("models");
    fs::create_dir(&folder)?;
    let name = model.file_name().context("the model has a name")?;
    symlink(model, folder.join(name)).context("cannot link the model")?;
    world.set("SPEECH_MODELS_DIR", &folder.display().to_string())
}

/// The provider does not recognise anything, and this machine cannot.
pub(crate) async fn an_agent_that_has_lost_its_ears_says_so_and_transfers(
    world: World,
) -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    provider.serve(&world)?;
    world.set("STT_PROVIDER", "openai")?;
    only_model(&world, &models()?.piper())?;
    let (live_agent, mut call) = tokio::try_join!(
        world.phone(PhoneSettings::live_agent()),
        Call::placed(&world, PhoneSettings::callee())
    )?;
    provider.behave(Conducts::WORK.transcription(Conduct::Gone));
    for expected in ["did not catch that", NOTICE] {
        let from = call.worker.events().len();
        call.phone.say(QUESTION).await?;
        let said = call.listen(from).await?;
        ensure!(said.contains(expected), "the agent says: {said}");
    }
    expect_transferred(&world, &call, &live_agent, Some(LIVEKIT_SIP)).await
}

/// The caller asks something, hears something within the bound, and is sent to the default number.
async fn expect_voiceless_transfer(
    world: &World,
    worker: &Worker,
    (phone, call): (&Phone, &CallId),
    live_agent: &Phone,
) -> anyhow::Result<()> {
    phone.say(QUESTION).await?;
    let asked = Instant::now();
    let ringing = live_agent.incoming().await?;
    let rang = asked.elapsed();
    // While the leg goes on: the phone stops listening to it when the other one is answered.
    let silences = phone.leg(0).await?.silences_after_words()?;
    ensure!(
        rang <= VOICELESS,
        "the default number rang after {rang:.1?}"
    );
    ensure!(
        silences.len() == 1 && silences[0] <= DEAD_AIR,
        "the caller heard nothing for {silences:.1?}"
    );
    live_agent.answer(&ringing).await?;
    let referred = phone.referred_to(live_agent.settings().number).await?;
    phone.closed(call).await?;

    expect_talk(phone, 1, live_agent, 0).await?;
    worker
        .expect(WorkerEvent::JobEnded {
            outcome: "transferred".to_owned(),
        })
        .await?;
    live_agent.hang_up().await?;
    phone.closed(&referred).await?;
    world.expect_no_rooms().await
}

/// What a server does with requests of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conduct {
    Works,
    /// Takes the request and never answers.
    Silent,
    /// Begins the answer and falls silent.
    Stalls,
    /// The same after the first sentence.
    StallsLate,
    /// Answers a word in a second, for ever.
    Drips,
    /// Begins the answer and closes the connection.
    Breaks,
    /// Closes the connection without an answer.
    Gone,
    /// Is not available.
    Refuses,
}

#[derive(Debug, Clone, Copy)]
struct Conducts {
    speech: Conduct,
    transcription: Conduct,
    chat: Conduct,
}

impl Conducts {
    const WORK: Self = Self {
        speech: Conduct::Works,
        transcription: Conduct::Works,
        chat: Conduct::Works,
    };

    fn speech(self, speech: Conduct) -> Self {
        Self { speech, ..self }
    }

    fn transcription(self, transcription: Conduct) -> Self {
        Self {
            transcription,
            ..self
        }
    }

    fn chat(self, chat: Conduct) -> Self {
        Self { chat, ..self }
    }
}

/// A server of OpenAI's protocol that speaks with the local voice, hears [`QUESTION`] and answers [`ANSWER`].
struct Provider {
    server: Server,
    asked: Arc<Asked>,
}

struct Asked {
    conducts: Mutex<Conducts>,
    spoken: AtomicUsize,
    /// By [`VOICE`].
    spoken_by_wish: AtomicUsize,
    transcribed: AtomicUsize,
    voices: Voices,
    /// What was said, as it sounds.
    audio: Mutex<HashMap<String, Vec<u8>>>,
}

impl Provider {
    async fn start() -> anyhow::Result<Self> {
        let asked = Arc::new(Asked {
            conducts: Mutex::new(Conducts::WORK),
            spoken: AtomicUsize::new(0),
            spoken_by_wish: AtomicUsize::new(0),
            transcribed: AtomicUsize::new(0),
            voices: Voices::load(&models()?.piper())?,
            audio: Mutex::default(),
        });
        asked.speak(ANSWER)?;
        let server = Server::start({
            let asked = asked.clone();
            move |stream| {
                let asked = asked.clone();
                async move { asked.answer(stream).await }
            }
        })
        .await?;
        Ok(Self { server, asked })
    }

    /// Has the agent think and speak by this server.
    fn serve(&self, world: &World) -> anyhow::Result<()> {
        world.set("OPENAI_BASE_URL", &format!("{}/v1", self.server.origin))?;
        world.set("OPENAI_API_KEY", "the-providers-key")?;
        world.set("TTS_PROVIDER", "openai")
    }

    fn behave(&self, conducts: Conducts) {
        *self
            .asked
            .conducts
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = conducts;
    }
}

impl Asked {
    async fn answer(&self, stream: TcpStream) -> anyhow::Result<()> {
        let mut stream = BufReader::new(stream);
        let (head, body) = read_request(&mut stream).await?;
        let conducts = *self.conducts.lock().unwrap_or_else(PoisonError::into_inner);
        if head.starts_with("POST /v1/audio/speech ") {
            self.spoken.fetch_add(1, SeqCst);
            let request: Value = serde_json::from_slice(&body)?;
            if request["voice"] == VOICE {
                self.spoken_by_wish.fetch_add(1, SeqCst);
            }
            let text = request["input"].as_str().context("no input")?;
            let audio = self.speak(text)?;
            respond(&mut stream, conducts.speech, "audio/pcm", &audio).await
        } else if head.starts_with("POST /v1/audio/transcriptions ") {
            self.transcribed.fetch_add(1, SeqCst);
            let heard = json!({ "text": QUESTION }).to_string();
            let conduct = conducts.transcription;
            respond(&mut stream, conduct, "application/json", heard.as_bytes()).await
        } else if head.starts_with("POST /v1/chat/completions ") {
            chat(&mut stream, conducts.chat).await
        } else {
            respond(&mut stream, Conduct::Refuses, "text/plain", b"").await
        }
    }

    /// The audio of `text`, made once: a vendor does not share its processor with the phones.
    fn speak(&self, text: &str) -> anyhow::Result<Vec<u8>> {
        let made = |cache: &HashMap<String, Vec<u8>>| cache.get(text).cloned();
        if let Some(audio) = made(&self.audio.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(audio);
        }
        let audio = self.synthesize(text)?;
        self.audio
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(text.to_owned(), audio.clone());
        Ok(audio)
    }

    fn synthesize(&self, text: &str) -> anyhow::Result<Vec<u8>> {
        let mut spoken: Pcm = self.voices.say(Voice::Joe, text, &std::env::temp_dir())?;
        spoken = resample(&spoken, RATE);
        Ok(spoken
            .samples
            .into_iter()
            .flat_map(i16::to_le_bytes)
            .collect())
    }
}

/// Answers with a body of known length; the first quarter of it where the answer has only begun.
async fn respond(
    stream: &mut BufReader<TcpStream>,
    conduct: Conduct,
    content_type: &str,
    body: &[u8],
) -> anyhow::Result<()> {
    let sent = match conduct {
        Conduct::Works => body,
        Conduct::Stalls | Conduct::StallsLate | Conduct::Drips | Conduct::Breaks => {
            &body[..body.len() / 4]
        }
        Conduct::Silent => return std::future::pending().await,
        Conduct::Gone => return Ok(()),
        Conduct::Refuses => {
            let refusal = b"HTTP/1.1 503 .\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return Ok(stream.write_all(refusal).await?);
        }
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), sent].concat()).await?;
    if let Conduct::Stalls | Conduct::StallsLate | Conduct::Drips = conduct {
        return std::future::pending().await;
    }
    Ok(())
}

/// A streamed answer of the language model.
async fn chat(stream: &mut BufReader<TcpStream>, conduct: Conduct) -> anyhow::Result<()> {
    if let Conduct::Silent | Conduct::Gone | Conduct::Refuses = conduct {
        return respond(stream, conduct, "text/plain", b"").await;
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let words =
        |words: &str| completion_chunk(&json!({ "role": "assistant", "content": words }), None);
    match conduct {
        Conduct::Works => {
            let end = completion_chunk(&json!({}), Some("stop"));
            let answer = words(ANSWER) + &end + openai::DONE;
            stream.write_all(answer.as_bytes()).await?;
        }
        Conduct::Drips => loop {
            stream.write_all(words("well ").as_bytes()).await?;
            stream.flush().await?;
            sleep(Duration::from_secs(1)).await;
        },
        Conduct::StallsLate => {
            let begun = format!("{ANSWER} And");
            stream.write_all(words(&begun).as_bytes()).await?;
            return std::future::pending().await;
        }
        Conduct::Stalls | Conduct::Breaks => {
            stream.write_all(words("We are").as_bytes()).await?;
            if conduct == Conduct::Stalls {
                return std::future::pending().await;
            }
        }
        Conduct::Silent | Conduct::Gone | Conduct::Refuses => {}
    }
    Ok(())
}
