//! When to leave a vendor alone.

use std::time::{Duration, Instant};

/// Failures in a row after which a vendor is left.
const LIMIT: u32 = 3;

/// For how long, at first; twice as long after each failure more.
const REST: Duration = Duration::from_secs(30);

/// For how long at most.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// What a failure says about asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// The next attempt may do better.
    None,
    /// The vendor said when to come back, or is out of quota.
    For(Duration),
    /// Nothing changes until somebody changes the settings or the account.
    UntilFixed,
}

/// Counts the failures of one vendor and says whether it is worth asking.
///
/// A vendor that fails three times in a row rests for 30 s, then gets one attempt, and rests for longer each
/// time that it fails again. Time is an argument.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    failures: u32,
    rests_until: Option<Instant>,
}

impl Breaker {
    /// Whether the vendor is worth asking.
    pub fn allows(&self, now: Instant) -> bool {
        self.rests_until.is_none_or(|until| now >= until)
    }

    /// When a vendor that rests will be worth asking again.
    pub fn rests_until(&self) -> Option<Instant> {
        self.rests_until
    }

    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Returns how long the vendor is left alone, when this failure is what decides it.
    ///
    /// Calls that failed while the vendor rests, because they had asked before, do not prolong the rest.
    pub fn failed(&mut self, now: Instant, pause: Pause) -> Option<Duration> {
        if !self.allows(now) && pause == Pause::None {
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        let rest = match pause {
            Pause::None if self.failures < LIMIT => return None,
            Pause::None => REST * 2_u32.saturating_pow(self.failures - LIMIT),
            Pause::For(pause) => pause,
            Pause::UntilFixed => LONGEST_REST,
        };
        let rest = rest.min(LONGEST_REST);
        self.rests_until = Some(now + rest);
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn three_failures_in_a_row_make_a_rest_and_each_more_a_longer_one() {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        assert_eq!(breaker.failed(now, Pause::None), None);
        assert_eq!(breaker.failed(now, Pause::None), None);
        assert!(breaker.allows(now));
        for rest in [30, 60, 120, 240, 300, 300] {
            let rest = rest * SECOND;
            assert_eq!(breaker.failed(now, Pause::None), Some(rest));
            assert!(!breaker.allows(now + rest - SECOND));
            now += rest;
            assert!(breaker.allows(now));
        }
        breaker.succeeded();
        assert_eq!(breaker.failed(now, Pause::None), None);
    }

    #[test]
    fn a_success_between_failures_starts_the_count_again() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            assert_eq!(breaker.failed(now, Pause::None), None);
            assert_eq!(breaker.failed(now, Pause::None), None);
            breaker.succeeded();
        }
    }

    #[test]
    fn a_vendor_that_says_when_to_come_back_is_left_at_once() {
        let now = Instant::now();
        for (pause, rest) in [
            (Pause::For(7 * SECOND), 7),
            (Pause::For(3_600 * SECOND), 300),
            (Pause::UntilFixed, 300),
        ] {
            let mut breaker = Breaker::default();
            assert_eq!(breaker.failed(now, pause), Some(rest * SECOND));
            assert!(!breaker.allows(now + rest * SECOND - SECOND / 2));
            assert!(breaker.allows(now + rest * SECOND));
        }
    }

    #[test]
    fn calls_that_had_asked_before_do_not_prolong_the_rest() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            breaker.failed(now, Pause::None);
        }
        let until = breaker.rests_until();
        assert_eq!(breaker.failed(now + SECOND, Pause::None), None);
        assert_eq!(breaker.rests_until(), until);
    }
}
