//! The WebSocket under Deepgram's messages.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::StatusCode;
use secrecy::ExposeSecret as _;
use sip_config::DeepgramStt;
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        error::ProtocolError,
        http::{HeaderValue, header::AUTHORIZATION},
    },
};
use tracing::debug;
use url::Url;

use super::{ServerMessage, messages::ClientMessage};
use crate::{Pause, Refusal, endpoint, refusal::printable};

/// The rate of the audio, in Hz.
const RATE: u32 = 16_000;

/// Audio is sent in pieces of 50 ms: Deepgram wants 20 ms at least, and a telephone brings 10 ms.
const PIECE: usize = RATE as usize / 20;

/// Name lookup, TCP, TLS and upgrade together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Deepgram closes a connection on which nothing comes for 10 s.
const KEEP_ALIVE: Duration = Duration::from_secs(4);

/// Audio that is sent without an answer. Even silence is answered each second.
const STALL: Duration = Duration::from_secs(5);

/// A peer that takes no bytes for so long is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the server may take to end a stream that we have closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The silence after which Deepgram makes results final; its own advice for several languages at once.
///
/// Shorter than that of our endpointer, so that the words are mostly there when a turn ends.
const ENDPOINTING_MS: &str = "100";

/// The silence between words after which Deepgram says so; less is not allowed.
const UTTERANCE_END_MS: &str = "1000";

/// What is done with the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// 16 kHz mono, of any length.
    Audio(Vec<i16>),
    /// The person has stopped speaking: make final what there is.
    Finalize,
}

/// A connection to Deepgram did not come about or did not last.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the server cannot be reached")]
    Unreachable(#[source] Box<tungstenite::Error>),
    #[error("the server did not answer for {} s", .0.as_secs())]
    Stalled(Duration),
    #[error("the connection broke off")]
    CutOff(#[source] Box<tungstenite::Error>),
    /// Deepgram's codes and words, such as `NET-0001`.
    #[error("the server ended the stream: {reason}")]
    Ended { reason: String },
    #[error("the server sent what is no message of Deepgram's protocol")]
    Garbage(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
}

impl ListenError {
    pub fn pause(&self) -> Pause {
        match self {
            Self::Refused(refusal) => refusal.pause(),
            Self::Unreachable(_)
            | Self::Stalled(_)
            | Self::CutOff(_)
            | Self::Ended { .. }
            | Self::Garbage(_) => Pause::None,
        }
    }
}

/// Listens by one connection until `commands` closes, or until the connection fails.
///
/// What comes before the connection is up waits in `commands`. Dropping the future closes the connection.
pub async fn listen(
    settings: &DeepgramStt,
    commands: &mut mpsc::Receiver<Command>,
    messages: mpsc::Sender<ServerMessage>,
) -> Result<(), ListenError> {
    let mut socket = Socket::open(settings).await?;
    loop {
        let keep_alive = socket.last_sent + KEEP_ALIVE;
        tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Audio(pcm)) => socket.audio(&pcm).await?,
                Some(Command::Finalize) => {
                    socket.flush().await?;
                    socket.say(ClientMessage::Finalize).await?;
                }
                None => return socket.close().await,
            },
            message = socket.receive() => {
                if messages.send(message?).await.is_err() {
                    return socket.close().await;
                }
            }
            () = sleep_until(keep_alive) => {
                socket.say(ClientMessage::KeepAlive).await?;
            }
        }
    }
}

struct Socket<'a> {
    settings: &'a DeepgramStt,
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Less than [`PIECE`].
    unsent: Vec<i16>,
    last_sent: Instant,
    /// Audio since the last message of the server.
    unanswered: Duration,
}

impl<'a> Socket<'a> {
    async fn open(settings: &'a DeepgramStt) -> Result<Self, ListenError> {
        let unreachable = |error| ListenError::Unreachable(Box::new(error));
        let key = &settings.account.api_key;
        let mut request = listen_url(settings)
            .as_str()
            .into_client_request()
            .map_err(unreachable)?;
        let token = HeaderValue::from_str(&format!("Token {}", key.expose_secret()))
            .map_err(|error| unreachable(tungstenite::Error::HttpFormat(error.into())))?;
        request.headers_mut().insert(AUTHORIZATION, token);

        let connected = timeout(CONNECT_TIMEOUT, connect_async(request))
            .await
            .map_err(|_| ListenError::Stalled(CONNECT_TIMEOUT))?;
        match connected {
            Ok((stream, _)) => Ok(Self {
                settings,
                stream,
                unsent: Vec::with_capacity(PIECE),
                last_sent: Instant::now(),
                unanswered: Duration::ZERO,
            }),
            Err(tungstenite::Error::Http(response)) => {
                let status = response.status();
                // A server that answers 200 to an upgrade does not speak WebSocket.
                if status == StatusCode::OK {
                    return Err(ListenError::Garbage(None));
                }
                let body = response.body().as_deref().unwrap_or_default();
                Err(Refusal::new(status, response.headers(), body, key).into())
            }
            Err(error @ tungstenite::Error::Protocol(ProtocolError::HandshakeIncomplete)) => {
                Err(ListenError::CutOff(Box::new(error)))
            }
            Err(error @ tungstenite::Error::Protocol(_)) => {
                Err(ListenError::Garbage(Some(error.into())))
            }
            Err(error) => Err(unreachable(error)),
        }
    }

    async fn audio(&mut self, pcm: &[i16]) -> Result<(), ListenError> {
        self.unsent.extend_from_slice(pcm);
        if self.unsent.len() >= PIECE {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends all audio that there is.
    async fn flush(&mut self) -> Result<(), ListenError> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let samples = self.unsent.len() as u32;
        let bytes: Vec<u8> = self.unsent.drain(..).flat_map(i16::to_le_bytes).collect();
        self.send(Message::binary(bytes)).await?;
        self.unanswered += Duration::from_secs(1) * samples / RATE;
        match self.unanswered > STALL {
            true => Err(ListenError::Stalled(STALL)),
            false => Ok(()),
        }
    }

    async fn say(&mut self, message: ClientMessage) -> Result<(), ListenError> {
        self.send(Message::text(message.json())).await
    }

    async fn send(&mut self, frame: Message) -> Result<(), ListenError> {
        timeout(SEND_TIMEOUT, self.stream.send(frame))
            .await
            .map_err(|_| ListenError::Stalled(SEND_TIMEOUT))?
            .map_err(|error| ListenError::CutOff(Box::new(error)))?;
        self.last_sent = Instant::now();
        Ok(())
    }

    /// Cancel safe.
    async fn receive(&mut self) -> Result<ServerMessage, ListenError> {
        loop {
            let frame = self.stream.next().await.ok_or_else(|| self.ended(None))?;
            match frame.map_err(|error| ListenError::CutOff(Box::new(error)))? {
                Message::Text(text) => {
                    self.unanswered = Duration::ZERO;
                    let message = serde_json::from_str(&text)
                        .map_err(|error| ListenError::Garbage(Some(error.into())))?;
                    match message {
                        ServerMessage::Error { description } => {
                            return Err(self.ended(description.as_deref()));
                        }
                        ServerMessage::Metadata {} => debug!("Deepgram has ended the stream"),
                        message @ (ServerMessage::Results(_)
                        | ServerMessage::SpeechStarted { .. }
                        | ServerMessage::UtteranceEnd { .. }
                        | ServerMessage::Unknown) => return Ok(message),
                    }
                }
                Message::Binary(_) => return Err(ListenError::Garbage(None)),
                Message::Close(close) => {
                    let reason = close.map(|close| format!("{} {}", close.code, close.reason));
                    return Err(self.ended(reason.as_deref()));
                }
                // tungstenite answers pings by itself.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    fn ended(&self, reason: Option<&str>) -> ListenError {
        ListenError::Ended {
            reason: printable(reason.unwrap_or_default(), &self.settings.account.api_key),
        }
    }

    /// Tells the server that nothing follows, so that it neither waits nor bills.
    async fn close(mut self) -> Result<(), ListenError> {
        self.say(ClientMessage::CloseStream).await?;
        let rest = async { while let Some(Ok(_)) = self.stream.next().await {} };
        if timeout(CLOSE_TIMEOUT, rest).await.is_err() {
            debug!("Deepgram did not end the stream in time");
        }
        Ok(())
    }
}

/// Figures are left as they are spoken (no `smart_format`, no `numerals`): a formatter that guesses where a
/// number ends loses digits, and the words are what read-back and comparison work on.
fn listen_url(settings: &DeepgramStt) -> Url {
    let mut url = endpoint(&settings.account.base_url, "listen");
    let scheme = match url.scheme() {
        "http" => "ws",
        _ => "wss",
    };
    // http(s) and ws(s) are both special schemes, between which this never fails.
    if url.set_scheme(scheme).is_err() {
        debug!("the scheme of DEEPGRAM_BASE_URL cannot be changed");
    }
    url.query_pairs_mut()
        .append_pair("model", &settings.model)
        .append_pair("language", &settings.language)
        .append_pair("encoding", "linear16")
        .append_pair("sample_rate", &RATE.to_string())
        .append_pair("channels", "1")
        .append_pair("punctuate", "true")
        .append_pair("interim_results", "true")
        .append_pair("endpointing", ENDPOINTING_MS)
        .append_pair("utterance_end_ms", UTTERANCE_END_MS)
        .append_pair("vad_events", "true")
        .extend_pairs(settings.keyterms.iter().map(|term| ("keyterm", term)));
    url
}
