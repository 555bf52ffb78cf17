//! The peer connection as a state machine without IO and without a clock.
//!
//! [`Peer`] is JSEP (RFC 8829) and the data channel rules (RFC 8831) on top of str0m, which does
//! ICE, DTLS, SRTP and SCTP. Its contract, the same as str0m's:
//!
//! 1. Tell it what happened: an API call, a datagram ([`Peer::handle_datagram`]) or that time went
//!    by ([`Peer::handle_timeout`]). Everything takes `now`, which must not go back.
//! 2. Send what [`Peer::poll_transmit`] gives until it gives nothing.
//! 3. Act on what [`Peer::poll_event`] gives until it gives nothing.
//! 4. Call [`Peer::handle_timeout`] at [`Peer::poll_timeout`] or before, and start again.
//!
//! Audio does not pass through events: packets of a remote track go to its
//! [`crate::media::Receiver`], and encoded audio comes in by [`Peer::write_audio`].

mod codec;
mod data_channel;
mod media;
mod peer;
mod report;
mod sdp;
mod signaling;
mod transceiver;
mod transport;

#[cfg(test)]
mod tests;

pub(crate) use data_channel::ChannelId;
pub(crate) use peer::{Peer, PeerEvent};
pub(crate) use report::Report;
pub(crate) use sdp::Description;
pub(crate) use transceiver::{TrackKind, TransceiverId};
