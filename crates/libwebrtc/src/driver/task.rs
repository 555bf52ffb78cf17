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
    engine::{PeerEvent, TransceiverId},
    peer_connection::TrackEvent,
    rtp_transceiver::RtpTransceiver,
};

use super::{
    Callbacks, Connection, interfaces,
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
}

impl Drop for Task {
    /// Also when a callback panicked: a connection without a task would only seem to live.
    fn drop(&mut self) {
        self.connection.close();
        // They may hold what holds the connection.
        let callbacks = std::mem::take(&mut *self.connection.callbacks.lock());
        drop(callbacks);
    }
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
        match event {
            PeerEvent::ConnectionState(state) => self.call(|c| &mut c.connection, |f| f(state)),
            PeerEvent::IceConnectionState(state) => self.call(|c| &mut c.ice, |f| f(state)),
            PeerEvent::IceGatheringState(state) => self.call(|c| &mut c.gathering, |f| f(state)),
            PeerEvent::SignalingState(state) => self.call(|c| &mut c.signaling, |f| f(state)),
            PeerEvent::IceCandidate(candidate) => self.call(|c| &mut c.candidate, |f| f(candidate)),
            PeerEvent::NegotiationNeeded => self.call(|c| &mut c.negotiation, |f| f(0)),
            PeerEvent::Track(id) => {
                let event = self.track_event(id);
                self.call(|c| &mut c.track, |f| f(event));
            }
            PeerEvent::DataChannel(id) => {
                let channel = DataChannel::new(self.connection.clone(), id);
                self.call(|c| &mut c.data_channel, |f| f(channel));
                self.deliver();
            }
            PeerEvent::ChannelState(id, state) => {
                self.call(|c| &mut c.channel(id).state, |f| f(state));
                if state == DataChannelState::Closed {
                    let callbacks = self.connection.callbacks.lock().forget(id);
                    drop(callbacks);
                }
            }
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
                self.call(|c| &mut c.channel(id).buffered_amount, |f| f(bytes));
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

    /// Calls without the lock, and keeps the callback unless it was replaced meanwhile.
    fn call<C>(
        &self,
        slot: impl for<'a> Fn(&'a mut Callbacks) -> &'a mut Option<C>,
        invoke: impl FnOnce(&mut C),
    ) {
        let callback = slot(&mut self.connection.callbacks.lock()).take();
        let Some(mut callback) = callback else {
            return;
        };
        invoke(&mut callback);
        let replaced = {
            let mut callbacks = self.connection.callbacks.lock();
            let slot = slot(&mut callbacks);
            match slot {
                Some(_) => Some(callback),
                None => {
                    *slot = Some(callback);
                    None
                }
            }
        };
        drop(replaced);
    }

    /// Gives out messages that waited for a callback, in their order.
    fn deliver(&self) {
        loop {
            let waiting = self.connection.callbacks.lock().take_deliverable();
            let Some((id, messages)) = waiting else {
                return;
            };
            self.call(
                |c| &mut c.channel(id).message,
                |callback| {
                    for (data, binary) in &messages {
                        callback(DataBuffer {
                            data,
                            binary: *binary,
                        });
                    }
                },
            );
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
