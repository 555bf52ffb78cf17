use sip_config::{DeepgramStt, SttSettings, TtsSettings};
use speech_cloud::{KeyCheck, KeyError, check_key, http_client};

use crate::loopback::{Answer, Vendor, nobody};

async fn checked(check: &KeyCheck) -> Result<(), KeyError> {
    check_key(&http_client().unwrap(), check).await
}

fn deepgram(server: &Vendor) -> KeyCheck {
    let settings = SttSettings::Deepgram(DeepgramStt {
        account: server.account.clone(),
        model: "nova-3".to_owned(),
        language: "multi".to_owned(),
        keyterms: Vec::new(),
    });
    KeyCheck::stt(&settings).unwrap()
}

#[tokio::test]
async fn each_vendor_is_asked_for_something_that_costs_nothing() {
    let server = Vendor::always(Answer::Typed("application/json", b"{}".to_vec())).await;
    for check in [
        KeyCheck::tts(&server.openai_tts()).unwrap(),
        KeyCheck::tts(&server.cartesia_tts()).unwrap(),
        deepgram(&server),
    ] {
        checked(&check).await.unwrap();
    }
    let asked: Vec<_> = server
        .requests()
        .iter()
        .map(|request| {
            let line = request.head.lines().next().unwrap().to_owned();
            (line, request.header("authorization").unwrap().to_owned())
        })
        .collect();
    let expected = [
        ("GET /v1/models HTTP/1.1", "Bearer the-secret-key"),
        ("GET /v1/voices?limit=1 HTTP/1.1", "Bearer the-secret-key"),
        ("GET /v1/projects HTTP/1.1", "Token the-secret-key"),
    ];
    assert_eq!(
        asked,
        expected.map(|(line, key)| (line.to_owned(), key.to_owned()))
    );
    assert!(KeyCheck::stt(&SttSettings::Local).is_none());
    assert!(KeyCheck::tts(&TtsSettings::Local).is_none());
}

#[tokio::test]
async fn only_a_refused_key_is_called_refused() {
    let server = Vendor::always(Answer::refused(401)).await;
    let error = checked(&deepgram(&server)).await.unwrap_err();
    assert_eq!(error.to_string(), "Deepgram refuses DEEPGRAM_API_KEY");
    // 403: a key that may speak need not be allowed to list.
    for answer in [403, 404, 429, 500]
        .map(Answer::refused)
        .into_iter()
        .chain([Answer::Garbage])
    {
        let server = Vendor::always(answer).await;
        let error = checked(&deepgram(&server)).await.unwrap_err();
        assert!(matches!(error, KeyError::Unknown { .. }), "{error:?}");
    }
    let SttSettings::Deepgram(mut stt) = SttSettings::Deepgram(DeepgramStt {
        account: server.account.clone(),
        model: String::new(),
        language: String::new(),
        keyterms: Vec::new(),
    }) else {
        unreachable!()
    };
    stt.account = nobody().await;
    let check = KeyCheck::stt(&SttSettings::Deepgram(stt)).unwrap();
    let error = checked(&check).await.unwrap_err();
    assert!(matches!(error, KeyError::Unknown { .. }), "{error:?}");
}
