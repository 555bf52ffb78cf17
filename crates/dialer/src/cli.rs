//! The command line.

use std::time::Duration;

use clap::Parser;
use transfer_core::SipHeader;

/// Has the voice agent call somebody
#[derive(Debug, Parser)]
#[command(
    max_term_width = 100,
    after_help = "\
Reads LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET from the environment, .env.local or .env.

Exit codes:
  0    a worker took the call
  2    usage or settings
  3    LiveKit cannot be reached, or does not answer
  4    LiveKit refused the request
  5    no worker took the call in time; it was withdrawn, nobody will be called
  6    a call that nobody took could not be withdrawn; a worker may still take it
  130  interrupted; the call was withdrawn"
)]
pub(crate) struct Args {
    /// Phone number to call, such as +919876543210
    #[arg(long, value_name = "NUMBER")]
    pub(crate) to: String,

    /// Caller number to show, if the carrier allows it [default: the trunk's own]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) from: Option<String>,

    /// Whom "Transfer me." leads to [default: DEFAULT_TRANSFER_NUMBER of the agent]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) transfer_to: Option<String>,

    /// SIP header for the INVITE; repeatable. Vobiz passes on names that start with X-VH-
    #[arg(long = "header", value_name = "KEY=VALUE")]
    pub(crate) headers: Vec<SipHeader>,

    /// Seconds to wait for a worker to take the call
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub(crate) timeout: u64,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,

    /// Print what would be sent, and contact nobody; needs no credentials
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Args {
    /// Returns how long to wait for a worker.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}
