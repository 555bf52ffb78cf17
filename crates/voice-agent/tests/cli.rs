//! What a person at the terminal sees.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::process::{Command, Output};

use expect_test::{Expect, expect};

#[test]
fn help_teaches_the_first_call() {
    check_help(
        &["--help"],
        expect![[r#"
            Calls people over a SIP trunk of LiveKit, talks with them and transfers them.

            The worker registers with LiveKit under its agent name and waits for jobs; `dialer --to +15550001234` makes one. Settings come from the environment, `.env.local` and `.env`; see `.env.example`.

            Usage: voice-agent <COMMAND>

            Commands:
              dev      Run for a developer: coloured logs, takes every job, Ctrl-C hangs up and ends
              start    Run in production: JSON logs, refuses jobs under load, SIGTERM lets calls end
              console  Talk with the agent by microphone, keyboard or audio files, without LiveKit: nobody is called
              doctor   Check everything that a call needs: runs `trunk-setup doctor`, with its options and exit code
              help     Print this message or the help of the given subcommand(s)

            Options:
              -h, --help
                      Print help (see a summary with '-h')

              -V, --version
                      Print version

            Without a telephone:
              voice-agent console          talk with the agent by microphone or keyboard

            First call:
              cargo xtask setup            get the speech models
              trunk-setup                  create or repair the outbound trunk
              voice-agent dev              start the agent
              dialer --to +15550001234     have it call somebody
        "#]],
    );
}

#[test]
fn help_of_start_tells_how_it_ends() {
    check_help(
        &["start", "--help"],
        expect![[r#"
        Run in production: JSON logs, refuses jobs under load, SIGTERM lets calls end

        The first SIGTERM or SIGINT stops taking jobs and waits for running calls; the second one, or the end of `--drain-timeout`, hangs them up.

        Usage: voice-agent start [OPTIONS]

        Options:
              --log-level <LEVEL>
                  Least important level that is logged: error, warn, info, debug or trace [env: LIVEKIT_LOG_LEVEL]

              --config <FILE>
                  How the agent behaves, in TOML; docs/behaviour.md lists the keys [env: AGENT_CONFIG]

              --url <URL>
                  Address of LiveKit, `ws://…` or `wss://…` [env: LIVEKIT_URL]

              --api-key <KEY>
                  [env: LIVEKIT_API_KEY]

              --api-secret <SECRET>
                  Other users of this machine can read it in the process list [env: LIVEKIT_API_SECRET]

              --drain-timeout <SECONDS>
                  Seconds that running calls get to end by themselves

                  [default: 3600]

          -h, --help
                  Print help (see a summary with '-h')
    "#]],
    );
}

#[test]
fn help_of_the_console_teaches_it() {
    check_help(
        &["console", "--help"],
        expect![[r#"
            Talk with the agent by microphone, keyboard or audio files, without LiveKit: nobody is called

            At a terminal with a microphone you speak as the caller; elsewhere, and with --text, you type what the caller says, and what the caller would hear is printed, with the rule that allows or refuses a transfer and the SIP messages that would be sent. No server is needed, nobody is called and no number leaves the machine; only providers whose keys are set are asked, as in a call.

            The settings are those of the worker, from the environment, `.env.local` and `.env`, without LiveKit's and the trunk's. The keyboard needs no speech models. A script on standard input works like the keyboard, and its end hangs up; a line in it that is no command ends it with exit code 2.

            Microphone and speaker are those of PulseAudio or PipeWire, and need the speech models or a provider for both; with a headset the agent does not hear itself (docs/console.md).

            Usage: voice-agent console [OPTIONS]

            Options:
                  --log-level <LEVEL>
                      Least important level that is logged to standard error [default: warnings]

                  --config <FILE>
                      How the agent behaves, in TOML; docs/behaviour.md lists the keys [env: AGENT_CONFIG]

                  --metadata <JSON>
                      Metadata of the job, such as '{"phone_number": "+15550001234"}'; with a number the agent calls you

                  --transfer <ENDING>
                      How transfers end, the first one first; all others connect. Words: connected, busy, declined, no-answer, unknown-number, carrier-fault, refused, unconfirmed, hung-up, or a SIP status

                  --json
                      Print one JSON object for each event

                  --wav <FILE>
                      What the caller says, as a WAV file; repeatable: each is said when it is the caller's turn

                  --out <FILE>
                      Where to write what the caller hears, as a WAV file

                  --text
                      Type what the caller says, also where there is a microphone

                  --sound
                      Speak by microphone and speaker, and fail where there are none; a terminal that has them does so by itself

                  --input-device <NAME>
                      Microphone to listen to, in place of the default one

                  --output-device <NAME>
                      Speaker or headset to play on, in place of the default one

                  --list-devices
                      Only name the microphones and speakers

              -h, --help
                      Print help (see a summary with '-h')

            Examples:
              voice-agent console
              printf 'transfer me\n' | DEFAULT_TRANSFER_NUMBER=+15550001234 voice-agent console
              voice-agent console --transfer busy --json < script.txt
              voice-agent console --wav hello.wav --wav yes.wav --out answer.wav
              voice-agent console --list-devices
              voice-agent console --input-device alsa_input.usb-headset --output-device alsa_output.usb-headset

            Exit codes, as those of dialer --wait:
              0    the caller was transferred or hung up, or the agent hung up
              1    standard input or output failed, or microphone and speaker
              2    usage or settings, a file that cannot be read or written, or speech models that are missing
              19   not known whether the transfer target answered
              130  interrupted
        "#]],
    );
}

#[test]
fn missing_settings_are_reported_together_and_nothing_is_started() {
    let output = voice_agent(&["start"]);

    assert_eq!(output.status.code(), Some(2));
    let report = String::from_utf8(output.stderr).unwrap();
    for variable in [
        "LIVEKIT_URL",
        "LIVEKIT_API_KEY",
        "LIVEKIT_API_SECRET",
        "OUTBOUND_TRUNK_ID",
    ] {
        assert!(
            report.contains(variable),
            "{variable} is missing from:\n{report}"
        );
    }
}

#[test]
fn options_are_settings_and_a_bad_one_is_named() {
    let output = voice_agent(&[
        "dev",
        "--url",
        "livekit.example",
        "--api-key",
        "k",
        "--api-secret",
        "s3cret",
    ]);

    assert_eq!(output.status.code(), Some(2));
    let report = String::from_utf8(output.stderr).unwrap();
    assert!(report.contains("LIVEKIT_URL"), "{report}");
    assert!(!report.contains("LIVEKIT_API_KEY"), "{report}");
    assert!(!report.contains("s3cret"), "{report}");
}

#[test]
fn every_fault_of_the_behaviour_file_is_reported_and_nothing_is_started() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("agent.toml"),
        "greetings = \"Hi.\"\n\n[timings]\nsilence = \"long\"\n",
    )
    .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_voice-agent"))
        .args(["dev", "--config", "agent.toml"])
        .args(["--url", "ws://127.0.0.1:1", "--api-key", "k"])
        .args(["--api-secret", "s"])
        .env_clear()
        .env("OUTBOUND_TRUNK_ID", "ST_abc")
        .current_dir(directory.path())
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(2));
    expect![[r#"
        agent.toml: 2 things are wrong (docs/behaviour.md lists all keys)
          line 1, `greetings`: there is no such key
            did you mean: greeting
          line 4, `timings.silence`: it is not a number
            expected: seconds from 3 to 300, such as 15
    "#]]
    .assert_eq(&String::from_utf8(output.stderr).unwrap());
}

fn check_help(args: &[&str], expect: Expect) {
    let output = voice_agent(args);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = help.lines().map(str::trim_end).collect();
    expect.assert_eq(&(lines.join("\n") + "\n"));
}

/// Runs the command where there is no environment and no `.env`.
fn voice_agent(args: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_voice-agent"))
        .args(args)
        .env_clear()
        .current_dir(directory.path())
        .output()
        .unwrap()
}

/// A folder with the built program, as `cargo` puts it beside the others.
fn alone() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
    std::fs::hard_link(
        env!("CARGO_BIN_EXE_voice-agent"),
        dir.path().join("voice-agent"),
    )
    .expect("a second name");
    dir
}

fn doctor(dir: &tempfile::TempDir, args: &[&str]) -> Output {
    Command::new(dir.path().join("voice-agent"))
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
