//! Statistics in the words of W3C *Identifiers for WebRTC's Statistics API* (webrtc-stats).
//!
//! [`RtcStats`] is one entry of a report, tagged by its `type` (§8.1).
//! An entry is composed of dictionaries, as the specification's inheritance has it: an
//! [`InboundRtpStats`] is an `RTCStats`, an `RTCRtpStreamStats`, an `RTCReceivedRtpStreamStats` and
//! an `RTCInboundRtpStreamStats`.
//! In JSON they are one flat object with camel-case keys; a key that is absent reads as its default.
//!
//! Units are the specification's: times and delays are seconds, `timestamp` is microseconds since
//! the Unix epoch, audio levels are 0.0 to 1.0 (1.0 is 0 dBov), samples are per channel.

use serde::Deserialize;

/// Declares the dictionaries: every field is public, camel-case in JSON and optional there.
macro_rules! dictionaries {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default, Clone, PartialEq, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name { $(pub $field: $kind,)* }
    )*};
}

/// Declares the report entries: each is the flat union of its dictionaries.
macro_rules! entries {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $dictionary:ident),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default, Clone, PartialEq, Deserialize)]
        pub struct $name { $(#[serde(flatten)] pub $field: dictionaries::$dictionary,)* }
    )*};
}

/// Declares the enumerations, spelled as in the specification under the given case.
macro_rules! enums {
    ($($(#[$doc:meta])* $case:literal $name:ident { $($(#[$attr:meta])* $variant:ident),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = $case)]
        pub enum $name { $($(#[$attr])* $variant,)* }
    )*};
}

/// One entry of a statistics report (`RTCStatsType`, §8.1).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum RtcStats {
    Codec(CodecStats),
    InboundRtp(InboundRtpStats),
    OutboundRtp(OutboundRtpStats),
    RemoteInboundRtp(RemoteInboundRtpStats),
    RemoteOutboundRtp(RemoteOutboundRtpStats),
    MediaSource(MediaSourceStats),
    MediaPlayout(MediaPlayoutStats),
    PeerConnection(PeerConnectionStats),
    DataChannel(DataChannelStats),
    Transport(TransportStats),
    CandidatePair(CandidatePairStats),
    LocalCandidate(LocalCandidateStats),
    RemoteCandidate(RemoteCandidateStats),
    Certificate(CertificateStats),
    /// Obsolete in the specification; never produced here.
    Stream(StreamStats),
    /// Obsolete in the specification; never produced here.
    Track,
}

entries! {
    /// A codec in use by at least one stream.
    CodecStats { rtc: RtcStats, codec: CodecStats }
    /// An RTP stream that is received.
    InboundRtpStats {
        rtc: RtcStats,
        stream: RtpStreamStats,
        received: ReceivedRtpStreamStats,
        inbound: InboundRtpStreamStats,
    }
    /// An RTP stream that is sent.
    OutboundRtpStats {
        rtc: RtcStats,
        stream: RtpStreamStats,
        sent: SentRtpStreamStats,
        outbound: OutboundRtpStreamStats,
    }
    /// What the remote reports (RTCP RR) about a stream we send.
    RemoteInboundRtpStats {
        rtc: RtcStats,
        stream: RtpStreamStats,
        received: ReceivedRtpStreamStats,
        remote_inbound: RemoteInboundRtpStreamStats,
    }
    /// What the remote reports (RTCP SR) about a stream it sends.
    RemoteOutboundRtpStats {
        rtc: RtcStats,
        stream: RtpStreamStats,
        sent: SentRtpStreamStats,
        remote_outbound: RemoteOutboundRtpStreamStats,
    }
    /// The media that a sender encodes, before encoding.
    MediaSourceStats {
        rtc: RtcStats,
        source: MediaSourceStats,
        audio: AudioSourceStats,
        video: VideoSourceStats,
    }
    /// What a playout device got.
    MediaPlayoutStats { rtc: RtcStats, audio_playout: AudioPlayoutStats }
    /// The peer connection as a whole.
    PeerConnectionStats { rtc: RtcStats, pc: PeerConnectionStats }
    /// One data channel.
    DataChannelStats { rtc: RtcStats, dc: DataChannelStats }
    /// The ICE and DTLS transport that everything is bundled on.
    TransportStats { rtc: RtcStats, transport: TransportStats }
    /// A pair of ICE candidates.
    CandidatePairStats { rtc: RtcStats, candidate_pair: CandidatePairStats }
    /// An ICE candidate of ours.
    LocalCandidateStats { rtc: RtcStats, local_candidate: IceCandidateStats }
    /// An ICE candidate of the remote.
    RemoteCandidateStats { rtc: RtcStats, remote_candidate: IceCandidateStats }
    /// A certificate of the DTLS handshake.
    CertificateStats { rtc: RtcStats, certificate: CertificateStats }
    /// A media stream (obsolete).
    StreamStats { rtc: RtcStats, stream: StreamStats }
}

enums! {
    /// Why a sender's quality is limited (`RTCQualityLimitationReason`).
    #[derive(Default)]
    "kebab-case" QualityLimitationReason { #[default] None, Cpu, Bandwidth, Other }
    /// `RTCIceRole` (RFC 8445).
    #[derive(Default)]
    "kebab-case" IceRole { #[default] Unknown, Controlling, Controlled }
    /// `RTCDtlsTransportState`.
    "kebab-case" DtlsTransportState { New, Connecting, Connected, Closed, Failed }
    /// `RTCIceTransportState`.
    "kebab-case" IceTransportState { New, Checking, Connected, Completed, Disconnected, Failed, Closed }
    /// `RTCDtlsRole`.
    "kebab-case" DtlsRole { Client, Server, Unknown }
    /// `RTCStatsIceCandidatePairState` (RFC 8445 §6.1.2.6).
    "kebab-case" IceCandidatePairState {
        Frozen,
        Waiting,
        InProgress,
        Failed,
        Succeeded,
    }
    /// `RTCIceCandidateType` (RFC 8445 §5.1.1).
    "kebab-case" IceCandidateType { Host, Srflx, Prflx, Relay }
    /// `RTCIceServerTransportProtocol`.
    "kebab-case" IceServerTransportProtocol { Udp, Tcp, Tls }
    /// `RTCIceTcpCandidateType` (RFC 6544).
    "kebab-case" IceTcpCandidateType { Active, Passive, So }
}

/// The dictionaries that the entries are composed of; section numbers are webrtc-stats'.
pub mod dictionaries {
    use std::collections::HashMap;

    use serde::Deserialize;

    use super::{
        DtlsRole, DtlsTransportState, IceCandidatePairState, IceCandidateType, IceRole,
        IceServerTransportProtocol, IceTcpCandidateType, IceTransportState,
        QualityLimitationReason,
    };
    use crate::data_channel::DataChannelState;

    dictionaries! {
        /// `RTCStats` (webrtc-pc §8.4).
        RtcStats { id: String, timestamp: i64 }

        /// `RTCCodecStats`.
        CodecStats {
            payload_type: u32,
            transport_id: String,
            mime_type: String,
            clock_rate: u32,
            channels: u32,
            sdp_fmtp_line: String,
        }

        /// `RTCRtpStreamStats`.
        RtpStreamStats { ssrc: u32, kind: String, transport_id: String, codec_id: String }

        /// `RTCReceivedRtpStreamStats`.
        ReceivedRtpStreamStats { packets_received: u64, packets_lost: i64, jitter: f64 }

        /// `RTCInboundRtpStreamStats`.
        InboundRtpStreamStats {
            track_identifier: String,
            mid: String,
            remote_id: String,
            frames_decoded: u32,
            key_frames_decoded: u32,
            frames_rendered: u32,
            frames_dropped: u32,
            frame_width: u32,
            frame_height: u32,
            frames_per_second: f64,
            qp_sum: u64,
            total_decode_time: f64,
            total_inter_frame_delay: f64,
            total_squared_inter_frame_delay: f64,
            pause_count: u32,
            total_pause_duration: f64,
            freeze_count: u32,
            total_freeze_duration: f64,
            last_packet_received_timestamp: f64,
            header_bytes_received: u64,
            packets_discarded: u64,
            fec_bytes_received: u64,
            fec_packets_received: u64,
            fec_packets_discarded: u64,
            bytes_received: u64,
            nack_count: u32,
            fir_count: u32,
            pli_count: u32,
            total_processing_delay: f64,
            estimated_playout_timestamp: f64,
            jitter_buffer_delay: f64,
            jitter_buffer_target_delay: f64,
            jitter_buffer_emitted_count: u64,
            jitter_buffer_minimum_delay: f64,
            total_samples_received: u64,
            concealed_samples: u64,
            silent_concealed_samples: u64,
            concealment_events: u64,
            inserted_samples_for_deceleration: u64,
            removed_samples_for_acceleration: u64,
            audio_level: f64,
            total_audio_energy: f64,
            total_samples_duration: f64,
            frames_received: u64,
            decoder_implementation: String,
            playout_id: String,
            power_efficient_decoder: bool,
            frames_assembled_from_multiple_packets: u64,
            total_assembly_time: f64,
            retransmitted_packets_received: u64,
            retransmitted_bytes_received: u64,
            rtx_ssrc: u32,
            fec_ssrc: u32,
        }

        /// `RTCSentRtpStreamStats`.
        SentRtpStreamStats { packets_sent: u64, bytes_sent: u64 }

        /// `RTCOutboundRtpStreamStats`.
        OutboundRtpStreamStats {
            mid: String,
            media_source_id: String,
            remote_id: String,
            rid: String,
            header_bytes_sent: u64,
            retransmitted_packets_sent: u64,
            retransmitted_bytes_sent: u64,
            rtx_ssrc: u32,
            target_bitrate: f64,
            total_encoded_bytes_target: u64,
            frame_width: u32,
            frame_height: u32,
            frames_per_second: f64,
            frames_sent: u32,
            huge_frames_sent: u32,
            frames_encoded: u32,
            key_frames_encoded: u32,
            qp_sum: u64,
            total_encode_time: f64,
            total_packet_send_delay: f64,
            quality_limitation_reason: QualityLimitationReason,
            quality_limitation_durations: HashMap<String, f64>,
            quality_limitation_resolution_changes: u32,
            nack_count: u32,
            fir_count: u32,
            pli_count: u32,
            encoder_implementation: String,
            power_efficient_encoder: bool,
            active: bool,
            scalability_mode: String,
        }

        /// `RTCRemoteInboundRtpStreamStats`.
        RemoteInboundRtpStreamStats {
            local_id: String,
            round_trip_time: f64,
            total_round_trip_time: f64,
            fraction_lost: f64,
            round_trip_time_measurements: u64,
        }

        /// `RTCRemoteOutboundRtpStreamStats`.
        RemoteOutboundRtpStreamStats {
            local_id: String,
            remote_timestamp: f64,
            reports_sent: u64,
            round_trip_time: f64,
            total_round_trip_time: f64,
            round_trip_time_measurements: u64,
        }

        /// `RTCMediaSourceStats`.
        MediaSourceStats { track_identifier: String, kind: String }

        /// `RTCAudioSourceStats`.
        AudioSourceStats {
            audio_level: f64,
            total_audio_energy: f64,
            total_samples_duration: f64,
            echo_return_loss: f64,
            echo_return_loss_enhancement: f64,
            dropped_samples_duration: f64,
            dropped_samples_events: u32,
            total_capture_delay: f64,
            total_samples_captured: u64,
        }

        /// `RTCVideoSourceStats`.
        VideoSourceStats { width: u32, height: u32, frames: u32, frames_per_second: f64 }

        /// `RTCAudioPlayoutStats`.
        AudioPlayoutStats {
            kind: String,
            synthesized_samples_duration: f64,
            synthesized_samples_events: u32,
            total_samples_duration: f64,
            total_playout_delay: f64,
            total_samples_count: u64,
        }

        /// `RTCPeerConnectionStats`.
        PeerConnectionStats { data_channels_opened: u32, data_channels_closed: u32 }

        /// `RTCDataChannelStats`.
        DataChannelStats {
            label: String,
            protocol: String,
            data_channel_identifier: i32,
            state: Option<DataChannelState>,
            messages_sent: u32,
            bytes_sent: u64,
            messages_received: u32,
            bytes_received: u64,
        }

        /// `RTCTransportStats`.
        TransportStats {
            packets_sent: u64,
            packets_received: u64,
            bytes_sent: u64,
            bytes_received: u64,
            ice_role: IceRole,
            ice_local_username_fragment: String,
            dtls_state: Option<DtlsTransportState>,
            ice_state: Option<IceTransportState>,
            selected_candidate_pair_id: String,
            local_certificate_id: String,
            remote_certificate_id: String,
            tls_version: String,
            dtls_cipher: String,
            dtls_role: Option<DtlsRole>,
            srtp_cipher: String,
            selected_candidate_pair_changes: u32,
        }

        /// `RTCIceCandidatePairStats`.
        CandidatePairStats {
            transport_id: String,
            local_candidate_id: String,
            remote_candidate_id: String,
            state: Option<IceCandidatePairState>,
            nominated: bool,
            packets_sent: u64,
            packets_received: u64,
            bytes_sent: u64,
            bytes_received: u64,
            last_packet_sent_timestamp: f64,
            last_packet_received_timestamp: f64,
            total_round_trip_time: f64,
            current_round_trip_time: f64,
            available_outgoing_bitrate: f64,
            available_incoming_bitrate: f64,
            requests_received: u64,
            requests_sent: u64,
            responses_received: u64,
            responses_sent: u64,
            consent_requests_sent: u64,
            packets_discarded_on_send: u32,
            bytes_discarded_on_send: u64,
        }

        /// `RTCIceCandidateStats`.
        IceCandidateStats {
            transport_id: String,
            address: String,
            port: i32,
            protocol: String,
            candidate_type: Option<IceCandidateType>,
            priority: i32,
            url: String,
            relay_protocol: Option<IceServerTransportProtocol>,
            foundation: String,
            related_address: String,
            related_port: i32,
            username_fragment: String,
            tcp_type: Option<IceTcpCandidateType>,
        }

        /// `RTCCertificateStats`.
        CertificateStats {
            fingerprint: String,
            fingerprint_algorithm: String,
            base64_certificate: String,
            issuer_certificate_id: String,
        }

        /// `RTCMediaStreamStats` (obsolete).
        StreamStats { stream_identifier: String }

        /// `RTCMediaStreamTrackStats` (obsolete).
        TrackStats {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_is_one_flat_camel_case_object_tagged_by_its_type() {
        let inbound = json!({
            "type": "inbound-rtp", "id": "I0", "timestamp": 7, "ssrc": 5, "packetsLost": -1,
            "jitterBufferEmittedCount": 480, "decoderImplementation": "opus",
        });
        let expected = InboundRtpStats {
            rtc: dictionaries::RtcStats {
                id: "I0".into(),
                timestamp: 7,
            },
            stream: dictionaries::RtpStreamStats {
                ssrc: 5,
                ..Default::default()
            },
            received: dictionaries::ReceivedRtpStreamStats {
                packets_lost: -1,
                ..Default::default()
            },
            inbound: dictionaries::InboundRtpStreamStats {
                jitter_buffer_emitted_count: 480,
                decoder_implementation: "opus".into(),
                ..Default::default()
            },
        };
        assert_eq!(
            serde_json::from_value::<RtcStats>(inbound).unwrap(),
            RtcStats::InboundRtp(expected)
        );
    }

    #[test]
    fn absent_keys_read_as_defaults_and_unknown_keys_are_ignored() {
        let pair = json!({
            "type": "candidate-pair", "id": "CP1", "timestamp": 1,
            "state": "in-progress", "nominated": true, "somethingNew": [1, 2],
        });
        let RtcStats::CandidatePair(pair) = serde_json::from_value(pair).unwrap() else {
            panic!("another entry");
        };
        assert_eq!(
            pair.candidate_pair.state,
            Some(IceCandidatePairState::InProgress)
        );
        assert!(pair.candidate_pair.nominated);
        assert_eq!(pair.candidate_pair.current_round_trip_time, 0.0);
        assert_eq!(
            serde_json::from_value::<RtcStats>(json!({"type": "track", "id": "T"})).unwrap(),
            RtcStats::Track
        );
    }
}
