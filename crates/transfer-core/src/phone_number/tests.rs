use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn region(code: &str) -> Option<Region> {
    (!code.is_empty()).then(|| code.parse().unwrap())
}

/// Parses `input` with the default region `code` (empty: none) and compares the E.164 form.
fn check(code: &str, input: &str, expected: Result<&str, ParsePhoneNumberError>) {
    let parsed = PhoneNumber::parse(input, region(code)).map(|number| number.to_string());
    assert_eq!(
        parsed,
        expected.map(str::to_owned),
        "{input:?} with region {code:?}"
    );
}

#[test]
fn international_forms_are_read_without_a_region() {
    for input in [
        "+15550001234",
        "+1 555 000 1234",
        "+1 (555) 000-1234",
        "+1.555.000.1234",
        "+1/555/000/1234",
        "+1 [555] 000 1234",
        "(+1) 555 000 1234",
        "  +1-555-000-1234\n",
        "+1\u{a0}555\u{202f}000\u{2011}1234",
        "+1 555 000\u{2013}1234",
        "tel:+15550001234",
        "TEL:+1-555-000-1234",
        "0015550001234",
        "00 1 555 000 1234",
    ] {
        check("", input, Ok("+15550001234"));
        check("IN", input, Ok("+15550001234"));
    }
}

#[test]
fn the_international_prefix_of_the_region_counts() {
    check("US", "011 91 98765 43210", Ok("+919876543210"));
    check("CA", "01144 20 7946 0958", Ok("+442079460958"));
    check("AU", "0011 44 20 7946 0958", Ok("+442079460958"));
    check("JP", "010 1 555 000 1234", Ok("+15550001234"));
    check("IN", "00 1 555 000 1234", Ok("+15550001234"));
    check("US", "00 91 98765 43210", Ok("+919876543210"));
}

#[test]
fn national_forms_are_read_in_their_region() {
    check("US", "555 000 1234", Ok("+15550001234"));
    check("US", "(555) 000-1234", Ok("+15550001234"));
    check("US", "1 555 000 1234", Ok("+15550001234"));
    check("IN", "98765 43210", Ok("+919876543210"));
    check("IN", "098765 43210", Ok("+919876543210"));
    check("IN", "91 98765 43210", Ok("+919876543210"));
    check("IN", "011 2345 6789", Ok("+911123456789"));
    check("GB", "020 7946 0958", Ok("+442079460958"));
    check("GB", "0044 20 7946 0958", Ok("+442079460958"));
    check("DE", "030/123456", Ok("+4930123456"));
    check("IT", "06 6982 0000", Ok("+390669820000"));
    check("RU", "8 (495) 123-45-67", Ok("+74951234567"));
    check("RU", "8 800 123-45-67", Ok("+78001234567"));
    check("FR", "01 42 68 53 00", Ok("+33142685300"));
    check("BR", "0 15 11 2345 6789", Ok("+551123456789"));
    check("AU", "0400 123 456", Ok("+61400123456"));
    check("SG", "6123 4567", Ok("+6561234567"));
    check("gb", "tel:020-7946-0958", Ok("+442079460958"));
}

#[test]
fn a_bracketed_trunk_zero_is_dropped_where_the_country_has_one() {
    check("", "+44 (0)20 7946 0958", Ok("+442079460958"));
    check(
        "US",
        "0044 (0) 20 7946 0958".replace("(0) ", "(0)").as_str(),
        Ok("+442079460958"),
    );
    check("", "+49 (0)30 123456", Ok("+4930123456"));
    check("", "+39 (0)6 6982 0000", Ok("+390669820000"));
    check("", "+1 555 (0)00 1234", Ok("+15550001234"));
}

#[test]
fn a_national_form_without_a_region_is_refused() {
    check(
        "",
        "555 000 1234",
        Err(ParsePhoneNumberError::MissingCountryCode),
    );
    check(
        "",
        "098765 43210",
        Err(ParsePhoneNumberError::MissingCountryCode),
    );
    check("", "911", Err(ParsePhoneNumberError::MissingCountryCode));
}

#[test]
fn emergency_numbers_and_short_codes_are_too_short() {
    for (code, input) in [
        ("US", "911"),
        ("US", "411"),
        ("US", "55512"),
        ("IN", "100"),
        ("IN", "112"),
        ("IN", "1098"),
        ("IN", "56161"),
        ("GB", "999"),
        ("GB", "118118"),
        ("DE", "112"),
        ("US", "555 1234"),
        ("", "+1 911"),
        ("", "+112"),
        ("", "00112"),
        ("", "+1"),
        ("", "+9"),
    ] {
        let parsed = PhoneNumber::parse(input, region(code));
        assert!(
            matches!(parsed, Err(ParsePhoneNumberError::TooShort { .. })),
            "{input:?} with region {code:?}: {parsed:?}"
        );
    }
}

#[test]
fn a_lost_or_extra_digit_is_noticed() {
    check(
        "",
        "+1 555 000 123",
        Err(ParsePhoneNumberError::TooShort { digits: 10 }),
    );
    check(
        "",
        "+1 555 000 12345",
        Err(ParsePhoneNumberError::TooLong { digits: 12 }),
    );
    check(
        "US",
        "555 000 123",
        Err(ParsePhoneNumberError::TooShort { digits: 10 }),
    );
    check(
        "",
        "+33 1 42 68 53 0",
        Err(ParsePhoneNumberError::TooShort { digits: 10 }),
    );
    check(
        "",
        "+999 1234567890123",
        Err(ParsePhoneNumberError::TooLong { digits: 16 }),
    );
    check(
        "",
        "+49 12345678901234567890",
        Err(ParsePhoneNumberError::TooLong { digits: 22 }),
    );
}

#[test]
fn shape_decides_and_assignment_only_warns() {
    let assigned = |text: &str| text.parse::<PhoneNumber>().unwrap().is_assigned();
    assert!(!assigned("+15550001234"));
    assert!(assigned("+12125550123"));
    assert!(assigned("+919876543210"));
    assert!(assigned("+390669820000"));
    assert!(!assigned("+9991234567"));
    check("", "+999 123 4567", Ok("+9991234567"));
}

#[test]
fn what_is_not_a_number_is_refused() {
    check("", "", Err(ParsePhoneNumberError::Empty));
    check("", " ", Err(ParsePhoneNumberError::Empty));
    check("", "+", Err(ParsePhoneNumberError::Empty));
    check("", "tel:", Err(ParsePhoneNumberError::Empty));
    check(
        "",
        "1+5550001234",
        Err(ParsePhoneNumberError::MisplacedPlus),
    );
    check(
        "",
        "++15550001234",
        Err(ParsePhoneNumberError::MisplacedPlus),
    );
    check(
        "",
        "+0 555 000 1234",
        Err(ParsePhoneNumberError::InvalidCountryCode),
    );
    check(
        "",
        "0000 555 000 1234",
        Err(ParsePhoneNumberError::InvalidCountryCode),
    );
    for (input, character) in [
        ("+1555000123\u{0}", '\0'),
        ("+1555\r\n0001234", '\r'),
        ("+1555\t0001234", '\t'),
        ("+15550001234;ext=5", ';'),
        ("+15550001234x5", 'x'),
        ("+1-800-FLOWERS", 'F'),
        ("+1555000%31234", '%'),
        ("+15550001234,,5", ','),
        ("+15550001234@example.net", '@'),
        ("sip:+15550001234", 's'),
        ("\u{ff0b}15550001234", '\u{ff0b}'),
        ("+1555\u{ff10}001234", '\u{ff10}'),
        ("+1555\u{660}001234", '\u{660}'),
        ("+l5550001234", 'l'),
        ("+1555OOO1234", 'O'),
        ("+1\u{200b}5550001234", '\u{200b}'),
        ("\u{202d}+15550001234", '\u{202d}'),
        ("*31#+15550001234", '*'),
        ("\u{1f4de}+15550001234", '\u{1f4de}'),
    ] {
        check(
            "US",
            input,
            Err(ParsePhoneNumberError::InvalidCharacter(character)),
        );
    }
}

#[test]
fn an_error_never_prints_a_control_character() {
    let error = ParsePhoneNumberError::InvalidCharacter('\u{1b}');
    assert_eq!(
        error.to_string(),
        "`\\u{1b}` cannot be part of a phone number"
    );
}

#[test]
fn masking_leaves_the_country_code_and_two_digits() {
    for (number, masked) in [
        ("+15550001234", "+1********34"),
        ("+919876543210", "+91********10"),
        ("+442079460958", "+44********58"),
        ("+6834002", "+683**02"),
    ] {
        let number: PhoneNumber = number.parse().unwrap();
        assert_eq!(number.masked(), masked);
        assert_eq!(format!("{number:?}"), masked);
    }
}

#[test]
fn the_rule_for_country_codes_agrees_with_every_numbering_plan() {
    for plan in DATABASE.iter() {
        let code = plan.country_code().to_string();
        assert_eq!(
            country_code_len(&format!("{code}5550001234")),
            code.len(),
            "+{code}"
        );
    }
}

/// `UPDATE_EXPECT=1` rewrites the table after the `phonenumber` crate was updated.
#[test]
fn the_table_of_numbering_plans_is_up_to_date() {
    let mut plans: BTreeMap<u16, (BTreeSet<u16>, bool)> = BTreeMap::new();
    for region in DATABASE.iter() {
        let (lengths, trunk_zero) = plans.entry(region.country_code()).or_default();
        // Canada's seven-digit 310 numbers cannot be called from outside.
        let is_local =
            |service: &Descriptor| region.country_code() == 1 && service.possible_length() == [7];
        lengths.extend(
            services(region)
                .filter(|service| !is_local(service))
                .flat_map(Descriptor::possible_length),
        );
        *trunk_zero |= region.national_prefix() == Some("0");
    }
    let rows: String = plans
        .into_iter()
        .map(|(code, (lengths, trunk_zero))| {
            let lengths = Vec::from_iter(lengths);
            format!("    plan({code}, &{lengths:?}, {trunk_zero}),\n")
        })
        .collect();
    let table = include_str!("numbering_plans.rs");
    let head = &table[..table.find("[\n").map_or(0, |start| start + 2)];
    expect_test::expect_file!["numbering_plans.rs"].assert_eq(&format!("{head}{rows}];\n"));
}

#[test]
fn the_examples_of_every_numbering_plan_are_read_in_both_forms() {
    for plan in DATABASE.iter() {
        let code = plan.country_code();
        for example in services(plan).filter_map(Descriptor::example) {
            if code == 1 && example.len() == 7 {
                continue;
            }
            let international = format!("+{code}{example}");
            let number = PhoneNumber::parse(&international, None);
            assert_eq!(
                number.as_ref().map(ToString::to_string),
                Ok(international.clone())
            );
            assert!(number.unwrap().is_assigned(), "{international}");
            if let Ok(region) = plan.id().parse::<Region>() {
                let national = PhoneNumber::parse(example, Some(region));
                assert_eq!(
                    national.map(|number| number.to_string()),
                    Ok(international),
                    "{example} in {region}"
                );
            }
        }
    }
}

#[test]
fn regions_are_two_letter_codes() {
    assert_eq!("in".parse::<Region>().unwrap().to_string(), "IN");
    for text in ["", "I", "IND", "XX", "001", "91"] {
        assert_eq!(text.parse::<Region>(), Err(ParseRegionError), "{text:?}");
    }
}

#[test]
fn numbers_are_strings_in_json() {
    let number: PhoneNumber = serde_json::from_str("\"+1 555 000 1234\"").unwrap();
    assert_eq!(serde_json::to_string(&number).unwrap(), "\"+15550001234\"");
    assert!(serde_json::from_str::<PhoneNumber>("\"5550001234\"").is_err());
}

#[test]
fn the_identity_is_that_of_the_original_agent() {
    let number: PhoneNumber = "+91 98765 43210".parse().unwrap();
    assert_eq!(identity(&number), "sip_+919876543210");
    assert_eq!(number_of(&identity(&number)), Some(number));
    for other in ["", "sip_", "sip_alice", "sip_0987", "web_+919876543210"] {
        assert_eq!(number_of(other), None, "{other}");
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_without_panic_into_plus_and_digits(text in "\\PC{0,24}|[0-9+() .-]{0,24}") {
        for code in ["", "US", "IN", "GB", "IT", "RU", "BR", "AU", "AR", "MX"] {
            if let Ok(number) = PhoneNumber::parse(&text, region(code)) {
                let wire = number.to_string();
                prop_assert!(wire.starts_with('+'));
                prop_assert!(wire[1..].bytes().all(|b| b.is_ascii_digit()));
                prop_assert!((2..=MAX_DIGITS).contains(&number.digits().len()));
                prop_assert_eq!(wire.parse::<PhoneNumber>().unwrap(), number);
            }
        }
    }

    #[test]
    fn punctuation_never_changes_the_number(
        digits in "[2-9][0-9]{9}",
        marks in prop::collection::vec("[ ./-]{0,2}", 10),
    ) {
        let spaced: String = digits.chars().zip(&marks).flat_map(|(d, m)| m.chars().chain([d])).collect();
        let number: PhoneNumber = format!("+1{spaced}").parse().unwrap();
        prop_assert_eq!(number.digits(), format!("1{digits}"));
    }

    #[test]
    fn masking_hides_all_but_the_country_code_and_two_digits(digits in "[1-9][0-9]{6,14}") {
        if let Ok(number) = format!("+{digits}").parse::<PhoneNumber>() {
            let masked = number.masked();
            let shown = masked.bytes().filter(u8::is_ascii_digit).count();
            prop_assert_eq!(shown, number.country_code().len() + 2);
            prop_assert_eq!(masked.len(), digits.len() + 1);
        }
    }
}

#[test]
fn names_keep_their_letters_and_lose_their_numbers() {
    let check = |name: &str, masked: &str| assert_eq!(mask_digits(name), masked, "{name}");
    check(
        "call-919876543210-k3v9x0a7c2mq",
        "call-91********10-k3v9x0a7c2mq",
    );
    check("call-_+919876543210_8Fk2", "call-_+91********10_8Fk2");
    check("1234567", "12***67");
    check("room-123456", "room-123456");
    check("+1555000123é4", "+15******23é4");
    check("", "");
}
