use super::*;

fn every_progress() -> Vec<CallProgress> {
    let outcomes = [
        CallOutcome::Transferred,
        CallOutcome::CalleeHungUp,
        CallOutcome::AgentHungUp,
        CallOutcome::AnsweredByMachine {
            message_left: false,
        },
        CallOutcome::AnsweredByMachine { message_left: true },
        CallOutcome::LeftUnconfirmed,
        CallOutcome::CutOff,
        CallOutcome::Lost,
    ];
    let not_answered = crate::dial::tests::every_failure()
        .into_iter()
        .map(CallOutcome::NotAnswered);
    [
        CallProgress::Dialing,
        CallProgress::Ringing,
        CallProgress::Answered,
        CallProgress::Transferring,
    ]
    .into_iter()
    .chain(
        outcomes
            .into_iter()
            .chain(not_answered)
            .map(CallProgress::Ended),
    )
    .collect()
}

#[test]
fn what_is_written_is_read_back_from_attributes_and_from_json() {
    for progress in every_progress() {
        let attributes = progress.to_attributes();
        let read = CallProgress::from_attributes(|name| attributes.get(name).map(String::as_str));
        assert_eq!(read, Some(progress), "{attributes:?}");
        let json = progress.to_json();
        assert_eq!(CallProgress::from_json(&json), Some(progress), "{json}");
    }
}

#[test]
fn a_call_that_nobody_answered_says_why() {
    let refused = CallProgress::Ended(CallOutcome::NotAnswered(DialFailure::Forbidden {
        status: SipStatus(403),
    }));
    assert_eq!(
        refused.to_json(),
        r#"{"call.cause":"forbidden","call.outcome":"not_answered","call.sip_status":"403","call.state":"ended"}"#
    );
}

#[test]
fn what_is_not_ours_is_no_progress() {
    for text in [
        "",
        "hello",
        "[]",
        "{}",
        r#"{"call.state": 1}"#,
        r#"{"call.state": "parked"}"#,
        r#"{"sip.callStatus": "active"}"#,
    ] {
        assert_eq!(CallProgress::from_json(text), None, "{text:?}");
    }
}

#[test]
fn an_end_of_another_release_is_an_end() {
    for (text, outcome) in [
        (r#"{"call.state":"ended"}"#, CallOutcome::Lost),
        (
            r#"{"call.state":"ended","call.outcome":"beamed_up"}"#,
            CallOutcome::Lost,
        ),
        (
            r#"{"call.state":"ended","call.outcome":"not_answered","call.cause":"on_strike"}"#,
            CallOutcome::NotAnswered(DialFailure::Unconfirmed),
        ),
        (
            r#"{"call.state":"ended","call.outcome":"not_answered","call.cause":"forbidden","call.sip_status":"x"}"#,
            CallOutcome::NotAnswered(DialFailure::Unconfirmed),
        ),
    ] {
        assert_eq!(
            CallProgress::from_json(text),
            Some(CallProgress::Ended(outcome)),
            "{text}"
        );
    }
}
