//! A job: from its metadata to the report of how its call ended.

use std::sync::{Arc, Mutex};

use secrecy::ExposeSecret as _;
use sip_config::{AgentSettings, HoldSound, LiveKitSettings, OutboundTrunkSettings};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, info, info_span, warn};
use transfer_core::{
    CallOutcome, JobMetadata, TransferPlan, mask_digits,
    policy::{DayAttempts, TransferPolicy},
};

use crate::{
    Speech,
    behaviour::Behaviour,
    call::{
        self, Api, CallSettings, CallbackFile, Claim, Claimant, DialSettings, Direction, Outcome,
        RoomMemory, Setup, TransferGate, Transfers, outcome_of,
    },
    hold::hold_sound,
    metrics::Metrics,
    worker::messages::{Assignment, JobStatus},
};

/// What all jobs of the process share.
pub struct Agent {
    api: Arc<Api>,
    signal_url: String,
    trunk: OutboundTrunkSettings,
    settings: AgentSettings,
    behaviour: Behaviour,
    speech: Speech,
    callbacks: Option<CallbackFile>,
    metrics: Arc<Metrics>,
    transfer_policy: TransferPolicy,
    transfer_attempts: Arc<Mutex<DayAttempts>>,
}

impl Agent {
    /// `callbacks`: where it is noted who wants to be called back; `None`: nobody is offered that.
    pub fn new(
        livekit: &LiveKitSettings,
        trunk: OutboundTrunkSettings,
        settings: AgentSettings,
        behaviour: Behaviour,
        speech: Speech,
        callbacks: Option<CallbackFile>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let api = Api::new(
            &livekit.api_url(),
            &livekit.api_key,
            livekit.api_secret.expose_secret(),
        );
        Self {
            api: Arc::new(api),
            signal_url: livekit.signal_url(),
            transfer_policy: TransferPolicy::new(settings.transfer_rules.clone()),
            transfer_attempts: Arc::default(),
            callbacks,
            metrics,
            trunk,
            settings,
            behaviour,
            speech,
        }
    }

    /// Runs one job. Whatever happens to its call, its phone is hung up at the end, mostly by deleting the
    /// room: a phone that stays keeps the person in a silent call.
    ///
    /// `end` asks for a clean end.
    pub async fn run(self: Arc<Self>, job: Assignment, end: CancellationToken) -> JobStatus {
        let span = info_span!("call", room = mask_digits(&job.room));
        let room = job.room.clone();
        async {
            let claimant = Claimant::of(&job, &self.settings.agent_name);
            let mut setup = match self.prepare(job) {
                Ok(setup) => setup,
                Err(error) => return self.refuse(&room, &error).await,
            };
            if let Some(dial) = &mut setup.dial {
                match call::claim(&self.api, &claimant, dial, setup.memory).await {
                    Ok(Claim::Dial) => {}
                    Ok(Claim::Adopt) => dial.adopt = true,
                    Ok(Claim::Nothing(why)) => {
                        info!(%why, "job ended: nobody is dialled");
                        return JobStatus::Success;
                    }
                    Err(error) => return self.refuse(&room, &error.into()).await,
                }
            }
            let memory = setup.memory;
            let direction = setup.call.direction.name();
            let goes_on = self.metrics.call_begins();
            let ended = supervise(&self.api, &room, memory, call::run(setup, end)).await;
            drop(goes_on);
            let outcome = ended.map_or(CallOutcome::Lost, outcome_of);
            self.metrics.call_ended(direction, outcome);
            status_of(ended)
        }
        .instrument(span)
        .await
    }

    /// Ends a job before its call.
    async fn refuse(&self, room: &str, error: &anyhow::Error) -> JobStatus {
        error!(error = format!("{error:#}"), "job cannot be done");
        self.api.delete_room(room).await;
        JobStatus::Failed {
            reason: error.to_string(),
        }
    }

    fn prepare(&self, job: Assignment) -> anyhow::Result<Setup> {
        info!("Connecting to room: {}", mask_digits(&job.room));
        let (metadata, warnings) = JobMetadata::parse(&job.metadata)?;
        for warning in warnings {
            warn!("job metadata: {warning}");
        }
        if metadata.phone_number.is_none() {
            info!("No phone number in metadata. Treating as inbound/web call.");
        }
        let settings = &self.settings;
        let behaviour = self.behaviour.for_job(&metadata.agent);
        let policy = self.transfer_policy.for_job(metadata.transfer_to.clone());
        let gate = TransferGate::new(policy.clone(), self.transfer_attempts.clone());
        let voice = self.speech.voice(behaviour.voice());
        let call = call_settings(settings, behaviour.clone(), &metadata, gate);
        let mut brain = self
            .speech
            .brain(behaviour, call.default_transfer.clone(), policy);
        if self.callbacks.is_some() {
            brain.take_notes();
        }
        Ok(Setup {
            api: self.api.clone(),
            url: job.url.unwrap_or_else(|| self.signal_url.clone()),
            token: job.token,
            room: job.room,
            memory: match metadata.idempotency_key {
                Some(_) => RoomMemory::Outcome,
                None => RoomMemory::None,
            },
            call,
            transfers: Transfers {
                trunk_id: self.trunk.trunk_id.clone(),
                from: metadata.from_number.clone(),
                headers: metadata.sip_headers.clone().into_iter().collect(),
                dialtone: settings.transfer.hold_sound == HoldSound::Dialtone,
                hold_sound: hold_sound(settings.transfer.hold_sound),
                ringing_timeout: settings.transfer_ringing_timeout,
            },
            dial: metadata.phone_number.clone().map(|callee| DialSettings {
                trunk_id: self.trunk.trunk_id.clone(),
                callee,
                adopt: metadata.resume,
                metadata,
                ringing_timeout: settings.dial_ringing_timeout,
            }),
            callbacks: self.callbacks.clone(),
            brain,
            voice,
            ears: self.speech.ears(),
            metrics: self.metrics.clone(),
        })
    }
}

/// What the agent's settings and a job's metadata make of a call.
pub(crate) fn call_settings(
    settings: &AgentSettings,
    behaviour: Behaviour,
    metadata: &JobMetadata,
    gate: TransferGate,
) -> CallSettings {
    let default_transfer = metadata
        .transfer_to
        .clone()
        .or_else(|| settings.default_transfer_number.clone());
    CallSettings {
        direction: match metadata.phone_number {
            Some(_) => Direction::Outbound,
            None => Direction::Inbound,
        },
        behaviour,
        default_transfer,
        sip_domain: settings.sip_domain.clone(),
        user_parameter: settings.user_parameter,
        gate,
        plan: TransferPlan::new(
            settings.transfer.mode,
            settings.transfer.fallback,
            settings.transfer.next.iter().cloned(),
        ),
        hold: settings.transfer.hold_sound == HoldSound::Music,
    }
}

/// Runs the call as a task of its own, so that a panic in it ends here. The phone of such a call is hung
/// up here, and it has no outcome; otherwise the call does so itself.
async fn supervise(
    api: &Api,
    room: &str,
    memory: RoomMemory,
    call: impl Future<Output = Outcome> + Send + 'static,
) -> Option<Outcome> {
    let mut tasks = JoinSet::new();
    tasks.spawn(call.in_current_span());
    match tasks.join_next().await.expect("one task was spawned") {
        Ok(outcome) => {
            info!(%outcome, "job ended");
            Some(outcome)
        }
        Err(failed) => {
            error!(error = %failed, "call failed");
            api.end_call(room, memory, CallOutcome::Lost).await;
            None
        }
    }
}

/// LiveKit shows operators failed jobs; a call that nobody answered is one.
fn status_of(ended: Option<Outcome>) -> JobStatus {
    match ended {
        Some(outcome @ (Outcome::NotAnswered(_) | Outcome::RoomLost)) => JobStatus::Failed {
            reason: outcome.to_string(),
        },
        Some(
            Outcome::Transferred(_)
            | Outcome::PhoneLeft
            | Outcome::AgentHungUp
            | Outcome::AnsweredByMachine { .. }
            | Outcome::Terminated,
        ) => JobStatus::Success,
        None => JobStatus::Failed {
            reason: "call failed".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use transfer_core::DialFailure;

    use super::*;
    use crate::twirp_server::{Answer, TwirpServer};

    #[tokio::test]
    async fn a_call_that_panics_is_a_failed_job_and_leaves_no_room_behind() {
        let server = TwirpServer::start(|_| Answer::Ok(Vec::new())).await;

        let ended = supervise(&server.api(), "call-1", RoomMemory::None, async {
            panic!("provoked by the test")
        })
        .await;

        assert_eq!(
            status_of(ended),
            JobStatus::Failed {
                reason: "call failed".to_owned()
            }
        );
        assert_eq!(server.methods(), ["RoomService/DeleteRoom"]);
    }

    #[test]
    fn a_call_that_nobody_answered_is_a_failed_job_and_a_hung_up_one_is_not() {
        let busy = status_of(Some(Outcome::NotAnswered(DialFailure::Busy)));
        assert_eq!(
            busy,
            JobStatus::Failed {
                reason: "not answered: the callee is busy".to_owned()
            }
        );
        assert_eq!(status_of(Some(Outcome::PhoneLeft)), JobStatus::Success);
    }
}
