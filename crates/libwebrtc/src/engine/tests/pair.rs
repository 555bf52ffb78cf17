//! The test bed: two peers, simulated time, a network that delays, reorders and loses.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use str0m::net::Protocol;

use crate::{
    audio_track::RtcAudioTrack,
    data_channel::{DataChannelInit, DataChannelState},
    engine::{ChannelId, Peer, PeerEvent, TrackKind, TransceiverId},
    ice_candidate::IceCandidate,
    media::sender::EncodedPacket,
    media_stream_track::MediaStreamTrack,
    peer_connection::{OfferOptions, PeerConnectionState},
    rtp_transceiver::RtpTransceiverDirection,
    session_description::{SdpType, SessionDescription},
    video_track::RtcVideoTrack,
};

/// 20 ms of Opus that decodes to silence (CELT, fullband, one frame without payload).
pub(super) const OPUS_SILENCE: &[u8] = &[0xf8, 0xff, 0xfe];

/// How often sent audio comes.
const PACKET: Duration = Duration::from_millis(20);

pub(super) struct Pair {
    /// Offers, unless a test has it otherwise.
    pub(super) left: Endpoint,
    pub(super) right: Endpoint,
    pub(super) now: Instant,
    pub(super) network: Network,
    in_flight: Vec<Flight>,
}

pub(super) struct Endpoint {
    pub(super) peer: Peer,
    address: SocketAddr,
    /// All that happened, oldest first.
    pub(super) events: Vec<PeerEvent>,
    /// Candidates that wait for the other side's description.
    candidates: VecDeque<IceCandidate>,
    timestamp: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    pub(super) delay: Duration,
    /// A datagram takes up to so much longer, so it can overtake.
    pub(super) jitter: Duration,
    /// Of 100 datagrams.
    pub(super) loss_percent: u32,
    pub(super) cut: bool,
    /// Of the pseudo-random numbers.
    state: u64,
}

struct Flight {
    arrives: Instant,
    to: SocketAddr,
    from: SocketAddr,
    datagram: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

impl Network {
    fn random(&mut self) -> u64 {
        // xorshift64
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// How long a datagram takes; `None`: it is lost.
    fn travel(&mut self) -> Option<Duration> {
        let lost = self.random() % 100 < u64::from(self.loss_percent);
        let jitter = self.random() % (self.jitter.as_micros() as u64 + 1);
        (!lost && !self.cut).then(|| self.delay + Duration::from_micros(jitter))
    }
}

impl Pair {
    pub(super) fn new() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "simulated time starts at some time"
        )]
        let now = Instant::now();
        let endpoint = |address: &str| Endpoint {
            peer: Peer::new(now).unwrap(),
            address: address.parse().unwrap(),
            events: Vec::new(),
            candidates: VecDeque::new(),
            timestamp: 0,
        };
        Self {
            left: endpoint("192.0.2.1:1000"),
            right: endpoint("198.51.100.2:2000"),
            now,
            network: Network {
                delay: Duration::from_millis(10),
                jitter: Duration::ZERO,
                loss_percent: 0,
                cut: false,
                state: 0x9e37_79b9_7f4a_7c15,
            },
            in_flight: Vec::new(),
        }
    }

    /// With an audio track each way and one negotiated channel, connected.
    pub(super) fn connected() -> (Self, ChannelId, ChannelId) {
        let mut pair = Self::new();
        pair.left.add_audio("l", RtpTransceiverDirection::SendRecv);
        pair.right.add_audio("r", RtpTransceiverDirection::SendRecv);
        let channels = pair.negotiated_channel(7);
        pair.negotiate();
        pair.run_until("both connect", |pair| {
            pair.both(|end| end.peer.connection_state() == PeerConnectionState::Connected)
        });
        let open = |end: &Endpoint, id| end.peer.channel_state(id) == Some(DataChannelState::Open);
        pair.run_until("channels open", |pair| {
            open(&pair.left, channels.0) && open(&pair.right, channels.1)
        });
        (pair, channels.0, channels.1)
    }

    pub(super) fn negotiated_channel(&mut self, id: i32) -> (ChannelId, ChannelId) {
        let init = DataChannelInit {
            negotiated: true,
            id,
            ..DataChannelInit::default()
        };
        let now = self.now;
        let create = |end: &mut Endpoint| {
            end.peer
                .create_data_channel(now, "both", init.clone())
                .unwrap()
        };
        (create(&mut self.left), create(&mut self.right))
    }

    pub(super) fn both(&self, holds: impl Fn(&Endpoint) -> bool) -> bool {
        holds(&self.left) && holds(&self.right)
    }

    pub(super) fn end(&mut self, side: Side) -> &mut Endpoint {
        match side {
            Side::Left => &mut self.left,
            Side::Right => &mut self.right,
        }
    }

    /// One whole offer and answer; the left side offers.
    pub(super) fn negotiate(&mut self) {
        self.negotiate_as(OfferOptions::default(), |offer| offer);
    }

    /// The same, with the text of the offer changed before it is set and sent.
    pub(super) fn negotiate_as(&mut self, options: OfferOptions, munge: impl Fn(String) -> String) {
        let offer = self.left.peer.create_offer(&options).unwrap();
        let offer = SessionDescription::parse(&munge(offer.to_string()), SdpType::Offer).unwrap();
        self.left
            .peer
            .set_local_description(self.now, offer.clone())
            .unwrap();
        let answer = self.answer(Side::Right, offer);
        self.left
            .peer
            .set_remote_description(self.now, answer)
            .unwrap();
        self.settle();
    }

    pub(super) fn answer(&mut self, side: Side, offer: SessionDescription) -> SessionDescription {
        let now = self.now;
        let peer = &mut self.end(side).peer;
        peer.set_remote_description(now, offer).unwrap();
        let answer = peer.create_answer().unwrap();
        peer.set_local_description(now, answer.clone()).unwrap();
        answer
    }

    /// Runs until `done`, which must be within a simulated minute.
    pub(super) fn run_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let limit = self.now + Duration::from_secs(60);
        self.settle();
        while !done(self) {
            assert!(
                self.now < limit,
                "after a minute still waiting until {what}"
            );
            self.step(limit);
        }
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        while self.now < end {
            self.step(end);
        }
    }

    /// Sends audio from both sides for so long.
    pub(super) fn talk_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            for side in [Side::Left, Side::Right] {
                let now = self.now;
                self.end(side).send_audio(now);
            }
            self.run_for(PACKET);
        }
    }

    /// To the next thing that happens, or `limit`.
    fn step(&mut self, limit: Instant) {
        let arrival = self.in_flight.iter().map(|flight| flight.arrives).min();
        let next = [
            self.left.peer.poll_timeout(),
            self.right.peer.poll_timeout(),
        ]
        .into_iter()
        .chain(arrival)
        .fold(limit, Instant::min);
        self.now = self.now.max(next);
        let now = self.now;
        while let Some(index) = self
            .in_flight
            .iter()
            .position(|flight| flight.arrives <= now)
        {
            let Flight {
                to, from, datagram, ..
            } = self.in_flight.remove(index);
            let end = if to == self.left.address {
                &mut self.left
            } else {
                &mut self.right
            };
            end.peer
                .handle_datagram(now, Protocol::Udp, from, to, &datagram);
        }
        for end in [&mut self.left, &mut self.right] {
            if end.peer.poll_timeout() <= now {
                end.peer.handle_timeout(now);
            }
        }
        self.settle();
    }

    /// Takes what the peers give out.
    pub(super) fn settle(&mut self) {
        let now = self.now;
        for end in [&mut self.left, &mut self.right] {
            end.take_events(now);
        }
        signal_candidates(&mut self.left, &mut self.right, now);
        signal_candidates(&mut self.right, &mut self.left, now);
        for end in [&mut self.left, &mut self.right] {
            end.take_events(now);
            while let Some(transmit) = end.peer.poll_transmit() {
                if let Some(travel) = self.network.travel() {
                    self.in_flight.push(Flight {
                        arrives: now + travel,
                        to: transmit.destination,
                        from: transmit.source,
                        datagram: transmit.contents.to_vec(),
                    });
                }
            }
        }
    }
}

/// Once the other side has a description.
fn signal_candidates(from: &mut Endpoint, to: &mut Endpoint, now: Instant) {
    while let Some(candidate) = from.candidates.front() {
        if to.peer.add_ice_candidate(now, candidate).is_err() {
            return;
        }
        from.candidates.pop_front();
    }
}

impl Endpoint {
    fn take_events(&mut self, now: Instant) {
        while let Some(event) = self.peer.poll_event() {
            match event {
                PeerEvent::GatherCandidates => self.peer.handle_udp_sockets(now, &[self.address]),
                PeerEvent::IceCandidate(candidate) => self.candidates.push_back(candidate),
                event => self.events.push(event),
            }
        }
    }

    /// A transceiver that would send a track of that name.
    pub(super) fn add_audio(
        &mut self,
        name: &str,
        direction: RtpTransceiverDirection,
    ) -> TransceiverId {
        let streams = vec![format!("stream-{name}")];
        let id = self
            .peer
            .add_transceiver(TrackKind::Audio, direction, streams, Vec::new())
            .unwrap();
        let track = MediaStreamTrack::Audio(RtcAudioTrack::local(name, None));
        assert!(self.peer.set_sent_track(id, Some(track), None).is_none());
        id
    }

    pub(super) fn add_video(&mut self, name: &str) -> TransceiverId {
        let direction = RtpTransceiverDirection::SendRecv;
        let id = self
            .peer
            .add_transceiver(TrackKind::Video, direction, Vec::new(), Vec::new())
            .unwrap();
        let track = MediaStreamTrack::Video(RtcVideoTrack::new(name));
        assert!(self.peer.set_sent_track(id, Some(track), None).is_none());
        id
    }

    pub(super) fn receive_only(&mut self, kind: TrackKind) -> TransceiverId {
        let direction = RtpTransceiverDirection::RecvOnly;
        self.peer
            .add_transceiver(kind, direction, Vec::new(), Vec::new())
            .unwrap()
    }

    /// One packet on every transceiver that sends.
    pub(super) fn send_audio(&mut self, now: Instant) {
        self.timestamp += 960;
        for id in self.peer.transceivers() {
            let packet = EncodedPacket {
                payload: OPUS_SILENCE.to_vec(),
                timestamp: self.timestamp,
                marker: false,
                audio_level_dbov: -40,
                voice: true,
            };
            self.peer.write_audio(now, id, packet);
        }
    }

    /// Packets that came for the track of a transceiver.
    pub(super) fn received(&self, id: TransceiverId) -> u64 {
        match self.peer.transceiver(id).received_track() {
            MediaStreamTrack::Audio(track) => track.receiver().unwrap().stats().packets,
            MediaStreamTrack::Video(_) => 0,
        }
    }

    pub(super) fn messages(&self, id: ChannelId) -> Vec<&[u8]> {
        let mut messages = Vec::new();
        for event in &self.events {
            if let PeerEvent::ChannelMessage { channel, data, .. } = event
                && *channel == id
            {
                messages.push(data.as_slice());
            }
        }
        messages
    }

    pub(super) fn connection_states(&self) -> Vec<PeerConnectionState> {
        let state = |event: &PeerEvent| match event {
            PeerEvent::ConnectionState(state) => Some(*state),
            _ => None,
        };
        self.events.iter().filter_map(state).collect()
    }

    /// Transceivers with a track event, in order.
    pub(super) fn tracks(&self) -> Vec<TransceiverId> {
        let track = |event: &PeerEvent| match event {
            PeerEvent::Track(id) => Some(*id),
            _ => None,
        };
        self.events.iter().filter_map(track).collect()
    }
}
