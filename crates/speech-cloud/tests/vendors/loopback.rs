//! For tests: vendors on loopback that do as they are told and record what they were asked.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use sip_config::{
    Account, CartesiaTts, DeepgramStt, DeepgramTts, OpenAiStt, OpenAiTts, TtsSettings,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request as Handshake, Response},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

pub(crate) const KEY: &str = "the-secret-key";

/// What an HTTP vendor does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// 200 with a body in pieces, to its end.
    Stream(Vec<Vec<u8>>),
    /// The pieces, and then the connection breaks.
    Cut(Vec<Vec<u8>>),
    /// The pieces, and then nothing.
    Stall(Vec<Vec<u8>>),
    /// A status with headers, each with its line end, and a body.
    Status(u16, &'static str, String),
    /// 200 with a body of this type.
    Typed(&'static str, Vec<u8>),
    /// Nothing at all.
    Silent,
    /// What is no HTTP.
    Garbage,
}

impl Answer {
    /// A tone of so long, in pieces of 100 ms of 24 kHz, each cut in the middle of a sample.
    pub(crate) fn tone(length: Duration) -> Vec<Vec<u8>> {
        let samples = (length.as_millis() * 24) as usize;
        let tone = (0..samples).map(|n| if n / 30 % 2 == 0 { 6_000_i16 } else { -6_000 });
        let mut bytes: Vec<u8> = tone.flat_map(i16::to_le_bytes).collect();
        let mut pieces = vec![bytes.drain(..bytes.len().min(2_401)).collect()];
        pieces.extend(bytes.chunks(4_800).map(<[u8]>::to_vec));
        pieces
    }

    pub(crate) fn refused(status: u16) -> Self {
        Self::Status(status, "", r#"{"error":{"message":"no"}}"#.to_owned())
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Request line and headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A vendor that is asked by HTTP.
pub(crate) struct Vendor {
    pub(crate) account: Account,
    requests: Arc<Mutex<Vec<Request>>>,
    _task: JoinSet<()>,
}

impl Vendor {
    pub(crate) async fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let account = account(&listener, "http");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let record = requests.clone();
        let answer = Arc::new(answer);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (answer, record) = (answer.clone(), record.clone());
                connections.spawn(async move {
                    // A client may connect ahead of a request and never make it.
                    let Some(request) = read_request(&mut stream).await else {
                        return;
                    };
                    let answer = answer(&request);
                    record.lock().unwrap().push(request);
                    play(&mut stream, answer).await;
                });
            }
        });
        Self {
            account,
            requests,
            _task: task,
        }
    }

    /// Answers every request so.
    pub(crate) async fn always(answer: Answer) -> Self {
        Self::start(move |_| answer.clone()).await
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn openai_tts(&self) -> TtsSettings {
        TtsSettings::OpenAi(OpenAiTts {
            account: self.account.clone(),
            model: "tts-1".to_owned(),
            voice: "alloy".to_owned(),
        })
    }

    pub(crate) fn cartesia_tts(&self) -> TtsSettings {
        TtsSettings::Cartesia(CartesiaTts {
            account: self.account.clone(),
            model: "sonic-2".to_owned(),
            voice: "a-voice".to_owned(),
        })
    }

    pub(crate) fn deepgram_tts(&self) -> TtsSettings {
        TtsSettings::Deepgram(DeepgramTts {
            account: self.account.clone(),
            model: "aura-2-thalia-en".to_owned(),
        })
    }

    pub(crate) fn openai_stt(&self) -> OpenAiStt {
        OpenAiStt {
            account: self.account.clone(),
            model: "whisper-1".to_owned(),
            language: Some("en".to_owned()),
        }
    }
}

fn account(listener: &TcpListener, scheme: &str) -> Account {
    let address = listener.local_addr().unwrap();
    Account {
        api_key: KEY.into(),
        base_url: format!("{scheme}://{address}/v1").parse().unwrap(),
    }
}

/// An account at a server that is not there.
pub(crate) async fn nobody() -> Account {
    account(&TcpListener::bind("127.0.0.1:0").await.unwrap(), "http")
}

async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let mut request = Request {
        head,
        body: Vec::new(),
    };
    let length = request.header("content-length");
    let length = length.map_or(0, |length| length.parse().unwrap());
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body).await.ok()?;
    Some(request)
}

async fn play(stream: &mut TcpStream, answer: Answer) {
    const STREAM: &[u8] =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let fixed = |status: u16, headers: &str, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 {status} .\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    match answer {
        Answer::Stream(pieces) => {
            write(stream, STREAM).await;
            write_chunks(stream, &pieces).await;
            write(stream, b"0\r\n\r\n").await;
        }
        Answer::Cut(pieces) => {
            write(stream, STREAM).await;
            write_chunks(stream, &pieces).await;
        }
        Answer::Stall(pieces) => {
            write(stream, STREAM).await;
            write_chunks(stream, &pieces).await;
            std::future::pending().await
        }
        Answer::Status(status, headers, body) => {
            write(stream, &fixed(status, headers, body.as_bytes())).await;
        }
        Answer::Typed(content_type, body) => {
            let content_type = format!("content-type: {content_type}\r\n");
            write(stream, &fixed(200, &content_type, &body)).await;
        }
        Answer::Silent => std::future::pending().await,
        Answer::Garbage => write(stream, b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await,
    }
}

async fn write_chunks(stream: &mut TcpStream, pieces: &[Vec<u8>]) {
    for piece in pieces {
        let head = format!("{:x}\r\n", piece.len());
        write(stream, &[head.as_bytes(), piece, b"\r\n"].concat()).await;
    }
}

/// A client may have gone already.
async fn write(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.ok();
}

/// What Deepgram got.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Got {
    /// A connection was opened.
    Opened,
    /// So much audio in all, on this connection.
    Audio(Duration),
    /// `KeepAlive`, `Finalize` or `CloseStream`.
    Text(String),
}

/// What Deepgram does.
#[derive(Debug, Clone)]
pub(crate) enum Does {
    Json(Value),
    Text(&'static str),
    Binary,
    Close(u16, &'static str),
    /// The connection breaks.
    Cut,
}

/// Deepgram's streaming recognition.
pub(crate) struct Deepgram {
    pub(crate) settings: DeepgramStt,
    pub(crate) got: Arc<Mutex<Vec<Got>>>,
    /// The request line and the `Authorization` of each connection.
    pub(crate) opened: Arc<Mutex<Vec<(String, String)>>>,
    _task: JoinSet<()>,
}

impl Deepgram {
    /// `answer` gets the number of the connection, from 0, and what came by it.
    pub(crate) async fn start(
        answer: impl Fn(usize, &Got) -> Vec<Does> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let account = account(&listener, "http");
        let got = Arc::new(Mutex::new(Vec::new()));
        let opened = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(answer);
        let mut task = JoinSet::new();
        task.spawn({
            let (got, opened) = (got.clone(), opened.clone());
            async move {
                let mut connections = JoinSet::new();
                for number in 0.. {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (got, opened, answer) = (got.clone(), opened.clone(), answer.clone());
                    connections.spawn(async move {
                        let answer = |what: &Got| {
                            got.lock().unwrap().push(what.clone());
                            answer(number, what)
                        };
                        serve(stream, answer, &opened).await;
                    });
                }
            }
        });
        Self {
            settings: DeepgramStt {
                account,
                model: "nova-3".to_owned(),
                language: "multi".to_owned(),
                keyterms: vec!["Acme & Co".to_owned(), "sales".to_owned()],
            },
            got,
            opened,
            _task: task,
        }
    }

    /// The messages that came, without the audio.
    pub(crate) fn texts(&self) -> Vec<String> {
        let got = self.got.lock().unwrap();
        got.iter()
            .filter_map(|got| match got {
                Got::Text(text) => Some(text.clone()),
                Got::Opened | Got::Audio(_) => None,
            })
            .collect()
    }
}

async fn serve(
    stream: TcpStream,
    answer: impl Fn(&Got) -> Vec<Does>,
    opened: &Mutex<Vec<(String, String)>>,
) {
    #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
    let shake = |request: &Handshake, response: Response| {
        let key = request.headers()["authorization"].to_str().unwrap();
        let key = key.to_owned();
        opened
            .lock()
            .unwrap()
            .push((request.uri().to_string(), key));
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr_async(stream, shake).await else {
        return;
    };
    let mut audio = Duration::ZERO;
    let mut what = Got::Opened;
    loop {
        for does in answer(&what) {
            let message = match does {
                Does::Json(json) => Message::text(json.to_string()),
                Does::Text(text) => Message::text(text),
                Does::Binary => Message::binary(vec![1, 2, 3]),
                Does::Close(code, reason) => Message::Close(Some(CloseFrame {
                    code: CloseCode::from(code),
                    reason: reason.into(),
                })),
                Does::Cut => return,
            };
            // The client may have gone already.
            socket.send(message).await.ok();
        }
        what = loop {
            match socket.next().await {
                Some(Ok(Message::Binary(bytes))) => {
                    audio += Duration::from_secs(1) * (bytes.len() / 2) as u32 / 16_000;
                    break Got::Audio(audio);
                }
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    break Got::Text(message["type"].as_str().unwrap().to_owned());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            }
        };
    }
}

/// Deepgram's `Results` from one position in the audio to another, in milliseconds.
pub(crate) fn results(from: u64, to: u64, is_final: bool, text: &str) -> Does {
    let seconds = |ms: u64| ms as f64 / 1_000.0;
    Does::Json(serde_json::json!({
        "type": "Results", "channel_index": [0, 1], "start": seconds(from), "duration": seconds(to - from),
        "is_final": is_final, "speech_final": is_final, "from_finalize": false,
        "channel": { "alternatives": [{ "transcript": text, "confidence": 0.99, "words": [] }] },
        "metadata": { "request_id": "1" },
    }))
}
