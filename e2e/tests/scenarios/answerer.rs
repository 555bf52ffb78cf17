//! A machine picks up instead of the callee.

use anyhow::ensure;
use e2e::{
    call::Call,
    party::CALLEE_NUMBER,
    phone::{CallId, Phone, PhoneSettings},
    tool::Output,
    words::{UNDERSTOOD, share_understood},
    worker::{Worker, WorkerEvent},
    world::World,
};

const GREETING: &str =
    "You have reached the voicemail of John Miller. Please leave a message after the tone.";
const FULL: &str = "The mailbox is full and cannot accept any messages.";
const SCREENER: &str =
    "If you record your name and reason for calling, I will see if this person is available.";

const MESSAGE: &str = "This is Ada of Example Travel. Your tickets are ready. Please call us back.";

pub(crate) async fn voicemail_gets_the_message_after_its_tone(world: World) -> anyhow::Result<()> {
    let (worker, phone) = start(&world).await?;
    let (greeting, full) = (phone.rehearse(GREETING).await?, phone.rehearse(FULL).await?);
    let mailbox = async {
        pick_up(&phone, 0).await?;
        phone.recite(&greeting).await?;
        phone.beep().await?;
        let before = worker.events().entries();
        ensure!(
            !before.iter().any(is_said),
            "the agent was to wait for the tone: {before:?}"
        );
        anyhow::Ok(())
    };
    let (output, ()) = tokio::try_join!(dial(&world), mailbox)?;
    output
        .expect_code(24)?
        .expect_text("ended: voicemail answered; the message was left")?;

    let heard = world.transcribe(&phone.leg(0).await?.heard).await?;
    let share = share_understood(MESSAGE, &heard.join(" "));
    ensure!(share >= UNDERSTOOD, "the box recorded {heard:?}: {share}");

    // Another day.
    let rung = phone.events().len();
    let mailbox = async {
        pick_up(&phone, rung).await?;
        phone.recite(&full).await
    };
    let (output, ()) = tokio::try_join!(dial(&world), mailbox)?;
    output
        .expect_code(23)?
        .expect_text("ended: a machine answered")?;
    phone.expect_idle().await?;
    world.expect_no_rooms().await
}

pub(crate) async fn a_call_screener_is_answered_and_then_the_person(
    world: World,
) -> anyhow::Result<()> {
    let (worker, phone) = start(&world).await?;
    let screener = phone.rehearse(SCREENER).await?;
    let person = async {
        let id = pick_up(&phone, 0).await?;
        phone.recite(&screener).await?;
        let mut call = Call::answered(worker, phone, id).await?;
        ensure!(
            call.said == ["This is Ada, calling for the owner of this number."],
            "the screener was to be told who calls: {:?}",
            call.said
        );
        let greeting = call.tell("Hello?").await?;
        ensure!(
            greeting.contains("How can I help"),
            "whoever takes the call is greeted, not told `{greeting}`"
        );
        call.phone.hang_up_call(&call.id).await?;
        call.phone.expect_idle().await
    };
    let (output, ()) = tokio::try_join!(dial(&world), person)?;
    output.expect_code(0)?;
    world.expect_no_rooms().await
}

/// A worker that leaves messages, and the callee's phone.
async fn start(world: &World) -> anyhow::Result<(Worker, Phone)> {
    world.behave(&format!("[voicemail]\nmessage = \"{MESSAGE}\"\n"))?;
    let worker = async {
        world.trunk().await?;
        world.worker().await
    };
    tokio::try_join!(worker, world.phone(PhoneSettings::callee()))
}

async fn pick_up(phone: &Phone, rung: usize) -> anyhow::Result<CallId> {
    let id = phone.incoming_after(rung).await?;
    phone.answer(&id).await?;
    Ok(id)
}

async fn dial(world: &World) -> anyhow::Result<Output> {
    world
        .run("dialer", &["--wait", "--to", CALLEE_NUMBER])
        .await
}

fn is_said(event: &WorkerEvent) -> bool {
    matches!(event, WorkerEvent::Says { .. })
}
