//! OPTIONS pings (RFC 3261 §11): SIP servers answer them as soon as they listen, and have no other ready sign.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::Context;
use tokio::net::UdpSocket;

use crate::party::{DOMAIN, PROBE, SIP_PORT};

/// How long one ping waits; a server that is not up yet never answers, one that is answers in 10 ms.
pub(crate) const PATIENCE: Duration = Duration::from_millis(200);

/// Whether the server at `address` answers a ping now.
pub(crate) async fn answers(address: Ipv4Addr) -> bool {
    let Ok(socket) = send(address, "ready?").await else {
        return false;
    };
    tokio::time::timeout(PATIENCE, socket.recv(&mut [0; 1500]))
        .await
        .is_ok_and(|received| received.is_ok())
}

/// Sends a ping with the given Call-ID; the answer goes to the returned socket.
pub(crate) async fn send(address: Ipv4Addr, call_id: &str) -> anyhow::Result<UdpSocket> {
    send_with(address, call_id, "Max-Forwards: 5").await
}

/// As [`send`], with one more header.
pub(crate) async fn send_with(
    address: Ipv4Addr,
    call_id: &str,
    header: &str,
) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind((PROBE, 0))
        .await
        .context("cannot open a UDP socket")?;
    socket.connect((address, SIP_PORT)).await?;
    let from = socket.local_addr()?;
    let ping = [
        format!("OPTIONS sip:{address} SIP/2.0"),
        format!("Via: SIP/2.0/UDP {from};branch=z9hG4bK-{}", from.port()),
        format!("From: <sip:probe@{DOMAIN}>;tag={}", from.port()),
        format!("To: <sip:{address}>"),
        format!("Call-ID: {call_id}"),
        "CSeq: 1 OPTIONS".to_owned(),
        header.to_owned(),
        "Content-Length: 0\r\n\r\n".to_owned(),
    ];
    socket.send(ping.join("\r\n").as_bytes()).await?;
    Ok(socket)
}
