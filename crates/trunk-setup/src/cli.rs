//! The command line.

use clap::{Args as ClapArgs, Parser, Subcommand};
use transfer_core::PhoneNumber;

/// Copies the carrier's address, credentials and number from the settings to the LiveKit SIP trunk
///
/// Updates the trunk OUTBOUND_TRUNK_ID.
/// Without that, updates the trunk that has the address and the number, or else creates one.
#[derive(Debug, Parser)]
#[command(
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    after_help = "\
Reads LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET, VOBIZ_SIP_DOMAIN, VOBIZ_USERNAME,
VOBIZ_PASSWORD, VOBIZ_OUTBOUND_NUMBER, OUTBOUND_TRUNK_ID, SIP_TRANSPORT, SIP_MEDIA_ENCRYPTION,
SIP_NUMBER_FORMAT and SIP_CARRIER from the environment, .env.local or .env.

Exit codes:
  0  done; with --check: nothing differs
  1  with --check: something differs, or the trunk does not exist yet; doctor: a check failed
  2  usage or settings
  3  LiveKit cannot be reached, or does not answer
  4  LiveKit refused the request
  5  the trunk OUTBOUND_TRUNK_ID does not exist, or several trunks or another rule fit
  6  the trunk is set up, but its id could not be written to the .env file"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Show the outbound trunks, and change nothing
    #[arg(long, conflicts_with_all = ["check", "plan", "write_env", "inbound"])]
    list: bool,

    /// Show what differs between settings and trunk, and change nothing
    #[arg(long, conflicts_with_all = ["plan", "write_env", "inbound"])]
    check: bool,

    /// Show what would change, and change nothing; `--dry-run` is the same
    #[arg(long, alias = "dry-run", conflicts_with = "write_env")]
    plan: bool,

    /// Set up inbound calls instead: a trunk for the number, and a rule that leads to the agent
    #[arg(long, conflicts_with = "write_env")]
    inbound: bool,

    /// With --inbound: take calls from this address (IP or CIDR) only; repeatable
    #[arg(long, value_name = "ADDRESS", requires = "inbound")]
    pub(crate) allow_address: Vec<String>,

    /// Write the trunk's id to the .env file
    #[arg(long)]
    pub(crate) write_env: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check everything that a call needs, and say what is wrong and how to repair it
    ///
    /// Makes these checks in this order: environment, LiveKit and its key, clock, SIP service, trunk,
    /// DNS of the SIP domain, SIP OPTIONS, the carrier's account, numbers, a test call with REFER,
    /// worker, language model. One that fails does not stop those that do not depend on it.
    ///
    /// Nobody's phone rings, unless --test-call names a number: that one is called, and transferred
    /// to --transfer-to or DEFAULT_TRANSFER_NUMBER when somebody answers.
    ///
    /// Exits 0 when nothing failed, else 1.
    Doctor(DoctorArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DoctorArgs {
    /// Call this number, and transfer whoever answers
    #[arg(long, value_name = "NUMBER")]
    pub(crate) test_call: Option<PhoneNumber>,

    /// Where the test call is transferred [default: DEFAULT_TRANSFER_NUMBER]
    #[arg(long, value_name = "NUMBER", requires = "test_call")]
    pub(crate) transfer_to: Option<PhoneNumber>,

    /// Print one JSON object, at the end
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    List,
    Check,
    /// `dry`: only show.
    Apply {
        dry: bool,
    },
    Inbound {
        dry: bool,
    },
}

impl Args {
    /// Returns what is asked for.
    pub(crate) fn mode(&self) -> Mode {
        match (self.list, self.check, self.inbound) {
            (true, _, _) => Mode::List,
            (_, true, _) => Mode::Check,
            (_, _, true) => Mode::Inbound { dry: self.plan },
            _ => Mode::Apply { dry: self.plan },
        }
    }
}
