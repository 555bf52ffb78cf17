//! Somebody dials the trunk's number.

use e2e::{call::Call, party::TRUNK_NUMBER, phone::PhoneSettings, wire, world::World};

use crate::transferred::expect_transferred;

pub(crate) async fn inbound_call_is_transferred(world: World) -> anyhow::Result<()> {
    world.route_inbound_calls().await?;
    let worker = async {
        world.trunk().await?;
        world.worker().await
    };
    let (caller, live_agent, worker) = tokio::try_join!(
        world.phone(PhoneSettings::callee()),
        world.phone(PhoneSettings::live_agent()),
        worker
    )?;
    let id = caller.dial(TRUNK_NUMBER).await?;
    caller.established(&id).await?;

    let mut call = Call::answered(worker, caller, id).await?;
    call.ask_for_transfer("Transfer me to a live agent.")
        .await?;
    expect_transferred(&world, &call, &live_agent, None).await?;
    wire::expect_one_dial(&world.capture, call.phone.settings().address, TRUNK_NUMBER).await
}
