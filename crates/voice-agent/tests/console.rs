//! `voice-agent console` as a person, a script and a recording use it.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

#[allow(dead_code, reason = "the tests of speech-cloud use the rest of it")]
#[path = "../../speech-cloud/tests/vendors/loopback.rs"]
mod loopback;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::{Command, Output, Stdio},
};

use expect_test::{Expect, expect};
use loopback::{Answer, Vendor};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sip_config::{Environment, SpeechSettings};
use speech::{HEARING_RATE, ModelsDir, Pass, Pcm, Piper, Whisper, resample};
use tokio::runtime::Runtime;

const DEFAULT: (&str, &str) = ("DEFAULT_TRANSFER_NUMBER", "+15550001234");
const DOMAIN: (&str, &str) = ("VOBIZ_SIP_DOMAIN", "sip.example.net");

/// The console where there is no `.env`, no speech model, and no variable but these.
fn console(dir: &Path, variables: &[(&str, &str)], args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_voice-agent"));
    command
        .arg("console")
        .args(args)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn talk(variables: &[(&str, &str)], args: &[&str], script: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let mut child = console(dir.path(), variables, args).spawn().unwrap();
    // Who has ended the call reads no more.
    child
        .stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .ok();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs a script in which all goes well, and compares the conversation, without its two lines about the agent.
fn check(variables: &[(&str, &str)], args: &[&str], script: &str, expected: Expect) {
    let output = talk(variables, args, script);
    assert_eq!(text(&output.stderr), "");
    let shown = text(&output.stdout);
    let conversation: Vec<_> = shown.lines().skip(2).collect();
    expected.assert_eq(&(conversation.join("\n") + "\n"));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn transfer_me_leads_to_the_default_number() {
    let output = talk(&[DEFAULT, DOMAIN], &[], "Transfer me.\nToo late.\n");
    expect![[r#"
        Ada answers your call and thinks by the rules, without a language model. Nobody is called.
        "Transfer me." leads to +1********34.
        agent   Hello, this is Ada. I can transfer your call. How can I help?
        caller  Transfer me.
        policy  +1********34 allowed: default number
        agent   Sure, I am transferring you now. One moment please.
        wire    > REFER, Refer-To: <sip:+1********34@sip.example.net>
                  X-VH-Reason: Transfer me.
                  X-VH-Source: voice-agent
        wire    < 202 Accepted, NOTIFY 200 OK
        wire    < BYE to the caller's leg
        verdict connected
        ended   transferred
    "#]]
    .assert_eq(&text(&output.stdout));
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_number_is_read_back_and_waits_for_a_yes() {
    check(
        &[DEFAULT, DOMAIN],
        &[],
        "Transfer me to plus four four, two zero, seven nine four six, zero nine five eight.\nyes\n",
        expect![[r#"
            agent   Hello, this is Ada. I can transfer your call. How can I help?
            caller  Transfer me to plus four four, two zero, seven nine four six, zero nine five eight.
            agent   You said plus four four, two zero, seven nine four six, zero nine five eight. Is that right?
            caller  yes
            policy  +44********58 allowed: any ordinary number
            agent   Sure, I am transferring you now. One moment please.
            wire    > REFER, Refer-To: <sip:+44********58@sip.example.net>
                      X-VH-Reason: Transfer to a phone number
                      X-VH-Source: voice-agent
            wire    < 202 Accepted, NOTIFY 200 OK
            wire    < BYE to the caller's leg
            verdict connected
            ended   transferred
        "#]],
    );
}

#[test]
fn a_premium_number_is_refused_by_its_rule() {
    check(
        &[DEFAULT],
        &[],
        "Transfer me to +1 900 555 1234.\n",
        expect![[r#"
            agent   Hello, this is Ada. I can transfer your call. How can I help?
            caller  Transfer me to +1 900 555 1234.
            policy  +1********34 refused: premium rate numbers are never reached unless named one by one
            hint    if this very number is wanted, write it out in TRANSFER_ALLOW or give it a name such as TRANSFER_SALES
            agent   I'm sorry, I do not transfer calls to premium rate numbers. Is there another number?
            ended   caller hung up
        "#]],
    );
}

#[test]
fn a_number_that_the_operator_does_not_name_is_refused_by_its_rule() {
    check(
        &[DEFAULT, ("TRANSFER_ALLOW", "US")],
        &[],
        "Transfer me to +44 20 7946 0958.\n",
        expect![[r#"
            agent   Hello, this is Ada. I can transfer your call. How can I help?
            caller  Transfer me to +44 20 7946 0958.
            policy  +44********58 refused: TRANSFER_ALLOW does not name the number's country (GB)
            hint    add the country to TRANSFER_ALLOW, such as US, or a prefix such as +1555*
            agent   I'm sorry, I am not allowed to transfer calls to that country. Is there another number?
            ended   caller hung up
        "#]],
    );
}

#[test]
fn a_transfer_that_fails_is_explained_and_the_talk_goes_on() {
    check(
        &[DEFAULT],
        &[],
        "/failed busy\nTransfer me.\nThank you.\n/hang-up\nnobody hears this\n",
        expect![[r#"
            agent   Hello, this is Ada. I can transfer your call. How can I help?
            Next transfer: the call to the target fails with 486 Busy Here.
            caller  Transfer me.
            policy  +1********34 allowed: default number
            agent   Sure, I am transferring you now. One moment please.
            wire    > REFER, Refer-To: <tel:+1********34>
                      X-VH-Reason: Transfer me.
                      X-VH-Source: voice-agent
            wire    < 202 Accepted, NOTIFY 486 Busy Here
            verdict failed: the transfer target is busy
            hint    nothing to repair
            agent   I'm sorry, that line is busy right now. You are still with me. How else can I help?
            caller  Thank you.
            agent   You are welcome. Is there anything else?
            ended   caller hung up
        "#]],
    );
}

#[test]
fn a_carrier_that_refuses_refer_is_got_around_as_in_a_call() {
    check(
        &[DEFAULT],
        &["--transfer", "refused,no-answer"],
        "Transfer me.\n",
        expect![[r#"
            agent   Hello, this is Ada. I can transfer your call. How can I help?
            caller  Transfer me.
            policy  +1********34 allowed: default number
            agent   Sure, I am transferring you now. One moment please.
            wire    > REFER, Refer-To: <tel:+1********34>
                      X-VH-Reason: Transfer me.
                      X-VH-Source: voice-agent
            wire    < 405 Method Not Allowed
            agent   One moment, I am connecting you another way.
            wire    > INVITE +1********34
                      X-VH-Reason: Transfer me.
                      X-VH-Source: voice-agent
            wire    < 480 Temporarily Unavailable
            wire    > hang up +1********34
            verdict failed: the transfer target did not answer
            hint    nothing to repair
            agent   I'm sorry, nobody answered there. You are still with me. How else can I help?
            ended   caller hung up
        "#]],
    );
}

#[test]
fn who_stands_in_is_reached_when_the_first_is_busy() {
    check(
        &[DEFAULT, ("TRANSFER_NEXT", "+15550005678")],
        &["--transfer", "busy"],
        "Transfer me.\n",
        expect![[r#"
            agent   Hello, this is Ada. I can transfer your call. How can I help?
            caller  Transfer me.
            policy  +1********34 allowed: default number
            agent   Sure, I am transferring you now. One moment please.
            wire    > REFER, Refer-To: <tel:+1********34>
                      X-VH-Reason: Transfer me.
                      X-VH-Source: voice-agent
            wire    < 202 Accepted, NOTIFY 486 Busy Here
            agent   That line is busy. One moment, I am trying somebody else.
            wire    > REFER, Refer-To: <tel:+1********78>
                      X-VH-Reason: Transfer me.
                      X-VH-Source: voice-agent
            wire    < 202 Accepted, NOTIFY 200 OK
            wire    < BYE to the caller's leg
            verdict connected
            ended   transferred
        "#]],
    );
}

#[test]
fn the_keypad_transfers_enters_numbers_and_confirms() {
    check(
        &[DEFAULT],
        &[],
        "/key 0\n",
        expect![[r#"
            agent   Hello, this is Ada. I can transfer your call. How can I help?
            caller  [key 0]
            policy  +1********34 allowed: default number
            agent   Sure, I am transferring you now. One moment please.
            wire    > REFER, Refer-To: <tel:+1********34>
                      X-VH-Source: voice-agent
            wire    < 202 Accepted, NOTIFY 200 OK
            wire    < BYE to the caller's leg
            verdict connected
            ended   transferred
        "#]],
    );
    check(
        &[],
        &[],
        "Transfer me.\n/key *1 555 000 1234\n/silence\n/key 1\n",
        expect![[r#"
            agent   Hello, this is Ada. I can transfer your call. How can I help?
            caller  Transfer me.
            agent   Which number should I transfer you to? Please start with plus.
            caller  [key *]
            caller  [key 1]
            caller  [key 5]
            caller  [key 5]
            caller  [key 5]
            caller  [key 0]
            caller  [key 0]
            caller  [key 0]
            caller  [key 1]
            caller  [key 2]
            caller  [key 3]
            caller  [key 4]
            agent   You entered plus one, five five five, zero zero zero, one two three four. Is that right? Press 1 or say yes, or press 2 to enter it again.
            caller  [key 1]
            policy  +1********34 allowed: any ordinary number
            agent   Sure, I am transferring you now. One moment please.
            wire    > REFER, Refer-To: <tel:+1********34>
                      X-VH-Reason: Transfer me.
                      X-VH-Source: voice-agent
            wire    < 202 Accepted, NOTIFY 200 OK
            wire    < BYE to the caller's leg
            verdict connected
            ended   transferred
        "#]],
    );
}

#[test]
fn time_passes_when_nobody_speaks_and_the_agent_hangs_up() {
    check(
        &[],
        &[],
        "/silence\n/silence 60\n",
        expect![[r#"
            agent   Hello, this is Ada. I can transfer your call. How can I help?
            agent   Are you still there? How can I help?
            agent   I cannot hear you, so I will hang up. Goodbye.
            ended   agent hung up
        "#]],
    );
}

#[test]
fn the_target_of_a_warm_transfer_is_asked_in_private() {
    check(
        &[DEFAULT, ("TRANSFER_MODE", "warm")],
        &[],
        "I want to talk to sales. Transfer me.\nnot now\nTransfer me.\n/key 1\nhello\n",
        expect![[r#"
            agent   Hello, this is Ada. I can transfer your call. How can I help?
            caller  I want to talk to sales. Transfer me.
            policy  +1********34 allowed: default number
            agent   Sure, I am transferring you now. One moment please.
            wire    > INVITE +1********34
                      X-VH-Reason: I want to talk to sales. Transfer me.
                      X-VH-Source: voice-agent
            wire    < 200 OK
            agent   (to the target alone) Hello, this is Ada, an automated assistant. I have a caller on the line, who said: I want to talk to sales. Transfer me. To take the call, press 1 or say yes. To decline, press 2 or say no.
            target  not now
            wire    > hang up +1********34
            verdict failed: the transfer target declined
            hint    nothing to repair
            agent   I'm sorry, they declined the call. You are still with me. How else can I help?
            caller  Transfer me.
            policy  +1********34 allowed: default number
            agent   Sure, I am transferring you now. One moment please.
            wire    > INVITE +1********34
                      X-VH-Reason: Transfer me.
                      X-VH-Source: voice-agent
            wire    < 200 OK
            agent   (to the target alone) Hello, this is Ada, an automated assistant. I have a caller on the line, who said: Transfer me. To take the call, press 1 or say yes. To decline, press 2 or say no.
            target  [key 1]
            agent   (to the target alone) Thank you. Connecting you now.
            verdict connected
                    (caller and target talk; the agent is silent and deaf)
            Caller and target talk, and the agent does not listen; /hang-up ends it.
            ended   transferred
        "#]],
    );
}

#[test]
fn a_note_to_call_back_is_shown_and_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("callbacks.jsonl");
    check(
        &[DEFAULT, ("CALLBACK_FILE", file.to_str().unwrap())],
        &["--transfer", "no-answer"],
        "Transfer me.\nyes\nIt is about order seven.\n",
        expect![[r#"
            agent   Hello, this is Ada. I can transfer your call. How can I help?
            caller  Transfer me.
            policy  +1********34 allowed: default number
            agent   Sure, I am transferring you now. One moment please.
            wire    > REFER, Refer-To: <tel:+1********34>
                      X-VH-Reason: Transfer me.
                      X-VH-Source: voice-agent
            wire    < 202 Accepted, NOTIFY 480 Temporarily Unavailable
            verdict failed: the transfer target did not answer
            hint    nothing to repair
            agent   I'm sorry, nobody answered there. You are still with me. Shall I ask them to call you back?
            caller  yes
            agent   What should I tell them? If there is nothing to tell, just say no.
            caller  It is about order seven.
            note    call back about +1********34, as the transfer target did not answer; message: It is about order seven.
            agent   Thank you. I have noted that you would like a call back. Is there anything else?
            ended   caller hung up
        "#]],
    );
    assert!(!file.exists());
}

#[test]
fn an_outbound_job_waits_for_the_hello_and_behaves_as_its_metadata_says() {
    let metadata = r#"{
        "phone_number": "+919876543210",
        "transfer_to": "+15550005678",
        "sip_headers": {"X-VH-Campaign": "spring"},
        "agent": {"name": "Max"}
    }"#;
    check(
        &[DEFAULT],
        &["--metadata", metadata],
        "Hello?\nTransfer me.\n",
        expect![[r#"
            wire    > INVITE +91********10
            wire    < 200 OK
            caller  Hello?
            agent   Hello, this is Max. I can transfer your call. How can I help?
            caller  Transfer me.
            policy  +1********78 allowed: transfer_to of the job
            agent   Sure, I am transferring you now. One moment please.
            wire    > REFER, Refer-To: <tel:+1********78>
                      X-VH-Campaign: spring
                      X-VH-Reason: Transfer me.
                      X-VH-Source: voice-agent
            wire    < 202 Accepted, NOTIFY 200 OK
            wire    < BYE to the caller's leg
            verdict connected
            ended   transferred
        "#]],
    );
}

#[test]
fn events_are_objects_with_the_time_of_the_call() {
    let output = talk(
        &[DEFAULT, DOMAIN],
        &["--json"],
        "/unconfirmed hung-up\nTransfer me.\n",
    );
    let shown = text(&output.stdout);
    for line in shown.lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(object["event"].is_string(), "{line}");
        assert!(object["seconds"].is_number(), "{line}");
    }
    expect![[r#"
        {"event":"started","agent":"Ada","direction":"inbound","model":null,"default_transfer":"+1********34","seconds":0.0}
        {"event":"said","to":"caller","text":"Hello, this is Ada. I can transfer your call. How can I help?","seconds":0.7}
        {"event":"heard","from":"caller","text":"Transfer me.","seconds":5.914}
        {"event":"policy","number":"+1********34","allowed":true,"rule":"default number","seconds":5.914}
        {"event":"said","to":"caller","text":"Sure, I am transferring you now. One moment please.","seconds":5.914}
        {"event":"sent","request":"REFER","to":"sip:+1********34@sip.example.net","headers":{"X-VH-Reason":"Transfer me.","X-VH-Source":"voice-agent"},"seconds":9.557}
        {"event":"answered","wire":"202 Accepted, and no NOTIFY","seconds":11.557}
        {"event":"answered","wire":"BYE to the caller's leg","seconds":11.557}
        {"event":"verdict","verdict":"unconfirmed","cause":"the call ended before the carrier said whether the target answered","hint":"look the call up in the carrier's log: a carrier that hangs up right after it accepted the REFER carries the transfer out by itself and tells nobody how it ended","seconds":11.557}
        {"event":"ended","outcome":"left_unconfirmed","message":"left during the transfer, unconfirmed: the call ended before the carrier said whether the target answered","exit_code":19,"seconds":11.557}
    "#]].assert_eq(&shown);
    assert_eq!(output.status.code(), Some(19));
}

#[test]
fn behaviour_is_read_from_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.toml");
    std::fs::write(&file, "greeting = \"Good day, {name} speaking.\"\n").unwrap();
    check(
        &[],
        &["--config", file.to_str().unwrap()],
        "",
        expect![[r#"
            agent   Good day, Ada speaking.
            ended   caller hung up
        "#]],
    );
}

#[test]
fn a_script_ends_at_a_line_that_is_no_command() {
    let output = talk(&[DEFAULT], &[], "hello\n\n/failled busy\nTransfer me.\n");
    expect![[r#"
        line 3 of standard input: `/failled` is no command; did you mean /failed?
    "#]]
    .assert_eq(&text(&output.stderr));
    assert_eq!(output.status.code(), Some(2));
    assert!(!text(&output.stdout).contains("REFER"));
}

#[test]
fn what_cannot_be_done_is_said_with_what_was_expected() {
    for (variables, args, expected) in [
        (
            &[][..],
            &["--metadata", "{"][..],
            expect![[r#"
            --metadata cannot be used: job metadata is not a JSON object with text values: EOF while parsing an object at line 1 column 1
        "#]],
        ),
        (
            &[],
            &["--wav", "missing.wav"],
            expect![[r#"
            cannot read `missing.wav`; expected a WAV file of PCM or floating-point samples: No such file or directory (os error 2)
        "#]],
        ),
        (
            &[("DEFAULT_TRANSFER_NUMBER", "1234")],
            &[],
            expect![[r#"
                1 setting is missing or wrong
                  DEFAULT_TRANSFER_NUMBER is wrong: the country code is missing (write it as +15550001234)
                    expected: a phone number with country code, such as +919876543210
                    needed by: voice-agent
                looked in the environment; there is no .env.local or .env in this directory (start from .env.example)
            "#]],
        ),
    ] {
        let output = talk(variables, args, "");
        expected.assert_eq(&text(&output.stderr));
        assert_eq!(text(&output.stdout), "");
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn a_language_model_that_cannot_be_reached_is_replaced_by_the_rules() {
    let output = talk(
        &[
            DEFAULT,
            ("OPENAI_API_KEY", "a-secret"),
            ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"),
        ],
        &[],
        "Where is my parcel?\nyes\n",
    );
    let (shown, log) = (text(&output.stdout), text(&output.stderr));
    assert!(
        shown.contains("gpt-4o-mini at http://127.0.0.1:1/v1"),
        "{shown}"
    );
    assert!(shown.ends_with("ended   transferred\n"), "{shown}");
    assert!(log.contains("answering by the rules"), "{log}");
    assert!(!shown.contains("a-secret") && !log.contains("a-secret"));
}

#[test]
fn a_reader_who_goes_away_hangs_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = console(dir.path(), &[DEFAULT], &[]).spawn().unwrap();
    let mut shown = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("Hello, this is Ada") {
        line.clear();
        assert_ne!(shown.read_line(&mut line).unwrap(), 0);
    }
    drop(shown);
    let mut script = child.stdin.take().unwrap();
    script.write_all(b"Transfer me.\n").unwrap();

    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut said = String::new();
    child.stderr.unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn ctrl_c_hangs_up_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = console(dir.path(), &[DEFAULT], &["--json"])
        .spawn()
        .unwrap();
    let script = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let greeted = lines.find(|line| line.as_ref().unwrap().contains("Hello, this is Ada"));
    assert!(greeted.is_some());

    let pid = Pid::from_raw(child.id().try_into().unwrap());
    kill(pid, Signal::SIGINT).unwrap();

    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    assert!(
        rest.last().unwrap().contains(r#""outcome":"interrupted""#),
        "{rest:?}"
    );
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(script);
}

#[test]
fn a_recording_is_understood_and_the_answer_is_recorded() {
    let environment = Environment::load().unwrap();
    let models_dir = environment.settings::<SpeechSettings>().unwrap().models_dir;
    let models = ModelsDir::new(&models_dir);
    let piper = Piper::load(&models.piper()).unwrap_or_else(|error| panic!("{error}"));
    let whisper = Whisper::load(&models.whisper()).unwrap_or_else(|error| panic!("{error}"));
    let dir = tempfile::tempdir().unwrap();
    let piper = piper.steady();
    for (name, words) in [
        (
            "number.wav",
            "Plus four four, two zero, seven nine four six, zero nine five eight.",
        ),
        ("yes.wav", "Yes, that is right."),
    ] {
        write_wav(&dir.path().join(name), &piper.synthesize(words).unwrap());
    }

    let output = console(
        dir.path(),
        &[
            DOMAIN,
            ("SPEECH_MODELS_DIR", models_dir.to_str().unwrap()),
            ("PATH", &path()),
        ],
        &[
            "--wav",
            "number.wav",
            "--wav",
            "yes.wav",
            "--out",
            "heard.wav",
        ],
    )
    .output()
    .unwrap();

    let shown = text(&output.stdout);
    assert_eq!(text(&output.stderr), "");
    for expected in [
        "agent   You said plus four four, two zero, seven nine four six, zero nine five eight. Is that right?\n",
        "caller  Yes",
        "wire    > REFER, Refer-To: <sip:+44********58@sip.example.net>",
        "ended   transferred\n",
    ] {
        assert!(shown.contains(expected), "no `{expected}` in:\n{shown}");
    }
    assert_eq!(output.status.code(), Some(0));

    let heard = read_wav(&dir.path().join("heard.wav"));
    let samples: Vec<f32> = resample(&heard, HEARING_RATE)
        .samples
        .into_iter()
        .map(|sample| f32::from(sample) / f32::from(i16::MAX))
        .collect();
    // The greeting begins within a second; how long it takes depends on how busy the machine is.
    let greeting = whisper
        .transcribe(&samples[..8 * HEARING_RATE as usize], Pass::First)
        .unwrap()
        .text;
    let greeting = greeting.to_lowercase();
    assert!(greeting.contains("this is ada"), "{greeting}");
    // Ringback of 425 Hz while the target rings, among the last seconds.
    let rate = heard.sample_rate as usize;
    let end = &heard.samples[heard.samples.len().saturating_sub(6 * rate)..];
    let hz = |window: &[i16]| {
        let crossings = window.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0);
        crossings.count() as f64 * rate as f64 / window.len() as f64
    };
    let mut windows = end.windows(rate * 8 / 10).step_by(rate / 20);
    assert!(windows.any(|window| (hz(window) - 425.0).abs() < 10.0));
}

/// Where `espeak-ng` is found.
#[expect(clippy::disallowed_methods, reason = "it is no setting")]
fn path() -> String {
    std::env::var("PATH").unwrap()
}

fn write_wav(path: &Path, pcm: &Pcm) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: pcm.sample_rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for sample in &pcm.samples {
        writer.write_sample(*sample).unwrap();
    }
    writer.finalize().unwrap();
}

fn read_wav(path: &Path) -> Pcm {
    let mut reader = hound::WavReader::open(path).unwrap();
    Pcm {
        sample_rate: reader.spec().sample_rate,
        samples: reader.samples().map(Result::unwrap).collect(),
    }
}

#[test]
fn a_model_is_heard_sentence_by_sentence_and_its_transfer_comes_after_them() {
    let piece = |delta: &str, finish: &str| {
        format!(
            r#"data: {{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"finish_reason":{finish},"delta":{delta}}}]}}"#
        ) + "\n\n"
    };
    let call = r#"{"tool_calls":[{"index":0,"id":"1","type":"function","function":{"name":"transfer_call","arguments":"{}"}}]}"#;
    let events = piece(r#"{"content":"That is a pity, indeed. Somebody "}"#, "null")
        + &piece(r#"{"content":"can help you. "}"#, "null")
        + &piece(call, "\"tool_calls\"")
        + "data: [DONE]\n\n";
    let answer = Answer::Typed("text/event-stream", events.into_bytes());
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(Vendor::always(answer));
    let output = talk(
        &[
            DEFAULT,
            DOMAIN,
            ("OPENAI_API_KEY", "a-secret"),
            ("OPENAI_BASE_URL", server.account.base_url.as_str()),
        ],
        &[],
        "My parcel is broken, and I am sad.\n",
    );
    let (shown, log) = (text(&output.stdout), text(&output.stderr));
    let expected = "agent   That is a pity, indeed.
agent   Somebody can help you.
policy  +1********34 allowed: default number
agent   Sure, I am transferring you now. One moment please.
wire    > REFER, Refer-To: <sip:+1********34@sip.example.net>
";
    assert!(shown.contains(expected), "{shown}\n{log}");
}

#[test]
fn keys_that_a_model_presses_are_shown() {
    let call = r#"{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"finish_reason":"tool_calls","delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"send_dtmf","arguments":"{\"digits\":\"12w#\"}"}}]}}]}"#;
    let events = format!("data: {call}\n\ndata: [DONE]\n\n");
    let answer = Answer::Typed("text/event-stream", events.into_bytes());
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(Vendor::always(answer));
    let dir = tempfile::tempdir().unwrap();
    let behaviour = dir.path().join("agent.toml");
    std::fs::write(&behaviour, "[tools]\nsend_dtmf = true\n").unwrap();
    let output = talk(
        &[
            ("OPENAI_API_KEY", "a-secret"),
            ("OPENAI_BASE_URL", server.account.base_url.as_str()),
            ("AGENT_CONFIG", behaviour.to_str().unwrap()),
        ],
        &[],
        "For tickets, press the number.\n",
    );
    assert_eq!(server.requests().len(), 1);
    let (shown, log) = (text(&output.stdout), text(&output.stderr));
    assert!(
        shown.contains("\nagent   [presses 12w#]\n"),
        "{shown}\n{log}"
    );
    assert_eq!(log, "");
}
