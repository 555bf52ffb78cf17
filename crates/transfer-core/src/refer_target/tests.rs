use proptest::prelude::*;

use super::*;

const DOMAIN: &str = "sip.example.net:5070";

fn parse(input: &str) -> Result<String, ParseReferTargetError> {
    let domain: SipDomain = DOMAIN.parse().unwrap();
    let region: Region = "US".parse().unwrap();
    ReferTarget::parse(input, Some(&domain), Some(region)).map(|target| target.to_string())
}

#[test]
fn everything_that_names_the_number_becomes_the_same_uri() {
    for input in [
        "+15550001234",
        "+1 555 000 1234",
        "(555) 000-1234",
        "tel:+1-555-000-1234",
        "sip:+15550001234",
        "SIP:+15550001234@sip.example.net",
        "sip:+15550001234@sip.example.net:5070",
        "+15550001234@SIP.EXAMPLE.NET",
        "sip:5550001234@sip.example.net",
        " +15550001234 ",
    ] {
        assert_eq!(
            parse(input).as_deref(),
            Ok("sip:+15550001234@sip.example.net:5070"),
            "{input:?}"
        );
    }
}

#[test]
fn without_a_domain_the_uri_is_a_tel_uri() {
    let target = ReferTarget::parse("+1 555 000 1234", None, None).unwrap();
    assert_eq!(target.to_string(), "tel:+15550001234");
}

#[test]
fn user_phone_is_the_last_word_of_a_sip_uri_and_none_of_a_tel_uri() {
    let domain: SipDomain = DOMAIN.parse().unwrap();
    let number: PhoneNumber = "+15550001234".parse().unwrap();
    let target = |domain, user| ReferTarget::new(number.clone(), domain).with_user(user);
    let sip = target(Some(&domain), UserParameter::Phone);
    assert_eq!(
        sip.to_string(),
        "sip:+15550001234@sip.example.net:5070;user=phone"
    );
    assert_eq!(
        sip.masked(),
        "sip:+1********34@sip.example.net:5070;user=phone"
    );
    assert_eq!(
        sip.with_user(UserParameter::Absent),
        target(Some(&domain), UserParameter::Absent)
    );
    let tel = target(None, UserParameter::Phone);
    assert_eq!(tel.to_string(), "tel:+15550001234");
}

#[test]
fn calls_leave_through_our_carrier_only() {
    for host in [
        "evil.example",
        "sip.example.net.evil.example",
        "sip.example.net:5060",
    ] {
        let error = parse(&format!("sip:+15550001234@{host}")).unwrap_err();
        assert_eq!(
            error,
            ParseReferTargetError::ForeignHost(host.parse().unwrap())
        );
    }
    let error = ReferTarget::parse("+15550001234@sip.example.net", None, None).unwrap_err();
    assert!(matches!(error, ParseReferTargetError::ForeignHost(_)));
}

#[test]
fn what_a_uri_would_break_on_is_refused() {
    for input in [
        "",
        "sip:",
        "sip:@sip.example.net",
        "sip:+15550001234@",
        "sips:+15550001234@sip.example.net",
        "sip:alice@sip.example.net",
        "sip:+15550001234@sip.example.net@evil.example",
        "sip:+15550001234@evil.example@sip.example.net",
        "sip:+15550001234@sip.example.net;transport=tcp",
        "sip:+15550001234;phone-context=evil@sip.example.net",
        "sip:+15550001234@sip.example.net?Replaces=1",
        "sip:+1555%30001234@sip.example.net",
        "<sip:+15550001234@sip.example.net>",
        "\"Bob\" <sip:+15550001234@sip.example.net>",
        "sip:+15550001234\r\nX-Evil: 1@sip.example.net",
        "sip:sip:+15550001234",
        "tel:sip:+15550001234",
        "https://example.net/+15550001234",
    ] {
        assert!(parse(input).is_err(), "{input:?}: {:?}", parse(input));
    }
}

#[test]
fn a_tel_uri_has_no_host() {
    assert!(parse("tel:+15550001234@sip.example.net").is_ok());
    assert!(parse("tel:+15550001234@evil.example").is_err());
}

#[test]
fn logs_see_a_masked_number() {
    let domain: SipDomain = DOMAIN.parse().unwrap();
    let target = ReferTarget::parse("+15550001234", Some(&domain), None).unwrap();
    assert_eq!(
        format!("{target:?}"),
        "sip:+1********34@sip.example.net:5070"
    );
    assert_eq!(target.masked(), "sip:+1********34@sip.example.net:5070");
}

proptest! {
    #[test]
    fn any_text_is_refused_or_becomes_a_clean_uri(
        text in "\\PC{0,40}|(sip:|tel:)?[0-9+ ()-]{6,18}(@sip\\.example\\.net)?[;?%@ \r\n]?",
    ) {
        if let Ok(uri) = parse(&text) {
            let rest = uri.strip_prefix("sip:+").expect("a SIP URI");
            let digits = rest.strip_suffix(&format!("@{DOMAIN}")).expect("our host, once");
            prop_assert!(digits.bytes().all(|b| b.is_ascii_digit()));
        }
    }

    #[test]
    fn with_user_phone_any_text_is_refused_or_has_that_parameter_once(
        text in "\\PC{0,40}|(sip:|tel:)?[0-9+ ()-]{6,18}(@sip\\.example\\.net)?(;user=phone|;user=ip)?",
        with_domain in any::<bool>(),
    ) {
        let domain: Option<SipDomain> = with_domain.then(|| DOMAIN.parse().unwrap());
        let region: Region = "US".parse().unwrap();
        if let Ok(target) = ReferTarget::parse(&text, domain.as_ref(), Some(region)) {
            let uri = target.with_user(UserParameter::Phone).to_string();
            let digits = match with_domain {
                true => uri
                    .strip_prefix("sip:+")
                    .and_then(|rest| rest.strip_suffix(&format!("@{DOMAIN};user=phone"))),
                false => uri.strip_prefix("tel:+"),
            };
            let digits = digits.expect("our host and our parameter, once");
            prop_assert!(digits.bytes().all(|b| b.is_ascii_digit()));
        }
    }
}
