//! What LiveKit's SIP service tells about a phone in the room, by participant attributes.

use std::collections::HashMap;

use transfer_core::PhoneNumber;

const CALL_STATUS: &str = "sip.callStatus";

/// Attributes whose value is somebody's number.
const NUMBERS: [&str; 2] = ["sip.phoneNumber", "sip.trunkPhoneNumber"];

/// What an attribute's number looks like if it is not E.164, such as an extension.
const HIDDEN: &str = "***";

/// `sip.callStatus`: how far the phone's leg has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallStatus {
    Dialing,
    Ringing,
    /// Answered, and digits of the request's `dtmf` are being sent.
    Automation,
    /// Answered.
    Active,
    Hangup,
}

impl CallStatus {
    /// `None` when there is no status or one that this release does not know.
    pub(crate) fn of(attributes: &HashMap<String, String>) -> Option<Self> {
        Some(match attributes.get(CALL_STATUS)?.as_str() {
            "dialing" => Self::Dialing,
            "ringing" => Self::Ringing,
            "automation" => Self::Automation,
            "active" => Self::Active,
            "hangup" => Self::Hangup,
            _ => return None,
        })
    }
}

/// The attributes for a log line: sorted, one string, numbers masked.
///
/// Headers (`sip.h.*`) are left out: a carrier may put anything there, numbers included.
pub(crate) fn masked(attributes: &HashMap<String, String>) -> String {
    let mut shown: Vec<_> = attributes
        .iter()
        .filter(|(name, _)| !name.starts_with("sip.h."))
        .map(|(name, value)| {
            if NUMBERS.contains(&name.as_str()) {
                format!("{name}={}", masked_number(value))
            } else {
                format!("{name}={value}")
            }
        })
        .collect();
    shown.sort();
    shown.join(" ")
}

/// An identity for a log line: `sip_+15550001234` as `sip_+1********34`, a transfer target's likewise.
pub(crate) fn masked_identity(identity: &str) -> String {
    match identity.split_once('_') {
        Some((role @ ("sip" | "target"), number)) => format!("{role}_{}", masked_number(number)),
        _ => identity.to_owned(),
    }
}

fn masked_number(number: &str) -> String {
    number
        .parse()
        .map_or_else(|_| HIDDEN.to_owned(), |number: PhoneNumber| number.masked())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn the_call_status_is_read_as_livekit_writes_it() {
        for (text, status) in [
            ("dialing", Some(CallStatus::Dialing)),
            ("ringing", Some(CallStatus::Ringing)),
            ("automation", Some(CallStatus::Automation)),
            ("active", Some(CallStatus::Active)),
            ("hangup", Some(CallStatus::Hangup)),
            ("parked", None),
        ] {
            assert_eq!(
                CallStatus::of(&attributes(&[("sip.callStatus", text)])),
                status
            );
        }
        assert_eq!(CallStatus::of(&HashMap::new()), None);
    }

    #[test]
    fn a_log_line_shows_no_number() {
        let line = masked(&attributes(&[
            ("sip.callStatus", "active"),
            ("sip.phoneNumber", "+15550001234"),
            ("sip.trunkPhoneNumber", "1007"),
            ("sip.h.x-caller", "+15550001234"),
        ]));

        assert_eq!(
            line,
            "sip.callStatus=active sip.phoneNumber=+1********34 sip.trunkPhoneNumber=***"
        );
        assert_eq!(masked_identity("sip_+15550001234"), "sip_+1********34");
        assert_eq!(
            masked_identity("target_+15550001234"),
            "target_+1********34"
        );
        assert_eq!(masked_identity("sip_alice"), "sip_***");
        assert_eq!(masked_identity("agent-AJ_1"), "agent-AJ_1");
    }
}
