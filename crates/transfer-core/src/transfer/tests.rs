use super::*;

fn classify(code: &str, message: &str, sip_status: u16) -> TransferFailure {
    let sip_status = (sip_status != 0).then_some(SipStatus(sip_status));
    TransferFailure::classify(&TwirpFailure {
        code,
        message,
        sip_status,
    })
}

/// Answers of livekit-server 1.9 and livekit-sip 1.8 to `TransferSIPParticipant`, provoked one by
/// one. A SIP status of 0 means that the error carried none.
#[test]
fn every_answer_of_the_servers_has_its_cause() {
    use TransferFailure::*;
    let refused = |status| Refused {
        status: SipStatus(status),
    };
    let fault = |status| TargetFault {
        status: SipStatus(status),
    };
    for (code, message, sip_status, expected) in [
        // The carrier's answer to the REFER.
        (
            "permission_denied",
            "twirp error unknown: sip status: 403: Forbidden",
            403,
            refused(403),
        ),
        (
            "invalid_argument",
            "twirp error unknown: sip status: 405: Method Not Allowed",
            405,
            refused(405),
        ),
        (
            "unauthenticated",
            "twirp error unknown: sip status: 407: Proxy Authentication Required",
            407,
            refused(407),
        ),
        (
            "deadline_exceeded",
            "twirp error unknown: sip status: 408: Request Timeout",
            408,
            refused(408),
        ),
        (
            "not_found",
            "twirp error unknown: sip status: 481: Call/Transaction Does Not Exist",
            481,
            refused(481),
        ),
        (
            "failed_precondition",
            "twirp error unknown: sip status: 501: Not Implemented",
            501,
            refused(501),
        ),
        (
            "failed_precondition",
            "twirp error unknown: sip status: 503: Service Unavailable",
            503,
            refused(503),
        ),
        (
            "permission_denied",
            "twirp error unknown: sip status: 603: Decline",
            603,
            refused(603),
        ),
        // REFER ignored; 202 and no NOTIFY; the target rings on.
        (
            "deadline_exceeded",
            "twirp error unknown: request timed out",
            0,
            Unconfirmed,
        ),
        // LiveKit's own checks.
        (
            "invalid_argument",
            "transfer_to must be a valid SIP or TEL URI (sip: or tel:)",
            0,
            BadTarget,
        ),
        ("invalid_argument", "missing transfer to", 0, BadTarget),
        (
            "not_found",
            "twirp error unknown: participant does not exist",
            0,
            CallerGone,
        ),
        (
            "invalid_argument",
            "twirp error unknown: no SIP session associated with participant",
            0,
            NotAPhoneCall,
        ),
        // The target's answer, by NOTIFY.
        (
            "not_found",
            "twirp error unknown: call transfer failed: sip status: 404: Not Found",
            404,
            TargetUnknown,
        ),
        (
            "resource_exhausted",
            "twirp error unknown: call transfer failed: sip status: 486: Busy Here",
            486,
            TargetBusy,
        ),
        (
            "resource_exhausted",
            "twirp error unknown: call transfer failed: sip status: 486: Rejected",
            486,
            TargetBusy,
        ),
        (
            "resource_exhausted",
            "twirp error unknown: call transfer failed: sip status: 480: Temporarily Unavailable",
            480,
            TargetNoAnswer,
        ),
        (
            "permission_denied",
            "twirp error unknown: call transfer failed: sip status: 603: Decline",
            603,
            TargetDeclined,
        ),
        (
            "failed_precondition",
            "twirp error unknown: call transfer failed: sip status: 500: Server Internal Error",
            500,
            fault(500),
        ),
        (
            "failed_precondition",
            "twirp error unknown: call transfer failed: sip status: 503: Service Unavailable",
            503,
            fault(503),
        ),
        (
            "aborted",
            "twirp error unknown: call transfer failed: sip status: 487: Request Terminated",
            487,
            Cancelled,
        ),
        // The call's own state.
        (
            "failed_precondition",
            "twirp error unknown: can't transfer non established call",
            0,
            CallerGone,
        ),
        (
            "invalid_argument",
            "twirp error unknown: call already being transferred elsewhere",
            0,
            AlreadyTransferring,
        ),
        // The servers.
        ("unavailable", "no response from servers", 0, SipServiceDown),
        (
            "unavailable",
            "twirp error unknown: cpu exhausted",
            0,
            Overloaded,
        ),
        (
            "canceled",
            "twirp error unknown: transaction failed to complete (0 intermediate responses)",
            0,
            Unconfirmed,
        ),
        ("unauthenticated", "invalid API key", 0, ApiKeyRefused),
        ("internal", "something new", 0, Unconfirmed),
    ] {
        assert_eq!(
            classify(code, message, sip_status),
            expected,
            "{code}: {message}"
        );
    }
}

#[test]
fn a_leg_that_leaves_with_the_success_was_not_seen_to_connect() {
    let judge = |millis: u64| TransferOutcome::of_success(Some(Duration::from_millis(millis)));
    assert_eq!(judge(0), TransferOutcome::LeftUnconfirmed);
    assert_eq!(judge(30), TransferOutcome::LeftUnconfirmed);
    assert_eq!(judge(1_000), TransferOutcome::Connected);
    assert_eq!(
        TransferOutcome::of_success(None),
        TransferOutcome::Connected
    );
}

#[test]
fn callers_hear_sentences_without_technical_words() {
    let status = SipStatus(503);
    use TransferFailure::*;
    for failure in [
        Refused { status },
        TargetBusy,
        TargetDeclined,
        TargetNoAnswer,
        TargetUnknown,
        TargetFault { status },
        Cancelled,
        BadTarget,
        AlreadyTransferring,
        CallerGone,
        NotAPhoneCall,
        ApiKeyRefused,
        SipServiceDown,
        Overloaded,
        Unconfirmed,
    ] {
        let sentence = failure.spoken();
        assert!(sentence.ends_with(['.', '?']), "{sentence}");
        for word in [
            "SIP", "REFER", "LiveKit", "API", "carrier", "error", "503", "_",
        ] {
            assert!(!sentence.contains(word), "{failure:?}: {sentence}");
        }
    }
}
