//! Every number said in every way: a generator of renderings, and their way back.

use std::time::{Duration, Instant};

use proptest::{prelude::*, sample::select};

use super::*;

/// Country codes whose numbers have one length, and that length without the code.
const PLANS: &[(&str, usize)] = &[("1", 10), ("33", 9), ("48", 9), ("65", 8), ("45", 8)];

const UNITS: [&str; 10] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
];
const TEENS: [&str; 10] = [
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = [
    "", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];
const ZEROS: [&str; 5] = ["zero", "oh", "nought", "naught", "nil"];
const FRAMES: [(&str, &str); 6] = [
    ("", ""),
    ("Transfer me to ", "."),
    ("My number is ", ", please."),
    ("I have two questions. Call ", ", thank you"),
    ("Um, it's ", ""),
    ("Can you put me through to ", "?"),
];

/// Says `digits`; `choices` decide how, one for each group.
///
/// `joint` is what stands between tens and their unit: a hyphen makes them one number, a space leaves
/// some of them ambiguous.
fn render(digits: &str, choices: &[u8], joint: &str) -> String {
    let values: Vec<usize> = digits.bytes().map(|b| usize::from(b - b'0')).collect();
    let mut said = String::new();
    let mut choices = choices.iter().cycle();
    let mut rest = &values[..];
    while let [first, ..] = *rest {
        let choice = choices.next().copied().unwrap_or_default();
        let separator = if choice & 1 == 0 { " " } else { ", " };
        let run = rest.iter().take_while(|digit| **digit == first).count();
        let zero = ZEROS[usize::from(choice >> 4) % ZEROS.len()];
        let word = if first == 0 { zero } else { UNITS[first] };
        let (group, used, separator) = match ((choice >> 1) % 7, rest) {
            (0, _) if run >= 2 => (format!("double {word}"), 2, separator),
            (1, _) if run >= 3 => (format!("triple {word}"), 3, separator),
            (2, [1, unit, ..]) => (TEENS[*unit].to_owned(), 2, separator),
            (3, [tens @ 2..=9, unit @ 1..=9, ..]) => (
                format!("{}{joint}{}", TENS[*tens], UNITS[*unit]),
                2,
                separator,
            ),
            (4, [1..=9, 0, 0, ..]) => (format!("{word} hundred"), 3, ", "),
            (5, [1..=9, 0, 0, 0, ..]) => (format!("{word} thousand"), 4, ", "),
            (6, figures) => {
                let used = figures.len().min(1 + usize::from(choice >> 5) % 4);
                let figures: String = figures[..used].iter().map(usize::to_string).collect();
                (figures, used, separator)
            }
            _ => (word.to_owned(), 1, separator),
        };
        if !said.is_empty() {
            said.push_str(separator);
        }
        said.push_str(&group);
        // The comma behind "eight hundred" belongs to it.
        if group.ends_with("hundred") || group.ends_with("thousand") {
            said.push(',');
        }
        rest = &rest[used..];
    }
    said
}

prop_compose! {
    fn number()(
        (code, length) in select(PLANS),
        first in "[2-9]",
        rest in "[0-9]{9}",
    ) -> String {
        format!("{code}{first}{}", &rest[..length - 1])
    }
}

prop_compose! {
    fn said(joint: &'static str)(
        number in number(),
        choices in prop::collection::vec(any::<u8>(), 1..20),
        plus in select(&["plus ", "Plus, ", "+", "country code is plus "][..]),
        (before, after) in select(&FRAMES[..]),
    ) -> (String, String) {
        let said = render(&number, &choices, joint);
        (number, format!("{before}{plus}{said}{after}"))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_number_said_in_any_style_is_understood((number, text) in said("-")) {
        let found = SpokenNumber::find(&text).map(|spoken| spoken.phone_number(None));
        let found = found.map(|found| found.map(|number| number.digits().to_owned()));
        prop_assert_eq!(found, Some(Ok(number)), "{}", text);
    }

    #[test]
    fn a_number_whose_groups_are_ambiguous_is_never_another_number((number, text) in said(" ")) {
        match SpokenNumber::find(&text).map(|spoken| spoken.phone_number(None)) {
            Some(Ok(found)) => prop_assert_eq!(found.digits(), number, "{}", text),
            Some(Err(error)) => prop_assert!(
                matches!(error, SpokenNumberError::Ambiguous(Ambiguity::Groups)),
                "{text}: {error:?}"
            ),
            None => prop_assert!(false, "{text}"),
        }
    }

    #[test]
    fn a_number_corrected_at_its_end_is_the_corrected_one(
        number in number(),
        wrong in "[0-9]{1,4}",
        sorry in select(&["sorry", "no", "I mean", "no wait", "scratch that", "oops"][..]),
    ) {
        let end = number.len() - wrong.len();
        let text = format!("plus {}{wrong}, {sorry}, {}", &number[..end], &number[end..]);
        let found = SpokenNumber::find(&text).map(|spoken| spoken.phone_number(None));
        let found = found.map(|found| found.map(|number| number.digits().to_owned()));
        prop_assert_eq!(found, Some(Ok(number)), "{}", text);
    }

    #[test]
    fn no_text_makes_a_number_of_more_than_15_digits(
        text in "\\PC{0,200}",
        words in prop::collection::vec(
            select(&[
                "plus", "+", "one", "two", "to", "for", "oh", "zeros", "double", "triple", "twelve",
                "fifty", "five", "hundred", "thousand", "99", "5", "000", "last", "and", "no", "wait",
                "sorry", "not", "extension", "india", "code", "country", ",", "-", "start", "again",
            ][..]),
            0..60,
        ),
        region in prop::option::of(select(&["US", "IN", "GB", "DE", "AE", "IT"][..])),
    ) {
        let region = region.map(|region| region.parse().unwrap());
        for text in [text, words.join(" ")] {
            has_number(&text);
            is_unfinished_number(&text);
            if let Some(Ok(number)) = SpokenNumber::find(&text).map(|it| it.phone_number(region)) {
                prop_assert!(number.digits().len() <= 15, "{text}");
                prop_assert_eq!(number.to_string().parse(), Ok(number));
            }
        }
    }
}

#[test]
fn a_long_text_takes_time_in_proportion_to_its_length() {
    const CHARACTERS: usize = 1_000_000;
    // Quadratic, each of these would take hours.
    const ENOUGH: Duration = Duration::from_secs(20);
    for piece in [
        "5",
        "+",
        "five ",
        "oh ",
        "to ",
        "double ",
        "fifty five ",
        "five hundred ",
        "two thousand ",
        "plus one ",
        "one, sorry, two ",
        "2025550143, no, ",
        "+15550001234 or ",
        "country code 1 ",
        "extension 1 ",
        "country ",
        "५",
        "\u{301}",
        "-",
        " ",
    ] {
        let text = piece.repeat(CHARACTERS / piece.len());
        let start = Instant::now();
        let number = SpokenNumber::find(&text).map(|spoken| spoken.phone_number("US".parse().ok()));
        if let Some(Ok(number)) = number {
            assert!(number.digits().len() <= 15, "{piece:?}");
        }
        has_number(&text);
        is_unfinished_number(&text);
        let took = start.elapsed();
        assert!(took < ENOUGH, "{piece:?}: {took:?}");
    }
}
