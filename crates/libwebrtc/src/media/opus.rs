//! Opus (RFC 6716) as WebRTC uses it (RFC 7587): the only codec of this crate.
//!
//! This module is the seam to the codec library; nothing else names `ropus`.

use ropus::{Application, Bitrate, Channels, DecodeMode, InbandFec, Signal};

/// What does the coding, for statistics.
pub(crate) const IMPLEMENTATION: &str = "ropus";

/// The Opus RTP clock, whatever rate is coded (RFC 7587 §4.1).
pub(crate) const CLOCK_RATE: u32 = 48_000;

/// The longest packet: 120 ms (RFC 6716 §3.2.5), in samples of [`CLOCK_RATE`].
pub(crate) const MAX_PACKET_SAMPLES: usize = 5_760;

/// The duration of the packets that we send: 20 ms.
const PACKETS_PER_SECOND: u32 = 50;

/// Halves the time of the default (9) for a difference that speech does not show.
const COMPLEXITY: u8 = 5;

/// What the encoder assumes to get lost; above zero it spends bits on in-band FEC.
const EXPECTED_LOSS_PERCENT: u8 = 10;

const DEFAULT_BITRATE_PER_CHANNEL: u32 = 32_000;

/// The range that RFC 6716 §2.1.1 gives, in bit/s.
const BITRATES: std::ops::RangeInclusive<u64> = 6_000..=510_000;

/// The largest packet that fits a datagram with SRTP around it.
const MAX_PACKET_BYTES: usize = 1_275;

/// A packet of 20 ms of silence (CELT, fullband, mono, a frame without payload).
pub(crate) const SILENCE: &[u8] = &[0xf8, 0xff, 0xfe];

fn channels(count: usize) -> Channels {
    if count == 1 {
        Channels::Mono
    } else {
        Channels::Stereo
    }
}

/// A speech encoder: 20 ms packets, in-band FEC, variable bitrate.
pub(crate) struct Encoder {
    inner: ropus::Encoder,
    rate: u32,
    channels: usize,
    bitrate: Option<u64>,
    packet: [u8; MAX_PACKET_BYTES],
}

impl Encoder {
    /// The sample rate to encode for a source of `rate`: its own where Opus has it, else 48 kHz.
    pub(crate) fn rate_for(rate: u32) -> u32 {
        match rate {
            8_000 | 12_000 | 16_000 | 24_000 => rate,
            _ => CLOCK_RATE,
        }
    }

    /// `rate` comes from [`Encoder::rate_for`], `channels` is 1 or 2.
    pub(crate) fn new(rate: u32, channel_count: usize) -> Self {
        let inner = ropus::Encoder::builder(rate, channels(channel_count), Application::Voip)
            .bitrate(Bitrate::Bits(
                DEFAULT_BITRATE_PER_CHANNEL * channel_count as u32,
            ))
            .complexity(COMPLEXITY)
            .signal(Signal::Voice)
            .inband_fec(InbandFec::Enabled)
            .packet_loss_perc(EXPECTED_LOSS_PERCENT)
            .build()
            .expect("opus has these rates and settings");
        Self {
            inner,
            rate,
            channels: channel_count,
            bitrate: None,
            packet: [0; MAX_PACKET_BYTES],
        }
    }

    /// Interleaved samples in one packet of ours.
    pub(crate) fn packet_len(&self) -> usize {
        (self.rate / PACKETS_PER_SECOND) as usize * self.channels
    }

    /// Starts anew, as a decoder does after [`SILENCE`].
    pub(crate) fn reset(&mut self) {
        let bitrate = self.bitrate;
        *self = Self::new(self.rate, self.channels);
        self.set_bitrate(bitrate);
    }

    /// `None` returns to the default.
    pub(crate) fn set_bitrate(&mut self, bits_per_second: Option<u64>) {
        self.bitrate = bits_per_second;
        let default = u64::from(DEFAULT_BITRATE_PER_CHANNEL) * self.channels as u64;
        let bitrate = bits_per_second
            .unwrap_or(default)
            .clamp(*BITRATES.start(), *BITRATES.end());
        self.inner
            .set_bitrate(Bitrate::Bits(bitrate as u32))
            .expect("the bitrate is in range");
    }

    /// Encodes [`Encoder::packet_len`] interleaved samples.
    pub(crate) fn encode(&mut self, pcm: &[i16]) -> Result<&[u8], ropus::EncodeError> {
        let len = self.inner.encode(pcm, &mut self.packet)?;
        Ok(&self.packet[..len])
    }
}

/// A decoder to 48 kHz.
pub(crate) struct Decoder {
    inner: ropus::Decoder,
    channels: usize,
}

impl Decoder {
    /// `channels` is 1 or 2, whatever the packets carry.
    pub(crate) fn new(channel_count: usize) -> Self {
        let inner = ropus::Decoder::new(CLOCK_RATE, channels(channel_count))
            .expect("opus decodes to 48 kHz");
        Self {
            inner,
            channels: channel_count,
        }
    }

    pub(crate) fn channels(&self) -> usize {
        self.channels
    }

    /// Appends the decoded packet to `out` and returns its samples per channel.
    ///
    /// On error `out` is as before.
    pub(crate) fn decode(
        &mut self,
        payload: &[u8],
        out: &mut Vec<i16>,
    ) -> Result<usize, ropus::DecodeError> {
        let samples = packet_samples(payload).ok_or(ropus::DecodeError::InvalidPacket)?;
        self.run(payload, samples, DecodeMode::Normal, out)
    }

    /// Appends what the in-band FEC of `payload` says about the `samples` before it.
    pub(crate) fn recover(
        &mut self,
        payload: &[u8],
        samples: usize,
        out: &mut Vec<i16>,
    ) -> Result<usize, ropus::DecodeError> {
        self.run(payload, samples, DecodeMode::Fec, out)
    }

    fn run(
        &mut self,
        payload: &[u8],
        samples: usize,
        mode: DecodeMode,
        out: &mut Vec<i16>,
    ) -> Result<usize, ropus::DecodeError> {
        let before = out.len();
        out.resize(before + samples * self.channels, 0);
        let decoded = self.inner.decode(payload, &mut out[before..], mode);
        out.truncate(before + decoded.unwrap_or(0) * self.channels);
        decoded
    }
}

/// The duration of a packet in samples of [`CLOCK_RATE`], from its first two bytes (RFC 6716 §3.1).
///
/// `None`: not an Opus packet.
pub(crate) fn packet_samples(payload: &[u8]) -> Option<usize> {
    let toc = *payload.first()?;
    let frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1_920, 2_880][usize::from(config % 4)],
        config @ 12..=15 => [480, 960][usize::from(config % 2)],
        config => [120, 240, 480, 960][usize::from(config % 4)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => usize::from(*payload.get(1)? & 0x3f),
    };
    let samples = frame * frames;
    (1..=MAX_PACKET_SAMPLES)
        .contains(&samples)
        .then_some(samples)
}

/// Whether the packet carries a low-bitrate copy of the frame before it (RFC 6716 §4.2.4).
///
/// Only looked for in packets of one frame of up to 20 ms, which is what WebRTC sends.
pub(crate) fn has_fec(payload: &[u8]) -> bool {
    let [toc, first, ..] = payload else {
        return false;
    };
    let silk = toc >> 7 == 0;
    let one_frame = toc & 3 == 0;
    let stereo = toc & 4 != 0;
    silk && one_frame
        && packet_samples(payload).is_some_and(|samples| samples <= 960)
        && (first >> 6 & 1 == 1 || stereo && first >> 4 & 1 == 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn voice(samples: usize, rate: u32) -> Vec<i16> {
        (0..samples)
            .map(|i| {
                let time = i as f64 / f64::from(rate);
                let phase = time * 140.0 * std::f64::consts::TAU;
                let harmonics: f64 = (1..12).map(|h| (phase * f64::from(h)).sin()).sum();
                let syllables = 0.6 - 0.4 * (time * 4.0 * std::f64::consts::TAU).cos();
                (harmonics * syllables * 2_000.0) as i16
            })
            .collect()
    }

    #[test]
    fn packets_are_20_ms_at_every_rate() {
        for rate in [8_000, 12_000, 16_000, 24_000, 48_000] {
            for channels in [1, 2] {
                let mut encoder = Encoder::new(Encoder::rate_for(rate), channels);
                let pcm = vec![0; encoder.packet_len()];
                let payload = encoder.encode(&pcm).unwrap();
                assert_eq!(packet_samples(payload), Some(960), "{rate} Hz");
            }
        }
        assert_eq!(Encoder::rate_for(44_100), 48_000);
        assert_eq!(Encoder::rate_for(22_050), 48_000);
    }

    #[test]
    fn speech_carries_in_band_fec_that_recovers_the_packet_before() {
        let mut encoder = Encoder::new(48_000, 1);
        let pcm = voice(48_000, 48_000);
        let packets: Vec<Vec<u8>> = pcm
            .chunks_exact(960)
            .map(|frame| encoder.encode(frame).unwrap().to_vec())
            .collect();
        let with_fec = packets.iter().filter(|packet| has_fec(packet)).count();
        assert!(with_fec > 25, "{with_fec} of 50 carry FEC");

        let energy = |pcm: &[i16]| pcm.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
        let lost = (10..49).find(|i| has_fec(&packets[i + 1])).unwrap();
        let mut received = Vec::new();
        let mut decoder = Decoder::new(1);
        for packet in &packets[..=lost] {
            decoder.decode(packet, &mut received).unwrap();
        }
        let mut recovered = Vec::new();
        let mut decoder = Decoder::new(1);
        for packet in &packets[..lost] {
            decoder.decode(packet, &mut recovered).unwrap();
        }
        let samples = decoder.recover(&packets[lost + 1], 960, &mut recovered);
        assert_eq!(samples.unwrap(), 960);
        let ratio = energy(&recovered[lost * 960..]) / energy(&received[lost * 960..]);
        assert!((0.5..2.0).contains(&ratio), "{ratio} of the energy");
    }

    #[test]
    fn bitrate_out_of_range_is_clamped() {
        let mut encoder = Encoder::new(48_000, 2);
        for bitrate in [Some(0), Some(u64::MAX), Some(64_000), None] {
            encoder.set_bitrate(bitrate);
        }
    }

    #[test]
    fn what_is_not_opus_has_no_duration() {
        assert_eq!(packet_samples(&[]), None);
        assert_eq!(packet_samples(&[0xff]), None);
        assert_eq!(packet_samples(&[0xff, 0]), None);
        assert_eq!(packet_samples(&[0xff, 63]), None);
        assert_eq!(packet_samples(&[0xf8, 0xff, 0xfe]), Some(960));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail_and_the_decoder_goes_on(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20),
            channels in 1usize..=2,
        ) {
            let mut decoder = Decoder::new(channels);
            let mut out = Vec::new();
            for payload in &payloads {
                let before = out.len();
                let decoded = decoder.decode(payload, &mut out).unwrap_or(0);
                prop_assert_eq!(out.len() - before, decoded * channels);
                if has_fec(payload) {
                    decoder.recover(payload, 960, &mut out).ok();
                }
                out.clear();
            }
            let silence = Encoder::new(48_000, channels).encode(&vec![0; 960 * channels]).unwrap().to_vec();
            prop_assert_eq!(decoder.decode(&silence, &mut out).unwrap(), 960);
        }
    }
}
