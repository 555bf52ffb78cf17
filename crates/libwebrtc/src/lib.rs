//! The public API of LiveKit's `libwebrtc` 0.3.55 on a pure-Rust engine.
use thiserror::Error;

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum MediaType { Audio, Video, Data, Unsupported }

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum RtcErrorType { Internal, InvalidSdp, InvalidState }

#[derive(Error, Debug)]
#[error("an RtcError occurred: {error_type:?} - {message}")]
pub struct RtcError { pub error_type: RtcErrorType, pub message: String }

impl RtcError {
    pub(crate) fn internal(m: impl Into<String>) -> Self { Self { error_type: RtcErrorType::Internal, message: m.into() } }
    pub(crate) fn state(m: impl Into<String>) -> Self { Self { error_type: RtcErrorType::InvalidState, message: m.into() } }
    pub(crate) fn sdp(m: impl Into<String>) -> Self { Self { error_type: RtcErrorType::InvalidSdp, message: m.into() } }
    #[allow(dead_code)]
    pub(crate) fn unsupported(what: &str) -> Self { Self::internal(format!("{what} is not supported by the pure-Rust WebRTC backend")) }
}

mod dispatch;
mod engine;
mod media;
mod sdp;

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
