//! The providers of both agents: a server of OpenAI's protocol that answers after fixed times, and says when it was
//! asked and when it answered.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use e2e::{
    handset::{self, FRAME},
    http::{Server, read_request},
    journal::{Journal, Writer, journal},
    openai::{DONE, completion_chunk},
    recording::{SOUND, loudness},
    utterance::{Voice, Voices},
    world::World,
};
use serde_json::{Value, json};
use speech::{Pcm, resample};
use tokio::{
    io::{AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::{sleep, sleep_until},
};

/// From a turn's audio to its words.
const TRANSCRIPTION: Duration = Duration::from_millis(150);

/// From a request to the model's first token.
const FIRST_TOKEN: Duration = Duration::from_millis(200);

/// Between two tokens, which are words here.
const TOKEN: Duration = Duration::from_millis(15);

/// From a text to its first audio.
const FIRST_AUDIO: Duration = Duration::from_millis(100);

/// Audio comes four times as fast as it is played, until so much is ahead.
const AHEAD: Duration = Duration::from_secs(4);

/// How much audio is sent at once.
const PIECE: Duration = Duration::from_millis(100);

/// What OpenAI's protocol says of raw audio, in Hz.
const RATE: u32 = 24_000;

/// How long a text that never ends is: longer than any measurement.
const MONOLOGUE: Duration = Duration::from_secs(600);

/// What the caller says.
pub(crate) const QUESTION: &str = "What are your opening hours?";

/// What the model answers.
const ANSWER: &str =
    "We are open from nine to five, from Monday to Friday. Is there anything else?";

/// What the agents say first.
pub(crate) const GREETING: &str = "Hello, this is Ada. How can I help you?";

/// What happened at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    TranscriptionAsked,
    Transcribed,
    ReplyAsked,
    FirstToken,
    SpeechAsked,
    FirstAudio,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) at: Instant,
    pub(crate) event: Event,
}

pub(crate) struct Vendor {
    server: Server,
    desk: Arc<Desk>,
    stamps: Journal<Stamp>,
}

impl Vendor {
    /// Makes all that it will ever say, and listens.
    pub(crate) async fn start(voices: Arc<Voices>) -> anyhow::Result<Self> {
        let (writer, stamps) = journal("the providers");
        let clips = tokio::task::spawn_blocking(move || clips(&voices)).await??;
        let desk = Arc::new(Desk {
            clips,
            endless: AtomicBool::new(false),
            stamps: writer,
        });
        let server = Server::start({
            let desk = desk.clone();
            move |stream| {
                let desk = desk.clone();
                async move { desk.serve(stream).await }
            }
        })
        .await?;
        Ok(Self {
            server,
            desk,
            stamps,
        })
    }

    /// Has the agents listen, think and speak by this server.
    pub(crate) fn serve(&self, world: &World) -> anyhow::Result<()> {
        let url = format!("{}/v1", self.server.origin);
        for (name, value) in [
            ("OPENAI_BASE_URL", url.as_str()),
            ("OPENAI_API_KEY", "the-providers-key"),
            ("STT_PROVIDER", "openai"),
            ("TTS_PROVIDER", "openai"),
        ] {
            world.set(name, value)?;
        }
        Ok(())
    }

    /// From now on each text is spoken without a pause and without an end.
    pub(crate) fn speak_without_end(&self) {
        self.desk.endless.store(true, Relaxed);
    }

    pub(crate) fn stamps(&self) -> &Journal<Stamp> {
        &self.stamps
    }
}

struct Desk {
    clips: HashMap<&'static str, Vec<u8>>,
    endless: AtomicBool,
    stamps: Writer<Stamp>,
}

/// Stands for all texts that were not foreseen, and is what is said without end: no frame of it is silent.
const ANYTHING: &str = "";

const LONG: &str = "Our office is open from Monday to Friday, and on Saturday in the morning. You may take a bicycle \
                    with you, and a small dog. Your luggage is carried to the hotel for nothing.";

fn clips(voices: &Voices) -> anyhow::Result<HashMap<&'static str, Vec<u8>>> {
    let say = |text: &str| {
        let pcm = voices.say(Voice::Joe, text, &std::env::temp_dir())?;
        anyhow::Ok(resample(&pcm, RATE))
    };
    let mut clips = HashMap::from([(ANYTHING, bytes(&without_pauses(&say(LONG)?)))]);
    // Agents speak sentence by sentence, or several at once.
    let sentences = ANSWER
        .split_inclusive(". ")
        .chain(GREETING.split_inclusive(". "));
    for text in sentences.chain([ANSWER, GREETING]) {
        clips.insert(text.trim(), bytes(&from_its_first_sound(say(text)?)));
    }
    Ok(clips)
}

fn bytes(pcm: &Pcm) -> Vec<u8> {
    pcm.samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}

fn frame_samples(pcm: &Pcm) -> usize {
    (FRAME.as_secs_f64() * f64::from(pcm.sample_rate)) as usize
}

fn from_its_first_sound(mut pcm: Pcm) -> Pcm {
    let samples = frame_samples(&pcm);
    let mut frames = pcm.samples.chunks(samples);
    let silent = frames.position(|frame| loudness(frame) >= SOUND);
    pcm.samples.drain(..silent.unwrap_or(0) * samples);
    pcm
}

/// What of `pcm` a telephone makes loud frames of, four times as loud as a sound: no S, which has nothing below 4 kHz.
fn without_pauses(pcm: &Pcm) -> Pcm {
    let narrow = resample(pcm, handset::RATE);
    let frames = narrow.samples.chunks_exact(frame_samples(&narrow));
    let loud = frames.filter(|frame| loudness(frame) >= 4 * SOUND);
    let samples = loud.flatten().copied().collect();
    resample(&Pcm { samples, ..narrow }, pcm.sample_rate)
}

impl Desk {
    fn stamp(&self, event: Event) {
        let at = Instant::now();
        self.stamps.write(Stamp { at, event });
    }

    async fn serve(&self, stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        loop {
            let (head, body) = read_request(&mut stream).await?;
            let path = head.split(' ').nth(1).unwrap_or_default();
            match path {
                "/v1/audio/transcriptions" => self.transcribe(&mut stream).await?,
                "/v1/chat/completions" => self.reply(&mut stream).await?,
                "/v1/audio/speech" => {
                    let request: Value = serde_json::from_slice(&body)?;
                    let text = request["input"].as_str().context("no input")?;
                    self.speak(&mut stream, text).await?;
                }
                // A client may ask whether its key is taken, or open its connection ahead.
                _ => respond(&mut stream, "application/json", b"{}").await?,
            }
        }
    }

    async fn transcribe(&self, stream: &mut BufReader<TcpStream>) -> anyhow::Result<()> {
        self.stamp(Event::TranscriptionAsked);
        sleep(TRANSCRIPTION).await;
        self.stamp(Event::Transcribed);
        let words = json!({ "text": QUESTION }).to_string();
        respond(stream, "application/json", words.as_bytes()).await
    }

    async fn reply(&self, stream: &mut BufReader<TcpStream>) -> anyhow::Result<()> {
        self.stamp(Event::ReplyAsked);
        sleep(FIRST_TOKEN).await;
        begin(stream, "text/event-stream").await?;
        for (n, word) in ANSWER.split_inclusive(' ').enumerate() {
            if n == 0 {
                self.stamp(Event::FirstToken);
            } else {
                sleep(TOKEN).await;
            }
            let delta = json!({ "role": "assistant", "content": word });
            send(stream, completion_chunk(&delta, None).as_bytes()).await?;
        }
        let end = completion_chunk(&json!({}), Some("stop")) + DONE;
        send(stream, end.as_bytes()).await?;
        finish(stream).await
    }

    async fn speak(&self, stream: &mut BufReader<TcpStream>, text: &str) -> anyhow::Result<()> {
        self.stamp(Event::SpeechAsked);
        let endless = self.endless.load(Relaxed);
        let anything = &self.clips[ANYTHING];
        let clip = if endless {
            anything
        } else {
            self.clips.get(text.trim()).unwrap_or(anything)
        };
        sleep(FIRST_AUDIO).await;
        begin(stream, "audio/pcm").await?;
        self.stamp(Event::FirstAudio);

        let start = tokio::time::Instant::now();
        let piece_bytes = 2 * (PIECE.as_secs_f64() * f64::from(RATE)) as usize;
        let mut sent = Duration::ZERO;
        let pieces = clip.chunks(piece_bytes);
        let pieces: Box<dyn Iterator<Item = &[u8]> + Send> = if endless {
            Box::new(pieces.cycle())
        } else {
            Box::new(pieces)
        };
        for piece in pieces {
            sleep_until(start + (sent / 4).max(sent.saturating_sub(AHEAD))).await;
            send(stream, piece).await?;
            sent += PIECE;
            if sent >= MONOLOGUE {
                break;
            }
        }
        finish(stream).await
    }
}

async fn respond(
    stream: &mut BufReader<TcpStream>,
    content_type: &str,
    body: &[u8],
) -> anyhow::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    );
    Ok(stream.write_all(&[head.as_bytes(), body].concat()).await?)
}

/// Begins a body of unknown length, in chunks (RFC 9112 §7.1).
async fn begin(stream: &mut BufReader<TcpStream>, content_type: &str) -> anyhow::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    Ok(stream.write_all(head.as_bytes()).await?)
}

async fn send(stream: &mut BufReader<TcpStream>, chunk: &[u8]) -> anyhow::Result<()> {
    let size = format!("{:x}\r\n", chunk.len());
    let chunk = [size.as_bytes(), chunk, b"\r\n"].concat();
    Ok(stream.write_all(&chunk).await?)
}

async fn finish(stream: &mut BufReader<TcpStream>) -> anyhow::Result<()> {
    Ok(stream.write_all(b"0\r\n\r\n").await?)
}
