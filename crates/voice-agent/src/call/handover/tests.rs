use transfer_core::{Fallback, SipStatus, TransferMode};

use super::*;

const CONNECTED: Step = Step::End(Outcome::Transferred(Verdict::Connected));
const REFUSED: TransferFailure = TransferFailure::Refused {
    status: SipStatus(405),
};

fn number() -> PhoneNumber {
    "+15550001234".parse().unwrap()
}

fn begin(mode: TransferMode, hold: bool) -> Handover {
    let plan = TransferPlan::new(mode, Fallback::Bridge, []);
    Handover::begin(plan, number(), "Transfer me to sales.".to_owned(), hold)
}

/// A warm transfer whose target has heard the question.
fn briefed() -> Handover {
    let mut handover = begin(TransferMode::Warm, false);
    handover.called(Ok(()), "Ada");
    steps(&mut handover);
    handover.spoke(Instant::now());
    handover
}

fn steps(handover: &mut Handover) -> Vec<Step> {
    std::iter::from_fn(|| handover.poll_step()).collect()
}

fn returned(cause: TransferFailure) -> Step {
    Step::Return(Heard::TransferFailed(cause))
}

#[test]
fn each_mode_begins_in_its_own_way() {
    for (mode, hold, expected) in [
        (TransferMode::Cold, false, vec![Step::Refer(number())]),
        (
            TransferMode::Cold,
            true,
            vec![Step::Audience(Audience::Target), Step::Refer(number())],
        ),
        (TransferMode::Bridge, false, vec![Step::Call(number())]),
        (
            TransferMode::Warm,
            false,
            vec![Step::Audience(Audience::Target), Step::Call(number())],
        ),
    ] {
        assert_eq!(steps(&mut begin(mode, hold)), expected, "{mode:?}");
    }
}

#[test]
fn a_target_who_accepts_is_told_so_before_the_caller_is_heard() {
    let mut handover = begin(TransferMode::Warm, false);
    steps(&mut handover);
    handover.called(Ok(()), "Ada");
    let told = steps(&mut handover);
    let [Step::Say(opening)] = &told[..] else {
        panic!("{told:?}");
    };
    assert!(opening.contains("Transfer me to sales"), "{opening}");

    handover.turn("Yes.");
    let told = steps(&mut handover);
    assert!(
        matches!(&told[..], [Step::StopSpeaking, Step::Say(_)]),
        "{told:?}"
    );
    handover.spoke(Instant::now());

    assert_eq!(steps(&mut handover), [Step::Audience(Audience::Together)]);
    handover.caller_left(Instant::now());
    assert_eq!(steps(&mut handover), [CONNECTED]);
}

#[test]
fn a_target_who_declines_is_dismissed_and_the_caller_comes_back() {
    for decline in [
        (|handover: &mut Handover| handover.turn("No, not now.")) as fn(&mut Handover),
        |handover| handover.target_key('2'),
    ] {
        let mut handover = briefed();
        decline(&mut handover);
        assert_eq!(
            steps(&mut handover),
            [
                Step::StopSpeaking,
                Step::Dismiss(number()),
                Step::Audience(Audience::Caller),
                returned(TransferFailure::TargetDeclined)
            ]
        );
    }
}

#[test]
fn a_target_who_hangs_up_in_the_briefing_leaves_the_caller_with_the_agent() {
    let mut handover = briefed();

    handover.target_left();

    assert_eq!(
        steps(&mut handover),
        [
            Step::StopSpeaking,
            Step::Audience(Audience::Caller),
            returned(TransferFailure::TargetDeclined)
        ]
    );
}

#[test]
fn a_target_who_says_nothing_is_asked_again_and_then_given_up() {
    let mut handover = briefed();
    for _ in 0..2 {
        assert!(handover.poll_timeout().is_some());
        handover.handle_timeout();
        let asked = steps(&mut handover);
        assert!(
            matches!(&asked[..], [Step::StopSpeaking, Step::Say(_)]),
            "{asked:?}"
        );
        handover.spoke(Instant::now());
    }

    handover.handle_timeout();

    assert!(steps(&mut handover).contains(&returned(TransferFailure::TargetNoAnswer)));
}

#[test]
fn a_caller_who_hangs_up_on_hold_ends_everything() {
    for mode in [TransferMode::Warm, TransferMode::Bridge] {
        let mut handover = begin(mode, false);
        steps(&mut handover);
        handover.caller_left(Instant::now());
        assert_eq!(steps(&mut handover), [Step::End(Outcome::PhoneLeft)]);
    }
    let mut handover = briefed();
    handover.caller_left(Instant::now());
    assert_eq!(steps(&mut handover), [Step::End(Outcome::PhoneLeft)]);
}

#[test]
fn a_target_whom_we_cannot_reach_is_not_left_ringing() {
    for (cause, failure) in [
        (DialFailure::Busy, TransferFailure::TargetBusy),
        (DialFailure::NoAnswer, TransferFailure::TargetNoAnswer),
        (
            DialFailure::Unconfirmed,
            TransferFailure::CannotCall(DialFailure::Unconfirmed),
        ),
    ] {
        let mut handover = begin(TransferMode::Warm, false);
        steps(&mut handover);
        handover.called(Err(cause), "Ada");
        assert_eq!(
            steps(&mut handover),
            [
                Step::Dismiss(number()),
                Step::Audience(Audience::Caller),
                returned(failure)
            ]
        );
    }
}

#[test]
fn the_caller_comes_off_hold_to_hear_what_is_tried_next() {
    let mut handover = begin(TransferMode::Cold, true);
    steps(&mut handover);

    handover.answered(Instant::now(), REFUSED.into());

    assert_eq!(
        steps(&mut handover),
        [
            Step::Audience(Audience::Caller),
            Step::Say("One moment, I am connecting you another way.".to_owned())
        ]
    );
    handover.spoke(Instant::now());
    assert_eq!(
        steps(&mut handover),
        [Step::Audience(Audience::Target), Step::Call(number())]
    );
}

#[test]
fn nothing_follows_once_it_is_over() {
    let mut handover = begin(TransferMode::Cold, false);
    steps(&mut handover);
    handover.answered(Instant::now(), Doubt::TimedOut.into());
    assert_eq!(
        steps(&mut handover),
        [Step::Return(Heard::TransferUnconfirmed(Doubt::TimedOut))]
    );

    handover.caller_left(Instant::now());
    handover.target_left();
    handover.called(Ok(()), "Ada");
    handover.spoke(Instant::now());

    assert_eq!(steps(&mut handover), []);
    assert_eq!(handover.poll_timeout(), None);
}
