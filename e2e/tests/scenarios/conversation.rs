//! Whole conversations while others talk near the phone: an interruption, a number with pauses, a silence, a yes.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use e2e::{
    call::Call,
    party::{CALLEE, LIVEKIT_SIP, TARGET_NUMBER},
    phone::{Codecs, PhoneSettings},
    utterance::Voice,
    wire,
    words::{digits, understood},
    worker::WorkerEvent,
    world::World,
};

use crate::{
    transferred::expect_transferred,
    turns::{expect, hear_for},
};

/// Long enough to be interrupted; after the silence the agent asks.
const BEHAVIOUR: &str = r#"
greeting = "Good morning, this is Max of Example Travel. Our office is open from Monday to Friday, and on Saturday in the morning."
[timings]
silence = 3
"#;

/// Whisper understands it of every voice, beside others. "Hello?" it often does not.
const HELLO: &str = "Good morning.";

/// How long the agent speaks before it is interrupted: even "Hello. How can I help?" is longer.
const SOON: Duration = Duration::from_secs(1);

const INTERRUPTION: &str = "Excuse me, what can you do for me?";

/// The number of the transfer, as people say numbers: with pauses that end a sentence.
const NUMBER: [&str; 3] = [
    "Please transfer me to plus one.",
    "Five five five, zero zero zero.",
    "One two three four.",
];

/// Said after a number that was understood wrong.
const NO: &str = "No, that is wrong.";

const YES: &str = "Yes, that is right.";

/// How often the number is said before the person gives up.
const PATIENCE: usize = 4;

/// How many of the words must be understood, over the conversation.
const WORDS: f64 = 0.7;

pub(crate) async fn a_man_talks_over_g711_while_others_talk(world: World) -> anyhow::Result<()> {
    talk(world, Voice::Joe, Codecs::Narrowband, 20.0).await
}

pub(crate) async fn a_woman_talks_over_g711_while_others_talk(world: World) -> anyhow::Result<()> {
    talk(world, Voice::Slt, Codecs::Narrowband, 25.0).await
}

pub(crate) async fn another_man_talks_over_g722_while_others_talk(
    world: World,
) -> anyhow::Result<()> {
    talk(world, Voice::Rms, Codecs::Wideband, 20.0).await
}

#[expect(clippy::print_stdout, reason = "the report is part of the result")]
async fn talk(world: World, voice: Voice, codecs: Codecs, babble_db: f64) -> anyhow::Result<()> {
    world.behave(BEHAVIOUR)?;
    let callee = PhoneSettings::callee()
        .with_voice(voice)
        .with_codecs(codecs)
        .with_babble(babble_db);
    let (target, mut call) = tokio::try_join!(
        world.phone(PhoneSettings::target()),
        // Whoever is heard first counts as the person.
        Call::picked_up_with_hello(&world, callee, HELLO)
    )?;
    call.first_words().await?;

    let mut words = Words::default();
    hear_for(&call, SOON).await?;
    let from = call.worker.events().len();
    words.tell(&mut call, INTERRUPTION).await?;
    expect(&call, from, &WorkerEvent::StoppedSpeaking).await?;

    let attempts = say_number(&mut call, &mut words).await?;
    // Nobody says yes at once: the agent asks again.
    let from = call.worker.events().len();
    call.listen(from).await.context("after a silence")?;
    words.tell(&mut call, YES).await?;

    println!(
        "{voice:?}, {codecs:?}, others {babble_db} dB below: {} of {} words understood ({:.0} %), number right at attempt {attempts}",
        words.understood,
        words.said,
        100.0 * words.share()
    );
    ensure!(
        words.share() >= WORDS,
        "too few words were understood: {words:?}"
    );
    expect_transferred(&world, &call, &target, Some(LIVEKIT_SIP)).await?;
    let used = wire::payload_type(&world.capture, CALLEE).await?;
    let offered = match codecs {
        Codecs::Narrowband => 0,
        Codecs::Wideband => 9,
    };
    ensure!(used == offered, "payload type {used}, not {offered}");
    Ok(())
}

/// Says the number until the agent has read it back right; returns how often it was said.
async fn say_number(call: &mut Call, words: &mut Words) -> anyhow::Result<usize> {
    for attempt in 1..=PATIENCE {
        let [first, middle, last] = NUMBER;
        call.phone.say(first).await?;
        call.phone.say(middle).await?;
        let answer = call.tell(last).await?;
        let read_back = digits(&answer);
        if read_back == digits(TARGET_NUMBER) {
            return Ok(attempt);
        }
        if !read_back.is_empty() {
            words.tell(call, NO).await?;
        }
    }
    bail!(
        "the agent never read the number back; it said: {:#?}",
        call.said
    )
}

/// Words that were said to the agent, and those of them that it understood.
#[derive(Debug, Default)]
struct Words {
    said: usize,
    understood: usize,
}

impl Words {
    /// Says something, listens to the answer, and counts what the agent has understood.
    async fn tell(&mut self, call: &mut Call, said: &str) -> anyhow::Result<()> {
        let from = call.worker.events().len();
        call.tell(said).await?;
        let heard = call.worker.events().all_after(from, |event| {
            let WorkerEvent::Heard { text } = event else {
                return None;
            };
            Some(text.clone())
        });
        let (understood, said) = understood(said, &heard.join(" "));
        self.understood += understood;
        self.said += said;
        Ok(())
    }

    fn share(&self) -> f64 {
        self.understood as f64 / self.said.max(1) as f64
    }
}
