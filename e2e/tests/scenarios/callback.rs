//! The end of the ladder: nobody could be reached, and the caller wants to be called back.

use std::fs;

use anyhow::{Context, ensure};
use e2e::{
    call::Call,
    party::{CALLEE_NUMBER, number_answered_with},
    phone::PhoneSettings,
    words::{UNDERSTOOD, share_understood},
    worker::WorkerEvent,
    world::World,
};
use serde_json::Value;

const MESSAGE: &str = "Please call me tomorrow morning about my order.";

pub(crate) async fn who_could_not_be_reached_is_asked_to_call_back(
    world: World,
) -> anyhow::Result<()> {
    let busy = number_answered_with(486);
    let notes = world.dir().join("callbacks.jsonl");
    world.set("DEFAULT_TRANSFER_NUMBER", &busy)?;
    world.set("TRANSFER_FALLBACK", "none")?;
    world.set("CALLBACK_FILE", &notes.display().to_string())?;
    let mut call = Call::placed(&world, PhoneSettings::callee()).await?;
    ensure!(
        fs::read_to_string(&notes)?.is_empty(),
        "the worker makes the file, and writes nothing yet"
    );

    call.ask_for_transfer("Transfer me.").await?;
    call.worker.transfer_failure().await?;
    let failed = call.worker.events().position_after(0, |event| {
        matches!(event, WorkerEvent::TransferFailed { .. })
    });
    let offer = call.listen(failed.unwrap_or_default()).await?;
    ensure!(
        offer.contains("busy") && offer.contains("call you back"),
        "the agent offers a call back: {offer}"
    );
    let question = call.tell("Yes, please.").await?;
    ensure!(question.contains("tell them"), "the question: {question}");
    let noted = call.tell(MESSAGE).await?;
    ensure!(noted.contains("I have noted"), "the confirmation: {noted}");

    let lines = fs::read_to_string(&notes)?;
    let [line] = lines.lines().collect::<Vec<_>>()[..] else {
        anyhow::bail!("one note was to be kept, not {lines}");
    };
    let note: Value = serde_json::from_str(line).context("a note is JSON")?;
    let field = |name: &str| note[name].as_str().unwrap_or_default();
    ensure!(field("caller") == CALLEE_NUMBER, "caller: {note}");
    ensure!(field("wanted") == busy, "wanted: {note}");
    ensure!(
        field("cause") == "the transfer target is busy",
        "cause: {note}"
    );
    ensure!(
        field("room").starts_with("call-"),
        "the room, by which the logs are found: {note}"
    );
    ensure!(
        field("time").ends_with('Z') && field("time").contains('T'),
        "time: {note}"
    );
    let share = share_understood(MESSAGE, field("message"));
    ensure!(share >= UNDERSTOOD, "message: {note}");

    call.phone.hang_up().await?;
    call.worker
        .expect(WorkerEvent::JobEnded {
            outcome: "caller hung up".to_owned(),
        })
        .await?;
    world.expect_no_rooms().await
}
