//! Statistics reports, as far as they can be told (W3C webrtc-stats).

use str0m::stats::{MediaEgressStats, PeerStats};

use crate::{
    media::{
        opus::{CLOCK_RATE, IMPLEMENTATION},
        receiver::Receiver,
        sender::Sender,
    },
    media_stream_track::MediaStreamTrack,
    peer_connection::PeerConnectionState,
    stats::{
        CandidatePairStats, CodecStats, DataChannelStats, DtlsTransportState,
        IceCandidatePairState, IceCandidateType, IceRole, InboundRtpStats, LocalCandidateStats,
        MediaSourceStats, OutboundRtpStats, RemoteCandidateStats, RemoteInboundRtpStats, RtcStats,
        TransportStats, dictionaries,
    },
};

use super::{
    peer::Peer,
    transceiver::{TrackKind, Transceiver, TransceiverId},
    transport::{Path, RoundTrips},
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
    pub(super) fn take_round_trips(&mut self, statistics: &PeerStats) {
        if let Some(pair) = &statistics.selected_candidate_pair {
            self.transport.round_trips = RoundTrips {
                last: pair.current_round_trip_time.unwrap_or_default(),
                total: pair.total_round_trip_time,
                count: pair.responses_received,
            };
        }
    }

    pub(super) fn take_reception(&mut self, statistics: &MediaEgressStats) {
        let mid = statistics.mid.to_string();
        let transceiver = self
            .transceivers
            .iter_mut()
            .find(|transceiver| transceiver.mid() == Some(mid.as_str()));
        // Without a loss there was no report since the last time.
        let (Some(transceiver), Some(remote), Some(loss)) =
            (transceiver, &statistics.remote, statistics.loss)
        else {
            return;
        };
        let reported = transceiver.send.reported.get_or_insert_default();
        reported.packets_lost = remote.packets_lost;
        reported.jitter = remote.jitter;
        reported.fraction_lost = f64::from(loss);
        if let Some(round_trip) = statistics.rtt {
            reported.last_round_trip = round_trip;
            reported.total_round_trip += round_trip;
            reported.round_trips += 1;
        }
    }

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
            rtc: self.entry(outbound_id(send.ssrc)),
            stream: stream(transceiver.kind, send.ssrc),
            sent: dictionaries::SentRtpStreamStats {
                packets_sent: send.packets,
                bytes_sent: send.bytes,
            },
            outbound: dictionaries::OutboundRtpStreamStats {
                mid: transceiver.mid().unwrap_or_default().to_owned(),
                media_source_id: source.clone(),
                remote_id: send
                    .reported
                    .map(|_| remote_inbound_id(send.ssrc))
                    .unwrap_or_default(),
                active: transceiver.is_sending(),
                encoder_implementation: IMPLEMENTATION.to_owned(),
                ..Default::default()
            },
        }));
        self.remote_inbound(transceiver);
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

    fn remote_inbound(&mut self, transceiver: &Transceiver) {
        let send = &transceiver.send;
        let Some(reported) = &send.reported else {
            return;
        };
        let packets_lost = reported.packets_lost.cast_signed();
        self.entries
            .push(RtcStats::RemoteInboundRtp(RemoteInboundRtpStats {
                rtc: self.entry(remote_inbound_id(send.ssrc)),
                stream: stream(transceiver.kind, send.ssrc),
                received: dictionaries::ReceivedRtpStreamStats {
                    packets_received: send.packets.saturating_sub(reported.packets_lost),
                    packets_lost,
                    jitter: f64::from(reported.jitter) / f64::from(CLOCK_RATE),
                },
                remote_inbound: dictionaries::RemoteInboundRtpStreamStats {
                    local_id: outbound_id(send.ssrc),
                    round_trip_time: reported.last_round_trip.as_secs_f64(),
                    total_round_trip_time: reported.total_round_trip.as_secs_f64(),
                    fraction_lost: reported.fraction_lost,
                    round_trip_time_measurements: reported.round_trips,
                },
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
                clock_rate: CLOCK_RATE,
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
                    current_round_trip_time: transport.round_trips.last.as_secs_f64(),
                    total_round_trip_time: transport.round_trips.total.as_secs_f64(),
                    responses_received: transport.round_trips.count,
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

fn outbound_id(ssrc: u32) -> String {
    format!("O{ssrc}")
}

fn remote_inbound_id(ssrc: u32) -> String {
    format!("RI{ssrc}")
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
