//! Questions to a capture: how often was somebody called, where was a caller sent, what came back.
//!
//! Retransmissions (RFC 3261 §17) are one request: on a busy machine an answer may take longer than T1.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context, ensure};

use crate::{
    capture::Capture,
    party::{CARRIER, LIVEKIT_SIP},
    sip::SipMessage,
};

/// Asserts that `caller` dialled `number` exactly once: one INVITE, challenged, and the same one again with
/// credentials.
pub async fn expect_one_dial(
    capture: &Capture,
    caller: Ipv4Addr,
    number: &str,
) -> anyhow::Result<()> {
    let invites = requests(capture, |message| {
        message.from == caller && message.to == CARRIER && message.is_request_to("INVITE", number)
    })
    .await?;
    let [first, second] = invites.as_slice() else {
        anyhow::bail!(
            "{number} must be dialled by an INVITE without and one with credentials, not {invites:#?}"
        );
    };
    ensure!(
        first.call_id() == second.call_id(),
        "{number} was dialled by two calls"
    );
    ensure!(
        first.header("Proxy-Authorization").is_none(),
        "the first INVITE already carries credentials"
    );
    ensure!(
        second.header("Proxy-Authorization").is_some(),
        "the second INVITE carries no credentials"
    );
    Ok(())
}

/// Asserts that LiveKit sent exactly one REFER, and returns it.
pub async fn refer(capture: &Capture) -> anyhow::Result<SipMessage> {
    let refers = requests(capture, |message| {
        message.from == LIVEKIT_SIP && message.request() == Some("REFER")
    })
    .await?;
    match <[_; 1]>::try_from(refers) {
        Ok([refer]) => Ok(refer),
        Err(refers) => anyhow::bail!("one REFER was to be sent, not {refers:#?}"),
    }
}

/// Asserts that LiveKit sent exactly one REFER, and returns its `Refer-To`.
pub async fn refer_target(capture: &Capture) -> anyhow::Result<String> {
    Ok(refer(capture)
        .await?
        .header("Refer-To")
        .context("a REFER carries Refer-To")?
        .to_owned())
}

/// Asserts that LiveKit dialled `number` in one call only, however often it tried to authenticate.
pub async fn expect_one_call(capture: &Capture, number: &str) -> anyhow::Result<()> {
    let mut calls: Vec<_> = requests(capture, |message| {
        message.from == LIVEKIT_SIP && message.is_request_to("INVITE", number)
    })
    .await?
    .iter()
    .filter_map(|invite| invite.call_id().map(str::to_owned))
    .collect();
    calls.dedup();
    ensure!(
        calls.len() == 1,
        "{number} must be dialled in one call, not in {}",
        calls.len()
    );
    Ok(())
}

/// Asserts that nobody sent an INVITE for `number`.
pub async fn expect_no_dial(capture: &Capture, number: &str) -> anyhow::Result<()> {
    let invites = capture
        .all(|message| message.is_request_to("INVITE", number).then_some(()))
        .await?;
    ensure!(invites.is_empty(), "{number} must not be dialled");
    Ok(())
}

/// One REFER of LiveKit, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refer {
    /// Wall clock, since the Unix epoch.
    pub at: Duration,
    pub target: String,
    /// The final answer, if there was one.
    pub answer: Option<u16>,
    /// The statuses in the NOTIFYs, without repetitions.
    pub notified: Vec<u16>,
}

/// The REFERs that LiveKit has sent, in order, each once.
pub async fn refers(capture: &Capture) -> anyhow::Result<Vec<Refer>> {
    let refers = requests(capture, |message| {
        message.from == LIVEKIT_SIP && message.request() == Some("REFER")
    })
    .await?;
    let messages = capture.messages().entries();
    let refers = refers.into_iter().map(|refer| {
        let cseq = refer.header("CSeq").unwrap_or_default();
        let number = cseq.split_whitespace().next().unwrap_or_default();
        let back = messages
            .iter()
            .filter(|message| message.to == LIVEKIT_SIP && message.call_id() == refer.call_id());
        let answer = back
            .clone()
            .filter(|message| message.header("CSeq") == Some(cseq))
            .filter_map(|message| message.response_to("REFER"))
            .find(|status| *status >= 200);
        let event = format!("refer;id={number}");
        let mut notified: Vec<_> = back
            .filter(|message| message.request() == Some("NOTIFY"))
            .filter(|message| message.header("Event") == Some(&event))
            .filter_map(SipMessage::sipfrag_status)
            .collect();
        notified.dedup();
        Refer {
            at: refer.at,
            target: refer.header("Refer-To").unwrap_or_default().to_owned(),
            answer,
            notified,
        }
    });
    Ok(refers.collect())
}

/// The statuses that LiveKit was notified of after a REFER, without repetitions (RFC 3515 §2.4.5).
pub async fn notified(capture: &Capture) -> anyhow::Result<Vec<u16>> {
    let notifies = requests(capture, |message| {
        message.to == LIVEKIT_SIP && message.request() == Some("NOTIFY")
    })
    .await?;
    let mut statuses: Vec<_> = notifies
        .iter()
        .filter_map(SipMessage::sipfrag_status)
        .collect();
    statuses.dedup();
    Ok(statuses)
}

/// The final answer to LiveKit's REFER.
pub async fn refer_answer(capture: &Capture) -> anyhow::Result<u16> {
    let answers = capture
        .all(|message| {
            if message.to == LIVEKIT_SIP {
                message.response_to("REFER")
            } else {
                None
            }
        })
        .await?;
    answers
        .into_iter()
        .find(|status| *status >= 200)
        .context("the REFER was never answered")
}

/// The codec of the call from LiveKit to the phone at `address`: the first payload type of its answer.
pub async fn payload_type(capture: &Capture, address: Ipv4Addr) -> anyhow::Result<u8> {
    let answers = capture.all(|message| {
        let answer = message.from == address
            && message.to == CARRIER
            && message.response_to("INVITE") == Some(200);
        if answer {
            message
                .body
                .lines()
                .find_map(|line| line.strip_prefix("m=audio "))
                .map(str::to_owned)
        } else {
            None
        }
    });
    let answers = answers.await?;
    let media = answers.first().context("the phone never answered")?;
    media
        .split_whitespace()
        .nth(2)
        .context("an m-line lists payload types")?
        .parse()
        .context("not a payload type")
}

/// The requests that `wanted` takes, each once.
async fn requests(
    capture: &Capture,
    wanted: impl Fn(&SipMessage) -> bool,
) -> anyhow::Result<Vec<SipMessage>> {
    let mut requests: Vec<SipMessage> = Vec::new();
    for message in capture
        .all(|message| wanted(message).then(|| message.clone()))
        .await?
    {
        let same = |other: &SipMessage| {
            other.call_id() == message.call_id() && other.header("CSeq") == message.header("CSeq")
        };
        if !requests.iter().any(same) {
            requests.push(message);
        }
    }
    Ok(requests)
}
