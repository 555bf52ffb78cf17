//! One SIP dialogue with the carrier: requests out, answers in (RFC 3261 §17.1), over UDP or TCP.
//!
//! Messages are read and digests are computed by the `ezk` crates; this is the transaction around them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use ezk_sip_auth::{
    ClientAuthenticator as _, DigestAuthenticator, DigestCredentials, DigestUser, RequestParts,
    ResponseParts,
};
use ezk_sip_types::msg::{Line, PullParser, RequestLine, StatusLine};
use ezk_sip_types::{Headers, Name};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};
use transfer_core::SipDomain;

/// The first pause before a request is sent again over UDP (T1, RFC 3261 §17.1.1.1); it doubles.
const T1: Duration = Duration::from_millis(500);

/// How long an answer is waited for: three tries over UDP.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);

/// How long the end of a cancelled INVITE is waited for.
const AFTER_CANCEL: Duration = Duration::from_secs(2);

/// The size of the largest datagram.
const LARGEST: usize = 65_535;

/// An answer to a request of ours.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) line: StatusLine,
    pub(super) headers: Headers,
}

impl Response {
    /// Reads a message; `None` when it is no SIP response.
    fn parse(message: &[u8]) -> Option<Self> {
        let mut lines = PullParser::new(message, 0);
        let first = std::str::from_utf8(lines.next()?.ok()?).ok()?;
        if !first.starts_with("SIP/2.0 ") {
            return None;
        }
        let line: StatusLine = first.parse().ok()?;
        let mut headers = Headers::new();
        for line in lines {
            let source = Bytes::copy_from_slice(line.ok()?);
            let text = std::str::from_utf8(&source).ok()?;
            if let Ok((_, line)) = Line::parse(&source, text) {
                headers.insert(line.name, line.value);
            }
        }
        Some(Self { line, headers })
    }

    pub(super) fn status(&self) -> u16 {
        self.line.code.into_u16()
    }

    fn header(&self, name: &Name) -> Option<&str> {
        self.headers.get_raw(name).next().map(|value| &**value)
    }

    /// As on the wire: `407 Proxy Authentication Required`.
    pub(super) fn text(&self) -> String {
        match &self.line.reason {
            Some(reason) => format!("{} {reason}", self.status()),
            None => self.status().to_string(),
        }
    }
}

enum Wire {
    Udp(UdpSocket),
    Tcp { stream: TcpStream, read: Vec<u8> },
}

impl Wire {
    async fn send(&mut self, message: &str) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(message.as_bytes()).await.map(drop),
            Self::Tcp { stream, .. } => stream.write_all(message.as_bytes()).await,
        }
    }

    /// Returns the next response. Cancel safe.
    async fn receive(&mut self) -> io::Result<Response> {
        loop {
            match self {
                Self::Udp(socket) => {
                    let mut datagram = vec![0; LARGEST];
                    let length = socket.recv(&mut datagram).await?;
                    if let Some(response) = Response::parse(&datagram[..length]) {
                        return Ok(response);
                    }
                }
                Self::Tcp { stream, read } => {
                    if let Some(response) = first_message(read) {
                        return Ok(response);
                    }
                    if read.len() > LARGEST || stream.read_buf(read).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }
}

/// Takes the first whole message out of a stream, its body included (RFC 3261 §18.3).
fn first_message(read: &mut Vec<u8>) -> Option<Response> {
    let head = read.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let response = Response::parse(&read[..head]);
    let body = response
        .as_ref()
        .and_then(|response| response.header(&Name::CONTENT_LENGTH))
        .and_then(|length| length.trim().parse::<usize>().ok())
        .unwrap_or(0);
    let end = head.checked_add(body).filter(|end| *end <= read.len())?;
    read.drain(..end);
    response
}

/// What came of an INVITE.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) response: Response,
    /// Whether a phone rang before: it was told to stop at once.
    pub(super) rang: bool,
}

/// Requests of one Call-ID.
pub(super) struct Dialogue {
    wire: Wire,
    via: &'static str,
    local: SocketAddr,
    domain: SipDomain,
    user: String,
    call_id: String,
    tag: String,
    sequence: u32,
    authenticator: DigestAuthenticator,
}

impl Dialogue {
    /// Opens a socket to the carrier at `address`. `user` is whom the requests say to be from.
    pub(super) async fn open(
        address: SocketAddr,
        tcp: bool,
        domain: &SipDomain,
        user: &str,
        account: (&str, &SecretString),
    ) -> io::Result<Self> {
        let (wire, local, via) = if tcp {
            let deadline = Instant::now() + PATIENCE;
            let stream = timeout_at(deadline, TcpStream::connect(address)).await??;
            let local = stream.local_addr()?;
            let read = Vec::new();
            (Wire::Tcp { stream, read }, local, "TCP")
        } else {
            let any: IpAddr = match address {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((any, 0)).await?;
            socket.connect(address).await?;
            let local = socket.local_addr()?;
            (Wire::Udp(socket), local, "UDP")
        };
        let mut credentials = DigestCredentials::new();
        let (name, password) = account;
        credentials.set_default(DigestUser::new(name, password.expose_secret()));
        Ok(Self {
            wire,
            via,
            local,
            domain: domain.clone(),
            user: user.to_owned(),
            call_id: random(),
            tag: random(),
            sequence: 0,
            authenticator: DigestAuthenticator::new(credentials),
        })
    }

    /// Asks the carrier what it can do (RFC 3261 §11); any answer is a sign of life.
    pub(super) async fn options(&mut self) -> io::Result<Response> {
        self.sequence += 1;
        let uri = format!("sip:{}", self.domain);
        let request = self.request("OPTIONS", &uri, &random(), None, &Headers::new());
        let (response, _) = self.exchange("OPTIONS", &request, None).await?;
        Ok(response)
    }

    /// Invites `callee`, and answers the challenge, if `authorized` by one, with the account's digest.
    ///
    /// There is no session description: nobody could talk. Whatever rings is cancelled at once, and
    /// whatever answers is hung up.
    pub(super) async fn invite(
        &mut self,
        callee: &str,
        challenge: Option<&Response>,
    ) -> io::Result<Answered> {
        self.sequence += 1;
        let uri = format!("sip:{callee}@{}", self.domain);
        let mut credentials = Headers::new();
        if let Some(challenge) = challenge {
            let line: RequestLine = format!("INVITE {uri} SIP/2.0")
                .parse()
                .map_err(|_| io::Error::other("the SIP domain does not make a SIP URI"))?;
            let request = RequestParts {
                line: &line,
                headers: &credentials,
                body: &[],
            };
            let rejection = ResponseParts {
                line: &challenge.line,
                headers: &challenge.headers,
                body: &[],
            };
            self.authenticator
                .handle_rejection(request, rejection)
                .map_err(io::Error::other)?;
            self.authenticator.authorize_request(&mut credentials);
        }
        let branch = random();
        let request = self.request("INVITE", &uri, &branch, None, &credentials);
        let cancel = self.request("CANCEL", &uri, &branch, None, &Headers::new());
        let (response, rang) = self.exchange("INVITE", &request, Some(&cancel)).await?;
        let to = response.header(&Name::TO).map(ToOwned::to_owned);
        let none = Headers::new();
        if response.status() < 300 {
            let target = response.header(&Name::CONTACT).and_then(contact_uri);
            let target = target.unwrap_or(&uri).to_owned();
            let ack = self.request("ACK", &target, &random(), to.as_deref(), &none);
            self.wire.send(&ack).await?;
            self.sequence += 1;
            let bye = self.request("BYE", &target, &random(), to.as_deref(), &none);
            self.exchange("BYE", &bye, None).await?;
        } else {
            // The ACK of a refusal belongs to the INVITE's transaction (RFC 3261 §17.1.1.3).
            let ack = self.request("ACK", &uri, &branch, to.as_deref(), &none);
            self.wire.send(&ack).await?;
        }
        Ok(Answered { response, rang })
    }

    fn request(
        &self,
        method: &str,
        uri: &str,
        branch: &str,
        to: Option<&str>,
        extra: &Headers,
    ) -> String {
        let Self {
            via,
            local,
            domain,
            user,
            call_id,
            tag,
            sequence,
            ..
        } = self;
        let to = to.map_or_else(|| format!("<{uri}>"), ToOwned::to_owned);
        let mut request = format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/{via} {local};branch=z9hG4bK{branch};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:{user}@{domain}>;tag={tag}\r\n\
             To: {to}\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: {sequence} {method}\r\n\
             Contact: <sip:{user}@{local}>\r\n\
             User-Agent: sip-transfer-agent doctor\r\n"
        );
        for (name, value) in extra.iter() {
            request += &format!("{}: {value}\r\n", name.as_print_str());
        }
        request + "Content-Length: 0\r\n\r\n"
    }

    /// Sends a request until its final answer comes; says also whether something rang.
    async fn exchange(
        &mut self,
        method: &str,
        request: &str,
        cancel: Option<&str>,
    ) -> io::Result<(Response, bool)> {
        let mut deadline = Instant::now() + PATIENCE;
        let mut gave_up = false;
        let reliable = matches!(self.wire, Wire::Tcp { .. });
        let (mut pause, mut rang, mut provisional) = (T1, false, false);
        self.wire.send(request).await?;
        let mut next = Instant::now() + pause;
        loop {
            let until = match reliable || provisional {
                true => deadline,
                false => next.min(deadline),
            };
            match timeout_at(until, self.wire.receive()).await {
                Ok(response) => {
                    let response = response?;
                    let sequence = format!("{} {method}", self.sequence);
                    let ours = response.header(&Name::CALL_ID) == Some(&self.call_id)
                        && response.header(&Name::CSEQ) == Some(&sequence);
                    if !ours {
                        continue;
                    }
                    match response.status() {
                        100 => provisional = true,
                        101..200 => {
                            provisional = true;
                            if let (Some(cancel), false) = (cancel, rang) {
                                rang = true;
                                self.wire.send(cancel).await?;
                            }
                        }
                        _ => return Ok((response, rang)),
                    }
                }
                Err(_) if Instant::now() < deadline => {
                    self.wire.send(request).await?;
                    pause *= 2;
                    next = Instant::now() + pause;
                }
                // Should something answer after all, it is cancelled or hung up.
                Err(_) if provisional && !gave_up => {
                    gave_up = true;
                    deadline += AFTER_CANCEL;
                    if let (Some(cancel), false) = (cancel, rang) {
                        self.wire.send(cancel).await?;
                    }
                }
                Err(_) => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
        }
    }
}

/// Returns the URI of a Contact header: `sip:a@b` of `"A" <sip:a@b>;x=y`.
fn contact_uri(contact: &str) -> Option<&str> {
    let (_, rest) = contact.split_once('<')?;
    Some(rest.split_once('>')?.0)
}

fn random() -> String {
    format!("{:016x}", rand::random::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: &str = "SIP/2.0 407 Proxy Authentication Required\r\n\
        Via: SIP/2.0/UDP 127.0.0.1:5060\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n\
        Proxy-Authenticate: Digest realm=\"x\", nonce=\"n\"\r\nContent-Length: 3\r\n\r\n";

    #[test]
    fn a_response_is_read_and_a_request_is_none() {
        let response = Response::parse(CHALLENGE.as_bytes()).unwrap();
        assert_eq!(response.text(), "407 Proxy Authentication Required");
        assert_eq!(response.header(&Name::CSEQ), Some("1 INVITE"));
        for other in [
            "",
            "\r\n\r\n",
            "OPTIONS sip:x SIP/2.0\r\n\r\n",
            "SIP/2.0 x\r\n\r\n",
        ] {
            assert!(Response::parse(other.as_bytes()).is_none(), "{other:?}");
        }
    }

    #[test]
    fn a_message_in_a_stream_ends_with_its_body() {
        let mut read = CHALLENGE.as_bytes().to_vec();
        assert!(first_message(&mut read).is_none());
        read.extend(b"abcSIP/2.0 200 OK\r\n");
        assert_eq!(first_message(&mut read).unwrap().status(), 407);
        assert_eq!(read, b"SIP/2.0 200 OK\r\n");
    }

    #[test]
    fn the_uri_of_a_contact_stands_in_its_brackets() {
        assert_eq!(contact_uri("\"A\" <sip:a@b>;x=y"), Some("sip:a@b"));
        assert_eq!(contact_uri("sip:a@b"), None);
    }

    /// A carrier on loopback that answers the n-th request with the n-th list of statuses; returns the
    /// methods that it got once there were as many as lists.
    async fn carrier(answers: &'static [&'static [&'static str]]) -> (SocketAddr, Received) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let received = tokio::spawn(async move {
            let mut invite = String::new();
            let mut methods = Vec::new();
            let mut buffer = [0; 4096];
            for statuses in answers {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let request = std::str::from_utf8(&buffer[..length]).unwrap().to_owned();
                methods.push(request.split(' ').next().unwrap().to_owned());
                if request.starts_with("INVITE") {
                    invite.clone_from(&request);
                }
                for status in *statuses {
                    // `487 …` belongs to the INVITE, not to the CANCEL that caused it.
                    let about = match status.starts_with("487") {
                        true => &invite,
                        false => &request,
                    };
                    let keep = |name: &str| {
                        let line = about.lines().find(|line| line.starts_with(name));
                        format!("{}\r\n", line.unwrap())
                    };
                    let echoed: String =
                        ["Via", "From", "To", "Call-ID", "CSeq"].map(keep).concat();
                    let challenge = match status.starts_with("407") {
                        true => {
                            "Proxy-Authenticate: Digest realm=\"x\", nonce=\"n\", qop=\"auth\"\r\n"
                        }
                        false => "",
                    };
                    let response = format!("SIP/2.0 {status}\r\n{echoed}{challenge}\r\n");
                    socket.send_to(response.as_bytes(), from).await.unwrap();
                }
            }
            (methods, invite)
        });
        (address, received)
    }

    type Received = tokio::task::JoinHandle<(Vec<String>, String)>;

    async fn dialogue(address: SocketAddr) -> Dialogue {
        let domain = "sip.example.net".parse().unwrap();
        let password = SecretString::from("the-password");
        let account = ("user", &password);
        Dialogue::open(address, false, &domain, "+15550001234", account)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_challenge_is_answered_with_a_digest_and_without_the_password() {
        let (address, received) = carrier(&[
            &["407 Proxy Authentication Required"],
            &[],
            &["404 Not Found"],
            &[],
        ])
        .await;
        let mut dialogue = dialogue(address).await;
        let challenge = dialogue.invite("nobody", None).await.unwrap().response;
        let answered = dialogue.invite("nobody", Some(&challenge)).await.unwrap();
        assert_eq!(answered.response.status(), 404);
        let (methods, invite) = received.await.unwrap();
        assert_eq!(methods, ["INVITE", "ACK", "INVITE", "ACK"]);
        assert!(invite.contains("Proxy-Authorization: Digest username=\"user\""));
        assert!(invite.contains("CSeq: 2 INVITE"));
        assert!(!invite.contains("the-password"));
    }

    #[tokio::test]
    async fn what_rings_is_cancelled_at_once() {
        let (address, received) = carrier(&[
            &["100 Trying", "180 Ringing"],
            &["200 OK", "487 Request Terminated"],
            &[],
        ])
        .await;
        let answered = dialogue(address)
            .await
            .invite("nobody", None)
            .await
            .unwrap();
        assert!(answered.rang);
        assert_eq!(answered.response.status(), 487);
        assert_eq!(received.await.unwrap().0, ["INVITE", "CANCEL", "ACK"]);
    }

    #[tokio::test]
    async fn what_answers_is_hung_up() {
        let (address, received) = carrier(&[&["200 OK"], &[], &["200 OK"]]).await;
        let answered = dialogue(address)
            .await
            .invite("nobody", None)
            .await
            .unwrap();
        assert_eq!(answered.response.status(), 200);
        assert_eq!(received.await.unwrap().0, ["INVITE", "ACK", "BYE"]);
    }
}
