//! The task of a connection: reads, keeps the timers, calls back.

use std::{
    future::poll_fn,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    task::Poll,
    time::Instant,
};

use str0m::net::Protocol;
use tokio::{sync::mpsc, task::JoinSet, time::sleep_until};

use crate::{
    data_channel::{DataBuffer, DataChannel, DataChannelState},
    engine::{ChannelId, PeerEvent, TransceiverId},
    peer_connection::TrackEvent,
    rtp_transceiver::RtpTransceiver,
};

use super::{
    Connection, interfaces,
    sockets::{TcpInput, UdpPort, connect_tcp},
};

/// No datagram of a path with an ordinary MTU is longer.
const MAX_DATAGRAM: usize = 2_048;

/// Datagrams read before timers and callbacks get their turn.
const MAX_BATCH: usize = 32;

/// Datagrams of TCP connections that wait for the task; TCP stops reading when it is full.
const TCP_INPUTS: usize = 64;

/// What the task owns besides the connection.
struct Task {
    connection: Arc<Connection>,
    udp: Vec<UdpPort>,
    /// Aborted when the task ends.
    tcp: JoinSet<()>,
    tcp_sender: mpsc::Sender<TcpInput>,
}

enum Wakeup {
    /// The socket of that index can be read.
    Udp(usize),
    Tcp(TcpInput),
    Notified,
    Timeout,
}

/// Runs until the connection is closed.
pub(super) async fn run(connection: Arc<Connection>) {
    let (tcp_sender, mut tcp_receiver) = mpsc::channel(TCP_INPUTS);
    let mut task = Task {
        connection,
        udp: Vec::new(),
        tcp: JoinSet::new(),
        tcp_sender,
    };
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        task.dispatch();
        let (closed, timeout) = task
            .connection
            .with(|peer, _| (peer.is_closed() && !peer.has_events(), peer.poll_timeout()));
        if closed {
            break;
        }
        match task.wait(&mut tcp_receiver, timeout).await {
            Wakeup::Udp(port) => task.read(port, &mut buffer),
            Wakeup::Tcp(TcpInput::Connected(path)) => {
                let local = path.local;
                task.connection.sockets.lock().add_tcp(path);
                task.connection
                    .with(|peer, now| peer.handle_tcp_connected(now, local));
            }
            Wakeup::Tcp(TcpInput::Datagram {
                local,
                remote,
                datagram,
            }) => task.connection.with(|peer, now| {
                peer.handle_datagram(now, Protocol::Tcp, remote, local, &datagram)
            }),
            Wakeup::Timeout => task.connection.with(|peer, now| peer.handle_timeout(now)),
            Wakeup::Notified => {}
        }
        while task.tcp.try_join_next().is_some() {}
    }
    task.connection.sockets.lock().clear();
    // They may hold what holds the connection.
    let callbacks = std::mem::take(&mut *task.connection.callbacks.lock());
    drop(callbacks);
}

impl Task {
    async fn wait(&mut self, tcp: &mut mpsc::Receiver<TcpInput>, timeout: Instant) -> Wakeup {
        let udp = &self.udp;
        let readable = poll_fn(|cx| {
            let ready = |port: &UdpPort| port.socket.poll_recv_ready(cx).is_ready();
            match udp.iter().position(ready) {
                Some(port) => Poll::Ready(port),
                None => Poll::Pending,
            }
        });
        tokio::select! {
            port = readable => Wakeup::Udp(port),
            Some(input) = tcp.recv() => Wakeup::Tcp(input),
            () = self.connection.wake.notified() => Wakeup::Notified,
            () = sleep_until(timeout.into()) => Wakeup::Timeout,
        }
    }

    fn read(&self, port: usize, buffer: &mut [u8]) {
        let UdpPort { address, socket } = &self.udp[port];
        for _ in 0..MAX_BATCH {
            match socket.try_recv_from(buffer) {
                Ok((length, from)) => self.connection.with(|peer, now| {
                    peer.handle_datagram(now, Protocol::Udp, from, *address, &buffer[..length]);
                }),
                Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => return,
                // An ICMP error of something sent before.
                Err(err) => log::trace!("{address}: {err}"),
            }
        }
    }

    fn dispatch(&mut self) {
        self.deliver();
        loop {
            let event = self.connection.peer.lock().poll_event();
            let Some(event) = event else { return };
            self.handle(event);
        }
    }

    fn handle(&mut self, event: PeerEvent) {
        /// Calls without the lock, and keeps the callback unless it was replaced meanwhile.
        macro_rules! call {
            ($slot:ident, $argument:expr) => {{
                let callback = self.connection.callbacks.lock().$slot.take();
                if let Some(mut callback) = callback {
                    callback($argument);
                    self.connection
                        .callbacks
                        .lock()
                        .$slot
                        .get_or_insert(callback);
                }
            }};
        }
        match event {
            PeerEvent::ConnectionState(state) => call!(connection, state),
            PeerEvent::IceConnectionState(state) => call!(ice, state),
            PeerEvent::IceGatheringState(state) => call!(gathering, state),
            PeerEvent::SignalingState(state) => call!(signaling, state),
            PeerEvent::IceCandidate(candidate) => call!(candidate, candidate),
            PeerEvent::NegotiationNeeded => call!(negotiation, 0),
            PeerEvent::Track(id) => call!(track, self.track_event(id)),
            PeerEvent::DataChannel(id) => {
                call!(data_channel, DataChannel::new(self.connection.clone(), id));
                self.deliver();
            }
            PeerEvent::ChannelState(id, state) => self.channel_state(id, state),
            PeerEvent::ChannelMessage {
                channel,
                data,
                binary,
            } => {
                self.connection
                    .callbacks
                    .lock()
                    .channel(channel)
                    .keep(data, binary);
                self.deliver();
            }
            PeerEvent::ChannelBytesSent(id, bytes) => {
                let callback = self
                    .connection
                    .callbacks
                    .lock()
                    .channel(id)
                    .buffered_amount
                    .take();
                if let Some(mut callback) = callback {
                    callback(bytes);
                    let mut callbacks = self.connection.callbacks.lock();
                    callbacks
                        .channel(id)
                        .buffered_amount
                        .get_or_insert(callback);
                }
            }
            PeerEvent::GatherCandidates => self.bind(&interfaces::addresses()),
            PeerEvent::GatherLoopback => {
                if !self.udp.iter().any(|port| port.address.ip().is_loopback()) {
                    self.bind(&[IpAddr::V4(Ipv4Addr::LOCALHOST)]);
                }
            }
            PeerEvent::ConnectTcp(remote) => {
                self.tcp.spawn(connect_tcp(remote, self.tcp_sender.clone()));
            }
            PeerEvent::CloseTcp => self.connection.sockets.lock().close_tcp(),
        }
    }

    fn bind(&mut self, addresses: &[IpAddr]) {
        let mut bound = Vec::new();
        for address in addresses {
            match UdpPort::bind(*address) {
                Ok(port) => {
                    bound.push(port.address);
                    self.connection.sockets.lock().add_udp(port.clone());
                    self.udp.push(port);
                }
                Err(err) => log::warn!("cannot bind {address}: {err}"),
            }
        }
        self.connection
            .with(|peer, now| peer.handle_udp_sockets(now, &bound));
    }

    /// Gives out messages that waited for a callback, in their order.
    fn deliver(&self) {
        loop {
            let mut callbacks = self.connection.callbacks.lock();
            let Some(id) = callbacks.deliverable() else {
                return;
            };
            let channel = callbacks.channel(id);
            let messages = channel.take_waiting();
            let Some(mut callback) = channel.message.take() else {
                return;
            };
            drop(callbacks);
            for (data, binary) in &messages {
                callback(DataBuffer {
                    data,
                    binary: *binary,
                });
            }
            self.connection
                .callbacks
                .lock()
                .channel(id)
                .message
                .get_or_insert(callback);
        }
    }

    fn channel_state(&self, id: ChannelId, state: DataChannelState) {
        let callback = self.connection.callbacks.lock().channel(id).state.take();
        let kept = callback.map(|mut callback| {
            callback(state);
            callback
        });
        let mut callbacks = self.connection.callbacks.lock();
        if state == DataChannelState::Closed {
            callbacks.forget(id);
        } else if let Some(callback) = kept {
            callbacks.channel(id).state.get_or_insert(callback);
        }
    }

    fn track_event(&self, id: TransceiverId) -> TrackEvent {
        let transceiver = RtpTransceiver {
            connection: self.connection.clone(),
            id,
        };
        let receiver = transceiver.receiver();
        TrackEvent {
            streams: receiver.streams(),
            track: self
                .connection
                .read(|peer| peer.transceiver(id).received_track().clone()),
            receiver,
            transceiver,
        }
    }
}
