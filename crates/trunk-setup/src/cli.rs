//! The command line.

use clap::Parser;

/// Copies the carrier's address, credentials and number from the settings to the LiveKit SIP trunk
///
/// Updates the trunk OUTBOUND_TRUNK_ID.
/// Without that, updates the trunk that has the address and the number, or else creates one.
#[derive(Debug, Parser)]
#[command(
    max_term_width = 100,
    after_help = "\
Reads LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET, VOBIZ_SIP_DOMAIN, VOBIZ_USERNAME,
VOBIZ_PASSWORD, VOBIZ_OUTBOUND_NUMBER and OUTBOUND_TRUNK_ID from the environment, .env.local or .env.

Exit codes:
  0  done; with --check: nothing differs
  1  with --check: something differs, or the trunk does not exist yet
  2  usage or settings
  3  LiveKit cannot be reached, or does not answer
  4  LiveKit refused the request
  5  the trunk OUTBOUND_TRUNK_ID does not exist, or several trunks fit
  6  the trunk is set up, but its id could not be written to the .env file"
)]
pub(crate) struct Args {
    /// Show the outbound trunks, and change nothing
    #[arg(long, conflicts_with_all = ["check", "write_env"])]
    list: bool,

    /// Show what differs between settings and trunk, and change nothing
    #[arg(long, conflicts_with = "write_env")]
    check: bool,

    /// Write the trunk's id to the .env file
    #[arg(long)]
    pub(crate) write_env: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    List,
    Check,
    Apply,
}

impl Args {
    /// Returns what is asked for.
    pub(crate) fn mode(&self) -> Mode {
        match (self.list, self.check) {
            (true, _) => Mode::List,
            (_, true) => Mode::Check,
            _ => Mode::Apply,
        }
    }
}
