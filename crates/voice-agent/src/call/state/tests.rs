use std::{slice, sync::Arc};

use transfer_core::{
    Fallback, SipStatus, TransferMode, TransferReason,
    policy::{TransferPolicy, TransferRules},
};

use super::*;
use crate::{
    behaviour::{
        FILLER_WAIT, HELLO_WAIT, KEY_PAUSE, RESUME_AFTER, SILENCE, SILENCE_AFTER_INTERRUPTION,
    },
    call::handover::{HANDOVER_LIMIT, VERDICT_LIMIT},
};

const UNCONFIRMED: Outcome = Outcome::Transferred(Verdict::Unconfirmed(Doubt::LegEnded));

#[test]
fn an_outbound_call_dials_before_anything_else_has_happened() {
    let mut call = TestCall::new(Direction::Outbound);

    assert_eq!(call.outputs(), [Output::Dial]);
}

#[test]
fn a_callee_who_says_nothing_is_greeted_when_the_behaviour_says_so() {
    for (behaviour, wait) in [
        ("speak_first = true", Duration::from_millis(300)),
        ("speak_first = 4", Duration::from_secs(4)),
        (
            "speak_first = false\n[timings]\nsilence = 9",
            Duration::from_secs(9),
        ),
    ] {
        let mut call = TestCall::new(Direction::Outbound);
        call.call.settings.behaviour = Behaviour::parse(behaviour).unwrap();
        call.handle(Input::Joined);
        call.handle(phone(CallStatus::Active));
        call.handle(Input::Dialed(Ok(Dialed::Answered)));
        call.outputs();
        call.elapse(wait - Duration::from_millis(1));
        assert_eq!(call.outputs(), [], "{behaviour}");
        call.elapse(Duration::from_millis(1));
        assert_eq!(call.said().len(), 1, "{behaviour}");
    }
}

#[test]
fn an_inbound_call_dials_nobody() {
    let mut call = TestCall::new(Direction::Inbound);

    call.handle(Input::Joined);

    assert_eq!(call.outputs(), []);
}

#[test]
fn a_silent_callee_is_greeted_after_two_seconds_and_a_speaking_one_is_heard_first() {
    let mut call = TestCall::answered();
    call.elapse(HELLO_WAIT - Duration::from_millis(1));
    assert_eq!(call.outputs(), []);
    call.elapse(Duration::from_millis(1));
    assert_eq!(call.said(), ["Good day."]);

    let mut call = TestCall::answered();
    call.handle(Input::SpeechStarted);
    call.elapse(HELLO_WAIT);
    assert_eq!(call.outputs(), []);
    call.handle(turn("Hello?"));
    assert_eq!(call.outputs(), [Output::Think(heard("Hello?"))]);
}

#[test]
fn a_salutation_is_answered_with_the_greeting_and_a_wish_with_its_answer() {
    for (said, then, answer) in [
        ("Hello?", Action::Listen, "Good day."),
        ("Yes, good morning.", Action::Listen, "Good day."),
        ("Transfer me.", to_default(), "Sure."),
        ("What do you want from me?", Action::Listen, "Sure."),
    ] {
        let mut call = TestCall::answered();
        call.reply_to(said, Some("Sure."), then);
        assert_eq!(call.said(), [answer], "{said}");
    }
}

#[test]
fn what_the_carrier_says_while_the_phone_rings_is_not_the_callee() {
    let mut call = TestCall::new(Direction::Outbound);
    call.handle(Input::Joined);
    call.handle(phone(CallStatus::Ringing));
    call.handle(Input::SpeechStarted);
    call.handle(Input::Dialed(Ok(Dialed::Answered)));
    call.outputs();

    call.handle(turn("Please hold the line."));
    assert_eq!(call.outputs(), []);
    call.handle(Input::SpeechStarted);
    call.handle(turn("Transfer me."));
    assert_eq!(call.outputs(), [Output::Think(heard("Transfer me."))]);
}

#[test]
fn the_callee_is_greeted_only_when_both_the_dial_and_our_joining_are_done() {
    for joined_first in [true, false] {
        let mut call = TestCall::new(Direction::Outbound);
        call.outputs();
        let (first, second) = (Input::Joined, Input::Dialed(Ok(Dialed::Answered)));
        let (first, second) = if joined_first {
            (first, second)
        } else {
            (second, first)
        };

        call.handle(first);
        call.elapse(Duration::from_secs(20));
        assert_eq!(call.outputs(), []);
        call.handle(second);
        call.elapse(HELLO_WAIT);

        assert_eq!(call.said(), ["Good day."]);
    }
}

#[test]
fn a_callee_who_was_in_the_room_already_is_greeted_when_the_phone_is_answered() {
    let mut call = TestCall::new(Direction::Outbound);
    call.outputs();
    call.handle(Input::Joined);
    call.handle(Input::Dialed(Ok(Dialed::AlreadyInRoom)));
    call.handle(phone(CallStatus::Ringing));
    call.elapse(Duration::from_secs(20));
    assert_eq!(call.outputs(), []);

    call.handle(phone(CallStatus::Active));
    call.elapse(HELLO_WAIT);

    assert_eq!(call.said(), ["Good day."]);
}

#[test]
fn an_inbound_caller_is_greeted_as_soon_as_the_phone_can_hear_it() {
    let mut call = TestCall::new(Direction::Inbound);
    call.handle(Input::Joined);
    call.handle(phone(CallStatus::Active));
    call.handle(Input::Audible);
    assert_eq!(call.outputs(), []);

    call.elapse(INBOUND_GREETING_DELAY);

    assert_eq!(call.said(), ["Good day."]);
}

#[test]
fn an_inbound_caller_is_greeted_even_if_nobody_said_that_it_hears_us() {
    let mut call = TestCall::new(Direction::Inbound);
    call.handle(phone(CallStatus::Active));
    call.handle(Input::Joined);

    call.elapse(INBOUND_GREETING_LIMIT);

    assert_eq!(call.said(), ["Good day."]);
}

#[test]
fn a_dial_that_fails_ends_the_call_with_its_cause() {
    let mut call = TestCall::new(Direction::Outbound);
    call.outputs();
    call.handle(Input::Joined);
    call.handle(phone(CallStatus::Ringing));

    // The participant leaves before LiveKit tells why.
    call.handle(Input::PhoneLeft);
    assert_eq!(call.outputs(), []);
    call.handle(Input::Dialed(Err(DialFailure::Busy)));

    assert_eq!(
        call.outputs(),
        [Output::End(Outcome::NotAnswered(DialFailure::Busy))]
    );
}

#[test]
fn nothing_follows_the_end() {
    let mut call = TestCall::listening();
    call.handle(Input::PhoneLeft);
    assert_eq!(call.outputs(), [Output::End(Outcome::PhoneLeft)]);

    call.handle(Input::HangUp);
    call.handle(turn("Hello?"));
    call.elapse(SILENCE);

    assert_eq!(call.outputs(), []);
    assert_eq!(call.call.poll_timeout(), None);
}

#[test]
fn whoever_ends_the_call_is_its_outcome() {
    for (input, outcome) in [
        (Input::PhoneLeft, Outcome::PhoneLeft),
        (Input::RoomLost, Outcome::RoomLost),
        (Input::HangUp, Outcome::Terminated),
    ] {
        let mut call = TestCall::listening();
        call.handle(input);
        assert_eq!(call.outputs(), [Output::End(outcome)]);
    }
}

#[test]
fn the_agent_hangs_up_after_its_last_word() {
    let mut call = TestCall::listening();
    call.reply_to("Goodbye.", Some("Goodbye."), Action::HangUp);
    assert_eq!(call.said(), ["Goodbye."]);

    call.spoke();

    assert_eq!(call.outputs(), [Output::End(Outcome::AgentHungUp)]);
}

#[test]
fn a_person_who_says_nothing_is_noticed() {
    let mut call = TestCall::listening();
    call.elapse(SILENCE);
    assert_eq!(call.outputs(), [Output::Think(Heard::Silence)]);
}

#[test]
fn voicemail_is_left_the_message_after_its_tone_and_hung_up_on_without_one() {
    let greeting = "I can't take your call. Please leave a message after the tone.";
    let with_message = "[voicemail]\nmessage = \"{name} here.\"";
    let hung_up = Output::End(Outcome::AnsweredByMachine {
        message_left: false,
    });

    let mut call = TestCall::answered();
    call.handle(Input::SpeechStarted);
    call.handle(turn(greeting));
    assert_eq!(call.outputs(), slice::from_ref(&hung_up));

    let mut call = TestCall::answered();
    call.call.settings.behaviour = Behaviour::parse(with_message).unwrap();
    call.handle(Input::SpeechStarted);
    call.handle(turn(greeting));
    call.elapse(TONE_WAIT - Duration::from_millis(1));
    // It goes on: "When you have finished, hang up." Then its tone, which is no words.
    call.handle(Input::SpeechStarted);
    call.elapse(TONE_WAIT);
    call.handle(turn("When you have finished, hang up."));
    call.handle(Input::SpeechStarted);
    call.elapse(TONE_WAIT);
    call.handle(turn(""));
    call.elapse(TONE_WAIT - Duration::from_millis(1));
    assert_eq!(call.outputs(), []);
    call.elapse(Duration::from_millis(1));
    assert_eq!(call.said(), ["Ada here."]);
    // Nothing interrupts what is recorded.
    call.handle(Input::SpeechStarted);
    call.handle(turn("Hello?"));
    call.spoke();
    assert_eq!(
        call.outputs(),
        [Output::End(Outcome::AnsweredByMachine {
            message_left: true
        })]
    );

    // A box that never falls silent, and one that hangs up.
    let mut call = TestCall::answered();
    call.call.settings.behaviour = Behaviour::parse(with_message).unwrap();
    call.handle(turn(greeting));
    call.handle(Input::SpeechStarted);
    call.elapse(TONE_LIMIT);
    assert_eq!(call.said(), ["Ada here."]);
    call.handle(Input::PhoneLeft);
    assert_eq!(call.outputs(), [hung_up]);
}

#[test]
fn a_machine_that_speaks_in_two_turns_is_recognised_by_the_second() {
    let mut call = TestCall::answered();
    call.reply_to("Hi, this is John.", Some("Sure."), Action::Listen);
    assert_eq!(call.said().len(), 1);

    call.handle(Input::SpeechStarted);
    call.handle(turn("Leave a message."));

    let hung_up = Outcome::AnsweredByMachine {
        message_left: false,
    };
    assert_eq!(call.outputs().last(), Some(&Output::End(hung_up)));
}

#[test]
fn a_call_screener_is_told_who_calls_and_whoever_takes_the_call_is_greeted() {
    let mut call = TestCall::answered();
    call.handle(turn("Please state your name."));
    assert_eq!(
        call.said(),
        ["This is Ada, calling for the owner of this number."]
    );
    call.spoke();
    call.elapse(SILENCE);
    assert_eq!(call.outputs(), []);

    call.reply_to("Hello?", Some("Sure."), Action::Listen);
    assert_eq!(call.said(), ["Good day."]);

    let mut call = TestCall::answered();
    call.handle(turn("Please state your name."));
    call.said();
    call.spoke();
    call.handle(turn("No one is here. Leave a message."));
    let hung_up = Outcome::AnsweredByMachine {
        message_left: false,
    };
    assert_eq!(call.outputs(), [Output::End(hung_up)]);
}

#[test]
fn people_are_not_taken_for_machines_later_in_the_call_nor_when_they_called_us_nor_against_the_setting()
 {
    let said = "I could not leave a message.";
    let mut late = TestCall::listening();
    late.elapse(MACHINE_WINDOW);
    late.outputs();
    late.handle(Input::Replied(reply(None, Action::Listen)));

    let mut inbound = TestCall::new(Direction::Inbound);
    inbound.handle(Input::Joined);
    inbound.handle(phone(CallStatus::Active));
    inbound.handle(Input::Audible);

    let mut off = TestCall::answered();
    off.call.settings.behaviour = Behaviour::parse("[voicemail]\ndetect = false").unwrap();

    for mut call in [late, inbound, off] {
        call.handle(turn(said));
        assert_eq!(call.outputs(), [Output::Think(heard(said))]);
    }
}

#[test]
fn a_person_who_speaks_over_the_agent_stops_it_and_is_heard() {
    let mut call = TestCall::speaking("I can do a lot.");

    call.handle(Input::SpeechStarted);
    assert_eq!(call.outputs(), [Output::PauseSpeaking]);
    call.handle(turn("Transfer me."));
    assert_eq!(
        call.outputs(),
        [Output::StopSpeaking, Output::Think(heard("Transfer me."))]
    );
}

#[test]
fn a_noise_leaves_no_long_silence() {
    let mut call = TestCall::listening();
    call.handle(Input::SpeechStarted);
    call.handle(turn(" "));
    call.elapse(SILENCE_AFTER_INTERRUPTION - Duration::from_millis(1));
    assert_eq!(call.outputs(), []);

    call.elapse(Duration::from_millis(1));

    assert_eq!(call.outputs(), [Output::Think(Heard::Silence)]);
}

#[test]
fn the_agent_goes_on_after_a_noise_and_after_what_listeners_say() {
    for (says, said, goes_on) in [
        ("We open at nine, every day.", "", true),
        ("We open at nine, every day.", " [BLANK_AUDIO]", true),
        ("We open at nine, every day.", "Mm-hm.", true),
        ("We open at nine, every day.", "Yeah, okay.", true),
        ("We open at nine, every day.", "Yes.", false),
        ("We open at nine, every day.", "Okay, bye.", false),
        ("You said five. Is that right?", "", true),
        ("You said five. Is that right?", "Yeah.", false),
        ("You said five. Is that right?", "Right.", false),
        (
            "I have five. Please say yes if that is right, or no.",
            "Mm-hm.",
            false,
        ),
    ] {
        let mut call = TestCall::speaking(says);
        call.handle(Input::SpeechStarted);
        call.outputs();

        call.handle(turn(said));

        let expected = if goes_on {
            vec![Output::ResumeSpeaking]
        } else {
            vec![Output::StopSpeaking, Output::Think(heard(said))]
        };
        assert_eq!(call.outputs(), expected, "{says:?}, {said:?}");
        if goes_on {
            call.spoke();
            call.elapse(SILENCE);
            assert_eq!(call.outputs(), [Output::Think(Heard::Silence)]);
        }
    }
}

#[test]
fn the_agent_goes_on_only_when_all_that_was_begun_over_it_is_heard() {
    let mut call = TestCall::speaking("I can do a lot.");
    call.handle(Input::SpeechStarted);
    call.handle(Input::SpeechStarted);
    call.handle(turn("Mm-hm."));
    assert_eq!(call.outputs(), [Output::PauseSpeaking]);

    call.handle(turn(""));

    assert_eq!(call.outputs(), [Output::ResumeSpeaking]);
}

#[test]
fn a_turn_that_never_comes_does_not_silence_the_agent_for_good() {
    let mut call = TestCall::speaking("I can do a lot.");
    call.handle(Input::SpeechStarted);
    call.outputs();

    call.elapse(TURN_LIMIT);

    assert_eq!(call.outputs(), [Output::ResumeSpeaking]);
}

#[test]
fn words_that_come_late_stop_the_agent_once_more() {
    for (behaviour, wait) in [
        ("", RESUME_AFTER),
        ("[timings]\nresume_after = 0.5", Duration::from_millis(500)),
    ] {
        let mut call = TestCall::speaking("I can do a lot.");
        call.call.settings.behaviour = Behaviour::parse(behaviour).unwrap();
        call.handle(Input::SpeechStarted);
        call.elapse(Duration::from_secs(6));
        call.handle(Input::SpeechEnded { at: call.now });
        assert_eq!(call.outputs(), [Output::PauseSpeaking]);
        call.elapse(wait - Duration::from_millis(1));
        assert_eq!(call.outputs(), []);
        call.elapse(Duration::from_millis(1));
        assert_eq!(call.outputs(), [Output::ResumeSpeaking]);

        call.handle(turn("Transfer me."));

        assert_eq!(
            call.outputs(),
            [Output::StopSpeaking, Output::Think(heard("Transfer me."))]
        );
    }
}

#[test]
fn a_noise_that_is_late_does_not_resume_over_the_person() {
    let mut call = TestCall::speaking("I can do a lot.");
    call.handle(Input::SpeechStarted);
    call.handle(Input::SpeechEnded { at: call.now });
    call.elapse(RESUME_AFTER);
    call.handle(Input::SpeechStarted);
    call.outputs();

    call.handle(turn(""));
    assert_eq!(call.outputs(), []);
    call.handle(Input::SpeechEnded { at: call.now });
    call.handle(turn("Mm-hm."));

    assert_eq!(call.outputs(), [Output::ResumeSpeaking]);
}

#[test]
fn what_the_second_recognition_understood_is_no_noise() {
    for (second, expected) in [
        ("Transfer me.", Output::StopSpeaking),
        ("Mm-hm.", Output::ResumeSpeaking),
    ] {
        let mut call = TestCall::speaking("I can do a lot.");
        call.handle(Input::SpeechStarted);
        call.outputs();

        call.handle(Input::Turn {
            first: "Mm.".to_owned(),
            second: Some(second.to_owned()),
        });

        assert_eq!(call.outputs()[0], expected, "{second}");
    }
}

#[test]
fn who_gives_a_sign_of_life_is_not_hung_up_on() {
    let mut call = TestCall::listening();
    let last_words = "I cannot hear you, so I will hang up. Goodbye.";
    call.reply_to("Hm?", Some(last_words), Action::HangUp);
    call.outputs();
    call.handle(Input::SpeechStarted);

    call.handle(turn("Okay."));

    let thinks = Output::Think(heard("Okay."));
    assert_eq!(
        call.outputs(),
        [Output::PauseSpeaking, Output::StopSpeaking, thinks]
    );
}

#[test]
fn an_okay_to_what_has_been_said_in_full_is_an_answer() {
    let mut call = TestCall::speaking("We open at nine, every day.");
    call.handle(Input::SpeechStarted);
    call.spoke();
    call.outputs();

    call.handle(turn("Okay."));

    let thinks = Output::Think(heard("Okay."));
    assert_eq!(call.outputs(), [Output::StopSpeaking, thinks]);
}

#[test]
fn a_backchannel_that_began_before_the_agent_spoke_does_not_stop_it() {
    let mut call = TestCall::speaking("I can do a lot.");

    call.handle(turn("Okay."));
    assert_eq!(call.outputs(), []);
    call.handle(turn("Transfer me."));

    assert_eq!(
        call.outputs(),
        [Output::StopSpeaking, Output::Think(heard("Transfer me."))]
    );
}

#[test]
fn a_key_pressed_over_the_agent_is_answered_though_somebody_speaks() {
    let mut call = TestCall::speaking("I can do a lot.");
    call.handle(Input::SpeechStarted);
    call.outputs();

    call.handle(key('0'));

    let expected = [Output::StopSpeaking, Output::Think(pressed('0'))];
    assert_eq!(call.outputs(), expected);
}

#[test]
fn a_goodbye_that_had_ended_as_the_person_spoke_waits_for_the_words() {
    for (said, expected) in [
        ("", Output::End(Outcome::AgentHungUp)),
        (
            "Wait, transfer me.",
            Output::Think(heard("Wait, transfer me.")),
        ),
    ] {
        let mut call = TestCall::listening();
        call.reply_to("Bye.", Some("Goodbye."), Action::HangUp);
        call.outputs();
        call.handle(Input::SpeechStarted);
        call.handle(Input::SpeechEnded { at: call.now });
        call.spoke();
        assert_eq!(call.outputs(), [Output::PauseSpeaking]);
        call.elapse(RESUME_AFTER);
        call.filler();

        call.handle(turn(said));

        assert_eq!(call.outputs().last(), Some(&expected));
    }
}

#[test]
fn a_person_who_hangs_up_over_the_agent_has_hung_up() {
    let mut call = TestCall::speaking("I can do a lot.");
    call.handle(Input::SpeechStarted);
    call.outputs();

    call.handle(Input::PhoneLeft);

    assert_eq!(call.outputs(), [Output::End(Outcome::PhoneLeft)]);
}

#[test]
fn a_person_who_goes_on_while_the_agent_thinks_gets_one_answer() {
    let mut call = TestCall::listening();
    call.handle(turn("Well."));
    call.handle(turn("Transfer me."));
    assert_eq!(call.outputs(), [Output::Think(heard("Well."))]);

    call.handle(Input::Replied(reply(Some("Pardon?"), Action::Listen)));

    assert_eq!(call.outputs(), [Output::Think(heard("Transfer me."))]);
}

#[test]
fn keys_are_heard_in_their_order_and_a_pause_ends_them() {
    let mut call = TestCall::listening();
    call.handle(key('5'));
    call.handle(key('A'));
    call.handle(key('7'));
    assert_eq!(call.outputs(), [Output::Think(pressed('5'))]);
    call.handle(Input::Replied(reply(None, Action::Listen)));
    assert_eq!(call.outputs(), [Output::Think(pressed('7'))]);
    call.handle(Input::Replied(reply(None, Action::Listen)));

    call.elapse(KEY_PAUSE);
    assert_eq!(call.outputs(), [Output::Think(Heard::KeysEnded)]);
    call.handle(Input::Replied(reply(None, Action::Listen)));
    call.elapse(KEY_PAUSE);
    assert_eq!(call.outputs(), []);
}

#[test]
fn a_key_stops_the_agent_but_not_the_notice_of_a_transfer() {
    let mut call = TestCall::listening();
    call.reply_to("Hello.", Some("How can I help?"), Action::Listen);
    call.outputs();
    call.handle(key('0'));
    let expected = [Output::StopSpeaking, Output::Think(pressed('0'))];
    assert_eq!(call.outputs(), expected);

    call.handle(Input::Replied(reply(
        Some("One moment please."),
        to_default(),
    )));
    call.outputs();
    call.handle(key('0'));
    assert_eq!(call.outputs(), []);
}

#[test]
fn a_transfer_waits_until_its_notice_was_heard_in_full() {
    let mut call = TestCall::listening();
    call.reply_to("Transfer me.", Some("One moment please."), to_default());
    assert_eq!(call.said(), ["One moment please."]);

    call.handle(Input::SpeechStarted);
    call.handle(turn("Thank you."));
    assert_eq!(call.outputs(), [], "the notice cannot be interrupted");
    call.spoke();

    assert_eq!(call.outputs(), [refer("sip:+15550009999@sip.example.net")]);
}

#[test]
fn a_named_number_goes_before_the_default() {
    let mut call = TestCall::listening();
    let number = "+15550001234".parse().unwrap();
    let action = Action::Transfer(TransferRequest::Number(number));
    call.reply_to("Transfer me.", None, action);

    assert_eq!(call.outputs(), [refer("sip:+15550001234@sip.example.net")]);
}

#[test]
fn the_agent_is_silent_and_deaf_while_the_target_rings() {
    let mut call = TestCall::transferring();

    call.handle(Input::SpeechStarted);
    call.handle(turn("Hello? Is anybody there?"));
    call.elapse(Duration::from_secs(60));

    assert_eq!(call.outputs(), []);
}

#[test]
fn a_transfer_counts_as_connected_only_if_the_leg_outlives_the_success_or_the_server_says_so() {
    let connected = Outcome::Transferred(Verdict::Connected);
    for (reason, stayed, outcome) in [
        (None, Duration::from_millis(1000), connected),
        (None, Duration::from_millis(20), UNCONFIRMED),
        (Some(TransferReason::Completed), Duration::ZERO, connected),
        (
            Some(TransferReason::CallEnded),
            Duration::from_millis(1000),
            UNCONFIRMED,
        ),
    ] {
        let mut call = TestCall::transferring();
        call.handle(Input::Transferred(TransferAnswer::Success(reason)));
        call.elapse(stayed);
        call.handle(Input::PhoneLeft);
        assert_eq!(call.outputs(), [Output::End(outcome)], "{reason:?}");
    }
}

#[test]
fn a_leg_that_does_not_leave_after_the_success_is_ended() {
    let mut call = TestCall::transferring();
    call.handle(Input::Transferred(TransferAnswer::Success(None)));

    call.elapse(HANDOVER_LIMIT);

    let outcome = Outcome::Transferred(Verdict::Connected);
    assert_eq!(call.outputs(), [Output::End(outcome)]);
}

#[test]
fn a_leg_that_has_ended_counts_as_gone_though_its_participant_lingers() {
    let mut call = TestCall::transferring();
    call.handle(Input::Transferred(TransferAnswer::Success(None)));

    call.handle(phone(CallStatus::Hangup));

    assert_eq!(call.outputs(), [Output::End(UNCONFIRMED)]);
}

#[test]
fn a_caller_who_leaves_before_the_verdict_was_not_connected_for_sure() {
    for (answer, outcome) in [
        (TransferAnswer::Success(None), UNCONFIRMED),
        (Doubt::TimedOut.into(), UNCONFIRMED),
        (TransferFailure::TargetBusy.into(), Outcome::PhoneLeft),
    ] {
        let mut call = TestCall::transferring();
        call.handle(Input::PhoneLeft);
        assert_eq!(call.outputs(), []);
        call.handle(Input::Transferred(answer));
        assert_eq!(call.outputs(), [Output::End(outcome)]);
    }
}

#[test]
fn a_verdict_that_does_not_come_after_the_caller_left_is_not_waited_for() {
    let mut call = TestCall::transferring();
    call.handle(Input::PhoneLeft);

    call.elapse(VERDICT_LIMIT);

    assert_eq!(call.outputs(), [Output::End(UNCONFIRMED)]);
}

#[test]
fn a_failed_transfer_is_explained_and_the_talk_goes_on() {
    let mut call = TestCall::transferring();

    call.handle(Input::Transferred(TransferFailure::TargetBusy.into()));
    assert_eq!(
        call.outputs(),
        [Output::Think(Heard::TransferFailed(
            TransferFailure::TargetBusy
        ))]
    );
    call.handle(Input::Replied(reply(
        Some("That line is busy."),
        Action::Listen,
    )));
    assert_eq!(call.said(), ["That line is busy."]);
    call.spoke();

    call.reply_to("Transfer me.", None, to_default());
    assert_eq!(call.outputs(), [refer("sip:+15550009999@sip.example.net")]);
}

#[test]
fn a_yes_is_not_what_the_caller_has_asked_for() {
    let mut call = TestCall::listening();
    call.reply_to("Transfer me.", Some("Now?"), Action::Listen);
    call.outputs();
    call.spoke();

    call.reply_to("Yes.", None, to_default());

    assert_eq!(call.outputs(), [refer("sip:+15550009999@sip.example.net")]);
}

#[test]
fn who_stands_in_for_the_default_number_does_not_for_a_number_that_was_asked_for() {
    let busy = || Input::Transferred(TransferFailure::TargetBusy.into());
    let mut call = TestCall::listening();
    call.reply_to("Transfer me.", None, to_default());
    call.outputs();
    call.handle(busy());
    let said = call.said();
    assert!(said[0].contains("busy"), "{said:?}");
    call.spoke();
    assert_eq!(call.outputs(), [refer("sip:+15550008888@sip.example.net")]);

    let mut call = TestCall::listening();
    let asked_for = TransferRequest::Number("+15550001234".parse().unwrap());
    call.reply_to("Yes.", None, Action::Transfer(asked_for));
    call.outputs();
    call.handle(busy());
    let failed = Heard::TransferFailed(TransferFailure::TargetBusy);
    assert_eq!(call.outputs(), [Output::Think(failed)]);
}

#[test]
fn a_carrier_that_refuses_refer_makes_the_agent_call_the_target_itself() {
    let mut call = TestCall::transferring();
    let status = SipStatus(603);
    call.handle(Input::Transferred(
        TransferFailure::Refused { status }.into(),
    ));
    assert_eq!(
        call.said(),
        ["One moment, I am connecting you another way."]
    );
    call.spoke();
    let number: PhoneNumber = "+15550009999".parse().unwrap();
    assert_eq!(
        call.outputs(),
        [Output::CallTarget {
            number,
            request: "Transfer me.".to_owned()
        }]
    );

    call.handle(Input::TargetCalled(Ok(())));
    assert_eq!(call.outputs(), [Output::Audience(Audience::Together)]);
    call.handle(turn("Transfer me."));
    call.handle(Input::SpeechStarted);
    call.elapse(Duration::from_secs(600));
    assert_eq!(call.outputs(), [], "the agent is out of it");
    call.handle(Input::TargetLeft);
    let outcome = Outcome::Transferred(Verdict::Connected);
    assert_eq!(call.outputs(), [Output::End(outcome)]);
}

#[test]
fn the_one_who_answers_is_told_what_the_caller_asked_for() {
    let mut call = TestCall::listening();
    call.reply_to(
        "Transfer me to plus one five five five.",
        Some("Is that right?"),
        Action::Listen,
    );
    call.outputs();
    call.spoke();
    call.reply_to("Yes.", None, to_default());
    let outputs = call.outputs();
    let [Output::Refer { request, .. }] = &outputs[..] else {
        panic!("{outputs:?}");
    };
    assert_eq!(request, "Transfer me to plus one five five five.");
}

#[test]
fn after_an_unconfirmed_transfer_no_other_is_sent_for_half_a_minute() {
    for (waited, sent) in [
        (UNCONFIRMED_LIMIT - Duration::from_secs(1), false),
        (UNCONFIRMED_LIMIT, true),
    ] {
        let mut call = TestCall::transferring();
        call.handle(Input::Transferred(Doubt::TimedOut.into()));
        assert_eq!(
            call.outputs(),
            [Output::Think(Heard::TransferUnconfirmed(Doubt::TimedOut))]
        );
        call.handle(Input::Replied(reply(None, Action::Listen)));
        call.now += waited;
        call.outputs();

        call.reply_to("Transfer me.", None, to_default());

        let refused = Output::Think(Heard::TransferFailed(TransferFailure::AlreadyTransferring));
        let expected = if sent {
            refer("sip:+15550009999@sip.example.net")
        } else {
            refused
        };
        assert_eq!(call.outputs(), [expected], "after {waited:?}");
    }
}

#[test]
fn no_notice_is_spoken_of_a_transfer_that_is_refused() {
    let unconfirmed = || {
        let mut call = TestCall::transferring();
        call.handle(Input::Transferred(Doubt::TimedOut.into()));
        call.handle(Input::Replied(reply(None, Action::Listen)));
        call
    };
    let ringing = || {
        let mut call = TestCall::listening();
        call.handle(phone(CallStatus::Ringing));
        call
    };
    let without_default = || {
        let mut call = TestCall::listening();
        call.call.settings.default_transfer = None;
        call
    };
    let premium: PhoneNumber = "+19005550100".parse().unwrap();
    let class = TransferPolicy::default().decide(&premium).unwrap_err();
    let to_premium = Action::Transfer(TransferRequest::Number(premium));
    for (mut call, action, cause) in [
        (
            unconfirmed(),
            to_default(),
            TransferFailure::AlreadyTransferring,
        ),
        (ringing(), to_default(), TransferFailure::CallerGone),
        (without_default(), to_default(), TransferFailure::BadTarget),
        (
            TestCall::listening(),
            to_premium,
            TransferFailure::Policy(class),
        ),
    ] {
        call.outputs();
        for notice in [Some("Sure, I am transferring you now."), None] {
            call.reply_to("Transfer me.", notice, action.clone());
            let refused = Output::Think(Heard::TransferFailed(cause));
            assert_eq!(call.outputs(), [refused], "{cause}, {notice:?}");
            call.handle(Input::Replied(reply(Some("Sorry."), Action::Listen)));
            assert_eq!(call.said(), ["Sorry."]);
            call.spoke();
        }
    }
}

#[test]
fn an_attempt_counts_once_though_the_gate_is_asked_before_its_notice() {
    let limits = TransferRules {
        max_per_call: 1,
        ..TransferRules::default()
    };
    let mut call = TestCall::listening();
    call.call.settings.gate = TransferGate::new(TransferPolicy::new(limits), Arc::default());
    call.reply_to("Transfer me.", Some("One moment."), to_default());
    assert_eq!(call.said(), ["One moment."]);

    call.spoke();

    assert_eq!(call.outputs(), [refer("sip:+15550009999@sip.example.net")]);
}

#[test]
fn a_leg_that_is_no_longer_active_after_the_notice_is_not_transferred() {
    let mut call = TestCall::listening();
    call.reply_to("Transfer me.", Some("One moment."), to_default());
    call.outputs();
    call.handle(phone(CallStatus::Automation));

    call.spoke();

    let refused = Output::Think(Heard::TransferFailed(TransferFailure::CallerGone));
    assert_eq!(call.outputs(), [refused]);
}

#[test]
fn a_note_says_whom_the_caller_wanted_and_why_nobody_was_reached() {
    let mut call = TestCall::listening();
    call.reply_to("Transfer me.", None, to_default());
    call.outputs();
    // The default number is busy, and who stands in does not answer.
    call.handle(Input::Transferred(TransferFailure::TargetBusy.into()));
    call.outputs();
    call.spoke();
    call.outputs();
    call.handle(Input::Transferred(TransferFailure::TargetNoAnswer.into()));
    let failed = Heard::TransferFailed(TransferFailure::TargetNoAnswer);
    assert_eq!(call.outputs(), [Output::Think(failed)]);
    call.handle(Input::Replied(reply(Some("Call back?"), Action::Listen)));
    call.outputs();
    call.spoke();
    let message = Some("It is about order seven.".to_owned());

    call.reply_to(
        "It is about order seven.",
        None,
        Action::KeepNote {
            message: message.clone(),
        },
    );

    assert_eq!(
        call.outputs(),
        [Output::KeepNote {
            identity: "sip_+15550001111".to_owned(),
            wanted: "+15550009999".parse().unwrap(),
            cause: TransferFailure::TargetNoAnswer,
            message,
        }]
    );
    call.handle(turn("Hello?"));
    call.elapse(SILENCE);
    assert_eq!(call.outputs(), [], "it is being written");
    call.handle(Input::Noted { kept: true });
    assert_eq!(call.outputs(), [Output::Think(Heard::Noted { kept: true })]);
    call.handle(Input::Replied(reply(Some("Noted."), Action::Listen)));
    assert_eq!(call.said(), ["Noted."]);
    call.handle(Input::Noted { kept: false });
    assert_eq!(call.outputs(), [], "nothing was to be written");
}

#[test]
fn without_a_failed_transfer_there_is_nothing_to_note() {
    let mut call = TestCall::listening();

    call.reply_to("Call me back.", None, Action::KeepNote { message: None });

    assert_eq!(
        call.outputs(),
        [Output::Think(Heard::Noted { kept: false })]
    );
}

#[test]
fn a_person_who_waits_for_words_thoughts_or_voice_is_told_so_after_each_silence() {
    let mut call = TestCall::listening();
    call.says_something();
    call.elapse(FILLER_WAIT - Duration::from_millis(1));
    assert_eq!(call.outputs(), []);
    call.elapse(Duration::from_millis(1));
    let filler = call.filler();

    // The silence counts from the end of the filler, whatever has become of the words.
    call.handle(turn("What can you do?"));
    assert_eq!(call.outputs(), [Output::Think(heard("What can you do?"))]);
    call.elapse(FILLER_WAIT);
    assert_eq!(call.outputs(), []);
    call.handle(Input::Spoke(filler));
    call.elapse(FILLER_WAIT);
    let filler = call.filler();
    call.handle(Input::Spoke(filler));

    call.handle(Input::Replied(reply(Some("A lot."), Action::Listen)));
    assert_eq!(call.said(), ["A lot."]);
    call.elapse(FILLER_WAIT);
    call.filler();

    // From here on it is heard.
    call.handle(Input::Sounds(call.spoken_last));
    call.elapse(FILLER_WAIT);
    assert_eq!(call.outputs(), []);
    call.spoke();
    call.elapse(SILENCE);
    assert_eq!(call.outputs(), [Output::Think(Heard::Silence)]);
}

#[test]
fn an_answer_in_time_needs_no_filler_and_neither_does_silence() {
    let mut call = TestCall::listening();
    call.says_something();
    call.elapse(FILLER_WAIT / 2);
    call.reply_to("What can you do?", Some("A lot."), Action::Listen);
    assert_eq!(call.said(), ["A lot."]);
    call.handle(Input::Sounds(call.spoken_last));
    call.spoke();
    assert_eq!(call.call.poll_timeout(), Some(call.now + SILENCE));

    // A noise: nobody waits for an answer.
    call.says_something();
    call.handle(turn(""));
    call.elapse(FILLER_WAIT);
    assert_eq!(call.outputs(), []);
}

#[test]
fn without_a_filler_the_person_waits_in_silence() {
    let mut call = TestCall::with("filler = \"\"");
    call.says_something();
    call.handle(turn("What can you do?"));
    call.outputs();
    assert_eq!(call.call.poll_timeout(), None);
}

#[test]
fn a_person_who_speaks_is_not_told_to_wait_and_cuts_the_filler_off() {
    let mut call = TestCall::listening();
    call.says_something();
    call.handle(turn("Well."));
    call.outputs();
    call.handle(Input::SpeechStarted);
    call.elapse(FILLER_WAIT);
    assert_eq!(call.outputs(), [], "the person speaks");

    call.handle(Input::SpeechEnded { at: call.now });
    call.elapse(FILLER_WAIT);
    call.filler();
    call.handle(Input::SpeechStarted);
    assert_eq!(call.outputs(), [Output::StopSpeaking]);
}

#[test]
fn a_person_who_speaks_over_the_filler_of_an_answer_that_is_being_made_pauses_both() {
    let mut call = TestCall::listening();
    call.reply_to("What can you do?", Some("A lot."), Action::Listen);
    call.outputs();
    call.elapse(FILLER_WAIT);
    call.filler();
    call.handle(Input::SpeechStarted);
    assert_eq!(call.outputs(), [Output::PauseSpeaking]);
    assert!(matches!(call.call.phase, Phase::Interrupted { .. }));
}

#[test]
fn whoever_was_told_to_wait_is_answered_even_if_it_was_a_noise() {
    let mut call = TestCall::listening();
    call.says_something();
    call.elapse(FILLER_WAIT);
    let filler = call.filler();
    call.handle(Input::Spoke(filler));
    call.handle(turn(" "));
    assert_eq!(
        call.outputs(),
        [Output::Think(Heard::Unrecognised { again: false })]
    );
}

#[test]
fn a_turn_that_nobody_recognises_is_answered_and_a_second_one_is_known_as_such() {
    let mut call = TestCall::listening();
    for again in [false, true] {
        call.says_something();
        call.handle(Input::Unrecognised);
        assert_eq!(
            call.outputs(),
            [Output::Think(Heard::Unrecognised { again })]
        );
        call.handle(Input::Replied(reply(Some("Pardon?"), Action::Listen)));
        call.outputs();
        call.spoke();
    }
    call.reply_to("Hello.", None, Action::Listen);
    call.says_something();
    call.handle(Input::Unrecognised);
    let first = Heard::Unrecognised { again: false };
    assert_eq!(call.outputs(), [Output::Think(first)]);
}

#[test]
fn an_agent_without_a_voice_sends_the_caller_to_the_default_number_without_a_sentence() {
    let mut call = TestCall::listening();
    call.reply_to("Transfer me.", Some("Which number?"), Action::Listen);
    call.outputs();

    call.unspoken();

    assert_eq!(call.outputs(), [refer("sip:+15550009999@sip.example.net")]);
}

#[test]
fn the_notice_of_a_transfer_and_a_goodbye_without_a_voice_are_done_all_the_same() {
    let mut call = TestCall::listening();
    call.reply_to("Transfer me.", Some("One moment please."), to_default());
    call.outputs();
    call.unspoken();
    assert_eq!(call.outputs(), [refer("sip:+15550009999@sip.example.net")]);

    let mut call = TestCall::listening();
    call.reply_to("Goodbye.", Some("Goodbye."), Action::HangUp);
    call.outputs();
    call.unspoken();
    assert_eq!(call.outputs(), [Output::End(Outcome::AgentHungUp)]);
}

#[test]
fn an_agent_without_a_voice_whose_transfer_fails_hangs_up() {
    let mut call = TestCall::listening();
    call.call.settings.plan = call.call.settings.plan.without_next();
    call.reply_to("Hello.", Some("How can I help?"), Action::Listen);
    call.outputs();
    call.unspoken();
    call.outputs();
    call.handle(Input::Transferred(TransferFailure::TargetBusy.into()));
    call.outputs();
    call.handle(Input::Replied(reply(
        Some("That line is busy."),
        Action::Listen,
    )));
    call.outputs();

    call.unspoken();

    assert_eq!(call.outputs(), [Output::End(Outcome::AgentHungUp)]);
}

#[test]
fn an_agent_without_a_voice_and_without_a_default_number_tries_once_more() {
    let mut call = TestCall::listening();
    call.call.settings.default_transfer = None;
    for sounds in [false, true, false, false] {
        call.reply_to("Hello.", Some("How can I help?"), Action::Listen);
        call.outputs();
        if sounds {
            call.handle(Input::Sounds(call.spoken_last));
            call.spoke();
        } else {
            call.unspoken();
        }
    }
    assert_eq!(call.outputs(), [Output::End(Outcome::AgentHungUp)]);
}

#[test]
fn keys_are_pressed_after_what_is_said_and_the_machine_gets_its_time_from_the_last_one_on() {
    let keys: Keys = "12w#".parse().unwrap();
    let pressed = Output::PressKeys {
        identity: "sip_+15550001111".to_owned(),
        keys: keys.clone(),
    };

    // Before anything is said: a machine that has answered is not greeted.
    let mut call = TestCall::answered();
    call.reply_to("Welcome.", None, Action::PressKeys(keys.clone()));
    assert_eq!(call.outputs(), slice::from_ref(&pressed));
    call.elapse(SILENCE + keys.duration() - Duration::from_millis(1));
    assert_eq!(call.outputs(), []);
    call.elapse(Duration::from_millis(1));
    assert_eq!(call.outputs(), [Output::Think(Heard::Silence)]);

    let mut call = TestCall::listening();
    let action = Action::PressKeys(keys.clone());
    call.reply_to("Press it, please.", Some("One moment."), action);
    assert_eq!(
        call.outputs(),
        [Output::Say(Utterance(2), "One moment.".to_owned())]
    );
    call.handle(Input::Spoke(Utterance(2)));
    assert_eq!(call.outputs(), slice::from_ref(&pressed));

    // Keys need no voice.
    let mut call = TestCall::listening();
    let action = Action::PressKeys(keys.clone());
    call.reply_to("Press it, please.", Some("One moment."), action);
    call.outputs();
    call.handle(Input::Unspoken(Utterance(2)));
    assert_eq!(call.outputs(), [pressed]);
}

#[test]
fn keys_are_not_pressed_when_the_machine_has_gone_on_meanwhile() {
    let mut call = TestCall::listening();
    call.handle(turn("For tickets, press one."));
    call.outputs();
    call.handle(turn("For the zoo, press two."));
    let keys = "1".parse().unwrap();
    call.handle(Input::Replied(reply(None, Action::PressKeys(keys))));
    assert_eq!(
        call.outputs(),
        [Output::Think(heard("For the zoo, press two."))]
    );
}

#[test]
fn an_answer_is_said_sentence_by_sentence_as_it_is_written() {
    let mut call = TestCall::writing();
    call.writes("We close at five.");
    assert_eq!(call.outputs(), [says(2, "We close at five.")]);
    call.handle(Input::Replied(reply(None, Action::Listen)));
    assert_eq!(call.outputs(), [Output::Finish(Utterance(2))]);

    call.spoke();
    call.elapse(SILENCE);
    assert_eq!(call.outputs(), [Output::Think(Heard::Silence)]);
}

#[test]
fn what_an_answer_does_is_done_when_all_of_it_was_said() {
    let mut call = TestCall::writing();
    call.handle(Input::Replied(reply(Some("One moment."), to_default())));
    assert_eq!(call.outputs(), [says(2, "One moment.")]);
    // The notice is heard in full.
    call.handle(Input::SpeechStarted);
    call.handle(turn("Stop, I want to ask something else."));
    assert_eq!(call.outputs(), []);

    call.spoke();

    assert!(matches!(call.outputs()[..], [Output::Refer { .. }]));
}

#[test]
fn a_transfer_that_is_refused_after_the_first_sentence_is_explained_when_that_was_said() {
    let mut call = TestCall::writing();
    call.handle(phone(CallStatus::Automation));
    call.handle(Input::Replied(reply(Some("One moment."), to_default())));
    assert_eq!(call.outputs(), [Output::Finish(Utterance(2))]);

    call.spoke();

    let failed = Heard::TransferFailed(TransferFailure::CallerGone);
    assert_eq!(call.outputs(), [Output::Think(failed)]);
}

#[test]
fn who_interrupts_an_answer_that_is_being_written_has_it_given_up() {
    let mut call = TestCall::writing();
    call.handle(Input::SpeechStarted);
    assert_eq!(call.outputs(), [Output::PauseSpeaking]);
    call.writes("We close at five.");
    assert_eq!(call.outputs(), [says(2, "We close at five.")]);

    call.handle(turn("And on Sundays at what time?"));

    let think = Output::Think(heard("And on Sundays at what time?"));
    assert_eq!(call.outputs(), [Output::StopSpeaking, think]);
    call.writes("On Sundays at ten.");
    assert_eq!(call.outputs(), [says(3, "On Sundays at ten.")]);
}

#[test]
fn an_answer_that_becomes_complete_while_it_is_paused_waits_for_the_words() {
    for (words, expected) in [
        ("Mm-hm.", vec![Output::ResumeSpeaking]),
        (
            "No, wait, I have another question.",
            vec![
                Output::StopSpeaking,
                Output::Think(heard("No, wait, I have another question.")),
            ],
        ),
    ] {
        let mut call = TestCall::writing();
        call.handle(Input::SpeechStarted);
        call.handle(Input::Replied(reply(Some("One moment."), to_default())));
        assert_eq!(
            call.outputs(),
            [Output::PauseSpeaking, says(2, "One moment.")]
        );
        call.handle(turn(words));
        assert_eq!(call.outputs(), expected);
    }
}

#[test]
fn a_person_who_goes_on_before_the_first_sentence_gets_one_answer() {
    let mut call = TestCall::listening();
    call.handle(turn("When do you open?"));
    call.handle(turn("On Sundays, I mean."));
    call.outputs();

    call.writes("We open at nine.");

    let think = Output::Think(heard("On Sundays, I mean."));
    assert_eq!(call.outputs(), [think]);
}

#[test]
fn a_salutation_is_answered_by_the_greeting_although_the_model_writes_sentences() {
    for (rest, then, said) in [
        (Some("I am Ada."), Action::Listen, "Good day."),
        (
            Some("Goodbye."),
            Action::HangUp,
            "Nice to hear you. Goodbye.",
        ),
        (None, to_default(), "Nice to hear you."),
    ] {
        let mut call = TestCall::answered();
        call.handle(turn("Hello?"));
        call.outputs();
        call.writes("Nice to hear you.");
        assert_eq!(call.outputs(), []);
        call.handle(Input::Replied(reply(rest, then)));
        assert_eq!(call.said(), [said]);
    }
}

#[test]
fn a_person_who_waits_for_the_next_sentence_is_told_so() {
    let mut call = TestCall::writing();
    call.elapse(FILLER_WAIT);
    assert_eq!(call.outputs(), [], "it is being said");

    call.handle(Input::Underrun(Utterance(2)));
    call.elapse(FILLER_WAIT - Duration::from_millis(1));
    assert_eq!(call.outputs(), []);
    call.elapse(Duration::from_millis(1));
    let filler = call.filler();
    call.handle(Input::Spoke(filler));
    call.elapse(FILLER_WAIT);
    let filler = call.filler();
    call.handle(Input::Spoke(filler));

    call.writes("We close at five.");
    assert_eq!(call.outputs(), [says(2, "We close at five.")]);
    call.handle(Input::Sounds(Utterance(2)));
    call.elapse(FILLER_WAIT);
    assert_eq!(call.outputs(), []);
}

#[test]
fn an_agent_whose_voice_fails_at_the_first_sentence_does_not_wait_for_the_others() {
    let mut call = TestCall::writing();
    call.unspoken();
    assert!(matches!(call.outputs()[..], [Output::Refer { .. }]));
    call.writes("We close at five.");
    call.handle(Input::Replied(reply(None, Action::HangUp)));
    assert_eq!(call.outputs(), []);
}

/// A call with its clock.
struct TestCall {
    call: Call,
    now: Instant,
    spoken_last: Utterance,
}

impl TestCall {
    fn new(direction: Direction) -> Self {
        let settings = CallSettings {
            direction,
            behaviour: Behaviour::parse("greeting = \"Good day.\"").unwrap(),
            default_transfer: Some("+15550009999".parse().unwrap()),
            sip_domain: Some("sip.example.net".parse().unwrap()),
            user_parameter: UserParameter::Absent,
            gate: TransferGate::default(),
            plan: TransferPlan::new(
                TransferMode::Cold,
                Fallback::Bridge,
                ["+15550008888".parse().unwrap()],
            ),
            hold: false,
        };
        Self {
            call: Call::new(settings),
            now: Instant::now(),
            spoken_last: Utterance(0),
        }
    }

    /// A callee who has just picked up.
    fn answered() -> Self {
        let mut call = Self::new(Direction::Outbound);
        call.handle(Input::Joined);
        call.handle(phone(CallStatus::Ringing));
        call.handle(phone(CallStatus::Active));
        call.handle(Input::Dialed(Ok(Dialed::Answered)));
        call.outputs();
        call
    }

    /// A callee who was greeted.
    fn listening() -> Self {
        let mut call = Self::answered();
        call.elapse(HELLO_WAIT);
        call.outputs();
        call.spoke();
        assert_eq!(call.outputs(), []);
        call
    }

    /// A callee who was greeted, by an agent of that behaviour.
    fn with(behaviour: &str) -> Self {
        let mut call = Self::listening();
        call.call.settings.behaviour = Behaviour::parse(behaviour).unwrap();
        call.call.dead_air = DeadAir::new(call.call.settings.behaviour.filler_wait());
        call
    }

    /// The agent is answering.
    fn speaking(text: &str) -> Self {
        let mut call = Self::listening();
        call.reply_to("What can you do?", Some(text), Action::Listen);
        assert_eq!(call.said(), [text]);
        call.handle(Input::Sounds(call.spoken_last));
        call
    }

    fn transferring() -> Self {
        let mut call = Self::listening();
        call.call.settings.plan = call.call.settings.plan.without_next();
        call.reply_to("Transfer me.", None, to_default());
        assert!(matches!(call.outputs()[..], [Output::Refer { .. }]));
        call
    }

    fn handle(&mut self, input: Input) {
        self.call.handle(self.now, input);
    }

    fn elapse(&mut self, time: Duration) {
        self.now += time;
        self.call.handle_timeout(self.now);
    }

    /// The person says something, and the conversation answers.
    fn reply_to(&mut self, said: &str, answer: Option<&str>, then: Action) {
        self.handle(turn(said));
        assert_eq!(self.outputs(), [Output::Think(heard(said))]);
        self.handle(Input::Replied(reply(answer, then)));
    }

    /// The person has said something, which is not recognised yet.
    fn says_something(&mut self) {
        self.handle(Input::SpeechStarted);
        self.handle(Input::SpeechEnded { at: self.now });
    }

    /// The filler begins, and nothing else.
    fn filler(&mut self) -> Utterance {
        match self.outputs()[..] {
            [Output::Fill(filler)] => filler,
            ref other => panic!("{other:?}"),
        }
    }

    /// There is no voice for the agent's utterance.
    fn unspoken(&mut self) {
        self.handle(Input::Unspoken(self.spoken_last));
    }

    /// The agent's utterance ends.
    fn spoke(&mut self) {
        self.handle(Input::Spoke(self.spoken_last));
    }

    /// An utterance that is finished with its first words, or with its last, is one output.
    fn outputs(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.call.poll_output() {
            match (outputs.last(), &output) {
                (Some(Output::Say(said, _)), Output::Finish(finished)) if said == finished => {
                    continue;
                }
                (_, Output::Say(utterance, _)) => self.spoken_last = *utterance,
                (_, _) => {}
            }
            outputs.push(output);
        }
        outputs
    }

    /// The model has written a sentence, and goes on.
    fn writes(&mut self, sentence: &str) {
        self.handle(Input::Sentence(sentence.to_owned()));
    }

    /// The agent says the first sentence of an answer that is being written.
    fn writing() -> Self {
        let mut call = Self::listening();
        call.handle(turn("When do you open?"));
        call.outputs();
        call.writes("We open at nine.");
        assert_eq!(call.outputs(), [says(2, "We open at nine.")]);
        call.handle(Input::Sounds(Utterance(2)));
        call
    }

    fn said(&mut self) -> Vec<String> {
        let said = self.outputs().into_iter().map(|output| {
            let Output::Say(_, text) = output else {
                panic!("{output:?}");
            };
            text
        });
        said.collect()
    }
}

fn phone(status: CallStatus) -> Input {
    Input::Phone {
        identity: "sip_+15550001111".to_owned(),
        status,
    }
}

fn key(key: char) -> Input {
    Input::Key {
        from: Party::Caller,
        key,
    }
}

fn pressed(key: char) -> Heard {
    Heard::Key(key.try_into().unwrap())
}

fn turn(text: &str) -> Input {
    Input::Turn {
        first: text.to_owned(),
        second: None,
    }
}

fn heard(text: &str) -> Heard {
    Heard::Turn {
        first: text.to_owned(),
        second: None,
    }
}

fn says(utterance: u32, text: &str) -> Output {
    Output::Say(Utterance(utterance), text.to_owned())
}

fn reply(say: Option<&str>, then: Action) -> Reply {
    Reply {
        say: say.map(str::to_owned),
        then,
    }
}

fn to_default() -> Action {
    Action::Transfer(TransferRequest::Default)
}

fn refer(uri: &str) -> Output {
    let number = uri.trim_start_matches("sip:").split('@').next().unwrap();
    let domain = "sip.example.net".parse().unwrap();
    let target = ReferTarget::new(number.parse().unwrap(), Some(&domain));
    assert_eq!(target.to_string(), uri);
    Output::Refer {
        identity: "sip_+15550001111".to_owned(),
        target,
        request: "Transfer me.".to_owned(),
    }
}
