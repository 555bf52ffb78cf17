//! Audio between RTP packets and 10 ms frames.
//!
//! Everything here is driven from outside and is told the time; only [`clock`] has a thread and
//! reads a clock.
//!
//! - Sending: [`sender`] takes 10 ms frames, mutes, mixes, resamples and encodes them.
//! - Receiving: [`receiver`] keeps the [`jitter`] buffer of a track and hands its audio to
//!   [`playout`] queues, one for each audio stream of the application.

pub(crate) mod clock;
mod jitter;
#[doc(hidden)]
pub mod measure;
pub(crate) mod opus;
pub(crate) mod playout;
pub(crate) mod receiver;
mod resample;
pub(crate) mod sender;

use std::{sync::Arc, time::Instant};

/// One Opus RTP packet, as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct RtpPacket {
    pub(crate) ssrc: u32,
    /// Extended to count on beyond 16 bits.
    pub(crate) seq: u64,
    /// In 1/48 000 s, as on the wire.
    pub(crate) timestamp: u32,
    pub(crate) payload: Arc<[u8]>,
    pub(crate) arrival: Instant,
}

/// Some instant to count from, for what brings its own time.
#[expect(clippy::disallowed_methods, reason = "no time is measured with it")]
fn epoch() -> Instant {
    Instant::now()
}
