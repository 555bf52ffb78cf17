//! Listening and speaking by vendors: Deepgram, OpenAI and whoever speaks its protocol, Cartesia.
//!
//! [`CloudVoice`] speaks a sentence, [`Transcriber`] writes down what was said in a turn, [`listen()`] follows
//! a whole call and [`Listen`] makes the words of a turn of what it hears, [`check_key`] asks whether a key is
//! taken, and [`Breaker`] says for how long a vendor that fails is left alone.
//!
//! ```no_run
//! # async fn example(settings: &sip_config::TtsSettings) -> Result<(), Box<dyn std::error::Error>> {
//! let http = speech_cloud::http_client()?;
//! if let Some(voice) = speech_cloud::CloudVoice::new(http, settings) {
//!     let patience = std::time::Duration::from_secs(2);
//!     let mut spoken = voice.speak("One moment please.", patience).await?;
//!     while let Some(samples) = spoken.next().await? {
//!         println!("{} samples of {} Hz", samples.len(), spoken.sample_rate());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Contract
//!
//! 1. Audio to a vendor is 16 kHz mono, audio from a vendor mono of the rate that [`Spoken::sample_rate`] says, both i16.
//! 2. Nothing is tried twice in here, and nothing waits without a bound. What a failure means for the next
//!    attempt, its [`Pause`] says.
//! 3. No key is printed: they are in headers only, and are cut out of what a vendor answers.
//!
//! # Why no vendor's crate
//!
//! Each protocol is one request or a handful of messages, and the failures are what matters on a telephone.
//! `deepgram` 0.14 brings tungstenite 0.28 beside the one that this workspace has, and so a second WebSocket
//! stack, and hides the status of a refused handshake behind its own errors; `async-openai` has speech as one whole
//! file or as events in base64, which other servers of that protocol do not send, and no `Retry-After`.

mod breaker;
mod key_check;
pub mod listen;
mod refusal;
mod samples;
mod speak;
mod transcribe;

use std::time::Duration;

use url::Url;

pub use breaker::{Breaker, Pause};
pub use key_check::{KeyCheck, KeyError, check_key};
pub use listen::{Listen, ListenError, listen};
pub use refusal::Refusal;
pub use speak::{CloudVoice, SpeakError, Spoken};
pub use transcribe::{TranscribeError, Transcriber};

/// Name lookup, TCP and TLS; whoever is slower is no use on a telephone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Makes the client that all requests of a process share, so that they find open connections.
///
/// Fails when the machine has no root certificates.
pub fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .build()
}

/// The address of `path` under a base URL, whether that ends in a slash or not.
fn endpoint(base_url: &Url, path: &str) -> Url {
    let mut url = base_url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path.split('/'));
    }
    url
}
