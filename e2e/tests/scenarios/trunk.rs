//! Row 1 of the guide's troubleshooting table: wrong credentials on the trunk.

use anyhow::ensure;
use e2e::{
    call::Call,
    carrier::TRUNK_PASSWORD,
    party::{CALLEE_NUMBER, LIVEKIT_SIP},
    phone::PhoneSettings,
    worker::WorkerEvent,
    world::World,
};

pub(crate) async fn trunk_setup_repairs_a_wrong_password(world: World) -> anyhow::Result<()> {
    world.set("VOBIZ_PASSWORD", "wrong")?;
    world.trunk().await?;
    let (worker, callee) = tokio::try_join!(world.worker(), world.phone(PhoneSettings::callee()))?;

    world
        .run("dialer", &["--to", CALLEE_NUMBER])
        .await?
        .expect_success()?;
    let (cause, _) = worker.dial_failure().await?;
    ensure!(
        cause.contains("credentials"),
        "the cause must be the credentials, not `{cause}`"
    );
    world.expect_no_rooms().await?;
    ensure!(
        !callee.has_rung(),
        "the carrier must not let the call through"
    );

    world.set("VOBIZ_PASSWORD", TRUNK_PASSWORD)?;
    world
        .run("trunk-setup", &["--check"])
        .await?
        .expect_failure()?;
    let output = world.run("trunk-setup", &[]).await?.expect_success()?;
    output.expect_text("✅ SIP Trunk updated successfully!")?;
    world
        .run("trunk-setup", &["--check"])
        .await?
        .expect_success()?;

    world
        .run("dialer", &["--to", CALLEE_NUMBER])
        .await?
        .expect_success()?;
    let id = callee.incoming().await?;
    callee.answer(&id).await?;
    let call = Call::answered(worker, callee, id).await?;
    call.phone.hang_up().await?;
    call.worker
        .expect(WorkerEvent::JobEnded {
            outcome: "caller hung up".to_owned(),
        })
        .await?;
    world.expect_no_rooms().await?;
    let authenticated = world
        .capture
        .all(|message| {
            let dialled =
                message.from == LIVEKIT_SIP && message.is_request_to("INVITE", CALLEE_NUMBER);
            (dialled && message.header("Proxy-Authorization").is_some())
                .then(|| message.call_id().map(str::to_owned))
        })
        .await?;
    ensure!(
        authenticated.first() != authenticated.last(),
        "the second dial must be a call of its own"
    );
    Ok(())
}
