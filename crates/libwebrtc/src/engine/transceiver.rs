//! A transceiver as the engine keeps it.

use std::{sync::Arc, time::Duration};

use crate::{
    MediaType,
    media::sender::Sender,
    media_stream_track::MediaStreamTrack,
    rtp_parameters::{DegradationPreference, RtpEncodingParameters},
    rtp_transceiver::RtpTransceiverDirection,
};

use super::sdp::SectionKind;

/// Names a transceiver of one [`super::Peer`]; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TransceiverId(pub(super) usize);

pub(crate) struct Transceiver {
    pub(super) kind: TrackKind,
    pub(super) mid: Mid,
    pub(super) direction: RtpTransceiverDirection,
    pub(super) current_direction: Option<RtpTransceiverDirection>,
    /// str0m knows the section.
    pub(super) declared: bool,
    pub(super) send: SendSide,
    pub(super) receive: ReceiveSide,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrackKind {
    Audio,
    Video,
}

/// How far the section of a transceiver is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mid {
    /// It is in no description.
    None,
    /// It is in an offer that was created. `livekit` may send that text away and set it later.
    Reserved(String),
    /// It is in a description that was set.
    Set(String),
}

pub(super) struct SendSide {
    pub(super) track: Option<MediaStreamTrack>,
    /// Encodes `track` while it is negotiated to be sent.
    pub(super) encoder: Option<Arc<Sender>>,
    pub(super) stream_ids: Vec<String>,
    pub(super) encodings: Vec<RtpEncodingParameters>,
    pub(super) degradation: Option<DegradationPreference>,
    pub(super) ssrc: u32,
    /// Of the next packet; only the lower half is on the wire.
    pub(super) sequence_number: u64,
    pub(super) packets: u64,
    /// Payload only, as webrtc-stats counts.
    pub(super) bytes: u64,
    /// What the other side says of it, once it has.
    pub(super) reported: Option<Reception>,
}

/// How a stream of ours is received (RTCP receiver reports, RFC 3550 §6.4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Reception {
    pub(super) packets_lost: u64,
    /// 0.0 to 1.0, since the report before.
    pub(super) fraction_lost: f64,
    /// In units of the RTP clock.
    pub(super) jitter: u32,
    pub(super) last_round_trip: Duration,
    pub(super) total_round_trip: Duration,
    pub(super) round_trips: u64,
}

pub(super) struct ReceiveSide {
    pub(super) track: MediaStreamTrack,
    /// What the other side announced; not empty while it sends.
    pub(super) stream_ids: Vec<String>,
    pub(super) ssrcs: Vec<u32>,
}

impl TrackKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }

    pub(super) fn section(self) -> SectionKind {
        match self {
            Self::Audio => SectionKind::Audio,
            Self::Video => SectionKind::Video,
        }
    }

    pub(crate) fn of(track: &MediaStreamTrack) -> Self {
        match track {
            MediaStreamTrack::Audio(_) => Self::Audio,
            MediaStreamTrack::Video(_) => Self::Video,
        }
    }

    /// `None` for what cannot be a track.
    pub(crate) fn of_media(media: MediaType) -> Option<Self> {
        match media {
            MediaType::Audio => Some(Self::Audio),
            MediaType::Video => Some(Self::Video),
            MediaType::Data | MediaType::Unsupported => None,
        }
    }
}

impl Transceiver {
    pub(crate) fn mid(&self) -> Option<&str> {
        match &self.mid {
            Mid::Set(mid) => Some(mid),
            Mid::None | Mid::Reserved(_) => None,
        }
    }

    pub(crate) fn direction(&self) -> RtpTransceiverDirection {
        self.direction
    }

    pub(crate) fn current_direction(&self) -> Option<RtpTransceiverDirection> {
        self.current_direction
    }

    pub(crate) fn sent_track(&self) -> Option<&MediaStreamTrack> {
        self.send.track.as_ref()
    }

    pub(crate) fn received_track(&self) -> &MediaStreamTrack {
        &self.receive.track
    }

    pub(crate) fn remote_stream_ids(&self) -> &[String] {
        &self.receive.stream_ids
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.current_direction == Some(RtpTransceiverDirection::Stopped)
    }

    pub(super) fn name(&self) -> Option<&str> {
        match &self.mid {
            Mid::Set(mid) | Mid::Reserved(mid) => Some(mid),
            Mid::None => None,
        }
    }

    /// Whether packets of `track` may leave.
    pub(super) fn is_sending(&self) -> bool {
        self.send.track.is_some()
            && self
                .current_direction
                .is_some_and(RtpTransceiverDirection::sends)
    }

    /// Starts or stops the encoder, as negotiated.
    pub(super) fn update_encoder(&self) {
        if let Some(encoder) = &self.send.encoder {
            encoder.set_active(self.is_sending());
        }
    }

    pub(super) fn end(&mut self) {
        self.direction = RtpTransceiverDirection::Stopped;
        self.current_direction = Some(RtpTransceiverDirection::Stopped);
        self.update_encoder();
    }
}
