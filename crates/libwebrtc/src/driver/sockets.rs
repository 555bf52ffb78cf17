//! The UDP sockets and TCP connections of a connection (RFC 8445, RFC 6544).

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use str0m::net::{Protocol, Transmit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream, UdpSocket,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};

/// Longer, and a server that drops our SYN holds up the fallback; shorter gives up on slow routes.
const TCP_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Datagrams that wait for a TCP connection. When it is full they are lost, as on UDP.
const TCP_QUEUE: usize = 256;

#[derive(Default)]
pub(super) struct Sockets {
    udp: Vec<UdpPort>,
    tcp: Vec<TcpPath>,
}

/// A bound socket.
#[derive(Clone)]
pub(super) struct UdpPort {
    pub(super) address: SocketAddr,
    pub(super) socket: Arc<UdpSocket>,
}

/// A connection, seen from the sending side. Dropping it ends the connection.
#[derive(Debug)]
pub(super) struct TcpPath {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    queue: mpsc::Sender<Vec<u8>>,
}

/// What TCP connections tell the connection's task.
#[derive(Debug)]
pub(super) enum TcpInput {
    Connected(TcpPath),
    Datagram {
        local: SocketAddr,
        remote: SocketAddr,
        datagram: Vec<u8>,
    },
}

impl Sockets {
    pub(super) fn add_udp(&mut self, port: UdpPort) {
        self.udp.push(port);
    }

    pub(super) fn add_tcp(&mut self, path: TcpPath) {
        self.tcp.push(path);
    }

    pub(super) fn close_tcp(&mut self) {
        self.tcp.clear();
    }

    pub(super) fn clear(&mut self) {
        self.udp.clear();
        self.tcp.clear();
    }

    /// Sends or, when that would block, loses a datagram.
    pub(super) fn send(&mut self, transmit: Transmit) {
        match transmit.proto {
            Protocol::Udp => {
                let Some(port) = self.udp.iter().find(|port| port.address == transmit.source)
                else {
                    return;
                };
                if let Err(err) = port
                    .socket
                    .try_send_to(&transmit.contents, transmit.destination)
                {
                    log::trace!("{} -> {}: {err}", transmit.source, transmit.destination);
                }
            }
            Protocol::Tcp => {
                let ends = |path: &&TcpPath| {
                    path.local == transmit.source && path.remote == transmit.destination
                };
                if let Some(path) = self.tcp.iter().find(ends) {
                    path.send(&transmit.contents);
                }
            }
            // Never made into a candidate.
            Protocol::SslTcp | Protocol::Tls => {}
        }
    }
}

impl UdpPort {
    /// Binds a free port. Must be called on a runtime.
    pub(super) fn bind(address: IpAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind((address, 0))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok(Self {
            address,
            socket: Arc::new(UdpSocket::from_std(socket)?),
        })
    }
}

impl TcpPath {
    fn send(&self, datagram: &[u8]) {
        let Ok(length) = u16::try_from(datagram.len()) else {
            return;
        };
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(datagram);
        if let Err(err) = self.queue.try_send(framed) {
            log::trace!("{} -> {}: {err}", self.local, self.remote);
        }
    }
}

/// Connects, and reads and writes until either side ends.
pub(super) async fn connect_tcp(remote: SocketAddr, inputs: mpsc::Sender<TcpInput>) {
    let result = tokio::time::timeout(TCP_CONNECT_TIMEOUT, TcpStream::connect(remote)).await;
    let stream = match result.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => stream,
        Err(err) => {
            log::debug!("ICE over TCP to {remote}: {err}");
            return;
        }
    };
    if let Err(err) = exchange(stream, remote, inputs).await {
        log::debug!("ICE over TCP to {remote}: {err}");
    }
}

async fn exchange(
    stream: TcpStream,
    remote: SocketAddr,
    inputs: mpsc::Sender<TcpInput>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    let (reader, writer) = stream.into_split();
    let (queue, datagrams) = mpsc::channel(TCP_QUEUE);
    let path = TcpPath {
        local,
        remote,
        queue,
    };
    if inputs.send(TcpInput::Connected(path)).await.is_err() {
        return Ok(()); // the connection was closed meanwhile
    }
    tokio::select! {
        result = write(writer, datagrams) => result,
        result = read(reader, local, remote, inputs) => result,
    }
}

async fn write(
    mut writer: OwnedWriteHalf,
    mut datagrams: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    while let Some(framed) = datagrams.recv().await {
        writer.write_all(&framed).await?;
    }
    Ok(())
}

async fn read(
    mut reader: OwnedReadHalf,
    local: SocketAddr,
    remote: SocketAddr,
    inputs: mpsc::Sender<TcpInput>,
) -> io::Result<()> {
    loop {
        let mut datagram = vec![0; usize::from(reader.read_u16().await?)];
        reader.read_exact(&mut datagram).await?;
        if inputs
            .send(TcpInput::Datagram {
                local,
                remote,
                datagram,
            })
            .await
            .is_err()
        {
            return Ok(());
        }
    }
}
