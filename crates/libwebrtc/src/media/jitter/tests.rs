use std::time::Duration;

use proptest::prelude::*;

use super::{
    super::epoch,
    trace::{Listener, Signal, TRACES},
    *,
};

/// The most that a trace of 30 s, 2 900 frames heard, may cost with either signal.
struct Limit {
    trace: &'static str,
    delay_ms: f64,
    phase_jumps: usize,
    weak_frames: usize,
    concealed_ms: u64,
}

/// Mode changes of the encoder cost the buzz two phase jumps, whatever the network does.
const CODING: usize = 2;

/// 70 and 140 packets of 20 ms are lost at 5 and 10 %.
const LIMITS: [Limit; 7] = {
    const fn limit(trace: &'static str, delay_ms: f64, concealed_ms: u64) -> Limit {
        Limit {
            trace,
            delay_ms,
            phase_jumps: CODING,
            weak_frames: 0,
            concealed_ms,
        }
    }
    [
        limit("clean", 50.0, 0),
        limit("jitter 30 ms", 50.0, 0),
        limit("jitter 80 ms", 60.0, 0),
        limit("loss 5 %", 50.0, 1_550),
        limit("loss 10 %", 55.0, 3_100),
        limit("jitter 30 ms, loss 5 %", 50.0, 1_550),
        // The first stall is longer than any repetition stays loud.
        Limit {
            weak_frames: 4,
            ..limit("stall of 120 ms every 2 s", 130.0, 100)
        },
    ]
};

/// Run it with `--nocapture` for the table.
#[test]
#[expect(clippy::print_stdout, reason = "the table for docs/libwebrtc.md")]
fn every_trace_keeps_its_limits() {
    println!("| trace | signal | delay ms | phase jumps | weak frames | concealed ms |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let mut broken = Vec::new();
    for (trace, limit) in TRACES.iter().zip(&LIMITS) {
        assert_eq!(trace.name, limit.trace);
        for signal in [Signal::Tone, Signal::Buzz] {
            let outcome = trace.play(signal, 30, 1);
            let concealed_ms = outcome.stats.concealed / 48;
            println!(
                "| {} | {signal:?} | {:.0} | {} | {} | {concealed_ms} |",
                trace.name, outcome.delay_ms, outcome.phase_jumps, outcome.weak_frames,
            );
            if outcome.delay_ms > limit.delay_ms
                || outcome.phase_jumps > limit.phase_jumps
                || outcome.weak_frames > limit.weak_frames
                || concealed_ms > limit.concealed_ms
            {
                broken.push((trace.name, outcome));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn a_tone_is_never_cut() {
    for trace in TRACES {
        assert_eq!(
            trace.play(Signal::Tone, 30, 2).phase_jumps,
            0,
            "{}",
            trace.name
        );
    }
}

#[test]
fn in_band_fec_fills_most_single_losses() {
    let trace = TRACES.iter().find(|trace| trace.name == "loss 5 %");
    let stats = trace.unwrap().play(Signal::Buzz, 30, 1).stats;
    let lost = stats.concealed / 960;
    assert!(stats.fec_used * 2 > lost, "{} of {lost}", stats.fec_used);
}

/// The other tests rest on this.
#[test]
fn the_listener_hears_a_cut_and_a_gap() {
    let trace = TRACES[0].play(Signal::Tone, 3, 1);
    assert_eq!((trace.phase_jumps, trace.weak_frames), (0, 0));
    let tone: Vec<i16> = (0..20 * FRAME)
        .map(|i| ((i as f64 * 400.0 * std::f64::consts::TAU / 48_000.0).sin() * 8_000.0) as i16)
        .collect();
    let mut cut = tone.clone();
    cut.drain(4_800..4_840);
    assert_eq!(Listener::new(Signal::Tone).hear_all(&cut), (1, 0));
    let mut gap = tone;
    gap[4_800..5_760].fill(0);
    assert_eq!(Listener::new(Signal::Tone).hear_all(&gap), (0, 2));
}

/// A stream of tone packets that the test sends as it likes.
struct Stream {
    start: Instant,
    payloads: Vec<Vec<u8>>,
    buffer: JitterBuffer,
    pulled: u64,
}

impl Stream {
    fn new() -> Self {
        Self {
            start: epoch(),
            payloads: Signal::Tone.packets(50),
            buffer: JitterBuffer::new(1),
            pulled: 0,
        }
    }

    /// Packet `i` of `ssrc` at `at_ms`, with its own timestamp.
    fn send(&mut self, ssrc: u32, i: u64, timestamp: u32, at_ms: u64) {
        self.buffer.insert(RtpPacket {
            ssrc,
            seq: i,
            timestamp,
            payload: self.payloads[i as usize % 50].as_slice().into(),
            arrival: self.start + Duration::from_millis(at_ms),
        });
    }

    /// Sends and pulls on time for so many packets; returns the silent frames.
    fn run(&mut self, ssrc: u32, first: u64, count: u64, timestamp: u32) -> usize {
        let mut silent = 0;
        for i in 0..count {
            let timestamp = timestamp.wrapping_add(i as u32 * 960);
            self.send(ssrc, first + i, timestamp, self.pulled * 10);
            silent += self.pull(2);
        }
        silent
    }

    /// Pulls so many frames; returns the silent ones.
    fn pull(&mut self, frames: usize) -> usize {
        let mut frame = [0; FRAME];
        (0..frames)
            .filter(|_| {
                self.pulled += 1;
                let now = self.start + Duration::from_millis(self.pulled * 10);
                self.buffer.pull(now, &mut frame);
                frame.iter().all(|sample| sample.unsigned_abs() < 500)
            })
            .count()
    }

    fn delay_ms(&mut self) -> i64 {
        let now = self.start + Duration::from_millis(self.pulled * 10);
        let now = self.buffer.ticks(now);
        self.buffer.delay_at(now, self.buffer.next) / 48
    }
}

#[test]
fn another_ssrc_is_heard_after_the_playout_delay() {
    let mut stream = Stream::new();
    assert!(stream.run(1, 5, 100, 4_000_000_000) <= 6);
    assert!(stream.run(2, 60_000, 100, 77) <= 8);
    assert!(stream.run(1, 1, 100, 5) <= 8);
}

#[test]
fn a_restart_under_the_same_ssrc_is_heard() {
    let mut stream = Stream::new();
    stream.run(1, 50_000, 100, 1_000_000);
    // Far away, and so near that only the silence tells.
    assert!(stream.run(1, 3, 100, 3_000_000_000) <= 8);
    assert!(stream.run(1, 103, 100, 3_000_000_000 + 40 * 960) <= 40);
}

#[test]
fn a_sender_that_pauses_its_clock_is_heard_again_without_more_delay() {
    let mut stream = Stream::new();
    stream.run(1, 0, 100, 0);
    stream.pull(1_000);
    assert!(stream.run(1, 100, 100, 96_000) <= 6);
    assert!(stream.delay_ms() < 60, "{} ms", stream.delay_ms());
}

#[test]
fn a_sender_that_pauses_but_not_its_clock_is_heard_again_without_more_delay() {
    for pause in [5, 20, 100, 3_000] {
        let mut stream = Stream::new();
        stream.run(1, 0, 100, 0);
        stream.pull(2 * pause as usize);
        assert!(stream.run(1, 100, 100, (100 + pause) * 960) <= 6);
        assert!(stream.delay_ms() < 60, "{pause}: {} ms", stream.delay_ms());
    }
}

#[test]
fn nothing_of_a_stall_is_thrown_away_and_the_delay_goes_back() {
    let mut stream = Stream::new();
    stream.run(1, 0, 100, 0);
    stream.pull(30);
    for i in 100..115 {
        stream.send(1, i, i as u32 * 960, stream.pulled * 10);
    }
    stream.run(1, 115, 500, 115 * 960);
    assert_eq!(stream.buffer.stats().discarded, 0);
    assert!(stream.delay_ms() < 60, "{} ms", stream.delay_ms());
}

#[test]
fn seconds_of_delay_are_skipped() {
    let mut stream = Stream::new();
    stream.run(1, 0, 100, 0);
    let arrival = stream.pulled * 10;
    stream.pull(20);
    for i in 100..250 {
        // They say that they were sent in no time: three seconds of audio at once.
        stream.send(1, i, i as u32 * 960, arrival);
    }
    stream.run(1, 250, 150, 250 * 960);
    assert!(stream.buffer.stats().discarded > 50);
    assert!(stream.delay_ms() < 200, "{} ms", stream.delay_ms());
}

#[test]
fn clocks_that_drift_cost_neither_audio_nor_delay() {
    for parts_per_million in [-300, 300] {
        let mut stream = Stream::new();
        let mut silent = 0;
        for i in 0..6_000 {
            let at = i as i64 * 20_000 * (1_000_000 + parts_per_million) / 1_000_000;
            let arrival = stream.start + Duration::from_micros(at.unsigned_abs());
            stream.buffer.insert(RtpPacket {
                ssrc: 1,
                seq: i,
                timestamp: i as u32 * 960,
                payload: stream.payloads[i as usize % 50].as_slice().into(),
                arrival,
            });
            silent += stream.pull(2);
        }
        let stats = stream.buffer.stats();
        assert!(silent <= 6, "{silent} silent frames");
        assert!(stats.concealed < 480 * 5, "{stats:?}");
        assert!(
            (20..70).contains(&stream.delay_ms()),
            "{} ms",
            stream.delay_ms()
        );
    }
}

#[test]
fn a_loss_is_no_excuse_for_more_delay() {
    let mut stream = Stream::new();
    stream.run(1, 0, 100, 0);
    let wanted = ms(300);
    let timestamp = 90 * 960;
    let arrival = timestamp + stream.buffer.delay.reference() + wanted;
    stream.buffer.delay.observe(arrival, timestamp);
    assert!(stream.buffer.delay.target() > wanted);
    let before = stream.buffer.stats().concealed;
    stream.run(1, 101, 10, 101 * 960);
    let concealed = stream.buffer.stats().concealed - before;
    assert!((960..2_000).contains(&concealed), "{concealed} samples");
}

#[test]
fn packets_of_a_far_future_are_not_hoarded() {
    let mut stream = Stream::new();
    for i in 0..2_000 {
        stream.send(1, i, i as u32 * 100, 0);
    }
    assert_eq!(stream.buffer.packets.len(), CAPACITY);
    assert_eq!(stream.buffer.stats().discarded, 2_000 - CAPACITY as u64);
}

#[test]
fn duplicates_and_late_packets_are_discarded() {
    let mut stream = Stream::new();
    stream.run(1, 0, 50, 0);
    let at = stream.pulled * 10;
    stream.send(1, 49, 49 * 960, at);
    stream.send(1, 10, 10 * 960, at);
    assert_eq!(stream.buffer.stats().discarded, 2);
    assert_eq!(stream.run(1, 50, 50, 50 * 960), 0);
}

#[test]
fn a_malformed_payload_is_concealed_like_a_loss() {
    let mut stream = Stream::new();
    stream.run(1, 0, 50, 0);
    for payload in [&[][..], &[0xff], &[0x00; 3], &[0xfb, 0xff, 0xff]] {
        let i = 50;
        stream.buffer.insert(RtpPacket {
            ssrc: 1,
            seq: i,
            timestamp: i as u32 * 960,
            payload: payload.into(),
            arrival: stream.start + Duration::from_millis(stream.pulled * 10),
        });
    }
    stream.pull(2);
    assert_eq!(stream.run(1, 51, 50, 51 * 960), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever comes, the buffer neither panics nor grows, and goes on when a stream comes.
    #[test]
    fn anything_may_arrive(
        packets in prop::collection::vec(
            (
                0u32..3,
                prop_oneof![0u64..200, any::<u32>().prop_map(u64::from)],
                prop_oneof![(0u32..200).prop_map(|i| i * 960), any::<u32>()],
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..60),
                    Just(vec![0xf8, 0xff, 0xfe]),
                ],
                0u64..40,
            ),
            0..200,
        ),
        channels in 1usize..=2,
    ) {
        let start = epoch();
        let mut buffer = JitterBuffer::new(channels);
        let mut frame = vec![0; FRAME * channels];
        let mut now = start;
        for (ssrc, seq, timestamp, payload, later) in packets {
            now += Duration::from_millis(later);
            buffer.insert(RtpPacket {
                ssrc,
                seq,
                timestamp,
                payload: payload.into(),
                arrival: now,
            });
            for _ in 0..later / 10 {
                buffer.pull(now, &mut frame);
            }
            prop_assert!(buffer.packets.len() <= CAPACITY);
            prop_assert!(buffer.pcm.len() < 48_000);
        }
        let tone = Signal::Tone.packets(40);
        let mut loud = false;
        for (i, payload) in tone.iter().enumerate() {
            buffer.insert(RtpPacket {
                ssrc: 9,
                seq: i as u64,
                timestamp: i as u32 * 960,
                payload: payload.as_slice().into(),
                arrival: now,
            });
            for _ in 0..2 {
                now += Duration::from_millis(10);
                buffer.pull(now, &mut frame);
            }
            loud = frame.iter().any(|sample| *sample > 5_000);
        }
        prop_assert!(loud);
    }
}
