//! Every SIP message on the wire, as it happens, by tshark.

use std::{
    fs::File,
    io::Write,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context;

use crate::{
    binaries::debian,
    journal::{Journal, journal},
    ladder::Ladder,
    party::{CARRIER, PROBE, SIP_PORT},
    probe,
    process::{Process, Stream},
    sip::SipMessage,
    wait::{LIMIT, Unmet, wait_for_condition},
};

/// A running capture, also written to `sip.pcapng` and, readable, to `ladder.txt`.
pub struct Capture {
    messages: Journal<SipMessage>,
    ladder: PathBuf,
    _process: Process,
}

impl Capture {
    /// Starts capturing; the carrier must be up. Returns when messages are being seen.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(debian("tshark", "tshark")?);
        command
            .args([
                "-n",
                "-l",
                "-i",
                "lo",
                "-f",
                &format!("udp port {SIP_PORT}"),
                "-P",
                "-w",
            ])
            .arg(dir.join("sip.pcapng"))
            .args([
                "-T",
                "fields",
                "-e",
                "frame.time_epoch",
                "-e",
                "ip.src",
                "-e",
                "ip.dst",
                "-e",
                "udp.payload",
            ]);
        let ladder = dir.join("ladder.txt");
        let mut ladder_file = File::create(&ladder).context("cannot create ladder.txt")?;
        let mut rungs = Ladder::default();
        let (writer, messages) = journal("the capture");
        let process =
            Process::spawn_with_lines("tshark", &mut command, dir, Stream::Stdout, move |line| {
                let Some(message) = parse_line(line) else {
                    return;
                };
                if let Some(rung) = rungs.rung(&message) {
                    // A full disk shows elsewhere; the journal must go on.
                    drop(writeln!(ladder_file, "{rung}"));
                }
                writer.write(message);
            })?;
        let capture = Self {
            messages,
            ladder,
            _process: process,
        };
        capture.wait_until_capturing().await?;
        Ok(capture)
    }

    /// The messages seen so far; call [`Capture::settle`] before counting them.
    pub fn messages(&self) -> &Journal<SipMessage> {
        &self.messages
    }

    /// Where the readable ladder grows.
    pub fn ladder_path(&self) -> &Path {
        &self.ladder
    }

    /// Waits until everything that is on the wire now has been seen.
    ///
    /// tshark shows packets in order, so a marker of our own that has come through proves it.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let from = self.messages.len();
        let marker = format!("settle-{from}");
        // The socket must live until the answer has come, or the kernel answers with ICMP errors.
        let _socket = probe::send(CARRIER, &marker).await?;
        self.messages
            .find_after(from, "our marker", LIMIT, |message| {
                (message.call_id() == Some(&marker)).then_some(())
            })
            .await
    }

    /// Everything that was on the wire until now and for which `pick` gives a value.
    pub async fn all<T>(&self, pick: impl Fn(&SipMessage) -> Option<T>) -> anyhow::Result<Vec<T>> {
        self.settle().await?;
        Ok(self.messages.all(pick))
    }

    /// tshark says that it captures a little before it does, so pings go out until one is seen.
    async fn wait_until_capturing(&self) -> anyhow::Result<()> {
        wait_for_condition("tshark to see a packet", LIMIT, async || {
            let _socket = probe::send(CARRIER, "capturing?").await?;
            let seen = self
                .messages
                .all(|message| (message.from == PROBE).then_some(()));
            if seen.is_empty() {
                Err(Unmet::NotYet("nothing".to_owned()))
            } else {
                Ok(())
            }
        })
        .await
    }
}

/// Reads a line of `-T fields`: epoch seconds, addresses, payload in hexadecimal.
fn parse_line(line: &str) -> Option<SipMessage> {
    let mut fields = line.split('\t');
    let at = Duration::from_secs_f64(fields.next()?.parse().ok()?);
    let from: Ipv4Addr = fields.next()?.parse().ok()?;
    let to: Ipv4Addr = fields.next()?.parse().ok()?;
    let payload: Vec<u8> = fields
        .next()?
        .replace(':', "")
        .as_bytes()
        .chunks_exact(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    SipMessage::parse(at, from, to, &String::from_utf8_lossy(&payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_tshark_becomes_a_message() {
        let payload: String = "BYE sip:x SIP/2.0\r\nCall-ID: 7\r\n\r\n"
            .bytes()
            .map(|b| format!("{b:02x}"))
            .collect();
        let message = parse_line(&format!(
            "1764036000.250\t127.0.0.10\t127.0.0.20\t{payload}"
        ))
        .unwrap();
        assert_eq!(message.at, Duration::from_millis(1_764_036_000_250));
        assert_eq!(message.to, CARRIER);
        assert_eq!(message.request(), Some("BYE"));
        assert_eq!(message.call_id(), Some("7"));
    }
}
