use std::time::Duration;

use secrecy::ExposeSecret as _;
use sip_config::TtsSettings;
use speech_cloud::{CloudVoice, Pause, Refusal, SpeakError, http_client};

use crate::loopback::{Answer, KEY, Vendor, nobody};

const PATIENCE: Duration = Duration::from_millis(1_500);

/// The samples that came, and how it ended.
async fn spoken(settings: &TtsSettings) -> (usize, Result<(), SpeakError>) {
    let voice = CloudVoice::new(http_client().unwrap(), settings).unwrap();
    let mut samples = 0;
    let mut spoken = match voice.speak("Hello there.", PATIENCE).await {
        Ok(spoken) => spoken,
        Err(error) => return (0, Err(error)),
    };
    loop {
        match spoken.next().await {
            Ok(Some(piece)) => {
                assert!(
                    piece.iter().all(|sample| sample.abs() == 6_000),
                    "bytes are mixed up"
                );
                samples += piece.len();
            }
            Ok(None) => return (samples, Ok(())),
            Err(error) => return (samples, Err(error)),
        }
    }
}

#[tokio::test]
async fn each_vendor_is_asked_as_it_documents() {
    let server = Vendor::always(Answer::Stream(Answer::tone(Duration::from_secs(1)))).await;
    for settings in [
        server.openai_tts(),
        server.cartesia_tts(),
        server.deepgram_tts(),
    ] {
        let (samples, end) = spoken(&settings).await;
        end.unwrap();
        assert_eq!(samples, 24_000);
    }
    let [openai, cartesia, deepgram] = &server.requests()[..] else {
        panic!("{:?}", server.requests())
    };

    assert!(
        openai.head.starts_with("POST /v1/audio/speech HTTP/1.1"),
        "{}",
        openai.head
    );
    assert_eq!(
        openai.header("authorization"),
        Some("Bearer the-secret-key")
    );
    let body = serde_json::json!({
        "model": "tts-1", "voice": "alloy", "input": "Hello there.", "response_format": "wav",
    });
    assert_eq!(openai.json(), body);

    assert!(
        cartesia.head.starts_with("POST /v1/tts/bytes HTTP/1.1"),
        "{}",
        cartesia.head
    );
    assert_eq!(
        cartesia.header("authorization"),
        Some("Bearer the-secret-key")
    );
    assert_eq!(cartesia.header("cartesia-version"), Some("2025-04-16"));
    let body = serde_json::json!({
        "model_id": "sonic-2",
        "transcript": "Hello there.",
        "voice": { "mode": "id", "id": "a-voice" },
        "output_format": { "container": "raw", "encoding": "pcm_s16le", "sample_rate": 24_000 },
    });
    assert_eq!(cartesia.json(), body);

    let line = "POST /v1/speak?model=aura-2-thalia-en&encoding=linear16&sample_rate=24000&container=none HTTP/1.1";
    assert!(deepgram.head.starts_with(line), "{}", deepgram.head);
    assert_eq!(
        deepgram.header("authorization"),
        Some("Token the-secret-key")
    );
    assert_eq!(
        deepgram.json(),
        serde_json::json!({ "text": "Hello there." })
    );
}

#[tokio::test]
async fn each_vendor_has_other_voices() {
    let server = Vendor::always(Answer::Stream(Answer::tone(Duration::from_secs(1)))).await;
    for settings in [
        server.openai_tts(),
        server.cartesia_tts(),
        server.deepgram_tts(),
    ] {
        let voice = CloudVoice::new(http_client().unwrap(), &settings).unwrap();
        let other = voice.with_voice("another-one");
        other.speak("Hello there.", PATIENCE).await.unwrap();
    }
    let [openai, cartesia, deepgram] = &server.requests()[..] else {
        panic!("{:?}", server.requests())
    };
    assert_eq!(openai.json()["voice"], "another-one");
    assert_eq!(cartesia.json()["voice"]["id"], "another-one");
    let line = "POST /v1/speak?model=another-one&";
    assert!(deepgram.head.starts_with(line), "{}", deepgram.head);
}

#[tokio::test]
async fn a_refusal_says_what_can_be_done_about_it() {
    let answer = |status, headers, body: &str| Answer::Status(status, headers, body.to_owned());
    let no_model = format!(r#"{{"error":{{"message":"no model for {KEY}"}}}}"#);
    let cases = [
        (answer(401, "", "no"), Refusal::Key { status: 401 }),
        (answer(403, "", "no"), Refusal::Key { status: 403 }),
        (
            answer(429, "retry-after: 12\r\n", "slow down"),
            Refusal::Quota {
                status: 429,
                retry_after: Some(Duration::from_secs(12)),
            },
        ),
        (
            answer(402, "", "pay"),
            Refusal::Quota {
                status: 402,
                retry_after: None,
            },
        ),
        (answer(500, "", "oops"), Refusal::Server { status: 500 }),
        (answer(503, "", ""), Refusal::Server { status: 503 }),
        (
            answer(404, "", &no_model),
            Refusal::Request {
                status: 404,
                message: "no model for ***".to_owned(),
            },
        ),
    ];
    for (answer, expected) in cases {
        let server = Vendor::always(answer).await;
        for settings in [
            server.openai_tts(),
            server.cartesia_tts(),
            server.deepgram_tts(),
        ] {
            match spoken(&settings).await {
                (0, Err(SpeakError::Refused(refusal))) => assert_eq!(refusal, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stalls_is_not_waited_for() {
    let half = Answer::tone(Duration::from_millis(500));
    for (answer, samples) in [
        (Answer::Silent, 0),
        (Answer::Stall(vec![]), 0),
        (Answer::Stall(half), 12_000),
    ] {
        let server = Vendor::always(answer).await;
        let before = tokio::time::Instant::now();
        let (came, end) = spoken(&server.openai_tts()).await;
        assert!(matches!(end, Err(SpeakError::Stalled(_))), "{end:?}");
        assert_eq!(came, samples);
        assert!(
            before.elapsed() < Duration::from_millis(2_100),
            "{:?}",
            before.elapsed()
        );
    }
}

#[tokio::test]
async fn a_stream_that_breaks_gives_what_there_was_and_says_so() {
    for length in [500, 0] {
        let tone = Answer::tone(Duration::from_millis(length));
        let tone = tone.into_iter().filter(|piece| !piece.is_empty()).collect();
        let server = Vendor::always(Answer::Cut(tone)).await;
        let (samples, end) = spoken(&server.cartesia_tts()).await;
        assert!(matches!(end, Err(SpeakError::CutOff(_))), "{end:?}");
        assert_eq!(samples, length as usize * 24);
    }
}

#[tokio::test]
async fn what_is_no_audio_is_not_played() {
    let html = Answer::Typed("text/html; charset=utf-8", b"<html>a proxy</html>".to_vec());
    let json = Answer::Typed("application/json", br#"{"audio":"..."}"#.to_vec());
    let mp3 = Answer::Typed("audio/mpeg", vec![0xff, 0xfb, 0x90, 0x64]);
    let wav = Answer::Typed(
        "application/octet-stream",
        b"RIFF\x24\0\0\0WAVEfmt ".to_vec(),
    );
    for answer in [html, json, mp3, wav, Answer::Stream(vec![])] {
        let server = Vendor::always(answer.clone()).await;
        let (samples, end) = spoken(&server.openai_tts()).await;
        assert!(
            matches!(end, Err(SpeakError::Garbage(_))),
            "{answer:?}: {end:?}"
        );
        assert_eq!(samples, 0);
    }
    let server = Vendor::always(Answer::Garbage).await;
    let (_, end) = spoken(&server.openai_tts()).await;
    assert!(matches!(end, Err(SpeakError::Unreachable(_))), "{end:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable_and_the_key_is_never_shown() {
    let account = nobody().await;
    let settings = TtsSettings::OpenAi(sip_config::OpenAiTts {
        account: account.clone(),
        model: "tts-1".to_owned(),
        voice: "alloy".to_owned(),
    });
    let (_, end) = spoken(&settings).await;
    let error = end.unwrap_err();
    assert!(matches!(error, SpeakError::Unreachable(_)), "{error:?}");
    assert_eq!(error.pause(), Pause::None);
    let voice = CloudVoice::new(http_client().unwrap(), &settings);
    let shown = format!("{error} {error:?} {settings:?} {voice:?}");
    assert!(!shown.contains(account.api_key.expose_secret()), "{shown}");
}
