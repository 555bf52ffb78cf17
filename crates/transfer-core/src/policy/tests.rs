use phonenumber::{Type, metadata::DATABASE};
use proptest::prelude::*;

use super::*;

const DEFAULT: &str = "+15550009999";

fn number(text: &str) -> PhoneNumber {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn policy(allow: &str) -> TransferPolicy {
    TransferPolicy::new(TransferRules {
        default_number: Some(number(DEFAULT)),
        destinations: vec![Destination {
            name: "sales".parse().unwrap(),
            number: number("+449098790123"),
        }],
        allow: (!allow.is_empty()).then(|| allow.parse().unwrap()),
        ..TransferRules::default()
    })
}

fn show(decision: Result<Rule, Refusal>) -> String {
    match decision {
        Ok(rule) => rule.to_string(),
        Err(refusal) => format!("refused: {refusal}"),
    }
}

#[test]
fn the_rules_in_their_order() {
    for (allow, to, expect) in [
        ("", DEFAULT, "default number"),
        ("IN", DEFAULT, "default number"),
        ("IN", "+44 909 879 0123", "destination sales"),
        ("", "+15550001234", "any ordinary number"),
        ("", "+442079460958", "any ordinary number"),
        ("", "+18005550199", "any ordinary number"),
        ("", "+80012345678", "any ordinary number"),
        ("US", "+15550001234", "allowed country US"),
        ("us, gb", "+442079460958", "allowed country GB"),
        ("+1555*", "+15550001234", "allowed prefix +1555*"),
        ("+1 (555) 000-1234", "+15550001234", "allowed number"),
        ("+19005550123", "+19005550123", "allowed number"),
        ("+881612345678", "+881612345678", "allowed number"),
        ("IN", "+918012345678", "allowed country IN"),
        (
            "IN",
            "+15550001234",
            "refused: TRANSFER_ALLOW does not name the number's country (US)",
        ),
        (
            "US",
            "+18765550123",
            "refused: TRANSFER_ALLOW does not name the number",
        ),
        (
            "US",
            "+14165550123",
            "refused: TRANSFER_ALLOW does not name the number",
        ),
        ("CA", "+14165550123", "allowed country CA"),
        (
            "+1212*",
            "+15550001234",
            "refused: TRANSFER_ALLOW does not name the number",
        ),
        (
            "US",
            "+19005550123",
            "refused: premium rate numbers are never reached unless named one by one",
        ),
        (
            "+1*",
            "+19005550123",
            "refused: premium rate numbers are never reached unless named one by one",
        ),
        (
            "",
            "+881612345678",
            "refused: satellite and global network numbers are never reached unless named one by one",
        ),
    ] {
        assert_eq!(
            show(policy(allow).decide(&number(to))),
            expect,
            "{to} under `{allow}`"
        );
    }
}

#[test]
fn a_jobs_transfer_to_is_trusted_but_not_with_premium_numbers() {
    let dispatched = |to: &str| {
        let policy = policy("IN").for_job(Some(number(to)));
        show(policy.decide(&number(to)))
    };
    assert_eq!(dispatched("+15550001234"), "transfer_to of the job");
    assert!(dispatched("+19005550123").starts_with("refused: premium rate"));
    let other = policy("IN").for_job(Some(number("+15550001234")));
    assert!(other.decide(&number("+15550001235")).is_err());
}

#[test]
fn every_class_is_refused_in_many_countries() {
    use NumberClass::*;
    for (class, numbers) in [
        (
            PremiumRate,
            &[
                "+1 900 555 0123",
                "+1 900 234 5678",
                "+1 212 976 1234",
                "+1 416 976 1234",
                "+1 212 555 1212",
                "+44 909 879 0123",
                "+44 906 123 4567",
                "+44 98 1234 5678",
                "+49 900 1 123456",
                "+49 190 123456",
                "+33 899 12 34 56",
                "+39 899 123 456",
                "+39 892 123",
                "+34 803 123 456",
                "+34 905 123 456",
                "+31 900 1234",
                "+31 906 1234567",
                "+32 900 12345",
                "+41 900 123 456",
                "+41 906 123 456",
                "+43 900 123456",
                "+43 930 123456",
                "+46 900 1234567",
                "+46 939 1234567",
                "+47 829 12345",
                "+45 90 12 34 56",
                "+48 701 234 567",
                "+353 1550 123456",
                "+61 1900 123 456",
                "+64 900 12345",
                "+81 990 123456",
                "+7 809 123 45 67",
                "+55 900 123 4567",
                "+972 1900 123 456",
                "+358 600 12345",
                "+351 601 234 567",
            ][..],
        ),
        (
            SharedCost,
            &[
                "+44 843 234 5678",
                "+44 844 234 5678",
                "+44 845 123 4567",
                "+44 870 123 4567",
                "+44 871 234 5678",
                "+44 872 234 5678",
                "+49 180 5 123456",
                "+49 137 7 123456",
                "+33 820 12 34 56",
                "+33 811 12 34 56",
                "+39 848 123 456",
                "+39 199 123 456",
                "+34 902 123 456",
                "+34 901 123 456",
                "+41 848 123 456",
                "+43 820 123456",
                "+43 810 123456",
                "+61 1300 123 456",
                "+61 13 12 34",
                "+91 1860 123 4567",
                "+81 570 012 345",
                "+1 700 234 5678",
            ],
        ),
        (
            PersonalNumber,
            &[
                "+44 70 1234 5678",
                "+49 700 12345678",
                "+1 500 234 5678",
                "+1 533 234 5678",
                "+34 701 234 567",
                "+39 178 123 4567",
            ],
        ),
        (
            Pager,
            &["+44 76 4012 3456", "+49 164 1234567", "+49 168 12345678"],
        ),
        (
            GlobalNetwork,
            &[
                "+870 773 111 632",
                "+871 123 456 789",
                "+874 123 456 789",
                "+878 10 1234567890",
                "+879 123 45678",
                "+881 612 345 678",
                "+881 812 345 67",
                "+882 16 12345678",
                "+883 510 012345678",
                "+979 123 456 789",
                "+808 1234 5678",
                "+888 123 456 789 01",
                "+388 3 123 4567",
                "+991 001 1234567",
            ],
        ),
        (
            UnassignedCode,
            &["+999 123 4567", "+210 123 4567", "+693 123 4567"],
        ),
        (Emergency, &["+1 911 555 0123", "+44 112 1234567"]),
        (
            ShortCode,
            &[
                "+1 411 555 0123",
                "+1 811 555 0199",
                "+1 211 555 0100",
                "+49 118 33",
                "+49 11880",
                "+39 12 1234",
            ],
        ),
    ] {
        for text in numbers {
            let number = number(text);
            for allow in [
                "",
                "US, GB, DE, FR, IT, ES, IN, AU, JP, IE",
                "+1*, +4*, +3*, +8*, +9*",
            ] {
                assert_eq!(
                    policy(allow).decide(&number).err(),
                    expected(class, text),
                    "{text} under `{allow}`"
                );
            }
        }
    }

    /// A named destination stays reachable, whatever its class.
    fn expected(class: NumberClass, text: &str) -> Option<Refusal> {
        (text != "+44 909 879 0123").then_some(Refusal::Class(class))
    }
}

#[test]
fn ordinary_numbers_are_of_no_class() {
    for text in [
        "+1 555 000 1234",
        "+1 212 555 0123",
        "+1 800 555 0199",
        "+1 876 976 1234",
        "+1 416 555 0123",
        "+44 20 7946 0958",
        "+44 7700 900123",
        "+44 7624 123456",
        "+44 800 123 4567",
        "+44 30 0123 4567",
        "+49 30 901820",
        "+49 1512 3456789",
        "+33 1 42 68 53 00",
        "+33 6 12 34 56 78",
        "+33 800 123 456",
        "+39 06 1234 5678",
        "+39 312 345 6789",
        "+34 612 345 678",
        "+34 912 345 678",
        "+31 20 123 4567",
        "+31 88 123 4567",
        "+32 470 12 34 56",
        "+41 44 668 18 00",
        "+43 1 23456789",
        "+46 8 123 456 78",
        "+47 21 23 45 67",
        "+48 512 345 678",
        "+353 1 234 5678",
        "+353 85 012 3456",
        "+61 2 1234 5678",
        "+61 412 345 678",
        "+64 21 123 456",
        "+81 3 1234 5678",
        "+81 90 1234 5678",
        "+86 131 2345 6789",
        "+91 80 4123 4567",
        "+91 98765 43210",
        "+91 80000 00001",
        "+7 912 345 67 89",
        "+7 701 234 5678",
        "+55 11 96123 4567",
        "+972 50 234 5678",
        "+971 50 123 4567",
        "+65 8123 4567",
        "+852 5123 4567",
        "+27 71 123 4567",
        "+234 802 123 4567",
        "+254 712 123456",
    ] {
        assert_eq!(NumberClass::of(&number(text)), None, "{text}");
    }
}

/// The plans' own examples: what they call premium is refused, what they call ordinary is not.
#[test]
fn examples_of_all_numbering_plans_are_judged_as_their_plans_say() {
    let examples = |kind| {
        DATABASE.iter().filter_map(move |plan| {
            let example = plan.descriptors().get(kind)?.example()?;
            let number = format!("+{}{example}", plan.country_code());
            Some((plan.id().to_owned(), number.parse::<PhoneNumber>().ok()?))
        })
    };
    let mut refused = 0;
    for kind in [
        Type::PremiumRate,
        Type::SharedCost,
        Type::PersonalNumber,
        Type::Pager,
    ] {
        for (plan, number) in examples(kind) {
            assert!(
                NumberClass::of(&number).is_some(),
                "{plan} {kind:?} {number}"
            );
            refused += 1;
        }
    }
    let mut ordinary = 0;
    let mut wrong = Vec::new();
    for kind in [Type::FixedLine, Type::Mobile, Type::TollFree, Type::Voip] {
        for (plan, number) in examples(kind) {
            let is_global = GLOBAL.contains(&number.country_code());
            ordinary += 1;
            if NumberClass::of(&number).is_some() != is_global {
                wrong.push(format!(
                    "{plan} {kind:?} {number} {:?}",
                    NumberClass::of(&number)
                ));
            }
        }
    }
    const GLOBAL: [&str; 8] = ["808", "870", "878", "881", "882", "883", "888", "979"];
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        refused > 280 && ordinary > 700,
        "{refused} and {ordinary} examples"
    );
}

#[test]
fn what_is_wrong_with_an_allow_list_names_the_entry() {
    for (text, expect) in [
        (" , ", "there is no entry in it"),
        (
            "IN, India",
            "`India`: not a two-letter country code (ISO 3166-1), such as IN or US",
        ),
        (
            "*",
            "`*`: numbers and prefixes start with + and the country code, as in +15550001234 or +44*",
        ),
        (
            "44*",
            "`44*`: numbers and prefixes start with + and the country code, as in +15550001234 or +44*",
        ),
        (
            "15550001234",
            "`15550001234`: numbers and prefixes start with + and the country code, as in +15550001234 or +44*",
        ),
        (
            "+*",
            "`+*`: a prefix is + and 1 to 15 digits before the *, as in +44*",
        ),
        (
            "+4*4*",
            "`+4*4*`: a prefix is + and 1 to 15 digits before the *, as in +44*",
        ),
        (
            "+0*",
            "`+0*`: a prefix is + and 1 to 15 digits before the *, as in +44*",
        ),
        (
            "+1555",
            "`+1555`: 4 digits with the country code are too few for a phone number",
        ),
        (
            "+44*, +1900*",
            "`+1900*`: premium rate numbers are allowed one by one only; write the whole number",
        ),
        (
            "+8816*",
            "`+8816*`: satellite and global network numbers are allowed one by one only; write the whole number",
        ),
    ] {
        assert_eq!(
            text.parse::<AllowList>().unwrap_err().to_string(),
            expect,
            "{text}"
        );
    }
}

#[test]
fn an_allow_list_shows_no_whole_number() {
    let allow: AllowList = "+15550001234,+44 20*,in,".parse().unwrap();
    assert_eq!(allow.to_string(), "+1********34, +4420*, IN");
}

#[test]
fn departments_have_names_of_words() {
    for (text, expect) in [
        ("SALES", Some("sales")),
        ("TECH_SUPPORT", Some("tech support")),
        ("__LEVEL_2_", Some("level 2")),
        ("24", None),
        ("", None),
        ("SALES-EU", None),
        ("VERTRIEB_MÜNCHEN", None),
    ] {
        let name = text.parse::<DestinationName>().ok();
        assert_eq!(name.as_ref().map(DestinationName::as_str), expect, "{text}");
    }
}

#[test]
fn one_number_is_tried_three_times_in_a_call() {
    let policy = policy("");
    let (mut call, mut day, now) = (
        CallAttempts::default(),
        DayAttempts::default(),
        Instant::now(),
    );
    let tried = "+15550001235";
    for _ in 0..3 {
        assert!(
            policy
                .admit(&number(tried), &mut call, &mut day, now)
                .is_ok()
        );
    }
    let repeated = policy.admit(&number(tried), &mut call, &mut day, now);
    assert_eq!(repeated, Err(Refusal::Repeated));
    // The call's budget alone limits the operator's own.
    let default = policy.admit(&number(DEFAULT), &mut call, &mut day, now);
    assert_eq!(default, Ok(Rule::DefaultNumber));

    let premium = number("+19005550123");
    for expect in [
        "premium rate",
        "premium rate",
        "premium rate",
        "the number was tried",
    ] {
        let refusal = policy
            .admit(&premium, &mut call, &mut day, now)
            .unwrap_err();
        assert!(refusal.to_string().starts_with(expect), "{refusal}");
    }
    assert!(
        policy
            .admit(&number("+15550001234"), &mut call, &mut day, now)
            .is_ok()
    );
}

#[test]
fn a_call_has_five_transfers_and_refused_ones_do_not_count() {
    let policy = policy("US");
    let (mut call, mut day, now) = (
        CallAttempts::default(),
        DayAttempts::default(),
        Instant::now(),
    );
    let mut admit = |to: String| policy.admit(&number(&to), &mut call, &mut day, now);
    assert!(admit("+918012345678".to_owned()).is_err());
    for n in 0..5 {
        assert!(admit(format!("+1555000123{n}")).is_ok());
    }
    let sixth = admit("+15550001239".to_owned());
    assert_eq!(sixth, Err(Refusal::CallBudget { limit: 5 }));
}

#[test]
fn a_day_is_any_24_hours_and_is_shared_by_all_calls() {
    let policy = TransferPolicy::new(TransferRules {
        max_per_day: Some(2),
        ..TransferRules::default()
    });
    let (mut day, begin) = (DayAttempts::default(), Instant::now());
    let mut admit = |hours| {
        let now = begin + Duration::from_hours(hours);
        policy.admit(
            &number(DEFAULT),
            &mut CallAttempts::default(),
            &mut day,
            now,
        )
    };
    assert!(admit(0).is_ok());
    assert!(admit(10).is_ok());
    assert_eq!(admit(23), Err(Refusal::DayBudget { limit: 2 }));
    assert!(admit(24).is_ok());
    assert!(admit(33).is_err());
    assert!(admit(34).is_ok());
}

#[test]
fn every_refusal_is_polite_and_says_what_to_do() {
    use NumberClass::*;
    let classes = [
        PremiumRate,
        SharedCost,
        PersonalNumber,
        Pager,
        Voicemail,
        GlobalNetwork,
        UnassignedCode,
        Emergency,
        ShortCode,
    ];
    let others = [
        Refusal::Country(None),
        Refusal::Number,
        Refusal::Repeated,
        Refusal::CallBudget { limit: 1 },
        Refusal::DayBudget { limit: 1 },
    ];
    for refusal in classes.map(Refusal::Class).into_iter().chain(others) {
        assert!(refusal.spoken().starts_with("I'm sorry, "), "{refusal}");
        assert!(refusal.spoken().ends_with(['.', '?']), "{refusal}");
        assert!(!refusal.spoken().contains(char::is_numeric), "{refusal}");
        assert!(!refusal.hint().is_empty());
    }
}

/// Lists that leave out no country, and name no single number.
const WIDE: [&str; 4] = [
    "",
    "+1*,+2*,+3*,+4*,+5*,+6*,+7*,+8*,+9*",
    "US,GB,DE,IN,FR,AU",
    "+44*,+49*,+33*,US",
];

fn refused_number() -> impl Strategy<Value = String> {
    let ranges = number_class::refused_ranges();
    (prop::sample::select(ranges), "[0-9]{14}")
        .prop_map(|(range, digits)| format!("+{range}{digits}"))
}

proptest! {
    #[test]
    fn no_list_text_panics(text in ".{0,60}") {
        let _unused: Result<AllowList, _> = text.parse();
        let _unused: Result<DestinationName, _> = text.parse();
    }

    #[test]
    fn no_number_panics_and_a_list_only_takes_away(digits in "[1-9][0-9]{5,14}", list in 1..4_usize) {
        if let Ok(number) = format!("+{digits}").parse::<PhoneNumber>() {
            let (open, listed) = (policy(""), policy(WIDE[list]));
            prop_assert!(open.decide(&number).is_ok() || listed.decide(&number).is_err());
        }
    }

    #[test]
    fn a_refused_range_is_refused_under_every_list(long in refused_number(), length in 7..16_usize, list in 0..4_usize) {
        if let Ok(number) = long[..length.min(long.len())].parse::<PhoneNumber>() {
            let decision = TransferPolicy::new(TransferRules {
                allow: (list > 0).then(|| WIDE[list].parse().unwrap()),
                ..TransferRules::default()
            })
            .decide(&number);
            // The range may be cut off by a short number.
            let whole = number_class::refused_ranges().iter().any(|range| number.digits().starts_with(range));
            prop_assert!(!whole || matches!(decision, Err(Refusal::Class(_))), "{number} {decision:?}");
        }
    }
}
