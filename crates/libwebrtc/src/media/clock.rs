//! The 10 ms clock that all audio of the process runs on.
//!
//! One thread, asleep while there is nothing to do.
//! It is never the caller's runtime: tracks are made outside of runtimes and outlive them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock, Weak},
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

const PERIOD: Duration = Duration::from_millis(10);

/// A clock that fell behind further than this (the process was stopped) goes on from now.
const LONGEST_CATCH_UP: Duration = Duration::from_millis(200);

/// What happens every 10 ms.
pub(crate) trait Ticking: Send + Sync {
    /// `now` is the time at which the tick was due; it goes on by 10 ms each time.
    ///
    /// Returns false to be called no more.
    fn tick(&self, now: Instant) -> bool;
}

#[derive(Default)]
struct Clock {
    registered: Mutex<Vec<Weak<dyn Ticking>>>,
    wake: Condvar,
}

/// Calls `ticking` every 10 ms until it is dropped or has had enough.
pub(crate) fn register<T: Ticking + 'static>(ticking: &Arc<T>) {
    static CLOCK: OnceLock<Arc<Clock>> = OnceLock::new();
    let clock = CLOCK.get_or_init(|| {
        let clock = Arc::<Clock>::default();
        let own = clock.clone();
        thread::Builder::new()
            .name("webrtc-audio".into())
            .spawn(move || own.run())
            .expect("the process can start a thread");
        clock
    });
    let weak: Weak<dyn Ticking> = Arc::<T>::downgrade(ticking);
    clock.registered.lock().push(weak);
    clock.wake.notify_one();
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn run(&self) {
        let mut due = Instant::now();
        loop {
            let mut registered = self.registered.lock();
            if registered.is_empty() {
                self.wake.wait(&mut registered);
                due = Instant::now();
            }
            let round = std::mem::take(&mut *registered);
            drop(registered);

            let now = Instant::now();
            if due > now {
                thread::sleep(due - now);
            } else if now - due > LONGEST_CATCH_UP {
                log::warn!("audio clock was {:?} late", now - due);
                due = now;
            }
            let mut goes_on: Vec<_> = round.into_iter().filter(|t| tick(t, due)).collect();
            due += PERIOD;

            let mut registered = self.registered.lock();
            goes_on.append(&mut registered);
            *registered = goes_on;
        }
    }
}

/// One track's panic must not silence all the others.
fn tick(ticking: &Weak<dyn Ticking>, now: Instant) -> bool {
    let Some(ticking) = ticking.upgrade() else {
        return false;
    };
    catch_unwind(AssertUnwindSafe(|| ticking.tick(now))).unwrap_or_else(|_| {
        log::error!("an audio track panicked and is silent from now on");
        false
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Reporting {
        ticks: Mutex<mpsc::Sender<Instant>>,
        left: Mutex<usize>,
        panics: bool,
    }

    impl Ticking for Reporting {
        fn tick(&self, now: Instant) -> bool {
            self.ticks.lock().send(now).ok();
            assert!(!self.panics, "as the test wants it");
            let mut left = self.left.lock();
            *left -= 1;
            *left > 0
        }
    }

    fn reporting(left: usize, panics: bool) -> (Arc<Reporting>, mpsc::Receiver<Instant>) {
        let (ticks, seen) = mpsc::channel();
        let reporting = Arc::new(Reporting {
            ticks: Mutex::new(ticks),
            left: Mutex::new(left),
            panics,
        });
        register(&reporting);
        (reporting, seen)
    }

    #[test]
    fn it_ticks_every_10_ms_until_one_has_had_enough() {
        let (ticking, seen) = reporting(20, false);
        let ticks: Vec<Instant> = seen.iter().take(20).collect();
        for pair in ticks.windows(2) {
            let step = pair[1] - pair[0];
            assert!(step == PERIOD || step > LONGEST_CATCH_UP, "{step:?}");
        }
        // Were it called again, it would count below zero and panic.
        let (_other, seen) = reporting(5, false);
        assert_eq!(seen.iter().take(5).count(), 5);
        assert_eq!(*ticking.left.lock(), 0);
    }

    #[test]
    fn what_was_dropped_or_panicked_is_called_no_more_and_the_others_are() {
        let (_other, others) = reporting(1_000, false);
        let (panicking, seen) = reporting(1_000, true);
        assert!(seen.recv().is_ok());
        let (dropped, gone) = reporting(1_000, false);
        drop(dropped);
        // The channel closes when the clock lets go of it.
        assert!(gone.iter().count() < 1_000);
        assert_eq!(others.iter().take(10).count(), 10);
        assert!(seen.try_recv().is_err());
        drop(panicking);
    }
}
