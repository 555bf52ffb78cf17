//! Every client against a process on loopback that speaks the vendor's documented protocol, and its failures.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by it"
)]

mod key_check;
mod listen;
mod loopback;
mod speak;
mod transcribe;
