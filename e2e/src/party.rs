//! Who is where: every party has a loopback address of its own, so a capture tells them apart.

use std::net::Ipv4Addr;

pub const SIP_PORT: u16 = 5060;

/// The carrier's SIP domain; the namespace's hosts file resolves it to [`CARRIER`].
pub const DOMAIN: &str = "sip.carrier.test";

pub const LIVEKIT_SIP: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 10);
pub const CARRIER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 20);
/// Where the capture sends its markers from; see [`crate::capture::Capture::settle`].
pub const PROBE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 30);
pub const CALLEE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 41);
pub const TARGET: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 42);
pub const LIVE_AGENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 43);
/// All phones without a person; see [`crate::handset`].
pub const HANDSETS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 50);

/// The person whom the agent dials, and who dials in the inbound scenario.
pub const CALLEE_NUMBER: &str = "+919876543210";
/// The transfer target of the guide's custom transfer.
pub const TARGET_NUMBER: &str = "+15550001234";
/// `DEFAULT_TRANSFER_NUMBER`: the phone of a human agent.
pub const LIVE_AGENT_NUMBER: &str = "+15550005678";
/// The trunk's own number, `VOBIZ_OUTBOUND_NUMBER`.
pub const TRUNK_NUMBER: &str = "+918000000000";

/// Stands for another number, which changes; see [`crate::carrier::Carrier::forward_to`].
pub const FORWARDED_NUMBER: &str = "+15559999999";
/// For `Refer-To`: the carrier accepts the REFER and ends the call at once.
pub const BYE_AFTER_ACCEPTED: &str = "+15559991202";
/// For `Refer-To`: the carrier ends the call when the phone dials, after NOTIFY 100.
pub const BYE_AFTER_TRYING: &str = "+15559991100";
/// Where the carrier refuses credentials that do not fit with 403, not with another challenge.
pub const STRICT_SIP_PORT: u16 = 5061;

/// What people call the party at `address`.
pub fn name(address: Ipv4Addr) -> String {
    match address {
        LIVEKIT_SIP => "livekit-sip".to_owned(),
        CARRIER => "carrier".to_owned(),
        PROBE => "probe".to_owned(),
        CALLEE => "callee".to_owned(),
        TARGET => "target".to_owned(),
        LIVE_AGENT => "live agent".to_owned(),
        HANDSETS => "handsets".to_owned(),
        other => other.to_string(),
    }
}

/// A number of the carrier's plan: an INVITE to it is answered with `status`.
///
/// 999 is a black hole: `100 Trying` and nothing else.
pub fn number_answered_with(status: u16) -> String {
    format!("+15550000{status:03}")
}

/// The number of one of the phones at [`HANDSETS`], which need not register.
pub fn handset_number(n: u16) -> String {
    format!("+1555200{n:04}")
}

/// A number for `Refer-To` that makes the carrier answer the REFER itself with `status`.
pub fn refer_target_refused_with(status: u16) -> String {
    format!("+15559990{status:03}")
}
