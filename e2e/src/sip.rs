//! SIP messages as they were on the wire, read only as far as tests need (RFC 3261 §7).

use std::{fmt, net::Ipv4Addr, time::Duration};

/// One SIP message in one UDP datagram.
#[derive(Debug, Clone, PartialEq)]
pub struct SipMessage {
    /// Wall clock, since the Unix epoch.
    pub at: Duration,
    pub from: Ipv4Addr,
    pub to: Ipv4Addr,
    pub start: StartLine,
    headers: Vec<(String, String)>,
    pub body: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartLine {
    Request { method: String, uri: String },
    Response { status: u16, reason: String },
}

impl SipMessage {
    /// Reads a datagram; `None` when it is not SIP (keep-alives, garbage).
    pub fn parse(at: Duration, from: Ipv4Addr, to: Ipv4Addr, datagram: &str) -> Option<Self> {
        let (head, body) = datagram.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = lines.next()?;
        let start = if let Some(rest) = start.strip_prefix("SIP/2.0 ") {
            let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
            StartLine::Response {
                status: status.parse().ok()?,
                reason: reason.to_owned(),
            }
        } else {
            let (method, rest) = start.split_once(' ')?;
            let uri = rest.strip_suffix(" SIP/2.0")?;
            StartLine::Request {
                method: method.to_owned(),
                uri: uri.to_owned(),
            }
        };
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Some(Self {
            at,
            from,
            to,
            start,
            headers,
            body: body.trim().to_owned(),
        })
    }

    /// Value of the first header of that name, in any case. Compact forms (`i`, `f`, `t`) are not known:
    /// nobody in this world sends them.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Values of all headers of that name, as [`header`](Self::header) takes it.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The method, when this is a request.
    pub fn request(&self) -> Option<&str> {
        match &self.start {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Response { .. } => None,
        }
    }

    /// Whether this is a `method` request whose Request-URI is for `number`.
    pub fn is_request_to(&self, method: &str, number: &str) -> bool {
        let StartLine::Request { method: own, uri } = &self.start else {
            return false;
        };
        own == method
            && uri
                .strip_prefix("sip:")
                .is_some_and(|uri| uri.split('@').next() == Some(number))
    }

    /// The status, when this is the response to a `method` request.
    pub fn response_to(&self, method: &str) -> Option<u16> {
        let StartLine::Response { status, .. } = self.start else {
            return None;
        };
        (self.header("CSeq")?.split_whitespace().nth(1)? == method).then_some(status)
    }

    /// Status in the `message/sipfrag` body of a NOTIFY (RFC 3515 §2.4.5).
    pub fn sipfrag_status(&self) -> Option<u16> {
        self.body.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    pub fn call_id(&self) -> Option<&str> {
        self.header("Call-ID")
    }
}

/// As in a ladder: `INVITE +15550001234`, `REFER → sip:…`, `407 Proxy Authentication Required`.
impl fmt::Display for SipMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.start {
            StartLine::Response { status, reason } => write!(f, "{status} {reason}"),
            StartLine::Request { method, uri } => {
                f.write_str(method)?;
                match method.as_str() {
                    "INVITE" => {
                        let user = uri
                            .strip_prefix("sip:")
                            .and_then(|uri| uri.split(['@', '-']).next());
                        write!(f, " {}", user.unwrap_or(uri))?;
                        if self.header("Proxy-Authorization").is_some() {
                            f.write_str(" (digest)")?;
                        }
                        Ok(())
                    }
                    "REFER" => write!(f, " Refer-To: {}", self.header("Refer-To").unwrap_or("?")),
                    "NOTIFY" => write!(
                        f,
                        " {}",
                        self.body.strip_prefix("SIP/2.0 ").unwrap_or(&self.body)
                    ),
                    _ => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(datagram: &str) -> SipMessage {
        let any = Ipv4Addr::LOCALHOST;
        SipMessage::parse(Duration::ZERO, any, any, &datagram.replace('\n', "\r\n")).unwrap()
    }

    #[test]
    fn a_refer_shows_its_target() {
        let refer = parse(
            "REFER sip:+919876543210-0x55@127.0.0.41:5060 SIP/2.0\nRefer-To: <sip:+15550001234@sip.carrier.test>\n\n",
        );
        assert_eq!(refer.request(), Some("REFER"));
        assert_eq!(
            refer.header("refer-to"),
            Some("<sip:+15550001234@sip.carrier.test>")
        );
        assert_eq!(
            refer.to_string(),
            "REFER Refer-To: <sip:+15550001234@sip.carrier.test>"
        );
    }

    #[test]
    fn a_response_knows_what_it_answers() {
        let response = parse("SIP/2.0 486 Busy Here\nCSeq: 2 INVITE\n\n");
        assert_eq!(response.response_to("INVITE"), Some(486));
        assert_eq!(response.response_to("BYE"), None);
        assert_eq!(response.to_string(), "486 Busy Here");
    }

    #[test]
    fn a_notify_carries_the_status_of_the_referred_call() {
        let notify = parse("NOTIFY sip:127.0.0.10 SIP/2.0\nEvent: refer\n\nSIP/2.0 603 Decline\n");
        assert_eq!(notify.sipfrag_status(), Some(603));
    }

    #[test]
    fn an_invite_to_a_longer_number_is_another_number() {
        let invite = parse("INVITE sip:+155500012345@sip.carrier.test SIP/2.0\n\n");
        assert!(!invite.is_request_to("INVITE", "+15550001234"));
        assert!(invite.is_request_to("INVITE", "+155500012345"));
    }

    #[test]
    fn keep_alives_are_not_sip() {
        let any = Ipv4Addr::LOCALHOST;
        assert_eq!(
            SipMessage::parse(Duration::ZERO, any, any, "\r\n\r\n"),
            None
        );
    }
}
