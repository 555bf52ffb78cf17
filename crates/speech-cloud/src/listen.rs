//! Deepgram's streaming recognition.
//!
//! [`listen`] is the socket: it sends audio, and passes on what the server says. [`Listen`] has no socket and no
//! clock: it takes what the server said and knows which words belong to a turn, and whether Deepgram has
//! finished with it. Who speaks when is not Deepgram's to decide: its own end of speech comes later than that
//! of an endpointer in this process, and not at all when the line is down.
//!
//! 1. Count the audio that is sent; positions in the audio are what both sides mean by time.
//! 2. When the person has stopped speaking, ask [`Listen::turn`]. If it is not complete, send
//!    [`Command::Finalize`], and ask again after each message.
//! 3. [`Listen::take`] takes the words out.

mod messages;
mod socket;
mod words;

pub use messages::{Alternative, Channel, Results, ServerMessage};
pub use socket::{Command, ListenError, listen};
pub use words::{Listen, Noticed, Words};
