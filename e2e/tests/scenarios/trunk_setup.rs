//! `trunk-setup` beyond the guide: plan, transport and encryption, inbound, several at once.

use anyhow::ensure;
use e2e::world::World;
use livekit_api::services::sip::{
    ListSIPDispatchRuleFilter, ListSIPInboundTrunkFilter, ListSIPOutboundTrunkFilter,
};

pub(crate) async fn trunk_setup_shows_a_change_before_it_is_made(
    world: World,
) -> anyhow::Result<()> {
    let plan = async || {
        world
            .run("trunk-setup", &["--plan"])
            .await?
            .expect_success()
    };
    plan().await?.expect_text("`trunk-setup` creates one")?;
    ensure!(outbound(&world).await?.is_empty(), "a plan changes nothing");
    world.trunk().await?;
    plan().await?.expect_text("agrees with the settings")?;

    world.set("SIP_TRANSPORT", "tcp")?;
    world.set("SIP_MEDIA_ENCRYPTION", "allow")?;
    plan()
        .await?
        .expect_text(
            "transport: trunk has `SIP_TRANSPORT_AUTO`, settings have `SIP_TRANSPORT_TCP`",
        )?
        .expect_text("encryption")?;
    let before = outbound(&world).await?;
    let run = async || world.run("trunk-setup", &[]).await?.expect_success();
    run()
        .await?
        .expect_text("✅ SIP Trunk updated successfully!")?
        .expect_text("Changed: transport, encryption")?;
    plan().await?.expect_text("agrees with the settings")?;
    run().await?.expect_text("Nothing had changed")?;
    let after = outbound(&world).await?;
    ensure!(after.len() == 1, "twice is the same as once");
    ensure!(
        (&after[0].name, &after[0].metadata, &after[0].numbers)
            == (&before[0].name, &before[0].metadata, &before[0].numbers),
        "what the settings do not own stays"
    );
    ensure!(after[0].transport == 2, "the trunk speaks TCP");
    Ok(())
}

pub(crate) async fn trunk_setup_run_at_the_same_time_makes_one_trunk(
    world: World,
) -> anyhow::Result<()> {
    let run = async |args: &[&str]| world.run("trunk-setup", args).await?.expect_success();
    let json: &[&str] = &["--json"];
    let (a, b, c, d) = tokio::try_join!(run(json), run(json), run(json), run(json))?;
    let trunks = outbound(&world).await?;
    ensure!(trunks.len() == 1, "one trunk, not {}", trunks.len());
    for output in [a, b, c, d] {
        output.expect_text(&trunks[0].sip_trunk_id)?;
    }

    let inbound: &[&str] = &["--inbound", "--json"];
    let (a, b, c) = tokio::try_join!(run(inbound), run(inbound), run(inbound))?;
    let trunks = world
        .sip()
        .list_sip_inbound_trunk(ListSIPInboundTrunkFilter::All)
        .await?;
    let rules = world
        .sip()
        .list_sip_dispatch_rule(ListSIPDispatchRuleFilter::All)
        .await?;
    ensure!(trunks.len() == 1, "one inbound trunk, not {}", trunks.len());
    ensure!(rules.len() == 1, "one dispatch rule, not {}", rules.len());
    for output in [a, b, c] {
        output
            .expect_text(&trunks[0].sip_trunk_id)?
            .expect_text(&rules[0].sip_dispatch_rule_id)?;
    }
    run(&["--inbound", "--plan"])
        .await?
        .expect_text("Dispatch rule: SDR_")?;
    Ok(())
}

async fn outbound(world: &World) -> anyhow::Result<Vec<livekit_protocol::SipOutboundTrunkInfo>> {
    let all = ListSIPOutboundTrunkFilter::All;
    Ok(world.sip().list_sip_outbound_trunk(all).await?)
}
