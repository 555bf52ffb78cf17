//! How late packets are, and the playout delay that follows from it.

use std::collections::VecDeque;

use super::{Ticks, ms};

/// Statistics are kept per interval of this length.
const INTERVAL: Ticks = ms(500);

/// The fastest packet of so many intervals is the reference that lateness is measured from: long
/// enough to meet a fast packet on any network, short enough to follow a change of route.
const REFERENCE_INTERVALS: usize = 8;

/// The playout delay covers the lateness of so many intervals (20 s), but for the worst
/// twentieth of them, so one accident does not cost delay for a long time.
const LATENESS_INTERVALS: usize = 40;

/// The playout is asked every 10 ms, so a packet can wait that long although it is in time.
const MARGIN: Ticks = ms(10);

/// Two packets: with less, a lost packet cannot be recovered from the FEC of the next.
const FLOOR: Ticks = ms(40);

/// More delay than this ends a conversation; packets that are later are lost and do not count.
const CEILING: Ticks = ms(400);

#[derive(Clone, Copy)]
struct Interval {
    /// The lowest transit time.
    fastest: Ticks,
    /// The highest lateness.
    latest: Ticks,
}

/// Estimates the delay that lets (nearly) all packets arrive in time.
///
/// The transit time of a packet is its arrival time minus its timestamp; the clocks differ by an
/// unknown constant, so only differences count. The lateness of a packet is its transit time
/// minus that of the fastest one lately.
pub(super) struct DelayEstimator {
    past: VecDeque<Interval>,
    /// Since when, and what so far.
    now: Option<(Ticks, Interval)>,
    reference: Ticks,
    target: Ticks,
}

impl DelayEstimator {
    pub(super) fn new() -> Self {
        Self {
            past: VecDeque::new(),
            now: None,
            reference: 0,
            target: FLOOR,
        }
    }

    /// Takes note of a packet; `arrival` must not go back by more than reordering does.
    pub(super) fn observe(&mut self, arrival: Ticks, timestamp: Ticks) {
        let transit = arrival - timestamp;
        let (since, mut interval) = self.now.unwrap_or((
            arrival,
            Interval {
                fastest: transit,
                latest: 0,
            },
        ));
        interval.fastest = interval.fastest.min(transit);
        let recent = self.past.iter().rev().take(REFERENCE_INTERVALS);
        self.reference = recent
            .map(|past| past.fastest)
            .fold(interval.fastest, Ticks::min);
        let lateness = transit - self.reference;
        if lateness <= CEILING {
            interval.latest = interval.latest.max(lateness);
        }
        self.target = self.target_with(&interval);

        if arrival - since < INTERVAL {
            self.now = Some((since, interval));
            return;
        }
        self.now = None;
        self.past.push_back(interval);
        if self.past.len() > LATENESS_INTERVALS {
            self.past.pop_front();
        }
    }

    fn target_with(&self, now: &Interval) -> Ticks {
        let mut latest: Vec<Ticks> = self.past.iter().map(|past| past.latest).collect();
        latest.push(now.latest);
        latest.sort_unstable();
        let worst = latest[latest.len() - 1 - latest.len() / 20];
        (worst + MARGIN).clamp(FLOOR, CEILING)
    }

    /// Forgets how fast packets were, but not how late: for a stream that starts again.
    pub(super) fn rebase(&mut self) {
        self.now = None;
        for interval in &mut self.past {
            interval.fastest = Ticks::MAX;
        }
    }

    /// The lowest transit time lately.
    ///
    /// A sample with timestamp `t` that is played at `reference() + t + delay` has that delay.
    pub(super) fn reference(&self) -> Ticks {
        self.reference
    }

    /// The playout delay to aim at.
    pub(super) fn target(&self) -> Ticks {
        self.target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a packet every 20 ms, late by what `lateness` says about its number.
    fn estimate(seconds: i64, lateness: impl Fn(i64) -> Ticks) -> DelayEstimator {
        let mut estimator = DelayEstimator::new();
        for i in 0..seconds * 50 {
            estimator.observe(ms(20 * i) + lateness(i), ms(20 * i) - 1_000_000);
        }
        estimator
    }

    #[test]
    fn a_network_without_jitter_gets_the_floor() {
        let estimator = estimate(10, |_| ms(7));
        assert_eq!(estimator.target(), FLOOR);
        assert_eq!(estimator.reference(), ms(7) + 1_000_000);
    }

    #[test]
    fn the_target_covers_regular_lateness() {
        let target = estimate(30, |i| ms(i * 7_919 % 81)).target();
        assert!((ms(85)..=ms(90)).contains(&target), "{target}");
    }

    #[test]
    fn one_accident_in_twenty_seconds_is_not_paid_for() {
        assert_eq!(
            estimate(25, |i| if i == 900 { ms(300) } else { 0 }).target(),
            FLOOR
        );
        assert_eq!(
            estimate(25, |i| if i % 100 == 0 { ms(120) } else { 0 }).target(),
            ms(130)
        );
    }

    #[test]
    fn a_slower_route_is_the_new_reference_after_a_while() {
        let estimator = estimate(40, |i| if i < 500 { 0 } else { ms(200) });
        assert_eq!(estimator.reference(), ms(200) + 1_000_000);
        assert_eq!(estimator.target(), FLOOR);
    }
}
