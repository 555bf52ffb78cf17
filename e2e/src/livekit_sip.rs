//! The LiveKit SIP bridge.

use std::{fs, path::Path, process::Command};

use anyhow::Context;

use crate::{binaries, party::LIVEKIT_SIP, probe, process::Process};

const CONFIG: &str = include_str!("../config/sip.yaml");

#[derive(Debug)]
pub struct LiveKitSip {
    _process: Process,
}

impl LiveKitSip {
    /// Starts the bridge; Redis must be up. Waits until it answers SIP.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        let config = dir.join("sip.yaml");
        fs::write(&config, CONFIG).with_context(|| format!("cannot write {}", config.display()))?;
        let mut command = Command::new(binaries::LIVEKIT_SIP.find()?);
        command.arg("--config").arg(config);
        let mut process = Process::spawn("livekit-sip", &mut command, dir)?;
        process
            .wait_until_ready("answer OPTIONS", async || probe::answers(LIVEKIT_SIP).await)
            .await?;
        Ok(Self { _process: process })
    }
}
