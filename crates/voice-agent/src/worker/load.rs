//! How busy this process keeps the machine.

use std::{
    thread::available_parallelism,
    time::{Duration, Instant},
};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};

/// Measures the share of the CPUs that this process used since the last measurement.
///
/// Our own share and not the machine's: what others compute beside us says nothing about whether
/// one more call fits, and a worker that shares its machine with a build would refuse every call.
#[derive(Debug)]
pub(super) struct Load {
    cpus: f64,
    at: Instant,
    used: Duration,
}

impl Load {
    pub(super) fn new(now: Instant) -> Self {
        let cpus = available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            cpus: cpus as f64,
            at: now,
            used: cpu_time(),
        }
    }

    /// 0.0 idle to 1.0 all CPUs busy with us.
    pub(super) fn measure(&mut self, now: Instant) -> f32 {
        let used = cpu_time();
        let elapsed = now
            .saturating_duration_since(self.at)
            .max(Duration::from_millis(1));
        let share = used.saturating_sub(self.used).as_secs_f64() / elapsed.as_secs_f64();
        (self.at, self.used) = (now, used);
        (share / self.cpus).clamp(0.0, 1.0) as f32
    }
}

fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage knows its own process");
    let microseconds =
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(u64::try_from(microseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_thread_counts_as_its_share_of_the_cpus() {
        let start = Instant::now();
        let mut load = Load::new(start);
        let before = cpu_time();
        while cpu_time() - before < Duration::from_millis(200) {
            std::hint::spin_loop();
        }

        // As if one second had passed: 200 ms of work on one of the CPUs.
        let share = load.measure(start + Duration::from_secs(1));

        assert!(f64::from(share) * load.cpus >= 0.2, "{share}");
    }
}
