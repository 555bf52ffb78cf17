use super::*;

fn classify(code: &str, message: &str, sip_status: u16) -> DialFailure {
    let sip_status = (sip_status != 0).then_some(SipStatus(sip_status));
    DialFailure::classify(&TwirpFailure {
        code,
        message,
        sip_status,
        transfer_reason: None,
    })
}

/// Answers of livekit-server 1.9 and livekit-sip 1.8 to `CreateSIPParticipant`, provoked one by one.
/// A SIP status of 0 means that the error carried none.
#[test]
fn every_answer_of_the_servers_has_its_cause() {
    use DialFailure::*;
    let forbidden = |status| Forbidden {
        status: SipStatus(status),
    };
    let fault = |status| CarrierFault {
        status: SipStatus(status),
    };
    for (code, message, sip_status, expected) in [
        (
            "failed_precondition",
            "twirp error unknown: max auth retry attempts reached for SIP invite",
            0,
            BadCredentials,
        ),
        (
            "permission_denied",
            "twirp error unknown: unexpected status from INVITE response: sip status: 403: Forbidden - bad credentials",
            403,
            forbidden(403),
        ),
        (
            "failed_precondition",
            "twirp error unknown: sip server required auth, but no username or password was provided",
            0,
            BadCredentials,
        ),
        (
            "permission_denied",
            "twirp error unknown: unexpected status from INVITE response: sip status: 402: Payment Required",
            402,
            forbidden(402),
        ),
        (
            "permission_denied",
            "twirp error unknown: unexpected status from INVITE response: sip status: 403: Forbidden",
            403,
            forbidden(403),
        ),
        (
            "not_found",
            "twirp error unknown: INVITE failed: sip status: 404: Not Found",
            404,
            UnknownNumber,
        ),
        (
            "deadline_exceeded",
            "twirp error unknown: unexpected status from INVITE response: sip status: 408: Request Timeout",
            408,
            NoAnswer,
        ),
        (
            "resource_exhausted",
            "twirp error unknown: INVITE failed: sip status: 480: Temporarily Unavailable",
            480,
            Unavailable,
        ),
        (
            "invalid_argument",
            "twirp error unknown: unexpected status from INVITE response: sip status: 484: Address Incomplete",
            484,
            UnknownNumber,
        ),
        (
            "resource_exhausted",
            "twirp error unknown: INVITE failed: sip status: 486: Busy Here",
            486,
            Busy,
        ),
        (
            "resource_exhausted",
            "twirp error unknown: INVITE failed: sip status: 486: Rejected",
            486,
            Busy,
        ),
        (
            "invalid_argument",
            "twirp error unknown: INVITE failed: sip status: 488: Not Acceptable Here",
            488,
            MediaRefused {
                status: SipStatus(488),
            },
        ),
        (
            "failed_precondition",
            "twirp error unknown: unexpected status from INVITE response: sip status: 500: Server Internal Error",
            500,
            fault(500),
        ),
        (
            "failed_precondition",
            "twirp error unknown: unexpected status from INVITE response: sip status: 503: Service Unavailable",
            503,
            fault(503),
        ),
        (
            "permission_denied",
            "twirp error unknown: unexpected status from INVITE response: sip status: 603: Decline",
            603,
            Declined,
        ),
        (
            "canceled",
            "twirp error unknown: sip request timed out",
            0,
            NoAnswer,
        ),
        (
            "deadline_exceeded",
            "twirp error unknown: request timed out",
            0,
            NoAnswer,
        ),
        (
            "invalid_argument",
            "twirp error unknown: fail to resolve target for \"no-such-host.invalid\": lookup _sip._udp.no-such-host.invalid on 127.0.0.53:53: no such host",
            0,
            CarrierNotFound,
        ),
        (
            "not_found",
            "requested sip trunk does not exist",
            0,
            TrunkNotFound,
        ),
        (
            "invalid_argument",
            "missing sip callee number",
            0,
            BadRequest,
        ),
        (
            "invalid_argument",
            "SipCallTo should be a phone number or SIP user, not a full SIP URI",
            0,
            BadRequest,
        ),
        (
            "invalid_argument",
            "invalid header name: header name Call-ID not supported",
            0,
            BadRequest,
        ),
        (
            "invalid_argument",
            "invalid header value for X-VH-A: header X-VH-A: value: char 13 not allowed",
            0,
            BadRequest,
        ),
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
fn every_final_sip_status_has_a_cause() {
    for status in 300..700 {
        let cause = classify("unknown", "", status);
        assert_ne!(cause, DialFailure::Unconfirmed, "{status}");
    }
}

#[test]
fn credentials_hints_name_the_command_that_repairs_them() {
    assert!(DialFailure::BadCredentials.hint().contains("`trunk-setup`"));
}

/// One of each kind.
pub(crate) fn every_failure() -> Vec<DialFailure> {
    use DialFailure::*;
    let status = SipStatus(403);
    vec![
        Busy,
        Declined,
        NoAnswer,
        Unavailable,
        UnknownNumber,
        BadCredentials,
        Forbidden { status },
        MediaRefused { status },
        TrunkNotFound,
        CarrierNotFound,
        BadRequest,
        ApiKeyRefused,
        CarrierFault { status },
        SipServiceDown,
        Overloaded,
        Unconfirmed,
    ]
}
