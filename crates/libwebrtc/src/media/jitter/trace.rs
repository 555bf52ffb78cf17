//! A packet trace in virtual time, and what a listener would notice of it.

use std::{
    f64::consts::{PI, TAU},
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{
    super::{
        RtpPacket, epoch,
        opus::{CLOCK_RATE, Encoder},
    },
    FRAME, JitterBuffer, JitterStats,
};

/// Both fundamentals have whole periods in 10 ms, so that the phase of every frame compares.
#[derive(Debug, Clone, Copy)]
pub(super) enum Signal {
    /// 400 Hz, nothing else: any cut is heard.
    Tone,
    /// 200 Hz with its harmonics, as a voice: Opus codes it with in-band FEC.
    Buzz,
}

/// What the network does to packets of 20 ms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trace {
    pub(super) name: &'static str,
    /// Every packet is late by 0 to this, evenly spread; they overtake each other.
    pub(super) jitter_ms: u64,
    pub(super) loss_percent: u32,
    /// Every so often nothing comes for so long, then all of it at once.
    pub(super) stall: Option<(u64, u64)>,
}

pub(super) const TRACES: [Trace; 7] = {
    const fn trace(name: &'static str, jitter_ms: u64, loss_percent: u32) -> Trace {
        Trace {
            name,
            jitter_ms,
            loss_percent,
            stall: None,
        }
    }
    [
        trace("clean", 0, 0),
        trace("jitter 30 ms", 30, 0),
        trace("jitter 80 ms", 80, 0),
        trace("loss 5 %", 5, 5),
        trace("loss 10 %", 5, 10),
        trace("jitter 30 ms, loss 5 %", 30, 5),
        Trace {
            name: "stall of 120 ms every 2 s",
            jitter_ms: 5,
            loss_percent: 0,
            stall: Some((2_000, 120)),
        },
    ]
};

/// What came out, from the second second on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// From arrival to playout, the mean over all samples.
    pub(super) delay_ms: f64,
    /// Frames whose phase is not the one of the frame before.
    pub(super) phase_jumps: usize,
    /// Frames with less than half of the amplitude.
    pub(super) weak_frames: usize,
    pub(super) stats: JitterStats,
}

impl Signal {
    fn fundamental(self) -> f64 {
        match self {
            Self::Tone => 400.0,
            Self::Buzz => 200.0,
        }
    }

    /// The lowest that its fundamental gets.
    fn amplitude(self) -> f64 {
        match self {
            Self::Tone => 8_000.0,
            Self::Buzz => 2_400.0,
        }
    }

    fn sample(self, i: usize) -> i16 {
        let phase = i as f64 * self.fundamental() * TAU / f64::from(CLOCK_RATE);
        let level = match self {
            Self::Tone => phase.sin(),
            Self::Buzz => {
                let buzz: f64 = (1..12)
                    .map(|harmonic| (phase * f64::from(harmonic)).sin() / f64::from(harmonic))
                    .sum();
                // Syllables, four a second: what never changes is noise to the encoder.
                buzz * (0.65 - 0.35 * (phase / 50.0).cos())
            }
        };
        (level * 8_000.0) as i16
    }

    /// So many 20 ms packets.
    pub(super) fn packets(self, count: usize) -> Vec<Vec<u8>> {
        let mut encoder = Encoder::new(CLOCK_RATE, 1);
        let pcm: Vec<i16> = (0..count * 2 * FRAME).map(|i| self.sample(i)).collect();
        pcm.chunks_exact(2 * FRAME)
            .map(|pcm| encoder.encode(pcm).expect("it has 20 ms").to_vec())
            .collect()
    }
}

impl Trace {
    /// When which packet arrives, in order of arrival; the same for the same seed.
    pub(super) fn arrivals(&self, packets: usize, seed: u64) -> Vec<(Duration, usize)> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut arrivals: Vec<_> = (0..packets)
            .filter_map(|i| {
                let late = random.random_range(0..=self.jitter_ms * 1_000);
                let lost = random.random_range(0..100) < self.loss_percent;
                let mut at = i as u64 * 20_000 + late;
                if let Some((every, length)) = self.stall {
                    let (every, length) = (every * 1_000, length * 1_000);
                    if at % every < length {
                        at = at / every * every + length;
                    }
                }
                (!lost).then_some((Duration::from_micros(at), i))
            })
            .collect();
        arrivals.sort();
        arrivals
    }

    /// Plays packets of `signal` through a buffer.
    pub(super) fn play(&self, signal: Signal, seconds: usize, seed: u64) -> Outcome {
        let payloads = signal.packets(seconds * 50);
        let mut arrivals = self.arrivals(payloads.len(), seed).into_iter().peekable();
        let start = epoch();
        let mut buffer = JitterBuffer::new(1);
        let mut listener = Listener::new(signal);
        let mut frame = [0; FRAME];
        for tick in 0..seconds * 100 {
            // Not in step with the packets, as in life.
            let now = Duration::from_millis(tick as u64 * 10 + 3);
            while let Some((at, i)) = arrivals.next_if(|(at, _)| *at <= now) {
                buffer.insert(RtpPacket {
                    ssrc: 1,
                    seq: 65_000 + i as u64,
                    timestamp: (u32::MAX - 100_000).wrapping_add(i as u32 * 960),
                    payload: payloads[i].as_slice().into(),
                    arrival: start + at,
                });
            }
            buffer.pull(start + now, &mut frame);
            if tick >= 100 {
                listener.hear(&frame);
            }
        }
        let stats = buffer.stats();
        Outcome {
            delay_ms: 1_000.0 * stats.delay / stats.emitted.max(1) as f64,
            phase_jumps: listener.phase_jumps,
            weak_frames: listener.weak_frames,
            stats,
        }
    }
}

/// Compares each frame with the one before.
pub(super) struct Listener {
    signal: Signal,
    phase: Option<f64>,
    phase_jumps: usize,
    weak_frames: usize,
}

impl Listener {
    /// In radians; a period that is a sample off makes 0.05.
    const JUMP: f64 = 0.3;

    pub(super) fn new(signal: Signal) -> Self {
        Self {
            signal,
            phase: None,
            phase_jumps: 0,
            weak_frames: 0,
        }
    }

    /// Returns the phase jumps and weak frames of some audio.
    pub(super) fn hear_all(mut self, pcm: &[i16]) -> (usize, usize) {
        for frame in pcm.chunks_exact(FRAME) {
            self.hear(frame);
        }
        (self.phase_jumps, self.weak_frames)
    }

    fn hear(&mut self, frame: &[i16]) {
        let (mut re, mut im) = (0.0, 0.0);
        for (i, sample) in frame.iter().enumerate() {
            let phase = i as f64 * self.signal.fundamental() * TAU / f64::from(CLOCK_RATE);
            re += f64::from(*sample) * phase.cos();
            im += f64::from(*sample) * phase.sin();
        }
        if 2.0 * re.hypot(im) / (frame.len() as f64) < self.signal.amplitude() / 2.0 {
            self.weak_frames += 1;
            self.phase = None;
            return;
        }
        let phase = im.atan2(re);
        if let Some(before) = self.phase {
            let step = (phase - before + PI).rem_euclid(TAU) - PI;
            if step.abs() > Self::JUMP {
                self.phase_jumps += 1;
            }
        }
        self.phase = Some(phase);
    }
}
