//! Redis: how livekit-server and livekit-sip find each other.

use std::{path::Path, process::Command};

use tokio::net::TcpStream;

use crate::{binaries::debian, process::Process};

#[derive(Debug)]
pub struct Redis {
    _process: Process,
}

impl Redis {
    /// Starts Redis on its standard port and waits until it accepts connections.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(debian("redis-server", "redis-server")?);
        command
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
            ])
            .arg(dir);
        let mut process = Process::spawn("redis", &mut command, dir)?;
        process
            .wait_until_ready("accept connections", async || {
                TcpStream::connect(("127.0.0.1", 6379)).await.is_ok()
            })
            .await?;
        Ok(Self { _process: process })
    }
}
