//! The fixtures themselves: carrier, phones, recorder, tones, capture. No LiveKit, no agent.

use anyhow::ensure;
use e2e::{
    party::{CALLEE, TARGET_NUMBER},
    phone::{Codecs, PhoneSettings},
    tone::Pilot,
    words::share_understood,
    world::World,
};

pub(crate) async fn phones_hear_each_other_through_the_carrier(world: World) -> anyhow::Result<()> {
    let (caller, callee) = tokio::try_join!(
        world.phone(PhoneSettings::callee()),
        world.phone(PhoneSettings::target())
    )?;
    let (dialled, ()) = tokio::try_join!(caller.dial(TARGET_NUMBER), async {
        let call = callee.incoming().await?;
        callee.answer(&call).await
    })?;
    caller.established(&dialled).await?;

    let (near, far) = tokio::try_join!(caller.leg(0), callee.leg(0))?;
    tokio::try_join!(caller.hum(), callee.hum())?;
    near.heard.wait_for_tone(Pilot::TARGET.narrow).await?;
    near.heard.wait_for_tone(Pilot::TARGET.wide).await?;
    far.heard.wait_for_tone(Pilot::CALLEE.narrow).await?;
    far.heard.wait_for_tone(Pilot::CALLEE.wide).await?;
    near.heard.expect_no_tone(Pilot::CALLEE.narrow)?;
    near.heard.expect_no_tone(Pilot::LIVE_AGENT.narrow)?;

    callee.hang_up().await?;
    caller.closed(&dialled).await?;
    let invites = world
        .capture
        .all(|message| {
            (message.from == CALLEE)
                .then(|| message.is_request_to("INVITE", TARGET_NUMBER).then_some(()))?
        })
        .await?;
    ensure!(
        invites.len() == 2,
        "an INVITE without and one with credentials, not {}",
        invites.len()
    );
    Ok(())
}

pub(crate) async fn a_phone_says_what_it_is_told_and_whisper_understands_it(
    world: World,
) -> anyhow::Result<()> {
    let (caller, callee) = tokio::try_join!(
        world.phone(PhoneSettings::callee().with_codecs(Codecs::Narrowband)),
        world.phone(PhoneSettings::target())
    )?;
    let (dialled, ()) = tokio::try_join!(caller.dial(TARGET_NUMBER), async {
        let call = callee.incoming().await?;
        callee.answer(&call).await
    })?;
    caller.established(&dialled).await?;
    caller.say("Transfer me to a live agent.").await?;
    caller.say("Yes, please.").await?;
    callee.say("Good morning. How can I help you?").await?;

    let heard_there = world
        .transcribe(&callee.leg(0).await?.heard)
        .await?
        .join(" ");
    let share = share_understood("Transfer me to a live agent. Yes, please.", &heard_there);
    ensure!(share > 0.8, "the target heard: {heard_there}");
    let heard_here = world
        .transcribe(&caller.leg(0).await?.heard)
        .await?
        .join(" ");
    let share = share_understood("Good morning. How can I help you?", &heard_here);
    ensure!(share > 0.8, "the caller heard: {heard_here}");
    Ok(())
}
