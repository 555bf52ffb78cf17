//! The receiving half of a remote audio track.

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;

use super::{
    RtpPacket,
    clock::{self, Ticking},
    jitter::{FRAME, JitterBuffer, JitterStats},
    opus::{self, CLOCK_RATE},
    playout::Playout,
};
use crate::stats::dictionaries::{InboundRtpStreamStats, ReceivedRtpStreamStats};

/// What was received, counted as W3C webrtc-stats counts it; samples are at 48 kHz.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct ReceiverStats {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Packets missing in the sequence; duplicates make it less (RFC 3550 §6.4.1).
    pub(crate) lost: i64,
    /// Interarrival jitter in seconds (RFC 3550 §6.4.1).
    pub(crate) jitter: f64,
    pub(crate) last_arrival: Option<Instant>,
    pub(crate) buffer: JitterStats,
    /// 0.0 to 1.0: the effective value of the last frame.
    pub(crate) audio_level: f64,
    /// In seconds, of full scale squared.
    pub(crate) total_audio_energy: f64,
    /// Seconds of audio played.
    pub(crate) total_samples_duration: f64,
}

impl ReceiverStats {
    pub(crate) fn received(&self) -> ReceivedRtpStreamStats {
        ReceivedRtpStreamStats {
            packets_received: self.packets,
            packets_lost: self.lost,
            jitter: self.jitter,
        }
    }

    /// All that audio has; the identifiers are left to the caller.
    pub(crate) fn inbound(&self) -> InboundRtpStreamStats {
        InboundRtpStreamStats {
            bytes_received: self.bytes,
            packets_discarded: self.buffer.discarded,
            fec_packets_received: self.buffer.fec_received,
            fec_packets_discarded: self.buffer.fec_received - self.buffer.fec_used,
            jitter_buffer_delay: self.buffer.delay,
            jitter_buffer_target_delay: self.buffer.target_delay,
            jitter_buffer_minimum_delay: self.buffer.target_delay,
            jitter_buffer_emitted_count: self.buffer.emitted,
            total_samples_received: self.buffer.samples,
            concealed_samples: self.buffer.concealed,
            silent_concealed_samples: self.buffer.silent_concealed,
            concealment_events: self.buffer.concealment_events,
            inserted_samples_for_deceleration: self.buffer.inserted,
            removed_samples_for_acceleration: self.buffer.removed,
            audio_level: self.audio_level,
            total_audio_energy: self.total_audio_energy,
            total_samples_duration: self.total_samples_duration,
            decoder_implementation: opus::IMPLEMENTATION.into(),
            ..InboundRtpStreamStats::default()
        }
    }
}

/// Buffers and decodes a remote track while somebody listens.
pub(crate) struct Receiver {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Exists while there is a playout.
    buffer: Option<JitterBuffer>,
    playouts: Vec<Arc<Playout>>,
    /// Registered at the clock.
    ticking: bool,
    sequence: Option<Sequence>,
    frame: Vec<i16>,
    stats: ReceiverStats,
    /// What earlier buffers counted.
    earlier: JitterStats,
}

/// The sequence numbers and transit times of one stream (RFC 3550 appendix A).
struct Sequence {
    ssrc: u32,
    highest: u64,
    timestamp: u32,
    arrival: Instant,
}

impl Receiver {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::default()),
        })
    }

    /// Takes a packet that arrived.
    pub(crate) fn push(&self, packet: RtpPacket) {
        let mut state = self.state.lock();
        state.count(&packet);
        if let Some(buffer) = &mut state.buffer
            && !packet.payload.is_empty()
        {
            buffer.insert(packet);
        }
    }

    /// Forgets the stream: packets of another one follow.
    pub(crate) fn reset(&self) {
        let mut state = self.state.lock();
        state.sequence = None;
        if let Some(buffer) = &mut state.buffer {
            buffer.reset();
        }
    }

    pub(crate) fn stats(&self) -> ReceiverStats {
        let state = self.state.lock();
        let mut stats = state.stats;
        stats.buffer = state.earlier;
        if let Some(buffer) = &state.buffer {
            stats.buffer += buffer.stats();
        }
        stats
    }

    /// From now on `playout` gets 10 ms of audio every 10 ms, silence when there is none.
    pub(crate) fn attach(self: &Arc<Self>, playout: Arc<Playout>) {
        self.listen_unclocked(playout);
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.ticking, true) {
            clock::register(self);
        }
    }

    /// As [`Receiver::attach`], but whoever calls it ticks.
    pub(super) fn listen_unclocked(&self, playout: Arc<Playout>) {
        let mut state = self.state.lock();
        state.playouts.push(playout);
        state.fit_channels();
    }

    pub(crate) fn detach(&self, playout: &Arc<Playout>) {
        let mut state = self.state.lock();
        state.playouts.retain(|other| !Arc::ptr_eq(other, playout));
        state.fit_channels();
    }
}

impl Ticking for Receiver {
    fn tick(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(buffer) = &mut state.buffer else {
            state.ticking = false;
            return false;
        };
        let channels = buffer.channels();
        state.frame.resize(FRAME * channels, 0);
        if buffer.pull(now, &mut state.frame) {
            let energy = mean_square(&state.frame);
            let seconds = FRAME as f64 / f64::from(CLOCK_RATE);
            state.stats.audio_level = energy.sqrt();
            state.stats.total_audio_energy += energy * seconds;
            state.stats.total_samples_duration += seconds;
        }
        for playout in &state.playouts {
            playout.push(&state.frame, channels);
        }
        true
    }
}

impl State {
    /// A stereo decoder only where somebody wants stereo, and none when nobody listens.
    fn fit_channels(&mut self) {
        let wanted = self.playouts.iter().map(|p| p.channels().min(2)).max();
        let wanted = wanted.map(|channels| channels as usize);
        if self.buffer.as_ref().map(JitterBuffer::channels) == wanted {
            return;
        }
        if let Some(buffer) = self.buffer.take() {
            self.earlier += buffer.stats();
        }
        self.buffer = wanted.map(JitterBuffer::new);
    }

    fn count(&mut self, packet: &RtpPacket) {
        self.stats.packets += 1;
        self.stats.bytes += packet.payload.len() as u64;
        self.stats.last_arrival = Some(packet.arrival);
        let Some(sequence) = self
            .sequence
            .as_mut()
            .filter(|sequence| sequence.ssrc == packet.ssrc)
        else {
            self.sequence = Some(Sequence {
                ssrc: packet.ssrc,
                highest: packet.seq,
                timestamp: packet.timestamp,
                arrival: packet.arrival,
            });
            return;
        };
        if packet.seq > sequence.highest {
            self.stats.lost += (packet.seq - sequence.highest - 1).cast_signed();
            sequence.highest = packet.seq;
        } else {
            self.stats.lost -= 1;
        }
        let seconds = |ticks: i32| f64::from(ticks) / f64::from(CLOCK_RATE);
        let sent = seconds(
            packet
                .timestamp
                .wrapping_sub(sequence.timestamp)
                .cast_signed(),
        );
        let arrived = packet.arrival.saturating_duration_since(sequence.arrival);
        let difference = (arrived.as_secs_f64() - sent).abs();
        self.stats.jitter += (difference - self.stats.jitter) / 16.0;
        sequence.timestamp = packet.timestamp;
        sequence.arrival = packet.arrival;
    }
}

/// Of full scale: 1.0 is a square wave at the limits.
pub(super) fn mean_square(pcm: &[i16]) -> f64 {
    let sum: i64 = pcm.iter().map(|s| i64::from(*s) * i64::from(*s)).sum();
    sum as f64 / pcm.len().max(1) as f64 / f64::from(1u32 << 30)
}

#[cfg(test)]
mod tests {
    use std::{
        task::{Context, Poll, Waker},
        time::Duration,
    };

    use super::{
        super::{epoch, opus::Encoder},
        *,
    };
    use crate::audio_frame::AudioFrame;

    /// Packets of a tone, numbered from zero, that arrive at `start` plus 20 ms each.
    struct Sending {
        start: Instant,
        payload: Arc<[u8]>,
    }

    impl Sending {
        fn new() -> Self {
            let tone: Vec<i16> = (0..960)
                .map(|i| ((f64::from(i) * 0.05).sin() * 10_000.0) as i16)
                .collect();
            let mut encoder = Encoder::new(48_000, 1);
            Self {
                start: epoch(),
                payload: encoder.encode(&tone).unwrap().into(),
            }
        }

        fn packet(&self, i: u32) -> RtpPacket {
            RtpPacket {
                ssrc: 1,
                seq: u64::from(i),
                timestamp: i.wrapping_mul(960),
                payload: self.payload.clone(),
                arrival: self.start + Duration::from_millis(20) * i,
            }
        }
    }

    /// Attaches without the clock; the test ticks.
    fn attach(receiver: &Receiver, channels: u32) -> Arc<Playout> {
        let playout = Playout::new(CLOCK_RATE, CLOCK_RATE, channels, None);
        receiver.listen_unclocked(playout.clone());
        playout
    }

    fn drain(playout: &Playout) -> Vec<AudioFrame<'static>> {
        let mut cx = Context::from_waker(Waker::noop());
        std::iter::from_fn(|| match playout.poll_frame(&mut cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => None,
        })
        .collect()
    }

    #[test]
    fn a_listener_gets_a_frame_each_tick_with_and_without_packets() {
        let sending = Sending::new();
        let receiver = Receiver::new();
        let playout = attach(&receiver, 1);
        for i in 0..100 {
            if i < 50 {
                receiver.push(sending.packet(i));
            }
            for half in 0..2 {
                let at = Duration::from_millis(20) * i + Duration::from_millis(10) * half;
                assert!(receiver.tick(sending.start + at));
            }
        }
        let frames = drain(&playout);
        assert_eq!(frames.len(), 200);
        let loud = |frame: &AudioFrame<'_>| frame.data.iter().any(|sample| *sample > 5_000);
        assert!(frames[10..90].iter().all(loud));
        assert!(frames[150..].iter().all(|f| f.data.iter().all(|s| *s == 0)));

        let stats = receiver.stats();
        let (received, inbound) = (stats.received(), stats.inbound());
        assert_eq!((received.packets_received, received.packets_lost), (50, 0));
        assert_eq!(inbound.bytes_received, 50 * sending.payload.len() as u64);
        assert!(inbound.total_audio_energy > 0.01);
        assert!(inbound.jitter_buffer_delay / inbound.jitter_buffer_emitted_count as f64 > 0.03);
    }

    #[test]
    fn decoding_is_stereo_only_for_who_wants_it_and_stops_with_the_last_listener() {
        let receiver = Receiver::new();
        let decoded = |receiver: &Receiver| {
            let state = receiver.state.lock();
            state.buffer.as_ref().map(JitterBuffer::channels)
        };
        let mono = attach(&receiver, 1);
        assert_eq!(decoded(&receiver), Some(1));
        let stereo = attach(&receiver, 2);
        assert_eq!(decoded(&receiver), Some(2));
        receiver.detach(&stereo);
        assert_eq!(decoded(&receiver), Some(1));
        receiver.detach(&mono);
        assert_eq!(decoded(&receiver), None);
        assert!(!receiver.tick(epoch()));
    }

    #[test]
    fn statistics_go_on_over_listeners_and_streams() {
        let sending = Sending::new();
        let receiver = Receiver::new();
        let playout = attach(&receiver, 1);
        for i in 0..20 {
            receiver.push(sending.packet(i));
            receiver.tick(sending.start + Duration::from_millis(20) * i);
        }
        let before = receiver.stats().buffer.emitted;
        assert!(before > 0);
        receiver.reset();
        receiver.detach(&playout);
        assert_eq!(receiver.stats().buffer.emitted, before);
        receiver.push(sending.packet(20));
        assert_eq!(receiver.stats().packets, 21);
    }

    #[test]
    fn loss_counts_gaps_and_takes_back_what_comes_late() {
        let sending = Sending::new();
        let receiver = Receiver::new();
        for i in [0, 1, 5, 3, 6, 6] {
            receiver.push(sending.packet(i));
        }
        assert_eq!(receiver.stats().received().packets_lost, 1);
        receiver.reset();
        receiver.push(sending.packet(1_000));
        assert_eq!(receiver.stats().received().packets_lost, 1);
    }

    #[test]
    fn jitter_is_the_mean_deviation_of_the_spacing() {
        let sending = Sending::new();
        let receiver = Receiver::new();
        for i in 0..500 {
            let mut packet = sending.packet(i);
            packet.arrival += Duration::from_millis(if i % 2 == 0 { 0 } else { 8 });
            receiver.push(packet);
        }
        let jitter = receiver.stats().received().jitter;
        assert!((0.0079..0.0081).contains(&jitter), "{jitter}");
    }
}
