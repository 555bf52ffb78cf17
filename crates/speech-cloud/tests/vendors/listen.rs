use std::time::Duration;

use secrecy::ExposeSecret as _;
use sip_config::DeepgramStt;
use speech_cloud::{
    Listen, ListenError, Pause, Refusal,
    listen::{Command, ServerMessage},
};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::loopback::{Answer, Deepgram, Does, Got, Vendor, nobody, results};

/// A second of audio in frames of 10 ms.
const SECOND: usize = 100;

struct Line {
    commands: mpsc::Sender<Command>,
    messages: mpsc::Receiver<ServerMessage>,
    end: JoinHandle<Result<(), ListenError>>,
}

impl Line {
    fn open(settings: &DeepgramStt) -> Self {
        let (commands, mut to_send) = mpsc::channel(10_000);
        let (received, messages) = mpsc::channel(100);
        let settings = settings.clone();
        let end =
            tokio::spawn(
                async move { speech_cloud::listen(&settings, &mut to_send, received).await },
            );
        Self {
            commands,
            messages,
            end,
        }
    }

    async fn hear(&self, frames: usize) {
        for _ in 0..frames {
            self.send(Command::Audio(vec![100; 160])).await;
        }
    }

    /// The line may have broken already.
    async fn send(&self, command: Command) {
        self.commands.send(command).await.ok();
    }

    async fn message(&mut self) -> ServerMessage {
        self.messages.recv().await.unwrap()
    }

    async fn error(self) -> ListenError {
        self.end.await.unwrap().unwrap_err()
    }
}

fn audio(what: &Got, ms: u64) -> bool {
    *what == Got::Audio(Duration::from_millis(ms))
}

#[tokio::test]
async fn a_turn_is_followed_from_its_first_word_to_the_close() {
    let server = Deepgram::start(|_, what| match what {
        what if audio(what, 500) => vec![
            Does::Json(
                serde_json::json!({ "type": "SpeechStarted", "channel": [0], "timestamp": 0.2 }),
            ),
            results(0, 500, false, "transfer"),
        ],
        what if audio(what, 1_000) => vec![results(0, 1_000, false, "transfer me")],
        Got::Text(text) if text == "Finalize" => vec![results(0, 1_020, true, "Transfer me.")],
        Got::Text(text) if text == "CloseStream" => vec![
            Does::Json(serde_json::json!({ "type": "Metadata", "duration": 1.02 })),
            Does::Close(1_000, ""),
        ],
        _ => vec![],
    })
    .await;
    let mut line = Line::open(&server.settings);
    let turn = Duration::from_millis(100)..Duration::from_millis(1_000);
    let mut listen = Listen::default();
    line.hear(SECOND + 2).await;
    for _ in 0..3 {
        listen.handle(line.message().await);
    }
    assert_eq!(listen.turn(&turn).text, "transfer me");
    assert!(!listen.turn(&turn).complete);
    line.send(Command::Finalize).await;
    listen.handle(line.message().await);
    let words = listen.take(&turn);
    assert_eq!(
        (words.text.as_str(), words.complete),
        ("Transfer me.", true)
    );

    drop(line.commands);
    line.end.await.unwrap().unwrap();
    assert_eq!(server.texts(), ["Finalize", "CloseStream"]);
    // What was left of the audio came before `Finalize`.
    let got = server.got.lock().unwrap();
    let finalize = got
        .iter()
        .position(|got| *got == Got::Text("Finalize".to_owned()));
    assert!(audio(&got[finalize.unwrap() - 1], 1_020), "{got:?}");

    let opened = server.opened.lock().unwrap();
    let [(uri, key)] = &opened[..] else {
        panic!("{opened:?}")
    };
    assert_eq!(
        uri,
        "/v1/listen?model=nova-3&language=multi&encoding=linear16&sample_rate=16000&channels=1&punctuate=true\
         &interim_results=true&endpointing=100&utterance_end_ms=1000&vad_events=true&keyterm=Acme+%26+Co&keyterm=sales"
    );
    assert_eq!(key, "Token the-secret-key");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_line_is_kept_alive() {
    let server = Deepgram::start(|_, what| match what {
        Got::Text(text) if text == "KeepAlive" => vec![results(0, 0, true, "")],
        _ => vec![],
    })
    .await;
    let mut line = Line::open(&server.settings);
    let before = tokio::time::Instant::now();
    for _ in 0..3 {
        line.message().await;
    }
    assert_eq!(server.texts(), ["KeepAlive"; 3]);
    let quiet = before.elapsed();
    assert!(
        quiet >= Duration::from_secs(12) && quiet < Duration::from_secs(15),
        "{quiet:?}"
    );
}

#[tokio::test]
async fn a_refused_handshake_says_what_can_be_done_about_it() {
    let body = |text: &str| text.to_owned();
    for (answer, expected) in [
        (
            Answer::Status(
                401,
                "",
                body(r#"{"err_code":"INVALID_AUTH","err_msg":"Invalid credentials."}"#),
            ),
            Refusal::Key { status: 401 },
        ),
        (
            Answer::Status(429, "retry-after: 3\r\n", body("")),
            Refusal::Quota {
                status: 429,
                retry_after: Some(Duration::from_secs(3)),
            },
        ),
        (Answer::refused(500), Refusal::Server { status: 500 }),
        (
            Answer::Status(
                400,
                "",
                body(r#"{"err_code":"Bad Request","err_msg":"No such model."}"#),
            ),
            Refusal::Request {
                status: 400,
                message: "No such model.".to_owned(),
            },
        ),
    ] {
        let server = Vendor::always(answer).await;
        let mut settings = Deepgram::start(|_, _| vec![]).await.settings;
        settings.account = server.account.clone();
        match Line::open(&settings).error().await {
            ListenError::Refused(refusal) => assert_eq!(refusal, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_stalled() {
    // No answer to the handshake.
    let server = Vendor::always(Answer::Silent).await;
    let mut settings = Deepgram::start(|_, _| vec![]).await.settings;
    settings.account = server.account.clone();
    let error = Line::open(&settings).error().await;
    assert!(matches!(error, ListenError::Stalled(_)), "{error:?}");
    // No answer to audio; quiet alone is no fault.
    let server = Deepgram::start(|_, what| match what {
        what if audio(what, 4_000) => vec![results(0, 4_000, true, "")],
        _ => vec![],
    })
    .await;
    let line = Line::open(&server.settings);
    line.hear(4 * SECOND).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    line.hear(5 * SECOND).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!line.end.is_finished());
    line.hear(SECOND).await;
    let error = line.error().await;
    assert!(matches!(error, ListenError::Stalled(_)), "{error:?}");
}

#[tokio::test]
async fn a_stream_that_ends_early_says_why() {
    async fn end(does: Does) -> ListenError {
        let server = Deepgram::start(move |_, what| match what {
            Got::Opened => vec![results(0, 0, false, "tr"), does.clone()],
            Got::Audio(_) | Got::Text(_) => vec![],
        })
        .await;
        Line::open(&server.settings).error().await
    }
    let reason = |error: ListenError| match error {
        ListenError::Ended { reason } => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        reason(end(Does::Close(1_011, "NET-0001: no audio")).await),
        "1011 NET-0001: no audio"
    );
    let told = serde_json::json!({ "type": "Error", "description": "Payload for the-secret-key", "variant": "x" });
    assert_eq!(reason(end(Does::Json(told)).await), "Payload for ***");
    let cut = end(Does::Cut).await;
    assert!(matches!(cut, ListenError::CutOff(_)), "{cut:?}");
    for garbage in [
        Does::Text("hello"),
        Does::Text(r#"{"type":"Results"}"#),
        Does::Binary,
    ] {
        let error = end(garbage.clone()).await;
        assert!(
            matches!(error, ListenError::Garbage(_)),
            "{garbage:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_speaks_something_else_or_is_not_there_is_told_apart() {
    let mut settings = Deepgram::start(|_, _| vec![]).await.settings;
    for answer in [
        Answer::Garbage,
        Answer::Typed("text/html", b"<html>".to_vec()),
    ] {
        let server = Vendor::always(answer.clone()).await;
        settings.account = server.account.clone();
        let error = Line::open(&settings).error().await;
        assert!(
            matches!(error, ListenError::Garbage(_)),
            "{answer:?}: {error:?}"
        );
    }
    settings.account = nobody().await;
    let error = Line::open(&settings).error().await;
    assert!(matches!(error, ListenError::Unreachable(_)), "{error:?}");
    assert_eq!(error.pause(), Pause::None);
    let shown = format!("{error:?} {settings:?}");
    assert!(
        !shown.contains(settings.account.api_key.expose_secret()),
        "{shown}"
    );
}

#[tokio::test]
async fn what_later_versions_send_is_passed_over() {
    let server = Deepgram::start(|_, what| match what {
        Got::Opened => vec![Does::Json(
            serde_json::json!({ "type": "Weather", "is": "fine" }),
        )],
        Got::Audio(_) | Got::Text(_) => vec![],
    })
    .await;
    let mut line = Line::open(&server.settings);
    assert_eq!(line.message().await, ServerMessage::Unknown);
    line.hear(10).await;
    assert!(!line.end.is_finished());
}
