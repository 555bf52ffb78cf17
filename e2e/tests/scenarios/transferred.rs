//! What must hold after every transfer that worked.

use std::net::Ipv4Addr;

use anyhow::ensure;
use e2e::{
    call::{Call, NOTICE},
    party::DOMAIN,
    phone::{Codecs, Phone},
    tone::Pilot,
    wire,
    words::{UNDERSTOOD, share_understood, without_digits},
    worker::WorkerEvent,
    world::World,
};

/// What the agent says from its notice on.
fn notice(call: &Call) -> String {
    let says = call.worker.events().all_after(call.since, |event| {
        let WorkerEvent::Says { text } = event else {
            return None;
        };
        Some(text.clone())
    });
    let notice: Vec<_> = says
        .into_iter()
        .skip_while(|text| !text.to_lowercase().contains(NOTICE))
        .collect();
    notice.join(" ")
}

/// Takes the call on `target`, which rings, and checks everything until both have hung up.
///
/// `caller` is the address that dialled the person on the line: LiveKit's, or none for an inbound call.
pub(crate) async fn expect_transferred(
    world: &World,
    call: &Call,
    target: &Phone,
    caller: Option<Ipv4Addr>,
) -> anyhow::Result<()> {
    expect_transferred_by(world, call, target, caller, "").await
}

/// As [`expect_transferred`], where the refer target has `parameters`.
pub(crate) async fn expect_transferred_by(
    world: &World,
    call: &Call,
    target: &Phone,
    caller: Option<Ipv4Addr>,
    parameters: &str,
) -> anyhow::Result<()> {
    let number = target.settings().number;
    let ringing = target.incoming().await?;
    target.answer(&ringing).await?;
    let referred = call.phone.referred_to(number).await?;
    call.phone.closed(&call.id).await?;

    // Before: the caller heard the agent to the end of its notice.
    let before = call.leg().await?;
    let heard = world
        .transcribe(&before.heard)
        .await?
        .join(" ")
        .to_lowercase();
    let notice = notice(call);
    let share = share_understood(&without_digits(&notice), &heard);
    ensure!(
        !notice.is_empty() && share >= UNDERSTOOD,
        "of the notice `{notice}` only {share:.2} was understood; the caller heard: {heard}"
    );
    // After the digits of a number Whisper writes a figure.
    ensure!(
        heard.contains("one moment") || heard.contains("1 moment"),
        "the notice was cut off; the caller heard: {heard}"
    );
    // After: caller and target hear each other.
    expect_talk(&call.phone, 1, target, 0).await?;
    expect_codec(
        call.phone.settings().codecs,
        &target.leg(0).await?.heard,
        call.phone.settings().pilot,
    )
    .await?;

    // On the wire.
    let refer_to = wire::refer_target(&world.capture).await?;
    ensure!(
        refer_to == format!("<sip:{number}@{DOMAIN}{parameters}>"),
        "the REFER named {refer_to}"
    );
    ensure!(
        wire::refer_answer(&world.capture).await? == 202,
        "the REFER was not accepted"
    );
    let notified = wire::notified(&world.capture).await?;
    ensure!(
        notified == [100, 200],
        "NOTIFY says {notified:?}, not 100, 200"
    );
    wire::expect_one_dial(&world.capture, call.phone.settings().address, number).await?;
    if let Some(caller) = caller {
        wire::expect_one_dial(&world.capture, caller, call.phone.settings().number).await?;
    }

    // In the end: the agent knows, and nobody is forgotten.
    call.worker
        .expect(WorkerEvent::JobEnded {
            outcome: "transferred".to_owned(),
        })
        .await?;
    target.hang_up().await?;
    call.phone.closed(&referred).await?;
    world.expect_no_rooms().await
}

/// G.722 carries a tone above 4 kHz, G.711 cannot.
async fn expect_codec(
    codecs: Codecs,
    heard: &e2e::recording::Recording,
    pilot: Pilot,
) -> anyhow::Result<()> {
    match codecs {
        Codecs::Wideband => heard.wait_for_tone(pilot.wide).await.map(drop),
        Codecs::Narrowband => heard.expect_no_tone(pilot.wide),
    }
}

/// The caller and the target hear each other, in their `n`th and `m`th call with audio.
pub(crate) async fn expect_talk(
    caller: &Phone,
    n: usize,
    target: &Phone,
    m: usize,
) -> anyhow::Result<()> {
    let (near, far) = tokio::try_join!(caller.leg(n), target.leg(m))?;
    tokio::try_join!(caller.hum(), target.hum())?;
    near.heard
        .wait_for_tone(target.settings().pilot.narrow)
        .await?;
    far.heard
        .wait_for_tone(caller.settings().pilot.narrow)
        .await?;
    Ok(())
}
