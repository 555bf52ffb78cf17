//! Phone numbers that are said aloud, and what the agent makes of them.

use std::ops::AddAssign;

use transfer_core::{PhoneNumber, Region};
use voice_agent::conversation::{
    Action, DialoguePolicy, Heard, PolicySettings, TransferRequest, has_number,
};

const ALOUD: &str = include_str!("../../src/conversation/spoken_number/aloud.tsv");

#[allow(dead_code, reason = "the examples use their part")]
#[derive(Clone, Copy)]
pub(crate) struct Saying {
    pub(crate) style: &'static str,
    pub(crate) region: Option<Region>,
    pub(crate) number: &'static str,
    pub(crate) text: &'static str,
}

pub(crate) fn sayings() -> Vec<Saying> {
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
pub(crate) struct Tally {
    pub(crate) right: u32,
    pub(crate) wrong: u32,
    pub(crate) asked_again: u32,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.right += more.right;
        self.wrong += more.wrong;
        self.asked_again += more.asked_again;
    }
}

impl Tally {
    pub(crate) fn count(&mut self, read_back: Option<&PhoneNumber>, wanted: &str) {
        match read_back {
            Some(number) if number.to_string() == wanted => self.right += 1,
            Some(_) => self.wrong += 1,
            None => self.asked_again += 1,
        }
    }
}

/// The number that the agent reads back, if it does not ask again.
pub(crate) fn read_back(first: &str, second: &str, region: Option<Region>) -> Option<PhoneNumber> {
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
