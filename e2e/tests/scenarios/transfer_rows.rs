//! Every way in which a transfer is known to end, and the caller is not lost in any of them.
//!
//! One call goes through several rows where it survives them: the caller asks again, and the carrier's
//! forwarded number stands for another target. That the caller is understood, and hears the agent's answer, is
//! then the proof that the audio has survived the row before.
//! `docs/transfers.md` has the same rows for people to read.

use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::{
    call::{Call, NOTICE},
    party::{
        BYE_AFTER_ACCEPTED, BYE_AFTER_TRYING, DOMAIN, FORWARDED_NUMBER, LIVE_AGENT_NUMBER,
        TARGET_NUMBER, number_answered_with, refer_target_refused_with,
    },
    phone::{Phone, PhoneSettings},
    wire::{self, Refer},
    words::{UNDERSTOOD, share_understood},
    worker::{Judgement, Verdict, WorkerEvent},
    world::World,
};

use crate::transferred::expect_talk;

const REQUEST: &str = "Transfer me.";

/// In how many turns a sentence of the agent may come out of a recording: it pauses between sentences.
const TURNS: usize = 5;

/// How long a REFER that nobody answers lives in livekit-sip (SIP timer F, RFC 3261 §17.1.2.2).
const TIMER_F: Duration = Duration::from_secs(32);

/// For the carrier: leave the REFER unanswered, or accept it and say nothing more.
const IGNORED: u16 = 0;
const ACCEPTED: u16 = 202;
const TIMED_OUT: u16 = 408;

/// A transfer that fails and leaves the caller with the agent.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// The status that fails it.
    status: u16,
    /// Part of the cause in the worker's log.
    cause: &'static str,
    /// Part of what the agent says.
    says: &'static str,
}

const fn refused(status: u16) -> Row {
    Row {
        status,
        cause: "the carrier refused to transfer",
        says: "this call cannot be transferred",
    }
}

const fn target(status: u16, cause: &'static str, says: &'static str) -> Row {
    Row {
        status,
        cause,
        says,
    }
}

/// 408 says that somebody gave up waiting, not that the REFER did not arrive; so it is no failure.
pub(crate) async fn refer_refused_403_405_407_408(world: World) -> anyhow::Result<()> {
    let mut rehearsal = Rehearsal::start(&world).await?;
    rehearsal.refused([403, 405, 407].map(refused)).await?;
    let timed_out = refer_target_refused_with(TIMED_OUT);
    let refer = rehearsal.unconfirmed(&timed_out).await?;
    ensure!(
        refer.answer == Some(TIMED_OUT),
        "the carrier was to answer 408: {refer:?}"
    );
    rehearsal.finish().await
}

pub(crate) async fn refer_refused_481_501_503_603(world: World) -> anyhow::Result<()> {
    let mut rehearsal = Rehearsal::start(&world).await?;
    rehearsal.refused([481, 501, 503, 603].map(refused)).await?;
    rehearsal.finish().await
}

pub(crate) async fn target_fails_404_480_486(world: World) -> anyhow::Result<()> {
    let mut rehearsal = Rehearsal::start(&world).await?;
    let rows = [
        target(404, "not in service", "not in service"),
        target(480, "did not answer", "nobody answered"),
        target(486, "busy", "busy"),
    ];
    rehearsal.target_fails(rows).await?;
    rehearsal.finish().await
}

/// The last two decline: the network by itself, and a person who presses the red button.
pub(crate) async fn target_fails_500_503_603_and_rejects(world: World) -> anyhow::Result<()> {
    let (live_agent, mut rehearsal) = tokio::try_join!(
        world.phone(PhoneSettings::live_agent()),
        Rehearsal::start(&world)
    )?;
    let declined = target(603, "declined", "declined");
    let rows = [
        target(500, "failed with 500", "could not be reached"),
        target(503, "failed with 503", "could not be reached"),
        declined,
    ];
    rehearsal.target_fails(rows).await?;

    let rejects = async {
        let call = live_agent.incoming().await?;
        live_agent.reject(&call).await
    };
    let (refer, ()) = tokio::try_join!(rehearsal.attempt(LIVE_AGENT_NUMBER, declined), rejects)?;
    ensure!(
        refer.answer == Some(ACCEPTED) && refer.notified == [100, 603],
        "the target was to decline: {refer:?}"
    );
    live_agent.expect_idle().await?;
    rehearsal.finish().await
}

/// The carrier ignores a REFER; a second one is not sent while the first lives; and one that is accepted and
/// never reported on ends the same way.
pub(crate) async fn refer_ignored_then_accepted_in_silence(world: World) -> anyhow::Result<()> {
    world.set("TRANSFER_RINGING_TIMEOUT", "3")?;
    // Whisper does not understand the words that follow a dial tone of three seconds at once.
    world.set("TRANSFER_HOLD_SOUND", "none")?;
    let mut rehearsal = Rehearsal::start(&world).await?;
    let ignored = rehearsal
        .unconfirmed(&refer_target_refused_with(IGNORED))
        .await?;
    ensure!(ignored.answer.is_none(), "nobody answers: {ignored:?}");

    // Told "give it half a minute", people ask sooner.
    let accepted = refer_target_refused_with(ACCEPTED);
    world.carrier.forward_to(&accepted).await?;
    let mut refused = 0;
    let judgement = loop {
        let from = rehearsal.call.worker.events().len();
        let answer = rehearsal.call.tell(REQUEST).await?;
        if answer.contains(NOTICE) {
            break rehearsal.call.worker.judgement_after(from).await?;
        }
        ensure!(
            answer.contains("earlier transfer"),
            "the agent was to refuse, not to say `{answer}`"
        );
        rehearsal.reasons.push(answer);
        refused += 1;
    };
    rehearsal.expect_unconfirmed(&judgement).await?;
    ensure!(refused > 0, "the first repetition comes too early");
    let refers = wire::refers(&world.capture).await?;
    let [first, second] = refers.as_slice() else {
        anyhow::bail!("two REFERs were to be sent, not {refers:#?}");
    };
    ensure!(
        second.at >= first.at + TIMER_F,
        "the second REFER was sent while livekit-sip still repeated the first"
    );
    ensure!(
        second.answer == Some(ACCEPTED) && second.notified.is_empty(),
        "the carrier was to accept and to say nothing more: {second:?}"
    );
    rehearsal.attempts = refers.len();
    rehearsal.finish().await
}

/// The target rings longer than the agent waits, and answers then: a REFER cannot be called back. So nobody
/// stands in for that target.
pub(crate) async fn target_rings_out_and_answers_late(world: World) -> anyhow::Result<()> {
    world.set("TRANSFER_RINGING_TIMEOUT", "3")?;
    world.set("TRANSFER_NEXT", TARGET_NUMBER)?;
    let (live_agent, mut rehearsal) = tokio::try_join!(
        world.phone(PhoneSettings::live_agent()),
        Rehearsal::start(&world)
    )?;
    let refer = rehearsal.unconfirmed(LIVE_AGENT_NUMBER).await?;
    ensure!(
        refer.answer == Some(ACCEPTED) && refer.notified == [100],
        "the target was to ring, no more: {refer:?}"
    );
    // The caller talks on while the target rings.
    rehearsal.call.phone.turn_to(&rehearsal.call.id).await?;
    rehearsal.call.tell("What can you do for me?").await?;

    let ringing = live_agent.incoming().await?;
    live_agent.answer(&ringing).await?;
    let phone = &rehearsal.call.phone;
    let referred = phone.referred_to(FORWARDED_NUMBER).await?;
    phone.hang_up_call(&rehearsal.call.id).await?;
    rehearsal.hung_up().await?;
    let phone = &rehearsal.call.phone;
    expect_talk(phone, 1, &live_agent, 0).await?;

    live_agent.hang_up().await?;
    phone.closed(&referred).await?;
    live_agent.expect_idle().await?;
    rehearsal.expect_heard().await
}

/// The carrier accepts the REFER and cuts the call without having said what became of the target, as
/// back-to-back user agents do. LiveKit calls that a success.
pub(crate) async fn carrier_says_bye_before_the_final_notify(world: World) -> anyhow::Result<()> {
    let mut rehearsal = Rehearsal::start(&world).await?;
    for (n, target, notified) in [
        (1, BYE_AFTER_ACCEPTED, [].as_slice()),
        (2, BYE_AFTER_TRYING, &[100]),
    ] {
        world.carrier.forward_to(target).await?;
        let from = rehearsal.call.worker.events().len();
        rehearsal.call.ask_for_transfer(REQUEST).await?;
        let judgement = rehearsal.call.worker.judgement_after(from).await?;
        ensure!(
            judgement.verdict == Verdict::Unconfirmed,
            "nobody knows whether {target} answered: {judgement:?}"
        );
        rehearsal.call.phone.closed(&rehearsal.call.id).await?;
        let outcome = rehearsal.call.worker.job_outcome_after(from).await?;
        ensure!(
            outcome.contains("unconfirmed"),
            "the job must not end as `{outcome}`"
        );
        rehearsal.attempts += 1;
        let refer = rehearsal.latest_refer().await?;
        // The phone reports that its dial failed to a dialog that is over.
        ensure!(
            refer.answer == Some(ACCEPTED) && refer.notified.starts_with(notified),
            "the carrier was to accept the REFER and to notify {notified:?}: {refer:?}"
        );
        world.expect_no_rooms().await?;
        rehearsal.call.phone.expect_idle().await?;
        if n == 1 {
            rehearsal.call = rehearsal.call.again(&world, n).await?;
        }
    }
    Ok(())
}

/// The caller hangs up before the transfer, while the agent gives notice of it, and in the very moment of it.
pub(crate) async fn caller_hangs_up_before_the_refer(world: World) -> anyhow::Result<()> {
    let (live_agent, mut rehearsal) = tokio::try_join!(
        world.phone(PhoneSettings::live_agent()),
        Rehearsal::start(&world)
    )?;
    world.carrier.forward_to(LIVE_AGENT_NUMBER).await?;
    rehearsal
        .call
        .phone
        .hang_up_call(&rehearsal.call.id)
        .await?;
    rehearsal.hung_up().await?;

    rehearsal.call = rehearsal.call.again(&world, 1).await?;
    rehearsal.call.phone.say(REQUEST).await?;
    rehearsal
        .call
        .worker
        .find("the notice", |event| {
            matches!(event, WorkerEvent::Says { text } if text.contains(NOTICE)).then_some(())
        })
        .await?;
    rehearsal
        .call
        .phone
        .hang_up_call(&rehearsal.call.id)
        .await?;
    rehearsal.hung_up().await?;
    let refers = wire::refers(&world.capture).await?;
    ensure!(refers.is_empty(), "nobody is left to refer: {refers:?}");
    ensure!(!live_agent.has_rung(), "nobody is left to talk to");

    rehearsal.call = rehearsal.call.again(&world, 2).await?;
    let from = rehearsal.call.worker.events().len();
    rehearsal.call.phone.say(REQUEST).await?;
    rehearsal
        .call
        .worker
        .expect(WorkerEvent::Transferring)
        .await?;
    let phone = &rehearsal.call.phone;
    phone.hang_up_call(&rehearsal.call.id).await?;
    phone.closed(&rehearsal.call.id).await?;
    let outcome = rehearsal.call.worker.job_outcome_after(from).await?;
    // Which of the two comes first is not ours to say; that it is no success is.
    ensure!(
        outcome == "caller hung up" || outcome.contains("unconfirmed"),
        "the job must not end as `{outcome}`"
    );
    let refers = wire::refers(&world.capture).await?;
    ensure!(refers.len() <= 1, "one REFER at most: {refers:?}");
    world.expect_no_rooms().await
}

/// The caller hangs up while the target rings: the call with the agent, or only that with the target.
pub(crate) async fn caller_hangs_up_while_the_target_rings(world: World) -> anyhow::Result<()> {
    let (live_agent, mut rehearsal) = tokio::try_join!(
        world.phone(PhoneSettings::live_agent()),
        Rehearsal::start(&world)
    )?;
    // Only that with the target: the caller is back.
    let gives_up = async |phone: &Phone| {
        live_agent.incoming().await?;
        let consultation = phone.referred_ringing(FORWARDED_NUMBER).await?;
        phone.hang_up_call(&consultation).await
    };
    world.carrier.forward_to(LIVE_AGENT_NUMBER).await?;
    let from = rehearsal.call.worker.events().len();
    rehearsal.call.ask_for_transfer(REQUEST).await?;
    gives_up(&rehearsal.call.phone).await?;
    let judgement = rehearsal.call.worker.judgement_after(from).await?;
    let back = Row {
        status: 487,
        cause: "the caller cancelled",
        says: "back with me",
    };
    let refer = rehearsal.expect_failed(&judgement, back).await?;
    ensure!(
        refer.notified == [100, 487],
        "the target was to be cancelled: {refer:?}"
    );
    live_agent.expect_idle().await?;

    // The call with the agent: the caller's phone goes on with the target alone.
    let (rung, from) = (
        live_agent.events().len(),
        rehearsal.call.worker.events().len(),
    );
    rehearsal.call.ask_for_transfer(REQUEST).await?;
    let ringing = live_agent.incoming_after(rung).await?;
    rehearsal
        .call
        .phone
        .hang_up_call(&rehearsal.call.id)
        .await?;
    let judgement = rehearsal.call.worker.judgement_after(from).await?;
    // The phone's last NOTIFY (487) and its BYE race each other.
    ensure!(
        judgement.verdict != Verdict::Connected,
        "nobody can know of the target: {judgement:?}"
    );
    let outcome = match judgement.verdict {
        Verdict::Failed => "caller hung up",
        Verdict::Connected | Verdict::Unconfirmed => "unconfirmed",
    };
    rehearsal.ended_as(outcome).await?;
    rehearsal.attempts += 1;
    rehearsal.latest_refer().await?;
    live_agent.answer(&ringing).await?;
    let phone = &rehearsal.call.phone;
    expect_talk(phone, 1, &live_agent, 0).await?;
    live_agent.hang_up().await?;
    phone.expect_idle().await?;
    live_agent.expect_idle().await?;
    rehearsal.expect_heard().await
}

/// A call in which the caller asks to be transferred again and again.
struct Rehearsal<'a> {
    world: &'a World,
    call: Call,
    /// How many REFERs LiveKit was to send.
    attempts: usize,
    /// What the agent said about the attempts that the caller survived, in order.
    reasons: Vec<String>,
}

impl<'a> Rehearsal<'a> {
    /// Has the agent call the callee; the default number is the one that is forwarded.
    async fn start(world: &'a World) -> anyhow::Result<Self> {
        world.set("DEFAULT_TRANSFER_NUMBER", FORWARDED_NUMBER)?;
        world.set("TRANSFER_FALLBACK", "none")?;
        world.set("TRANSFER_MAX_PER_CALL", "20")?;
        let call = Call::placed(world, PhoneSettings::callee()).await?;
        Ok(Self {
            world,
            call,
            attempts: 0,
            reasons: Vec::new(),
        })
    }

    /// Has the caller ask for the transfer to `target`, which fails as `row` says. Returns the one REFER.
    async fn attempt(&mut self, target: &str, row: Row) -> anyhow::Result<Refer> {
        self.world.carrier.forward_to(target).await?;
        let from = self.call.worker.events().len();
        self.call.ask_for_transfer(REQUEST).await?;
        let judgement = self.call.worker.judgement_after(from).await?;
        self.expect_failed(&judgement, row).await
    }

    /// The carrier refuses a REFER, in one row after the other.
    async fn refused<const N: usize>(&mut self, rows: [Row; N]) -> anyhow::Result<()> {
        for row in rows {
            let target = refer_target_refused_with(row.status);
            let refer = self.attempt(&target, row).await?;
            ensure!(
                refer.answer == Some(row.status) && refer.notified.is_empty(),
                "the carrier was to refuse the REFER with {}: {refer:?}",
                row.status
            );
        }
        Ok(())
    }

    /// The carrier calls the target, which fails, in one row after the other.
    async fn target_fails<const N: usize>(&mut self, rows: [Row; N]) -> anyhow::Result<()> {
        for row in rows {
            let target = number_answered_with(row.status);
            let refer = self.attempt(&target, row).await?;
            ensure!(
                refer.answer == Some(ACCEPTED) && refer.notified == [100, row.status],
                "the REFER was to be accepted and the target to fail with {}: {refer:?}",
                row.status
            );
        }
        Ok(())
    }

    /// Has the caller ask for the transfer to `target`, of which nobody says how it ended.
    async fn unconfirmed(&mut self, target: &str) -> anyhow::Result<Refer> {
        self.world.carrier.forward_to(target).await?;
        let from = self.call.worker.events().len();
        self.call.ask_for_transfer(REQUEST).await?;
        let judgement = self.call.worker.judgement_after(from).await?;
        self.expect_unconfirmed(&judgement).await?;
        self.attempts += 1;
        self.latest_refer().await
    }

    async fn expect_failed(&mut self, judgement: &Judgement, row: Row) -> anyhow::Result<Refer> {
        ensure!(
            judgement.verdict == Verdict::Failed
                && judgement.sip_status == Some(row.status)
                && judgement.cause.contains(row.cause),
            "the verdict was to be a failure with {row:?}, not {judgement:?}"
        );
        self.listen_to_reason(judgement.at, row.says).await?;
        self.attempts += 1;
        self.latest_refer().await
    }

    async fn expect_unconfirmed(&mut self, judgement: &Judgement) -> anyhow::Result<()> {
        ensure!(
            judgement.verdict == Verdict::Unconfirmed,
            "nobody knows how this ended: {judgement:?}"
        );
        self.listen_to_reason(judgement.at, "could not confirm")
            .await
    }

    async fn listen_to_reason(&mut self, from: usize, says: &str) -> anyhow::Result<()> {
        let reason = self.call.listen(from).await?;
        ensure!(
            reason.contains(says),
            "the agent was to say `{says}`, not `{reason}`"
        );
        self.reasons.push(reason);
        Ok(())
    }

    /// The latest REFER. Each attempt sends one, for the default number.
    async fn latest_refer(&self) -> anyhow::Result<Refer> {
        let refers = wire::refers(&self.world.capture).await?;
        ensure!(
            refers.len() == self.attempts,
            "one REFER for each of {} attempts: {refers:#?}",
            self.attempts
        );
        let latest = refers.last().context("an attempt sends a REFER")?;
        ensure!(
            latest.target == format!("<sip:{FORWARDED_NUMBER}@{DOMAIN}>"),
            "the REFER named {}",
            latest.target
        );
        Ok(latest.clone())
    }

    /// The caller is still understood and hears the answer, hangs up, and nobody is forgotten.
    async fn finish(mut self) -> anyhow::Result<()> {
        self.call.tell("What can you do for me?").await?;
        self.call.phone.hang_up_call(&self.call.id).await?;
        self.hung_up().await?;
        self.latest_refer().await?;
        self.call.phone.expect_idle().await?;
        self.expect_heard().await
    }

    /// The worker knows that the caller hung up, and no room is left.
    async fn hung_up(&self) -> anyhow::Result<()> {
        self.ended_as("caller hung up").await
    }

    async fn ended_as(&self, expected: &str) -> anyhow::Result<()> {
        self.call.phone.closed(&self.call.id).await?;
        let outcome = self.call.worker.job_outcome_after(self.call.since).await?;
        ensure!(
            outcome.contains(expected),
            "the job must not end as `{outcome}`"
        );
        self.world.expect_no_rooms().await
    }

    /// Every reason was understood, in order, in what the caller's phone has recorded.
    async fn expect_heard(&self) -> anyhow::Result<()> {
        let heard = self.world.transcribe(&self.call.leg().await?.heard).await?;
        let mut rest = heard.as_slice();
        for reason in &self.reasons {
            let share = |turns: &[String]| share_understood(reason, &turns.join(" "));
            // The one that ends first: the same sentence may come again.
            let found = (1..=rest.len())
                .flat_map(|end| (end.saturating_sub(TURNS)..end).map(move |start| (start, end)))
                .find(|&(start, end)| share(&rest[start..end]) >= UNDERSTOOD);
            let (_, end) = found.with_context(|| {
                format!("`{reason}` was not understood in {rest:#?}, the end of {heard:#?}")
            })?;
            rest = &rest[end..];
        }
        Ok(())
    }
}
