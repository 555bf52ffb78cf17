//! Whom a caller may reach, and by which keys and words.

use anyhow::ensure;
use e2e::{
    call::{Call, NOTICE},
    party::{LIVE_AGENT_NUMBER, LIVEKIT_SIP, TARGET_NUMBER},
    phone::PhoneSettings,
    wait::LIMIT,
    wire,
    worker::WorkerEvent,
    world::World,
};

use crate::transferred::expect_transferred;

pub(crate) async fn key_0_goes_to_the_default_number(world: World) -> anyhow::Result<()> {
    let (live_agent, call) = tokio::try_join!(
        world.phone(PhoneSettings::live_agent()),
        Call::placed(&world, PhoneSettings::callee())
    )?;
    let from = call.worker.events().len();

    call.phone.press("0").await?;

    call.worker
        .events()
        .find_after(from, "the notice", LIMIT, |event| {
            matches!(event, WorkerEvent::Says { text } if text.contains(NOTICE)).then_some(())
        })
        .await?;
    expect_transferred(&world, &call, &live_agent, Some(LIVEKIT_SIP)).await
}

pub(crate) async fn a_department_is_reached_by_its_name(world: World) -> anyhow::Result<()> {
    world.set("TRANSFER_SALES", TARGET_NUMBER)?;
    // A department needs no entry.
    world.set("TRANSFER_ALLOW", "DE")?;
    let (target, live_agent, mut call) = tokio::try_join!(
        world.phone(PhoneSettings::target()),
        world.phone(PhoneSettings::live_agent()),
        Call::placed(&world, PhoneSettings::callee())
    )?;

    call.ask_for_transfer("Transfer me to the sales department, please.")
        .await?;

    expect_transferred(&world, &call, &target, Some(LIVEKIT_SIP)).await?;
    ensure!(!live_agent.has_rung(), "the default number must not ring");
    Ok(())
}

pub(crate) async fn a_number_that_is_not_allowed_is_refused(world: World) -> anyhow::Result<()> {
    world.set("DEFAULT_TRANSFER_NUMBER", LIVE_AGENT_NUMBER)?;
    world.set("TRANSFER_ALLOW", "IN, +1555000*, DE")?;
    let (live_agent, mut call) = tokio::try_join!(
        world.phone(PhoneSettings::live_agent()),
        Call::placed(&world, PhoneSettings::callee())
    )?;

    // A country that is not listed, and a premium number of one that is.
    for (request, reason) in [
        (
            "Transfer me to plus four four, two zero, seven nine four six, zero nine five eight.",
            "not allowed to transfer calls to that country",
        ),
        (
            "Transfer me to plus four nine, nine zero zero, five one two, three four five six.",
            "premium rate",
        ),
    ] {
        let answer = call.tell(request).await?;
        ensure!(
            answer.contains(reason),
            "the answer to `{request}`: {answer}"
        );
    }

    let refers = wire::refers(&world.capture).await?;
    ensure!(refers.is_empty(), "nobody may be reached: {refers:?}");
    // Who is refused one number may still have another.
    call.ask_for_transfer("Transfer me.").await?;
    expect_transferred(&world, &call, &live_agent, Some(LIVEKIT_SIP)).await
}
