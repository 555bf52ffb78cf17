use super::*;

fn failed(cause: TransferFailure) -> TransferAnswer {
    TransferAnswer::Failure(cause)
}

fn open(doubt: Doubt) -> TransferAnswer {
    TransferAnswer::Open(doubt)
}

fn classify(code: &str, message: &str, sip_status: u16) -> TransferAnswer {
    let sip_status = (sip_status != 0).then_some(SipStatus(sip_status));
    TransferFailure::classify(&TwirpFailure {
        code,
        message,
        sip_status,
        transfer_reason: None,
    })
}

/// Answers of livekit-server 1.9 and livekit-sip 1.8 to `TransferSIPParticipant`, provoked one by
/// one. A SIP status of 0 means that the error carried none.
#[test]
fn every_answer_of_the_servers_has_its_cause() {
    use Doubt::{AnswerLost, TimedOut};
    use TransferFailure::*;
    let refused = |status| {
        failed(Refused {
            status: SipStatus(status),
        })
    };
    let fault = |status| {
        failed(TargetFault {
            status: SipStatus(status),
        })
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
            open(TimedOut),
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
            open(TimedOut),
        ),
        // LiveKit's own checks.
        (
            "invalid_argument",
            "transfer_to must be a valid SIP or TEL URI (sip: or tel:)",
            0,
            failed(BadTarget),
        ),
        (
            "invalid_argument",
            "missing transfer to",
            0,
            failed(BadTarget),
        ),
        (
            "not_found",
            "twirp error unknown: participant does not exist",
            0,
            failed(CallerGone),
        ),
        (
            "invalid_argument",
            "twirp error unknown: no SIP session associated with participant",
            0,
            failed(NotAPhoneCall),
        ),
        // The target's answer, by NOTIFY.
        (
            "not_found",
            "twirp error unknown: call transfer failed: sip status: 404: Not Found",
            404,
            failed(TargetUnknown),
        ),
        (
            "resource_exhausted",
            "twirp error unknown: call transfer failed: sip status: 486: Busy Here",
            486,
            failed(TargetBusy),
        ),
        (
            "resource_exhausted",
            "twirp error unknown: call transfer failed: sip status: 486: Rejected",
            486,
            failed(TargetBusy),
        ),
        (
            "resource_exhausted",
            "twirp error unknown: call transfer failed: sip status: 480: Temporarily Unavailable",
            480,
            failed(TargetNoAnswer),
        ),
        (
            "permission_denied",
            "twirp error unknown: call transfer failed: sip status: 603: Decline",
            603,
            failed(TargetDeclined),
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
            failed(Cancelled),
        ),
        // The call's own state.
        (
            "failed_precondition",
            "twirp error unknown: can't transfer non established call",
            0,
            failed(CallerGone),
        ),
        (
            "invalid_argument",
            "twirp error unknown: call already being transferred elsewhere",
            0,
            failed(AlreadyTransferring),
        ),
        // The servers.
        (
            "unavailable",
            "no response from servers",
            0,
            failed(SipServiceDown),
        ),
        (
            "unavailable",
            "twirp error unknown: cpu exhausted",
            0,
            failed(Overloaded),
        ),
        (
            "canceled",
            "twirp error unknown: transaction failed to complete (0 intermediate responses)",
            0,
            open(AnswerLost),
        ),
        (
            "unauthenticated",
            "invalid API key",
            0,
            failed(ApiKeyRefused),
        ),
        ("internal", "something new", 0, open(AnswerLost)),
    ] {
        assert_eq!(
            classify(code, message, sip_status),
            expected,
            "{code}: {message}"
        );
    }
}

#[test]
fn a_reason_of_the_server_goes_before_its_words() {
    let with = |reason, sip_status| {
        TransferFailure::classify(&TwirpFailure {
            code: "resource_exhausted",
            message: "call transfer failed: sip status: 486: Busy Here",
            sip_status,
            transfer_reason: Some(reason),
        })
    };
    let busy = Some(SipStatus(486));
    assert_eq!(
        with(TransferReason::Rejected, busy),
        failed(TransferFailure::TargetBusy)
    );
    assert_eq!(
        with(TransferReason::RingingTimeout, busy),
        open(Doubt::TimedOut)
    );
    assert_eq!(with(TransferReason::CallEnded, None), open(Doubt::LegEnded));
    assert_eq!(
        with(TransferReason::SubscriptionTerminated, None),
        open(Doubt::NotReported)
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
        CannotCall(DialFailure::BadCredentials),
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
