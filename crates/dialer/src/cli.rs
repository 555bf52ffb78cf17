//! The command line.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Parser, Subcommand};
use transfer_core::{AgentSetting, IdempotencyKey, SipHeader};

/// Has the voice agent call somebody
#[derive(Debug, Parser)]
#[command(
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    subcommand_negates_reqs = true,
    after_help = "\
Reads LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET from the environment, .env.local or .env.

Exit codes:
  0    a worker took the call; with --wait: the callee was transferred, or talked and hung up
  2    usage or settings
  3    LiveKit cannot be reached, or does not answer
  4    LiveKit refused the request
  5    no worker took the call in time; it was withdrawn, nobody will be called
  6    a call that nobody took could not be withdrawn; a worker may still take it
  130  interrupted; the call was withdrawn, or with --wait goes on if a worker had taken it
With --wait, and when the call of an idempotency key is over:
  10   nobody answered
  11   the callee is busy
  12   the callee declined
  13   the number is not in service
  14   the callee cannot be reached now
  15   the carrier refused the trunk's credentials, the call or its media
  16   the carrier failed, or its address cannot be resolved
  17   no SIP service is running, or it is at its limit
  18   LiveKit refused the agent's trunk, request or API key
  19   not known: whether the phone rang, or whether the transfer target answered
  20   lost: the agent, the room or the connection went before the call's end was known
  21   the call goes on after --timeout
  22   cut off: the worker was shut down, or somebody ended the room
  23   a machine answered (voicemail, an announcement), and the agent hung up
  24   voicemail answered, and the agent left its message"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Phone number to call, such as +919876543210
    #[arg(long, value_name = "NUMBER", required = true)]
    to: Option<String>,

    /// Caller number to show, if the carrier allows it [default: the trunk's own]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) from: Option<String>,

    /// Whom "Transfer me." leads to [default: DEFAULT_TRANSFER_NUMBER of the agent]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) transfer_to: Option<String>,

    /// SIP header for the INVITE; repeatable. Vobiz passes on names that start with X-VH-
    #[arg(long = "header", value_name = "KEY=VALUE")]
    pub(crate) headers: Vec<SipHeader>,

    /// Name, greeting, instructions or voice of the agent in this call, such as name=Max; repeatable
    #[arg(long = "agent", value_name = "KEY=VALUE")]
    pub(crate) agent: Vec<AgentSetting>,

    /// Seconds to wait for a worker to take the call
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    worker_timeout: u64,

    /// Show how the call goes, and exit when it is over with a code for how it ended
    #[arg(long)]
    pub(crate) wait: bool,

    /// Seconds to wait for the end of the call [default: as long as it takes]
    #[arg(long, value_name = "SECONDS", requires = "wait", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,

    /// Name of this call; with the same one again (within an hour of its end) nobody is called again
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<IdempotencyKey>,

    /// Print one JSON object; with --wait one for each event, the outcome last
    #[arg(long)]
    pub(crate) json: bool,

    /// Print what would be sent, and contact nobody; needs no credentials
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check everything that a call needs: runs `trunk-setup doctor`, with its options and exit code
    #[command(disable_help_flag = true)]
    Doctor {
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "OPTIONS"
        )]
        args: Vec<OsString>,
    },
}

impl Args {
    /// Returns whom to call.
    pub(crate) fn to(&self) -> &str {
        self.to
            .as_deref()
            .expect("clap requires --to where there is no subcommand")
    }

    /// Returns how long to wait for a worker.
    pub(crate) fn worker_timeout(&self) -> Duration {
        Duration::from_secs(self.worker_timeout)
    }

    /// Returns how long to wait for the end of the call; `None` is as long as it takes.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout.map(Duration::from_secs)
    }
}
