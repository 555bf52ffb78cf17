//! Settings, from environment variables and `.env` files to types.
//!
//! 1. [`Environment::load`] reads `.env.local` and `.env` of the current directory. The process
//!    environment wins over both, `.env.local` over `.env`.
//! 2. A binary asks for its groups in one go, so that all faults come in one report:
//!
//! ```no_run
//! use sip_config::{Environment, LiveKitSettings, TrunkSettings};
//!
//! let environment = Environment::load()?;
//! let (livekit, trunk) = environment.settings::<(LiveKitSettings, TrunkSettings)>()?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! A variable that is set to nothing counts as not set. No secret is ever printed: they are
//! [`SecretString`](secrecy::SecretString)s, and reports name variables, not values.
//!
//! [`VARIABLES`] lists all variables; `.env.example` is made of it.

mod agent;
mod doctor;
mod env_file;
mod environment;
mod error;
mod livekit;
mod providers;
mod transfer;
mod trunk;
mod variables;

pub use agent::{
    AgentSettings, DialerSettings, HoldSound, LlmSettings, LogLevel, OutboundTrunkSettings,
    SpeechSettings, TransferNumberSettings, TransferSettings,
};
pub use doctor::{ExecDoctorError, exec_doctor};
pub use env_file::{EnvFile, EnvFileError};
pub use environment::{Environment, LoadError, Reader, Settings};
pub use error::{Fault, Problem, SettingsError};
pub use livekit::LiveKitSettings;
pub use providers::{
    Account, CartesiaTts, DeepgramStt, DeepgramTts, OpenAiStt, OpenAiTts, ProviderSettings,
    SttSettings, TtsSettings,
};
pub use trunk::{Carrier, MediaEncryption, NumberFormat, Transport, TrunkSettings};
pub use variables::{VARIABLES, Variable};
