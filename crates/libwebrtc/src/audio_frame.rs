//! PCM audio, as it is captured and played.

use std::borrow::Cow;

/// Some audio: interleaved 16-bit PCM.
#[derive(Debug, Clone)]
pub struct AudioFrame<'a> {
    /// `num_channels * samples_per_channel` samples.
    pub data: Cow<'a, [i16]>,
    /// In Hz.
    pub sample_rate: u32,
    pub num_channels: u32,
    pub samples_per_channel: u32,
}

impl AudioFrame<'_> {
    /// Makes a frame of silence.
    pub fn new(sample_rate: u32, num_channels: u32, samples_per_channel: u32) -> Self {
        let len = num_channels as usize * samples_per_channel as usize;
        Self {
            data: Cow::Owned(vec![0; len]),
            sample_rate,
            num_channels,
            samples_per_channel,
        }
    }
}
