//! The LiveKit server.

use std::{fs, path::Path, process::Command};

use anyhow::Context;
use tokio::net::TcpStream;

use crate::{binaries, process::Process};

const CONFIG: &str = include_str!("../config/livekit.yaml");

/// The key pair of `config/livekit.yaml`.
pub const API_KEY: &str = "e2e-key";
pub const API_SECRET: &str = "e2e-secret-e2e-secret-e2e-secret-0123";

pub const URL: &str = "ws://127.0.0.1:7880";

pub(crate) const SOCKET: &str = "127.0.0.1:7880";

#[derive(Debug)]
pub struct LiveKitServer {
    _process: Process,
}

impl LiveKitServer {
    /// Starts the server; Redis must be up. Waits until it accepts connections.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        let config = dir.join("livekit.yaml");
        fs::write(&config, CONFIG).with_context(|| format!("cannot write {}", config.display()))?;
        let mut command = Command::new(binaries::LIVEKIT_SERVER.find()?);
        command.arg("--config").arg(config);
        let mut process = Process::spawn("livekit-server", &mut command, dir)?;
        process
            .wait_until_ready("accept connections", async || {
                TcpStream::connect(SOCKET).await.is_ok()
            })
            .await?;
        Ok(Self { _process: process })
    }
}
