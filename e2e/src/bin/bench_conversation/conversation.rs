//! One conversation, turn by turn, and what more of them cost.

use std::time::{Duration, Instant};

use anyhow::ensure;
use e2e::{
    contestant::Contestant,
    handset::{Handset, Utterance},
    usage::{cpu_seconds, settled_memory},
    utterance::Voice,
    wait::LIMIT,
};
use futures_util::future::try_join_all;

use crate::{
    FEWEST_TURNS, Line, Who, milliseconds, print,
    turn::{Turn, median_and_p95},
    vendor::QUESTION,
};

/// An agent that has been silent for so long has finished.
const FINISHED: Duration = Duration::from_secs(1);

/// How long the caller waits for an answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// Conversations beside the first one.
const MORE_CALLS: u16 = 3;

/// Turns of each of them.
const MORE_TURNS: usize = 4;

pub(crate) async fn measure(line: &mut Line, who: Who, turns: usize) -> anyhow::Result<()> {
    println!("{who:?}: a conversation of {turns} turns");
    let mut agent = who.start(&line.world).await?;
    print(who, "idle_mb", settled_memory(agent.pid()).await?)?;
    let question = question(line).await?;

    let first = line.call(1).await?;
    greeted(&first).await?;
    let mut measured = Vec::new();
    let (started, before) = (Instant::now(), cpu_seconds(agent.pid())?);
    for _ in 0..turns {
        let from = line.vendor.stamps().len();
        let (ended, sounded) = exchange(&first, &question).await?;
        agent.check_running()?;
        let stamps = line.vendor.stamps().entries();
        let turn = sounded.and_then(|sounded| Turn::of(ended, &stamps[from..], sounded));
        measured.extend(turn);
    }
    let one_cpu = (cpu_seconds(agent.pid())? - before) / started.elapsed().as_secs_f64();
    let one_mb = settled_memory(agent.pid()).await?;
    print_turns(who, &measured, turns)?;

    println!("{who:?}: {MORE_CALLS} more conversations");
    let (more_cpu, more_mb) = several(line, &agent, first, &question).await?;
    let more = f64::from(MORE_CALLS);
    print(who, "call_mb", (more_mb - one_mb) / more)?;
    print(who, "call_cpu_percent", 100.0 * (more_cpu - one_cpu) / more)?;
    agent.check_running()?;
    line.hang_up().await?;
    agent.stop().await
}

/// The CPU, in cores, and the memory of several conversations at the same time.
async fn several(
    line: &mut Line,
    agent: &Contestant,
    first: Handset,
    question: &Utterance,
) -> anyhow::Result<(f64, f64)> {
    let mut calls = vec![first];
    for n in 2..2 + MORE_CALLS {
        let call = line.call(n).await?;
        greeted(&call).await?;
        calls.push(call);
    }
    // What the last one started has calmed down.
    settled_memory(agent.pid()).await?;
    let (started, before) = (Instant::now(), cpu_seconds(agent.pid())?);
    try_join_all(calls.iter().map(async |call| {
        for _ in 0..MORE_TURNS {
            exchange(call, question).await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    let used = cpu_seconds(agent.pid())? - before;
    let cores = used / started.elapsed().as_secs_f64();
    Ok((cores, settled_memory(agent.pid()).await?))
}

async fn question(line: &Line) -> anyhow::Result<Utterance> {
    let voices = line.world.voices();
    let dir = line.world.dir().to_owned();
    let speech =
        tokio::task::spawn_blocking(move || voices.say(Voice::Joe, QUESTION, &dir)).await??;
    Ok(Utterance::new(&speech))
}

async fn greeted(call: &Handset) -> anyhow::Result<()> {
    let sounds = |frame: &e2e::handset::Frame| frame.sounds().then_some(frame.at);
    let first = call
        .heard()
        .find_after(0, "a greeting", LIMIT, sounds)
        .await?;
    call.silence(first, FINISHED).await
}

/// The caller says something, and listens to the answer to its end. Returns when the caller had said it, and when it
/// heard the first sound.
async fn exchange(
    call: &Handset,
    question: &Utterance,
) -> anyhow::Result<(Instant, Option<Instant>)> {
    let ended = call.say(question.clone()).await?;
    let from = call.heard().len();
    let sound = call
        .heard()
        .find_after(from, "an answer", PATIENCE, |frame| {
            frame.sounds().then_some(frame.at)
        })
        .await;
    match sound {
        Ok(at) => {
            call.silence(at, FINISHED).await?;
            Ok((ended, Some(at)))
        }
        Err(_) => Ok((ended, None)),
    }
}

fn print_turns(who: Who, measured: &[Turn], wanted: usize) -> anyhow::Result<()> {
    println!("{who:?}: {} of {wanted} turns measured", measured.len());
    ensure!(
        measured.len() >= FEWEST_TURNS,
        "only {} of {wanted} turns with {who:?} could be measured, and {FEWEST_TURNS} are needed: the caller's words \
         were cut, or not answered",
        measured.len()
    );
    type Stage = fn(&Turn) -> Duration;
    let stages: [(&str, &str, Stage); 5] = [
        ("endpoint_median_ms", "endpoint_p95_ms", |turn| {
            turn.endpoint
        }),
        ("model_median_ms", "model_p95_ms", |turn| {
            turn.transcript_to_model
        }),
        ("speech_median_ms", "speech_p95_ms", |turn| {
            turn.token_to_speech
        }),
        ("phone_median_ms", "phone_p95_ms", |turn| {
            turn.speech_to_phone
        }),
        ("whole_median_ms", "whole_p95_ms", |turn| turn.whole),
    ];
    for (median_name, p95_name, stage) in stages {
        let times = measured.iter().map(stage).collect();
        if let Some((median, p95)) = median_and_p95(times) {
            print(who, median_name, milliseconds(median))?;
            print(who, p95_name, milliseconds(p95))?;
        }
    }
    print(who, "turns", measured.len() as f64)
}
