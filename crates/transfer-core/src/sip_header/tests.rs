use proptest::prelude::*;

use super::*;

#[test]
fn a_header_is_a_key_and_a_value() {
    let header: SipHeader = "X-VH-CorrelationId=abc-123".parse().unwrap();
    assert_eq!(header.name(), "X-VH-CorrelationId");
    assert_eq!(header.value(), "abc-123");
    assert!(header.is_forwarded());

    let header: SipHeader = "P-Asserted-Identity= <sip:+15550001234@example.net;a=b> "
        .parse()
        .unwrap();
    assert_eq!(header.value(), "<sip:+15550001234@example.net;a=b>");
    assert!(!header.is_forwarded());
}

#[test]
fn the_forwarded_prefix_is_matched_whatever_its_case() {
    for (name, forwarded) in [
        ("x-vh-a", true),
        ("X-VH-", true),
        ("X-VHA", false),
        ("X-A", false),
    ] {
        assert_eq!(
            SipHeader::new(name, "1").unwrap().is_forwarded(),
            forwarded,
            "{name}"
        );
    }
}

#[test]
fn headers_that_would_break_the_message_are_refused() {
    use SipHeaderError::{ControlCharacter, InvalidName, NoValue, Reserved, TooLong};
    for (input, error) in [
        ("X-VH-A", NoValue),
        ("", NoValue),
        ("=1", InvalidName),
        ("X VH=1", InvalidName),
        ("X-VH:A=1", InvalidName),
        ("X-VH-\u{e4}=1", InvalidName),
        ("X-VH-A\r\n=1", InvalidName),
        ("Call-ID=1", Reserved),
        ("via=1", Reserved),
        ("FROM=1", Reserved),
        ("i=1", Reserved),
        ("Route=1", Reserved),
        ("Refer-To=1", Reserved),
        ("X-VH-A=1\r\nX-Evil: 1", ControlCharacter('\r')),
        ("X-VH-A=1\nX-Evil: 1", ControlCharacter('\n')),
        ("X-VH-A=1\n", ControlCharacter('\n')),
        ("X-VH-A=\u{1b}[31m", ControlCharacter('\u{1b}')),
        ("X-VH-A=a\u{85}b", ControlCharacter('\u{85}')),
    ] {
        assert_eq!(input.parse::<SipHeader>(), Err(error), "{input:?}");
    }
    let long = "a".repeat(MAX_VALUE_LEN + 1);
    assert_eq!(
        SipHeader::new("X-VH-A", &long),
        Err(TooLong {
            bytes: MAX_VALUE_LEN + 1
        })
    );
    assert!(SipHeader::new("X-VH-A", &long[1..]).is_ok());
}

proptest! {
    #[test]
    fn a_header_never_spans_lines(name in ".{0,8}|[A-Za-z-]{1,12}", value in ".{0,20}|[ -~\r\n]{0,20}") {
        if let Ok(header) = SipHeader::new(&name, &value) {
            prop_assert!(!header.to_string().contains(['\r', '\n', '\0']));
        }
    }
}
