//! Scenarios on real servers, carrier and phones, each in a world of its own.
//!
//! `cargo test -p e2e --test scenarios -- [FILTER] [--list] [--keep]`, or `cargo xtask e2e` with the same
//! arguments. `--keep` leaves the files of passed scenarios too.

mod answerer;
mod callback;
mod conversation;
mod dial;
mod dial_rows;
mod doctor;
mod fixtures;
mod handover;
mod inbound;
mod once;
mod policy;
mod providers;
mod runner;
mod transfer;
mod transfer_rows;
mod transferred;
mod trunk;
mod trunk_setup;
mod turns;
mod wait;

use runner::{Scenario, scenarios};

fn main() -> std::process::ExitCode {
    runner::run(scenarios![
        // The longest first: nothing is left to wait for when the others are done.
        transfer_rows::refer_ignored_then_accepted_in_silence,
        transfer_rows::refer_refused_481_501_503_603,
        transfer_rows::refer_refused_403_405_407_408,
        transfer_rows::target_fails_500_503_603_and_rejects,
        transfer_rows::target_fails_404_480_486,
        providers::no_ears_or_voice_that_fail_leave_dead_air,
        providers::no_model_that_fails_leaves_dead_air,
        transfer_rows::target_rings_out_and_answers_late,
        transfer_rows::caller_hangs_up_while_the_target_rings,
        transfer_rows::caller_hangs_up_before_the_refer,
        transfer_rows::carrier_says_bye_before_the_final_notify,
        conversation::a_man_talks_over_g711_while_others_talk,
        conversation::a_woman_talks_over_g711_while_others_talk,
        conversation::another_man_talks_over_g722_while_others_talk,
        trunk::trunk_setup_repairs_a_wrong_password,
        transfer::transfer_me_goes_to_the_default_number,
        transfer::transfer_to_a_live_agent_goes_to_the_default_number,
        transfer::a_call_through_tls_is_transferred,
        transfer::a_refer_target_may_say_user_phone,
        transfer::transfer_to_the_spoken_number_over_g722,
        transfer::transfer_to_the_spoken_number_over_g711,
        transfer::without_confirmation_the_spoken_number_is_transferred_to_at_once,
        transfer::carrier_refuses_refer_603_and_the_caller_talks_on,
        transfer::target_busy_486_and_the_caller_talks_on,
        policy::key_0_goes_to_the_default_number,
        policy::a_department_is_reached_by_its_name,
        policy::a_number_that_is_not_allowed_is_refused,
        answerer::voicemail_gets_the_message_after_its_tone,
        answerer::a_call_screener_is_answered_and_then_the_person,
        callback::who_could_not_be_reached_is_asked_to_call_back,
        providers::a_provider_that_dies_in_mid_call_is_stood_in_for,
        providers::an_agent_that_has_lost_its_voice_transfers_without_a_sentence,
        providers::an_agent_that_never_had_a_voice_transfers_without_a_sentence,
        providers::an_agent_that_has_lost_its_ears_says_so_and_transfers,
        turns::the_agent_goes_on_after_a_noise_and_signs_of_listening,
        turns::the_agent_is_interrupted_by_a_person_and_not_by_its_echo,
        turns::who_interrupts_the_agent_is_answered_and_the_rest_is_not_said,
        handover::a_refused_refer_becomes_a_bridge,
        handover::a_caller_who_hangs_up_stops_the_bridged_target_ringing,
        handover::a_warm_transfer_is_private_until_the_target_accepts,
        handover::a_target_who_declines_gives_the_caller_back,
        handover::a_target_who_hangs_up_in_the_briefing_gives_the_caller_back,
        handover::a_caller_who_hangs_up_on_hold_frees_the_target,
        dial::callee_declines,
        dial::callee_does_not_answer,
        dial::callee_is_busy,
        dial::dialer_reports_when_no_worker_takes_the_job,
        dial_rows::dial_rows_of_the_network,
        dial_rows::dial_rows_of_the_trunk,
        wait::wait_shows_a_call_to_its_transfer,
        wait::wait_has_an_exit_code_for_each_outcome,
        wait::wait_hangs_up_a_call_whose_agent_is_gone_for_good,
        once::a_key_calls_once_also_after_the_end,
        once::a_worker_killed_while_the_phone_rings_calls_nobody_again,
        inbound::inbound_call_is_transferred,
        doctor::doctor_finds_nothing_wrong_in_a_whole_world,
        doctor::doctor_names_faults_of_settings_and_keys,
        doctor::doctor_names_faults_of_trunk_and_carrier,
        doctor::doctor_names_servers_that_are_gone,
        doctor::doctor_names_a_refused_refer,
        trunk_setup::trunk_setup_shows_a_change_before_it_is_made,
        trunk_setup::trunk_setup_run_at_the_same_time_makes_one_trunk,
        fixtures::phones_hear_each_other_through_the_carrier,
        fixtures::a_phone_says_what_it_is_told_and_whisper_understands_it,
    ])
}
