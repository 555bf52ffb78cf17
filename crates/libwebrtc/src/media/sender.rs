//! The sending half of a local audio track on one transceiver.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use parking_lot::Mutex;

use super::{
    opus::{self, CLOCK_RATE},
    receiver::mean_square,
    resample::{Resampler, remix},
};
use crate::{audio_track::RtcAudioTrack, stats::dictionaries::AudioSourceStats};

/// The duration of a packet in RTP clock ticks: 20 ms.
const TICKS_PER_PACKET: u32 = CLOCK_RATE / 50;

/// After so many packets of silence (100 ms) the encoder has nothing left to tell; it would take
/// as long over silence as over speech.
const ENCODED_SILENCE: u32 = 5;

/// Audio above this level is marked as voice (the V bit of RFC 6464).
const VOICE_DBOV: i8 = -60;

/// A packet to be sent.
#[derive(Debug)]
pub(crate) struct EncodedPacket {
    pub(crate) payload: Vec<u8>,
    /// In 1/48 000 s, from a random start; it counts while the sender is active.
    pub(crate) timestamp: u32,
    /// The first packet after the sender became active (RFC 3551 §4.1).
    pub(crate) marker: bool,
    /// -127 (silence) to 0 (RFC 6464, there without the sign).
    pub(crate) audio_level_dbov: i8,
    pub(crate) voice: bool,
}

/// What was given to the encoder, counted as W3C webrtc-stats `RTCAudioSourceStats` counts it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct SenderStats {
    /// 0.0 to 1.0: the effective value of the last packet.
    pub(crate) audio_level: f64,
    /// In seconds, of full scale squared.
    pub(crate) total_audio_energy: f64,
    /// Seconds of audio.
    pub(crate) total_samples_duration: f64,
    /// Per channel, at the rate of the source.
    pub(crate) total_samples_captured: u64,
}

impl SenderStats {
    pub(crate) fn audio_source(&self) -> AudioSourceStats {
        AudioSourceStats {
            audio_level: self.audio_level,
            total_audio_energy: self.total_audio_energy,
            total_samples_duration: self.total_samples_duration,
            total_samples_captured: self.total_samples_captured,
            ..AudioSourceStats::default()
        }
    }
}

type Output = Box<dyn Fn(EncodedPacket) + Send + Sync>;

/// Encodes a local track: 20 ms Opus packets without a break while active, silence when muted.
pub(crate) struct Sender {
    track: RtcAudioTrack,
    active: AtomicBool,
    state: Mutex<State>,
    output: Output,
}

struct State {
    encoder: opus::Encoder,
    channels: usize,
    resampler: Resampler,
    mixed: Vec<i16>,
    /// At the rate of the encoder, less than a packet.
    pending: Vec<i16>,
    timestamp: u32,
    marker: bool,
    /// Packets of silence since the last sound.
    silent: u32,
    stats: SenderStats,
}

impl Sender {
    /// `None`: the track has no source of ours (a device track).
    ///
    /// `output` is called on the audio clock's thread, or on that of a direct `capture_frame`,
    /// without any lock of this module. The sender is detached from the source by dropping it.
    pub(crate) fn new(track: &RtcAudioTrack, output: Output) -> Option<Arc<Self>> {
        let source = track.inner.source.as_ref()?;
        let channels = source.num_channels().min(2) as usize;
        let rate = opus::Encoder::rate_for(source.sample_rate());
        let sender = Arc::new(Self {
            track: track.clone(),
            active: AtomicBool::new(false),
            state: Mutex::new(State {
                encoder: opus::Encoder::new(rate, channels),
                channels,
                resampler: Resampler::new(source.sample_rate(), rate, channels),
                mixed: Vec::new(),
                pending: Vec::new(),
                timestamp: rand::random(),
                marker: true,
                silent: 0,
                stats: SenderStats::default(),
            }),
            output,
        });
        source.attach(&sender);
        Some(sender)
    }

    /// Whether audio is encoded and sent.
    pub(crate) fn set_active(&self, active: bool) {
        if self.active.swap(active, Relaxed) != active && active {
            let mut state = self.state.lock();
            state.marker = true;
            state.pending.clear();
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Relaxed)
    }

    /// In bit/s; `None` returns to the default.
    pub(crate) fn set_max_bitrate(&self, bits_per_second: Option<u64>) {
        self.state.lock().encoder.set_bitrate(bits_per_second);
    }

    pub(crate) fn stats(&self) -> SenderStats {
        self.state.lock().stats
    }

    /// Takes 10 ms of interleaved audio in the rate and `channels` of the track's source.
    pub(crate) fn push(&self, pcm: &[i16], channels: usize) {
        if !self.is_active() {
            return;
        }
        let muted = !self.track.enabled();
        let packets = self.state.lock().encode(pcm, channels, muted);
        for packet in packets {
            (self.output)(packet);
        }
    }
}

impl State {
    fn encode(&mut self, pcm: &[i16], channels: usize, muted: bool) -> Vec<EncodedPacket> {
        self.stats.total_samples_captured += (pcm.len() / channels) as u64;
        self.mixed.clear();
        if muted {
            self.mixed.resize(pcm.len() / channels * self.channels, 0);
        } else {
            remix(pcm, channels, self.channels, &mut self.mixed);
        }
        self.resampler.push(&self.mixed, &mut self.pending);

        let len = self.encoder.packet_len();
        let mut packets = Vec::new();
        let mut taken = 0;
        while let Some(pcm) = self.pending.get(taken..taken + len) {
            taken += len;
            let energy = mean_square(pcm);
            let seconds = f64::from(TICKS_PER_PACKET) / f64::from(CLOCK_RATE);
            self.stats.audio_level = energy.sqrt();
            self.stats.total_audio_energy += energy * seconds;
            self.stats.total_samples_duration += seconds;
            let timestamp = self.timestamp;
            self.timestamp = timestamp.wrapping_add(TICKS_PER_PACKET);
            if energy > 0.0 {
                if self.silent > ENCODED_SILENCE {
                    self.encoder.reset();
                }
                self.silent = 0;
            } else {
                self.silent = self.silent.saturating_add(1);
            }
            let encoded = if self.silent > ENCODED_SILENCE {
                Ok(opus::SILENCE)
            } else {
                self.encoder.encode(pcm)
            };
            match encoded {
                Ok(payload) => {
                    let audio_level_dbov = dbov(energy);
                    packets.push(EncodedPacket {
                        payload: payload.to_vec(),
                        timestamp,
                        marker: std::mem::take(&mut self.marker),
                        audio_level_dbov,
                        voice: audio_level_dbov > VOICE_DBOV,
                    });
                }
                Err(error) => log::error!("opus did not encode: {error}"),
            }
        }
        self.pending.drain(..taken);
        packets
    }
}

/// The level of a mean square, as RFC 6464 has it: -127 to 0.
fn dbov(mean_square: f64) -> i8 {
    // The logarithm of zero is minus infinity and clamps to silence.
    (10.0 * mean_square.log10()).round().clamp(-127.0, 0.0) as i8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio_source::{AudioSourceOptions, native::NativeAudioSource};

    /// A track fed with direct 10 ms captures, and what its sender sends.
    struct Sent {
        track: RtcAudioTrack,
        sender: Arc<Sender>,
        packets: Arc<Mutex<Vec<EncodedPacket>>>,
        rate: u32,
        channels: usize,
        captured: usize,
    }

    impl Sent {
        fn new(rate: u32, channels: usize) -> Self {
            let options = AudioSourceOptions::default();
            let source = NativeAudioSource::new(options, rate, channels as u32, 0);
            let track = RtcAudioTrack::local("track", Some(source));
            let packets = Arc::<Mutex<Vec<EncodedPacket>>>::default();
            let output = packets.clone();
            let sender = Sender::new(&track, Box::new(move |packet| output.lock().push(packet)));
            Self {
                track,
                sender: sender.expect("the track has a source"),
                packets,
                rate,
                channels,
                captured: 0,
            }
        }

        /// Captures so many 10 ms of a tone and returns what was sent.
        fn tone(&mut self, frames: usize) -> Vec<EncodedPacket> {
            let len = self.rate as usize / 100;
            for _ in 0..frames {
                let pcm: Vec<i16> = (self.captured..self.captured + len)
                    .flat_map(|i| {
                        let phase = i as f64 * 400.0 * std::f64::consts::TAU / f64::from(self.rate);
                        std::iter::repeat_n((phase.sin() * 10_000.0) as i16, self.channels)
                    })
                    .collect();
                self.captured += len;
                self.sender.push(&pcm, self.channels);
            }
            std::mem::take(&mut self.packets.lock())
        }
    }

    fn timestamps(packets: &[EncodedPacket]) -> Vec<u32> {
        packets.iter().map(|packet| packet.timestamp).collect()
    }

    #[test]
    fn every_source_makes_20_ms_packets_without_a_break() {
        for rate in [8_000, 16_000, 22_050, 24_000, 44_100, 48_000] {
            for channels in [1, 2, 3] {
                let mut sent = Sent::new(rate, channels);
                sent.sender.set_active(true);
                let packets = sent.tone(100);
                assert!(
                    (48..=50).contains(&packets.len()),
                    "{rate} Hz: {}",
                    packets.len()
                );
                for pair in packets.windows(2) {
                    assert_eq!(pair[1].timestamp.wrapping_sub(pair[0].timestamp), 960);
                }
                for packet in &packets {
                    assert_eq!(opus::packet_samples(&packet.payload), Some(960));
                }
            }
        }
    }

    #[test]
    fn the_first_packet_after_activation_is_marked() {
        let mut sent = Sent::new(48_000, 1);
        assert!(sent.tone(10).is_empty());
        for _ in 0..2 {
            sent.sender.set_active(true);
            let marks: Vec<bool> = sent.tone(6).iter().map(|packet| packet.marker).collect();
            assert_eq!(marks, [true, false, false]);
            sent.sender.set_active(false);
            assert!(sent.tone(1).is_empty());
        }
    }

    #[test]
    fn a_muted_track_sends_silence_in_the_same_rhythm() {
        let mut sent = Sent::new(48_000, 1);
        sent.sender.set_active(true);
        let mut packets = sent.tone(20);
        // 10 000 of 32 768 effective over the root of two.
        assert!(
            packets
                .iter()
                .skip(1)
                .all(|p| p.audio_level_dbov == -13 && p.voice)
        );
        sent.track.set_enabled(false);
        let muted = sent.tone(20);
        assert!(muted.iter().all(|p| p.audio_level_dbov == -127 && !p.voice));
        packets.extend(muted);
        sent.track.set_enabled(true);
        packets.extend(sent.tone(20));

        let timestamps = timestamps(&packets);
        assert_eq!(timestamps.len(), 30);
        assert!(
            timestamps
                .windows(2)
                .all(|p| p[1].wrapping_sub(p[0]) == 960)
        );

        let mut decoder = opus::Decoder::new(1);
        let mut pcm = Vec::new();
        for packet in &packets {
            decoder.decode(&packet.payload, &mut pcm).unwrap();
        }
        let peak = |packets: std::ops::Range<usize>| {
            let samples = &pcm[packets.start * 960..packets.end * 960];
            samples.iter().map(|s| s.unsigned_abs()).max().unwrap()
        };
        assert!(peak(5..10) > 8_000);
        assert!(peak(13..20) < 50, "{}", peak(13..20));
        assert!(peak(23..30) > 8_000);
        assert!(peak(0..30) < 12_000, "no click: {}", peak(0..30));
        assert_eq!(packets[17].payload, opus::SILENCE);
    }

    #[test]
    fn statistics_are_of_what_was_encoded() {
        let mut sent = Sent::new(16_000, 1);
        sent.sender.set_active(true);
        sent.tone(100);
        let stats = sent.sender.stats().audio_source();
        assert_eq!(stats.total_samples_captured, 16_000);
        assert!((stats.total_samples_duration - 1.0).abs() < 0.021);
        assert!(
            (stats.audio_level - 0.2158).abs() < 0.01,
            "{}",
            stats.audio_level
        );
        assert!((stats.total_audio_energy - 0.0466).abs() < 0.005);
    }

    #[test]
    fn a_device_track_has_no_sender() {
        let track = RtcAudioTrack::local("device", None);
        assert!(Sender::new(&track, Box::new(|_| ())).is_none());
    }

    #[test]
    fn a_lower_bitrate_makes_smaller_packets() {
        let mut sent = Sent::new(48_000, 1);
        sent.sender.set_active(true);
        let bytes = |packets: Vec<EncodedPacket>| -> usize {
            packets.iter().map(|packet| packet.payload.len()).sum()
        };
        let default = bytes(sent.tone(200));
        sent.sender.set_max_bitrate(Some(10_000));
        let low = bytes(sent.tone(200));
        assert!(low * 2 < default, "{low} of {default} bytes");
        sent.sender.set_max_bitrate(None);
        assert!(bytes(sent.tone(200)) > low * 2);
    }
}
