//! Transfers in which the target is called into the room: who hears whom at each stage, proved by tones.

use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::{
    call::Call,
    party::{FORWARDED_NUMBER, LIVE_AGENT_NUMBER, LIVEKIT_SIP, refer_target_refused_with},
    phone::{CallId, Phone, PhoneSettings},
    recording::Recording,
    wait::{LIMIT, Unmet, wait_for_condition},
    wire,
    worker::WorkerEvent,
    world::World,
};

use crate::transferred::expect_talk;

/// Ringback, which a caller on hold hears.
const RINGBACK_HZ: u32 = 425;

/// How long a tone is kept up before it counts as not heard.
const LISTENED: Duration = Duration::from_secs(2);

pub(crate) async fn a_refused_refer_becomes_a_bridge(world: World) -> anyhow::Result<()> {
    world.set("DEFAULT_TRANSFER_NUMBER", FORWARDED_NUMBER)?;
    world
        .carrier
        .forward_to(&refer_target_refused_with(603))
        .await?;
    let (live_agent, mut call) = phones(&world).await?;
    call.ask_for_transfer("Transfer me.").await?;
    call.worker.transfer_failure().await?;
    world.carrier.forward_to(LIVE_AGENT_NUMBER).await?;

    let ringing = live_agent.incoming().await?;
    live_agent.answer(&ringing).await?;

    expect_talk(&call.phone, 0, &live_agent, 0).await?;
    wire::expect_one_dial(&world.capture, LIVEKIT_SIP, FORWARDED_NUMBER).await?;
    call.phone.hang_up().await?;
    expect_end(&world, call, &live_agent, &ringing, "transferred").await
}

pub(crate) async fn a_caller_who_hangs_up_stops_the_bridged_target_ringing(
    world: World,
) -> anyhow::Result<()> {
    world.set("TRANSFER_MODE", "bridge")?;
    let (live_agent, mut call) = phones(&world).await?;
    call.ask_for_transfer("Transfer me.").await?;
    let ringing = live_agent.incoming().await?;
    // Ringback comes from the bridge itself.
    call.leg().await?.heard.wait_for_tone(RINGBACK_HZ).await?;

    call.phone.hang_up().await?;

    expect_end(&world, call, &live_agent, &ringing, "caller hung up").await
}

pub(crate) async fn a_warm_transfer_is_private_until_the_target_accepts(
    world: World,
) -> anyhow::Result<()> {
    let (live_agent, call, ringing) = held(&world).await?;
    let (caller_hears, target_hears) = (call.leg().await?.heard, live_agent.leg(0).await?.heard);

    // On hold: neither of the two hears the other.
    tokio::try_join!(call.phone.hum(), live_agent.hum())?;
    grows(&target_hears, LISTENED).await?;
    let (caller, target) = (call.phone.settings().pilot, live_agent.settings().pilot);
    target_hears.expect_no_tone(caller.narrow)?;
    caller_hears.expect_no_tone(target.narrow)?;
    caller_hears.wait_for_tone(RINGBACK_HZ).await?;
    live_agent.press("1").await?;

    expect_talk(&call.phone, 0, &live_agent, 0).await?;

    // The target would not wait until Whisper has understood it.
    let told = world
        .transcribe(&target_hears)
        .await?
        .join(" ")
        .to_lowercase();
    ensure!(
        told.contains("press 1") || told.contains("press one"),
        "the target heard: {told}"
    );
    let overheard = world
        .transcribe(&caller_hears)
        .await?
        .join(" ")
        .to_lowercase();
    ensure!(
        !overheard.contains("decline"),
        "the caller heard the briefing: {overheard}"
    );
    live_agent.hang_up().await?;
    call.phone.closed(&call.id).await?;
    expect_end(&world, call, &live_agent, &ringing, "transferred").await
}

pub(crate) async fn a_target_who_declines_gives_the_caller_back(
    world: World,
) -> anyhow::Result<()> {
    let (live_agent, mut call, ringing) = held(&world).await?;
    let from = call.worker.events().len();

    live_agent.say("No, sorry.").await?;

    live_agent.closed(&ringing).await?;
    expect_back(&mut call, from, "declined").await?;
    call.phone.hang_up().await?;
    expect_end(&world, call, &live_agent, &ringing, "caller hung up").await
}

pub(crate) async fn a_target_who_hangs_up_in_the_briefing_gives_the_caller_back(
    world: World,
) -> anyhow::Result<()> {
    let (live_agent, mut call, ringing) = held(&world).await?;
    let from = call.worker.events().len();

    live_agent.hang_up().await?;

    expect_back(&mut call, from, "declined").await?;
    call.phone.hang_up().await?;
    expect_end(&world, call, &live_agent, &ringing, "caller hung up").await
}

pub(crate) async fn a_caller_who_hangs_up_on_hold_frees_the_target(
    world: World,
) -> anyhow::Result<()> {
    let (live_agent, call, ringing) = held(&world).await?;

    call.phone.hang_up().await?;

    expect_end(&world, call, &live_agent, &ringing, "caller hung up").await
}

async fn phones(world: &World) -> anyhow::Result<(Phone, Call)> {
    tokio::try_join!(
        world.phone(PhoneSettings::live_agent()),
        Call::placed(world, PhoneSettings::callee())
    )
}

/// A warm transfer whose target has answered and heard the question.
async fn held(world: &World) -> anyhow::Result<(Phone, Call, CallId)> {
    world.set("TRANSFER_MODE", "warm")?;
    let (live_agent, mut call) = phones(world).await?;
    call.ask_for_transfer("Transfer me.").await?;
    let ringing = live_agent.incoming().await?;
    let from = call.worker.events().len();
    live_agent.answer(&ringing).await?;
    let told = call
        .listen(from)
        .await
        .context("the target must be told what it is about")?;
    ensure!(told.contains("Transfer me"), "the target was told: {told}");
    Ok((live_agent, call, ringing))
}

/// The agent tells the caller, who is understood, what has happened after position `from` of the journal.
async fn expect_back(call: &mut Call, from: usize, word: &str) -> anyhow::Result<()> {
    let said = call
        .worker
        .events()
        .find_after(from, "the reason", LIMIT, |event| {
            if let WorkerEvent::Says { text } = event
                && text.contains(word)
            {
                return Some(text.clone());
            }
            None
        })
        .await?;
    let from = call.worker.events().len();
    ensure!(said.contains("You are still with me"), "it says: {said}");
    call.listen(from).await?;
    let answer = call.tell("What can you do for me?").await?;
    ensure!(!answer.is_empty(), "the agent must talk on");
    Ok(())
}

/// Everybody is out of the call, the worker knows how it ended, and no room is left.
async fn expect_end(
    world: &World,
    call: Call,
    target: &Phone,
    targets_call: &CallId,
    outcome: &str,
) -> anyhow::Result<()> {
    call.phone.closed(&call.id).await?;
    target.closed(targets_call).await?;
    call.worker
        .expect(WorkerEvent::JobEnded {
            outcome: outcome.to_owned(),
        })
        .await?;
    world.expect_no_rooms().await
}

/// Waits until `recording` has become longer by `duration`.
async fn grows(recording: &Recording, duration: Duration) -> anyhow::Result<()> {
    let begun = recording.pcm()?.duration();
    wait_for_condition("the phone to record", LIMIT, async || {
        let recorded = recording.pcm()?.duration().saturating_sub(begun);
        if recorded >= duration {
            Ok(())
        } else {
            Err(Unmet::NotYet(format!("{recorded:?}")))
        }
    })
    .await
}
