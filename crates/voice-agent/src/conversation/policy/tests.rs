use proptest::prelude::*;
use transfer_core::policy::TransferRules;

use super::*;

const READ_BACK: &str =
    "You said plus one, five five five, zero zero zero, one two three four. Is that right?";
const ASK_AGAIN: &str = "Sorry. Please say the whole number again, digit by digit.";

fn policy() -> DialoguePolicy {
    DialoguePolicy::new(PolicySettings {
        default_transfer: Some("+15550009999".parse().unwrap()),
        ..PolicySettings::default()
    })
}

/// With `TRANSFER_CONFIRM=false`.
fn trusting() -> DialoguePolicy {
    let rules = TransferRules {
        confirmation: Confirmation::WhenInDoubt,
        ..TransferRules::default()
    };
    DialoguePolicy::new(PolicySettings {
        default_transfer: Some("+15550009999".parse().unwrap()),
        transfer_policy: TransferPolicy::new(rules),
        ..PolicySettings::default()
    })
}

fn without_default() -> DialoguePolicy {
    DialoguePolicy::new(PolicySettings::default())
}

fn turn(text: &str) -> Heard {
    // "a | b" is what the two passes made of the same words.
    match text.split_once(" | ") {
        Some((first, second)) => Heard::Turn {
            first: first.to_owned(),
            second: Some(second.to_owned()),
        },
        None => Heard::Turn {
            first: text.to_owned(),
            second: None,
        },
    }
}

/// Plays a conversation; `keys 12#` are pressed, and only the last of them gets an answer. Each answer is shown as text, with `-> target` or `-> hang up` at its end.
fn check(mut policy: DialoguePolicy, conversation: &[(&str, &str)]) {
    for (heard, expect) in conversation {
        let heard = match *heard {
            "(silence)" => Heard::Silence,
            "(unrecognised)" => Heard::Unrecognised { again: false },
            "(unrecognised again)" => Heard::Unrecognised { again: true },
            "(pause)" => Heard::KeysEnded,
            "(busy)" => Heard::TransferFailed(TransferFailure::TargetBusy),
            "(noted)" => Heard::Noted { kept: true },
            "(note lost)" => Heard::Noted { kept: false },
            text => match text.strip_prefix("keys ") {
                Some(keys) => press(&mut policy, keys),
                None => turn(text),
            },
        };
        assert_eq!(show(&policy.hear(heard.clone())), *expect, "to {heard:?}");
    }
}

/// Presses all keys but the last, silently.
fn press(policy: &mut DialoguePolicy, keys: &str) -> Heard {
    let mut keys = keys
        .chars()
        .map(|key| Heard::Key(Key::try_from(key).unwrap()));
    let last = keys.next_back().expect("there is a key");
    for key in keys {
        assert_eq!(policy.hear(key), nothing());
    }
    last
}

fn show(reply: &Reply) -> String {
    let said = reply.say.clone().unwrap_or_default();
    match &reply.then {
        Action::Listen => said,
        Action::Transfer(TransferRequest::Default) => format!("{said} -> default"),
        Action::Transfer(TransferRequest::Number(number)) => format!("{said} -> {number}"),
        Action::KeepNote { message } => {
            let message = message.as_deref().unwrap_or("(none)");
            format!("{said} -> note: {message}")
        }
        Action::HangUp => format!("{said} -> hang up"),
        Action::PressKeys(keys) => format!("{said} -> keys: {}", keys.reveal()),
    }
}

fn transferred(to: &str) -> String {
    format!("{NOTICE} -> {to}")
}

#[test]
fn a_caller_who_is_not_heard_is_told_how_to_go_on_and_is_then_transferred() {
    let say_again = "I am sorry, I did not catch that. Please say it again.";
    check(
        policy(),
        &[
            (
                "(unrecognised)",
                &format!("{say_again} Or press 0, and I will transfer you."),
            ),
            ("(unrecognised again)", &format!("{DEAF_NOTICE} -> default")),
        ],
    );
    check(
        without_default(),
        &[
            ("(unrecognised)", say_again),
            ("(unrecognised again)", say_again),
        ],
    );
}

#[test]
fn the_default_transfer_needs_one_sentence() {
    for text in [
        "Transfer me.",
        "Transfer me to a live agent.",
        "transfer me to a live agent",
        "Can I speak to a human please?",
        "I want to talk to a real person.",
        "Put me through to billing.",
        "Please transfer me to one of your agents.",
        "Yes, transfer me.",
    ] {
        check(policy(), &[(text, &transferred("default"))]);
    }
}

#[test]
fn a_number_is_read_back_and_a_yes_transfers() {
    for said in [
        "Transfer me to plus one five five five, triple zero, one two three four.",
        "Transfer me to +1-555-000-1234.",
        "Transfer me to plus 1 555, triple 0, 1 2 3 4.",
        "Transfer me to plus one five five five triple zero 1234. | Transfer me to plus 1, 5 5 5, triple 0, 1 2 3 4.",
        // One of two recognitions lost a digit.
        "Transfer me to plus 1 555 00 1234. | Transfer me to plus 1 5 5 5 0 0 0 1 2 3 4.",
        "Transfer me to plus 1 555 000 1234. | Transfer me to plus one five five five five zero zero zero one two three four.",
        "It's plus one 555 000 1234.",
    ] {
        check(
            policy(),
            &[(said, READ_BACK), ("Yes.", &transferred("+15550001234"))],
        );
    }
}

#[test]
fn without_confirmation_a_number_that_was_understood_twice_is_transferred_to_at_once() {
    let twice = "Transfer me to +1 555 000 1234. | Transfer me to plus one, 555, triple zero, one two three four.";
    let told = "Sure, I am transferring you now, to plus one, five five five, zero zero zero, one two three four. \
        One moment please. -> +15550001234";
    check(trusting(), &[(twice, told)]);
    // Asked for, by voice or by keys, the number needs no "transfer me".
    let number = "plus 1 555 000 1234 | plus 1 555 000 1234";
    check(
        trusting(),
        &[
            (
                "Transfer me to 98765 43210.",
                "Sorry, I need the number with its country code. Please say it again, starting with plus.",
            ),
            (number, told),
        ],
    );
    check(asked_for_keys(trusting()), &[(number, told)]);
}

#[test]
fn without_confirmation_what_is_in_doubt_is_asked_about_all_the_same() {
    for said in [
        // One recognition, or one that found a number.
        "Transfer me to +1 555 000 1234.",
        "Transfer me to +1 555 000 1234. | Transfer me to her.",
        "Transfer me to plus 1 555 00 1234. | Transfer me to plus 1 5 5 5 0 0 0 1 2 3 4.",
        // A number that is only mentioned.
        "My number is +1 555 000 1234. | My number is +1 555 000 1234.",
    ] {
        check(
            trusting(),
            &[(said, READ_BACK), ("Yes.", &transferred("+15550001234"))],
        );
    }
    // A correction, a number in pieces, one on the keypad.
    let right = "plus one 555 000 1234 | plus one 555 000 1234";
    check(
        trusting(),
        &[
            ("Transfer me to +1 555 000 1234.", READ_BACK),
            (
                "No, +1 555 000 1235. | No, +1 555 000 1235.",
                &READ_BACK.replace("three four", "three five"),
            ),
            (right, READ_BACK),
        ],
    );
    check(
        trusting(),
        &[
            (
                "Transfer me to plus one five five five | Transfer me to plus one five five five",
                "I have plus one five five five. What comes next?",
            ),
            (
                "triple zero one two three four | triple zero one two three four",
                READ_BACK,
            ),
        ],
    );
    check(
        asked_for_keys(trusting()),
        &[("keys 15550001234#", ENTERED)],
    );
    // What is refused is refused.
    let premium = "Transfer me to +1 900 555 0100. | Transfer me to +1 900 555 0100.";
    let reply = trusting().hear(turn(premium));
    assert_eq!(reply.then, Action::Listen);
    assert!(show(&reply).contains("premium"), "{}", show(&reply));
    let not = "Don't transfer me to +1 555 000 1234. | Don't transfer me to +1 555 000 1234.";
    assert_eq!(trusting().hear(turn(not)).then, Action::Listen);
}

#[test]
fn two_recognitions_that_contradict_each_other_are_not_read_back() {
    check(
        policy(),
        &[
            (
                "plus 1 202 555 0143 | plus 1 202 555 0144",
                "Sorry, I am not sure about that number. Please say it again, digit by digit.",
            ),
            (
                "plus 1 202 555 0143 | plus one, two zero two, five five five, zero one four three",
                "You said plus one, two zero two, five five five, zero one four three. Is that right?",
            ),
            ("That's correct.", &transferred("+12025550143")),
        ],
    );
}

#[test]
fn of_two_numbers_the_one_in_service_is_read_back() {
    check(
        policy(),
        &[(
            "plus 9 1, 9 8, 7 6 5 4 3, 1 | Plus nine one, nine eight, double seven, six, five, four, three, double one.",
            "You said plus nine one, nine eight seven seven six, five four three one one. Is that right?",
        )],
    );
}

#[test]
fn a_no_asks_for_the_number_again() {
    let said = "Transfer me to +1 555 000 1234.";
    for no in ["No.", "That's wrong.", "That's not right.", "No, five six."] {
        check(
            policy(),
            &[(said, READ_BACK), (no, ASK_AGAIN), (said, READ_BACK)],
        );
    }
}

#[test]
fn a_correction_replaces_the_number_or_its_end() {
    check(
        policy(),
        &[
            (
                "Transfer me to +1 555 000 1235.",
                "You said plus one, five five five, zero zero zero, one two three five. Is that right?",
            ),
            ("No, it ends in one two three four.", READ_BACK),
            (
                "No, plus four four, two zero, seven nine four six, zero nine five eight.",
                "You said plus four four, two zero, seven nine four six, zero nine five eight. Is that right?",
            ),
            ("Yes please.", &transferred("+442079460958")),
        ],
    );
}

#[test]
fn a_number_may_come_in_pieces() {
    check(
        policy(),
        &[
            (
                "Transfer me to plus one five five five",
                "I have plus one five five five. What comes next?",
            ),
            ("triple zero one two three four", READ_BACK),
            ("yes", &transferred("+15550001234")),
        ],
    );
}

#[test]
fn without_a_country_code_the_agent_asks_or_knows_the_region() {
    let said = "Transfer me to 98765 43210.";
    let mut policy = policy();
    let asked = show(&policy.hear(turn(said)));
    assert!(asked.contains("country code"), "{asked}");
    assert!(policy.expects_number());

    let settings = PolicySettings {
        default_region: Some("IN".parse().unwrap()),
        ..PolicySettings::default()
    };
    check(
        DialoguePolicy::new(settings),
        &[(
            said,
            "You said plus nine one, nine eight seven six five, four three two one zero. Is that right?",
        )],
    );
}

#[test]
fn after_two_misunderstandings_the_keypad_is_asked_for() {
    let garbled = "Transfer me to plus one, 555 0000 123456";
    let too_many =
        "Sorry, that number seems to have too many digits. Please say it again, digit by digit.";
    check(
        policy(),
        &[
            (garbled, too_many),
            (
                garbled,
                "Sorry, that number seems to have too many digits. Please enter the number on your keypad, starting with the country code, and press the hash key at the end.",
            ),
            ("keys 15550001234#", ENTERED),
            ("Yes.", &transferred("+15550001234")),
        ],
    );
}

const ENTERED: &str = "You entered plus one, five five five, zero zero zero, one two three four. Is that right? Press 1 or say yes, or press 2 to enter it again.";

/// Two misunderstandings.
fn asked_for_keys(mut policy: DialoguePolicy) -> DialoguePolicy {
    for _ in 0..2 {
        policy.hear(turn("Transfer me to plus one, 555 0000 123456"));
    }
    assert!(expects_keys(&policy));
    policy
}

#[test]
fn a_number_on_the_keypad_is_read_back_and_confirmed_by_key_or_word() {
    for keys in [
        "15550001234",
        "*15550001234",
        "0015550001234",
        "99*15550001234",
    ] {
        for end in ["keys #", "(pause)", "(silence)"] {
            for yes in ["keys 1", "Yes."] {
                let mut policy = asked_for_keys(policy());
                let last = press(&mut policy, keys);
                assert_eq!(policy.hear(last), nothing());
                check(
                    policy,
                    &[(end, ENTERED), (yes, &transferred("+15550001234"))],
                );
            }
        }
    }
    check(
        asked_for_keys(policy()),
        &[
            ("keys 15550001235#", &ENTERED.replace("four.", "five.")),
            ("keys 2", &format!("Sorry. {ENTER}")),
            ("keys 15550001234#", ENTERED),
            (
                "No.",
                "I am sorry, I could not get the number. Shall I transfer you to our team?",
            ),
            ("keys 1", &transferred("default")),
        ],
    );
}

#[test]
fn what_is_no_number_on_the_keypad_is_asked_for_once_more() {
    for (keys, why) in [
        ("keys *1555#", "That number is missing some digits."),
        ("keys *155500012345#", "That number has too many digits."),
        ("keys 5550001#", "I need the country code too."),
        ("keys #", "I did not get any digits."),
    ] {
        check(
            asked_for_keys(policy()),
            &[
                (keys, &format!("{why} {ENTER}")),
                (
                    keys,
                    "I am sorry, I could not get the number. Shall I transfer you to our team?",
                ),
                ("keys 2", "All right. How else can I help?"),
            ],
        );
    }
}

#[test]
fn while_keys_are_pressed_words_do_not_matter_but_a_cancel() {
    check(
        asked_for_keys(policy()),
        &[
            ("keys 1555", ""),
            ("One, triple five, triple oh", ""),
            ("Hello?", ""),
            ("keys 0001234#", ENTERED),
        ],
    );
    check(
        asked_for_keys(policy()),
        &[
            ("keys 1555", ""),
            (
                "Cancel that.",
                "All right, I will not transfer you. How else can I help?",
            ),
            ("keys 1", ""),
        ],
    );
}

#[test]
fn who_has_no_keypad_may_speak() {
    let heard = |text: &str, expect: &str| check(asked_for_keys(policy()), &[(text, expect)]);
    heard(
        "Plus one, triple five, triple zero, one two three four.",
        READ_BACK,
    );
    heard("Just transfer me to a human.", &transferred("default"));
    heard(
        "I have no keypad.",
        "I am sorry, I could not get the number. Shall I transfer you to our team?",
    );
    heard(
        "What?",
        &format!("Sorry, that number seems to have too many digits. {ENTER}"),
    );
    heard("Hello.", ENTER);
    heard("(silence)", &format!("Are you still there? {ENTER}"));
    heard("(pause)", "");
}

#[test]
fn zero_transfers_at_once_wherever_no_number_is_entered() {
    check(policy(), &[("keys 0", &transferred("default"))]);
    for before in [
        "Transfer me to +1 555 000 1234.",
        "Transfer me to 98765 43210.",
        "What are your opening hours?",
    ] {
        let mut policy = policy();
        policy.hear(turn(before));
        check(policy, &[("keys 0", &transferred("default"))]);
    }
    check(
        without_default(),
        &[(
            "keys 0",
            "Which number should I transfer you to? Please start with plus.",
        )],
    );
}

#[test]
fn asked_for_a_number_people_may_press_it() {
    check(
        without_default(),
        &[
            (
                "Transfer me.",
                "Which number should I transfer you to? Please start with plus.",
            ),
            ("keys *15550001234#", ENTERED),
            ("keys 1", &transferred("+15550001234")),
        ],
    );
}

#[test]
fn other_keys_say_nothing() {
    check(
        policy(),
        &[
            ("keys 1", ""),
            ("keys 9", ""),
            ("keys #", ""),
            ("(pause)", ""),
        ],
    );
    check(
        policy(),
        &[
            ("Transfer me to +1 555 000 1234.", READ_BACK),
            ("keys 5", ""),
            ("keys #", ""),
            ("keys 2", ASK_AGAIN),
        ],
    );
}

#[test]
fn nobody_is_transferred_against_their_will() {
    let all_right = "All right, I will not transfer you. How else can I help?";
    for no in ["Wait, don't transfer me.", "Cancel that.", "Never mind."] {
        check(policy(), &[(no, all_right)]);
        check(
            policy(),
            &[
                ("Transfer me to +1 555 000 1234.", READ_BACK),
                (no, all_right),
            ],
        );
    }
    for text in [
        "What are your opening hours?",
        "Hello.",
        "No.",
        "Thank you.",
        "Yes.",
    ] {
        assert_eq!(policy().hear(turn(text)).then, Action::Listen, "{text}");
    }
}

#[test]
fn a_yes_into_the_middle_of_the_number_confirms_nothing() {
    const QUESTION: &str = "You said plus one, two zero two, five five five, zero one four three.";
    let asked = || {
        let mut policy = policy();
        policy.hear(turn("Transfer me to +1 202 555 0143."));
        policy
    };
    for (heard, confirms) in [
        ("", false),
        ("You said plus one, two zero two, five", false),
        (QUESTION, true),
        (
            "You said plus one, two zero two, five five five, zero one four three. Is that",
            true,
        ),
    ] {
        for yes in [turn("Yes."), Heard::Key(Key::ONE)] {
            let mut policy = asked();
            policy.said(heard);
            let reply = policy.hear(yes.clone());
            assert_eq!(
                matches!(reply.then, Action::Transfer(_)),
                confirms,
                "{heard:?}, {yes:?}"
            );
            if confirms {
                continue;
            }
            let question = reply.say.unwrap();
            assert!(question.starts_with("I have plus one"), "{question}");
            policy.said(&question);
            let reply = policy.hear(yes);
            assert!(matches!(reply.then, Action::Transfer(_)), "{reply:?}");
        }
    }
    let mut policy = asked();
    policy.said("You said plus");
    let reply = policy.hear(turn("No."));
    assert!(reply.say.unwrap().contains("say the whole number again"));
}

#[test]
fn only_a_yes_confirms() {
    let question = "I have plus one, five five five, zero zero zero, one two three four. Please say yes if that is right, or no.";
    check(
        policy(),
        &[
            ("Transfer me to +1 555 000 1234.", READ_BACK),
            ("What?", READ_BACK),
            ("Transfer me.", question),
            ("How much does it cost?", question),
            ("Yes, plus one 555 000 1234.", &transferred("+15550001234")),
        ],
    );
}

#[test]
fn other_wishes_lead_to_an_offer() {
    check(
        policy(),
        &[
            (
                "What are your opening hours?",
                "I am sorry, I cannot help with that. Shall I transfer you to someone who can?",
            ),
            ("No thank you.", "All right. How else can I help?"),
            (
                "How much does it cost?",
                "I am sorry, I cannot help with that. Shall I transfer you to someone who can?",
            ),
            ("Yes please.", &transferred("default")),
        ],
    );
}

#[test]
fn short_words_get_a_friendly_answer() {
    check(
        policy(),
        &[
            ("Hello.", "Hello. How can I help?"),
            (
                "Who is this?",
                "This is Ada, an automated assistant. I can transfer you to a person.",
            ),
            (
                "Could you repeat that please?",
                "This is Ada, an automated assistant. I can transfer you to a person.",
            ),
            ("Thank you.", "You are welcome. Is there anything else?"),
            ("Goodbye.", "Thank you for the call. Goodbye. -> hang up"),
        ],
    );
}

#[test]
fn without_a_default_number_the_agent_asks_for_one() {
    check(
        without_default(),
        &[
            (
                "Transfer me.",
                "Which number should I transfer you to? Please start with plus.",
            ),
            ("plus one 555 000 1234", READ_BACK),
            ("Yeah.", &transferred("+15550001234")),
        ],
    );
}

#[test]
fn silence_is_asked_about_once() {
    check(
        policy(),
        &[
            ("(silence)", "Are you still there? How can I help?"),
            ("Hello?", "Hello. How can I help?"),
            ("(silence)", "Are you still there? How can I help?"),
            (
                "(silence)",
                "I cannot hear you, so I will hang up. Goodbye. -> hang up",
            ),
        ],
    );
}

#[test]
fn noise_gets_no_answer() {
    check(policy(), &[("", ""), ("[BLANK_AUDIO]", ""), ("you", "")]);
}

#[test]
fn a_failed_transfer_is_explained_and_the_talk_goes_on() {
    let mut policy = policy();
    policy.hear(turn("Transfer me."));
    let reply = policy.hear(Heard::TransferFailed(TransferFailure::TargetBusy));
    assert_eq!(
        reply.say.as_deref(),
        Some(TransferFailure::TargetBusy.spoken())
    );
    assert_eq!(reply.then, Action::Listen);
    assert_eq!(
        show(&policy.hear(turn("Transfer me."))),
        transferred("default")
    );
}

/// With `CALLBACK_FILE`.
fn noting() -> DialoguePolicy {
    let mut policy = policy();
    policy.take_notes();
    policy
}

const BUSY: &str = "I'm sorry, that line is busy right now. You are still with me. Shall I ask them to call you back?";
const NOTED: &str =
    "Thank you. I have noted that you would like a call back. Is there anything else?";

#[test]
fn who_could_not_be_reached_may_be_asked_to_call_back() {
    let message = "Please call me about order seven, and do not transfer me to +1 555 000 1234.";
    let noted = format!(" -> note: {message}");
    for yes in [
        "Yes, please.",
        "Yes, please call me back.",
        "Please have them call me back.",
        "That would be nice, yes.",
        "Sure.",
        "keys 1",
    ] {
        check(
            noting(),
            &[
                ("Transfer me.", &transferred("default")),
                ("(busy)", BUSY),
                (yes, ASK_FOR_MESSAGE),
                (message, &noted),
                ("(noted)", NOTED),
                ("No.", "All right. Is there anything else?"),
            ],
        );
    }
    for none in ["No.", "No, thank you.", "Thank you.", "(silence)", "Bye."] {
        check(
            noting(),
            &[
                ("(busy)", BUSY),
                ("Yes.", ASK_FOR_MESSAGE),
                ("[BLANK_AUDIO]", ""),
                ("Pardon?", ASK_FOR_MESSAGE),
                ("Hello?", ASK_FOR_MESSAGE),
                (none, " -> note: (none)"),
                (
                    "(note lost)",
                    "I am sorry, I could not write that down, so nobody will know. Please call again later. Is there anything else?",
                ),
            ],
        );
    }
}

#[test]
fn a_call_back_that_is_not_wanted_is_not_noted() {
    for no in ["No.", "No, do not call me back.", "No thanks.", "keys 2"] {
        check(
            noting(),
            &[
                ("(busy)", BUSY),
                (no, "All right. How else can I help?"),
                ("Transfer me.", &transferred("default")),
            ],
        );
    }
    check(
        noting(),
        &[
            ("(busy)", BUSY),
            ("Yes.", ASK_FOR_MESSAGE),
            ("Never mind.", "All right. How else can I help?"),
            ("Hello.", "Hello. How can I help?"),
        ],
    );
    // Another wish is heard.
    for other in ["Transfer me.", "keys 0"] {
        check(
            noting(),
            &[("(busy)", BUSY), (other, &transferred("default"))],
        );
    }
    check(
        noting(),
        &[
            ("(busy)", BUSY),
            ("Transfer me to +1 555 000 1234.", READ_BACK),
        ],
    );
    check(
        noting(),
        &[
            ("(busy)", BUSY),
            ("(silence)", &format!("Are you still there? {CALL_BACK}")),
        ],
    );
}

#[test]
fn a_call_back_is_offered_when_all_was_tried_and_never_without_a_file() {
    use transfer_core::{DialFailure, SipStatus};
    let status = SipStatus(603);
    let class = TransferPolicy::default()
        .decide(&"+19005550100".parse().unwrap())
        .unwrap_err();
    for (failure, offered) in [
        (TransferFailure::Refused { status }, true),
        (TransferFailure::TargetBusy, true),
        (TransferFailure::TargetDeclined, true),
        (TransferFailure::TargetNoAnswer, true),
        (TransferFailure::TargetUnknown, true),
        (TransferFailure::TargetFault { status }, true),
        (TransferFailure::CannotCall(DialFailure::BadRequest), true),
        (TransferFailure::SipServiceDown, true),
        (TransferFailure::Overloaded, true),
        (TransferFailure::ApiKeyRefused, true),
        (TransferFailure::Policy(class), false),
        (TransferFailure::AlreadyTransferring, false),
        (TransferFailure::Cancelled, false),
        (TransferFailure::BadTarget, false),
        (TransferFailure::NotAPhoneCall, false),
        (TransferFailure::CallerGone, false),
    ] {
        let said = |mut policy: DialoguePolicy| {
            let reply = policy.hear(Heard::TransferFailed(failure));
            reply.say.unwrap()
        };
        let told = said(noting());
        assert_eq!(told.ends_with(CALL_BACK), offered, "{failure}: {told}");
        if offered {
            assert!(told.contains("You are still with me. Shall"), "{told}");
        }
        assert_eq!(said(policy()), failure.spoken());
    }
    // A number that is not in service, and that the person gave.
    let mut policy = noting();
    policy.hear(turn("Transfer me to +1 555 000 1234."));
    policy.hear(turn("Yes."));
    let unknown = TransferFailure::TargetUnknown;
    let reply = policy.hear(Heard::TransferFailed(unknown));
    assert_eq!(reply.say.as_deref(), Some(unknown.spoken()));
}

proptest! {
    #[test]
    fn no_conversation_panics_and_no_number_leaves_unconfirmed(
        turns in prop::collection::vec(
            prop::sample::select(vec![
                "Transfer me.", "Yes.", "No.", "plus one 555 000 1234", "plus one 555", "0001234",
                "it ends in 99", "No, five six.", "Cancel.", "What?", "", "Hello.", "India",
                "plus 44 20 7946 0958 | plus 44 20 7946 0959", "98765 43210", "double", "plus",
                "Transfer me to +1 555 000 1234. | Transfer me to +1 555 000 1234.", "plus one 555 000 1234 | plus one 555 000 1234",
                "(busy)", "keys 1", "keys 2", "keys 0", "keys #", "keys *", "keys 5550001234", "(pause)",
            ]),
            0..12,
        ),
        default in any::<bool>(),
        trust in any::<bool>(),
    ) {
        let mut policy = match (default, trust) {
            (true, true) => trusting(),
            (true, false) => policy(),
            (false, _) => without_default(),
        };
        let trust = default && trust;
        policy.take_notes();
        for text in turns {
            let heard = match text.strip_prefix("keys ") {
                Some(keys) if expects_keys(&policy) => press(&mut policy, keys),
                Some(keys) => Heard::Key(Key::try_from(keys.chars().next().unwrap()).unwrap()),
                None if text == "(pause)" => Heard::KeysEnded,
                None if text == "(busy)" => Heard::TransferFailed(TransferFailure::TargetBusy),
                None => turn(text),
            };
            let twice: Option<PhoneNumber> = text
                .contains("+1 555 000 1234. |")
                .then_some(())
                .or(text.starts_with("plus one 555 000 1234 |").then_some(()))
                .map(|()| "+15550001234".parse().unwrap());
            let pending = match &policy.state {
                State::Confirm { number } => Some(number.clone()),
                State::Open
                | State::Number { .. }
                | State::Keypad { .. }
                | State::Offer
                | State::CallBack
                | State::Message => None,
            };
            let asked_for_message = policy.state == State::Message;
            let reply = policy.hear(heard);
            match reply.then {
                Action::Transfer(TransferRequest::Number(number)) => {
                    let agreed = trust && twice.as_ref() == Some(&number);
                    prop_assert!(agreed || pending.as_ref() == Some(&number));
                    prop_assert_eq!(number.to_string().parse(), Ok(number));
                }
                Action::Transfer(TransferRequest::Default) => prop_assert!(default),
                Action::KeepNote { .. } => prop_assert!(asked_for_message),
                Action::Listen | Action::HangUp => {}
                Action::PressKeys(_) => prop_assert!(false, "the rules press no keys"),
            }
        }
    }

    #[test]
    fn any_text_is_answered(first in "\\PC*", second in prop::option::of("\\PC*")) {
        policy().hear(Heard::Turn { first, second });
    }
}

fn expects_keys(policy: &DialoguePolicy) -> bool {
    matches!(policy.state, State::Keypad { .. })
}
