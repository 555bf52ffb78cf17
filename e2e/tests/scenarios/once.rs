//! Nobody is called twice: by two dialers with one key, one after the other, or by two workers.

use anyhow::ensure;
use e2e::{
    party::{CALLEE_NUMBER, LIVEKIT_SIP, number_answered_with},
    phone::PhoneSettings,
    wire,
    world::World,
};

pub(crate) async fn a_key_calls_once_also_after_the_end(world: World) -> anyhow::Result<()> {
    world.trunk().await?;
    let (callee, worker) = tokio::try_join!(world.phone(PhoneSettings::callee()), world.worker())?;
    let again = ["--to", CALLEE_NUMBER, "--idempotency-key", "order 4711"];
    let waits = [&again[..], &["--wait"]].concat();
    let conversation = async {
        let id = callee.incoming().await?;
        let second = world.run("dialer", &again).await?.expect_success()?;
        second.expect_text("nobody is called again")?;
        callee.answer(&id).await?;
        worker.spoken_after(0).await?;
        callee.hang_up().await
    };
    let (first, ()) = tokio::try_join!(world.run("dialer", &waits), conversation)?;
    first
        .expect_code(0)?
        .expect_text("ended: the callee hung up")?;
    worker.job_outcome().await?;
    world.expect_nobody_in_a_room().await?;

    for third in [&again[..], &waits] {
        let third = world.run("dialer", third).await?.expect_code(0)?;
        third.expect_text("nobody is called again")?;
        third.expect_text("the callee hung up")?;
    }
    wire::expect_one_dial(&world.capture, LIVEKIT_SIP, CALLEE_NUMBER).await?;

    // The outcome of a call that nobody waited for.
    let from = worker.events().len();
    let busy = number_answered_with(486);
    let again = ["--to", &busy, "--idempotency-key", "order 4711"];
    world.run("dialer", &again).await?.expect_success()?;
    // The callee may be found busy before the agent has joined the room, when nobody is in it either.
    worker.job_outcome_after(from).await?;
    world.expect_nobody_in_a_room().await?;
    let second = world.run("dialer", &again).await?.expect_code(11)?;
    second.expect_text("the callee is busy")?;
    wire::expect_one_dial(&world.capture, LIVEKIT_SIP, &busy).await
}

pub(crate) async fn a_worker_killed_while_the_phone_rings_calls_nobody_again(
    world: World,
) -> anyhow::Result<()> {
    world.set("DIAL_RINGING_TIMEOUT", "80")?;
    world.trunk().await?;
    let (callee, mut killed) =
        tokio::try_join!(world.phone(PhoneSettings::callee()), world.worker())?;
    let conversation = async {
        let id = callee.incoming().await?;
        killed.kill().await?;
        let second = world.worker().await?;
        second
            .find("taking the call over", |event| {
                matches!(event, e2e::worker::WorkerEvent::JobReceived { .. }).then_some(())
            })
            .await?;
        callee.answer(&id).await?;
        let greeting = second.spoken_after(0).await?;
        ensure!(!greeting.is_empty(), "the callee must be greeted");
        callee.hang_up().await?;
        second.job_outcome().await
    };
    let (output, outcome) = tokio::try_join!(
        world.run("dialer", &["--wait", "--to", CALLEE_NUMBER]),
        conversation
    )?;
    let output = output.expect_code(0)?;
    for line in ["dispatched again", "answered", "ended: the callee hung up"] {
        output.expect_text(line)?;
    }
    ensure!(outcome == "caller hung up", "the job ended as `{outcome}`");
    wire::expect_one_dial(&world.capture, LIVEKIT_SIP, CALLEE_NUMBER).await?;
    world.expect_no_rooms().await
}
