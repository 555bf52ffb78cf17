//! Everything that a caller or a model may try, through every door that leads to a transfer.
//!
//! `hostile/corpus.tsv` names for each request the ordinary number that it may reach, if any.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock},
};

use secrecy::SecretString;
use sip_config::LlmSettings;
use transfer_core::{
    Fallback, JobMetadata, TransferMode, TransferPlan,
    policy::{Confirmation, Destination, TransferPolicy, TransferRules},
};

use super::{
    attributes::CallStatus,
    state::{Dialed, Utterance},
    *,
};
use crate::{
    behaviour::Behaviour,
    conversation::{
        Action, DialoguePolicy, Heard, LanguageModel, LlmBrain, PolicySettings, Reply,
        TransferRequest,
    },
};

use transfer_core::{PhoneNumber, ReferTarget, SipDomain, UserParameter};

const CORPUS: &str = include_str!("hostile/corpus.tsv");

const DEFAULT: &str = "+15550009999";
const SALES: &str = "+15550008888";
const DOMAIN: &str = "sip.example.net";

/// Never asked.
static MODEL: LazyLock<LanguageModel> = LazyLock::new(|| {
    LanguageModel::new(&LlmSettings {
        api_key: SecretString::from("unused"),
        base_url: "http://127.0.0.1:9/v1".parse().unwrap(),
        model: "unused".to_owned(),
        preemptive_generation: false,
    })
});

struct Request {
    trick: &'static str,
    may_reach: Vec<&'static str>,
    text: String,
}

fn corpus() -> Vec<Request> {
    CORPUS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let columns: Vec<_> = line.splitn(4, '\t').collect();
            let [trick, may_reach, repeat, text] = columns[..] else {
                panic!("four columns: {line}");
            };
            Request {
                trick,
                may_reach: may_reach
                    .split('|')
                    .filter(|number| *number != "-")
                    .collect(),
                text: unescape(text).repeat(repeat.parse().unwrap()),
            }
        })
        .collect()
}

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        plain.push(match rest.next().unwrap() {
            'r' => '\r',
            'n' => '\n',
            't' => '\t',
            'u' => {
                let hex: String = rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
                char::from_u32(u32::from_str_radix(&hex, 16).unwrap()).unwrap()
            }
            literal => literal,
        });
    }
    plain
}

/// An operator's settings.
#[derive(Clone)]
struct Operator {
    allow: &'static str,
    region: Option<&'static str>,
    domain: Option<&'static str>,
    confirmation: Confirmation,
}

const OPERATORS: [Operator; 6] = [
    Operator {
        allow: "",
        region: None,
        domain: Some(DOMAIN),
        confirmation: Confirmation::Always,
    },
    Operator {
        allow: "",
        region: Some("US"),
        domain: None,
        confirmation: Confirmation::Always,
    },
    Operator {
        allow: "IN",
        region: Some("IN"),
        domain: Some(DOMAIN),
        confirmation: Confirmation::Always,
    },
    Operator {
        allow: "US, GB, +49*, +33*, +39*, +61*",
        region: Some("GB"),
        domain: Some(DOMAIN),
        confirmation: Confirmation::Always,
    },
    Operator {
        allow: "",
        region: None,
        domain: Some(DOMAIN),
        confirmation: Confirmation::WhenInDoubt,
    },
    Operator {
        allow: "US, GB, +49*, +33*, +39*, +61*",
        region: Some("GB"),
        domain: Some(DOMAIN),
        confirmation: Confirmation::WhenInDoubt,
    },
];

impl Operator {
    fn policy(&self) -> TransferPolicy {
        let allow = Some(self.allow).filter(|allow| !allow.is_empty());
        TransferPolicy::new(TransferRules {
            default_number: Some(DEFAULT.parse().unwrap()),
            destinations: vec![Destination {
                name: "sales".parse().unwrap(),
                number: SALES.parse().unwrap(),
            }],
            allow: allow.map(|allow| allow.parse().unwrap()),
            confirmation: self.confirmation,
            ..TransferRules::default()
        })
    }

    fn dialogue(&self) -> PolicySettings {
        PolicySettings {
            behaviour: Behaviour::default(),
            default_transfer: Some(DEFAULT.parse().unwrap()),
            default_region: self.region.map(|region| region.parse().unwrap()),
            transfer_policy: self.policy(),
        }
    }

    fn sip_domain(&self) -> Option<SipDomain> {
        self.domain.map(|domain| domain.parse().unwrap())
    }

    /// Plays a call in which the conversation wants `action`, and returns the URI that leaves.
    fn transfers(&self, action: Action, transfer_to: Option<PhoneNumber>) -> Option<String> {
        let policy = self.policy().for_job(transfer_to.clone());
        let mut call = Call::new(CallSettings {
            direction: Direction::Outbound,
            behaviour: Behaviour::default(),
            default_transfer: Some(transfer_to.unwrap_or_else(|| DEFAULT.parse().unwrap())),
            sip_domain: self.sip_domain(),
            user_parameter: UserParameter::Absent,
            gate: TransferGate::new(policy, Arc::default()),
            plan: TransferPlan::new(TransferMode::Cold, Fallback::Bridge, []),
            hold: false,
        });
        let now = Instant::now();
        let told = [
            Input::Joined,
            Input::Phone {
                identity: "sip_+15550001111".to_owned(),
                status: CallStatus::Active,
            },
            Input::Dialed(Ok(Dialed::Answered)),
            Input::Turn {
                first: "That is what I want, at once and please.".to_owned(),
                second: None,
            },
            Input::Replied(Reply {
                say: Some("Sure.".to_owned()),
                then: action,
            }),
            Input::Spoke(Utterance(1)),
        ];
        for input in told {
            call.handle(now, input);
        }
        let mut left = None;
        while let Some(output) = call.poll_output() {
            match output {
                Output::Refer { target, .. } => left = Some(target.to_string()),
                Output::CallTarget { number, .. } => left = Some(number.to_string()),
                Output::Dial
                | Output::KeepNote { .. }
                | Output::Think(_)
                | Output::Say(..)
                | Output::Finish(_)
                | Output::Fill(_)
                | Output::StopSpeaking
                | Output::PauseSpeaking
                | Output::ResumeSpeaking
                | Output::PressKeys { .. }
                | Output::DismissTarget(_)
                | Output::Audience(_)
                | Output::End(_) => {}
            }
        }
        left
    }
}

/// One way in: what leaves through it for a text.
type Door = fn(&Operator, &str) -> Vec<String>;

const DOORS: [(&str, Door); 8] = [
    ("ReferTarget::parse", |operator, text| {
        let region = operator.dialogue().default_region;
        let target = ReferTarget::parse(text, operator.sip_domain().as_ref(), region);
        through_the_gate(operator, target.ok().map(|target| target.number().clone()))
    }),
    ("PhoneNumber::parse", |operator, text| {
        let region = operator.dialogue().default_region;
        through_the_gate(operator, PhoneNumber::parse(text, region).ok())
    }),
    ("job metadata as it stands", |operator, text| {
        dispatched(operator, text)
    }),
    ("transfer_to of the job", |operator, text| {
        let json = serde_json::json!({ "phone_number": "+918000000001", "transfer_to": text });
        dispatched(operator, &json.to_string())
    }),
    ("said", |operator, text| said(operator, text, None)),
    ("said twice", |operator, text| {
        said(operator, text, Some(text))
    }),
    ("asked to be transferred to", |operator, text| {
        said(operator, &format!("Transfer me to {text}"), None)
    }),
    ("named by the model", |operator, text| {
        let destination = serde_json::json!({ "destination": text }).to_string();
        [destination.as_str(), text]
            .into_iter()
            .flat_map(|arguments| called(operator, arguments))
            .collect()
    }),
];

fn through_the_gate(operator: &Operator, number: Option<PhoneNumber>) -> Vec<String> {
    let action = number.map(|number| Action::Transfer(TransferRequest::Number(number)));
    let left = action.and_then(|action| operator.transfers(action, None));
    left.into_iter().collect()
}

fn dispatched(operator: &Operator, json: &str) -> Vec<String> {
    let Ok((metadata, _)) = JobMetadata::parse(json) else {
        return Vec::new();
    };
    let default = Action::Transfer(TransferRequest::Default);
    let left = operator.transfers(default, metadata.transfer_to);
    left.into_iter().collect()
}

fn said(operator: &Operator, text: &str, second: Option<&str>) -> Vec<String> {
    let mut policy = DialoguePolicy::new(operator.dialogue());
    let reply = policy.hear(Heard::Turn {
        first: text.to_owned(),
        second: second.map(str::to_owned),
    });
    confirmed(operator, reply, &mut policy)
}

fn called(operator: &Operator, arguments: &str) -> Vec<String> {
    let mut brain = LlmBrain::new(MODEL.clone(), operator.dialogue());
    match brain.called("transfer_call", arguments) {
        Some(reply) => confirmed(operator, reply, brain.rules()),
        None => Vec::new(),
    }
}

/// What leaves at once, and what leaves when the person says yes to whatever is asked.
fn confirmed(operator: &Operator, reply: Reply, policy: &mut DialoguePolicy) -> Vec<String> {
    let mut left = Vec::from_iter(operator.transfers(reply.then, None));
    for _ in 0..3 {
        let reply = policy.hear(Heard::Turn {
            first: "Yes.".to_owned(),
            second: None,
        });
        left.extend(operator.transfers(reply.then, None));
    }
    left
}

/// `^(sip:\+[0-9]{6,15}@sip\.example\.net|tel:\+[0-9]{6,15})$`, and the number of it.
fn number_of(uri: &str, operator: &Operator) -> Option<String> {
    let digits = match operator.domain {
        Some(domain) => uri
            .strip_prefix("sip:+")?
            .strip_suffix(domain)?
            .strip_suffix('@')?,
        None => uri.strip_prefix("tel:+")?,
    };
    let is_number =
        (6..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("+{digits}"))
}

#[test]
fn the_corpus_is_large_and_has_no_line_twice() {
    let corpus = corpus();
    let distinct: BTreeSet<_> = corpus.iter().map(|request| &request.text).collect();
    assert!(distinct.len() >= 300, "{}", distinct.len());
    assert_eq!(distinct.len(), corpus.len());
}

#[test]
#[expect(clippy::print_stdout, reason = "the count is part of what it shows")]
fn no_hostile_request_leaves_the_machine() {
    let corpus = corpus();
    let (mut tried, mut ordinary, mut wrong) = (0, 0, Vec::new());
    for request in &corpus {
        for (door, pass) in DOORS {
            for operator in &OPERATORS {
                tried += 1;
                let Ok(left) = catch_unwind(AssertUnwindSafe(|| pass(operator, &request.text)))
                else {
                    wrong.push(format!("{door}: {} panics", request.text.escape_debug()));
                    continue;
                };
                for uri in left {
                    let number = number_of(&uri, operator);
                    let number = number.as_deref();
                    let of_the_operator = [DEFAULT, SALES].map(Some).contains(&number);
                    // The job's transfer_to is the dispatcher's word, which no list narrows.
                    let open = !operator.allow.starts_with("IN")
                        || door.contains("job")
                        || number.is_some_and(|number| number.starts_with("+91"));
                    let allowed =
                        open && number.is_some_and(|number| request.may_reach.contains(&number));
                    ordinary += u32::from(allowed);
                    if !of_the_operator && !allowed {
                        let text: String = request.text.chars().take(80).collect();
                        wrong.push(format!(
                            "{} by {door}, allow `{}`, region {:?}, confirmation {:?}: {} -> {uri}",
                            request.trick,
                            operator.allow,
                            operator.region,
                            operator.confirmation,
                            text.escape_debug(),
                        ));
                    }
                }
            }
        }
    }
    println!(
        "{} requests, {tried} attempts through {} doors under {} settings: {ordinary} reached the ordinary \
         number that they named, {} left otherwise",
        corpus.len(),
        DOORS.len(),
        OPERATORS.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ordinary > 0, "the doors are shut to everybody");
}
