//! From the trunks that exist and the settings to what has to be done. No network.

use livekit_protocol::{
    ListUpdate, SipMediaConfig, SipMediaEncryption, SipOutboundTrunkInfo, SipOutboundTrunkUpdate,
    SipTransport,
};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use sip_config::{MediaEncryption, Transport, TrunkSettings};

/// What brings LiveKit in line with the settings.
#[derive(Debug, PartialEq)]
pub(crate) enum Plan {
    /// No trunk has the address and the number.
    Create,
    Update {
        trunk: Box<SipOutboundTrunkInfo>,
        differences: Vec<Difference>,
    },
}

/// A field of the trunk that differs from the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    pub(crate) field: Field,
    /// Trunk and settings; not for the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) values: Option<(String, String)>,
}

/// The fields that the settings own. All others stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Field {
    Address,
    Username,
    Password,
    Numbers,
    /// Owned only if the settings name one.
    Transport,
    /// Owned only if the settings name one.
    Encryption,
}

impl Field {
    /// Returns the word for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Username => "username",
            Self::Password => "password",
            Self::Numbers => "numbers",
            Self::Transport => "transport",
            Self::Encryption => "encryption",
        }
    }
}

/// Why it is not clear which trunk is meant.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("trunk {id} does not exist")]
    NoSuchTrunk { id: String },
    #[error("several trunks have this address and number: {}", .ids.join(", "))]
    Ambiguous { ids: Vec<String> },
}

/// Decides which trunk to update, or that one has to be created.
pub(crate) fn plan(
    trunks: Vec<SipOutboundTrunkInfo>,
    settings: &TrunkSettings,
) -> Result<Plan, PlanError> {
    let mut candidates: Vec<_> = match &settings.trunk_id {
        Some(id) => trunks
            .into_iter()
            .filter(|trunk| trunk.sip_trunk_id == *id)
            .collect(),
        None => trunks
            .into_iter()
            .filter(|trunk| is_ours(trunk, settings))
            .collect(),
    };
    match (candidates.pop(), candidates.is_empty(), &settings.trunk_id) {
        (Some(trunk), true, _) => Ok(Plan::Update {
            differences: differences(&trunk, settings),
            trunk: Box::new(trunk),
        }),
        (Some(last), false, _) => Err(PlanError::Ambiguous {
            ids: candidates
                .into_iter()
                .chain([last])
                .map(|trunk| trunk.sip_trunk_id)
                .collect(),
        }),
        (None, _, Some(id)) => Err(PlanError::NoSuchTrunk { id: id.clone() }),
        (None, _, None) => Ok(Plan::Create),
    }
}

fn is_ours(trunk: &SipOutboundTrunkInfo, settings: &TrunkSettings) -> bool {
    let number = &settings.outbound_number;
    let written = |text: &String| text.trim_start_matches('+') == number.digits();
    trunk
        .address
        .eq_ignore_ascii_case(&settings.domain.to_string())
        && trunk.numbers.iter().any(written)
}

/// Returns the trunk that stays, of several that were created at the same time: the one with the
/// smallest id, for everybody.
///
/// Everybody who creates one lists them again a while after that, so all see all of them.
pub(crate) fn survivor(
    trunks: Vec<SipOutboundTrunkInfo>,
    settings: &TrunkSettings,
) -> Option<SipOutboundTrunkInfo> {
    trunks
        .into_iter()
        .filter(|trunk| is_ours(trunk, settings))
        .min_by(|a, b| a.sip_trunk_id.cmp(&b.sip_trunk_id))
}

/// LiveKit's name of the transport.
pub(crate) fn transport(transport: Transport) -> SipTransport {
    match transport {
        Transport::Auto => SipTransport::Auto,
        Transport::Udp => SipTransport::Udp,
        Transport::Tcp => SipTransport::Tcp,
        Transport::Tls => SipTransport::Tls,
    }
}

fn encryption(encryption: MediaEncryption) -> SipMediaEncryption {
    match encryption {
        MediaEncryption::Disable => SipMediaEncryption::SipMediaEncryptDisable,
        MediaEncryption::Allow => SipMediaEncryption::SipMediaEncryptAllow,
        MediaEncryption::Require => SipMediaEncryption::SipMediaEncryptRequire,
    }
}

/// Returns the trunk's encryption; older trunks have it in a field of its own.
#[expect(deprecated, reason = "trunks of older servers have it there")]
fn encryption_of(trunk: &SipOutboundTrunkInfo) -> SipMediaEncryption {
    let media = trunk.media.as_ref().and_then(|media| media.encryption);
    SipMediaEncryption::try_from(media.unwrap_or(trunk.media_encryption)).unwrap_or_default()
}

/// Compares the fields that the settings own.
fn differences(trunk: &SipOutboundTrunkInfo, settings: &TrunkSettings) -> Vec<Difference> {
    let address = settings.domain.to_string();
    let number = settings.number_format.write(&settings.outbound_number);
    let mut differences = Vec::new();
    let mut differs = |field, is: &str, wanted: &str| {
        differences.push(Difference {
            field,
            values: Some((is.to_owned(), wanted.to_owned())),
        });
    };
    if !trunk.address.eq_ignore_ascii_case(&address) {
        differs(Field::Address, &trunk.address, &address);
    }
    if trunk.auth_username != settings.username {
        differs(Field::Username, &trunk.auth_username, &settings.username);
    }
    if trunk.numbers != [number.as_str()] {
        differs(Field::Numbers, &trunk.numbers.join(", "), &number);
    }
    if let Some(wanted) = settings.transport.map(transport)
        && trunk.transport() != wanted
    {
        differs(
            Field::Transport,
            trunk.transport().as_str_name(),
            wanted.as_str_name(),
        );
    }
    if let Some(wanted) = settings.media_encryption.map(encryption)
        && encryption_of(trunk) != wanted
    {
        let is = encryption_of(trunk);
        differs(Field::Encryption, is.as_str_name(), wanted.as_str_name());
    }
    if trunk.auth_password != settings.password.expose_secret() {
        differences.push(Difference {
            field: Field::Password,
            values: None,
        });
    }
    differences
}

/// Returns the update that sets the fields the settings own, and no other.
///
/// LiveKit replaces all of `media` or nothing, so what `trunk` has there goes with it.
pub(crate) fn update(
    trunk: &SipOutboundTrunkInfo,
    settings: &TrunkSettings,
) -> SipOutboundTrunkUpdate {
    SipOutboundTrunkUpdate {
        address: Some(settings.domain.to_string()),
        numbers: Some(ListUpdate {
            set: vec![settings.number_format.write(&settings.outbound_number)],
            ..ListUpdate::default()
        }),
        auth_username: Some(settings.username.clone()),
        auth_password: Some(settings.password.expose_secret().to_owned()),
        transport: settings
            .transport
            .map(|wanted| i32::from(transport(wanted))),
        media: settings.media_encryption.map(|wanted| SipMediaConfig {
            encryption: Some(encryption(wanted).into()),
            ..trunk.media.clone().unwrap_or_default()
        }),
        ..SipOutboundTrunkUpdate::default()
    }
}

#[cfg(test)]
mod tests {
    use sip_config::{Carrier, NumberFormat};
    use transfer_core::UserParameter;

    use super::*;

    const NUMBER: &str = "+918000000000";

    fn settings(trunk_id: Option<&str>) -> TrunkSettings {
        TrunkSettings {
            domain: "sip.example.net:5070".parse().unwrap(),
            username: "trunkuser".to_owned(),
            password: "trunkpass".into(),
            outbound_number: NUMBER.parse().unwrap(),
            trunk_id: trunk_id.map(ToOwned::to_owned),
            carrier: Carrier::Vobiz,
            number_format: NumberFormat::Plus,
            user_parameter: UserParameter::Absent,
            transport: None,
            media_encryption: None,
        }
    }

    fn trunk(id: &str) -> SipOutboundTrunkInfo {
        SipOutboundTrunkInfo {
            sip_trunk_id: id.to_owned(),
            name: "somebody's own name".to_owned(),
            address: "sip.example.net:5070".to_owned(),
            numbers: vec![NUMBER.to_owned()],
            auth_username: "trunkuser".to_owned(),
            auth_password: "trunkpass".to_owned(),
            ..SipOutboundTrunkInfo::default()
        }
    }

    fn fields(plan: Plan) -> Vec<Field> {
        match plan {
            Plan::Create => panic!("a trunk to update"),
            Plan::Update { differences, .. } => differences.into_iter().map(|d| d.field).collect(),
        }
    }

    fn id(plan: Plan) -> String {
        match plan {
            Plan::Create => panic!("a trunk to update"),
            Plan::Update { trunk, .. } => trunk.sip_trunk_id,
        }
    }

    #[test]
    fn the_configured_trunk_is_updated_whatever_it_holds() {
        let other = SipOutboundTrunkInfo {
            address: "old.example.net".to_owned(),
            numbers: vec![],
            ..trunk("ST_2")
        };
        let plan = plan(vec![trunk("ST_1"), other], &settings(Some("ST_2"))).unwrap();
        assert_eq!(fields(plan), [Field::Address, Field::Numbers]);
    }

    #[test]
    fn a_configured_trunk_that_is_gone_is_not_replaced_silently() {
        assert_eq!(
            plan(vec![trunk("ST_1")], &settings(Some("ST_2"))),
            Err(PlanError::NoSuchTrunk {
                id: "ST_2".to_owned()
            })
        );
    }

    #[test]
    fn without_an_id_the_trunk_with_the_address_and_the_number_is_ours() {
        let other_address = SipOutboundTrunkInfo {
            address: "sip.example.net".to_owned(),
            ..trunk("ST_1")
        };
        let other_number = SipOutboundTrunkInfo {
            numbers: vec!["+918000000001".to_owned()],
            ..trunk("ST_2")
        };
        let ours = SipOutboundTrunkInfo {
            address: "SIP.example.net:5070".to_owned(),
            ..trunk("ST_3")
        };
        let others = vec![other_address, other_number];
        assert_eq!(plan(others.clone(), &settings(None)), Ok(Plan::Create));
        let all = others.into_iter().chain([ours]).collect();
        assert_eq!(id(plan(all, &settings(None)).unwrap()), "ST_3");
    }

    #[test]
    fn two_trunks_that_fit_are_named_and_left_alone() {
        assert_eq!(
            plan(vec![trunk("ST_1"), trunk("ST_2")], &settings(None)),
            Err(PlanError::Ambiguous {
                ids: vec!["ST_1".to_owned(), "ST_2".to_owned()]
            })
        );
    }

    #[test]
    fn every_owned_field_is_compared_and_no_other() {
        let check = |change: fn(&mut SipOutboundTrunkInfo), expected: &[Field]| {
            let mut changed = trunk("ST_1");
            change(&mut changed);
            let plan = plan(vec![changed], &settings(Some("ST_1"))).unwrap();
            assert_eq!(fields(plan), expected);
        };
        check(|_| {}, &[]);
        check(|trunk| trunk.address.push('x'), &[Field::Address]);
        check(|trunk| trunk.auth_username.clear(), &[Field::Username]);
        check(|trunk| trunk.auth_password.push('x'), &[Field::Password]);
        check(
            |trunk| trunk.numbers.push("+1".to_owned()),
            &[Field::Numbers],
        );
        check(|trunk| trunk.name.clear(), &[]);
        check(|trunk| trunk.transport = 2, &[]);
        check(|trunk| trunk.metadata.push('x'), &[]);
    }

    #[test]
    fn transport_and_encryption_are_owned_when_the_settings_name_them() {
        let wanted = TrunkSettings {
            transport: Some(Transport::Tcp),
            media_encryption: Some(MediaEncryption::Allow),
            ..settings(Some("ST_1"))
        };
        let plan = plan(vec![trunk("ST_1")], &wanted).unwrap();
        assert_eq!(fields(plan), [Field::Transport, Field::Encryption]);

        let with_timeout = SipOutboundTrunkInfo {
            media: Some(SipMediaConfig {
                only_listed_codecs: true,
                ..SipMediaConfig::default()
            }),
            ..trunk("ST_1")
        };
        let update = update(&with_timeout, &wanted);
        assert_eq!(update.transport, Some(2));
        let media = update.media.unwrap();
        assert_eq!(media.encryption, Some(1));
        assert!(media.only_listed_codecs, "what is not ours stays");
    }

    #[test]
    fn a_carrier_that_wants_digits_gets_digits_in_the_same_trunk() {
        let wanted = TrunkSettings {
            number_format: NumberFormat::Digits,
            ..settings(None)
        };
        let plan = plan(vec![trunk("ST_1")], &wanted).unwrap();
        assert_eq!(fields(plan), [Field::Numbers]);
    }

    #[test]
    fn of_equal_trunks_the_smallest_id_survives() {
        let trunks = vec![trunk("ST_b"), trunk("ST_a"), trunk("ST_c")];
        assert_eq!(survivor(trunks, &settings(None)), Some(trunk("ST_a")));
        assert_eq!(survivor(vec![], &settings(None)), None);
    }

    #[test]
    fn the_password_is_in_no_difference() {
        let wrong = SipOutboundTrunkInfo {
            auth_password: "old-secret".to_owned(),
            ..trunk("ST_1")
        };
        let differences = differences(&wrong, &settings(None));
        let json = serde_json::to_string(&differences).unwrap();
        assert_eq!(json, r#"[{"field":"password"}]"#);
    }

    #[test]
    fn an_update_touches_the_owned_fields_only() {
        let update = update(&trunk("ST_1"), &settings(None));
        assert_eq!(update.address.as_deref(), Some("sip.example.net:5070"));
        assert_eq!(update.auth_username.as_deref(), Some("trunkuser"));
        assert_eq!(update.auth_password.as_deref(), Some("trunkpass"));
        assert_eq!(update.numbers.unwrap().set, [NUMBER]);
        assert_eq!(update.name, None);
        assert_eq!(update.metadata, None);
        assert_eq!(update.transport, None);
        assert_eq!(update.destination_country, None);
        assert_eq!(update.media, None);
        assert_eq!(update.from_host, None);
    }
}
