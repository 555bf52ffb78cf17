//! The work of 10 ms of audio, piece by piece, for `benches/audio.rs`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    RtpPacket,
    clock::Ticking as _,
    epoch,
    jitter::{FRAME, JitterBuffer},
    opus::{CLOCK_RATE, Decoder, Encoder},
    playout::Playout,
    receiver::Receiver,
    resample::Resampler,
    sender::Sender,
};
use crate::{
    audio_source::{AudioSourceOptions, native::NativeAudioSource},
    audio_track::RtcAudioTrack,
};

/// Something that processes 10 ms of audio at each call.
pub struct Workload {
    pub name: &'static str,
    pub run: Box<dyn FnMut()>,
}

/// 10 s of something voice-like, so that no cache makes the codec look cheap.
const FRAMES: usize = 1_000;

fn voice(rate: u32, frames: usize) -> Vec<i16> {
    let mut noise = 1u32;
    (0..frames * rate as usize / 100)
        .map(|i| {
            let time = i as f64 / f64::from(rate);
            let pitch = 120.0 + 20.0 * (time * 2.0).sin();
            let buzz: f64 = (1..20)
                .map(|h| (std::f64::consts::TAU * pitch * f64::from(h) * time).sin() / f64::from(h))
                .sum();
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let breath = f64::from(noise >> 16) / 65_536.0 - 0.5;
            (buzz * 5_000.0 * (0.5 + 0.5 * (time * 6.0).sin()) + breath * 400.0) as i16
        })
        .collect()
}

fn packets() -> Vec<Arc<[u8]>> {
    let mut encoder = Encoder::new(CLOCK_RATE, 1);
    voice(CLOCK_RATE, FRAMES)
        .chunks_exact(encoder.packet_len())
        .map(|pcm| encoder.encode(pcm).expect("it is 20 ms").into())
        .collect()
}

/// A packet every other tick, 10 ms on each time.
struct Arrivals {
    payloads: Vec<Arc<[u8]>>,
    tick: u64,
    now: Instant,
}

impl Arrivals {
    fn new() -> Self {
        Self {
            payloads: packets(),
            tick: 0,
            now: epoch(),
        }
    }

    fn next(&mut self) -> (Instant, Option<RtpPacket>) {
        self.now += Duration::from_millis(10);
        let i = self.tick / 2;
        let packet = self.tick.is_multiple_of(2).then(|| RtpPacket {
            ssrc: 1,
            seq: i,
            timestamp: (i as u32).wrapping_mul(2 * FRAME as u32),
            payload: self.payloads[i as usize % self.payloads.len()].clone(),
            arrival: self.now,
        });
        self.tick += 1;
        (self.now, packet)
    }
}

/// Everything that a call needs, by itself and together.
pub fn workloads() -> Vec<Workload> {
    let workload = |name, run| Workload { name, run };
    vec![
        workload("opus encode, 48 kHz mono", encode(CLOCK_RATE)),
        workload("opus encode, 16 kHz mono", encode(16_000)),
        workload("opus decode, mono", decode(1)),
        workload("opus decode, stereo", decode(2)),
        workload("resample 48 kHz to 16 kHz", resample(CLOCK_RATE, 16_000)),
        workload("resample 16 kHz to 48 kHz", resample(16_000, CLOCK_RATE)),
        workload("resample 22.05 kHz to 48 kHz", resample(22_050, CLOCK_RATE)),
        workload("jitter buffer with decoding", jitter_buffer()),
        workload("sending, 48 kHz source", send(CLOCK_RATE)),
        workload("sending, 24 kHz source", send(24_000)),
        workload("sending silence", send_pcm(CLOCK_RATE, vec![0; FRAME])),
        workload("receiving, 48 kHz stream", receive(CLOCK_RATE)),
        workload("receiving, 16 kHz stream", receive(16_000)),
    ]
}

fn encode(rate: u32) -> Box<dyn FnMut()> {
    let pcm = voice(rate, FRAMES);
    let mut encoder = Encoder::new(rate, 1);
    let len = encoder.packet_len();
    let mut tick = 0;
    Box::new(move || {
        if tick % 2 == 0 {
            let at = tick / 2 * len % pcm.len();
            encoder.encode(&pcm[at..at + len]).expect("it is 20 ms");
        }
        tick += 1;
    })
}

fn decode(channels: usize) -> Box<dyn FnMut()> {
    let mut decoder = Decoder::new(channels);
    let packets = packets();
    let mut out = Vec::new();
    let mut tick = 0;
    Box::new(move || {
        if tick % 2 == 0 {
            out.clear();
            let packet = &packets[tick / 2 % packets.len()];
            decoder.decode(packet, &mut out).expect("it was encoded");
        }
        tick += 1;
    })
}

fn resample(from: u32, to: u32) -> Box<dyn FnMut()> {
    let mut resampler = Resampler::new(from, to, 1);
    let pcm = voice(from, 1);
    let mut out = Vec::new();
    Box::new(move || {
        out.clear();
        resampler.push(&pcm, &mut out);
    })
}

fn jitter_buffer() -> Box<dyn FnMut()> {
    let mut buffer = JitterBuffer::new(1);
    let mut arrivals = Arrivals::new();
    let mut frame = [0; FRAME];
    Box::new(move || {
        let (now, packet) = arrivals.next();
        if let Some(packet) = packet {
            buffer.insert(packet);
        }
        buffer.pull(now, &mut frame);
    })
}

fn send(rate: u32) -> Box<dyn FnMut()> {
    send_pcm(rate, voice(rate, FRAMES))
}

fn send_pcm(rate: u32, pcm: Vec<i16>) -> Box<dyn FnMut()> {
    let source = NativeAudioSource::new(AudioSourceOptions::default(), rate, 1, 0);
    let track = RtcAudioTrack::local("measured", Some(source));
    let sender = Sender::new(&track, Box::new(drop)).expect("the track has a source");
    sender.set_active(true);
    let len = rate as usize / 100;
    let mut tick = 0;
    Box::new(move || {
        let at = tick * len % pcm.len();
        sender.push(&pcm[at..at + len], 1);
        tick += 1;
    })
}

fn receive(rate: u32) -> Box<dyn FnMut()> {
    let receiver = Receiver::new();
    receiver.listen_unclocked(Playout::new(CLOCK_RATE, rate, 1, Some(10)));
    let mut arrivals = Arrivals::new();
    Box::new(move || {
        let (now, packet) = arrivals.next();
        if let Some(packet) = packet {
            receiver.push(packet);
        }
        receiver.tick(now);
    })
}
