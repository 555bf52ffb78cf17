//! The built dialer, as far as it needs no server.

use std::process::{Command, Output};

use expect_test::{Expect, expect};

/// Runs the dialer with these variables only, in an empty directory.
fn dialer(variables: &[(&str, &str)], args: &[&str]) -> Output {
    let directory = tempfile::tempdir().expect("a temporary directory");
    Command::new(env!("CARGO_BIN_EXE_dialer"))
        .args(args)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(directory.path())
        .output()
        .expect("the built binary starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn check_failure(variables: &[(&str, &str)], args: &[&str], exit_code: i32, expected: Expect) {
    let output = dialer(variables, args);
    expected.assert_eq(&stderr(&output));
    assert_eq!(stdout(&output), "");
    assert_eq!(output.status.code(), Some(exit_code));
}

#[test]
fn help_documents_flags_and_exit_codes() {
    let output = dialer(&[], &["--help"]);
    expect![[r#"
        Has the voice agent call somebody

        Usage: dialer [OPTIONS] --to <NUMBER>
               dialer <COMMAND>

        Commands:
          doctor  Check everything that a call needs: runs `trunk-setup doctor`, with its options and exit code

        Options:
              --to <NUMBER>               Phone number to call, such as +919876543210
              --from <NUMBER>             Caller number to show, if the carrier allows it [default: the trunk's own]
              --transfer-to <NUMBER>      Whom "Transfer me." leads to [default: DEFAULT_TRANSFER_NUMBER of the agent]
              --header <KEY=VALUE>        SIP header for the INVITE; repeatable. Vobiz passes on names that start with X-VH-
              --agent <KEY=VALUE>         Name, greeting, instructions or voice of the agent in this call, such as name=Max; repeatable
              --worker-timeout <SECONDS>  Seconds to wait for a worker to take the call [default: 10]
              --wait                      Show how the call goes, and exit when it is over with a code for how it ended
              --timeout <SECONDS>         Seconds to wait for the end of the call [default: as long as it takes]
              --idempotency-key <KEY>     Name of this call; with the same one again (within an hour of its end) nobody is called again
              --json                      Print one JSON object; with --wait one for each event, the outcome last
              --dry-run                   Print what would be sent, and contact nobody; needs no credentials
          -h, --help                      Print help

        Reads LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET from the environment, .env.local or .env.

        Exit codes:
          0    a worker took the call; with --wait: the callee was transferred, or talked and hung up
          2    usage or settings
          3    LiveKit cannot be reached, or does not answer
          4    LiveKit refused the request
          5    no worker took the call in time; it was withdrawn, nobody will be called
          6    a call that nobody took could not be withdrawn; a worker may still take it
          130  interrupted; the call was withdrawn, or with --wait goes on if a worker had taken it
        With --wait, and when the call of an idempotency key is over:
          10   nobody answered
          11   the callee is busy
          12   the callee declined
          13   the number is not in service
          14   the callee cannot be reached now
          15   the carrier refused the trunk's credentials, the call or its media
          16   the carrier failed, or its address cannot be resolved
          17   no SIP service is running, or it is at its limit
          18   LiveKit refused the agent's trunk, request or API key
          19   not known: whether the phone rang, or whether the transfer target answered
          20   lost: the agent, the room or the connection went before the call's end was known
          21   the call goes on after --timeout
          22   cut off: the worker was shut down, or somebody ended the room
          23   a machine answered (voicemail, an announcement), and the agent hung up
          24   voicemail answered, and the agent left its message
    "#]]
    .assert_eq(&stdout(&output));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_dry_run_shows_what_would_be_sent_without_credentials() {
    let output = dialer(
        &[
            ("DEFAULT_REGION", "IN"),
            ("LIVEKIT_AGENT_NAME", "night-shift"),
        ],
        &[
            "--dry-run",
            "--to",
            "098765 43210",
            "--from",
            "+91 80000 00000",
            "--transfer-to",
            "tel:+1-212-555-0123",
            "--header",
            "X-VH-CorrelationId=abc-123",
            "--agent",
            "name=Max",
            "--agent",
            "greeting=Hello, this is {name}.",
        ],
    );
    let printed = stdout(&output);
    let room = room_of(&printed);
    expect![[r#"
        Dry run: nobody is contacted
        Number: +919876543210
        Session Room: call-919876543210-RANDOM
        Agent: night-shift
        Metadata: {"phone_number":"+919876543210","sip_headers":{"X-VH-CorrelationId":"abc-123"},"from_number":"+918000000000","transfer_to":"+12125550123","agent":{"name":"Max","greeting":"Hello, this is {name}."}}
    "#]]
    .assert_eq(&printed.replace(&room, "call-919876543210-RANDOM"));
    assert_eq!(stderr(&output), "");
    assert_eq!(output.status.code(), Some(0));
    let suffix = room.strip_prefix("call-919876543210-").unwrap();
    assert!(suffix.len() >= 12, "{room}");
}

fn room_of(printed: &str) -> String {
    let line = printed
        .lines()
        .find_map(|line| line.strip_prefix("Session Room: "));
    line.expect("a line with the room").to_owned()
}

#[test]
fn a_dry_run_in_json_is_one_object() {
    let output = dialer(&[], &["--dry-run", "--json", "--to", "+919876543210"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["metadata"]["phone_number"], "+919876543210");
    assert_eq!(report["agent_name"], "outbound-caller");
    assert!(
        report["room"]
            .as_str()
            .unwrap()
            .starts_with("call-919876543210-")
    );
    assert!(report.get("dispatch_id").is_none());
}

#[test]
fn unassigned_numbers_and_dropped_headers_are_warned_about() {
    let output = dialer(
        &[],
        &[
            "--dry-run",
            "--to",
            "+1 555 000 1234",
            "--header",
            "X-Other=1",
        ],
    );
    expect![[r#"
        warning: header X-Other does not start with X-VH-, so Vobiz will drop it
        warning: +15550001234 is in no range that is in service
    "#]]
    .assert_eq(&stderr(&output));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn missing_settings_are_named_all_at_once() {
    check_failure(
        &[("LIVEKIT_API_SECRET", "the-secret")],
        &["--to", "+919876543210"],
        2,
        expect![[r#"
            ❌ Error dispatching call: 2 settings are missing or wrong
              LIVEKIT_URL is missing
                expected: a URL such as wss://my-project.livekit.cloud or ws://127.0.0.1:7880
                needed by: dialer, trunk-setup, voice-agent
              LIVEKIT_API_KEY is missing
                expected: the key from LiveKit's console or livekit-server's configuration
                needed by: dialer, trunk-setup, voice-agent
            looked in the environment; there is no .env.local or .env in this directory (start from .env.example)
        "#]],
    );
}

#[test]
fn a_national_number_without_a_region_is_refused() {
    check_failure(
        &[],
        &["--dry-run", "--to", "098765 43210"],
        2,
        expect![[r#"
            ❌ Error dispatching call: --to is not a phone number: the country code is missing (write it as +15550001234)
            hint: write the country code, or set DEFAULT_REGION
        "#]],
    );
}

#[test]
fn emergency_numbers_are_not_dialled() {
    check_failure(
        &[("DEFAULT_REGION", "IN")],
        &["--dry-run", "--to", "112"],
        2,
        expect![[r#"
            ❌ Error dispatching call: --to is not a phone number: 5 digits with the country code are too few for a phone number
            hint: emergency numbers and short codes cannot be called
        "#]],
    );
}

#[test]
fn a_header_that_would_forge_another_is_refused() {
    let forged = "X-VH-A=1\r\nX-VH-B: 2";
    let output = dialer(
        &[],
        &["--dry-run", "--to", "+919876543210", "--header", forged],
    );
    let printed = stderr(&output);
    assert!(
        printed.contains("the value holds the control character \\r"),
        "{printed}"
    );
    assert_eq!(stdout(&output), "");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_header_of_sip_itself_is_refused() {
    check_failure(
        &[],
        &[
            "--dry-run",
            "--to",
            "+919876543210",
            "--header",
            "Call-ID=1",
        ],
        2,
        expect![[r#"
            error: invalid value 'Call-ID=1' for '--header <KEY=VALUE>': SIP itself sets this header; use a name that starts with X-VH-

            For more information, try '--help'.
        "#]],
    );
}

#[test]
fn an_agent_that_is_told_what_it_cannot_be_is_refused() {
    let to = ["--dry-run", "--to", "+919876543210"];
    check_failure(
        &[],
        &[&to[..], &["--agent", "mood=good"]].concat(),
        2,
        expect![[r#"
            error: invalid value 'mood=good' for '--agent <KEY=VALUE>': there is no such key; expected: name, greeting, instructions, voice

            For more information, try '--help'.
        "#]],
    );
    check_failure(
        &[],
        &[&to[..], &["--agent", "greeting=Hello {customer}."]].concat(),
        2,
        expect![[r#"
            error: invalid value 'greeting=Hello {customer}.' for '--agent <KEY=VALUE>': it has another placeholder than {name} in it; expected: a text of 1 to 500 characters, in which {name} stands for the name

            For more information, try '--help'.
        "#]],
    );
}

#[test]
fn without_a_number_nothing_happens() {
    check_failure(
        &[],
        &[],
        2,
        expect![[r#"
            error: the following required arguments were not provided:
              --to <NUMBER>

            Usage: dialer --to <NUMBER>

            For more information, try '--help'.
        "#]],
    );
}

#[test]
fn a_server_that_is_not_there_is_named() {
    // Port 9 of the loopback address: discard, which nothing listens to.
    check_failure(
        &[
            ("LIVEKIT_URL", "ws://127.0.0.1:9"),
            ("LIVEKIT_API_KEY", "devkey"),
            ("LIVEKIT_API_SECRET", "the-secret-of-the-development-key"),
        ],
        &["--to", "+919876543210", "--json"],
        3,
        expect![[r#"
            ❌ Error dispatching call: cannot reach LiveKit at http://127.0.0.1:9: Connection refused (os error 111)
            hint: check LIVEKIT_URL, and that the server is running
        "#]],
    );
}

/// A folder with the built program, as `cargo` puts it beside the others.
fn alone() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
    std::fs::hard_link(env!("CARGO_BIN_EXE_dialer"), dir.path().join("dialer"))
        .expect("a second name");
    dir
}

fn doctor(dir: &tempfile::TempDir, args: &[&str]) -> Output {
    Command::new(dir.path().join("dialer"))
        .arg("doctor")
        .args(args)
        .env_clear()
        .current_dir(dir.path())
        .output()
        .expect("the built binary starts")
}

#[test]
fn doctor_is_what_trunk_setup_beside_it_says() {
    let dir = alone();
    let beside = dir.path().join("trunk-setup");
    std::fs::write(&beside, "#!/bin/sh\necho \"$@\"\nexit 7\n").expect("a script");
    let runnable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&beside, runnable).expect("a script to run");

    let output = doctor(&dir, &["--test-call", "+15550001234", "--json", "--help"]);

    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "doctor --test-call +15550001234 --json --help\n"
    );
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn doctor_without_trunk_setup_says_what_to_run() {
    let dir = alone();

    let output = doctor(&dir, &["--json"]);

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("cargo run -p trunk-setup -- doctor"),
        "{said}"
    );
    assert!(said.contains("No such file or directory"), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    assert_eq!(output.status.code(), Some(2));
}
