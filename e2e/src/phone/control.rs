//! baresip's `ctrl_tcp`: JSON in netstrings, commands with a token one way, answers and events the other.

use std::{
    fmt,
    net::Ipv4Addr,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Mutex,
    task::JoinHandle,
};

use crate::{
    journal::{Journal, Writer, journal},
    wait::LIMIT,
};

pub(super) const PORT: u16 = 4444;

/// Longest message taken, in bytes; `help` is the longest answer with 1,000.
const LONGEST: usize = 100_000;

/// baresip's name of a call, the Call-ID of its dialog.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CallId(String);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneEvent {
    pub kind: EventKind,
    pub call: CallId,
    /// Whether the phone placed the call.
    pub outgoing: bool,
    /// URI of the other side.
    pub peer: String,
    /// Depends on the kind: the reason of `Closed`, the Refer-To of `Transfer`, the key of `Key`.
    pub param: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// An INVITE came and the phone rings.
    Incoming,
    /// The phone's own INVITE was answered with 180.
    Ringing,
    Established,
    /// A REFER came.
    Transfer,
    /// The call that the REFER asked for failed.
    TransferFailed,
    /// The other side pressed a key.
    Key,
    Closed,
}

impl EventKind {
    /// Statistics and SDP are of no interest here.
    fn parse(name: &str) -> Option<Self> {
        match name {
            "CALL_INCOMING" => Some(Self::Incoming),
            "CALL_RINGING" => Some(Self::Ringing),
            "CALL_ESTABLISHED" => Some(Self::Established),
            "CALL_TRANSFER" | "TRANSFER" => Some(Self::Transfer),
            "CALL_TRANSFER_FAILED" | "TRANSFER_FAILED" => Some(Self::TransferFailed),
            "CALL_DTMF_START" => Some(Self::Key),
            "CALL_CLOSED" => Some(Self::Closed),
            _ => None,
        }
    }
}

#[derive(Serialize)]
struct Request<'a> {
    command: &'a str,
    params: &'a str,
    token: &'a str,
}

/// A message from baresip: an event (`type` is set) or the answer to a command (`token` is set).
#[derive(Deserialize)]
struct Message {
    r#type: Option<String>,
    id: Option<CallId>,
    direction: Option<String>,
    peeruri: Option<String>,
    param: Option<String>,
    token: Option<String>,
    ok: Option<bool>,
    data: Option<String>,
}

#[derive(Debug, Clone)]
struct Answer {
    token: String,
    ok: bool,
    data: String,
}

pub(super) struct Control {
    writer: Mutex<OwnedWriteHalf>,
    next_token: AtomicU32,
    events: Journal<PhoneEvent>,
    answers: Journal<Answer>,
    reader: JoinHandle<()>,
}

impl Control {
    pub(super) async fn connect(name: &str, address: Ipv4Addr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect((address, PORT))
            .await
            .context("cannot reach baresip's control port")?;
        let (read, write) = stream.into_split();
        let (event_writer, events) = journal(format!("phone {name}"));
        let (answer_writer, answers) = journal(format!("control port of phone {name}"));
        let reader = tokio::spawn(read_messages(
            BufReader::new(read),
            event_writer,
            answer_writer,
        ));
        Ok(Self {
            writer: Mutex::new(write),
            next_token: AtomicU32::new(0),
            events,
            answers,
            reader,
        })
    }

    pub(super) fn events(&self) -> &Journal<PhoneEvent> {
        &self.events
    }

    /// Runs a command of baresip's menu and returns what it prints.
    pub(super) async fn command(&self, command: &str, params: &str) -> anyhow::Result<String> {
        let token = self.next_token.fetch_add(1, Ordering::Relaxed).to_string();
        let json = serde_json::to_string(&Request {
            command,
            params,
            token: &token,
        })?;
        let netstring = format!("{}:{json},", json.len());
        self.writer
            .lock()
            .await
            .write_all(netstring.as_bytes())
            .await
            .context("baresip's control port is closed")?;
        let answer = self
            .answers
            .find_after(0, &format!("an answer to `{command}`"), LIMIT, |answer| {
                (answer.token == token).then(|| answer.clone())
            })
            .await?;
        ensure!(
            answer.ok,
            "baresip refuses `{command} {params}`: {}",
            answer.data
        );
        Ok(answer.data)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Ends with the connection, and with it both journals.
async fn read_messages(
    mut stream: BufReader<OwnedReadHalf>,
    events: Writer<PhoneEvent>,
    answers: Writer<Answer>,
) {
    while let Some(json) = read_netstring(&mut stream).await {
        let Ok(message) = serde_json::from_slice::<Message>(&json) else {
            continue;
        };
        if let Some(token) = message.token {
            let data = message.data.unwrap_or_default();
            answers.write(Answer {
                token,
                ok: message.ok.unwrap_or(false),
                data,
            });
        } else if let Some(kind) = message.r#type.as_deref().and_then(EventKind::parse)
            && let Some(call) = message.id
        {
            events.write(PhoneEvent {
                kind,
                call,
                outgoing: message.direction.as_deref() == Some("outgoing"),
                peer: message.peeruri.unwrap_or_default(),
                param: message.param.unwrap_or_default(),
            });
        }
    }
}

/// `<length>:<bytes>,`; `None` when the stream ends or is garbage.
async fn read_netstring(stream: &mut BufReader<OwnedReadHalf>) -> Option<Vec<u8>> {
    let mut length = Vec::new();
    stream.read_until(b':', &mut length).await.ok()?;
    let length: usize = std::str::from_utf8(length.strip_suffix(b":")?)
        .ok()?
        .parse()
        .ok()?;
    if length > LONGEST {
        return None;
    }
    let mut bytes = vec![0; length + 1];
    stream.read_exact(&mut bytes).await.ok()?;
    (bytes.pop() == Some(b',')).then_some(bytes)
}
