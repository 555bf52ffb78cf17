//! What 10 ms of audio cost: `cargo bench -p libwebrtc --bench audio`.
//!
//! Measured is the time that the thread was on a processor (Linux), the best of several rounds:
//! a machine that does something else besides makes the figures only larger.

#![expect(clippy::print_stdout, reason = "this is the program's output")]

use std::{fs, time::Duration};

use libwebrtc::measure;

const ROUNDS: u32 = 5;
/// Long against the granularity of what the kernel tells.
const ROUND: Duration = Duration::from_millis(300);
const FRAMES_AT_ONCE: u32 = 100;
const FRAME: Duration = Duration::from_millis(10);

/// The time that this thread has been running.
fn running() -> Duration {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").expect("this is Linux");
    let nanoseconds = schedstat.split(' ').next().and_then(|n| n.parse().ok());
    Duration::from_nanos(nanoseconds.expect("the first number is the time on the processor"))
}

fn main() {
    println!("| work for 10 ms of audio | µs | share of a core | times realtime |");
    println!("| --- | --- | --- | --- |");
    for mut workload in measure::workloads() {
        let best = (0..ROUNDS)
            .map(|_| {
                let start = running();
                let mut frames = 0;
                loop {
                    for _ in 0..FRAMES_AT_ONCE {
                        (workload.run)();
                    }
                    frames += FRAMES_AT_ONCE;
                    let spent = running() - start;
                    if spent >= ROUND {
                        break spent / frames;
                    }
                }
            })
            .min()
            .unwrap_or_default();
        let share = best.as_secs_f64() / FRAME.as_secs_f64();
        println!(
            "| {} | {:.1} | {:.2} % | {:.0} |",
            workload.name,
            best.as_secs_f64() * 1e6,
            share * 100.0,
            1.0 / share
        );
    }
}
