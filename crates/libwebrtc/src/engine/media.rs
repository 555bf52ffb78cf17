//! Tracks on the transport: what a negotiated section sends and receives.

use std::{sync::Arc, time::Instant};

use str0m::{
    media::{MediaKind, Mid as MediaId},
    rtp::{ExtensionValues, RtpPacket as Received, RtpWrite},
};

use crate::{
    RtcError,
    media::{
        RtpPacket,
        sender::{EncodedPacket, Sender},
    },
    media_stream_track::MediaStreamTrack,
    native::create_random_uuid,
    rtp_parameters::{RtcpParameters, RtpCodecParameters, RtpEncodingParameters, RtpParameters},
    rtp_transceiver::RtpTransceiverDirection,
};

use super::{
    peer::{Peer, PeerEvent},
    sdp::{Section, SentTrack},
    transceiver::{Mid, ReceiveSide, SendSide, TrackKind, Transceiver, TransceiverId},
};

impl Peer {
    /// A new transceiver at the end of the list; negotiation is needed.
    pub(crate) fn add_transceiver(
        &mut self,
        kind: TrackKind,
        direction: RtpTransceiverDirection,
        stream_ids: Vec<String>,
        encodings: Vec<RtpEncodingParameters>,
    ) -> Result<TransceiverId, RtcError> {
        self.check_open()?;
        let id = self.new_transceiver(kind, direction, stream_ids, encodings);
        self.push_event(PeerEvent::NegotiationNeeded);
        Ok(id)
    }

    pub(super) fn new_transceiver(
        &mut self,
        kind: TrackKind,
        direction: RtpTransceiverDirection,
        stream_ids: Vec<String>,
        encodings: Vec<RtpEncodingParameters>,
    ) -> TransceiverId {
        let track_id = create_random_uuid();
        let track = match kind {
            TrackKind::Audio => {
                MediaStreamTrack::Audio(crate::audio_track::RtcAudioTrack::remote(&track_id))
            }
            TrackKind::Video => {
                MediaStreamTrack::Video(crate::video_track::RtcVideoTrack::new(&track_id))
            }
        };
        self.transceivers.push(Transceiver {
            kind,
            mid: Mid::None,
            direction,
            current_direction: None,
            declared: false,
            send: SendSide {
                track: None,
                encoder: None,
                stream_ids,
                encodings,
                degradation: None,
                // 0 is what bandwidth probes use.
                ssrc: rand::random::<u32>().max(1),
                // Far from the wrap, so that a lost first packet leaves no doubt about the rollover
                // counter (RFC 3711 §3.3.1).
                sequence_number: u64::from(rand::random::<u16>() / 2),
                packets: 0,
                bytes: 0,
                reported: None,
            },
            receive: ReceiveSide {
                track,
                stream_ids: Vec::new(),
                ssrcs: Vec::new(),
            },
        });
        TransceiverId(self.transceivers.len() - 1)
    }

    pub(crate) fn transceiver(&self, id: TransceiverId) -> &Transceiver {
        &self.transceivers[id.0]
    }

    /// In the order in which they were added.
    pub(crate) fn transceivers(&self) -> impl Iterator<Item = TransceiverId> + use<> {
        (0..self.transceivers.len()).map(TransceiverId)
    }

    pub(crate) fn stop_transceiver(&mut self, id: TransceiverId) {
        let transceiver = &mut self.transceivers[id.0];
        transceiver.end();
        self.push_event(PeerEvent::NegotiationNeeded);
    }

    /// Stops sending; the section goes on receiving if it did (W3C `removeTrack`).
    ///
    /// Gives back the encoder, which is to be dropped without a lock.
    pub(crate) fn remove_track(
        &mut self,
        id: TransceiverId,
    ) -> Result<Option<Arc<Sender>>, RtcError> {
        self.check_open()?;
        let transceiver = &mut self.transceivers[id.0];
        transceiver.direction =
            RtpTransceiverDirection::new(false, transceiver.direction.receives());
        let encoder = self.set_sent_track(id, None, None);
        self.push_event(PeerEvent::NegotiationNeeded);
        Ok(encoder)
    }

    /// Replaces the track that is sent, without negotiation. Gives back the encoder of the old one,
    /// which is to be dropped without a lock.
    pub(crate) fn set_sent_track(
        &mut self,
        id: TransceiverId,
        track: Option<MediaStreamTrack>,
        encoder: Option<Arc<Sender>>,
    ) -> Option<Arc<Sender>> {
        let transceiver = &mut self.transceivers[id.0];
        if let Some(encoder) = &encoder {
            encoder.set_max_bitrate(
                transceiver
                    .send
                    .encodings
                    .first()
                    .and_then(|e| e.max_bitrate),
            );
        }
        transceiver.send.track = track;
        let old = std::mem::replace(&mut transceiver.send.encoder, encoder);
        if let Some(old) = &old {
            old.set_active(false);
        }
        transceiver.update_encoder();
        old
    }

    /// Sends an Opus packet; it is dropped while the connection or the section does not send.
    pub(crate) fn write_audio(&mut self, now: Instant, id: TransceiverId, packet: EncodedPacket) {
        let transceiver = &mut self.transceivers[id.0];
        if !self.transport.dtls_connected || !transceiver.is_sending() {
            return;
        }
        let Mid::Set(mid) = &transceiver.mid else {
            return;
        };
        let extensions = ExtensionValues {
            audio_level: Some(packet.audio_level_dbov),
            voice_activity: Some(packet.voice),
            mid: Some(MediaId::from(mid.as_str())),
            ..ExtensionValues::default()
        };
        let send = &mut transceiver.send;
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx(&send.ssrc.into()) else {
            return;
        };
        let length = packet.payload.len() as u64;
        let write = RtpWrite::new(
            self.formats.opus.payload_type.into(),
            send.sequence_number.into(),
            packet.timestamp,
            now,
            packet.payload,
        );
        stream.write_rtp(write.marker(packet.marker).ext_vals(extensions));
        send.sequence_number += 1;
        send.packets += 1;
        send.bytes += length;
        self.advance(now);
    }

    pub(super) fn handle_rtp(&mut self, packet: Received) {
        let ssrc = *packet.header.ssrc;
        let id = match self.receivers.get(&ssrc) {
            Some(id) => *id,
            None => {
                // Not announced: the mid extension says whose it is (RFC 9143 §9.2).
                let Some(mid) = packet.header.ext_vals.mid else {
                    return;
                };
                let named =
                    |t: &Transceiver| t.mid().is_some_and(|name| MediaId::from(name) == mid);
                let Some(index) = self.transceivers.iter().position(named) else {
                    return;
                };
                self.receivers.insert(ssrc, TransceiverId(index));
                self.transceivers[index].receive.ssrcs.push(ssrc);
                TransceiverId(index)
            }
        };
        if *packet.header.payload_type != self.formats.opus.payload_type {
            return; // video is not decoded
        }
        if let MediaStreamTrack::Audio(track) = &self.transceivers[id.0].receive.track
            && let Some(receiver) = track.receiver()
        {
            receiver.push(RtpPacket {
                ssrc,
                seq: *packet.seq_no,
                timestamp: packet.header.timestamp,
                payload: packet.payload,
                arrival: packet.timestamp,
            });
        }
    }

    /// Puts a negotiated section into force: `remote` is the other side's, `direction` is ours.
    pub(super) fn apply_media(
        &mut self,
        id: TransceiverId,
        remote: &Section,
        direction: RtpTransceiverDirection,
    ) {
        let transceiver = &mut self.transceivers[id.0];
        let Some(mid) = transceiver.name().map(str::to_owned) else {
            return;
        };
        transceiver.mid = applied_mid(&mid);
        let media = MediaId::from(mid.as_str());
        let mut api = self.rtc.direct_api();
        if !transceiver.declared {
            transceiver.declared = true;
            api.declare_media(
                media,
                match transceiver.kind {
                    TrackKind::Audio => MediaKind::Audio,
                    TrackKind::Video => MediaKind::Video,
                },
            );
        }
        let ssrcs = if direction.receives() {
            remote.ssrcs()
        } else {
            Vec::new()
        };
        let receive = &mut transceiver.receive;
        for gone in receive.ssrcs.iter().filter(|ssrc| !ssrcs.contains(ssrc)) {
            api.remove_stream_rx((*gone).into());
            self.receivers.remove(gone);
        }
        for ssrc in &ssrcs {
            let stream = api.expect_stream_rx((*ssrc).into(), None, media, None);
            // Nothing negotiates NACK for audio, and lost video is not missed.
            stream.suppress_nack(true);
            self.receivers.insert(*ssrc, id);
        }
        if receive.ssrcs != ssrcs
            && let MediaStreamTrack::Audio(track) = &receive.track
            && let Some(receiver) = track.receiver()
        {
            receiver.reset();
        }
        receive.ssrcs = ssrcs;
        if !transceiver.is_stopped() {
            transceiver.current_direction = Some(direction);
        }
        if transceiver.is_sending() {
            api.declare_stream_tx(transceiver.send.ssrc.into(), None, media, None);
        }
        transceiver.update_encoder();
        self.apply_remote_streams(id, remote);
    }

    /// Notes the streams that the other side announces; a new announcement is a track event.
    pub(super) fn apply_remote_streams(&mut self, id: TransceiverId, remote: &Section) {
        let sending = remote.direction().sends();
        let stream_ids = if sending {
            remote.stream_ids()
        } else {
            Vec::new()
        };
        let receive = &mut self.transceivers[id.0].receive;
        let announced = receive.stream_ids != stream_ids && !stream_ids.is_empty();
        receive.stream_ids = stream_ids;
        if announced {
            self.push_event(PeerEvent::Track(id));
        }
    }

    pub(crate) fn parameters(&self, id: TransceiverId) -> RtpParameters {
        let transceiver = &self.transceivers[id.0];
        let send = &transceiver.send;
        let codecs = self.formats.codecs(&transceiver.kind.section());
        let mut encodings = send.encodings.clone();
        if encodings.is_empty() && send.track.is_some() {
            encodings.push(RtpEncodingParameters::default());
        }
        if let [encoding] = &mut encodings[..] {
            encoding.has_ssrc = true;
            encoding.ssrc = send.ssrc;
        }
        RtpParameters {
            codecs: codecs
                .iter()
                .map(|codec| codec_parameters(transceiver.kind, codec))
                .collect(),
            header_extensions: Vec::new(),
            encodings,
            rtcp: RtcpParameters {
                cname: self.cname.clone(),
                reduced_size: true,
            },
            degradation: send.degradation,
        }
    }

    pub(crate) fn set_parameters(
        &mut self,
        id: TransceiverId,
        parameters: RtpParameters,
    ) -> Result<(), RtcError> {
        let send = &mut self.transceivers[id.0].send;
        if !send.encodings.is_empty() && parameters.encodings.len() != send.encodings.len() {
            return Err(RtcError::state("the number of encodings cannot change"));
        }
        if let Some(encoder) = &send.encoder {
            encoder.set_max_bitrate(parameters.encodings.first().and_then(|e| e.max_bitrate));
        }
        send.encodings = parameters.encodings;
        send.degradation = parameters.degradation;
        Ok(())
    }
}

impl SendSide {
    pub(super) fn description<'a>(&'a self, track_id: &'a str, cname: &'a str) -> SentTrack<'a> {
        SentTrack {
            stream_id: self.stream_ids.first().map_or("-", String::as_str),
            track_id,
            ssrc: self.ssrc,
            cname,
        }
    }
}

pub(super) fn applied_mid(mid: &str) -> Mid {
    Mid::Set(mid.to_owned())
}

/// `name` is `opus/48000/2`.
fn codec_parameters(kind: TrackKind, codec: &super::sdp::Codec) -> RtpCodecParameters {
    let mut parts = codec.name.split('/');
    let name = parts.next().unwrap_or_default();
    RtpCodecParameters {
        payload_type: codec.payload_type,
        mime_type: format!("{}/{name}", kind.name()),
        clock_rate: parts.next().and_then(|rate| rate.parse().ok()),
        channels: parts.next().and_then(|channels| channels.parse().ok()),
    }
}
