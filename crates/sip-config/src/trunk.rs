//! The carrier's side: what the LiveKit trunk has to hold.

use secrecy::SecretString;
use transfer_core::{PhoneNumber, SipDomain};

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
        Some(Self {
            domain: domain?,
            username: username?,
            password: password?,
            outbound_number: outbound_number?,
            trunk_id,
        })
    }
}
