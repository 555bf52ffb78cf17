//! The WebSocket under the agent protocol: one binary frame for each message.

use std::{future::pending, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _, future::BoxFuture};
use livekit_api::access_token::{AccessToken, AccessTokenError, VideoGrants};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        http::{HeaderValue, StatusCode, header::AUTHORIZATION},
    },
};
use tracing::{debug, warn};
use url::Url;

use super::messages::{ServerMessage, WorkerMessage};

/// Name lookup, TCP, TLS and upgrade together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A peer that takes no bytes for so long is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the server may take to answer our close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Where the server is and who we are for it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// `ws://`, `wss://`, `http://` or `https://`, as LIVEKIT_URL.
    pub url: Url,
    pub api_key: String,
    pub api_secret: SecretString,
}

#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("LiveKit refused the API key or secret")]
    Unauthorized,
    #[error("cannot sign the access token")]
    Token(#[source] AccessTokenError),
    #[error("`{0}` is not a WebSocket address")]
    Url(Url),
    #[error("connection failed")]
    WebSocket(#[source] Box<tungstenite::Error>),
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("server closed the connection")]
    Closed,
}

/// The connection in whatever state it is.
pub(super) enum Link {
    Down,
    Opening(BoxFuture<'static, Result<Socket, SocketError>>),
    Up(Box<Socket>),
}

pub(super) enum LinkEvent {
    Opened,
    Received(ServerMessage),
    Lost(SocketError),
}

impl Link {
    pub(super) fn open(endpoint: Endpoint) -> Self {
        Self::Opening(Box::pin(async move {
            timeout(CONNECT_TIMEOUT, Socket::connect(&endpoint))
                .await
                .unwrap_or(Err(SocketError::Timeout(CONNECT_TIMEOUT)))
        }))
    }

    /// The next thing that happens; never returns while the link is down. Cancel safe.
    pub(super) async fn event(&mut self) -> LinkEvent {
        let result = match self {
            Self::Down => pending().await,
            Self::Opening(opening) => match opening.await {
                Ok(socket) => {
                    *self = Self::Up(Box::new(socket));
                    return LinkEvent::Opened;
                }
                Err(error) => Err(error),
            },
            Self::Up(socket) => socket.receive().await,
        };
        match result {
            Ok(message) => LinkEvent::Received(message),
            Err(error) => {
                *self = Self::Down;
                LinkEvent::Lost(error)
            }
        }
    }

    /// Sends one message, or drops it when the link is not up. Not cancel safe.
    pub(super) async fn send(&mut self, message: &WorkerMessage) -> Result<(), SocketError> {
        let Self::Up(socket) = self else {
            return Ok(());
        };
        let sent = timeout(SEND_TIMEOUT, socket.send(message))
            .await
            .unwrap_or(Err(SocketError::Timeout(SEND_TIMEOUT)));
        if sent.is_err() {
            *self = Self::Down;
        }
        sent
    }

    /// Says goodbye to the server, so that it does not log an error.
    pub(super) async fn close(&mut self) {
        if let Self::Up(socket) = std::mem::replace(self, Self::Down) {
            let mut stream = socket.stream;
            if timeout(CLOSE_TIMEOUT, stream.close(None)).await.is_err() {
                debug!("server did not take our close");
            }
        }
    }
}

pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    async fn connect(endpoint: &Endpoint) -> Result<Self, SocketError> {
        let address = agent_url(&endpoint.url)?;
        let token =
            AccessToken::with_api_key(&endpoint.api_key, endpoint.api_secret.expose_secret())
                .with_grants(VideoGrants {
                    agent: true,
                    ..Default::default()
                })
                .to_jwt()
                .map_err(SocketError::Token)?;
        let mut request = address
            .as_str()
            .into_client_request()
            .map_err(|error| SocketError::WebSocket(Box::new(error)))?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .expect("a JWT is made of visible ASCII");
        request.headers_mut().insert(AUTHORIZATION, bearer);

        match connect_async(request).await {
            Ok((stream, _)) => Ok(Self { stream }),
            Err(tungstenite::Error::Http(response))
                if response.status() == StatusCode::UNAUTHORIZED =>
            {
                Err(SocketError::Unauthorized)
            }
            Err(error) => Err(SocketError::WebSocket(Box::new(error))),
        }
    }

    async fn send(&mut self, message: &WorkerMessage) -> Result<(), SocketError> {
        let frame = Message::Binary(message.encode().into());
        self.stream
            .send(frame)
            .await
            .map_err(|error| SocketError::WebSocket(Box::new(error)))
    }

    /// Cancel safe. Frames that are no message of ours are logged and skipped.
    async fn receive(&mut self) -> Result<ServerMessage, SocketError> {
        loop {
            let frame = self.stream.next().await.ok_or(SocketError::Closed)?;
            match frame.map_err(|error| SocketError::WebSocket(Box::new(error)))? {
                Message::Binary(frame) => match ServerMessage::decode(&frame) {
                    Ok(message) => return Ok(message),
                    Err(error) => warn!(%error, bytes = frame.len(), "frame skipped"),
                },
                Message::Text(text) => warn!(bytes = text.len(), "text frame skipped"),
                Message::Close(_) => return Err(SocketError::Closed),
                // tungstenite answers pings by itself.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}

/// The `/agent` endpoint below LIVEKIT_URL, with a WebSocket scheme.
fn agent_url(server: &Url) -> Result<Url, SocketError> {
    let mut url = server.clone();
    let scheme = match server.scheme() {
        "ws" | "http" => "ws",
        "wss" | "https" => "wss",
        _ => return Err(SocketError::Url(server.clone())),
    };
    url.set_scheme(scheme)
        .map_err(|()| SocketError::Url(server.clone()))?;
    url.path_segments_mut()
        .map_err(|()| SocketError::Url(server.clone()))?
        .pop_if_empty()
        .push("agent");
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_endpoint_lies_below_the_server_address() {
        for (server, agent) in [
            ("ws://127.0.0.1:7880", "ws://127.0.0.1:7880/agent"),
            ("http://localhost:7880/", "ws://localhost:7880/agent"),
            ("https://x.livekit.cloud", "wss://x.livekit.cloud/agent"),
            (
                "wss://example.net/livekit/",
                "wss://example.net/livekit/agent",
            ),
        ] {
            let server = server.parse().unwrap();
            assert_eq!(agent_url(&server).unwrap().as_str(), agent);
        }
        assert!(agent_url(&"sip:livekit.example".parse().unwrap()).is_err());
    }
}
