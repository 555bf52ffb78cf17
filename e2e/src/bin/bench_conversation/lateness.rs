//! Whether the frames that a phone got came when they had to be played.

use std::time::{Duration, Instant};

use e2e::handset::{FRAME, Frame, RATE};

/// How far behind its schedule a frame may be: what a telephone's jitter buffer holds back.
pub(crate) const DEPTH: Duration = Duration::from_millis(60);

/// Frames that were due, and those of them that came late, were lost, or held no sound where there had to be one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Punctuality {
    pub(crate) due: usize,
    pub(crate) late: usize,
    pub(crate) lost: usize,
    pub(crate) silent: usize,
}

impl Punctuality {
    /// Of the frames of one call that came in `window`, all of which must sound.
    ///
    /// The schedule is the RTP timestamps, from the one of the frames before the window that came earliest.
    pub(crate) fn of(frames: &[Frame], window: &std::ops::Range<Instant>) -> Self {
        let Some(first) = frames.first() else {
            return Self {
                due: frames_in(window),
                lost: frames_in(window),
                ..Self::default()
            };
        };
        // When the frame would have been sent, had it been the first.
        let origin = |frame: &Frame| {
            let samples = frame.timestamp.wrapping_sub(first.timestamp);
            let offset = Duration::from_secs_f64(f64::from(samples) / f64::from(RATE));
            frame.at.checked_sub(offset)
        };
        let before = frames.iter().take_while(|frame| frame.at < window.start);
        let schedule = before.filter_map(origin).min();
        let inside: Vec<_> = frames
            .iter()
            .filter(|frame| window.contains(&frame.at))
            .collect();
        let is_late = |frame: &&&Frame| {
            schedule
                .zip(origin(frame))
                .is_some_and(|(schedule, origin)| origin > schedule + DEPTH)
        };
        let late = inside.iter().filter(is_late).count();
        let on_time = inside.iter().filter(|frame| !is_late(frame));
        let silent = on_time.filter(|frame| !frame.sounds()).count();
        let due = frames_in(window).max(inside.len());
        // At the edges of the window a frame may be on either side.
        let lost = due.saturating_sub(inside.len() + 1);
        Self {
            due,
            late,
            lost,
            silent,
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            due: self.due + other.due,
            late: self.late + other.late,
            lost: self.lost + other.lost,
            silent: self.silent + other.silent,
        }
    }

    /// The share of frames that could not be played when they had to be.
    pub(crate) fn share_missed(self) -> f64 {
        (self.late + self.lost + self.silent) as f64 / self.due.max(1) as f64
    }
}

fn frames_in(window: &std::ops::Range<Instant>) -> usize {
    ((window.end - window.start).as_millis() / FRAME.as_millis()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOUD: u16 = 1_000;

    /// A call whose frame `n` is sent at `n` times 20 ms and comes after `delay_ms(n)`; `None` is lost.
    fn call(start: Instant, delay_ms: impl Fn(u32) -> Option<u64>) -> Vec<Frame> {
        let frame = |n: u32| {
            Some(Frame {
                at: start + n * FRAME + Duration::from_millis(delay_ms(n)?),
                sequence: n as u16,
                // It wraps in the middle of the call.
                timestamp: (u32::MAX - 160 * 60).wrapping_add(160 * n),
                loudness: LOUD,
            })
        };
        (0..150).filter_map(frame).collect()
    }

    /// The second and third second.
    fn window(start: Instant) -> std::ops::Range<Instant> {
        start + Duration::from_secs(1)..start + Duration::from_secs(3)
    }

    #[test]
    fn frames_are_late_from_more_than_the_buffers_depth_on() {
        let start = Instant::now();
        let check = |delay: fn(u32) -> Option<u64>, late: usize, lost: usize| {
            let measured = Punctuality::of(&call(start, delay), &window(start));
            assert_eq!(
                (measured.due, measured.late, measured.lost),
                (100, late, lost)
            );
        };
        check(|_| Some(5), 0, 0);
        check(|n| Some(if n == 100 { 65 } else { 5 }), 0, 0);
        check(|n| Some(if n == 100 { 66 } else { 5 }), 1, 0);
        // A slow start is no excuse, and no punishment.
        check(|n| Some(if n < 20 { 200 } else { 5 }), 0, 0);
        check(|n| (!(100..111).contains(&n)).then_some(5), 0, 10);
    }

    #[test]
    fn silence_in_place_of_sound_is_missed_and_not_counted_twice() {
        let start = Instant::now();
        let mut frames = call(start, |n| Some(if n == 99 { 90 } else { 5 }));
        frames[99].loudness = 0;
        frames[100].loudness = 0;
        let measured = Punctuality::of(&frames, &window(start));
        assert_eq!((measured.late, measured.silent), (1, 1));
        assert!((measured.share_missed() - 0.02).abs() < 1e-9);
    }

    #[test]
    fn a_call_that_never_brought_a_frame_has_lost_all() {
        let start = Instant::now();
        let measured = Punctuality::of(&[], &window(start));
        assert_eq!((measured.due, measured.lost), (100, 100));
        let both = measured.plus(measured);
        assert_eq!((both.due, both.lost), (200, 200));
    }
}
