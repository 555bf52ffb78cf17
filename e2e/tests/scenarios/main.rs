//! Scenarios on real servers, carrier and phones, each in a world of its own.
//!
//! `cargo test -p e2e --test scenarios -- [FILTER] [--list] [--keep]`, or `cargo xtask e2e` with the same
//! arguments. `--keep` leaves the files of passed scenarios too.

mod dial;
mod fixtures;
mod inbound;
mod once;
mod runner;
mod transfer;
mod transferred;
mod trunk;
mod wait;

use runner::{Scenario, scenarios};

fn main() -> std::process::ExitCode {
    runner::run(scenarios![
        trunk::trunk_setup_repairs_a_wrong_password,
        transfer::transfer_me_goes_to_the_default_number,
        transfer::transfer_to_a_live_agent_goes_to_the_default_number,
        transfer::transfer_to_the_spoken_number_over_g722,
        transfer::transfer_to_the_spoken_number_over_g711,
        transfer::carrier_refuses_refer_603_and_the_caller_talks_on,
        transfer::target_busy_486_and_the_caller_talks_on,
        dial::callee_declines,
        dial::callee_does_not_answer,
        dial::callee_is_busy,
        dial::dialer_reports_when_no_worker_takes_the_job,
        wait::wait_shows_a_call_to_its_transfer,
        wait::wait_has_an_exit_code_for_each_outcome,
        wait::wait_hangs_up_a_call_whose_agent_is_gone_for_good,
        once::a_key_calls_once_also_after_the_end,
        once::dialers_at_once_with_one_key_call_once,
        once::a_worker_killed_while_the_phone_rings_calls_nobody_again,
        inbound::inbound_call_is_transferred,
        fixtures::phones_hear_each_other_through_the_carrier,
        fixtures::a_phone_says_what_it_is_told_and_whisper_understands_it,
    ])
}
