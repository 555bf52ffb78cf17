//! How well the agent understands callers on a G.711 line: what it does, not how Whisper spells it.
//!
//! `cargo run -p voice-agent --example hearing` prints the tables of `docs/speech.md`; with `-- -v`
//! also everything that was misheard. Takes some minutes on two cores.

#![allow(clippy::print_stdout, reason = "the tables are the program's output")]

mod callers;

use std::{collections::BTreeMap, sync::Mutex};

use callers::{Voice, recognise, telephone, with_every_voice};
use transfer_core::PhoneNumber;
use voice_agent::conversation::{
    Action, DialoguePolicy, Heard, PolicySettings, SpokenNumber, TransferRequest, has_number,
};

/// What must happen when somebody says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Transfer,
    HangUp,
    /// Nothing but talk.
    Talk,
    /// A transfer to this number once it is confirmed.
    Number(&'static str),
}

const SENTENCES: &[(&str, Wish)] = &[
    ("Transfer me.", Wish::Transfer),
    ("Transfer me to a live agent.", Wish::Transfer),
    ("Can I speak to a human please?", Wish::Transfer),
    ("I want to talk to a real person.", Wish::Transfer),
    ("Put me through to billing.", Wish::Transfer),
    ("Connect me to the sales team.", Wish::Transfer),
    ("No thank you.", Wish::Talk),
    ("Yes please.", Wish::Talk),
    ("Cancel that.", Wish::Talk),
    ("What are your opening hours?", Wish::Talk),
    ("Yes.", Wish::Talk),
    ("No.", Wish::Talk),
    ("Could you repeat that please?", Wish::Talk),
    ("Hello, who is this?", Wish::Talk),
    ("Wait, don't transfer me.", Wish::Talk),
    ("How much does it cost?", Wish::Talk),
    ("I'd like to book an appointment for tomorrow.", Wish::Talk),
    ("Goodbye.", Wish::HangUp),
    (
        "Transfer me to plus one, five five five, zero zero zero, one two three four.",
        Wish::Number("+15550001234"),
    ),
    (
        "Transfer me to plus one five five five, triple zero, one two three four.",
        Wish::Number("+15550001234"),
    ),
    (
        "Plus one, triple five, triple zero, one two three four.",
        Wish::Number("+15550001234"),
    ),
    (
        "Plus one, five fifty five, double zero zero, twelve thirty four.",
        Wish::Number("+15550001234"),
    ),
    (
        "Plus nine one, nine eight seven six five, four three two one zero.",
        Wish::Number("+919876543210"),
    ),
    (
        "Plus nine one, nine eight double seven six, five four three double one.",
        Wish::Number("+919877654311"),
    ),
    (
        "Plus four four, two zero, seven nine four six, zero nine five eight.",
        Wish::Number("+442079460958"),
    ),
    (
        "It's plus one, six one seven, five five five, zero one nine nine.",
        Wish::Number("+16175550199"),
    ),
    (
        "The number is plus one, two one two, five five five, oh one oh one.",
        Wish::Number("+12125550101"),
    ),
    (
        "Plus six one, two, five five five zero, one two three four.",
        Wish::Number("+61255501234"),
    ),
    (
        "Two zero two, five five five, zero one four three.",
        Wish::Number("+12025550143"),
    ),
    (
        "Call me on four one five, five five five, two six seven one.",
        Wish::Number("+14155552671"),
    ),
    (
        "One eight hundred, five five five, one two three four.",
        Wish::Number("+18005551234"),
    ),
    (
        "Transfer me to plus one, no wait, plus four four, two zero, seven nine four six, zero nine five eight.",
        Wish::Number("+442079460958"),
    ),
];

#[derive(Default)]
struct Tally {
    commands: u32,
    commands_understood: u32,
    numbers: u32,
    first_right: u32,
    second_right: u32,
    read_back_right: u32,
    read_back_wrong: u32,
}

fn main() {
    let verbose = std::env::args().any(|argument| argument == "-v");
    let tallies = Mutex::new(BTreeMap::<String, Tally>::new());
    with_every_voice(SENTENCES, |voice, (text, wish)| {
        let said = understand(voice, text);
        let mut tallies = tallies.lock().expect("no worker panics");
        let tally = tallies.entry(format!("{voice:?}")).or_default();
        if !count(tally, &said, wish) && verbose {
            println!(
                "{voice:?}: {text}\n    first  {}\n    second {}",
                said.first, said.second
            );
        }
    });

    println!(
        "| voice | commands understood | numbers exact, first pass | second pass | read back right | read back wrong | asked again |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (voice, tally) in tallies.into_inner().expect("no worker panics") {
        println!(
            "| {voice} | {}/{} | {n1}/{n} | {n2}/{n} | {right}/{n} | {wrong} | {again} |",
            tally.commands_understood,
            tally.commands,
            n1 = tally.first_right,
            n2 = tally.second_right,
            right = tally.read_back_right,
            wrong = tally.read_back_wrong,
            again = tally.numbers - tally.read_back_right - tally.read_back_wrong,
            n = tally.numbers,
        );
    }
}

struct Said {
    first: String,
    second: String,
    /// What the agent does, with a yes to its question.
    done: Wish,
    number: Option<PhoneNumber>,
}

fn understand(voice: Voice, text: &str) -> Said {
    let (first, second) = recognise(&telephone(&voice.say(text)));
    let mut policy = DialoguePolicy::new(PolicySettings {
        default_transfer: Some("+15550009999".parse().expect("a phone number")),
        default_region: Some("US".parse().expect("a region")),
        ..PolicySettings::default()
    });
    let reply = policy.hear(Heard::Turn {
        second: has_number(&first).then(|| second.clone()),
        first: first.clone(),
    });
    let (mut done, mut number) = (Wish::Talk, None);
    match reply.then {
        Action::Transfer(_) => done = Wish::Transfer,
        Action::HangUp => done = Wish::HangUp,
        Action::KeepNote { .. } | Action::PressKeys(_) | Action::Listen => {
            let yes = policy.hear(Heard::Turn {
                first: "Yes.".to_owned(),
                second: None,
            });
            if let Action::Transfer(TransferRequest::Number(confirmed)) = yes.then {
                number = Some(confirmed);
            }
        }
    }
    Said {
        first,
        second,
        done,
        number,
    }
}

fn count(tally: &mut Tally, said: &Said, wish: Wish) -> bool {
    let Wish::Number(wanted) = wish else {
        tally.commands += 1;
        let understood = said.done == wish && said.number.is_none();
        tally.commands_understood += u32::from(understood);
        return understood;
    };
    tally.numbers += 1;
    let wanted: PhoneNumber = wanted.parse().expect("a phone number");
    let exact = |text: &str| {
        let region = "US".parse().ok();
        SpokenNumber::find(text)
            .and_then(|number| number.phone_number(region).ok())
            .as_ref()
            == Some(&wanted)
    };
    tally.first_right += u32::from(exact(&said.first));
    tally.second_right += u32::from(exact(&said.second));
    match &said.number {
        Some(number) if *number == wanted => {
            tally.read_back_right += 1;
            true
        }
        Some(_) => {
            tally.read_back_wrong += 1;
            false
        }
        None => false,
    }
}
