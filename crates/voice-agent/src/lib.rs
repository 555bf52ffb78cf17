//! A LiveKit agent worker that dials people over a SIP trunk, talks with them and transfers them.
//!
//! [`worker`] keeps the connection to LiveKit and gets jobs.

pub mod worker;
