//! A provider of speech and language that dies in the middle of a call.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use anyhow::{Context as _, ensure};
use e2e::{
    call::Call,
    party::LIVEKIT_SIP,
    phone::PhoneSettings,
    utterance::{Voice, Voices},
    words::share_understood,
    world::World,
};
use serde_json::Value;
use speech::{ModelsDir, Pcm, resample};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{transfer::UNDERSTOOD, transferred::expect_transferred};

/// What OpenAI's protocol says of raw audio.
const RATE: u32 = 24_000;

pub(crate) async fn a_provider_that_dies_in_mid_call_is_stood_in_for(
    world: World,
) -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    for (name, value) in [
        ("OPENAI_BASE_URL", provider.url.as_str()),
        ("OPENAI_API_KEY", "the-providers-key"),
        ("TTS_PROVIDER", "openai"),
        ("STT_PROVIDER", "openai"),
    ] {
        world.set(name, value)?;
    }
    let (live_agent, mut call) = tokio::try_join!(
        world.phone(PhoneSettings::live_agent()),
        Call::placed(&world, PhoneSettings::callee())
    )?;
    let greeting = call.said.join(" ");
    let spoken = provider.asked.spoken.load(SeqCst);
    ensure!(spoken > 0, "the provider must have spoken the greeting");

    // From here on it takes requests and answers none of them to speak, and breaks off the others.
    provider.asked.dead.store(true, SeqCst);
    call.ask_for_transfer("Transfer me to a live agent.")
        .await?;
    expect_transferred(&world, &call, &live_agent, Some(LIVEKIT_SIP)).await?;

    ensure!(
        provider.asked.transcribed.load(SeqCst) > 0 && provider.asked.spoken.load(SeqCst) > spoken,
        "the provider must have been asked after its death"
    );
    let heard = world.transcribe(&call.leg().await?.heard).await?.join(" ");
    let share = share_understood(&greeting, &heard);
    ensure!(
        share >= UNDERSTOOD,
        "of `{greeting}` only {share:.2} was understood; the caller heard: {heard}"
    );
    Ok(())
}

/// A server of OpenAI's protocol that speaks with the local voice, until it is dead.
struct Provider {
    url: String,
    asked: Arc<Asked>,
    _task: JoinSet<()>,
}

struct Asked {
    dead: AtomicBool,
    spoken: AtomicUsize,
    transcribed: AtomicUsize,
    voices: Voices,
}

impl Provider {
    async fn start() -> anyhow::Result<Self> {
        let models = ModelsDir::from_lookup(|name| std::env::var(name).ok());
        let models = models.context("neither SPEECH_MODELS_DIR nor HOME is set")?;
        let asked = Arc::new(Asked {
            dead: AtomicBool::new(false),
            spoken: AtomicUsize::new(0),
            transcribed: AtomicUsize::new(0),
            voices: Voices::load(&models.piper())?,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let mut task = JoinSet::new();
        task.spawn({
            let asked = asked.clone();
            async move {
                let mut connections = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let asked = asked.clone();
                    // The client may go at any time.
                    connections.spawn(async move { asked.answer(stream).await.ok() });
                }
            }
        });
        Ok(Self {
            url,
            asked,
            _task: task,
        })
    }
}

impl Asked {
    async fn answer(&self, stream: TcpStream) -> anyhow::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            ensure!(stream.read_line(&mut head).await? > 0, "no request");
        }
        let length = head.to_lowercase();
        let length = length
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(Ok(0), str::parse)?];
        stream.read_exact(&mut body).await?;

        let dead = self.dead.load(SeqCst);
        if head.starts_with("POST /v1/audio/speech ") {
            self.spoken.fetch_add(1, SeqCst);
            if dead {
                return std::future::pending().await;
            }
            let request: Value = serde_json::from_slice(&body)?;
            let text = request["input"].as_str().context("no input")?;
            let audio = self.speak(text)?;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: audio/pcm\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                audio.len()
            );
            stream
                .write_all(&[head.as_bytes(), &audio].concat())
                .await?;
        } else if head.starts_with("POST /v1/audio/transcriptions ") {
            self.transcribed.fetch_add(1, SeqCst);
        } else if !dead {
            stream
                .write_all(b"HTTP/1.1 503 .\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .await?;
        }
        Ok(())
    }

    fn speak(&self, text: &str) -> anyhow::Result<Vec<u8>> {
        let mut spoken: Pcm = self.voices.say(Voice::Joe, text, &std::env::temp_dir())?;
        spoken = resample(&spoken, RATE);
        Ok(spoken
            .samples
            .into_iter()
            .flat_map(i16::to_le_bytes)
            .collect())
    }
}
