//! How often a number is understood at once: spoken in several styles by several voices, over G.711 and
//! G.722, recognised twice, and answered by the rules.
//!
//! `cargo run -p voice-agent --example numbers` prints the tables; with `-- -v` also what was
//! heard of each number. Takes about ten minutes on two cores.

#![allow(clippy::print_stdout, reason = "the tables are the program's output")]

#[path = "callers/aloud.rs"]
mod aloud;
mod callers;

use std::{collections::BTreeMap, sync::Mutex};

use aloud::{Tally, read_back, sayings};
use audio_codec::{
    Decoder as _, Encoder as _,
    g722::{G722Decoder, G722Encoder},
};
use callers::{recognise, telephone, with_every_voice};
use speech::{HEARING_RATE, Pcm, resample};

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
        let Tally {
            right,
            wrong,
            asked_again,
        } = tally;
        let all = right + wrong + asked_again;
        println!("| {row} | {all} | {right} | {wrong} | {asked_again} |");
    }
}
