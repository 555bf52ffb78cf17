//! Hearing and speaking on one core, without a key and without a network.
//!
//! [`Endpointer`] finds the turns of the person on the line, [`Whisper`] writes down what was said in one,
//! [`Piper`] speaks the answer, [`resample`] moves audio between their rates.
//!
//! ```no_run
//! use speech::{Endpoint, Endpointer, ModelsDir, Pass, Piper, Whisper, resample};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let models = ModelsDir::new("/var/cache/sip-transfer-agent/models");
//! let piper = Piper::load(&models.piper())?;
//! let whisper = Whisper::load(&models.whisper())?;
//!
//! let spoken = resample(&piper.synthesize("Transfer me to a live agent.")?, 16_000);
//! let mut endpointer = Endpointer::default();
//! for frame in spoken.samples.chunks(160) {
//!     for event in endpointer.push(frame) {
//!         if let Endpoint::TurnEnded(turn) = event {
//!             println!("{}", whisper.transcribe(&turn.samples(), Pass::First)?.text);
//!         }
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Contract
//!
//! 1. Audio for recognition is 16 kHz mono; a voice has its own rate, which [`Pcm`] carries.
//! 2. One inference uses one thread, whatever rayon is set to, and several may run at once on the same
//!    model: run as many as there are cores and no more.
//! 3. Inference blocks for a tenth of a second and more. Do not call it on an async executor's thread.
//! 4. A model is loaded once and shared; nothing in it changes after that.
//! 5. What was heard is a guess. Decode a number a second time ([`Pass::Second`]) and read it back.

mod endpoint;
mod lane;
mod models;
mod noise;
mod pcm;
mod piper;
mod whisper;

pub use endpoint::{Endpoint, Endpointer, HANG, MAX_TURN, NUMBER_HANG, PAUSE, Turn};
pub use models::{LoadError, ModelsDir};
pub use noise::NoiseSuppressor;
pub use pcm::{HEARING_RATE, Pcm, StreamResampler, resample};
pub use piper::{PhonemesError, Piper, SynthesizeError, clauses};
pub use whisper::{Pass, TranscribeError, Transcript, Whisper};
