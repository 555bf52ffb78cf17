use super::*;

fn number(text: &str) -> PhoneNumber {
    text.parse().unwrap()
}

#[test]
fn the_original_dialers_metadata_is_read() {
    let text = r#"{"phone_number": "+919876543210", "sip_headers": {"X-VH-Id": "7"}, "from_number": "+918000000000"}"#;
    let (metadata, warnings) = JobMetadata::parse(text).unwrap();
    assert_eq!(
        metadata,
        JobMetadata {
            phone_number: Some(number("+919876543210")),
            sip_headers: [("X-VH-Id".to_owned(), "7".to_owned())].into(),
            from_number: Some(number("+918000000000")),
            ..JobMetadata::default()
        }
    );
    assert_eq!(warnings, []);
}

#[test]
fn keys_without_a_value_are_left_out() {
    let metadata = JobMetadata {
        phone_number: Some(number("+15550001234")),
        ..JobMetadata::default()
    };
    assert_eq!(metadata.to_json(), r#"{"phone_number":"+15550001234"}"#);
}

#[test]
fn what_is_written_is_read_back() {
    let metadata = JobMetadata {
        phone_number: Some(number("+15550001234")),
        sip_headers: [("X-VH-A".to_owned(), "\"quoted\" \u{2713}".to_owned())].into(),
        from_number: Some(number("+918000000000")),
        transfer_to: Some(number("+15550005678")),
        idempotency_key: Some("order-4711".parse().unwrap()),
        resume: true,
        agent: AgentTexts::default(),
    };
    let (read, warnings) = JobMetadata::parse(&metadata.to_json()).unwrap();
    assert_eq!(read, metadata);
    assert_eq!(warnings, []);
}

#[test]
fn empty_metadata_is_an_inbound_call() {
    for text in [
        "",
        "  \n",
        "{}",
        r#"{"phone_number": ""}"#,
        r#"{"phone_number": null}"#,
    ] {
        let (metadata, warnings) = JobMetadata::parse(text).unwrap();
        assert_eq!(metadata, JobMetadata::default(), "{text:?}");
        assert_eq!(warnings, [], "{text:?}");
    }
}

#[test]
fn a_bare_number_is_tolerated_with_a_warning() {
    for text in ["+1 555 000 1234", "\"+15550001234\""] {
        let (metadata, warnings) = JobMetadata::parse(text).unwrap();
        assert_eq!(metadata.phone_number, Some(number("+15550001234")));
        assert_eq!(warnings, [MetadataWarning::BareNumber]);
    }
}

#[test]
fn what_has_no_effect_is_warned_about() {
    let text = r#"{"phone_number": "+15550001234", "phone": "1", "sip_headers": {"X-Other": "1"}}"#;
    let (_, warnings) = JobMetadata::parse(text).unwrap();
    assert_eq!(
        warnings,
        [
            MetadataWarning::UnknownKey("phone".to_owned()),
            MetadataWarning::NotForwarded("X-Other".to_owned()),
        ]
    );
}

#[test]
fn metadata_that_cannot_be_followed_is_refused() {
    use std::error::Error as _;

    for (text, error, source) in [
        (
            "hello",
            "`phone_number` is not a phone number",
            "`h` cannot be part of a phone number",
        ),
        (
            "5550001234",
            "`phone_number` is not a phone number",
            "the country code is missing",
        ),
        (
            r#"{"transfer_to": "911"}"#,
            "`transfer_to` is not a phone number",
            "the country code is missing",
        ),
        (
            r#"{"sip_headers": {"Call-ID": "1"}}"#,
            "`sip_headers`: `Call-ID` cannot be sent",
            "SIP itself sets this header",
        ),
        (
            r#"{"idempotency_key": "a\nb"}"#,
            "`idempotency_key` cannot be used",
            "control character",
        ),
        (
            r#"{"agent": {"greeting": "Hello {customer}."}}"#,
            "`agent.greeting` cannot be used",
            "it has another placeholder than {name} in it; expected: a text of 1 to 500 characters",
        ),
        (
            r#"{"agent": {"voice": 7}}"#,
            "`agent.voice` cannot be used",
            "it is not a text; expected: what the provider calls one of its voices",
        ),
        (
            r#"{"phone_number": 15550001234}"#,
            "job metadata is not a JSON object with text values",
            "invalid type",
        ),
        (
            r#"{"phone_number": "#,
            "job metadata is not a JSON object with text values",
            "EOF",
        ),
    ] {
        let refused = JobMetadata::parse(text).unwrap_err();
        assert_eq!(refused.to_string(), error, "{text:?}");
        let cause = refused.source().unwrap().to_string();
        assert!(cause.contains(source), "{text:?}: {cause}");
    }
}

#[test]
fn what_the_agent_is_to_be_in_this_call_is_kept_and_the_rest_of_it_warned_about() {
    let text = r#"{"agent": {"name": "Max", "greeting": "", "instructions": "Be brief.", "voice": "nova", "mood": 7}}"#;
    let (metadata, warnings) = JobMetadata::parse(text).unwrap();
    for (text, value) in [
        (AgentText::Name, Some("Max")),
        (AgentText::Greeting, None),
        (AgentText::Instructions, Some("Be brief.")),
        (AgentText::Voice, Some("nova")),
    ] {
        assert_eq!(metadata.agent.get(text), value);
    }
    assert_eq!(
        warnings,
        [MetadataWarning::UnknownKey("agent.mood".to_owned())]
    );
    let (read, warnings) = JobMetadata::parse(&metadata.to_json()).unwrap();
    assert_eq!((read, warnings), (metadata, Vec::new()));

    let refused = JobMetadata::parse(r#"{"agent": "Max"}"#).unwrap_err();
    assert!(
        matches!(refused, ParseJobMetadataError::Json(_)),
        "{refused}"
    );
}
