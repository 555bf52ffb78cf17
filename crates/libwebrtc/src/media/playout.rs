//! The queue between a track and one audio stream of the application.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

use super::resample::{Resampler, remix};
use crate::audio_frame::AudioFrame;

/// Turns what a track plays into 10 ms frames of the rate and channel count that were asked for.
///
/// When the queue is full the oldest frame goes.
pub(crate) struct Playout {
    sample_rate: u32,
    channels: u32,
    /// In frames; `None` is without limit.
    capacity: Option<usize>,
    state: Mutex<State>,
}

struct State {
    resampler: Resampler,
    mixed: Vec<i16>,
    /// Resampled, not yet a whole frame.
    pending: Vec<i16>,
    frames: VecDeque<AudioFrame<'static>>,
    waker: Option<Waker>,
    closed: bool,
}

impl Playout {
    /// `track_rate` is what will be pushed, `sample_rate` what is wanted: in Hz, at least 100.
    /// `channels` is at least 1.
    pub(crate) fn new(
        track_rate: u32,
        sample_rate: u32,
        channels: u32,
        capacity: Option<usize>,
    ) -> Arc<Self> {
        Arc::new(Self {
            sample_rate,
            channels,
            capacity,
            state: Mutex::new(State {
                resampler: Resampler::new(track_rate, sample_rate, channels as usize),
                mixed: Vec::new(),
                pending: Vec::new(),
                frames: VecDeque::new(),
                waker: None,
                closed: false,
            }),
        })
    }

    pub(crate) fn channels(&self) -> u32 {
        self.channels
    }

    /// Takes interleaved audio of any length.
    pub(crate) fn push(&self, pcm: &[i16], channels: usize) {
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.closed {
            return;
        }
        state.mixed.clear();
        remix(pcm, channels, self.channels as usize, &mut state.mixed);
        state.resampler.push(&state.mixed, &mut state.pending);

        let samples_per_channel = self.sample_rate / 100;
        let frame_len = (samples_per_channel * self.channels) as usize;
        let whole = state.pending.len() / frame_len * frame_len;
        for frame in state.pending[..whole].chunks_exact(frame_len) {
            if self
                .capacity
                .is_some_and(|limit| state.frames.len() >= limit)
            {
                state.frames.pop_front();
            }
            state.frames.push_back(AudioFrame {
                data: frame.to_vec().into(),
                sample_rate: self.sample_rate,
                num_channels: self.channels,
                samples_per_channel,
            });
        }
        state.pending.drain(..whole);
        if whole > 0
            && let Some(waker) = state.waker.take()
        {
            waker.wake();
        }
    }

    /// Ends the stream: what is queued is dropped.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.frames.clear();
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<AudioFrame<'static>>> {
        let mut state = self.state.lock();
        if let Some(frame) = state.frames.pop_front() {
            return Poll::Ready(Some(frame));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(playout: &Playout) -> Vec<AudioFrame<'static>> {
        let mut cx = Context::from_waker(Waker::noop());
        std::iter::from_fn(|| match playout.poll_frame(&mut cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => None,
        })
        .collect()
    }

    #[test]
    fn frames_have_the_rate_and_channels_that_were_asked_for() {
        for (rate, channels) in [
            (48_000, 1),
            (16_000, 1),
            (44_100, 2),
            (8_000, 2),
            (24_000, 4),
        ] {
            let playout = Playout::new(48_000, rate, channels, None);
            for _ in 0..5 {
                playout.push(&[1_000; 960], 2);
            }
            let frames = drain(&playout);
            assert_eq!(frames.len(), 5);
            for frame in frames {
                assert_eq!(frame.sample_rate, rate);
                assert_eq!(frame.num_channels, channels);
                assert_eq!(frame.samples_per_channel, rate / 100);
                assert_eq!(frame.data.len(), (rate / 100 * channels) as usize);
            }
        }
    }

    #[test]
    fn a_full_queue_drops_its_oldest_frame() {
        let playout = Playout::new(48_000, 48_000, 1, Some(3));
        for value in 1..=5 {
            playout.push(&[value; 480], 1);
        }
        let first: Vec<i16> = drain(&playout).iter().map(|frame| frame.data[0]).collect();
        assert_eq!(first, [3, 4, 5]);
    }

    #[test]
    fn a_closed_queue_ends() {
        let playout = Playout::new(48_000, 48_000, 1, None);
        playout.push(&[1; 480], 1);
        playout.close();
        playout.push(&[1; 480], 1);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(playout.poll_frame(&mut cx), Poll::Ready(None)));
    }
}
