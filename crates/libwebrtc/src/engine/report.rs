//! Statistics reports, as far as they can be told (W3C webrtc-stats).

use crate::{
    media::{opus::IMPLEMENTATION, receiver::Receiver, sender::Sender},
    media_stream_track::MediaStreamTrack,
    peer_connection::PeerConnectionState,
    stats::{
        CandidatePairStats, CodecStats, DataChannelStats, DtlsTransportState,
        IceCandidatePairState, IceCandidateType, IceRole, InboundRtpStats, LocalCandidateStats,
        MediaSourceStats, OutboundRtpStats, RemoteCandidateStats, RtcStats, TransportStats,
        dictionaries,
    },
};

use super::{
    peer::Peer,
    transceiver::{TrackKind, Transceiver, TransceiverId},
    transport::Path,
};

const TRANSPORT: &str = "T01";
const PAIR: &str = "CP01";
const LOCAL: &str = "CL01";
const REMOTE: &str = "CR01";
const OPUS: &str = "C01";

/// Which entries are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    Connection,
    Sender(TransceiverId),
    Receiver(TransceiverId),
}

impl Peer {
    /// `timestamp` is in microseconds since the Unix epoch.
    pub(crate) fn report(&self, what: Report, timestamp: i64) -> Vec<RtcStats> {
        let mut writer = Writer {
            timestamp,
            entries: Vec::new(),
        };
        for id in self.transceivers() {
            let transceiver = self.transceiver(id);
            if what == Report::Connection || what == Report::Sender(id) {
                writer.sender(transceiver);
            }
            if what == Report::Connection || what == Report::Receiver(id) {
                writer.receiver(transceiver);
            }
        }
        writer.codec(self);
        if what == Report::Connection {
            writer.data_channels(self);
        }
        writer.transport(self);
        writer.entries
    }
}

struct Writer {
    timestamp: i64,
    entries: Vec<RtcStats>,
}

impl Writer {
    fn entry(&self, id: impl Into<String>) -> dictionaries::RtcStats {
        dictionaries::RtcStats {
            id: id.into(),
            timestamp: self.timestamp,
        }
    }

    fn sender(&mut self, transceiver: &Transceiver) {
        let send = &transceiver.send;
        let Some(track) = &send.track else { return };
        let source = format!("S{}", send.ssrc);
        self.entries.push(RtcStats::OutboundRtp(OutboundRtpStats {
            rtc: self.entry(format!("O{}", send.ssrc)),
            stream: stream(transceiver.kind, send.ssrc),
            sent: dictionaries::SentRtpStreamStats {
                packets_sent: send.packets,
                bytes_sent: send.bytes,
            },
            outbound: dictionaries::OutboundRtpStreamStats {
                mid: transceiver.mid().unwrap_or_default().to_owned(),
                media_source_id: source.clone(),
                active: transceiver.is_sending(),
                encoder_implementation: IMPLEMENTATION.to_owned(),
                ..Default::default()
            },
        }));
        let audio = send
            .encoder
            .as_deref()
            .map(Sender::stats)
            .unwrap_or_default();
        self.entries.push(RtcStats::MediaSource(MediaSourceStats {
            rtc: self.entry(source),
            source: dictionaries::MediaSourceStats {
                track_identifier: track.id(),
                kind: transceiver.kind.name().to_owned(),
            },
            audio: audio.audio_source(),
            ..Default::default()
        }));
    }

    fn receiver(&mut self, transceiver: &Transceiver) {
        let MediaStreamTrack::Audio(track) = &transceiver.receive.track else {
            return;
        };
        let received = track.receiver().map(Receiver::stats).unwrap_or_default();
        if received.packets == 0 {
            return;
        }
        let mid = transceiver.mid().unwrap_or_default();
        let ssrc = transceiver
            .receive
            .ssrcs
            .last()
            .copied()
            .unwrap_or_default();
        self.entries.push(RtcStats::InboundRtp(InboundRtpStats {
            rtc: self.entry(format!("I{mid}")),
            stream: stream(transceiver.kind, ssrc),
            received: received.received(),
            inbound: dictionaries::InboundRtpStreamStats {
                track_identifier: track.id(),
                mid: mid.to_owned(),
                ..received.inbound()
            },
        }));
    }

    fn codec(&mut self, peer: &Peer) {
        self.entries.push(RtcStats::Codec(CodecStats {
            rtc: self.entry(OPUS),
            codec: dictionaries::CodecStats {
                payload_type: peer.formats.opus.payload_type.into(),
                transport_id: TRANSPORT.to_owned(),
                mime_type: "audio/opus".to_owned(),
                clock_rate: 48_000,
                channels: 2,
                sdp_fmtp_line: peer.formats.opus.fmtp.clone(),
            },
        }));
    }

    fn data_channels(&mut self, peer: &Peer) {
        for channel in peer.channels.iter() {
            self.entries.push(RtcStats::DataChannel(DataChannelStats {
                rtc: self.entry(format!("D{}", channel.stream_id.map_or(-1, i32::from))),
                dc: dictionaries::DataChannelStats {
                    label: channel.label.clone(),
                    protocol: channel.init.protocol.clone(),
                    data_channel_identifier: channel.stream_id.map_or(-1, i32::from),
                    state: Some(channel.state),
                    messages_sent: channel.sent.messages,
                    bytes_sent: channel.sent.bytes,
                    messages_received: channel.received.messages,
                    bytes_received: channel.received.bytes,
                },
            }));
        }
    }

    fn transport(&mut self, peer: &Peer) {
        let transport = &peer.transport;
        self.entries.push(RtcStats::Transport(TransportStats {
            rtc: self.entry(TRANSPORT),
            transport: dictionaries::TransportStats {
                packets_sent: transport.sent.packets,
                packets_received: transport.received.packets,
                bytes_sent: transport.sent.bytes,
                bytes_received: transport.received.bytes,
                ice_role: if transport.controlling {
                    IceRole::Controlling
                } else {
                    IceRole::Controlled
                },
                ice_local_username_fragment: transport.credentials.ufrag.clone(),
                dtls_state: Some(match peer.connection_state() {
                    PeerConnectionState::Closed => DtlsTransportState::Closed,
                    PeerConnectionState::Failed => DtlsTransportState::Failed,
                    _ if transport.dtls_connected => DtlsTransportState::Connected,
                    PeerConnectionState::New => DtlsTransportState::New,
                    PeerConnectionState::Connecting
                    | PeerConnectionState::Connected
                    | PeerConnectionState::Disconnected => DtlsTransportState::Connecting,
                }),
                selected_candidate_pair_id: transport
                    .selected
                    .map(|_| PAIR.to_owned())
                    .unwrap_or_default(),
                ..Default::default()
            },
        }));
        let Some(path) = transport.selected else {
            return;
        };
        self.entries
            .push(RtcStats::CandidatePair(CandidatePairStats {
                rtc: self.entry(PAIR),
                candidate_pair: dictionaries::CandidatePairStats {
                    transport_id: TRANSPORT.to_owned(),
                    local_candidate_id: LOCAL.to_owned(),
                    remote_candidate_id: REMOTE.to_owned(),
                    state: Some(IceCandidatePairState::Succeeded),
                    nominated: true,
                    packets_sent: transport.sent.packets,
                    packets_received: transport.received.packets,
                    bytes_sent: transport.sent.bytes,
                    bytes_received: transport.received.bytes,
                    ..Default::default()
                },
            }));
        self.entries
            .push(RtcStats::LocalCandidate(LocalCandidateStats {
                rtc: self.entry(LOCAL),
                local_candidate: candidate(path, path.local),
            }));
        self.entries
            .push(RtcStats::RemoteCandidate(RemoteCandidateStats {
                rtc: self.entry(REMOTE),
                remote_candidate: candidate(path, path.remote),
            }));
    }
}

fn stream(kind: TrackKind, ssrc: u32) -> dictionaries::RtpStreamStats {
    dictionaries::RtpStreamStats {
        ssrc,
        kind: kind.name().to_owned(),
        transport_id: TRANSPORT.to_owned(),
        codec_id: OPUS.to_owned(),
    }
}

fn candidate(path: Path, address: std::net::SocketAddr) -> dictionaries::IceCandidateStats {
    dictionaries::IceCandidateStats {
        transport_id: TRANSPORT.to_owned(),
        address: address.ip().to_string(),
        port: i32::from(address.port()),
        protocol: path.protocol.to_string(),
        candidate_type: Some(IceCandidateType::Host),
        ..Default::default()
    }
}
