//! Two peers over a simulated network: one file for each behaviour.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test picks out what it looks for"
)]

mod answerer;
mod audio;
mod data_channels;
mod garbage;
mod ice;
mod negotiation;
mod pair;
mod republish;
mod statistics;
