//! What runs for every 10 ms of every call asks for no memory.

use std::alloc::System;

use speech::NoiseSuppressor;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn noise_is_suppressed_without_allocating() {
    let noise: Vec<i16> = (0..16_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 20) as i16)
        .collect();
    let mut suppressor = NoiseSuppressor::default();
    suppressor.push(&noise[..160]);
    // The test harness has a thread of its own, which sometimes allocates meanwhile.
    let fewest = (0..10)
        .map(|_| {
            let region = Region::new(ALLOCATOR);
            for frame in noise.chunks(160) {
                suppressor.push(frame);
            }
            let change = region.change();
            change.allocations + change.reallocations
        })
        .min();
    assert_eq!(fewest, Some(0));
}
