use std::error::Error as _;

use proptest::prelude::*;

use super::*;

mod corpus;
mod renderings;

fn check(text: &str, expect: &str) {
    let found = SpokenNumber::find(text);
    let shown = found.map_or(String::new(), |number| {
        let plus = if number.plus { "+" } else { "" };
        format!("{plus}{}", number.digits)
    });
    assert_eq!(shown, expect, "{text:?}");
}

#[test]
fn digit_by_digit() {
    check(
        "Transfer me to plus one, five five five, zero zero zero, one two three four.",
        "+15550001234",
    );
    check(
        "Plus nine one, nine eight seven six five, four three two one zero.",
        "+919876543210",
    );
    check(
        "Plus four four, two zero, seven nine four six, zero nine five eight.",
        "+442079460958",
    );
    check(
        "Call me on four one five, five five five, two six seven one.",
        "4155552671",
    );
    check(
        "It's plus one, six one seven, five five five, zero one nine nine.",
        "+16175550199",
    );
    check(
        "Two zero two, five five five, zero one four three.",
        "2025550143",
    );
    check(
        "Plus six one, two, five five five zero, one two three four.",
        "+61255501234",
    );
}

#[test]
fn doubles_triples_teens_and_tens() {
    check(
        "Transfer me to plus one five five five, triple zero, one two three four",
        "+15550001234",
    );
    check(
        "Plus one, five fifty five, double zero zero, twelve thirty four.",
        "+15550001234",
    );
    check(
        "Plus one, triple five, triple zero, one two three four.",
        "+15550001234",
    );
    check(
        "Plus nine one, nine eight double seven six, five four three double one.",
        "+919877654311",
    );
    check(
        "Double nine, eight seven, double six, five four, triple three.",
        "99876654333",
    );
    check(
        "Oh two oh, seven nine four six, oh nine five eight.",
        "02079460958",
    );
    check(
        "Four one five, five fifty five, twenty six seventy one.",
        "4155552671",
    );
    check(
        "One eight hundred, five five five, one two three four.",
        "18005551234",
    );
    check(
        "The number is plus one, two one two, five five five, oh one oh one.",
        "+12125550101",
    );
    check("five fifty-five, two thousand", "5552000");
    check("nought two nought", "020");
    check("triple fives, double zeros, quadruple nine", "555009999");
}

#[test]
fn the_spellings_of_whisper() {
    check("Transfer me to plus 1 555 000 1234.", "+15550001234");
    check("Transfer me to +1-555-000-1234.", "+15550001234");
    check("Transfer me to plus 1555 triple 0 1234", "+15550001234");
    check(
        "Transfer me to plus one five five five, triple-zero 1, 2, 3, 4.",
        "+15550001234",
    );
    check("plus 1, triple 5000 1234", "+15550001234");
    check("Plus 1, triple 555, double 00, 0 1234", "+15550001234");
    check("Double 9, 8, 7, double 6, 5, 4, triple 3.", "99876654333");
    check("double 0, 0", "000");
    check("+91 98765 43210", "+919876543210");
    check("919876543210", "919876543210");
    check("(202) 555-0143", "2025550143");
    check("Plus 9 won 9 8 7 6 5 4 3 2 1 0.", "+919876543210");
    check("plus one five five five oh oh oh 12:34", "+15550001234");
    check("Plus 1, 555, 000, $12.34", "+15550001234");
    check("five five five to six seven for one.", "55526741");
    check("Class 1 555 000 1234", "+15550001234");
    check(
        "Transfer me to last one five five five triple zero one two three four.",
        "+15550001234",
    );
    check("less 44 20 7946 0958", "+442079460958");
    check(
        "Transfer me to plus one five five five triples zero one two three four.",
        "+15550001234",
    );
    check(
        "Plus one five 55, double zero, zero, well 34.",
        "+15550001234",
    );
}

#[test]
fn a_digit_too_many_in_a_run_is_dropped_from_a_number_that_is_too_long() {
    let number = |text: &str| {
        SpokenNumber::find(text)
            .expect("there is a number")
            .phone_number(None)
    };
    let expected: PhoneNumber = "+15550001234".parse().unwrap();
    for text in [
        "Transfer me to plus 15555-Tripple 01234",
        "plus 1 555 0000 1234",
        "plus 1 5555 0000 1234",
    ] {
        assert_eq!(number(text), Ok(expected.clone()), "{text}");
    }
    assert!(number("plus 1 555 000 12345").is_err());
}

#[test]
fn corrections_take_what_follows() {
    check(
        "Transfer me to plus one, no wait, plus four four, two zero, seven nine four six, zero nine five eight.",
        "+442079460958",
    );
    check("+1 555 000 1235, sorry, +1 555 000 1234", "+15550001234");
    check("No no, plus one 555 000 1234", "+15550001234");
    check("plus one 555 000 1234, I mean", "+15550001234");
    check("I'm sorry, I don't have it", "");
}

#[test]
fn extensions_and_tails() {
    check("Extension four two one.", "421");
    check("Extension for two one.", "421");
    check("Transfer me to extension one zero five.", "105");
    check("No, it ends in one two three five.", "1235");
}

#[test]
fn sentences_without_a_number() {
    for text in [
        "Transfer me.",
        "Transfer me to a live agent.",
        "I want to talk to a real person.",
        "What is this for?",
        "I ate too much, so what?",
        "Oh, okay.",
        "",
    ] {
        check(text, "");
        assert!(!has_number(text), "{text}");
    }
    assert!(!has_number("Transfer me to one of your agents."));
    assert!(has_number("Transfer me to plus one five five"));
    assert!(has_number("It's triple something"));
}

#[test]
fn numbers_that_break_off() {
    let check = |text: &str, expect: bool| assert_eq!(is_unfinished_number(text), expect, "{text}");
    check("Transfer me to plus one five five five", true);
    check("Transfer me to plus", true);
    check("five five five, triple zero", true);
    check("Transfer me to +1 555 000 1234.", false);
    check("202 555 0143", false);
    check("Transfer me to one of your agents.", false);
    check("Transfer me.", false);
}

#[test]
fn numbers_are_read_with_plus_country_or_region() {
    let check = |text: &str, region: Option<&str>, expect: Result<&str, &str>| {
        let region = region.map(|region| region.parse().unwrap());
        let found = SpokenNumber::find(text).unwrap().phone_number(region);
        let found = found.map(|number| number.to_string()).map_err(|error| {
            format!(
                "{:?} {}",
                error,
                error.source().map_or_else(String::new, ToString::to_string)
            )
        });
        match (found, expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{text}"),
            (Err(found), Err(expect)) => assert!(found.contains(expect), "{text}: {found}"),
            (found, expect) => panic!("{text}: {found:?}, expected {expect:?}"),
        }
    };
    check("plus one 555 000 1234", None, Ok("+15550001234"));
    check("1 555 000 1234", None, Ok("+15550001234"));
    check("1 555 000 1234", Some("IN"), Ok("+15550001234"));
    check("91 98765 43210", None, Ok("+919876543210"));
    check("98765 43210", Some("IN"), Ok("+919876543210"));
    check("98765 43210 in India", None, Ok("+919876543210"));
    check("020 7946 0958 in the UK", Some("US"), Ok("+442079460958"));
    check("202 555 0143", None, Err("country code"));
    check("plus one 555 00 1234", None, Err("few"));
    check("plus one 555 000 12345", None, Err("many"));
    check("extension 105", Some("US"), Err("ExtensionAlone"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*", region in prop::option::of(Just("US"))) {
        let region = region.map(|region| region.parse().unwrap());
        let number = SpokenNumber::find(&text).and_then(|n| n.phone_number(region).ok());
        if let Some(number) = number {
            prop_assert_eq!(number.to_string().parse(), Ok(number));
        }
    }

    #[test]
    fn words_of_numbers_never_make_it_panic(words in prop::collection::vec(
        prop::sample::select(vec![
            "plus", "+", "one", "two", "to", "for", "oh", "zero", "zeros", "double", "triple",
            "twelve", "fifty", "hundred", "thousand", "99", "5", "000", "last", "and",
            "no", "wait", "sorry", "extension", "india",
        ]), 0..20))
    {
        let text = words.join(" ");
        if let Some(number) = SpokenNumber::find(&text) {
            prop_assert!(!number.digits.is_empty());
            prop_assert!(number.digits.bytes().all(|b| b.is_ascii_digit()));
            let _ = number.phone_number(None);
        }
    }

    #[test]
    fn every_number_said_digit_by_digit_is_found(digits in "[1-9][0-9]{6,14}") {
        let words: Vec<_> = digits.chars().map(super::super::read_back::word).collect();
        let found = SpokenNumber::find(&format!("Transfer me to plus {}.", words.join(" ")));
        prop_assert_eq!(found.map(|number| number.digits), Some(digits));
    }
}
