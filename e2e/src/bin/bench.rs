//! Measures the worker and the dialer in the telephone world; `cargo xtask bench` runs it and makes the table.
//!
//! Prints one JSON object for each figure.

#![expect(clippy::print_stdout, reason = "this is the program's output")]

use std::{
    path::Path,
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, bail};
use e2e::{
    livekit_server::{API_KEY, API_SECRET, URL},
    namespace,
    party::{CALLEE_NUMBER, LIVE_AGENT, LIVEKIT_SIP, number_answered_with},
    phone::{CallId, EventKind, Phone, PhoneSettings},
    usage::{process_cpu_seconds, process_memory},
    wait::{LIMIT, Unmet, wait_for_condition},
    worker::{Worker, WorkerEvent},
    world::World,
};
use livekit_api::services::{agent_dispatch::AgentDispatchClient, room::RoomClient};
use livekit_protocol::{CreateAgentDispatchRequest, participant_info};
use serde::Serialize;
use serde_json::json;

/// How often a time is measured; the median counts.
const ROUNDS: usize = 5;

/// Rounds of whole transfers, of 15 s each.
const TRANSFERS: usize = 3;

/// How long the CPU of established calls is watched: less than the silence after which the agent asks.
const CPU_WINDOW: Duration = Duration::from_secs(5);

/// Asked by the person on the line.
const REQUEST: &str = "Transfer me to a live agent.";

#[derive(Serialize)]
struct Figure {
    figure: &'static str,
    value: f64,
}

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let outcome = namespace::run_inside("bench-", &args, async |dir, _| measure(dir).await);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(dir: &Path) -> anyhow::Result<()> {
    let world = World::start(dir).await?;
    world.trunk().await?;
    let worker = world.worker().await?;
    print("idle_mb", process_memory(worker.pid())?)?;

    dialer_runs(&world, &worker).await?;
    let callee = world.phone(PhoneSettings::callee()).await?;
    dispatches(&world, &worker, &callee).await?;
    let (target, live_agent) = tokio::try_join!(
        world.phone(PhoneSettings::target()),
        world.phone(PhoneSettings::live_agent())
    )?;
    let phones = [&callee, &target, &live_agent];
    further_calls(&worker, &phones).await?;
    quiet_calls(&worker, &phones).await?;
    transfers(&world, &worker, &callee, &live_agent).await?;
    world.expect_no_rooms().await
}

/// The dialer's whole process, to a number that is busy.
async fn dialer_runs(world: &World, worker: &Worker) -> anyhow::Result<()> {
    let busy = number_answered_with(486);
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let from = worker.events().len();
        let started = Instant::now();
        world
            .run("dialer", &["--to", &busy])
            .await?
            .expect_success()?;
        took.push(started.elapsed());
        job_ended(worker, from, 1).await?;
    }
    print("dialer_ms", milliseconds(median(took)))
}

/// From the request for a dispatch to the agent's presence in the room, and to the INVITE on the wire.
async fn dispatches(world: &World, worker: &Worker, callee: &Phone) -> anyhow::Result<()> {
    let rooms = RoomClient::with_api_key(URL, API_KEY, API_SECRET);
    let (mut joined, mut invited) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (from, rung, seen) = (
            worker.events().len(),
            callee.events().len(),
            world.capture.messages().len(),
        );
        let (started, wall) = (Instant::now(), since_epoch()?);
        let room = dispatch(CALLEE_NUMBER).await?;
        agent_is_in(&rooms, &room).await?;
        joined.push(started.elapsed());
        let at = world
            .capture
            .messages()
            .find_after(seen, "an INVITE", LIMIT, |message| {
                let invite =
                    message.from == LIVEKIT_SIP && message.is_request_to("INVITE", CALLEE_NUMBER);
                invite.then_some(message.at)
            })
            .await?;
        invited.push(at.saturating_sub(wall));
        let call = rings(callee, rung).await?;
        callee.reject(&call).await?;
        job_ended(worker, from, 1).await?;
    }
    print("joined_ms", milliseconds(median(joined)))?;
    print("invite_ms", milliseconds(median(invited)))
}

/// The memory of each further call.
async fn further_calls(worker: &Worker, phones: &[&Phone]) -> anyhow::Result<()> {
    let start = worker.events().len();
    let mut after_first = None;
    for phone in phones {
        let (from, rung) = (worker.events().len(), phone.events().len());
        dispatch(phone.settings().number).await?;
        let call = rings(phone, rung).await?;
        phone.answer(&call).await?;
        worker.spoken_after(from).await?;
        after_first.get_or_insert(process_memory(worker.pid())?);
    }
    let first = after_first.context("there are phones")?;
    let further = f64::from(u32::try_from(phones.len() - 1)?);
    print(
        "one_more_call_mb",
        (process_memory(worker.pid())? - first) / further,
    )?;
    hang_up(worker, start, phones).await?;
    print("idle_after_calls_mb", process_memory(worker.pid())?)
}

/// The CPU of a call in which nobody speaks, from several that were greeted at the same time.
async fn quiet_calls(worker: &Worker, phones: &[&Phone]) -> anyhow::Result<()> {
    let start = worker.events().len();
    let rung: Vec<_> = phones.iter().map(|phone| phone.events().len()).collect();
    for phone in phones {
        dispatch(phone.settings().number).await?;
    }
    for (phone, rung) in phones.iter().zip(rung) {
        phone.answer(&rings(phone, rung).await?).await?;
    }
    let spoke = |event: &WorkerEvent| *event == WorkerEvent::Spoke;
    happened(worker, start, "greetings", phones.len(), spoke).await?;

    let (quiet_from, before) = (worker.events().len(), process_cpu_seconds(worker.pid())?);
    tokio::time::sleep(CPU_WINDOW).await;
    let used = (process_cpu_seconds(worker.pid())? - before) / CPU_WINDOW.as_secs_f64();
    let mut since = worker.events().entries().into_iter().skip(quiet_from);
    if let Some(event) = since.find(|event| matches!(event, WorkerEvent::Says { .. })) {
        bail!("the agent spoke in a quiet call: {event:?}");
    }
    print("call_cpu_percent", 100.0 * used / phones.len() as f64)?;
    hang_up(worker, start, phones).await
}

async fn hang_up(worker: &Worker, start: usize, phones: &[&Phone]) -> anyhow::Result<()> {
    for phone in phones {
        phone.hang_up().await?;
    }
    job_ended(worker, start, phones.len()).await
}

/// From the end of the sentence to what the agent hears and to the REFER, and from there to the ringing target.
async fn transfers(
    world: &World,
    worker: &Worker,
    callee: &Phone,
    target: &Phone,
) -> anyhow::Result<()> {
    let (mut heard, mut referred, mut silent, mut ringing) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TRANSFERS {
        let (mut from, rung) = (worker.events().len(), callee.events().len());
        dispatch(CALLEE_NUMBER).await?;
        let call = rings(callee, rung).await?;
        callee.answer(&call).await?;
        worker.spoken_after(from).await?;

        from = worker.events().len();
        let (seen, target_rung) = (world.capture.messages().len(), target.events().len());
        callee.say(REQUEST).await?;
        let (ended, wall) = (Instant::now(), since_epoch()?);
        event(worker, from, "what was said", |event| {
            matches!(event, WorkerEvent::Heard { .. })
        })
        .await?;
        heard.push(ended.elapsed());
        event(worker, from, "the notice", |event| {
            matches!(event, WorkerEvent::Says { .. })
        })
        .await?;
        let notice = Instant::now();
        event(worker, from, "the end of the notice", |event| {
            *event == WorkerEvent::Spoke
        })
        .await?;
        let notice = notice.elapsed();
        let messages = world.capture.messages();
        let refer = messages
            .find_after(seen, "a REFER", LIMIT, |message| {
                (message.request() == Some("REFER")).then_some(message.at)
            })
            .await?;
        referred.push(refer.saturating_sub(wall));
        silent.push(refer.saturating_sub(wall).saturating_sub(notice));
        let rang = messages
            .find_after(seen, "180 Ringing of the target", LIMIT, |message| {
                let rings =
                    message.from == LIVE_AGENT && message.response_to("INVITE") == Some(180);
                rings.then_some(message.at)
            })
            .await?;
        ringing.push(rang.saturating_sub(refer));

        let referred_call = rings(target, target_rung).await?;
        target.reject(&referred_call).await?;
        event(worker, from, "a failed transfer", |event| {
            matches!(event, WorkerEvent::TransferFailed { .. })
        })
        .await?;
        callee.hang_up().await?;
        job_ended(worker, from, 1).await?;
    }
    print("heard_ms", milliseconds(median(heard)))?;
    print("refer_ms", milliseconds(median(referred)))?;
    print("refer_without_notice_ms", milliseconds(median(silent)))?;
    print("target_rings_ms", milliseconds(median(ringing)))
}

/// Has the agent call `number`, and returns the room.
async fn dispatch(number: &str) -> anyhow::Result<String> {
    let room = format!("bench-{}", since_epoch()?.as_micros());
    let request = CreateAgentDispatchRequest {
        agent_name: "outbound-caller".to_owned(),
        room: room.clone(),
        metadata: json!({ "phone_number": number }).to_string(),
        ..CreateAgentDispatchRequest::default()
    };
    AgentDispatchClient::with_api_key(URL, API_KEY, API_SECRET)
        .create_dispatch(request)
        .await?;
    Ok(room)
}

async fn agent_is_in(rooms: &RoomClient, room: &str) -> anyhow::Result<()> {
    wait_for_condition("the agent to be in the room", LIMIT, async || {
        let participants = rooms.list_participants(room).await?;
        let is_in = participants.iter().any(|who| {
            who.kind() == participant_info::Kind::Agent
                && who.state() == participant_info::State::Active
        });
        if is_in {
            Ok(())
        } else {
            Err(Unmet::NotYet(format!(
                "{} participants",
                participants.len()
            )))
        }
    })
    .await
}

async fn rings(phone: &Phone, from: usize) -> anyhow::Result<CallId> {
    phone
        .events()
        .find_after(from, "an incoming call", LIMIT, |event| {
            (event.kind == EventKind::Incoming).then(|| event.call.clone())
        })
        .await
}

async fn event(
    worker: &Worker,
    from: usize,
    what: &str,
    is_it: impl Fn(&WorkerEvent) -> bool,
) -> anyhow::Result<()> {
    worker
        .events()
        .find_after(from, what, LIMIT, |event| is_it(event).then_some(()))
        .await
}

/// Waits until `jobs` jobs have ended after position `from` of the worker's journal.
async fn job_ended(worker: &Worker, from: usize, jobs: usize) -> anyhow::Result<()> {
    let ended = |event: &WorkerEvent| matches!(event, WorkerEvent::JobEnded { .. });
    happened(worker, from, "ends of jobs", jobs, ended).await
}

/// Waits until `times` such events stand after position `from` of the worker's journal.
async fn happened(
    worker: &Worker,
    from: usize,
    what: &str,
    times: usize,
    is_it: impl Fn(&WorkerEvent) -> bool,
) -> anyhow::Result<()> {
    wait_for_condition(what, LIMIT, async || {
        let entries = worker.events().entries();
        match entries
            .iter()
            .skip(from)
            .filter(|event| is_it(event))
            .count()
        {
            seen if seen >= times => Ok(()),
            seen => Err(Unmet::NotYet(format!("{seen} of {times}"))),
        }
    })
    .await
}

fn since_epoch() -> anyhow::Result<Duration> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn print(figure: &'static str, value: f64) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(&Figure { figure, value })?);
    Ok(())
}
