//! The API of LiveKit's `libwebrtc` 0.3.55 in pure Rust, for audio and data.
//!
//! It takes the place of the C++ engine under an unmodified `livekit` crate:
//!
//! ```toml
//! [patch.crates-io]
//! libwebrtc = { path = "crates/libwebrtc" }
//! ```
//!
//! The public modules and names are upstream's. Inside there are three parts:
//!
//! - `engine`: the peer connection as a state machine (JSEP, data channels) over str0m (ICE, DTLS,
//!   SRTP, SCTP). No IO, no clock; its contract is in its module documentation.
//! - `media`: Opus, jitter buffer, resampling, the 10 ms audio clock.
//! - `driver`: sockets, timers and callbacks on a tokio runtime of its own.
//!
//! ```no_run
//! use libwebrtc::{
//!     data_channel::DataChannelInit,
//!     peer_connection::OfferOptions,
//!     peer_connection_factory::{PeerConnectionFactory, RtcConfiguration},
//! };
//!
//! # async fn example() -> Result<(), libwebrtc::RtcError> {
//! let factory = PeerConnectionFactory::default();
//! let connection = factory.create_peer_connection(RtcConfiguration::default())?;
//! connection.on_ice_candidate(Some(Box::new(|candidate| { /* signal it */ })));
//! let channel = connection.create_data_channel("chat", DataChannelInit::default())?;
//! channel.on_message(Some(Box::new(|message| println!("{:?}", message.data))));
//! let offer = connection.create_offer(OfferOptions::default()).await?;
//! connection.set_local_description(offer).await?;
//! # Ok(())
//! # }
//! ```
//!
//! What is not implemented (video, end-to-end encryption, audio devices, TURN) answers with an
//! error or does what its documentation says; `docs/libwebrtc.md` has the list, the RFCs and what
//! is assumed about servers.

use thiserror::Error;

mod dispatch;
mod driver;
mod engine;
mod media;

#[doc(hidden)]
pub use media::measure;

pub mod audio_frame;
pub mod audio_source;
pub mod audio_stream;
pub mod audio_track;
pub mod data_channel;
pub mod ice_candidate;
pub mod media_stream;
pub mod media_stream_track;
pub mod native;
pub mod peer_connection;
pub mod peer_connection_factory;
pub mod prelude;
pub mod rtp_parameters;
pub mod rtp_receiver;
pub mod rtp_sender;
pub mod rtp_transceiver;
pub mod session_description;
pub mod stats;
pub mod video_frame;
pub mod video_source;
pub mod video_stream;
pub mod video_track;

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum MediaType {
    Audio,
    Video,
    Data,
    Unsupported,
}

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum RtcErrorType {
    Internal,
    InvalidSdp,
    InvalidState,
}

#[derive(Error, Debug)]
#[error("an RtcError occurred: {error_type:?} - {message}")]
pub struct RtcError {
    pub error_type: RtcErrorType,
    pub message: String,
}

impl RtcError {
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self {
            error_type: RtcErrorType::Internal,
            message: message.into(),
        }
    }

    pub(crate) fn state(message: impl Into<String>) -> Self {
        Self {
            error_type: RtcErrorType::InvalidState,
            message: message.into(),
        }
    }

    pub(crate) fn sdp(message: impl Into<String>) -> Self {
        Self {
            error_type: RtcErrorType::InvalidSdp,
            message: message.into(),
        }
    }

    /// `what` is the subject of a sentence.
    pub(crate) fn unsupported(what: &str) -> Self {
        Self::internal(format!("{what} is not implemented by this libwebrtc"))
    }
}
