//! The corpus: transcripts and what must be made of them.

use std::{collections::BTreeMap, fmt::Write as _};

use super::*;

const CORPUS: &str = include_str!("../corpus.tsv");

/// What the example `numbers` says aloud, so that what it gets wrong was misheard.
const ALOUD: &str = include_str!("../aloud.tsv");

/// Distinct lines of the corpus; a line that is lost must be missed.
const LINES: usize = 400;

#[derive(Default)]
struct Tally {
    lines: usize,
    right: usize,
    /// A number where none or another one was meant.
    false_numbers: usize,
}

fn made_of(text: &str, region: Option<Region>) -> String {
    match SpokenNumber::find(text).map(|spoken| spoken.phone_number(region)) {
        Some(Ok(number)) => number.to_string(),
        Some(Err(SpokenNumberError::Ambiguous(_))) => "ambiguous".to_owned(),
        Some(Err(SpokenNumberError::ExtensionAlone)) => "extension".to_owned(),
        Some(Err(SpokenNumberError::NoPhoneNumber(_))) if has_number(text) => {
            "incomplete".to_owned()
        }
        Some(Err(SpokenNumberError::NoPhoneNumber(_))) | None => "none".to_owned(),
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the count is part of what it shows")]
fn every_line_of_the_corpus_is_understood() {
    let mut tallies = BTreeMap::<&str, Tally>::new();
    let mut wrong = String::new();
    for line in CORPUS
        .lines()
        .chain(ALOUD.lines())
        .filter(|line| !line.starts_with('#'))
    {
        let columns: Vec<&str> = line.split('\t').collect();
        let [tag, region, expected, text] = columns[..] else {
            panic!("not four columns: {line:?}");
        };
        let region = (region != "-").then(|| region.parse().expect("a region"));
        let made = made_of(text, region);
        for tag in [tag, "all"] {
            let tally = tallies.entry(tag).or_default();
            tally.lines += 1;
            tally.right += usize::from(made == expected);
            tally.false_numbers += usize::from(made != expected && made.starts_with('+'));
        }
        if made != expected {
            writeln!(wrong, "{text:?}: {made}, expected {expected}").unwrap();
        }
    }
    let mut table = String::from("tag          lines  right  false numbers\n");
    for (tag, tally) in &tallies {
        let Tally {
            lines,
            right,
            false_numbers,
        } = tally;
        writeln!(table, "{tag:12} {lines:5}  {right:5}  {false_numbers:13}").unwrap();
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{wrong}\n{table}");
    assert!(tallies["all"].lines >= LINES, "{table}");
}
