//! The built trunk-setup, as far as it needs no server.

use std::process::{Command, Output};

use expect_test::{Expect, expect};

/// Runs trunk-setup with these variables only, in a directory with this `.env`.
fn trunk_setup(env_file: &str, variables: &[(&str, &str)], args: &[&str]) -> Output {
    let directory = tempfile::tempdir().expect("a temporary directory");
    if !env_file.is_empty() {
        std::fs::write(directory.path().join(".env"), env_file).expect("a writable directory");
    }
    Command::new(env!("CARGO_BIN_EXE_trunk-setup"))
        .args(args)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(directory.path())
        .output()
        .expect("the built binary starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

fn check_failure(output: &Output, exit_code: i32, expected: Expect) {
    expected.assert_eq(text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
    assert_eq!(output.status.code(), Some(exit_code));
}

#[test]
fn help_documents_flags_and_exit_codes() {
    let output = trunk_setup("", &[], &["--help"]);
    expect![[r#"
        Copies the carrier's address, credentials and number from the settings to the LiveKit SIP trunk

        Updates the trunk OUTBOUND_TRUNK_ID. Without that, updates the trunk that has the address and the number, or else creates one.

        Usage: trunk-setup [OPTIONS]
               trunk-setup <COMMAND>

        Commands:
          doctor  Check everything that a call needs, and say what is wrong and how to repair it
          help    Print this message or the help of the given subcommand(s)

        Options:
              --list
                  Show the outbound trunks, and change nothing

              --check
                  Show what differs between settings and trunk, and change nothing

              --plan
                  Show what would change, and change nothing; `--dry-run` is the same

              --inbound
                  Set up inbound calls instead: a trunk for the number, and a rule that leads to the agent

              --allow-address <ADDRESS>
                  With --inbound: take calls from this address (IP or CIDR) only; repeatable

              --write-env
                  Write the trunk's id to the .env file

              --json
                  Print JSON

          -h, --help
                  Print help (see a summary with '-h')

        Reads LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET, VOBIZ_SIP_DOMAIN, VOBIZ_USERNAME,
        VOBIZ_PASSWORD, VOBIZ_OUTBOUND_NUMBER, OUTBOUND_TRUNK_ID, SIP_TRANSPORT, SIP_MEDIA_ENCRYPTION,
        SIP_NUMBER_FORMAT and SIP_CARRIER from the environment, .env.local or .env.

        Exit codes:
          0  done; with --check: nothing differs
          1  with --check: something differs, or the trunk does not exist yet; doctor: a check failed
          2  usage or settings
          3  LiveKit cannot be reached, or does not answer
          4  LiveKit refused the request
          5  the trunk OUTBOUND_TRUNK_ID does not exist, or several trunks or another rule fit
          6  the trunk is set up, but its id could not be written to the .env file
    "#]]
    .assert_eq(text(&output.stdout));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn all_faults_of_both_groups_come_in_one_report_without_secrets() {
    let output = trunk_setup(
        "LIVEKIT_URL=livekit.example.net\nVOBIZ_USERNAME=me\nVOBIZ_PASSWORD='the-secret'\n",
        &[("VOBIZ_OUTBOUND_NUMBER", "08000000000")],
        &[],
    );
    assert!(!text(&output.stderr).contains("the-secret"));
    check_failure(
        &output,
        2,
        expect![[r#"
            ❌ Failed to update trunk: 5 settings are missing or wrong
              LIVEKIT_URL is wrong: it is not a URL (relative URL without a base)
                expected: a URL such as wss://my-project.livekit.cloud or ws://127.0.0.1:7880
                needed by: dialer, trunk-setup, voice-agent
              LIVEKIT_API_KEY is missing
                expected: the key from LiveKit's console or livekit-server's configuration
                needed by: dialer, trunk-setup, voice-agent
              LIVEKIT_API_SECRET is missing
                expected: the secret that belongs to LIVEKIT_API_KEY
                needed by: dialer, trunk-setup, voice-agent
              VOBIZ_SIP_DOMAIN is missing
                expected: a host with an optional port, such as your-sip-domain.sip.vobiz.ai
                needed by: trunk-setup, voice-agent
              VOBIZ_OUTBOUND_NUMBER is wrong: the country code is missing (write it as +15550001234)
                expected: a phone number with country code, such as +919876543210
                needed by: trunk-setup
            looked in the environment, .env
        "#]],
    );
}

#[test]
fn a_line_that_is_not_understood_is_named_and_not_shown() {
    let output = trunk_setup("LIVEKIT_URL=ws://x\nthe-secret\n", &[], &[]);
    check_failure(
        &output,
        2,
        expect![[r#"
            ❌ Failed to update trunk: .env, line 2: expected NAME=value
        "#]],
    );
}

#[test]
fn a_list_needs_no_trunk_settings() {
    let output = trunk_setup("", &[], &["--list"]);
    check_failure(
        &output,
        2,
        expect![[r#"
            ❌ Failed to list trunks: 3 settings are missing or wrong
              LIVEKIT_URL is missing
                expected: a URL such as wss://my-project.livekit.cloud or ws://127.0.0.1:7880
                needed by: dialer, trunk-setup, voice-agent
              LIVEKIT_API_KEY is missing
                expected: the key from LiveKit's console or livekit-server's configuration
                needed by: dialer, trunk-setup, voice-agent
              LIVEKIT_API_SECRET is missing
                expected: the secret that belongs to LIVEKIT_API_KEY
                needed by: dialer, trunk-setup, voice-agent
            looked in the environment; there is no .env.local or .env in this directory (start from .env.example)
        "#]],
    );
}

#[test]
fn a_server_that_is_not_there_is_named() {
    // Port 9 of the loopback address: discard, which nothing listens to.
    let output = trunk_setup(
        "LIVEKIT_URL=ws://127.0.0.1:9\nLIVEKIT_API_KEY=devkey\nLIVEKIT_API_SECRET=the-secret\n",
        &[],
        &["--list", "--json"],
    );
    check_failure(
        &output,
        3,
        expect![[r#"
            ❌ Failed to list trunks: cannot reach LiveKit at http://127.0.0.1:9: Connection refused (os error 111)
            hint: check LIVEKIT_URL, and that the server is running
        "#]],
    );
}

#[test]
fn modes_exclude_each_other() {
    let output = trunk_setup("", &[], &["--list", "--check"]);
    check_failure(
        &output,
        2,
        expect![[r#"
            error: the argument '--list' cannot be used with '--check'

            Usage: trunk-setup --list

            For more information, try '--help'.
        "#]],
    );
}
