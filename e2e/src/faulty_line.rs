//! A line between a client and a server that can fail in the middle of an answer.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::http::Server;

/// What becomes of a piece of an answer, and of what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Pass,
    /// Nothing passes any more, and nobody is told.
    Stall,
    /// The connection ends.
    Cut,
}

/// Passes on what client and server send each other, until it is dropped.
pub struct FaultyLine {
    server: Server,
    asked: Arc<Mutex<Vec<u8>>>,
}

impl FaultyLine {
    /// Leads to `port` on loopback. `judge` gets each piece of an answer, of any length.
    pub async fn start(
        port: u16,
        judge: impl Fn(&[u8]) -> Next + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let judge = Arc::new(judge);
        let server = Server::start({
            let asked = asked.clone();
            move |client| {
                let (asked, judge) = (asked.clone(), judge.clone());
                async move { pass(client, port, &asked, &*judge).await }
            }
        })
        .await?;
        Ok(Self { server, asked })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn origin(&self) -> &str {
        &self.server.origin
    }

    /// All that clients have sent.
    pub fn asked(&self) -> String {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&asked).into_owned()
    }
}

async fn pass(
    mut client: TcpStream,
    port: u16,
    asked: &Mutex<Vec<u8>>,
    judge: &(impl Fn(&[u8]) -> Next + Sync),
) -> anyhow::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = async {
        let mut piece = vec![0; 16 * 1024];
        loop {
            let length = from_client.read(&mut piece).await?;
            if length == 0 {
                return Ok(());
            }
            asked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(&piece[..length]);
            to_server.write_all(&piece[..length]).await?;
        }
    };
    let down = async {
        let mut piece = vec![0; 4 * 1024];
        loop {
            let length = from_server.read(&mut piece).await?;
            if length == 0 {
                return Ok(());
            }
            match judge(&piece[..length]) {
                Next::Pass => to_client.write_all(&piece[..length]).await?,
                Next::Stall => std::future::pending().await,
                Next::Cut => return Ok(()),
            }
        }
    };
    tokio::select! { ended = up => ended, ended = down => ended }
}
