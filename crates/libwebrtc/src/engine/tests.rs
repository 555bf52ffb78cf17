//! Two peers over a simulated network: one file for each behaviour.

mod answerer;
mod audio;
mod data_channels;
mod garbage;
mod ice;
mod negotiation;
mod pair;
mod republish;
mod statistics;
