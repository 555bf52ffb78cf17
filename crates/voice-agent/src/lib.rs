//! A LiveKit agent worker that dials people over a SIP trunk, talks with them and transfers them.
//!
//! [`worker`] keeps the connection to LiveKit and gets jobs, `job` runs each of them, `call` is one
//! call from its job to its end.

mod audio;
pub mod behaviour;
mod call;
pub mod cli;
pub mod console;
pub mod conversation;
mod delivery;
mod ears;
mod hold;
mod inference;
mod job;
#[cfg(test)]
#[allow(dead_code, reason = "the tests of speech-cloud use the rest of it")]
#[path = "../../speech-cloud/tests/vendors/loopback.rs"]
mod loopback;
pub mod metrics;
pub mod shutdown;
pub mod tool;
#[cfg(test)]
mod twirp_server;
mod vendor;
mod voice;
pub mod worker;

pub use call::{CallbackFile, CallbackFileError};
pub use inference::{LoadSpeechError, Speech};
pub use job::Agent;
