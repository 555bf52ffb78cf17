//! Adaptive audio jitter buffer: ordered packets in, 10 ms of 48 kHz PCM out. Opus FEC and PLC fill holes.
use ropus::DecodeMode;
use std::{collections::{BTreeMap, VecDeque}, time::Instant};

pub(crate) const RATE: usize = 48_000;
const TEN_MS: usize = RATE / 100;

#[derive(Default, Clone, Copy, Debug)]
pub(crate) struct JitterStats { pub packets: u64, pub bytes: u64, pub lost: i64, pub late: u64, pub concealed: u64, pub concealment_events: u64, pub silent_concealed: u64, pub emitted: u64, pub removed: u64, pub inserted: u64, pub fec: u64, pub jitter: f64, pub delay_sum: f64, pub energy: f64, pub level: f64 }

pub(crate) struct Jitter {
    dec: ropus::Decoder,
    ch: usize,
    pkts: BTreeMap<u64, (u32, Vec<u8>, Instant)>,
    next: Option<u64>,
    pcm: VecDeque<i16>,
    started: bool,
    frame: usize,          // samples per channel of the last decoded packet
    lost_run: u32,
    transit: Option<f64>,
    jit: f64,              // seconds, RFC 3550
    peak: f64,             // decaying peak of inter-arrival lateness, seconds
    high_ticks: u32,
    pub stats: JitterStats,
}

fn decoder(ch: usize) -> ropus::Decoder { ropus::Decoder::new(RATE as u32, if ch == 2 { ropus::Channels::Stereo } else { ropus::Channels::Mono }).expect("opus takes 48 kHz mono and stereo") }

impl Jitter {
    pub fn new(ch: usize) -> Self {
        let dec = decoder(ch);
        Self { dec, ch, pkts: BTreeMap::new(), next: None, pcm: VecDeque::new(), started: false, frame: 960, lost_run: 0, transit: None, jit: 0.0, peak: 0.0, high_ticks: 0, stats: Default::default() }
    }
    pub fn reset(&mut self) { self.pkts.clear(); self.next = None; self.started = false; self.pcm.clear(); self.transit = None; self.lost_run = 0; self.dec = decoder(self.ch); }
    pub fn insert(&mut self, seq: u64, ts: u32, payload: &[u8], at: Instant, epoch: Instant) {
        self.stats.packets += 1;
        self.stats.bytes += payload.len() as u64;
        let arrival = (at - epoch).as_secs_f64();
        let t = arrival - ts as f64 / RATE as f64;
        if let Some(p) = self.transit {
            let d = t - p;
            if d.abs() < 5.0 {
                self.jit += (d.abs() - self.jit) / 16.0;
                self.peak = self.peak.max(d.max(0.0)) * 0.998;
            }
        }
        self.transit = Some(t);
        self.stats.jitter = self.jit;
        match self.next {
            Some(n) if seq < n => { if n - seq > 1000 { self.reset(); } else { self.stats.late += 1; return; } }
            Some(n) if seq > n + 500 => self.reset(),
            _ => {}
        }
        self.pkts.insert(seq, (ts, payload.to_vec(), at));
        while self.pkts.len() > 200 { self.pkts.pop_first(); }
    }
    fn buffered(&self) -> usize { self.pcm.len() / self.ch + self.pkts.len() * self.frame }
    /// Wanted delay in samples per channel.
    fn target(&self) -> usize { let ms = (20.0 + (self.peak * 1000.0).max(self.jit * 3000.0)).clamp(40.0, 400.0); (ms * 48.0) as usize }

    fn decode_next(&mut self) {
        let mut out = vec![0i16; 5760 * self.ch];
        let Some(n) = self.next else { return };
        let (got, concealed) = if let Some((_, p, at)) = self.pkts.remove(&n) {
            self.lost_run = 0;
            self.stats.delay_sum += at.elapsed().as_secs_f64();
            (self.dec.decode(&p, &mut out, DecodeMode::Normal).unwrap_or(0), false)
        } else if let Some((_, p, _)) = self.pkts.get(&(n + 1)) {
            let size = self.frame;
            self.stats.lost += 1;
            self.stats.fec += 1;
            (self.dec.decode(p, &mut out[..size * self.ch], DecodeMode::Fec).unwrap_or(0), true)
        } else {
            if self.pkts.is_empty() { // nothing at all: expand without consuming the sequence number
                if self.lost_run == 0 { self.stats.concealment_events += 1; }
                self.lost_run += 1;
                let size = TEN_MS;
                let got = if self.lost_run > 20 { self.started = false; out[..size * self.ch].fill(0); self.stats.silent_concealed += size as u64; size } else { self.dec.decode(&[], &mut out[..size * self.ch], DecodeMode::Normal).unwrap_or(size) };
                self.stats.concealed += got as u64;
                self.pcm.extend(&out[..got * self.ch]);
                return;
            }
            self.stats.lost += 1;
            let size = self.frame;
            (self.dec.decode(&[], &mut out[..size * self.ch], DecodeMode::Normal).unwrap_or(size), true)
        };
        self.next = Some(n + 1);
        if concealed { self.stats.concealed += got as u64; if self.lost_run == 0 { self.stats.concealment_events += 1; } self.lost_run += 1; } else if got > 0 { self.frame = got; }
        self.pcm.extend(&out[..got * self.ch]);
    }

    /// 10 ms of interleaved PCM, or None while nothing has been received yet (or a long silence).
    pub fn pull(&mut self) -> Option<Vec<i16>> {
        let n = TEN_MS * self.ch;
        if !self.started {
            if self.pkts.is_empty() || self.buffered() < self.target() { return None; }
            self.started = true;
            self.lost_run = 0;
            let first = *self.pkts.keys().next().unwrap();
            if self.next.is_none_or(|x| first > x) { self.next = Some(first); }
        }
        // Too much held for half a second: drop the quieter half of one packet's worth by a cross-faded splice.
        let target = self.target();
        self.high_ticks = if self.buffered() > target + 2 * self.frame { self.high_ticks + 1 } else { 0 };
        while self.pcm.len() < n { self.decode_next(); }
        if self.high_ticks > 50 && self.pcm.len() >= n {
            self.high_ticks = 30;
            while self.pcm.len() < 2 * n { self.decode_next(); }
            let m = n;
            for i in 0..m { let w = i as f32 / m as f32; self.pcm[i] = (self.pcm[i] as f32 * (1.0 - w) + self.pcm[i + m] as f32 * w) as i16; }
            for i in m..self.pcm.len() - m { self.pcm[i] = self.pcm[i + m]; }
            let l = self.pcm.len() - m; self.pcm.truncate(l);
            self.stats.removed += (m / self.ch) as u64;
            while self.pcm.len() < n { self.decode_next(); }
        }
        let out: Vec<i16> = self.pcm.drain(..n).collect();
        self.stats.emitted += TEN_MS as u64;
        let e: f64 = out.iter().map(|s| { let f = *s as f64 / 32768.0; f * f }).sum::<f64>() / n as f64;
        self.stats.energy += e * 0.01;
        self.stats.level = e.sqrt();
        Some(out)
    }
}
