//! The carrier: Kamailio with digest authentication, a registrar, a number plan and a REFER policy.

use std::{fs, path::Path, process::Command};

use anyhow::Context;

use crate::{
    binaries::debian,
    party::CARRIER,
    probe,
    process::Process,
    wait::{LIMIT, Unmet, wait_for_condition},
};

/// `config/kamailio.cfg` says what the carrier does with which number.
const CONFIG: &str = include_str!("../config/kamailio.cfg");

/// The account that the trunk authenticates with.
pub const TRUNK_USER: &str = "trunk-user";
pub const TRUNK_PASSWORD: &str = "trunk-secret";

#[derive(Debug)]
pub struct Carrier {
    _process: Process,
}

impl Carrier {
    /// Starts the carrier and waits until it answers SIP.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        let config = dir.join("kamailio.cfg");
        fs::write(&config, CONFIG).with_context(|| format!("cannot write {}", config.display()))?;
        let mut command = Command::new(debian("kamailio", "kamailio kamailio-extra-modules")?);
        command.arg("-f").arg(config);
        // Foreground, log to stderr, small memory pools (MB), run-time files in the folder of this run.
        command
            .args(["-DD", "-E", "-m", "64", "-M", "8", "-Y"])
            .arg(dir)
            .arg("-P")
            .arg(dir.join("kamailio.pid"));
        let mut process = Process::spawn("kamailio", &mut command, dir)?;
        process
            .wait_until_ready("answer OPTIONS", async || probe::answers(CARRIER).await)
            .await?;
        Ok(Self { _process: process })
    }

    /// Makes [`crate::party::FORWARDED_NUMBER`] stand for `number` from now on.
    pub async fn forward_to(&self, number: &str) -> anyhow::Result<()> {
        let header = format!("X-Forward-To: {number}");
        wait_for_condition("the carrier to forward a number", LIMIT, async || {
            let socket = probe::send_with(CARRIER, "forward", &header).await?;
            match tokio::time::timeout(probe::PATIENCE, socket.recv(&mut [0; 1500])).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(Unmet::NotYet("no answer".to_owned())),
            }
        })
        .await
    }
}

/// The password of the phone with this number.
pub(crate) fn phone_password(number: &str) -> String {
    format!("{number}-secret")
}
