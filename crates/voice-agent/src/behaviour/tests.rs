use super::*;

const DOCUMENTATION: &str = include_str!("../../../../docs/behaviour.md");

fn faults(text: &str) -> String {
    let faults = Behaviour::parse(text).unwrap_err();
    faults
        .iter()
        .map(|fault| format!("{fault}\n"))
        .collect::<String>()
}

#[test]
fn the_file_of_the_documentation_is_followed_and_names_every_key() {
    let (_, example) = DOCUMENTATION.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();

    let behaviour = Behaviour::parse(example).unwrap();

    assert_eq!(
        behaviour.greeting(),
        "Hello, this is Max of Example Travel. How can I help?"
    );
    for key in [KEYS, TIMINGS_KEYS, TOOLS_KEYS, VOICEMAIL_KEYS].concat() {
        assert!(example.contains(key), "{key}");
    }
}

#[test]
fn an_empty_file_is_the_friendly_receptionist() {
    let behaviour = Behaviour::parse("").unwrap();
    assert_eq!(behaviour, Behaviour::default());
    assert_eq!(
        behaviour.greeting(),
        "Hello, this is Ada. I can transfer your call. How can I help?"
    );
}

#[test]
fn the_name_stands_in_all_texts() {
    let behaviour = Behaviour::parse(
        "name = \"Max\"\ngreeting = \"{name} here.\"\ninstructions = \"You are {name}. {x}\"",
    )
    .unwrap();
    assert_eq!(behaviour.greeting(), "Max here.");
    assert_eq!(behaviour.instructions(), "You are Max. {x}");
}

#[test]
fn the_filler_can_be_another_one_later_or_none() {
    for (text, filler, wait) in [
        ("", Some("One moment, please."), Some(FILLER_WAIT)),
        (
            "filler = \" Let me see. \"",
            Some("Let me see."),
            Some(FILLER_WAIT),
        ),
        (
            "[timings]\nfiller = 1.5",
            Some("One moment, please."),
            Some(Duration::from_millis(1500)),
        ),
        ("filler = \" \"\n[timings]\nfiller = 1.5", None, None),
    ] {
        let behaviour = Behaviour::parse(text).unwrap();
        assert_eq!(behaviour.filler(), filler, "{text}");
        assert_eq!(behaviour.filler_wait(), wait, "{text}");
    }
}

#[test]
fn who_speaks_first_is_a_switch_or_a_time() {
    for (value, wait) in [
        ("true", AT_ONCE),
        ("false", SILENCE),
        ("0", Duration::ZERO),
        ("1.5", Duration::from_millis(1500)),
    ] {
        let behaviour = Behaviour::parse(&format!("speak_first = {value}")).unwrap();
        assert_eq!(behaviour.hello_wait(), wait, "{value}");
    }
}

#[test]
fn every_fault_is_reported_with_its_line_in_the_order_of_the_file() {
    let report = faults(
        "nam = \"Max\"\ngreeting = \"Hello {user}.\"\ninstructions = 7\nspeak_first = 31\n\
         colour = \"x\"\ntools = 1\n[timings]\nsilence = nan\nkeypause = 3\n\
         silences_before_hanging_up = 2.5\nkey_pause = 0x04\n",
    );
    for fault in [
        "line 1, `nam`: there is no such key\n    did you mean: name\n",
        "line 2, `greeting`: it has another placeholder than {name} in it\n",
        "line 3, `instructions`: it is not a text in quotes\n",
        "line 4, `speak_first`: it is out of range\n    expected: true, false,",
        "line 5, `colour`: there is no such key\n    expected: name, greeting,",
        "line 6, `tools`: it is not a table\n",
        "line 8, `timings.silence`: it is out of range\n",
        "line 9, `timings.keypause`: there is no such key\n    did you mean: key_pause\n",
        "line 10, `timings.silences_before_hanging_up`: it is not a whole number\n",
        "line 11, `timings.key_pause`: it is not a number\n",
    ] {
        assert!(report.contains(fault), "{fault}\nis not in\n{report}");
    }
    assert_eq!(report.matches("\nline ").count(), 9, "{report}");
}

#[test]
fn what_is_no_toml_is_reported_with_its_line() {
    let report = faults("name = \"Max\"\ngreeting = Hello\n");
    assert!(report.starts_with("line 2: "), "{report}");
    assert!(faults("name = \"a\"\nname = \"b\"\n").starts_with("line 2: "));
}

#[test]
fn texts_have_limits() {
    for (key, value) in [
        ("name", " ".to_owned()),
        ("name", "n".repeat(61)),
        ("filler", "f".repeat(LONGEST_FILLER + 1)),
        ("voice", "v".repeat(101)),
    ] {
        let report = faults(&format!("{key} = \"{value}\""));
        assert!(
            report.starts_with(&format!("line 1, `{key}`: it is")),
            "{report}"
        );
    }
}

#[test]
fn a_job_changes_what_it_names_and_nothing_else() {
    let file =
        Behaviour::parse("greeting = \"I am {name}.\"\nspeak_first = true\nvoice = \"nova\"");
    let file = file.unwrap();
    let mut job = AgentTexts::default();
    job.set(AgentText::Name, "Max").unwrap();
    let behaviour = file.for_job(&job);
    assert_eq!(behaviour.greeting(), "I am Max.");
    assert_eq!(behaviour.speak_first, file.speak_first);
    assert_eq!(behaviour.voice(), Some("nova"));

    job.set(AgentText::Voice, "shimmer").unwrap();
    assert_eq!(file.for_job(&job).voice(), Some("shimmer"));
}
