//! How often a number is understood at once: spoken in several styles by several voices, over G.711 and
//! G.722, recognised twice, and answered by the rules.
//!
//! `cargo run -p voice-agent --example numbers` prints the tables; with `-- -v` also what was
//! heard of each number. Takes about ten minutes on two cores.

#![allow(clippy::print_stdout, reason = "the tables are the program's output")]

mod callers;

use std::{collections::BTreeMap, sync::Mutex};

use audio_codec::{
    Decoder as _, Encoder as _,
    g722::{G722Decoder, G722Encoder},
};
use callers::{recognise, telephone, with_every_voice};
use speech::{HEARING_RATE, Pcm, resample};
use transfer_core::{PhoneNumber, Region};
use voice_agent::conversation::{
    Action, DialoguePolicy, Heard, PolicySettings, TransferRequest, has_number,
};

const ALOUD: &str = include_str!("../src/conversation/spoken_number/aloud.tsv");

#[derive(Debug, Clone, Copy)]
enum Codec {
    /// 8 kHz, 300 Hz high pass, mu-law.
    G711,
    /// 16 kHz, 64 kbit/s.
    G722,
}

impl Codec {
    /// What is left of `pcm` at the other end of the line, at 16 kHz.
    fn carry(self, pcm: &Pcm) -> Pcm {
        match self {
            Self::G711 => telephone(pcm),
            Self::G722 => {
                let wide = resample(pcm, HEARING_RATE);
                let mut encoder = G722Encoder::new();
                let mut bytes = vec![0; encoder.max_encode_bytes(wide.samples.len())];
                let len = encoder
                    .encode_into(&wide.samples, &mut bytes)
                    .expect("the buffer has the size that the encoder names");
                let mut decoder = G722Decoder::new();
                let mut samples = vec![0; decoder.max_decode_samples(len)];
                let count = decoder
                    .decode_into(&bytes[..len], &mut samples)
                    .expect("the buffer has the size that the decoder names");
                samples.truncate(count);
                Pcm {
                    sample_rate: HEARING_RATE,
                    samples,
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Saying {
    style: &'static str,
    region: Option<Region>,
    number: &'static str,
    text: &'static str,
}

fn sayings() -> Vec<Saying> {
    let lines = ALOUD.lines().filter(|line| !line.starts_with('#'));
    let sayings = lines.map(|line| {
        let columns: Vec<_> = line.split('\t').collect();
        let [style, region, number, text] = columns[..] else {
            panic!("not four columns: {line}");
        };
        Saying {
            style,
            region: (region != "-").then(|| region.parse().expect("a region")),
            number,
            text,
        }
    });
    sayings.collect()
}

#[derive(Default)]
struct Tally {
    right: u32,
    wrong: u32,
    asked_again: u32,
}

impl Tally {
    fn count(&mut self, read_back: Option<&PhoneNumber>, wanted: &str) {
        match read_back {
            Some(number) if number.to_string() == wanted => self.right += 1,
            Some(_) => self.wrong += 1,
            None => self.asked_again += 1,
        }
    }

    fn row(&self, name: &str) {
        let Self {
            right,
            wrong,
            asked_again,
        } = self;
        let all = right + wrong + asked_again;
        println!("| {name} | {all} | {right} | {wrong} | {asked_again} |");
    }
}

fn main() {
    let verbose = std::env::args().any(|argument| argument == "-v");
    let tallies = Mutex::new(BTreeMap::<(&str, String), Tally>::new());
    with_every_voice(&sayings(), |voice, saying| {
        let spoken = voice.say(saying.text);
        for codec in [Codec::G711, Codec::G722] {
            let (first, second) = recognise(&codec.carry(&spoken));
            let read_back = read_back(&first, &second, saying.region);
            let mut tallies = tallies.lock().expect("no worker panics");
            for (table, row) in [
                ("codec and voice", format!("{codec:?}, {voice:?}")),
                ("codec", format!("{codec:?}")),
                ("style", saying.style.to_owned()),
            ] {
                let tally = tallies.entry((table, row)).or_default();
                tally.count(read_back.as_ref(), saying.number);
            }
            if verbose {
                let region = saying.region.map_or("-".to_owned(), |it| it.to_string());
                println!(
                    "{codec:?}\t{voice:?}\t{}\t{region}\t{}\t{first}\t{second}",
                    saying.style, saying.number
                );
            }
        }
    });
    let mut last = "";
    for ((table, row), tally) in tallies.into_inner().expect("no worker panics") {
        if table != last {
            println!("\n| {table} | numbers | read back right | read back wrong | asked again |");
            println!("| --- | --- | --- | --- | --- |");
            last = table;
        }
        tally.row(&row);
    }
}

/// The number that the agent reads back, if it does not ask again.
fn read_back(first: &str, second: &str, region: Option<Region>) -> Option<PhoneNumber> {
    let mut policy = DialoguePolicy::new(PolicySettings {
        default_region: region,
        ..PolicySettings::default()
    });
    let said = |first: &str, second: Option<&str>| Heard::Turn {
        first: first.to_owned(),
        second: second.map(str::to_owned),
    };
    policy.hear(said(first, has_number(first).then_some(second)));
    match policy.hear(said("Yes.", None)).then {
        Action::Transfer(TransferRequest::Number(number)) => Some(number),
        Action::Transfer(TransferRequest::Default)
        | Action::KeepNote { .. }
        | Action::PressKeys(_)
        | Action::Listen
        | Action::HangUp => None,
    }
}
