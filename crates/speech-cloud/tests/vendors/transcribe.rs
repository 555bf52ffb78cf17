use std::time::Duration;

use speech_cloud::{Refusal, TranscribeError, Transcriber, http_client};

use crate::loopback::{Answer, Vendor, nobody};

const PATIENCE: Duration = Duration::from_millis(2_500);

async fn transcribed(server: &Vendor) -> Result<String, TranscribeError> {
    let transcriber = Transcriber::new(http_client().unwrap(), server.openai_stt());
    let pcm: Vec<i16> = (0..16_000).map(|n| n as i16).collect();
    transcriber.transcribe(&pcm, PATIENCE).await
}

#[tokio::test]
async fn a_turn_is_sent_as_a_wav_file_and_its_words_come_back() {
    let answer = br#"{"text":" Transfer me. ","usage":{"type":"tokens"}}"#.to_vec();
    let server = Vendor::always(Answer::Typed("application/json", answer)).await;
    assert_eq!(transcribed(&server).await.unwrap(), "Transfer me.");

    let [request] = &server.requests()[..] else {
        panic!("{:?}", server.requests())
    };
    assert!(
        request
            .head
            .starts_with("POST /v1/audio/transcriptions HTTP/1.1"),
        "{}",
        request.head
    );
    assert_eq!(
        request.header("authorization"),
        Some("Bearer the-secret-key")
    );
    let boundary = request
        .header("content-type")
        .unwrap()
        .strip_prefix("multipart/form-data; boundary=")
        .unwrap();
    let body = &request.body;
    let end = format!("\r\n--{boundary}--\r\n");
    let audio = body.strip_suffix(end.as_bytes()).unwrap();
    let (text, wav) = audio.split_at(audio.len() - 32_044);
    let field = |name: &str, value: &str| {
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        )
    };
    let fields = [
        field("model", "whisper-1"),
        field("response_format", "json"),
        field("language", "en"),
    ];
    let file = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"turn.wav\"\r\nContent-Type: audio/wav\r\n\r\n"
    );
    assert_eq!(String::from_utf8_lossy(text), fields.concat() + &file);
    assert_eq!(&wav[..4], b"RIFF");
    assert_eq!(u32::from_le_bytes(wav[24..28].try_into().unwrap()), 16_000);
    assert_eq!(&wav[44..50], [0, 0, 1, 0, 2, 0]);
}

#[tokio::test]
async fn a_refusal_says_what_can_be_done_about_it() {
    for (status, expected) in [
        (401, Refusal::Key { status: 401 }),
        (
            429,
            Refusal::Quota {
                status: 429,
                retry_after: None,
            },
        ),
        (500, Refusal::Server { status: 500 }),
        (
            400,
            Refusal::Request {
                status: 400,
                message: "no".to_owned(),
            },
        ),
    ] {
        let server = Vendor::always(Answer::refused(status)).await;
        match transcribed(&server).await {
            Err(TranscribeError::Refused(refusal)) => assert_eq!(refusal, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_broken_or_meaningless_answer_is_no_transcript() {
    let server = Vendor::always(Answer::Cut(vec![br#"{"text":"Tr"#.to_vec()])).await;
    let error = transcribed(&server).await.unwrap_err();
    assert!(matches!(error, TranscribeError::CutOff(_)), "{error:?}");
    for garbage in ["", "Transfer me.", "{}", r#"{"text":7}"#] {
        let server = Vendor::always(Answer::Typed("text/plain", garbage.into())).await;
        let error = transcribed(&server).await.unwrap_err();
        assert!(
            matches!(error, TranscribeError::Garbage(_)),
            "{garbage}: {error:?}"
        );
    }
    let mut settings = Vendor::always(Answer::Silent).await.openai_stt();
    settings.account = nobody().await;
    let transcriber = Transcriber::new(http_client().unwrap(), settings);
    let error = transcriber
        .transcribe(&[0; 160], PATIENCE)
        .await
        .unwrap_err();
    assert!(
        matches!(error, TranscribeError::Unreachable(_)),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stalls_is_not_waited_for() {
    for answer in [Answer::Silent, Answer::Stall(vec![br#"{"text""#.to_vec()])] {
        let server = Vendor::always(answer).await;
        let before = tokio::time::Instant::now();
        let error = transcribed(&server).await.unwrap_err();
        assert!(
            matches!(error, TranscribeError::Stalled(PATIENCE)),
            "{error:?}"
        );
        assert!(before.elapsed() < PATIENCE + Duration::from_millis(100));
    }
}
