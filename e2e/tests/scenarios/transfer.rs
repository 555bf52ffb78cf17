//! The person on the line asks to be transferred.

use anyhow::ensure;
use e2e::{
    call::Call,
    http::get,
    party::{CALLEE, LIVEKIT_SIP, TARGET_NUMBER, number_answered_with, refer_target_refused_with},
    phone::{Codecs, PhoneSettings},
    wait::{LIMIT, Unmet, wait_for_condition},
    wire,
    words::{UNDERSTOOD, share_understood},
    worker::WorkerEvent,
    world::World,
};

use crate::transferred::{expect_transferred, expect_transferred_by};

/// Payload types of RFC 3551.
const PCMU: u8 = 0;
const G722: u8 = 9;

/// The guide's custom transfer, spoken the way people speak numbers.
const REQUEST: &str = "Transfer me to plus one, five five five, triple zero, one two three four.";

/// Where the worker tells its metrics.
const METRICS: &str = "127.0.0.1:9464";

/// A header of the job.
const CAMPAIGN: &str = "X-VH-Campaign";

pub(crate) async fn transfer_me_goes_to_the_default_number(world: World) -> anyhow::Result<()> {
    let callee = PhoneSettings::callee().with_codecs(Codecs::Narrowband);
    let header = format!("{CAMPAIGN}=spring offer");
    default_transfer(&world, callee, &["--header", &header], "Transfer me.").await?;
    expect_headers(&world, "Transfer me").await
}

/// The REFER tells the carrier what the job said and why the caller comes.
async fn expect_headers(world: &World, reason: &str) -> anyhow::Result<()> {
    let refer = wire::refer(&world.capture).await?;
    let header = |name| refer.header(name).unwrap_or("no such header");
    for (name, value) in [(CAMPAIGN, "spring offer"), ("X-VH-Source", "voice-agent")] {
        ensure!(
            header(name) == value,
            "{name} of the REFER is {}",
            header(name)
        );
    }
    let said = header("X-VH-Reason");
    let share = share_understood(reason, said);
    ensure!(share >= UNDERSTOOD, "X-VH-Reason of the REFER is {said}");
    Ok(())
}

pub(crate) async fn transfer_to_a_live_agent_goes_to_the_default_number(
    world: World,
) -> anyhow::Result<()> {
    let request = "Transfer me to a live agent.";
    default_transfer(&world, PhoneSettings::callee(), &[], request).await
}

pub(crate) async fn a_refer_target_may_say_user_phone(world: World) -> anyhow::Result<()> {
    world.set("SIP_USER_PHONE", "true")?;
    world.set("PROMETHEUS_PORT", METRICS)?;
    let (live_agent, mut call) = tokio::try_join!(
        world.phone(PhoneSettings::live_agent()),
        Call::placed(&world, PhoneSettings::callee())
    )?;
    call.ask_for_transfer("Transfer me.").await?;
    let caller = Some(LIVEKIT_SIP);
    expect_transferred_by(&world, &call, &live_agent, caller, ";user=phone").await?;
    expect_counted().await
}

/// The worker, which goes on, tells Prometheus what became of its first call.
async fn expect_counted() -> anyhow::Result<()> {
    let wanted = [
        r#"voice_agent_calls_total{direction="outbound",outcome="transferred"} 1"#,
        r#"voice_agent_transfers_total{verdict="connected",cause="none"} 1"#,
        r#"voice_agent_turn_latency_seconds_count{stage="e2e"} "#,
        "voice_agent_active_calls 0",
    ];
    wait_for_condition("the transfer among the metrics", LIMIT, async || {
        let metrics = get(METRICS, "/metrics").await?;
        let missing = |line: &&str| !metrics.contains(*line);
        match wanted.iter().find(|line| missing(line)) {
            None => Ok(()),
            Some(line) => Err(Unmet::NotYet(format!("no `{line}` in:\n{metrics}"))),
        }
    })
    .await
}

pub(crate) async fn a_call_through_tls_is_transferred(mut world: World) -> anyhow::Result<()> {
    world.put_behind_tls().await?;
    default_transfer(&world, PhoneSettings::callee(), &[], "Transfer me.").await
}

async fn default_transfer(
    world: &World,
    callee: PhoneSettings,
    dialer_args: &[&str],
    request: &str,
) -> anyhow::Result<()> {
    let (live_agent, mut call) = tokio::try_join!(
        world.phone(PhoneSettings::live_agent()),
        Call::placed_with(world, callee, dialer_args)
    )?;
    call.ask_for_transfer(request).await?;
    expect_transferred(world, &call, &live_agent, Some(LIVEKIT_SIP)).await
}

pub(crate) async fn transfer_to_the_spoken_number_over_g722(world: World) -> anyhow::Result<()> {
    spoken_transfer(world, Codecs::Wideband, G722).await
}

pub(crate) async fn transfer_to_the_spoken_number_over_g711(world: World) -> anyhow::Result<()> {
    spoken_transfer(world, Codecs::Narrowband, PCMU).await
}

async fn spoken_transfer(world: World, codecs: Codecs, payload_type: u8) -> anyhow::Result<()> {
    let callee = PhoneSettings::callee().with_codecs(codecs);
    let (target, live_agent, mut call) = tokio::try_join!(
        world.phone(PhoneSettings::target()),
        world.phone(PhoneSettings::live_agent()),
        Call::placed(&world, callee)
    )?;
    call.ask_for(TARGET_NUMBER, REQUEST).await?;
    expect_transferred(&world, &call, &target, Some(LIVEKIT_SIP)).await?;
    ensure!(!live_agent.has_rung(), "the default number must not ring");
    let used = wire::payload_type(&world.capture, CALLEE).await?;
    ensure!(
        used == payload_type,
        "the callee's codec must have payload type {payload_type}, not {used}"
    );
    Ok(())
}

pub(crate) async fn without_confirmation_the_spoken_number_is_transferred_to_at_once(
    world: World,
) -> anyhow::Result<()> {
    world.set("TRANSFER_CONFIRM", "false")?;
    let (target, live_agent, mut call) = tokio::try_join!(
        world.phone(PhoneSettings::target()),
        world.phone(PhoneSettings::live_agent()),
        Call::placed(&world, PhoneSettings::callee())
    )?;
    call.ask_for_at_once(TARGET_NUMBER, REQUEST).await?;
    expect_transferred(&world, &call, &target, Some(LIVEKIT_SIP)).await?;
    ensure!(!live_agent.has_rung(), "the default number must not ring");
    Ok(())
}

pub(crate) async fn carrier_refuses_refer_603_and_the_caller_talks_on(
    world: World,
) -> anyhow::Result<()> {
    world.set("DEFAULT_TRANSFER_NUMBER", &refer_target_refused_with(603))?;
    world.set("TRANSFER_FALLBACK", "none")?;
    let world = failed_transfer(world, 603).await?;
    ensure!(
        wire::refer_answer(&world.capture).await? == 603,
        "the carrier must refuse the REFER"
    );
    Ok(())
}

pub(crate) async fn target_busy_486_and_the_caller_talks_on(world: World) -> anyhow::Result<()> {
    world.set("DEFAULT_TRANSFER_NUMBER", &number_answered_with(486))?;
    let world = failed_transfer(world, 486).await?;
    ensure!(
        wire::refer_answer(&world.capture).await? == 202,
        "the carrier must accept the REFER"
    );
    let notified = wire::notified(&world.capture).await?;
    ensure!(
        notified == [100, 486],
        "NOTIFY says {notified:?}, not 100, 486"
    );
    Ok(())
}

/// The caller hears why the transfer failed, is still understood, and hangs up when it pleases.
async fn failed_transfer(world: World, status: u16) -> anyhow::Result<World> {
    let mut call = Call::placed(&world, PhoneSettings::callee()).await?;
    let from = call.worker.events().len();
    call.ask_for_transfer("Transfer me.").await?;
    let (_, sip_status) = call.worker.transfer_failure().await?;
    ensure!(
        sip_status == Some(status),
        "the worker must know that the status was {status}, not {sip_status:?}"
    );
    let failed = call.worker.events().position_after(from, |event| {
        matches!(event, WorkerEvent::TransferFailed { .. })
    });
    let reason = call.listen(failed.unwrap_or(from)).await?;

    // The caller is still understood, and still hears the agent.
    let answer = call.tell("What can you do for me?").await?;
    ensure!(!answer.is_empty(), "the agent must talk on");
    let heard = world.transcribe(&call.leg().await?.heard).await?.join(" ");
    let share = share_understood(&reason, &heard);
    ensure!(
        share >= UNDERSTOOD,
        "of `{reason}` only {share:.2} was understood; the caller heard: {heard}"
    );

    call.phone.hang_up().await?;
    call.phone.closed(&call.id).await?;
    call.worker
        .expect(WorkerEvent::JobEnded {
            outcome: "caller hung up".to_owned(),
        })
        .await?;
    world.expect_no_rooms().await?;
    wire::expect_one_dial(&world.capture, LIVEKIT_SIP, call.phone.settings().number).await?;
    Ok(world)
}
