//! Measures conversations with our agent and with the Python one, one after the other in the same telephone world with
//! the same providers; `cargo xtask bench conversation` runs it and makes the table.
//!
//! Prints one JSON object for each figure, and what it does in between.

#![expect(clippy::print_stdout, reason = "this is the program's output")]

mod capacity;
mod conversation;
mod lateness;
mod turn;
mod vendor;

use std::{
    env, fs,
    path::Path,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::{Context, bail};
use e2e::{
    contestant::Contestant,
    handset::{Handset, Handsets},
    livekit_server::{API_KEY, API_SECRET, URL},
    namespace,
    party::handset_number,
    world::World,
};
use livekit_api::services::room::RoomClient;
use serde::Serialize;

use crate::vendor::{GREETING, Vendor};

/// Turns of a conversation when nothing else is wanted.
const TURNS: usize = 20;

/// Fewer are not measured: a 95th percentile of less means nothing.
const FEWEST_TURNS: usize = 12;

/// How our agent behaves: nothing that the Python one does not do.
const BEHAVIOUR: &str = "filler = \"\"\nspeak_first = true\n[timings]\nsilence = 300\n";

/// How long a call may take to be there; a Python job starts a process.
const CALL_LIMIT: Duration = Duration::from_secs(15);

/// How often it is tried.
const ATTEMPTS: u32 = 3;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Who {
    Ours,
    Python,
}

impl Who {
    async fn start(self, world: &World) -> anyhow::Result<Contestant> {
        match self {
            Self::Ours => Contestant::ours(world).await,
            Self::Python => Contestant::python(world).await,
        }
    }
}

#[derive(Serialize)]
struct Figure {
    who: Who,
    figure: &'static str,
    value: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Options {
    turns: usize,
    capacity: bool,
}

impl Options {
    fn parse(args: &[String]) -> anyhow::Result<Self> {
        let mut options = Self {
            turns: TURNS,
            capacity: true,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--turns" => {
                    let turns = args.next().context("--turns needs a number")?;
                    options.turns = turns.parse().context("--turns needs a number")?;
                }
                "--no-capacity" => options.capacity = false,
                other => bail!("there is no option `{other}`"),
            }
        }
        if options.turns < FEWEST_TURNS {
            bail!(
                "at least {FEWEST_TURNS} turns are needed, not {}",
                options.turns
            );
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    let args: Vec<_> = env::args().skip(1).collect();
    let outcome = namespace::run_inside("conversation-", &args, async |dir, args| {
        measure(dir, Options::parse(args)?).await
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(dir: &Path, options: Options) -> anyhow::Result<()> {
    let world = World::start(dir).await?;
    world.trunk().await?;
    let mut line = Line {
        vendor: Vendor::start(world.voices()).await?,
        handsets: Handsets::start().await?,
        rooms: RoomClient::with_api_key(URL, API_KEY, API_SECRET),
        world,
    };
    line.prepare()?;
    for who in [Who::Ours, Who::Python] {
        conversation::measure(&mut line, who, options.turns).await?;
    }
    if options.capacity {
        line.vendor.speak_without_end();
        for who in [Who::Ours, Who::Python] {
            capacity::measure(&mut line, who).await?;
        }
    }
    Ok(())
}

/// The world with its providers and its phones.
struct Line {
    world: World,
    vendor: Vendor,
    handsets: Handsets,
    rooms: RoomClient,
}

impl Line {
    /// Writes the settings of both agents.
    fn prepare(&self) -> anyhow::Result<()> {
        let greeting = format!("greeting = \"{GREETING}\"\n");
        self.world.behave(&(greeting + BEHAVIOUR))?;
        // Nobody stands in for a provider that is slow because the machine is full: the Python agent has no models.
        let models = self.world.dir().join("no-models");
        fs::create_dir(&models).with_context(|| format!("cannot create {}", models.display()))?;
        self.world
            .set("SPEECH_MODELS_DIR", &models.display().to_string())?;
        self.world.set("GREETING", GREETING)?;
        self.vendor.serve(&self.world)
    }

    /// Has the agent call the `n`th handset, which answers.
    ///
    /// A dispatch that nobody takes is made again in another room: livekit-server can miss a worker that has just
    /// taken the place of another one.
    async fn call(&mut self, n: u16) -> anyhow::Result<Handset> {
        let number = handset_number(n);
        let metadata = format!(r#"{{"phone_number":"{number}"}}"#);
        let mut attempt = 1;
        loop {
            let room = format!("bench-{}", since_epoch()?.as_micros());
            self.world.dispatch(&room, &metadata).await?;
            match self.handsets.next(CALL_LIMIT).await {
                Ok(handset) => return Ok(handset),
                Err(_) if attempt < ATTEMPTS => self.rooms.delete_room(&room).await?,
                Err(error) => {
                    return Err(error.context(format!("the agent must call {number}")));
                }
            }
            attempt += 1;
        }
    }

    /// Ends all calls.
    async fn hang_up(&self) -> anyhow::Result<()> {
        for room in self.rooms.list_rooms(Vec::new()).await? {
            self.rooms.delete_room(&room.name).await?;
        }
        self.world.expect_no_rooms().await
    }
}

fn since_epoch() -> anyhow::Result<Duration> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn print(who: Who, figure: &'static str, value: f64) -> anyhow::Result<()> {
    let figure = Figure { who, figure, value };
    println!("{}", serde_json::to_string(&figure)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_turns_are_refused() {
        let parse = |args: &[&str]| {
            let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
            Options::parse(&args).map_err(|error| error.to_string())
        };
        let whole = Options {
            turns: TURNS,
            capacity: true,
        };
        assert_eq!(parse(&[]), Ok(whole));
        let short = Options {
            turns: 14,
            capacity: false,
        };
        assert_eq!(parse(&["--turns", "14", "--no-capacity"]), Ok(short));
        let refused = Err("at least 12 turns are needed, not 3".to_owned());
        assert_eq!(parse(&["--turns", "3"]), refused);
    }
}
