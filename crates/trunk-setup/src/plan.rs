//! From the trunks that exist and the settings to what has to be done. No network.

use livekit_protocol::{ListUpdate, SipOutboundTrunkInfo, SipOutboundTrunkUpdate};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use sip_config::TrunkSettings;

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
}

impl Field {
    /// Returns the word for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Username => "username",
            Self::Password => "password",
            Self::Numbers => "numbers",
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
    let number = settings.outbound_number.to_string();
    trunk
        .address
        .eq_ignore_ascii_case(&settings.domain.to_string())
        && trunk.numbers.contains(&number)
}

/// Compares the fields that the settings own.
fn differences(trunk: &SipOutboundTrunkInfo, settings: &TrunkSettings) -> Vec<Difference> {
    let address = settings.domain.to_string();
    let number = settings.outbound_number.to_string();
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
    if trunk.auth_password != settings.password.expose_secret() {
        differences.push(Difference {
            field: Field::Password,
            values: None,
        });
    }
    differences
}

/// Returns the update that sets the fields the settings own, and no other.
pub(crate) fn update(settings: &TrunkSettings) -> SipOutboundTrunkUpdate {
    SipOutboundTrunkUpdate {
        address: Some(settings.domain.to_string()),
        numbers: Some(ListUpdate {
            set: vec![settings.outbound_number.to_string()],
            ..ListUpdate::default()
        }),
        auth_username: Some(settings.username.clone()),
        auth_password: Some(settings.password.expose_secret().to_owned()),
        ..SipOutboundTrunkUpdate::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: &str = "+918000000000";

    fn settings(trunk_id: Option<&str>) -> TrunkSettings {
        TrunkSettings {
            domain: "sip.example.net:5070".parse().unwrap(),
            username: "trunkuser".to_owned(),
            password: "trunkpass".into(),
            outbound_number: NUMBER.parse().unwrap(),
            trunk_id: trunk_id.map(ToOwned::to_owned),
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
        let update = update(&settings(None));
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
