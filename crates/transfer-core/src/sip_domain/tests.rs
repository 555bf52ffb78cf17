use proptest::prelude::*;

use super::*;

#[test]
fn hosts_with_and_without_ports_are_read() {
    for (input, expected) in [
        ("sip.example.net", "sip.example.net"),
        (" Your-Domain.SIP.vobiz.ai ", "your-domain.sip.vobiz.ai"),
        ("sip.example.net:5070", "sip.example.net:5070"),
        ("127.0.0.20:15080", "127.0.0.20:15080"),
        ("localhost", "localhost"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("[2001:db8::1]:5060", "[2001:db8::1]:5060"),
    ] {
        let domain: SipDomain = input.parse().unwrap();
        assert_eq!(domain.to_string(), expected);
    }
}

#[test]
fn what_is_not_a_host_is_refused() {
    use ParseSipDomainError::{Empty, InvalidHost, InvalidPort, Scheme};
    for (input, error) in [
        ("", Empty),
        ("  ", Empty),
        ("sip:sip.example.net", Scheme),
        ("SIPS:sip.example.net", Scheme),
        ("https://sip.example.net", Scheme),
        ("user@sip.example.net", InvalidHost),
        ("sip.example.net;transport=tcp", InvalidHost),
        ("sip example.net", InvalidHost),
        ("sip.example.net\r\nVia", InvalidHost),
        ("sip.example.net.", InvalidHost),
        ("-sip.example.net", InvalidHost),
        ("sip..example.net", InvalidHost),
        ("ex\u{e4}mple.net", InvalidHost),
        ("sip%2eexample.net", InvalidHost),
        ("256.0.0.1", InvalidHost),
        ("1.2.3", InvalidHost),
        ("2001:db8::1", InvalidPort),
        ("[2001:db8::1", InvalidPort),
        ("[2001:db8::1]x", InvalidHost),
        ("[sip.example.net]", InvalidHost),
        ("sip.example.net:", InvalidPort),
        ("sip.example.net:0", InvalidPort),
        ("sip.example.net:65536", InvalidPort),
        ("sip.example.net:+5060", InvalidPort),
        ("sip.example.net:5060:5060", InvalidPort),
    ] {
        assert_eq!(input.parse::<SipDomain>(), Err(error), "{input:?}");
    }
}

#[test]
fn a_port_that_is_left_out_is_no_difference() {
    let domain: SipDomain = "sip.example.net:5070".parse().unwrap();
    for (other, admitted) in [
        ("sip.example.net:5070", true),
        ("SIP.example.net", true),
        ("sip.example.net:5060", false),
        ("sip.example.com:5070", false),
    ] {
        assert_eq!(domain.admits(&other.parse().unwrap()), admitted, "{other}");
    }
}

proptest! {
    #[test]
    fn any_text_is_refused_or_free_of_what_a_uri_would_break_on(text in "\\PC{0,30}|[a-z0-9.:\\[\\]-]{0,30}") {
        if let Ok(domain) = text.parse::<SipDomain>() {
            let wire = domain.to_string();
            prop_assert!(wire.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b)));
            prop_assert_eq!(wire.parse::<SipDomain>().unwrap(), domain);
        }
    }
}
