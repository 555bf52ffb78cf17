//! The carrier's side: what the LiveKit trunk has to hold.

use secrecy::SecretString;
use transfer_core::{PhoneNumber, SipDomain, UserParameter};

use crate::environment::{Reader, Settings};
use crate::variables;

/// The carrier account, and the LiveKit trunk that should carry it.
#[derive(Clone, Debug)]
pub struct TrunkSettings {
    /// Where INVITEs go, and the domain of refer targets.
    pub domain: SipDomain,
    pub username: String,
    pub password: SecretString,
    /// The caller number of outbound calls.
    pub outbound_number: PhoneNumber,
    /// LiveKit's trunk, if there is one already (`ST_…`).
    pub trunk_id: Option<String>,
    pub carrier: Carrier,
    pub number_format: NumberFormat,
    /// How refer targets in the domain are written.
    pub user_parameter: UserParameter,
    /// `None`: the trunk keeps what it has.
    pub transport: Option<Transport>,
    /// `None`: the trunk keeps what it has.
    pub media_encryption: Option<MediaEncryption>,
}

/// The carriers whose habits are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    /// Sends inbound calls to `+…`.
    #[default]
    Vobiz,
    /// Sends inbound calls to the number with or without the `+`.
    Generic,
}

/// How the trunk's number is written in the `From` of outbound calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumberFormat {
    /// `+918000000000` (E.164).
    #[default]
    Plus,
    /// `918000000000`.
    Digits,
}

impl NumberFormat {
    /// Returns `number` as the carrier wants it.
    pub fn write(self, number: &PhoneNumber) -> String {
        match self {
            Self::Plus => number.to_string(),
            Self::Digits => number.digits().to_owned(),
        }
    }
}

/// What carries SIP to the carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Auto,
    Udp,
    Tcp,
    Tls,
}

/// Whether calls use SRTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaEncryption {
    Disable,
    Allow,
    Require,
}

/// Takes one of `words`, in any case.
fn word<T: Copy>(words: &[(&str, T)], value: &str) -> Result<T, &'static str> {
    let value = value.trim();
    words
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(value))
        .map(|(_, meaning)| *meaning)
        .ok_or("it is none of the words")
}

fn carrier(value: &str) -> Result<Carrier, &'static str> {
    word(
        &[("vobiz", Carrier::Vobiz), ("generic", Carrier::Generic)],
        value,
    )
}

fn number_format(value: &str) -> Result<NumberFormat, &'static str> {
    let words = [
        ("plus", NumberFormat::Plus),
        ("digits", NumberFormat::Digits),
    ];
    word(&words, value)
}

fn transport(value: &str) -> Result<Transport, &'static str> {
    let words = [
        ("auto", Transport::Auto),
        ("udp", Transport::Udp),
        ("tcp", Transport::Tcp),
        ("tls", Transport::Tls),
    ];
    word(&words, value)
}

fn media_encryption(value: &str) -> Result<MediaEncryption, &'static str> {
    let words = [
        ("disable", MediaEncryption::Disable),
        ("allow", MediaEncryption::Allow),
        ("require", MediaEncryption::Require),
    ];
    word(&words, value)
}

impl Settings for TrunkSettings {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let region = variables::default_region(reader);
        let domain = reader.required("VOBIZ_SIP_DOMAIN", str::parse);
        let username = reader.required("VOBIZ_USERNAME", variables::token);
        let password = reader.required("VOBIZ_PASSWORD", variables::secret);
        let outbound_number = reader.required("VOBIZ_OUTBOUND_NUMBER", |value| {
            PhoneNumber::parse(value, region)
        });
        let trunk_id = reader.optional("OUTBOUND_TRUNK_ID", variables::trunk_id);
        let carrier = reader.optional("SIP_CARRIER", carrier);
        let number_format = reader.optional("SIP_NUMBER_FORMAT", number_format);
        let user_parameter = variables::user_parameter(reader);
        let transport = reader.optional("SIP_TRANSPORT", transport);
        let media_encryption = reader.optional("SIP_MEDIA_ENCRYPTION", media_encryption);
        Some(Self {
            domain: domain?,
            username: username?,
            password: password?,
            outbound_number: outbound_number?,
            trunk_id,
            carrier: carrier.unwrap_or_default(),
            number_format: number_format.unwrap_or_default(),
            user_parameter,
            transport,
            media_encryption,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_any_case_and_others_are_refused() {
        assert_eq!(transport(" TCP "), Ok(Transport::Tcp));
        assert_eq!(media_encryption("Require"), Ok(MediaEncryption::Require));
        assert_eq!(carrier("generic"), Ok(Carrier::Generic));
        for value in ["sctp", "", "udp,tcp"] {
            assert!(transport(value).is_err(), "{value}");
        }
    }

    #[test]
    fn a_number_is_written_as_the_carrier_wants_it() {
        let number = "+918000000000".parse().unwrap();
        assert_eq!(NumberFormat::Plus.write(&number), "+918000000000");
        assert_eq!(NumberFormat::Digits.write(&number), "918000000000");
    }
}
