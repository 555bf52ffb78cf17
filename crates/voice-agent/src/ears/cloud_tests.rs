//! Ears with a vendor on loopback, and what they do when it fails.

use std::time::Duration;

use speech::{HEARING_RATE, resample};
use speech_cloud::http_client;

use super::{
    tests::{MODELS, heard_by, heard_with_drafts, local, words},
    *,
};
use crate::{
    conversation::SpokenNumber,
    loopback::{Answer, Deepgram, Does, Got, Vendor as Server, results},
};

const SENTENCE: (u64, &str) = (500, "Transfer me to a live agent.");

fn deepgram(server: &Deepgram) -> (Stt, Vendor) {
    let vendor = Vendor::new("Deepgram");
    (
        Stt::Deepgram(server.settings.clone(), vendor.clone()),
        vendor,
    )
}

fn openai(server: &Server) -> Stt {
    let transcriber = Transcriber::new(http_client().unwrap(), server.openai_stt());
    Stt::OpenAi(transcriber, Vendor::new("OpenAI"))
}

fn firsts(events: &[EarEvent]) -> Vec<String> {
    let firsts = events.iter().filter_map(|event| match event {
        EarEvent::Turn { first, .. } => Some(first.clone()),
        EarEvent::SpeechStarted
        | EarEvent::SpeechEnded { .. }
        | EarEvent::Drafted { .. }
        | EarEvent::Unrecognised => None,
    });
    firsts.collect()
}

/// Deepgram that finishes its words when it is told to, and says `text` then.
async fn finishes_with(text: &'static str) -> Deepgram {
    Deepgram::start(move |_, what| match what {
        Got::Text(message) if message == "Finalize" => vec![results(0, 60_000, true, text)],
        Got::Opened | Got::Audio(_) | Got::Text(_) => vec![],
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_what_deepgram_heard() {
    let server = finishes_with("I want to talk to sales.").await;
    let ears = Ears::new(deepgram(&server).0, Some(local()));
    let events = heard_by(ears, 1, &[SENTENCE]).await;
    let [
        EarEvent::SpeechStarted,
        EarEvent::SpeechEnded { .. },
        EarEvent::Turn {
            first,
            second,
            speech_ended,
            transcribed,
        },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(
        (first.as_str(), second),
        ("I want to talk to sales.", &None)
    );
    assert!(*transcribed < *speech_ended + HANG + FINAL_PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_deepgram_heard_is_recognised_here_a_second_time() {
    let server =
        finishes_with("Plus four four, two zero, seven nine four six, zero nine five eight.").await;
    let ears = Ears::new(deepgram(&server).0, Some(local()));
    let said = (
        500,
        "Plus four four, two zero, seven nine four six, zero nine five eight.",
    );
    let events = heard_by(ears, 1, &[said]).await;
    let Some(EarEvent::Turn {
        first,
        second: Some(second),
        ..
    }) = events.last()
    else {
        panic!("{events:?}")
    };
    let digits = |text: &str| SpokenNumber::find(text).map(|number| number.digits);
    assert_eq!(digits(first).as_deref(), Some("442079460958"));
    assert_eq!(digits(second), digits(first), "{second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_deepgram_fails_in_is_recognised_here() {
    let failures = [
        ("says nothing", None),
        ("breaks in mid turn", Some(Does::Cut)),
        ("ends in mid turn", Some(Does::Close(1_011, "NET-0000"))),
        ("talks nonsense", Some(Does::Text("{\"type\":\"Results\"}"))),
    ];
    for (failure, does) in failures {
        let server = Deepgram::start(move |_, what| match what {
            Got::Audio(audio) if *audio >= Duration::from_millis(1_200) => {
                does.clone().into_iter().collect()
            }
            Got::Opened | Got::Audio(_) | Got::Text(_) => vec![],
        })
        .await;
        let ears = Ears::new(deepgram(&server).0, Some(local()));
        let events = heard_by(ears, 1, &[SENTENCE]).await;
        assert_eq!(
            firsts(&events)
                .iter()
                .map(|first| words(first))
                .collect::<Vec<_>>(),
            ["transfer me to a live agent"],
            "{failure}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_deepgram_refuses_is_tried_once() {
    let server = Server::always(Answer::refused(401)).await;
    let mut settings = finishes_with("").await.settings;
    settings.account = server.account.clone();
    let ears = Ears::new(
        Stt::Deepgram(settings, Vendor::new("Deepgram")),
        Some(local()),
    );
    let events = heard_by(ears, 1, &[SENTENCE]).await;
    assert_eq!(words(&firsts(&events)[0]), "transfer me to a live agent");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_line_is_opened_again_for_the_next_turn() {
    let server = Deepgram::start(|connection, what| match (connection, what) {
        (0, Got::Audio(audio)) if *audio >= Duration::from_millis(1_200) => vec![Does::Cut],
        (1, Got::Text(message)) if message == "Finalize" => {
            vec![results(0, 60_000, true, "The second line.")]
        }
        _ => vec![],
    })
    .await;
    let ears = Ears::new(deepgram(&server).0, Some(local()));
    let events = heard_by(ears, 2, &[SENTENCE, (1_500, "Thank you.")]).await;
    let firsts = firsts(&events);
    assert_eq!(words(&firsts[0]), "transfer me to a live agent");
    assert_eq!(firsts[1], "The second line.");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_come_too_late_are_not_heard_twice() {
    let server = Deepgram::start(|_, what| match what {
        // Audio comes in pieces of 50 ms.
        Got::Audio(audio) if (5_000..5_050).contains(&audio.as_millis()) => vec![
            results(0, 5_000, true, "Transfer me to a live agent."),
            Does::Json(serde_json::json!({ "type": "UtteranceEnd", "last_word_end": 2.1 })),
        ],
        Got::Text(message) if message == "Finalize" => vec![],
        Got::Audio(audio) if (6_000..6_050).contains(&audio.as_millis()) => {
            vec![results(0, 60_000, true, "Thank you.")]
        }
        Got::Opened | Got::Audio(_) | Got::Text(_) => vec![],
    })
    .await;
    let ears = Ears::new(deepgram(&server).0, Some(local()));
    // The first turn ends at 2.6 s, its time is over at 3.3 s.
    let events = heard_by(ears, 2, &[SENTENCE, (3_600, "Thank you.")]).await;
    let firsts = firsts(&events);
    assert_eq!(words(&firsts[0]), "transfer me to a live agent");
    assert_eq!(firsts[1], "Thank you.");
}

/// Frames of silence.
async fn silence(ears: Ears, seconds: u32) -> Vec<EarEvent> {
    let (to_ears, frames) = mpsc::channel(100);
    let (events, mut from_ears) = mpsc::channel(100);
    let line = async move {
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        for _ in 0..seconds * 100 {
            pace.tick().await;
            to_ears
                .send(vec![0; HEARING_RATE as usize / 100])
                .await
                .unwrap();
        }
    };
    tokio::join!(ears.listen(frames, events), line);
    let mut collected = Vec::new();
    while let Some(event) = from_ears.recv().await {
        collected.push(event);
    }
    collected
}

async fn hears_a_soft_word() -> Deepgram {
    Deepgram::start(|_, what| match what {
        Got::Audio(audio) if *audio == Duration::from_secs(2) => vec![
            results(0, 1_000, true, ""),
            results(1_000, 2_000, true, "Hello?"),
        ],
        Got::Audio(audio) if *audio == Duration::from_secs(3) => vec![Does::Json(
            serde_json::json!({ "type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 1.9 }),
        )],
        Got::Opened | Got::Audio(_) | Got::Text(_) => vec![],
    })
    .await
}

#[tokio::test]
async fn a_word_that_was_too_soft_for_a_turn_is_heard_all_the_same() {
    let server = hears_a_soft_word().await;
    let events = silence(Ears::new(deepgram(&server).0, None), 4).await;
    assert_eq!(events.first(), Some(&EarEvent::SpeechStarted));
    assert_eq!(firsts(&events), ["Hello?"]);
}

#[tokio::test]
async fn the_agents_own_echo_is_no_word_of_the_persons() {
    let server = hears_a_soft_word().await;
    let ears = Ears::new(deepgram(&server).0, None);
    ears.attention().agent_speaks(true);
    assert_eq!(silence(ears, 4).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_fails_again_and_again_is_left_alone() {
    let server = Deepgram::start(|_, _| vec![Does::Cut]).await;
    let (stt, vendor) = deepgram(&server);
    assert_eq!(silence(Ears::new(stt, Some(local())), 20).await, []);
    assert_eq!(server.opened.lock().unwrap().len(), 3);
    assert!(!vendor.is_worth_asking());
}

#[tokio::test(start_paused = true)]
async fn a_line_that_nobody_stands_in_for_is_tried_again_and_again() {
    let server = Deepgram::start(|_, _| vec![Does::Cut]).await;
    assert_eq!(silence(Ears::new(deepgram(&server).0, None), 20).await, []);
    let tried = server.opened.lock().unwrap().len();
    assert!((5..=10).contains(&tried), "{tried}");
}

#[tokio::test]
async fn without_models_the_unfinished_words_are_better_than_none() {
    let server = Deepgram::start(|_, what| match what {
        Got::Audio(audio) if *audio == Duration::from_secs(2) => {
            vec![results(0, 2_000, false, "transfer me to")]
        }
        Got::Opened | Got::Audio(_) | Got::Text(_) => vec![],
    })
    .await;
    let ears = Ears::new(deepgram(&server).0, None);
    let events = heard_by(ears, 1, &[SENTENCE]).await;
    assert_eq!(firsts(&events), ["transfer me to"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_transcribed_by_openai_or_else_here() {
    let answer = Answer::Typed("application/json", br#"{"text":"Connect me."}"#.to_vec());
    let server = Server::always(answer).await;
    let events = heard_by(Ears::new(openai(&server), Some(local())), 1, &[SENTENCE]).await;
    assert_eq!(firsts(&events), ["Connect me."]);

    for answer in [
        Answer::refused(500),
        Answer::Silent,
        Answer::Typed("text/html", b"<html>".to_vec()),
    ] {
        let server = Server::always(answer.clone()).await;
        let events = heard_by(Ears::new(openai(&server), Some(local())), 1, &[SENTENCE]).await;
        assert_eq!(
            words(&firsts(&events)[0]),
            "transfer me to a live agent",
            "{answer:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recognition_begins_in_each_pause_and_serves_when_it_was_the_last() {
    let answer = Answer::Typed("application/json", br#"{"text":"Connect me."}"#.to_vec());
    let paused = [
        (500, "Please transfer me."),
        (0, "I want to talk to sales."),
    ];
    for (said, asked) in [(&[SENTENCE][..], 1..2), (&paused, 2..5)] {
        let server = Server::always(answer.clone()).await;
        let events = heard_by(Ears::new(openai(&server), Some(local())), 1, said).await;
        assert_eq!(firsts(&events), ["Connect me."]);
        let lengths: Vec<_> = server.requests().iter().map(|it| it.body.len()).collect();
        assert!(asked.contains(&lengths.len()), "{lengths:?}");
        assert!(lengths.is_sorted(), "{lengths:?}");
    }
}

/// What was told before and after the end of a turn.
fn around_the_end(events: &[EarEvent]) -> (Vec<&str>, Vec<&str>) {
    let end = events
        .iter()
        .position(|event| matches!(event, EarEvent::SpeechEnded { .. }));
    let (before, after) = events.split_at(end.unwrap());
    let text = |event| match event {
        &EarEvent::Drafted { ref first, .. } | &EarEvent::Turn { ref first, .. } => {
            Some(first.as_str())
        }
        EarEvent::SpeechStarted | EarEvent::SpeechEnded { .. } | EarEvent::Unrecognised => None,
    };
    let texts = |events| Iterator::filter_map(<[_]>::iter(events), text).collect();
    (texts(before), texts(after))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_is_known_before_the_turn_is_known_to_have_ended() {
    let answer = Answer::Typed("application/json", br#"{"text":"Connect me."}"#.to_vec());
    let server = Server::always(answer).await;
    let events = heard_with_drafts(Ears::new(openai(&server), None), 1, &[SENTENCE]).await;
    let told = around_the_end(&events);
    assert_eq!(told, (vec!["Connect me."], vec!["Connect me."]));

    // The sentence ends before 2.1 s, the turn after 2.5 s.
    let deepgram_hears = |text: &'static str| {
        Deepgram::start(move |_, what| match what {
            Got::Audio(audio) if (2_350..2_400).contains(&audio.as_millis()) => {
                vec![results(0, 2_300, true, text)]
            }
            Got::Text(message) if message == "Finalize" => vec![results(2_300, 60_000, true, "")],
            Got::Opened | Got::Audio(_) | Got::Text(_) => vec![],
        })
    };
    let server = deepgram_hears("Connect me.").await;
    for local in [None, Some(local())] {
        let ears = Ears::new(deepgram(&server).0, local);
        let events = heard_with_drafts(ears, 1, &[SENTENCE]).await;
        let told = around_the_end(&events);
        assert_eq!(told, (vec!["Connect me."], vec!["Connect me."]));
    }
    // This machine listens to numbers, too; and one that breaks off goes on.
    for text in [
        "Call plus one, five five five, zero zero zero, one two three four.",
        "Plus four",
    ] {
        let server = deepgram_hears(text).await;
        let ears = Ears::new(deepgram(&server).0, Some(local()));
        let events = heard_with_drafts(ears, 1, &[SENTENCE]).await;
        assert_eq!(around_the_end(&events), (vec![], vec![text]));
    }
}

#[tokio::test]
async fn a_turn_that_nobody_can_recognise_is_known_as_such() {
    for answer in [Answer::refused(500), Answer::Silent] {
        let server = Server::always(answer.clone()).await;
        let ears = Ears::new(openai(&server), None);
        let (to_ears, frames) = mpsc::channel(1_000);
        let (events, mut from_ears) = mpsc::channel(10);
        let listen = tokio::spawn(ears.listen(frames, events));
        let spoken = MODELS.piper.synthesize(SENTENCE.1).unwrap();
        let mut audio = resample(&spoken, HEARING_RATE).samples;
        audio.resize(audio.len() + 2 * HEARING_RATE as usize, 0);
        for frame in audio.chunks(HEARING_RATE as usize / 100) {
            to_ears.send(frame.to_vec()).await.unwrap();
        }
        let mut collected = Vec::new();
        while collected.last() != Some(&EarEvent::Unrecognised) {
            collected.push(from_ears.recv().await.unwrap());
        }
        listen.abort();
        assert!(
            matches!(
                collected[..],
                [
                    EarEvent::SpeechStarted,
                    EarEvent::SpeechEnded { .. },
                    EarEvent::Unrecognised
                ]
            ),
            "{answer:?}: {collected:?}"
        );
    }
}
