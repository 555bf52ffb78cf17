//! Tries the clients of providers against servers that other people wrote, by way of `voice-agent console`, and makes
//! those servers fail; `cargo xtask providers` installs them and runs this.
//!
//! Prints a table; fails when something did not go as it must. An argument chooses the trials with that in their name.

#![expect(clippy::print_stdout, reason = "this is the program's output")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    pin::Pin,
    process::ExitCode,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use e2e::{
    console::{Talk, talk},
    faulty_line::{FaultyLine, Next},
    namespace,
    provider::{KEY, Kind, Provider, models},
    recording::Recording,
    utterance::{Voice, Voices, write_wav},
    words::{UNDERSTOOD, share_understood},
};
use nix::sys::signal::Signal;
use serde_json::Value;
use speech::Whisper;

/// What the caller asks a language model: something that is answered for as long as it may speak.
const QUESTION: &str = "Please tell me a long story about a cat and a dog.";

/// What is answered by a few sentences: the server goes on with an answer that nobody wants any more.
const SHORT_QUESTION: &str = "What do cats like? Say it in two short sentences.";
const SECOND_QUESTION: &str = "And what do dogs like?";

/// What the caller says aloud.
const SENTENCE: &str = "Good morning, please transfer me to a live agent as soon as you can.";

/// How long an answer may take when the server stalls: 3 s of patience, and the machine's own work.
const BOUND: Duration = Duration::from_secs(5);

/// The log's words for each way out.
const BY_THE_RULES: &str = "answering by the rules";
const BROKEN_OFF: &str = "the answer ends with what was complete of it";
const EXCUSE: &str = "I lost my thread.";
const LOCAL_EARS: &str = "this machine recognises the turn";
const LOCAL_VOICE: &str = "the local voice goes on";

/// How much of a spoken answer passes before the line breaks: half a second.
const HALF_A_CLAUSE: usize = 24_000;

struct Trial {
    client: &'static str,
    server: Kind,
    name: &'static str,
    body: Body,
}

/// Returns what was measured.
type Body = for<'s> fn(&'s Stage) -> Pin<Box<dyn Future<Output = anyhow::Result<String>> + 's>>;

/// One trial's server, which nobody has asked anything yet, and its folder.
struct Stage {
    server: Provider,
    dir: PathBuf,
}

macro_rules! trial {
    ($client:literal, $server:ident, $name:literal, $body:ident) => {
        Trial {
            client: $client,
            server: Kind::$server,
            name: $name,
            body: |stage| Box::pin($body(stage)),
        }
    };
}

const TRIALS: &[Trial] = &[
    trial!(
        "llm",
        LanguageModel,
        "sentence by sentence, twice",
        llm_answers
    ),
    trial!("llm", LanguageModel, "401: wrong key", llm_key),
    trial!("llm", LanguageModel, "frozen before a sentence", llm_stalls),
    trial!(
        "llm",
        LanguageModel,
        "frozen after a sentence",
        llm_stalls_late
    ),
    trial!("llm", LanguageModel, "killed in mid-stream", llm_killed),
    trial!("llm", LanguageModel, "connection refused", llm_gone),
    trial!("stt", SpeechToText, "a turn is transcribed", stt_hears),
    trial!("stt", SpeechToText, "frozen", stt_stalls),
    trial!("stt", SpeechToText, "answer cut off", stt_cut),
    trial!("stt", SpeechToText, "connection refused", stt_gone),
    trial!(
        "tts",
        TextToSpeech,
        "what it says is understood",
        tts_speaks
    ),
    trial!("tts", TextToSpeech, "401: wrong key", tts_key),
    trial!("tts", TextToSpeech, "frozen", tts_stalls),
    trial!(
        "tts",
        TextToSpeech,
        "stall in mid-sentence",
        tts_stalls_late
    ),
    trial!("tts", TextToSpeech, "cut in mid-sentence", tts_cut),
];

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match namespace::run_inside("providers-", &args, try_all) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn try_all(dir: &Path, args: &[String]) -> anyhow::Result<()> {
    let filter = args.first().map_or("", String::as_str);
    let chosen = TRIALS
        .iter()
        .filter(|trial| format!("{} {}", trial.client, trial.name).contains(filter));
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for (number, trial) in chosen.enumerate() {
        let title = format!("{} {}", trial.client, trial.name);
        println!("{title} ...");
        let started = Instant::now();
        let outcome = perform(trial, dir.join(format!("trial-{number}"))).await;
        let (result, figures) = match outcome {
            Ok(figures) => ("passed", figures),
            Err(error) => {
                failures.push(format!("{title}: {error:#}"));
                ("FAILED", String::new())
            }
        };
        let took = started.elapsed().as_secs_f64();
        rows.push(line([
            trial.client,
            &trial.server.title(),
            trial.name,
            result,
            &format!("{took:.1} s"),
            &figures,
        ]));
    }
    ensure!(!rows.is_empty(), "no trial has `{filter}` in its name");
    println!(
        "\n{}\n{}",
        line(["client", "server", "tried", "result", "took", "figures"]),
        rows.join("\n")
    );
    for failure in &failures {
        println!("\n{failure}");
    }
    match failures.len() {
        0 => Ok(()),
        failed => bail!("{failed} of {} trials failed", rows.len()),
    }
}

async fn perform(trial: &Trial, dir: PathBuf) -> anyhow::Result<String> {
    fs::create_dir(&dir)?;
    let server = Provider::start(trial.server, &dir).await?;
    (trial.body)(&Stage { server, dir }).await
}

fn line(cells: [&str; 6]) -> String {
    let [client, server, tried, result, took, figures] = cells;
    format!("{client:6} {server:28} {tried:28} {result:6} {took:>7}  {figures}")
        .trim_end()
        .to_owned()
}

/// Asks the model at `origin`, by keyboard.
async fn ask(stage: &Stage, origin: &str, key: &str, questions: &[&str]) -> anyhow::Result<Talk> {
    let base_url = format!("{origin}/v1");
    let settings = [
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("OPENAI_API_KEY", key),
        ("OPENAI_LLM_MODEL", "smollm2"),
    ];
    let script: String = questions.iter().map(|line| format!("{line}\n")).collect();
    let talk = talk(&stage.dir.join("call"), &settings, &[], &script).await?;
    let (_, started) = talk.events.first().context("no events")?;
    let model = started["model"].as_str().unwrap_or_default();
    ensure!(model.starts_with("smollm2 at "), "{started}");
    Ok(talk)
}

async fn llm_answers(stage: &Stage) -> anyhow::Result<String> {
    let line = FaultyLine::start(stage.server.port(), |_| Next::Pass).await?;
    let talk = ask(
        stage,
        line.origin(),
        KEY,
        &[SHORT_QUESTION, SECOND_QUESTION],
    )
    .await?;
    talk.expect_no_log(BY_THE_RULES)?;
    let (first, second) = (talk.answer(0), talk.answer(1));
    let [(begins, opening), .., (ends, _)] = first[..] else {
        bail!("two sentences come in one piece: {first:?}\n{}", talk.log);
    };
    ensure!(begins < ends, "the sentences came all at once: {first:?}");
    let [(again, _), ..] = second[..] else {
        bail!("the second turn has no answer\n{}", talk.log);
    };
    let asked = line.asked();
    let last = asked.rsplit("POST ").next().unwrap_or_default();
    let knows = |text: &str| last.contains(Value::from(text).to_string().trim_matches('"'));
    ensure!(
        knows(SHORT_QUESTION) && knows(opening),
        "the model is not told again what was said: {last}"
    );
    Ok(format!(
        "{} sentences, the first after {begins:.1?}, the last after {ends:.1?}; second turn {again:.1?}",
        first.len()
    ))
}

async fn llm_key(stage: &Stage) -> anyhow::Result<String> {
    let talk = ask(stage, &stage.server.origin(), "wrong", &[QUESTION]).await?;
    expect_rules(&talk)
}

async fn llm_gone(stage: &Stage) -> anyhow::Result<String> {
    let talk = ask(stage, "http://127.0.0.1:1", KEY, &[QUESTION]).await?;
    expect_rules(&talk)
}

async fn llm_stalls(stage: &Stage) -> anyhow::Result<String> {
    let talk = interrupted(stage, Signal::SIGSTOP, |written| !written.is_empty()).await?;
    talk.expect_log("was silent for 3 s")?;
    expect_rules(&talk)
}

async fn llm_stalls_late(stage: &Stage) -> anyhow::Result<String> {
    let talk = interrupted(stage, Signal::SIGSTOP, has_a_sentence).await?;
    talk.expect_log("was silent for 3 s")?;
    expect_excuse(&talk)
}

async fn llm_killed(stage: &Stage) -> anyhow::Result<String> {
    let talk = interrupted(stage, Signal::SIGKILL, has_a_sentence).await?;
    expect_excuse(&talk)
}

/// Has the server get a signal as soon as `is_time` for what it has written.
async fn interrupted(
    stage: &Stage,
    signal: Signal,
    is_time: fn(&str) -> bool,
) -> anyhow::Result<Talk> {
    let signals = stage.server.signals()?;
    let answer = Mutex::new(Vec::new());
    let line = FaultyLine::start(stage.server.port(), move |piece| {
        let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.extend_from_slice(piece);
        if is_time(&written(&answer)) {
            // It may be dead already.
            signals.send(signal).ok();
        }
        Next::Pass
    })
    .await?;
    ask(stage, line.origin(), KEY, &[QUESTION]).await
}

/// What a model has written in the streamed `answer` so far.
fn written(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .filter_map(|chunk| {
            let content = &chunk["choices"][0]["delta"]["content"];
            content.as_str().map(str::to_owned)
        })
        .collect()
}

/// Whether there is a whole sentence and the beginning of another one.
fn has_a_sentence(written: &str) -> bool {
    [". ", "! ", "? "].iter().any(|end| {
        let next = written.find(end).map(|at| at + end.len());
        next.is_some_and(|at| at < written.len())
    })
}

/// Nothing of a model's answer was said, and the rules have answered in time.
fn expect_rules(talk: &Talk) -> anyhow::Result<String> {
    talk.expect_log(BY_THE_RULES)?;
    let answer = talk.answer(0);
    let [.., (at, _)] = answer[..] else {
        bail!("no answer\n{}", talk.log);
    };
    ensure!(at <= BOUND, "the answer took {at:.1?}");
    Ok(format!("the rules answer after {at:.1?}"))
}

/// The answer was begun, and has ended with an excuse in time.
fn expect_excuse(talk: &Talk) -> anyhow::Result<String> {
    talk.expect_log(BROKEN_OFF)?;
    let answer = talk.answer(0);
    let [(begins, _), .., (ends, last)] = answer[..] else {
        bail!("no sentence before the excuse: {answer:?}\n{}", talk.log);
    };
    ensure!(last.contains(EXCUSE), "no excuse: {answer:?}");
    ensure!(ends - begins <= BOUND, "the excuse came after {ends:.1?}");
    Ok(format!("first sentence {begins:.1?}, excuse {ends:.1?}"))
}

/// Which local models the agent has.
#[derive(Debug, Clone, Copy)]
enum Local {
    Both,
    OnlyWhisper,
    OnlyPiper,
}

impl Local {
    fn folder(self, dir: &Path) -> anyhow::Result<String> {
        let models = models()?;
        let folder = dir.join("models");
        fs::create_dir(&folder)?;
        let chosen = match self {
            Self::Both => vec![models.whisper(), models.piper()],
            Self::OnlyWhisper => vec![models.whisper()],
            Self::OnlyPiper => vec![models.piper()],
        };
        for model in chosen {
            let name = model.file_name().context("the model has a name")?;
            symlink(&model, folder.join(name)).context("cannot link the model")?;
        }
        Ok(folder.display().to_string())
    }
}

/// Says [`SENTENCE`] to the agent, which listens or speaks by the server at `origin`.
async fn say(
    stage: &Stage,
    origin: &str,
    key: &str,
    provider: (&str, &str),
    local: Local,
) -> anyhow::Result<Talk> {
    let caller = stage.dir.join("caller.wav");
    let voices = Voices::load(&models()?.piper())?;
    write_wav(&caller, &voices.say(Voice::Slt, SENTENCE, &stage.dir)?)?;
    let (caller, out) = (caller.display().to_string(), stage.dir.join("out.wav"));
    let (base_url, out) = (format!("{origin}/v1"), out.display().to_string());
    let models = local.folder(&stage.dir)?;
    let settings = [
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("OPENAI_API_KEY", key),
        ("SPEECH_MODELS_DIR", &models),
        ("DEFAULT_TRANSFER_NUMBER", "+15550001234"),
        ("VOBIZ_SIP_DOMAIN", "sip.example.net"),
        provider,
    ];
    let args = ["--wav", &caller, "--out", &out];
    talk(&stage.dir.join("call"), &settings, &args, "").await
}

async fn listens(stage: &Stage, origin: &str, local: Local) -> anyhow::Result<Talk> {
    say(stage, origin, KEY, ("STT_PROVIDER", "openai"), local).await
}

async fn stt_hears(stage: &Stage) -> anyhow::Result<String> {
    let talk = listens(stage, &stage.server.origin(), Local::OnlyPiper).await?;
    expect_heard(&talk)
}

async fn stt_stalls(stage: &Stage) -> anyhow::Result<String> {
    stage.server.signals()?.send(Signal::SIGSTOP)?;
    let talk = listens(stage, &stage.server.origin(), Local::Both).await?;
    talk.expect_log(LOCAL_EARS)?;
    expect_heard(&talk)
}

async fn stt_cut(stage: &Stage) -> anyhow::Result<String> {
    let line = FaultyLine::start(stage.server.port(), |_| Next::Cut).await?;
    let talk = listens(stage, line.origin(), Local::Both).await?;
    talk.expect_log(LOCAL_EARS)?;
    expect_heard(&talk)
}

async fn stt_gone(stage: &Stage) -> anyhow::Result<String> {
    let talk = listens(stage, "http://127.0.0.1:1", Local::Both).await?;
    talk.expect_log(LOCAL_EARS)?;
    expect_heard(&talk)
}

fn expect_heard(talk: &Talk) -> anyhow::Result<String> {
    let heard: Vec<_> = talk.texts("heard").iter().map(|(_, text)| *text).collect();
    let heard = heard.join(" ");
    let share = share_understood(SENTENCE, &heard);
    ensure!(
        share >= UNDERSTOOD,
        "of the sentence only {share:.2} was understood: {heard}\n{}",
        talk.log
    );
    Ok(format!("{:.0} % of the words", share * 100.0))
}

async fn speaks(stage: &Stage, origin: &str, key: &str, local: Local) -> anyhow::Result<Talk> {
    // Its first sentence takes it longer than an agent waits.
    stage.server.warm_up().await?;
    say(stage, origin, key, ("TTS_PROVIDER", "openai"), local).await
}

async fn tts_speaks(stage: &Stage) -> anyhow::Result<String> {
    let origin = stage.server.origin();
    let talk = speaks(stage, &origin, KEY, Local::OnlyWhisper).await?;
    talk.expect_no_log("is not said")?;
    expect_said(stage, &talk).await
}

async fn tts_key(stage: &Stage) -> anyhow::Result<String> {
    let origin = stage.server.origin();
    let talk = speaks(stage, &origin, "wrong", Local::Both).await?;
    talk.expect_log("401")?;
    talk.expect_log(LOCAL_VOICE)?;
    expect_said(stage, &talk).await
}

async fn tts_stalls(stage: &Stage) -> anyhow::Result<String> {
    stage.server.warm_up().await?;
    stage.server.signals()?.send(Signal::SIGSTOP)?;
    let (origin, provider) = (stage.server.origin(), ("TTS_PROVIDER", "openai"));
    let talk = say(stage, &origin, KEY, provider, Local::Both).await?;
    talk.expect_log(LOCAL_VOICE)?;
    expect_said(stage, &talk).await
}

async fn tts_stalls_late(stage: &Stage) -> anyhow::Result<String> {
    broken_sentence(stage, Next::Stall).await
}

async fn tts_cut(stage: &Stage) -> anyhow::Result<String> {
    broken_sentence(stage, Next::Cut).await
}

/// The line breaks in the middle of each spoken answer.
async fn broken_sentence(stage: &Stage, fault: Next) -> anyhow::Result<String> {
    let passed = Mutex::new(0);
    let line = FaultyLine::start(stage.server.port(), move |piece| {
        let mut passed = passed.lock().unwrap_or_else(PoisonError::into_inner);
        *passed += piece.len();
        match *passed > HALF_A_CLAUSE {
            true => fault,
            false => Next::Pass,
        }
    })
    .await?;
    let talk = speaks(stage, line.origin(), KEY, Local::Both).await?;
    talk.expect_log(LOCAL_VOICE)?;
    let said = talk.texts("said");
    ensure!(!said.is_empty(), "nothing was said\n{}", talk.log);
    expect_said(stage, &talk).await
}

/// What the agent says by its events is what is understood in the recording.
async fn expect_said(stage: &Stage, talk: &Talk) -> anyhow::Result<String> {
    let recording = Recording::new(stage.dir.join("out.wav"));
    let whisper = models()?.whisper();
    let heard =
        tokio::task::spawn_blocking(move || recording.transcribe(&Whisper::load(&whisper)?))
            .await??
            .join(" ");
    let said: Vec<_> = talk.texts("said").iter().map(|(_, text)| *text).collect();
    let share = share_understood(&said.join(" "), &heard);
    ensure!(
        share >= UNDERSTOOD,
        "of what was said only {share:.2} is understood: {heard}\n{}",
        talk.log
    );
    Ok(format!("{:.0} % of the words", share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streamed_answer_is_read_as_far_as_it_has_come() {
        let chunk =
            |text| e2e::openai::completion_chunk(&serde_json::json!({ "content": text }), None);
        let answer = chunk("Once. ") + &chunk("Twice") + "data: {\"cho";
        assert_eq!(written(answer.as_bytes()), "Once. Twice");
    }

    #[test]
    fn a_sentence_is_whole_when_the_next_has_begun() {
        assert!(!has_a_sentence("Once upon a time."));
        assert!(!has_a_sentence("Once upon a time. "));
        assert!(has_a_sentence("Once upon a time. There"));
    }
}
