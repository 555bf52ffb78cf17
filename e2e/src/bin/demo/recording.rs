//! The person's calls as one stereo file.

use std::path::Path;

use anyhow::Context;
use e2e::phone::Phone;
use speech::resample;

/// Writes both legs of the person's phone, with the agent and then with the target, one after the other:
/// 16 kHz, left is what the person said, right is what the person heard.
pub(crate) async fn write(path: &Path, phone: &Phone) -> anyhow::Result<()> {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)
        .with_context(|| format!("cannot create {}", path.display()))?;
    for n in 0..2 {
        let leg = phone.leg(n).await?;
        let said = resample(&leg.said.pcm()?, spec.sample_rate).samples;
        let heard = resample(&leg.heard.pcm()?, spec.sample_rate).samples;
        for (left, right) in said.iter().zip(&heard) {
            writer.write_sample(*left)?;
            writer.write_sample(*right)?;
        }
    }
    writer.finalize().context("cannot finish the recording")
}
