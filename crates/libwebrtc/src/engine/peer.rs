//! The state that everything in [`super`] works on, and the loop around str0m.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use str0m::{
    Event, Input, Output, Rtc,
    crypto::from_feature_flags,
    net::{Protocol, Receive, Transmit},
};

use crate::{
    RtcError,
    data_channel::DataChannelState,
    ice_candidate::IceCandidate,
    media::sender::Sender,
    media_stream_track::MediaStreamTrack,
    peer_connection::{IceConnectionState, IceGatheringState, PeerConnectionState, SignalingState},
};

use super::{
    codec::Formats,
    data_channel::{ChannelId, Channels},
    signaling::Signaling,
    transceiver::{Transceiver, TransceiverId},
    transport::{Path, Transport},
};

/// One end of a peer connection. See [`super`] for how it is driven.
pub(crate) struct Peer {
    pub(super) rtc: Rtc,
    pub(super) formats: Formats,
    pub(super) transport: Transport,
    pub(super) signaling: Signaling,
    pub(super) transceivers: Vec<Transceiver>,
    /// By the SSRC of what they receive.
    pub(super) receivers: HashMap<u32, TransceiverId>,
    pub(super) channels: Channels,
    pub(super) cname: String,
    pub(super) events: VecDeque<PeerEvent>,
    transmits: VecDeque<Transmit>,
    connection_state: PeerConnectionState,
    ice_state: IceConnectionState,
    gathering_state: IceGatheringState,
    /// When str0m wants to be called.
    deadline: Instant,
    /// What [`Peer::poll_timeout`] said last.
    announced: Option<Instant>,
    closed: bool,
}

/// What the owner of a [`Peer`] has to act on.
#[derive(Debug)]
pub(crate) enum PeerEvent {
    ConnectionState(PeerConnectionState),
    IceConnectionState(IceConnectionState),
    IceGatheringState(IceGatheringState),
    SignalingState(SignalingState),
    IceCandidate(IceCandidate),
    NegotiationNeeded,
    /// The other side announced a track.
    Track(TransceiverId),
    /// The other side opened a channel. Its open state is the next event.
    DataChannel(ChannelId),
    ChannelState(ChannelId, DataChannelState),
    ChannelMessage {
        channel: ChannelId,
        data: Vec<u8>,
        binary: bool,
    },
    /// So many bytes left the send buffer.
    ChannelBytesSent(ChannelId, u64),
    /// Bind UDP sockets and call [`Peer::handle_udp_sockets`], also if there are none.
    GatherCandidates,
    /// The same for a loopback address, if [`PeerEvent::GatherCandidates`] left it out.
    GatherLoopback,
    /// Connect (RFC 6544) and call [`Peer::handle_tcp_connected`]. Each datagram has its length of
    /// 16 bits in front (RFC 4571).
    ConnectTcp(SocketAddr),
    /// Close what [`PeerEvent::ConnectTcp`] opened.
    CloseTcp,
}

impl Peer {
    pub(crate) fn new(now: Instant) -> Result<Self, RtcError> {
        let certificate = from_feature_flags()
            .dtls_provider
            .generate_certificate()
            .ok_or_else(|| RtcError::internal("cannot make a DTLS certificate"))?;
        let transport = Transport::new(certificate);
        let formats = Formats::offered();
        let session_id = rand::random::<u64>() >> 2;
        let mut peer = Self {
            rtc: formats.build(&transport.credentials, &transport.certificate, now),
            formats,
            transport,
            signaling: Signaling::new(session_id),
            transceivers: Vec::new(),
            receivers: HashMap::new(),
            channels: Channels::default(),
            cname: format!("{session_id:016x}"),
            events: VecDeque::new(),
            transmits: VecDeque::new(),
            connection_state: PeerConnectionState::New,
            ice_state: IceConnectionState::New,
            gathering_state: IceGatheringState::New,
            deadline: now,
            announced: None,
            closed: false,
        };
        let fingerprint = peer.rtc.direct_api().local_dtls_fingerprint().clone();
        let bytes: Vec<String> = fingerprint
            .bytes
            .iter()
            .map(|b| format!("{b:02X}"))
            .collect();
        peer.transport.fingerprint = format!("{} {}", fingerprint.hash_func, bytes.join(":"));
        peer.advance(now);
        Ok(peer)
    }

    /// Takes over the payload types and extension ids of the other side. Nothing runs yet.
    pub(super) fn rebuild(&mut self, now: Instant, formats: Formats) {
        let Transport {
            credentials,
            certificate,
            ..
        } = &self.transport;
        self.rtc = formats.build(credentials, certificate, now);
        for candidate in self.transport.local_candidates() {
            self.rtc.add_local_candidate(candidate.clone());
        }
        self.formats = formats;
    }

    pub(crate) fn connection_state(&self) -> PeerConnectionState {
        self.connection_state
    }

    pub(crate) fn ice_state(&self) -> IceConnectionState {
        self.ice_state
    }

    pub(crate) fn gathering_state(&self) -> IceGatheringState {
        self.gathering_state
    }

    pub(crate) fn signaling_state(&self) -> SignalingState {
        self.signaling.state
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes a datagram that came to the socket `local`. Anything that is not for this connection
    /// is ignored.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        protocol: Protocol,
        remote: SocketAddr,
        local: SocketAddr,
        datagram: &[u8],
    ) {
        if self.closed {
            return;
        }
        let Ok(receive) = Receive::new(protocol, remote, local, datagram) else {
            return;
        };
        let input = Input::Receive(now, receive);
        if !self.rtc.accepts(&input) {
            return;
        }
        self.transport.received.count(datagram.len());
        if let Err(err) = self.rtc.handle_input(input) {
            log::debug!("datagram from {remote}: {err}");
        }
        self.drain(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        self.check_lost(now);
        self.advance(now);
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<PeerEvent> {
        self.events.pop_front()
    }

    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// When [`Peer::handle_timeout`] is to be called at the latest.
    pub(crate) fn poll_timeout(&mut self) -> Instant {
        let timeout = self.timeout();
        self.announced = Some(timeout);
        timeout
    }

    /// Whether there are events, or the timeout moved to before what [`Peer::poll_timeout`] said.
    pub(crate) fn wants_polling(&self) -> bool {
        !self.events.is_empty()
            || self
                .announced
                .is_none_or(|announced| self.timeout() < announced)
    }

    fn timeout(&self) -> Instant {
        match self.transport.fails_at() {
            Some(fails_at) => self.deadline.min(fails_at),
            None => self.deadline,
        }
    }

    /// Ends everything and tells the other side (RTCP BYE, SCTP shutdown, DTLS close_notify).
    ///
    /// Gives back the encoders, which are to be dropped without a lock.
    pub(crate) fn close(&mut self, now: Instant) -> Vec<Arc<Sender>> {
        let mut encoders = Vec::new();
        if self.closed {
            return encoders;
        }
        if let Err(err) = self.rtc.close() {
            log::debug!("close: {err}");
        }
        self.advance(now);
        self.rtc.disconnect();
        self.closed = true;
        for transceiver in &mut self.transceivers {
            transceiver.end();
            encoders.extend(transceiver.send.encoder.take());
            match &transceiver.receive.track {
                MediaStreamTrack::Audio(track) => track.end(),
                MediaStreamTrack::Video(track) => track.end(),
            }
        }
        self.close_all_channels();
        self.set_signaling_state(SignalingState::Closed);
        self.set_ice_state(IceConnectionState::Closed);
        self.set_connection_state(PeerConnectionState::Closed);
        encoders
    }

    pub(super) fn check_open(&self) -> Result<(), RtcError> {
        if self.closed {
            return Err(RtcError::state("the peer connection is closed"));
        }
        Ok(())
    }

    pub(super) fn push_event(&mut self, event: PeerEvent) {
        self.events.push_back(event);
    }

    /// Lets str0m act on what changed.
    pub(super) fn advance(&mut self, now: Instant) {
        if let Err(err) = self.rtc.handle_input(Input::Timeout(now)) {
            self.fail(&err);
        }
        self.drain(now);
    }

    fn drain(&mut self, now: Instant) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(deadline)) => {
                    self.deadline = deadline;
                    break;
                }
                Ok(Output::Transmit(transmit)) => {
                    self.transport.sent.count(transmit.contents.len());
                    self.transport.selected = Some(Path {
                        protocol: transmit.proto,
                        local: transmit.source,
                        remote: transmit.destination,
                    });
                    self.transmits.push_back(transmit);
                }
                Ok(Output::Event(event)) => self.handle_event(now, event),
                Err(err) => {
                    self.fail(&err);
                    break;
                }
            }
        }
        self.count_acknowledged();
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the rest is of str0m's SDP, of media below RTP, or counted by us"
    )]
    fn handle_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Connected => self.handle_dtls_connected(),
            Event::IceConnectionStateChange(state) => self.handle_agent_state(now, state),
            Event::RtpPacket(packet) => self.handle_rtp(packet),
            Event::ChannelOpen(handle, label) => self.handle_channel_open(handle, &label),
            Event::ChannelData(message) => {
                self.handle_channel_message(message.id, message.data, message.binary);
            }
            Event::ChannelClose(handle) => self.handle_channel_close(handle),
            Event::PeerStats(statistics) => self.take_round_trips(&statistics),
            Event::MediaEgressStats(statistics) => self.take_reception(&statistics),
            Event::Closed => {
                log::debug!("the other side closed the transport");
                self.transport.dtls_connected = false;
                self.close_all_channels();
                self.set_connection_state(PeerConnectionState::Closed);
            }
            event => log::trace!("not used: {event:?}"),
        }
    }

    fn fail(&mut self, err: &str0m::RtcError) {
        log::error!("the transport failed: {err}");
        self.set_connection_state(PeerConnectionState::Failed);
    }

    pub(super) fn set_connection_state(&mut self, state: PeerConnectionState) {
        // Closed is final; a failed connection can come back by an ICE restart.
        if self.connection_state != state && self.connection_state != PeerConnectionState::Closed {
            log::debug!("connection: {:?} -> {state:?}", self.connection_state);
            self.connection_state = state;
            self.push_event(PeerEvent::ConnectionState(state));
        }
    }

    pub(super) fn set_ice_state(&mut self, state: IceConnectionState) {
        if self.ice_state != state {
            self.ice_state = state;
            self.push_event(PeerEvent::IceConnectionState(state));
        }
    }

    pub(super) fn set_gathering_state(&mut self, state: IceGatheringState) {
        if self.gathering_state != state {
            self.gathering_state = state;
            self.push_event(PeerEvent::IceGatheringState(state));
        }
    }
}
