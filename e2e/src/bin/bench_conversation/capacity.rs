//! How many calls the machine carries before their audio is late.

use std::time::{Duration, Instant};

use anyhow::Context;
use e2e::{
    handset::Handset,
    usage::{cpu_seconds, machine_seconds},
    wait::LIMIT,
};

use crate::{Line, Who, lateness::Punctuality, print};

/// Calls at the same time, step by step.
const STEPS: [u16; 14] = [1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 34, 40];

/// How long an agent may be tried.
const LONGEST: Duration = Duration::from_secs(240);

/// How long the calls of a step go on before they count: what starting them has cost is over then.
const CALM: Duration = Duration::from_secs(4);

/// How long they are listened to.
const WINDOW: Duration = Duration::from_secs(8);

/// The share of frames that may be missed: one in a thousand, a frame in 20 s.
const TOLERATED: f64 = 0.001;

/// What happened in a step.
struct Step {
    calls: u16,
    punctuality: Punctuality,
    /// Of the agent and of the whole machine, in cores.
    agent: f64,
    machine: f64,
}

/// Adds calls until a frame is late. In each the agent speaks all the time.
pub(crate) async fn measure(line: &mut Line, who: Who) -> anyhow::Result<()> {
    println!("{who:?}: calls at the same time, until a frame is late");
    let agent = who.start(&line.world).await?;
    let started = Instant::now();
    let mut calls = Vec::new();
    let mut carried: Option<Step> = None;
    for wanted in STEPS {
        if started.elapsed() > LONGEST {
            println!("{who:?}: stopped after {LONGEST:?}");
            break;
        }
        if let Err(error) = add(line, &mut calls, wanted).await {
            println!("{who:?}: {wanted} calls could not be made: {error:#}");
            break;
        }
        let step = listen(&calls, wanted, agent.pid()).await?;
        let Punctuality {
            due,
            late,
            lost,
            silent,
        } = step.punctuality;
        println!(
            "{who:?}: {wanted} calls: of {due} frames {late} late, {lost} lost, {silent} silent; \
             agent {:.2}, machine {:.2} cores",
            step.agent, step.machine
        );
        if step.punctuality.share_missed() > TOLERATED {
            break;
        }
        carried = Some(step);
    }
    let carried = carried.context(
        "not even one call was in time\nhint: see whether something else keeps the machine busy",
    )?;
    print(who, "capacity_calls", f64::from(carried.calls))?;
    print(who, "capacity_agent_percent", 100.0 * carried.agent)?;
    print(who, "capacity_machine_percent", 100.0 * carried.machine)?;
    line.hang_up().await?;
    agent.stop().await
}

/// Adds calls until there are `wanted`, in all of which the agent speaks.
async fn add(line: &mut Line, calls: &mut Vec<Handset>, wanted: u16) -> anyhow::Result<()> {
    for n in calls.len()..usize::from(wanted) {
        let call = line.call(u16::try_from(n + 1)?).await?;
        let sounds = |frame: &e2e::handset::Frame| frame.sounds().then_some(());
        call.heard()
            .find_after(0, "the agent's words", LIMIT, sounds)
            .await?;
        calls.push(call);
    }
    Ok(())
}

async fn listen(calls: &[Handset], count: u16, agent: u32) -> anyhow::Result<Step> {
    tokio::time::sleep(CALM).await;
    let start = Instant::now();
    let (agent_before, machine_before) = (cpu_seconds(agent)?, machine_seconds()?);
    tokio::time::sleep(WINDOW).await;
    let window = start..Instant::now();
    let seconds = (window.end - window.start).as_secs_f64();
    let agent = (cpu_seconds(agent)? - agent_before) / seconds;
    let machine = (machine_seconds()? - machine_before) / seconds;
    let punctuality = calls
        .iter()
        .map(|call| Punctuality::of(&call.heard().entries(), &window))
        .fold(Punctuality::default(), Punctuality::plus);
    Ok(Step {
        calls: count,
        punctuality,
        agent,
        machine,
    })
}
