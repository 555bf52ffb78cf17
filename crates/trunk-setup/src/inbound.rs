//! From the inbound trunks and dispatch rules that exist to what has to be done. No network.

use livekit_protocol::sip_dispatch_rule::Rule;
use livekit_protocol::{
    RoomAgentDispatch, RoomConfiguration, SipDispatchRule, SipDispatchRuleIndividual,
    SipDispatchRuleInfo, SipInboundTrunkInfo,
};
use sip_config::{Carrier, TrunkSettings};

use crate::server::NAME;

/// Rooms of inbound calls are named as those of outbound ones.
const ROOM_PREFIX: &str = "call-";

/// What has to be there for inbound calls to reach the agent.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The number as the carrier writes it, in each way that it may.
    pub(crate) numbers: Vec<String>,
    /// Where calls may come from; from everywhere if empty.
    pub(crate) allowed_addresses: Vec<String>,
    pub(crate) agent_name: String,
}

impl Wanted {
    pub(crate) fn new(
        settings: &TrunkSettings,
        agent_name: String,
        allowed_addresses: Vec<String>,
    ) -> Self {
        let number = &settings.outbound_number;
        let mut numbers = vec![number.to_string()];
        if settings.carrier == Carrier::Generic {
            numbers.push(number.digits().to_owned());
        }
        Self {
            numbers,
            allowed_addresses,
            agent_name,
        }
    }

    /// Rooms with the agent in them.
    pub(crate) fn room_config(&self) -> RoomConfiguration {
        RoomConfiguration {
            agents: vec![RoomAgentDispatch {
                agent_name: self.agent_name.clone(),
                ..RoomAgentDispatch::default()
            }],
            ..RoomConfiguration::default()
        }
    }
}

/// A room of its own for each call.
pub(crate) fn rule() -> Rule {
    Rule::DispatchRuleIndividual(SipDispatchRuleIndividual {
        room_prefix: ROOM_PREFIX.to_owned(),
        ..SipDispatchRuleIndividual::default()
    })
}

/// What brings inbound calls to the agent.
#[derive(Debug, PartialEq)]
pub(crate) struct InboundPlan {
    pub(crate) trunk: TrunkStep,
    pub(crate) rule: RuleStep,
}

#[derive(Debug, PartialEq)]
pub(crate) enum TrunkStep {
    Create,
    /// These addresses are not let in yet.
    Allow {
        trunk_id: String,
        addresses: Vec<String>,
    },
    Keep {
        trunk_id: String,
    },
}

#[derive(Debug, PartialEq)]
pub(crate) enum RuleStep {
    Create,
    /// The rule is ours and leads elsewhere.
    Replace(Box<SipDispatchRuleInfo>),
    Keep {
        rule_id: String,
    },
}

/// Why inbound calls cannot be led to the agent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InboundError {
    /// Made by somebody else, who may need it.
    #[error(
        "the dispatch rule {id} takes the calls to this number, and does not lead them to {agent_name}"
    )]
    ForeignRule { id: String, agent_name: String },
}

pub(crate) fn plan(
    trunks: Vec<SipInboundTrunkInfo>,
    rules: &[SipDispatchRuleInfo],
    wanted: &Wanted,
) -> Result<InboundPlan, InboundError> {
    let Some(trunk) = survivor(trunks, wanted) else {
        return Ok(InboundPlan {
            trunk: TrunkStep::Create,
            rule: RuleStep::Create,
        });
    };
    let rule = rule_step(rules, &trunk.sip_trunk_id, wanted)?;
    let trunk_id = trunk.sip_trunk_id;
    let missing: Vec<_> = wanted
        .allowed_addresses
        .iter()
        .filter(|address| !trunk.allowed_addresses.contains(address))
        .cloned()
        .collect();
    let trunk = match missing.is_empty() {
        true => TrunkStep::Keep { trunk_id },
        false => TrunkStep::Allow {
            trunk_id,
            addresses: missing,
        },
    };
    Ok(InboundPlan { trunk, rule })
}

fn rule_step(
    rules: &[SipDispatchRuleInfo],
    trunk_id: &str,
    wanted: &Wanted,
) -> Result<RuleStep, InboundError> {
    let Some(present) = rules_of(rules, trunk_id).min_by_key(|rule| &rule.sip_dispatch_rule_id)
    else {
        return Ok(RuleStep::Create);
    };
    let leads_to_agent = present.room_config.iter().any(|config| {
        let mut agents = config.agents.iter();
        agents.any(|agent| agent.agent_name == wanted.agent_name)
    });
    if leads_to_agent {
        return Ok(RuleStep::Keep {
            rule_id: present.sip_dispatch_rule_id.clone(),
        });
    }
    if present.name != NAME {
        return Err(InboundError::ForeignRule {
            id: present.sip_dispatch_rule_id.clone(),
            agent_name: wanted.agent_name.clone(),
        });
    }
    Ok(RuleStep::Replace(Box::new(SipDispatchRuleInfo {
        rule: Some(SipDispatchRule { rule: Some(rule()) }),
        room_config: Some(RoomConfiguration {
            agents: wanted.room_config().agents,
            ..present.room_config.clone().unwrap_or_default()
        }),
        ..present.clone()
    })))
}

/// Returns the rules that name the trunk.
fn rules_of<'a>(
    rules: &'a [SipDispatchRuleInfo],
    trunk_id: &'a str,
) -> impl Iterator<Item = &'a SipDispatchRuleInfo> {
    let names_it =
        move |rule: &&SipDispatchRuleInfo| rule.trunk_ids.iter().any(|id| id == trunk_id);
    rules.iter().filter(names_it)
}

/// Returns the trunk for the number; of several, the one with the smallest id.
pub(crate) fn survivor(
    trunks: Vec<SipInboundTrunkInfo>,
    wanted: &Wanted,
) -> Option<SipInboundTrunkInfo> {
    let takes = |trunk: &SipInboundTrunkInfo| {
        let mut numbers = trunk.numbers.iter();
        numbers.any(|number| wanted.numbers.contains(number))
    };
    trunks
        .into_iter()
        .filter(takes)
        .min_by(|a, b| a.sip_trunk_id.cmp(&b.sip_trunk_id))
}

/// Returns the id of the trunk's rule that stays: the smallest.
pub(crate) fn surviving_rule(rules: &[SipDispatchRuleInfo], trunk_id: &str) -> Option<String> {
    rules_of(rules, trunk_id)
        .map(|rule| rule.sip_dispatch_rule_id.clone())
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            numbers: vec!["+918000000000".to_owned()],
            allowed_addresses: vec![],
            agent_name: "outbound-caller".to_owned(),
        }
    }

    fn trunk(id: &str) -> SipInboundTrunkInfo {
        SipInboundTrunkInfo {
            sip_trunk_id: id.to_owned(),
            numbers: wanted().numbers,
            ..SipInboundTrunkInfo::default()
        }
    }

    fn a_rule(name: &str, agent_name: &str) -> SipDispatchRuleInfo {
        let wanted = Wanted {
            agent_name: agent_name.to_owned(),
            ..wanted()
        };
        SipDispatchRuleInfo {
            sip_dispatch_rule_id: "SDR_1".to_owned(),
            name: name.to_owned(),
            trunk_ids: vec!["ST_1".to_owned()],
            room_config: Some(wanted.room_config()),
            ..SipDispatchRuleInfo::default()
        }
    }

    #[test]
    fn nothing_there_means_both_are_created_and_all_there_means_nothing_to_do() {
        let plan_none = plan(vec![], &[], &wanted()).unwrap();
        assert_eq!(plan_none.trunk, TrunkStep::Create);
        assert_eq!(plan_none.rule, RuleStep::Create);
        let rules = [a_rule("mine", "outbound-caller")];
        let plan_all = plan(vec![trunk("ST_1")], &rules, &wanted()).unwrap();
        assert!(matches!(plan_all.trunk, TrunkStep::Keep { .. }));
        assert!(matches!(plan_all.rule, RuleStep::Keep { .. }));
    }

    #[test]
    fn a_rule_of_ours_is_led_to_the_agent_and_a_foreign_one_is_left_alone() {
        let step = |name| rule_step(&[a_rule(name, "another")], "ST_1", &wanted());
        let RuleStep::Replace(rule) = step(NAME).unwrap() else {
            panic!("ours is replaced");
        };
        let agents = rule.room_config.unwrap().agents;
        assert_eq!(agents[0].agent_name, "outbound-caller");
        assert_eq!(
            step("mine"),
            Err(InboundError::ForeignRule {
                id: "SDR_1".to_owned(),
                agent_name: "outbound-caller".to_owned()
            })
        );
    }

    #[test]
    fn addresses_are_added_and_never_taken_away() {
        let wanted = Wanted {
            allowed_addresses: vec!["192.0.2.1".to_owned(), "192.0.2.2".to_owned()],
            ..wanted()
        };
        let with_one = SipInboundTrunkInfo {
            allowed_addresses: vec!["192.0.2.1".to_owned()],
            ..trunk("ST_1")
        };
        let plan = plan(vec![with_one], &[], &wanted).unwrap();
        assert_eq!(
            plan.trunk,
            TrunkStep::Allow {
                trunk_id: "ST_1".to_owned(),
                addresses: vec!["192.0.2.2".to_owned()]
            }
        );
    }
}
