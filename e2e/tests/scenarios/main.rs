//! Scenarios on real servers, carrier and phones, each in a world of its own.
//!
//! `cargo test -p e2e --test scenarios -- [FILTER] [--list] [--keep]`, or `cargo xtask e2e` with the same
//! arguments. `--keep` leaves the files of passed scenarios too.

mod fixtures;
mod runner;

use runner::{Scenario, scenarios};

fn main() -> std::process::ExitCode {
    runner::run(scenarios![
        fixtures::phones_hear_each_other_through_the_carrier,
        fixtures::a_phone_says_what_it_is_told_and_whisper_understands_it,
    ])
}
