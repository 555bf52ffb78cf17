//! Whether the trunk is there and holds what the settings say.

use livekit_protocol::SipOutboundTrunkInfo;
use sip_config::TrunkSettings;

use super::finding::{Check, Finding};
use crate::plan::{self, Plan, PlanError};

pub(super) fn judge(trunks: Vec<SipOutboundTrunkInfo>, settings: &TrunkSettings) -> Finding {
    match plan::plan(trunks, settings) {
        Ok(Plan::Create) => Finding::failed(
            Check::Trunk,
            "LiveKit has no trunk with this address and number",
            "run `trunk-setup --write-env`, which creates it",
        ),
        Ok(Plan::Update { trunk, differences }) if differences.is_empty() => Finding::ok(
            Check::Trunk,
            format!("{} agrees with the settings", trunk.sip_trunk_id),
        ),
        Ok(Plan::Update { trunk, differences }) => {
            let fields: Vec<_> = differences.iter().map(|d| d.field.name()).collect();
            Finding::failed(
                Check::Trunk,
                format!("{} differs from the settings", trunk.sip_trunk_id),
                "run `trunk-setup`, which repairs it",
            )
            .with_evidence(format!("differs: {}", fields.join(", ")))
        }
        Err(error @ PlanError::NoSuchTrunk { .. }) => Finding::failed(
            Check::Trunk,
            error.to_string(),
            "`trunk-setup --list` shows the trunks; without OUTBOUND_TRUNK_ID one is found or created",
        ),
        Err(error @ PlanError::Ambiguous { .. }) => Finding::failed(
            Check::Trunk,
            error.to_string(),
            "set OUTBOUND_TRUNK_ID to one of them",
        ),
    }
}

/// Returns the id of the trunk to call through.
pub(super) fn id(trunks: Vec<SipOutboundTrunkInfo>, settings: &TrunkSettings) -> Option<String> {
    match plan::plan(trunks, settings) {
        Ok(Plan::Update { trunk, .. }) => Some(trunk.sip_trunk_id),
        Ok(Plan::Create) | Err(_) => None,
    }
}
