//! SIP messages as a ladder diagram, one line for each message, readable while it grows.

use std::{net::Ipv4Addr, time::Duration};

use crate::{
    party::{self, CALLEE, CARRIER, LIVE_AGENT, LIVEKIT_SIP, PROBE, TARGET},
    sip::SipMessage,
};

/// The rails, from left to right.
const PARTIES: [Ipv4Addr; 5] = [LIVEKIT_SIP, CARRIER, CALLEE, TARGET, LIVE_AGENT];

/// Columns from one rail to the next.
const SPACING: usize = 14;

/// Renders messages one by one; remembers when the first one was.
#[derive(Debug, Default)]
pub struct Ladder {
    start: Option<Duration>,
}

impl Ladder {
    /// Names of the parties over their rails.
    pub fn heading() -> String {
        let mut line = " ".repeat(9);
        for address in PARTIES {
            line.push_str(&format!("{:<SPACING$}", party::name(address)));
        }
        line.trim_end().to_owned()
    }

    /// The line for one message: seconds since the first, an arrow from rail to rail, what it says.
    ///
    /// `None` for what is not part of a call: registrations and our own pings.
    pub fn rung(&mut self, message: &SipMessage) -> Option<String> {
        let rung = Self::untimed_rung(message)?;
        let start = *self.start.get_or_insert(message.at);
        Some(format!(
            "{:8.3} {rung}",
            message.at.saturating_sub(start).as_secs_f64()
        ))
    }

    /// As [`Ladder::rung`], without the time.
    pub fn untimed_rung(message: &SipMessage) -> Option<String> {
        let of_a_call = message.from != PROBE
            && message.to != PROBE
            && message
                .header("CSeq")
                .is_some_and(|cseq| !cseq.ends_with("REGISTER"));
        of_a_call.then(|| format!("{} {message}", arrow(message.from, message.to)))
    }
}

/// The rails with an arrow between two of them.
fn arrow(from: Ipv4Addr, to: Ipv4Addr) -> String {
    let rail = |address| {
        PARTIES
            .iter()
            .position(|party| *party == address)
            .unwrap_or(PARTIES.len())
    };
    let (from, to) = (rail(from) * SPACING, rail(to) * SPACING);
    let (left, right) = (from.min(to), from.max(to));
    (0..=PARTIES.len() * SPACING - SPACING)
        .map(|column| match column {
            _ if column == to && from < to => '>',
            _ if column == to && from > to => '<',
            _ if column > left && column < right => '-',
            _ if column.is_multiple_of(SPACING) => '|',
            _ => ' ',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_run_from_rail_to_rail() {
        assert_eq!(
            arrow(LIVEKIT_SIP, CARRIER).trim_end(),
            "|------------->             |             |             |"
        );
        assert_eq!(
            arrow(TARGET, CARRIER),
            "|             <---------------------------|             |"
        );
    }

    #[test]
    fn registrations_are_no_part_of_a_call() {
        let register = "REGISTER sip:sip.carrier.test SIP/2.0\r\nCSeq: 1 REGISTER\r\n\r\n";
        let message = SipMessage::parse(Duration::ZERO, CALLEE, CARRIER, register).unwrap();
        assert_eq!(Ladder::default().rung(&message), None);
    }
}
