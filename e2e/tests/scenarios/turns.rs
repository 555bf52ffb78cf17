//! The person makes itself heard while the agent speaks.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use e2e::{
    call::Call,
    handset::{FRAME, Handsets, Utterance},
    http::{Server, read_request},
    openai::{self, completion_chunk},
    party::handset_number,
    phone::PhoneSettings,
    provider::models,
    utterance::{Voice, Voices},
    wait::{LIMIT, Unmet, wait_for_condition},
    words::{UNDERSTOOD, share_understood},
    worker::WorkerEvent,
    world::World,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncWriteExt as _, BufReader},
    net::TcpStream,
    sync::mpsc,
};

/// What the agent is saying, half a minute of it.
const SENTENCES: [&str; 5] = [
    "Hello, this is Ada of Example Travel, and it is nice to talk to you.",
    "We sell train tickets to every large city in Europe, and to many small villages in the mountains.",
    "Our office is open from Monday to Friday, and on Saturday in the morning.",
    "You may take a bicycle with you, and a small dog.",
    "Your luggage is carried to the hotel for nothing.",
];

/// How long the agent speaks between two sounds of the person.
const LATER: Duration = Duration::from_secs(3);

/// How soon the agent must be silent when it is interrupted.
const BARGE_IN: Duration = Duration::from_millis(200);

/// What the words need to the agent, 100 ms, and its silence back, 250 ms: jitter buffers of livekit-sip, of the agent
/// and of the phone.
const WAY: Duration = Duration::from_millis(350);

pub(crate) async fn the_agent_goes_on_after_a_noise_and_signs_of_listening(
    world: World,
) -> anyhow::Result<()> {
    let mut call = monologue(&world, PhoneSettings::callee()).await?;
    // Not "Mm-hm.": voices made by a machine spell it.
    for sound in ["Ahem!", "Uh-huh.", "Okay."] {
        hear_for(&call, LATER).await?;
        let from = call.worker.events().len();
        call.phone.say(sound).await?;
        expect_resumed(&call, from).await.context(sound)?;
    }

    call.listen(0).await?;
    let heard = world.transcribe(&call.leg().await?.heard).await?.join(" ");
    for sentence in SENTENCES {
        let share = share_understood(sentence, &heard);
        ensure!(
            share >= UNDERSTOOD,
            "of `{sentence}` only {share:.2} was understood; the caller heard: {heard}"
        );
    }
    let hellos = heard.to_lowercase().matches("hello").count();
    ensure!(
        hellos == 1,
        "the agent began anew; the caller heard: {heard}"
    );
    let stopped = call
        .worker
        .events()
        .all(|event| (*event == WorkerEvent::StoppedSpeaking).then_some(()));
    ensure!(stopped.is_empty(), "the agent gave up what it was saying");
    hang_up(&world, &call).await
}

#[expect(clippy::print_stdout, reason = "the figure is part of the result")]
pub(crate) async fn who_interrupts_the_agent_is_answered_and_the_rest_is_not_said(
    world: World,
) -> anyhow::Result<()> {
    let mut model = Model::start().await?;
    let url = format!("{}/v1", model.server.origin);
    for (name, value) in [
        ("OPENAI_BASE_URL", url.as_str()),
        ("OPENAI_API_KEY", "the-models-key"),
        ("TTS_PROVIDER", "local"),
        ("STT_PROVIDER", "local"),
    ] {
        world.set(name, value)?;
    }
    let mut call = monologue(&world, PhoneSettings::callee()).await?;
    hear_for(&call, 2 * LATER).await?;

    let answer = call.tell("What does a ticket to Rome cost?").await?;
    ensure!(answer.ends_with(ANSWER), "the agent answered: {answer}");
    expect(&call, 0, &WorkerEvent::Pauses).await?;
    expect(&call, 0, &WorkerEvent::StoppedSpeaking).await?;
    let leg = call.leg().await?;
    let talked_over = leg.talked_over()?;
    let [talked_over] = talked_over[..] else {
        bail!("the agent was interrupted once, not {talked_over:?}");
    };
    println!("the phone heard the agent for {talked_over:?} over the person");
    ensure!(
        talked_over <= BARGE_IN + WAY,
        "the agent went on for {talked_over:?}"
    );
    let heard = world.transcribe(&call.leg().await?.heard).await?.join(" ");
    let (first, last) = (SENTENCES[0], SENTENCES[SENTENCES.len() - 1]);
    let share = |said| share_understood(said, &heard);
    ensure!(
        share(first) >= UNDERSTOOD && !heard.contains("luggage"),
        "the caller heard: {heard}"
    );

    // The model knows of its words those that were heard, and no more.
    let told = model.told().await?;
    ensure!(
        told.starts_with(first) && SENTENCES.join(" ").starts_with(&told) && !told.contains(last),
        "the model was told that it had said: {told}"
    );
    let share = share_understood(&told, &heard);
    ensure!(
        share >= UNDERSTOOD,
        "of `{told}`, as the model was told, only {share:.2} was understood; the caller heard: {heard}"
    );

    // It may press keys, and the phone gets each of them.
    call.phone.say("Now press the keys, please.").await?;
    let pressed = call.phone.keys(PRESSED.len()).await?;
    ensure!(pressed == PRESSED, "the phone got the keys {pressed}");
    hang_up(&world, &call).await
}

/// A callee who has picked up and is being told all of [`SENTENCES`].
async fn monologue(world: &World, callee: PhoneSettings) -> anyhow::Result<Call> {
    world.behave(&behaviour())?;
    let call = Call::picked_up(world, callee, &[]).await?;
    call.first_words().await?;
    Ok(call)
}

/// An agent that begins with all of [`SENTENCES`].
fn behaviour() -> String {
    let greeting = SENTENCES.join(" ");
    format!("greeting = \"{greeting}\"\nspeak_first = true\n[tools]\nsend_dtmf = true\n")
}

async fn hang_up(world: &World, call: &Call) -> anyhow::Result<()> {
    call.phone.hang_up().await?;
    let outcome = call.worker.job_outcome().await?;
    ensure!(outcome == "caller hung up", "the job ended as {outcome}");
    world.expect_no_rooms().await
}

/// Waits until the phone has been in the call for so much longer.
pub(crate) async fn hear_for(call: &Call, time: Duration) -> anyhow::Result<()> {
    let heard = call.leg().await?.heard;
    wait_until_heard(time, || Ok(heard.pcm()?.duration())).await
}

/// Waits until as much more was heard.
async fn wait_until_heard(
    time: Duration,
    heard: impl Fn() -> anyhow::Result<Duration>,
) -> anyhow::Result<()> {
    let until = heard()? + time;
    let what = format!("the phone to have heard the agent for {time:?}");
    wait_for_condition(&what, time + LIMIT, async || match heard()? {
        now if now >= until => Ok(()),
        now => Err(Unmet::NotYet(format!("{now:?} of {until:?}"))),
    })
    .await
}

/// Waits until the agent has paused and gone on, after position `from` of the worker's journal.
async fn expect_resumed(call: &Call, from: usize) -> anyhow::Result<()> {
    expect(call, from, &WorkerEvent::Pauses).await?;
    expect(call, from, &WorkerEvent::GoesOn).await
}

pub(crate) async fn expect(call: &Call, from: usize, event: &WorkerEvent) -> anyhow::Result<()> {
    let is_it = |seen: &WorkerEvent| (seen == event).then_some(());
    let events = call.worker.events();
    events
        .find_after(from, &format!("{event:?}"), LIMIT, is_it)
        .await
}

/// What comes back of the agent's voice: -25 dB.
const ECHO: f64 = 0.056;

/// How long the agent is listened to on a line with echo.
const LISTENED: Duration = Duration::from_secs(8);

pub(crate) async fn the_agent_is_interrupted_by_a_person_and_not_by_its_echo(
    world: World,
) -> anyhow::Result<()> {
    let voices = Voices::load(&models()?.piper())?;
    let utterance = |text| {
        let said = voices.say(Voice::Joe, text, &std::env::temp_dir())?;
        anyhow::Ok(Utterance::new(&said))
    };
    let (question, goodbye) = (
        utterance("What are your opening hours?")?,
        utterance("Goodbye.")?,
    );
    let mut handsets = Handsets::with_echo(ECHO).await?;
    world.behave(&behaviour())?;
    world.trunk().await?;
    let worker = world.worker().await?;
    world
        .run("dialer", &["--to", &handset_number(0)])
        .await?
        .expect_success()?;
    let handset = handsets.next(LIMIT).await?;

    let says = |event: &WorkerEvent| matches!(event, WorkerEvent::Says { .. }).then_some(());
    worker.find("the greeting", says).await?;
    let heard = || Ok(FRAME * u32::try_from(handset.heard().len())?);
    wait_until_heard(LISTENED, heard).await?;
    let from = worker.events().len();
    let pauses = |event: &WorkerEvent| (*event == WorkerEvent::Pauses).then_some(());
    let pauses = worker.events().all(pauses).len();
    ensure!(pauses == 0, "the agent paused {pauses} times");

    handset.say(question).await?;
    worker.expect(WorkerEvent::StoppedSpeaking).await?;
    let answer = worker.spoken_after(from).await?;
    let said = Instant::now();
    handset.silence(said, Duration::from_millis(500)).await?;
    handset.say(goodbye).await?;
    let outcome = worker.job_outcome().await?;
    ensure!(
        outcome == "agent hung up",
        "after `{answer}` the job ended as {outcome}"
    );
    world.expect_no_rooms().await
}

/// What the model says to everything.
const ANSWER: &str = "It is forty euros.";

/// The keys that it presses when it is asked to, among them one twice.
const PRESSED: &str = "11#20";

/// The same with a pause, as a tool takes them.
const DIGITS: &str = "11w#20";

/// A language model of OpenAI's protocol that says one thing, or presses keys, and tells what it was told.
struct Model {
    server: Server,
    requests: mpsc::Receiver<Value>,
}

impl Model {
    async fn start() -> anyhow::Result<Self> {
        let (tell, requests) = mpsc::channel(16);
        let server = Server::start(move |stream| answer(stream, tell.clone())).await?;
        Ok(Self { server, requests })
    }

    /// What the first request says that the agent had said before.
    async fn told(&mut self) -> anyhow::Result<String> {
        let request = self.requests.recv().await.context("nothing was asked")?;
        let messages = request["messages"].as_array().context("no messages")?;
        let said = messages
            .iter()
            .find(|message| message["role"] == "assistant")
            .with_context(|| format!("the agent had said nothing: {request}"))?;
        let said = said["content"].as_str().context("no text")?;
        Ok(said.to_owned())
    }
}

async fn answer(stream: TcpStream, tell: mpsc::Sender<Value>) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    let (_, body) = read_request(&mut stream).await?;
    let request: Value = serde_json::from_slice(&body)?;
    let asked = request["messages"].as_array().and_then(|all| all.last());
    let asked = asked.and_then(|message| message["content"].as_str());
    let asked = asked.unwrap_or_default().to_lowercase();
    let delta = match asked.contains("press") || asked.contains("key") {
        true => json!({ "tool_calls": [{
            "index": 0, "id": "call_1", "type": "function",
            "function": { "name": "send_dtmf", "arguments": json!({ "digits": DIGITS }).to_string() },
        }]}),
        false => json!({ "role": "assistant", "content": ANSWER }),
    };
    tell.send(request).await?;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{}{}{}",
        completion_chunk(&delta, None),
        completion_chunk(&json!({}), Some("stop")),
        openai::DONE,
    );
    Ok(stream.write_all(answer.as_bytes()).await?)
}
