//! The jitter buffer: RTP packets in as the network delivers them, 10 ms of audio out on the clock.
//!
//! It is of NetEq's kind:
//!
//! 1. Every packet tells how late packets get; [`delay`] derives the playout delay to aim at.
//! 2. A packet that is there when its time comes is decoded.
//! 3. A hole of one packet is filled from the in-band FEC of the packet behind it, when that has it.
//! 4. Any other hole is filled by repeating the last period of the audio, ever quieter ([`splice`]).
//!    With nothing behind the hole the packet may only be late: then the timeline waits, and
//!    nothing that comes is thrown away. What comes is faded in where it fits.
//!    (Opus' own concealment was measured to be worse: see the table in `docs/libwebrtc.md`.)
//! 5. Delay above or below the aim is taken out or put in by removing or repeating single periods.
//!
//! There is no clock in here: `now` is an argument and everything follows from the calls.

mod delay;
mod splice;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use self::{
    delay::DelayEstimator,
    splice::{Expansion, FADE, SHIFTS},
};
use super::{
    RtpPacket,
    opus::{self, CLOCK_RATE},
};

/// Time and timestamps in one unit: 1/48 000 s, from an arbitrary origin.
type Ticks = i64;

const fn ms(milliseconds: i64) -> Ticks {
    milliseconds * CLOCK_RATE as i64 / 1_000
}

/// Samples per channel of a pull: 10 ms.
pub(crate) const FRAME: usize = CLOCK_RATE as usize / 100;

/// Played audio that is kept to continue it or to repeat from: 40 ms, in samples per channel.
const HISTORY: usize = 4 * FRAME;

/// Delay may be that far off the aim before it is corrected.
const TOO_LONG: Ticks = ms(15);
const TOO_SHORT: Ticks = ms(10);

/// Far off it is corrected also where the audio is not alike.
const MUCH_TOO_LONG: Ticks = ms(100);

/// Delay so far above the aim is not listened through but skipped.
const SKIP: Ticks = ms(1_000);

/// How alike the audio has to be to remove or repeat some of it.
const SIMILAR: f32 = 0.85;
const HARDLY_SIMILAR: f32 = 0.5;

/// Pulls between two corrections: at most about a tenth faster or slower.
const CORRECTION_PULLS: u32 = 8;
const FAST_CORRECTION_PULLS: u32 = 3;

/// After so long without audio the next packet is the start of something new.
const GIVE_UP: usize = CLOCK_RATE as usize / 4;

/// Ever more packets in the buffer are an attack or a bug, not jitter.
const CAPACITY: usize = 300;

/// A sequence number that is so far back is not late but from a sender that started again.
const LATEST: u64 = 1_000;

/// A timestamp that is so far from where its arrival puts it belongs to another timeline.
const DISCONTINUITY: Ticks = ms(5_000);

/// What the buffer did, counted as W3C webrtc-stats `RTCInboundRtpStreamStats` counts it.
///
/// Samples are per channel at 48 kHz.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct JitterStats {
    /// Packets that came too late, twice, or were not Opus.
    pub(crate) discarded: u64,
    /// Samples pulled since audio first came, real and concealed.
    pub(crate) samples: u64,
    pub(crate) concealed: u64,
    /// The part of `concealed` that is silence.
    pub(crate) silent_concealed: u64,
    pub(crate) concealment_events: u64,
    pub(crate) inserted: u64,
    pub(crate) removed: u64,
    /// Packets that carried in-band FEC, and those of them whose FEC was of use.
    pub(crate) fec_received: u64,
    pub(crate) fec_used: u64,
    /// Samples decoded from packets, and the sum of their times in the buffer in seconds.
    pub(crate) emitted: u64,
    pub(crate) delay: f64,
    /// As `delay`, with the delay aimed at.
    pub(crate) target_delay: f64,
}

impl std::ops::AddAssign for JitterStats {
    fn add_assign(&mut self, other: Self) {
        self.discarded += other.discarded;
        self.samples += other.samples;
        self.concealed += other.concealed;
        self.silent_concealed += other.silent_concealed;
        self.concealment_events += other.concealment_events;
        self.inserted += other.inserted;
        self.removed += other.removed;
        self.fec_received += other.fec_received;
        self.fec_used += other.fec_used;
        self.emitted += other.emitted;
        self.delay += other.delay;
        self.target_delay += other.target_delay;
    }
}

struct Packet {
    seq: u64,
    arrival: Ticks,
    /// Per channel.
    samples: usize,
    payload: Arc<[u8]>,
}

/// One stream's buffer and decoder.
pub(crate) struct JitterBuffer {
    decoder: opus::Decoder,
    delay: DelayEstimator,
    /// By unwrapped timestamp.
    packets: BTreeMap<Ticks, Packet>,
    ssrc: Option<u32>,
    origin: Option<Instant>,
    /// The last timestamp, on the wire and unwrapped.
    unwrapped: Option<(u32, Ticks)>,
    playing: bool,
    /// While playing: the timestamp after the last sample that was decoded or concealed.
    next: Ticks,
    /// The sequence number that is expected at `next`.
    next_seq: Option<u64>,
    /// Stands in for audio that has not come, so many samples per channel already.
    expansion: Option<(Expansion, usize)>,
    /// Interleaved: up to [`HISTORY`] and more that was played, then what is to be played.
    pcm: Vec<i16>,
    /// Index into `pcm` of what is to be played.
    head: usize,
    decoded: Vec<i16>,
    concealing: bool,
    pulls_since_correction: u32,
    stats: JitterStats,
}

impl JitterBuffer {
    /// `channels` is 1 or 2: how the audio is pulled, whatever the packets carry.
    pub(crate) fn new(channels: usize) -> Self {
        Self {
            decoder: opus::Decoder::new(channels),
            delay: DelayEstimator::new(),
            packets: BTreeMap::new(),
            ssrc: None,
            origin: None,
            unwrapped: None,
            playing: false,
            next: 0,
            next_seq: None,
            expansion: None,
            pcm: Vec::new(),
            head: 0,
            decoded: Vec::new(),
            concealing: false,
            pulls_since_correction: 0,
            stats: JitterStats::default(),
        }
    }

    pub(crate) fn channels(&self) -> usize {
        self.decoder.channels()
    }

    pub(crate) fn stats(&self) -> JitterStats {
        self.stats
    }

    /// Forgets the stream, but not the statistics: another one follows.
    pub(crate) fn reset(&mut self) {
        let stats = self.stats;
        *self = Self::new(self.channels());
        self.stats = stats;
    }

    /// Takes a packet that has just arrived.
    ///
    /// A packet of another SSRC than the last one resets the buffer.
    pub(crate) fn insert(&mut self, packet: RtpPacket) {
        let Some(samples) = opus::packet_samples(&packet.payload) else {
            self.stats.discarded += 1;
            return;
        };
        if self.ssrc.is_some_and(|ssrc| ssrc != packet.ssrc) || self.is_discontinuous(&packet) {
            self.reset();
        }
        self.ssrc = Some(packet.ssrc);
        let arrival = self.ticks(packet.arrival);
        let timestamp = self.unwrap(packet.timestamp);
        self.unwrapped = Some((packet.timestamp, timestamp));

        let late = if self.playing {
            timestamp < self.next
        } else {
            self.next_seq
                .is_some_and(|next| packet.seq < next && next - packet.seq < LATEST)
        };
        if !self.playing && !late && self.packets.is_empty() {
            self.delay.rebase();
        }
        self.delay.observe(arrival, timestamp);
        if late || self.packets.contains_key(&timestamp) {
            self.stats.discarded += 1;
            return;
        }
        if opus::has_fec(&packet.payload) {
            self.stats.fec_received += 1;
        }
        if self.packets.len() >= CAPACITY {
            self.packets.pop_first();
            self.stats.discarded += 1;
        }
        self.packets.insert(
            timestamp,
            Packet {
                seq: packet.seq,
                arrival,
                samples,
                payload: packet.payload,
            },
        );
    }

    /// Fills `out`, 10 ms of interleaved 48 kHz audio ([`FRAME`] samples per channel).
    ///
    /// Returns false, and silence, while there is nothing to play. `now` must not go back.
    pub(crate) fn pull(&mut self, now: Instant, out: &mut [i16]) -> bool {
        let now = self.ticks(now);
        if !self.playing && !self.start(now) {
            out.fill(0);
            return false;
        }
        self.skip(now);
        self.produce(now, FRAME);
        self.correct(now);
        self.produce(now, FRAME);

        let end = self.head + FRAME * self.channels();
        out.copy_from_slice(&self.pcm[self.head..end]);
        self.head = end;
        let history = HISTORY * self.channels();
        if self.head >= 2 * history {
            self.pcm.drain(..self.head - history);
            self.head = history;
        }
        self.stats.samples += FRAME as u64;
        true
    }

    fn ticks(&mut self, time: Instant) -> Ticks {
        let origin = *self.origin.get_or_insert(time);
        let ticks = |later: Instant, earlier: Instant| {
            let elapsed = later.saturating_duration_since(earlier);
            (elapsed.as_nanos() * u128::from(CLOCK_RATE) / 1_000_000_000) as Ticks
        };
        ticks(time, origin) - ticks(origin, time)
    }

    /// Timestamps wrap every 24.8 hours; the reading nearest to the last one is right.
    fn unwrap(&self, timestamp: u32) -> Ticks {
        self.unwrapped
            .map_or(Ticks::from(timestamp), |(wire, unwrapped)| {
                unwrapped + Ticks::from(timestamp.wrapping_sub(wire).cast_signed())
            })
    }

    fn is_discontinuous(&mut self, packet: &RtpPacket) -> bool {
        let transit = self.ticks(packet.arrival) - self.unwrap(packet.timestamp);
        self.unwrapped.is_some() && (transit - self.delay.reference()).abs() > DISCONTINUITY
    }

    /// Samples per channel that are ready to be played.
    fn buffered(&self) -> usize {
        (self.pcm.len() - self.head) / self.channels()
    }

    /// The delay that audio with this timestamp has if it is appended now.
    fn delay_at(&self, now: Ticks, timestamp: Ticks) -> Ticks {
        now + self.buffered() as Ticks - timestamp - self.delay.reference()
    }

    /// Starts to play if there is something and its time has come.
    fn start(&mut self, now: Ticks) -> bool {
        let Some((&timestamp, first)) = self.packets.first_key_value() else {
            return false;
        };
        self.pcm.clear();
        self.head = 0;
        if self.delay_at(now, timestamp) < self.delay.target() {
            return false;
        }
        self.playing = true;
        self.next = timestamp;
        self.next_seq = Some(first.seq);
        self.expansion = None;
        self.concealing = false;
        true
    }

    /// Drops what has become so old that hearing it would cost too much delay.
    fn skip(&mut self, now: Ticks) {
        let target = self.delay.target();
        if self.packets.is_empty() || self.delay_at(now, self.next) < target + SKIP {
            return;
        }
        while self.packets.len() > 1
            && let Some(oldest) = self.packets.first_entry()
        {
            let timestamp = *oldest.key();
            if self.delay_at(now, timestamp) <= target {
                break;
            }
            self.packets.pop_first();
            self.stats.discarded += 1;
        }
        self.expand();
    }

    /// Appends audio until there are `samples` per channel to play.
    fn produce(&mut self, now: Ticks, samples: usize) {
        while self.buffered() < samples {
            let Some((&timestamp, _)) = self.packets.first_key_value() else {
                self.expand();
                continue;
            };
            let hole = timestamp - self.next;
            let recoverable = self.recoverable(hole) as Ticks;
            if hole < 0 {
                self.packets.pop_first();
                self.stats.discarded += 1;
            } else if hole == 0 {
                self.decode(now);
            } else if hole == recoverable {
                self.recover();
            } else if self.expansion.as_ref().is_some_and(|(_, made)| {
                // The timeline goes on where the audio made up for it reaches, or earlier if
                // the delay is then the one aimed at.
                *made as Ticks >= hole - recoverable
                    || self.delay_at(now, timestamp - recoverable) >= self.delay.target()
            }) {
                self.next = timestamp - recoverable;
            } else {
                self.expand();
            }
        }
    }

    /// How much of the hole before the first packet its FEC can fill, in samples per channel.
    fn recoverable(&self, hole: Ticks) -> usize {
        match self.packets.first_key_value() {
            Some((_, packet))
                if packet.samples as Ticks <= hole
                    && self.next_seq.is_some_and(|next| packet.seq > next)
                    && opus::has_fec(&packet.payload) =>
            {
                packet.samples
            }
            _ => 0,
        }
    }

    /// Decodes the first packet; its time has come.
    fn decode(&mut self, now: Ticks) {
        let Some((timestamp, packet)) = self.packets.pop_first() else {
            return;
        };
        self.decoded.clear();
        let Ok(samples) = self.decoder.decode(&packet.payload, &mut self.decoded) else {
            // As good as lost: what follows it sees a hole.
            self.stats.discarded += 1;
            return;
        };
        let seconds = |delay: Ticks| delay as f64 / f64::from(CLOCK_RATE);
        let waited = now + self.buffered() as Ticks - packet.arrival;
        self.stats.emitted += samples as u64;
        self.stats.delay += seconds(waited) * samples as f64;
        self.stats.target_delay += seconds(self.delay.target()) * samples as f64;
        self.concealing = false;
        self.append_decoded();
        self.next = timestamp + samples as Ticks;
        self.next_seq = Some(packet.seq + 1);
    }

    /// Fills the hole before the first packet from its FEC.
    fn recover(&mut self) {
        self.conceal_event();
        self.decoded.clear();
        let Some((&timestamp, packet)) = self.packets.first_key_value() else {
            return;
        };
        let (samples, payload) = (packet.samples, packet.payload.clone());
        if self
            .decoder
            .recover(&payload, samples, &mut self.decoded)
            .is_ok()
        {
            self.stats.fec_used += 1;
        } else {
            self.decoded.clear();
        }
        self.stats.concealed += samples as u64;
        self.append_decoded();
        self.next = timestamp;
    }

    /// Repeats the end of the audio for another 10 ms; the timeline stays where it is.
    fn expand(&mut self) {
        self.conceal_event();
        let channels = self.channels();
        let (expansion, made) = self
            .expansion
            .get_or_insert_with(|| (Expansion::new(&self.pcm, channels), 0));
        if expansion.is_silent() {
            self.stats.silent_concealed += FRAME as u64;
        }
        expansion.extend(FRAME, &mut self.pcm);
        *made += FRAME;
        self.stats.concealed += FRAME as u64;
        if *made >= GIVE_UP {
            self.playing = false;
        }
    }

    fn append_decoded(&mut self) {
        match self.expansion.take() {
            Some((mut expansion, _)) if !self.decoded.is_empty() => {
                let extra = expansion.merge(&self.decoded, &mut self.pcm);
                self.stats.concealed += extra as u64;
            }
            expansion => {
                self.expansion = expansion;
                self.pcm.extend_from_slice(&self.decoded);
            }
        }
    }

    fn conceal_event(&mut self) {
        if !self.concealing {
            self.concealing = true;
            self.stats.concealment_events += 1;
        }
    }

    /// Brings the delay nearer to the one aimed at, by at most one period of the audio.
    fn correct(&mut self, now: Ticks) {
        self.pulls_since_correction += 1;
        if self.expansion.is_some() {
            return;
        }
        let excess = self.delay_at(now, self.next) - self.delay.target();
        let (pause, similarity) = if excess > MUCH_TOO_LONG {
            (FAST_CORRECTION_PULLS, HARDLY_SIMILAR)
        } else {
            (CORRECTION_PULLS, SIMILAR)
        };
        if self.pulls_since_correction < pause {
            return;
        }
        let corrected = if excess > TOO_LONG {
            while self.buffered() < FADE + SHIFTS.end()
                && self
                    .packets
                    .first_key_value()
                    .is_some_and(|(t, _)| *t == self.next)
            {
                self.decode(now);
            }
            let removed = splice::shorten(
                &mut self.pcm,
                self.head,
                self.decoder.channels(),
                similarity,
            );
            self.stats.removed += removed.unwrap_or(0) as u64;
            removed
        } else if excess < -TOO_SHORT {
            let inserted = splice::lengthen(
                &mut self.pcm,
                self.head,
                self.decoder.channels(),
                similarity,
            );
            self.stats.inserted += inserted.unwrap_or(0) as u64;
            inserted
        } else {
            None
        };
        if corrected.is_some() {
            self.pulls_since_correction = 0;
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod trace;
