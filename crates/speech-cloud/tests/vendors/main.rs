//! Every client against a process on loopback that speaks the vendor's documented protocol, and its failures.

mod key_check;
mod listen;
mod loopback;
mod speak;
mod transcribe;
