//! Calls that nobody takes: the worker says why, nobody is called twice, no room is left.

use anyhow::ensure;
use e2e::{
    party::{CALLEE_NUMBER, LIVEKIT_SIP, number_answered_with},
    phone::{EventKind, PhoneSettings},
    wire,
    worker::Worker,
    world::World,
};

pub(crate) async fn callee_declines(world: World) -> anyhow::Result<()> {
    let (callee, worker) = callee_and_worker(&world).await?;
    world
        .run("dialer", &["--to", CALLEE_NUMBER])
        .await?
        .expect_success()?;
    let call = callee.incoming().await?;
    callee.reject(&call).await?;
    expect_failure(&world, &worker, CALLEE_NUMBER, Some(603), "declined").await
}

pub(crate) async fn callee_does_not_answer(world: World) -> anyhow::Result<()> {
    world.set("DIAL_RINGING_TIMEOUT", "3")?;
    let (callee, worker) = callee_and_worker(&world).await?;
    world
        .run("dialer", &["--to", CALLEE_NUMBER])
        .await?
        .expect_success()?;
    let call = callee.incoming().await?;
    callee.closed(&call).await?;
    let answered = callee
        .events()
        .all(|event| (event.kind == EventKind::Established).then_some(()));
    ensure!(answered.is_empty(), "nobody answers in this scenario");
    expect_failure(&world, &worker, CALLEE_NUMBER, None, "nobody answered").await?;
    let cancels = world
        .capture
        .all(|message| {
            (message.from == LIVEKIT_SIP && message.request() == Some("CANCEL")).then_some(())
        })
        .await?;
    ensure!(
        !cancels.is_empty(),
        "the phone must be told to stop ringing"
    );
    Ok(())
}

pub(crate) async fn callee_is_busy(world: World) -> anyhow::Result<()> {
    world.trunk().await?;
    let worker = world.worker().await?;
    let number = number_answered_with(486);
    world
        .run("dialer", &["--to", &number])
        .await?
        .expect_success()?;
    expect_failure(&world, &worker, &number, Some(486), "busy").await
}

pub(crate) async fn dialer_reports_when_no_worker_takes_the_job(
    world: World,
) -> anyhow::Result<()> {
    let callee = world.phone(PhoneSettings::callee()).await?;
    world.trunk().await?;
    let output = world
        .run("dialer", &["--to", CALLEE_NUMBER])
        .await?
        .expect_failure()?;
    output.expect_text("no worker")?;
    ensure!(
        !output.stdout.contains("✅"),
        "the dialer claims success: {output}"
    );
    ensure!(!callee.has_rung(), "nobody is there to dial");
    world.expect_no_rooms().await
}

async fn callee_and_worker(world: &World) -> anyhow::Result<(e2e::phone::Phone, Worker)> {
    tokio::try_join!(world.phone(PhoneSettings::callee()), async {
        world.trunk().await?;
        world.worker().await
    })
}

/// Waits for the end of the job and checks what became of the call to `number`.
async fn expect_failure(
    world: &World,
    worker: &Worker,
    number: &str,
    status: Option<u16>,
    cause: &str,
) -> anyhow::Result<()> {
    let (why, sip_status) = worker.dial_failure().await?;
    ensure!(
        sip_status == status,
        "the worker must know that the status was {status:?}, not {sip_status:?}"
    );
    ensure!(
        why.contains(cause),
        "the cause must be `{cause}`, not `{why}`"
    );
    let outcome = worker.job_outcome().await?;
    ensure!(
        outcome.contains(cause),
        "the job must end with `{cause}`, not `{outcome}`"
    );
    world.expect_no_rooms().await?;
    wire::expect_one_dial(&world.capture, LIVEKIT_SIP, number).await
}
