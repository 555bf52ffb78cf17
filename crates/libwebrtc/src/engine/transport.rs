//! The one bundled transport: ICE (RFC 8445, trickled as in RFC 8838), DTLS and the start of SCTP.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use str0m::{
    Candidate, IceConnectionState as AgentState, IceCreds,
    config::DtlsCert,
    net::{Protocol, TcpType},
};

use crate::{
    RtcError,
    ice_candidate::IceCandidate,
    peer_connection::{IceConnectionState, IceGatheringState, PeerConnectionState},
};

use super::{
    peer::{Peer, PeerEvent},
    sdp::{RemoteTransport, Setup},
};

/// How long a lost connection may take to come back before it counts as failed.
///
/// `livekit` starts to resume on `Failed`: shorter resumes sooner, longer forgives longer gaps.
pub(super) const FAILED_AFTER: Duration = Duration::from_secs(15);

pub(super) struct Transport {
    pub(super) certificate: DtlsCert,
    /// As in `a=fingerprint`.
    pub(super) fingerprint: String,
    pub(super) credentials: IceCreds,
    /// Credentials of an ICE restart that was offered, or is about to be answered.
    pub(super) restart: Option<IceCreds>,
    /// The next offer restarts ICE.
    pub(super) restart_wanted: bool,
    pub(super) remote_ufrag: Option<String>,
    /// ICE and DTLS run.
    pub(super) started: bool,
    pub(super) dtls_connected: bool,
    pub(super) sctp_started: bool,
    pub(super) controlling: bool,
    local: Vec<Candidate>,
    remote: Vec<Candidate>,
    gathered: bool,
    loopback_wanted: bool,
    /// Since when the connection is lost.
    lost_since: Option<Instant>,
    pub(super) selected: Option<Path>,
    pub(super) sent: Traffic,
    pub(super) received: Traffic,
    pub(super) round_trips: RoundTrips,
}

/// Where packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) protocol: Protocol,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

/// Measured with STUN on the selected pair.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTrips {
    pub(super) last: Duration,
    pub(super) total: Duration,
    pub(super) count: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

impl Traffic {
    pub(super) fn count(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

impl Transport {
    pub(super) fn new(certificate: DtlsCert) -> Self {
        Self {
            certificate,
            fingerprint: String::new(),
            credentials: IceCreds::new(),
            restart: None,
            restart_wanted: false,
            remote_ufrag: None,
            started: false,
            dtls_connected: false,
            sctp_started: false,
            controlling: true,
            local: Vec::new(),
            remote: Vec::new(),
            gathered: false,
            loopback_wanted: false,
            lost_since: None,
            selected: None,
            sent: Traffic::default(),
            received: Traffic::default(),
            round_trips: RoundTrips::default(),
        }
    }

    /// The credentials that the next description carries.
    pub(super) fn described_credentials(&self) -> &IceCreds {
        self.restart.as_ref().unwrap_or(&self.credentials)
    }

    pub(super) fn local_candidates(&self) -> &[Candidate] {
        &self.local
    }

    pub(super) fn fails_at(&self) -> Option<Instant> {
        self.lost_since.map(|since| since + FAILED_AFTER)
    }
}

impl Peer {
    /// Wants an ICE restart in the next offer.
    pub(crate) fn restart_ice(&mut self) {
        self.transport.restart_wanted = true;
        self.push_event(PeerEvent::NegotiationNeeded);
    }

    /// Asks for sockets the first time, and trickles the candidates again for new credentials.
    pub(super) fn gather(&mut self) {
        if !self.transport.gathered {
            self.transport.gathered = true;
            self.set_gathering_state(IceGatheringState::Gathering);
            self.push_event(PeerEvent::GatherCandidates);
        } else if self.transport.restart.is_some() {
            self.set_gathering_state(IceGatheringState::Gathering);
            for candidate in self.transport.local.clone() {
                self.announce(candidate);
            }
            self.set_gathering_state(IceGatheringState::Complete);
        }
    }

    /// The answer to [`PeerEvent::GatherCandidates`] and [`PeerEvent::GatherLoopback`]: UDP
    /// sockets were bound to these addresses.
    pub(crate) fn handle_udp_sockets(&mut self, now: Instant, addresses: &[SocketAddr]) {
        if self.is_closed() {
            return;
        }
        for address in addresses {
            match Candidate::host(*address, "udp") {
                Ok(candidate) => self.add_local_candidate(candidate, Announce::Yes),
                Err(err) => log::debug!("{address} is no candidate: {err}"),
            }
        }
        self.set_gathering_state(IceGatheringState::Complete);
        self.advance(now);
    }

    /// The answer to [`PeerEvent::ConnectTcp`].
    pub(crate) fn handle_tcp_connected(&mut self, now: Instant, local: SocketAddr) {
        if self.is_closed() {
            return;
        }
        // The server must not dial an active candidate (RFC 6544 §4.1), so it needs not know it.
        let candidate = Candidate::builder()
            .tcp()
            .host(local)
            .tcptype(TcpType::Active)
            .build();
        match candidate {
            Ok(candidate) => self.add_local_candidate(candidate, Announce::No),
            Err(err) => log::debug!("{local} is no TCP candidate: {err}"),
        }
        self.advance(now);
    }

    fn add_local_candidate(&mut self, candidate: Candidate, announce: Announce) {
        if self.rtc.add_local_candidate(candidate.clone()).is_none() {
            return;
        }
        self.transport.local.push(candidate.clone());
        if announce == Announce::Yes {
            self.announce(candidate);
        }
    }

    fn announce(&mut self, mut candidate: Candidate) {
        if candidate.proto() != Protocol::Udp {
            return;
        }
        candidate.set_ufrag(&self.transport.described_credentials().ufrag);
        let mid = self.signaling.bundle_mid(&self.transceivers);
        let line = candidate.to_sdp_string();
        self.push_event(PeerEvent::IceCandidate(IceCandidate::local(&mid, 0, line)));
    }

    pub(crate) fn add_ice_candidate(
        &mut self,
        now: Instant,
        candidate: &IceCandidate,
    ) -> Result<(), RtcError> {
        self.check_open()?;
        if !self.signaling.has_remote_description() {
            return Err(RtcError::state("there is no remote description"));
        }
        let line = candidate.candidate();
        if line.is_empty() {
            return Ok(()); // end of candidates
        }
        let candidate = Candidate::from_sdp_string(&line)
            .map_err(|err| RtcError::internal(format!("`{line}` is no candidate: {err}")))?;
        self.add_remote_candidate(candidate);
        self.advance(now);
        Ok(())
    }

    fn add_remote_candidate(&mut self, candidate: Candidate) {
        let address = candidate.addr();
        match candidate.proto() {
            Protocol::Udp if address.ip().is_loopback() && !self.transport.loopback_wanted => {
                self.transport.loopback_wanted = true;
                self.push_event(PeerEvent::GatherLoopback);
            }
            Protocol::Udp => {}
            Protocol::Tcp if candidate.tcptype() == Some(TcpType::Passive) => {
                let known = self
                    .transport
                    .remote
                    .iter()
                    .any(|c| c.proto() == Protocol::Tcp && c.addr() == address);
                if !known {
                    self.push_event(PeerEvent::ConnectTcp(address));
                }
            }
            Protocol::Tcp | Protocol::SslTcp | Protocol::Tls => return,
        }
        self.transport.remote.push(candidate.clone());
        self.rtc.add_remote_candidate(candidate);
    }

    /// Takes the transport of a description that completes a negotiation.
    ///
    /// The same ufrag as before changes nothing: `livekit` sets the old answer again to take back
    /// an offer, and that must not use up the credentials of a restart.
    pub(super) fn apply_transport(
        &mut self,
        now: Instant,
        remote: RemoteTransport,
        role: Role,
    ) -> Result<(), RtcError> {
        let ufrag = &remote.credentials.ufrag;
        let known = self.transport.remote_ufrag.as_ref();
        if known.is_some_and(|known| known != ufrag) {
            self.restart_transport(now);
        }
        self.transport.remote_ufrag = Some(ufrag.clone());
        self.rtc
            .direct_api()
            .set_remote_ice_credentials(remote.credentials.clone());
        let dtls_client = match role {
            Role::Answerer => remote.setup != Some(Setup::Active),
            Role::Offerer => remote.setup == Some(Setup::Passive),
        };
        if !self.transport.started {
            self.transport.controlling = role == Role::Offerer || remote.ice_lite;
            let mut api = self.rtc.direct_api();
            api.set_ice_controlling(self.transport.controlling);
            api.set_remote_fingerprint(remote.fingerprint);
            api.start_dtls(dtls_client)
                .map_err(|err| RtcError::internal(format!("DTLS does not start: {err}")))?;
            self.transport.started = true;
            self.set_ice_state(IceConnectionState::Checking);
            self.set_connection_state(PeerConnectionState::Connecting);
        }
        if !self.transport.sctp_started && self.signaling.has_application_section() {
            self.rtc.direct_api().start_sctp(dtls_client);
            self.transport.sctp_started = true;
            self.open_channels();
        }
        for candidate in remote.candidates {
            self.add_remote_candidate(candidate);
        }
        Ok(())
    }

    /// Restarts ICE (RFC 8445 §9); DTLS and SCTP live on.
    ///
    /// str0m has no restart without its own SDP, so every pair is taken away by way of our
    /// candidates: peer-reflexive remote ones have no other handle, and one that survived would
    /// pass for the connection that is to be made. `livekit` takes a resume for done when it saw
    /// the connection drop and come back; otherwise it waits three seconds.
    fn restart_transport(&mut self, now: Instant) {
        log::debug!("ICE restart");
        let tcp = |candidate: &Candidate| candidate.proto() == Protocol::Tcp;
        let mut candidates = std::mem::take(&mut self.transport.local);
        for candidate in candidates
            .iter()
            .chain(&std::mem::take(&mut self.transport.remote))
        {
            self.rtc.direct_api().invalidate_candidate(candidate);
        }
        self.advance(now);
        self.set_ice_state(IceConnectionState::Disconnected);
        self.set_connection_state(PeerConnectionState::Disconnected);

        if let Some(credentials) = self.transport.restart.take() {
            self.rtc
                .direct_api()
                .set_local_ice_credentials(credentials.clone());
            self.transport.credentials = credentials;
        }
        // A server finds the session of a TCP connection by the ufrag of its first packet.
        if candidates.iter().any(tcp) {
            candidates.retain(|candidate| !tcp(candidate));
            self.push_event(PeerEvent::CloseTcp);
        }
        for candidate in candidates {
            self.add_local_candidate(candidate, Announce::No);
        }
    }

    pub(super) fn handle_agent_state(&mut self, now: Instant, state: AgentState) {
        log::debug!("ICE agent: {state:?}");
        let connected = self.transport.dtls_connected;
        let (ice, connection) = match state {
            AgentState::New => (IceConnectionState::New, None),
            AgentState::Checking => (
                IceConnectionState::Checking,
                Some(PeerConnectionState::Connecting),
            ),
            AgentState::Connected => (
                IceConnectionState::Connected,
                connected.then_some(PeerConnectionState::Connected),
            ),
            AgentState::Completed => (
                IceConnectionState::Completed,
                connected.then_some(PeerConnectionState::Connected),
            ),
            AgentState::Disconnected => (
                IceConnectionState::Disconnected,
                Some(PeerConnectionState::Disconnected),
            ),
        };
        if state == AgentState::Disconnected {
            self.transport.lost_since.get_or_insert(now);
        } else if state != AgentState::Checking {
            self.transport.lost_since = None;
        }
        // Before the first description the agent idles in `Checking`.
        if self.transport.started {
            self.set_ice_state(ice);
            if let Some(connection) = connection {
                self.set_connection_state(connection);
            }
        }
    }

    pub(super) fn handle_dtls_connected(&mut self) {
        self.transport.dtls_connected = true;
        if matches!(
            self.ice_state(),
            IceConnectionState::Connected | IceConnectionState::Completed
        ) {
            self.set_connection_state(PeerConnectionState::Connected);
        }
    }

    /// str0m never gives up, so this does.
    pub(super) fn check_lost(&mut self, now: Instant) {
        if self.transport.fails_at().is_some_and(|at| now >= at) {
            self.transport.lost_since = None;
            self.set_ice_state(IceConnectionState::Failed);
            self.set_connection_state(PeerConnectionState::Failed);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Offerer,
    Answerer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announce {
    Yes,
    No,
}
