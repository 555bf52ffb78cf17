//! Milliseconds for each utterance and the share of real time, on one core.
//!
//! `cargo bench -p speech`
//!
//! "CPU" is the time that this process used; on a machine that does nothing else it equals the time that
//! passed.

#![allow(clippy::print_stdout, reason = "the table is the program's output")]

#[allow(
    unreachable_pub,
    dead_code,
    reason = "the bench uses its part of the world"
)]
#[path = "../tests/world/mod.rs"]
mod world;

use std::time::{Duration, Instant};

use speech::{Endpointer, NoiseSuppressor, Pass};
use world::{PIPER, Voice, WHISPER, floats, telephone};

const SENTENCES: [&str; 3] = [
    "Transfer me to a live agent.",
    "Please transfer me to the number that I gave you yesterday in the morning.",
    "Plus four four, two zero, seven nine four six, zero nine five eight.",
];

fn main() {
    let load = Instant::now();
    std::sync::LazyLock::force(&WHISPER);
    let whisper = load.elapsed();
    std::sync::LazyLock::force(&PIPER);
    let piper = load.elapsed() - whisper;
    println!(
        "load: Whisper {:.0} ms, Piper {:.0} ms",
        ms(whisper),
        ms(piper)
    );

    println!(
        "memory: {} with both models loaded, {} at most while loading",
        memory("VmRSS:"),
        memory("VmHWM:")
    );

    println!(
        "\n| Piper | audio s | ms | CPU ms | CPU of real time |\n| --- | --- | --- | --- | --- |"
    );
    for sentence in ["Sure.", SENTENCES[0], SENTENCES[1]] {
        let mut audio = Duration::ZERO;
        let took = best_of(5, || audio = Voice::Joe.say(sentence).duration());
        row(sentence, audio, took);
    }

    println!(
        "\n| Whisper | audio s | ms | CPU ms | CPU of real time |\n| --- | --- | --- | --- | --- |"
    );
    for sentence in SENTENCES {
        let pcm = telephone(&Voice::Joe.say(sentence));
        let samples = floats(&pcm);
        for pass in [Pass::First, Pass::Second] {
            let took = best_of(5, || {
                WHISPER.transcribe(&samples, pass).expect("it transcribes");
            });
            row(&format!("{pass:?}: {sentence}"), pcm.duration(), took);
        }
    }

    let samples = floats(&telephone(&Voice::Joe.say(SENTENCES[0])));
    let run = || {
        WHISPER
            .transcribe(&samples, Pass::First)
            .expect("it transcribes");
    };
    let alone = best_of(5, run);
    let together = best_of(5, || {
        std::thread::scope(|scope| {
            scope.spawn(run);
            scope.spawn(run);
        });
    });
    println!(
        "\ntwo at once: {:.0} ms, alone {:.0} ms",
        ms(together.wall),
        ms(alone.wall)
    );

    let minute = vec![0i16; 16_000 * 60];
    let took = best_of(3, || {
        let mut endpointer = Endpointer::default();
        for frame in minute.chunks(160) {
            endpointer.push(frame);
        }
    });
    println!("memory: {} at most", memory("VmHWM:"));
    println!(
        "endpointing: {:.5} of real time",
        took.cpu.as_secs_f64() / 60.0
    );

    let mut seed = 1u32;
    let noise: Vec<i16> = minute
        .iter()
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as i16 / 32
        })
        .collect();
    let took = best_of(3, || {
        let mut suppressor = NoiseSuppressor::default();
        for frame in noise.chunks(160) {
            suppressor.push(frame);
        }
    });
    println!(
        "noise suppression: {:.5} of real time, {:.0} times faster",
        took.cpu.as_secs_f64() / 60.0,
        60.0 / took.cpu.as_secs_f64()
    );
}

/// Time that passed, and time that the process computed.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    cpu: Duration,
}

fn row(what: &str, audio: Duration, cost: Cost) {
    println!(
        "| {what} | {:.2} | {:.0} | {:.0} | {:.3} |",
        audio.as_secs_f64(),
        ms(cost.wall),
        ms(cost.cpu),
        cost.cpu.as_secs_f64() / audio.as_secs_f64()
    );
}

fn best_of(times: usize, mut run: impl FnMut()) -> Cost {
    run();
    let costs: Vec<_> = (0..times)
        .map(|_| {
            let (start, cpu) = (Instant::now(), cpu_time());
            run();
            (start.elapsed(), cpu_time().saturating_sub(cpu))
        })
        .collect();
    Cost {
        wall: costs.iter().map(|cost| cost.0).min().expect("a run"),
        cpu: costs.iter().map(|cost| cost.1).min().expect("a run"),
    }
}

/// Of all threads, by `/proc/self/schedstat` of each (nanoseconds).
fn cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let nanoseconds = tasks.filter_map(|task| {
        let line = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// A line of `/proc/self/status`.
fn memory(name: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib: u64 = line
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .expect("the kernel counts memory");
    format!("{} MB", kib * 1024 / 1_000_000)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
