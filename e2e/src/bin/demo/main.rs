//! The main job as a live view: the agent dials a person through a carrier, is told a number, reads it back,
//! sends a REFER, and the transfer target's phone rings and answers.
//!
//! Ends with a verdict and the places of recording, transcript, ladder and capture. Exit status 0 only if the
//! target answered and audio was proved in both directions.

mod recording;
mod screen;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use e2e::{
    binaries::runs_dir,
    call::Call,
    namespace,
    party::{CALLEE, CALLEE_NUMBER, DOMAIN, LIVEKIT_SIP, TARGET, TARGET_NUMBER},
    phone::{Phone, PhoneSettings},
    sip::SipMessage,
    wire,
    world::World,
};
use screen::{Screen, Who};

/// How the person asks; the guide's number as people speak it.
const REQUEST: &str = "Transfer me to plus one, five five five, triple zero, one two three four.";

fn main() -> anyhow::Result<ExitCode> {
    if namespace::is_inside() {
        let dir = env::args_os()
            .nth(1)
            .context("the outer process gives a folder")?;
        return Ok(inner(&PathBuf::from(dir)));
    }
    let dir = runs_dir()?.join("demo");
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let mut child = namespace::command([&dir])?
        .spawn()
        .context("cannot start `unshare`")?;
    // The run ends when this closes, and `Child::wait` would close it.
    let lifeline = child.stdin.take();
    let status = child.wait()?;
    drop(lifeline);
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[tokio::main]
async fn inner(dir: &Path) -> ExitCode {
    let screen = Arc::new(Screen::new());
    let outcome = run(dir, &screen).await;
    let verdict = match &outcome {
        Ok(steps) => {
            screen.steps(steps);
            Ok("the target answered, and caller and target hear each other")
        }
        Err(error) => Err(format!("{error:#}")),
    };
    screen.verdict(verdict, dir);
    if outcome.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How long one step took.
struct Step {
    what: &'static str,
    took: Duration,
}

async fn run(dir: &Path, screen: &Arc<Screen>) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut since = Instant::now();
    let mut step = |what, since: &mut Instant| {
        steps.push(Step {
            what,
            took: since.elapsed(),
        });
        *since = Instant::now();
    };

    screen.line(
        Who::Demo,
        "starting Redis, livekit-server, livekit-sip, the carrier, a capture",
    );
    namespace::enter(dir)?;
    let world = World::start(dir).await?;
    step("servers, carrier and capture are up", &mut since);

    run_tool(&world, screen, "trunk-setup", &["--write-env"]).await?;
    step("trunk-setup", &mut since);

    screen.line(Who::Demo, "starting two phones and `voice-agent start`");
    let (person, target, worker) = tokio::try_join!(
        world.phone(PhoneSettings::callee()),
        world.phone(PhoneSettings::target()),
        world.worker()
    )?;
    step("phones and worker are registered", &mut since);

    screen.ladder_heading();
    let followers = screen::follow(screen, &world, &worker, &person, dir)?;
    let answered = async {
        let id = person
            .incoming()
            .await
            .context("the person's phone must ring")?;
        person.answer(&id).await?;
        anyhow::Ok(id)
    };
    // People pick up before the dialer has said that somebody will call them.
    let dialer = run_tool(&world, screen, "dialer", &["--to", CALLEE_NUMBER]);
    let ((), id) = tokio::try_join!(dialer, answered)?;
    step("dialer, and the person answers", &mut since);
    let mut call = Call::answered(worker, person, id).await?;
    step("answered → end of the greeting", &mut since);
    call.ask_for(TARGET_NUMBER, REQUEST).await?;
    step("request, read-back, yes, notice", &mut since);

    let ringing = target
        .incoming()
        .await
        .context("the target's phone must ring")?;
    step("end of the notice → the target's phone rings", &mut since);
    target.answer(&ringing).await?;
    call.phone.referred_to(TARGET_NUMBER).await?;
    call.phone.closed(&call.id).await?;
    step("target answers → the agent's leg is gone", &mut since);

    prove_audio(screen, &call, &target).await?;
    step("audio proved both ways", &mut since);

    let refer_to = wire::refer_target(&world.capture).await?;
    ensure!(
        refer_to == format!("<sip:{TARGET_NUMBER}@{DOMAIN}>"),
        "the REFER named {refer_to}"
    );
    wire::expect_one_dial(&world.capture, LIVEKIT_SIP, CALLEE_NUMBER).await?;
    on_the_wire(&world, &mut steps);

    target
        .say("Good morning, this is the help desk. How can I help you?")
        .await?;
    target.hang_up().await?;
    world.expect_no_rooms().await?;
    screen.line(Who::Demo, "everybody has hung up, no room is left");
    drop(followers);
    recording::write(&dir.join("recording.wav"), &call.phone).await?;
    Ok(steps)
}

async fn run_tool(world: &World, screen: &Screen, tool: &str, args: &[&str]) -> anyhow::Result<()> {
    screen.line(Who::Demo, &format!("$ {tool} {}", args.join(" ")));
    let output = world.run(tool, args).await?.expect_success()?;
    for line in output.stdout.lines() {
        screen.line(Who::Tool, line);
    }
    Ok(())
}

/// The target's tone in the person's ear, and the person's in the target's.
async fn prove_audio(screen: &Screen, call: &Call, target: &Phone) -> anyhow::Result<()> {
    let (near, far) = tokio::try_join!(call.phone.leg(1), target.leg(0))?;
    tokio::try_join!(call.phone.hum(), target.hum())?;
    let theirs = target.settings().pilot.narrow;
    let level = near
        .heard
        .wait_for_tone(theirs)
        .await
        .context("the person must hear the target")?;
    screen.line(
        Who::Demo,
        &format!("the person hears the target: its {theirs} Hz tone at {level:.0} dB"),
    );
    let ours = call.phone.settings().pilot.narrow;
    let level = far
        .heard
        .wait_for_tone(ours)
        .await
        .context("the target must hear the person")?;
    screen.line(
        Who::Demo,
        &format!("the target hears the person: its {ours} Hz tone at {level:.0} dB"),
    );
    Ok(())
}

/// Adds the times that only the capture knows.
fn on_the_wire(world: &World, steps: &mut Vec<Step>) {
    let first = |is_it: &dyn Fn(&SipMessage) -> bool| {
        world
            .capture
            .messages()
            .all(|message| is_it(message).then_some(message.at))
            .first()
            .copied()
    };
    let refer = first(&|m| m.from == LIVEKIT_SIP && m.request() == Some("REFER"));
    let ringing = first(&|m| m.from == TARGET && m.response_to("INVITE") == Some(180));
    let invite = first(&|m| m.from == LIVEKIT_SIP && m.is_request_to("INVITE", CALLEE_NUMBER));
    let rings = first(&|m| m.from == CALLEE && m.response_to("INVITE") == Some(180));
    for (what, from, to) in [
        ("wire: INVITE → 180 Ringing", invite, rings),
        ("wire: REFER → 180 Ringing", refer, ringing),
    ] {
        if let (Some(from), Some(to)) = (from, to) {
            steps.push(Step {
                what,
                took: to.saturating_sub(from),
            });
        }
    }
}
