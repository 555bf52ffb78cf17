//! The 10 ms audio clock, the Opus sender, the receiver with its sinks.
use super::jitter::{Jitter, JitterStats, RATE};
use crate::{audio_frame::AudioFrame, audio_source::native::SourceInner};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::{atomic::{AtomicBool, AtomicU64, Ordering::Relaxed}, Arc, OnceLock, Weak}, task::{Context, Poll, Waker}, time::{Duration, Instant}};

struct Clock { sources: Mutex<Vec<Weak<SourceInner>>>, receivers: Mutex<Vec<Weak<Receiver>>> }
fn clock() -> &'static Clock {
    static C: OnceLock<Clock> = OnceLock::new();
    static T: OnceLock<()> = OnceLock::new();
    let c = C.get_or_init(|| Clock { sources: Mutex::new(vec![]), receivers: Mutex::new(vec![]) });
    T.get_or_init(|| { std::thread::Builder::new().name("webrtc-audio".into()).spawn(move || run(c)).expect("audio clock"); });
    c
}
fn live<T>(list: &Mutex<Vec<Weak<T>>>) -> Vec<Arc<T>> {
    let mut l = list.lock();
    l.retain(|w| w.strong_count() > 0);
    l.iter().filter_map(|w| w.upgrade()).collect()
}
fn run(c: &'static Clock) {
    let step = Duration::from_millis(10);
    let mut due = Instant::now() + step;
    loop {
        let now = Instant::now();
        if due > now { std::thread::sleep(due - now); } else if now - due > Duration::from_millis(200) { due = now; }
        due += step;
        for s in live(&c.sources) { s.tick(); }
        for r in live(&c.receivers) { r.tick(); }
    }
}
pub(crate) fn register_source(s: &Arc<SourceInner>) { clock().sources.lock().push(Arc::downgrade(s)); }

/// Linear-phase enough for speech; production wants a windowed-sinc one (rubato).
pub(crate) struct Resampler { from: u32, to: u32, pos: f64, last: Vec<i16> }
impl Resampler {
    pub fn new() -> Self { Self { from: 0, to: 0, pos: 0.0, last: vec![] } }
    pub fn run(&mut self, pcm: &[i16], ch: usize, from: u32, to: u32) -> Vec<i16> {
        if from == to { return pcm.to_vec(); }
        if (self.from, self.to, self.last.len()) != (from, to, ch) { *self = Self { from, to, pos: 0.0, last: vec![0; ch] }; }
        let n = pcm.len() / ch;
        let at = |i: isize, c: usize| if i < 0 { self.last[c] } else { pcm[i as usize * ch + c] } as f64;
        // exact count for 10 ms blocks
        let want = n * to as usize / from as usize;
        let step = from as f64 / to as f64;
        let mut out = Vec::with_capacity(want * ch);
        for k in 0..want {
            let p = k as f64 * step;
            let i = p.floor() as isize;
            let f = p - i as f64;
            for c in 0..ch {
                if to < from { // box filter before decimation
                    let w = (step.ceil() as isize).max(1);
                    let s: f64 = (0..w).map(|d| at((i - d).max(-1), c)).sum::<f64>() / w as f64;
                    out.push(s as i16);
                } else { out.push((at(i - 1, c) * (1.0 - f) + at(i, c) * f) as i16); }
            }
        }
        self.last.copy_from_slice(&pcm[(n - 1) * ch..]);
        let _ = self.pos;
        out
    }
}
pub(crate) fn remix(pcm: &[i16], from: usize, to: usize) -> Vec<i16> {
    match (from, to) {
        (a, b) if a == b => pcm.to_vec(),
        (2, 1) => pcm.chunks_exact(2).map(|c| ((c[0] as i32 + c[1] as i32) / 2) as i16).collect(),
        (1, n) => pcm.iter().flat_map(|s| std::iter::repeat_n(*s, n)).collect(),
        (a, b) => pcm.chunks_exact(a).flat_map(|c| (0..b).map(move |i| c[i.min(a - 1)])).collect(),
    }
}

// ---- send ----
pub(crate) struct Encoded { pub payload: Vec<u8>, pub ts: u32, pub level_dbov: i8, pub voice: bool, pub first: bool }
type Out = Box<dyn Fn(Encoded) + Send + Sync>;
struct Enc { enc: ropus::Encoder, ch: usize, pcm: Vec<i16>, rs: Resampler, ts: u32, first: bool, buf: Vec<u8>, energy: f64, dur: f64, samples: u64 }
pub(crate) struct Sender { enc: Mutex<Enc>, pub active: AtomicBool, pub muted: Box<dyn Fn() -> bool + Send + Sync>, out: Out, pub bitrate: AtomicU64 }
impl Sender {
    pub fn new(channels: u32, muted: Box<dyn Fn() -> bool + Send + Sync>, out: Out) -> Arc<Self> {
        let ch = channels.clamp(1, 2) as usize;
        let enc = ropus::Encoder::builder(RATE as u32, if ch == 2 { ropus::Channels::Stereo } else { ropus::Channels::Mono }, ropus::Application::Voip)
            .bitrate(ropus::Bitrate::Bits(32_000 * ch as u32)).complexity(5).inband_fec(ropus::InbandFec::Enabled).packet_loss_perc(5).build().expect("opus takes 48 kHz mono and stereo");
        Arc::new(Self { enc: Mutex::new(Enc { enc, ch, pcm: vec![], rs: Resampler::new(), ts: rand::random(), first: true, buf: vec![0; 1500], energy: 0.0, dur: 0.0, samples: 0 }), active: AtomicBool::new(false), muted, out, bitrate: AtomicU64::new(0) })
    }
    pub fn set_max_bitrate(&self, bps: u64) { self.bitrate.store(bps, Relaxed); let _ = self.enc.lock().enc.set_bitrate(ropus::Bitrate::Bits(bps.clamp(6_000, 510_000) as u32)); }
    pub fn source_stats(&self) -> (f64, f64, u64) { let e = self.enc.lock(); (e.energy, e.dur, e.samples) }
    pub fn push(&self, pcm: &[i16], rate: u32, channels: u32) {
        if !self.active.load(Relaxed) { return; }
        let mut ready = vec![];
        {
            let mut e = self.enc.lock();
            let e = &mut *e;
            let zero;
            let pcm = if (self.muted)() { zero = vec![0i16; pcm.len()]; &zero[..] } else { pcm };
            let mixed = remix(pcm, channels as usize, e.ch);
            let at48 = e.rs.run(&mixed, e.ch, rate, RATE as u32);
            e.pcm.extend_from_slice(&at48);
            let n = 960 * e.ch;
            while e.pcm.len() >= n {
                let frame: Vec<i16> = e.pcm.drain(..n).collect();
                let p = frame.iter().map(|s| { let f = *s as f64 / 32768.0; f * f }).sum::<f64>() / n as f64;
                e.energy += p * 0.02; e.dur += 0.02; e.samples += 960;
                let level = if p > 0.0 { (10.0 * p.log10()).clamp(-127.0, 0.0) as i8 } else { -127 };
                match e.enc.encode(&frame, &mut e.buf) {
                    Ok(len) => ready.push(Encoded { payload: e.buf[..len].to_vec(), ts: e.ts, level_dbov: level, voice: level > -60, first: std::mem::take(&mut e.first) }),
                    Err(err) => log::error!("opus encode: {err}"),
                }
                e.ts = e.ts.wrapping_add(960);
            }
        }
        for r in ready { (self.out)(r); }
    }
}

// ---- receive ----
pub(crate) struct Receiver { jb: Mutex<Option<Jitter>>, sinks: Mutex<Vec<Arc<Sink>>>, epoch: Instant, pub stats: Mutex<JitterStats> }
impl Receiver {
    pub fn new() -> Arc<Self> { Arc::new(Self { jb: Mutex::new(None), sinks: Mutex::new(vec![]), epoch: Instant::now(), stats: Default::default() }) }
    pub fn add_sink(self: &Arc<Self>, s: &Arc<Sink>) {
        let mut l = self.sinks.lock();
        if l.is_empty() { *self.jb.lock() = Some(Jitter::new(2)); let c = clock(); let mut r = c.receivers.lock(); r.retain(|w| !std::ptr::eq(w.as_ptr(), Arc::as_ptr(self))); r.push(Arc::downgrade(self)); }
        l.push(s.clone());
    }
    pub fn remove_sink(self: &Arc<Self>, s: &Arc<Sink>) {
        let mut l = self.sinks.lock();
        l.retain(|x| !Arc::ptr_eq(x, s));
        if l.is_empty() { clock().receivers.lock().retain(|w| !std::ptr::eq(w.as_ptr(), Arc::as_ptr(self))); }
    }
    pub fn packet(&self, seq: u64, ts: u32, payload: &[u8], at: Instant) {
        if let Some(j) = self.jb.lock().as_mut() { j.insert(seq, ts, payload, at, self.epoch); *self.stats.lock() = j.stats; } else { let mut s = self.stats.lock(); s.packets += 1; s.bytes += payload.len() as u64; }
    }
    pub fn reset(&self) { if let Some(j) = self.jb.lock().as_mut() { j.reset() } }
    fn tick(&self) {
        let pcm = { let mut g = self.jb.lock(); let Some(j) = g.as_mut() else { return }; let p = j.pull(); *self.stats.lock() = j.stats; p };
        // libwebrtc keeps delivering silence on an idle remote track
        let pcm = pcm.unwrap_or_else(|| vec![0; 960]);
        for s in self.sinks.lock().iter() { s.push(&pcm); }
    }
}
struct SinkState { q: VecDeque<AudioFrame<'static>>, waker: Option<Waker>, closed: bool, rs: Resampler }
pub(crate) struct Sink { rate: u32, ch: u32, cap: Option<usize>, st: Mutex<SinkState> }
impl Sink {
    pub fn new(rate: u32, ch: u32, cap: Option<usize>) -> Arc<Self> { Arc::new(Self { rate, ch, cap, st: Mutex::new(SinkState { q: VecDeque::new(), waker: None, closed: false, rs: Resampler::new() }) }) }
    fn push(&self, stereo48: &[i16]) {
        let mut s = self.st.lock();
        if s.closed { return; }
        let mixed = remix(stereo48, 2, self.ch as usize);
        let data = s.rs.run(&mixed, self.ch as usize, RATE as u32, self.rate);
        let n = data.len() as u32 / self.ch;
        s.q.push_back(AudioFrame { data: data.into(), sample_rate: self.rate, num_channels: self.ch, samples_per_channel: n });
        if let Some(c) = self.cap { while s.q.len() > c { s.q.pop_front(); } }
        if let Some(w) = s.waker.take() { w.wake(); }
    }
    pub fn close(&self) { let mut s = self.st.lock(); s.closed = true; s.q.clear(); if let Some(w) = s.waker.take() { w.wake(); } }
    pub fn poll(&self, cx: &mut Context) -> Poll<Option<AudioFrame<'static>>> {
        let mut s = self.st.lock();
        if let Some(f) = s.q.pop_front() { return Poll::Ready(Some(f)); }
        if s.closed { return Poll::Ready(None); }
        s.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
