//! `dialer --wait`: what it shows while the call goes on, and its exit code for each outcome.

use anyhow::{Context, ensure};
use e2e::{
    call::Call,
    party::{CALLEE_NUMBER, LIVEKIT_SIP, number_answered_with},
    phone::PhoneSettings,
    tool::Output,
    wire,
    world::World,
};
use serde_json::Value;

use crate::transferred::expect_transferred;

pub(crate) async fn wait_shows_a_call_to_its_transfer(world: World) -> anyhow::Result<()> {
    let (live_agent, callee, worker) = tokio::try_join!(
        world.phone(PhoneSettings::live_agent()),
        world.phone(PhoneSettings::callee()),
        async {
            world.trunk().await?;
            world.worker().await
        }
    )?;
    let conversation = async {
        let id = callee.incoming().await?;
        callee.answer(&id).await?;
        let mut call = Call::answered(worker, callee, id).await?;
        call.ask_for_transfer("Transfer me.").await?;
        expect_transferred(&world, &call, &live_agent, Some(LIVEKIT_SIP)).await
    };
    let (output, ()) = tokio::try_join!(
        world.run("dialer", &["--wait", "--json", "--to", CALLEE_NUMBER]),
        conversation
    )?;
    let output = output.expect_code(0)?;

    let lines = lines(&output)?;
    // The agent joins while the phone rings, which this one does for a few milliseconds.
    let steps: Vec<_> = lines
        .iter()
        .filter_map(|line| line["event"].as_str())
        .filter(|event| !matches!(*event, "agent_joined" | "ringing"))
        .collect();
    ensure!(
        steps == ["dispatched", "answered", "transferring", "ended"],
        "the dialer saw {steps:?}: {output}"
    );
    let end = lines.last().context("the outcome is the last line")?;
    ensure!(
        end["outcome"] == "transferred" && end["exit_code"] == 0,
        "the call was transferred: {output}"
    );
    Ok(())
}

pub(crate) async fn wait_has_an_exit_code_for_each_outcome(world: World) -> anyhow::Result<()> {
    world.set("DIAL_RINGING_TIMEOUT", "3")?;
    world.trunk().await?;
    let (callee, mut worker) =
        tokio::try_join!(world.phone(PhoneSettings::callee()), world.worker())?;

    for (status, code, line) in [
        (486, 11, "ended: the callee is busy"),
        (603, 12, "ended: the callee declined the call"),
        (404, 13, "ended: the number is not in service"),
        (480, 14, "ended: the callee cannot be reached now"),
        (
            403,
            15,
            "ended: the carrier refused the call with 403 Forbidden",
        ),
        (
            503,
            16,
            "ended: the carrier failed with 503 Service Unavailable",
        ),
    ] {
        let number = number_answered_with(status);
        let output = expect_end(&world, &number, code, line).await?;
        output.expect_text("agent joined")?;
        wire::expect_one_dial(&world.capture, LIVEKIT_SIP, &number).await?;
    }

    let output = expect_end(&world, CALLEE_NUMBER, 10, "ended: nobody answered").await?;
    output.expect_text("ringing")?;
    ensure!(callee.has_rung(), "the callee's phone must ring");

    world.set("VOBIZ_PASSWORD", "wrong")?;
    world.trunk().await?;
    let line = "ended: the carrier refused the trunk's credentials";
    let output = expect_end(&world, CALLEE_NUMBER, 15, line).await?;
    output.expect_text("hint: check VOBIZ_USERNAME")?;

    worker.kill().await?;
    world
        .run(
            "dialer",
            &["--wait", "--worker-timeout", "3", "--to", CALLEE_NUMBER],
        )
        .await?
        .expect_code(5)?
        .expect_text("no worker")?;
    world.expect_no_rooms().await
}

pub(crate) async fn wait_hangs_up_a_call_whose_agent_is_gone_for_good(
    world: World,
) -> anyhow::Result<()> {
    let (callee, mut worker) = tokio::try_join!(world.phone(PhoneSettings::callee()), async {
        world.trunk().await?;
        world.worker().await
    })?;
    let conversation = async {
        let id = callee.incoming().await?;
        callee.answer(&id).await?;
        worker.spoken_after(0).await?;
        worker.kill().await?;
        anyhow::Ok(id)
    };
    let (output, id) = tokio::try_join!(
        world.run(
            "dialer",
            &["--wait", "--worker-timeout", "3", "--to", CALLEE_NUMBER]
        ),
        conversation
    )?;
    let output = output.expect_code(20)?;
    for line in ["agent vanished", "dispatched again", "hanging up", "ended:"] {
        output.expect_text(line)?;
    }
    callee.closed(&id).await?;
    wire::expect_one_dial(&world.capture, LIVEKIT_SIP, CALLEE_NUMBER).await?;
    world.expect_no_rooms().await
}

/// Calls `number`, waits, and checks exit code and last line.
async fn expect_end(
    world: &World,
    number: &str,
    code: i32,
    last_line: &str,
) -> anyhow::Result<Output> {
    let output = world.run("dialer", &["--wait", "--to", number]).await?;
    let output = output.expect_code(code)?;
    ensure!(
        output
            .stdout
            .lines()
            .last()
            .is_some_and(|line| line.ends_with(last_line)),
        "the last line must be `{last_line}`: {output}"
    );
    Ok(output)
}

fn lines(output: &Output) -> anyhow::Result<Vec<Value>> {
    let lines = output.stdout.lines().map(serde_json::from_str);
    lines
        .collect::<Result<_, _>>()
        .with_context(|| format!("each line is a JSON object: {output}"))
}
