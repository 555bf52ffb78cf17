//! A telephone world on one machine: Redis, livekit-server, livekit-sip, a SIP carrier, phones, and the
//! worker and command-line tools under test, all of them real programs.
//!
//! ```no_run
//! use e2e::{phone::PhoneSettings, world::World};
//!
//! # async fn example(dir: &std::path::Path) -> anyhow::Result<()> {
//! let world = World::start(dir).await?;
//! let callee = world.phone(PhoneSettings::callee()).await?;
//! let call = callee.incoming().await?;
//! callee.answer(&call).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Contract
//!
//! 1. Everything runs inside one network, process and mount namespace ([`namespace`]): ports are the
//!    standard ones, every party has an address of its own ([`party`]), nothing can leak or clash.
//! 2. A fixture is up when its `start` returns; dropping it kills and reaps the process.
//! 3. Nothing sleeps for luck: waiting is for an event ([`journal`]) or a condition ([`wait`]), with a limit
//!    so long that reaching it means a bug.
//! 4. What a party heard is taken from its phone's own recording ([`recording`], [`tone`]); what went over
//!    the wire from a capture ([`capture`]); what the agent did from its log ([`worker`]).

mod babble;
pub mod binaries;
pub mod call;
pub mod capture;
pub mod carrier;
pub mod console;
pub mod contestant;
pub mod faulty_line;
pub mod handset;
pub mod http;
pub mod journal;
pub mod ladder;
pub mod livekit_server;
pub mod livekit_sip;
pub mod namespace;
pub mod openai;
pub mod party;
pub mod phone;
mod probe;
mod process;
pub mod provider;
pub mod recording;
pub mod redis;
pub mod sip;
pub mod tls_front;
pub mod tone;
pub mod tool;
pub mod usage;
pub mod utterance;
pub mod wait;
pub mod wire;
pub mod words;
pub mod worker;
pub mod world;
