//! Our presence in the room while we wait: hidden, silent, subscribed to nothing.

use std::{
    future::pending,
    time::{Duration, Instant},
};

use livekit::{
    DisconnectReason, Room, RoomEvent, RoomOptions,
    participant::{Participant, ParticipantKind, RemoteParticipant},
};
use livekit_api::access_token::{AccessToken, VideoGrants};
use rand::Rng as _;
use secrecy::ExposeSecret as _;
use sip_config::LiveKitSettings;
use tokio::{sync::mpsc::UnboundedReceiver, time::sleep_until};
use transfer_core::{CallProgress, identity};

use crate::{
    call::Call,
    cli::Args,
    dispatch,
    ending::Ending,
    error::DialerError,
    follow::{Follow, PhoneStatus, Sight, Step},
    output,
};

/// How long somebody may stay away after our own connection was restored: the SDK reports everybody as
/// gone then, and as joined again afterwards.
const RETURN_LIMIT: Duration = Duration::from_secs(5);

pub(crate) struct Watch {
    room: Room,
    events: UnboundedReceiver<RoomEvent>,
    start: Instant,
    agent_name: String,
    /// The callee's identity.
    callee: String,
    /// Our own connection is being restored: nobody is gone before this.
    absence: Absence,
    /// Who was seen to leave meanwhile.
    left: Vec<Sight>,
}

#[derive(Clone, Copy)]
enum Absence {
    None,
    Reconnecting,
    Until(Instant),
}

impl Watch {
    /// Joins the room of a call that is about to be dispatched.
    pub(crate) async fn join(livekit: &LiveKitSettings, call: &Call) -> Result<Self, DialerError> {
        let cannot = |source| DialerError::CannotWatch {
            room: call.room.clone(),
            source,
        };
        let identity_suffix: u64 = rand::rng().random();
        let token = AccessToken::with_api_key(&livekit.api_key, livekit.api_secret.expose_secret())
            .with_identity(&format!("dialer-{identity_suffix:016x}"))
            .with_grants(VideoGrants {
                room_join: true,
                room: call.room.clone(),
                hidden: true,
                can_publish: Some(false),
                can_publish_data: Some(false),
                can_subscribe: Some(false),
                ..VideoGrants::default()
            })
            .to_jwt()
            .map_err(|error| cannot(error.into()))?;
        let mut options = RoomOptions::default();
        options.auto_subscribe = false;
        let (room, events) = Room::connect(&livekit.signal_url(), &token, options)
            .await
            .map_err(|error| cannot(error.into()))?;
        Ok(Self {
            room,
            events,
            start: Instant::now(),
            agent_name: call.agent_name.clone(),
            callee: identity(&call.number),
            absence: Absence::None,
            left: Vec::new(),
        })
    }

    /// When the call was about to be asked for.
    pub(crate) fn started(&self) -> Instant {
        self.start
    }

    /// Shows how the call goes until it is over, or until we are to wait no longer.
    pub(crate) async fn follow(
        mut self,
        livekit: &LiveKitSettings,
        call: &Call,
        args: &Args,
    ) -> Result<Ending, DialerError> {
        let mut follow = Follow::new(Instant::now(), args.worker_timeout());
        let give_up = args.timeout().map(|timeout| self.start + timeout);
        let mut sights = self.at_first();
        let ending = 'ending: loop {
            for sight in sights.drain(..) {
                follow.handle(Instant::now(), sight);
            }
            while let Some(step) = follow.poll_step() {
                match step {
                    Step::Show(event) => output::progress(args, event, self.start.elapsed()),
                    Step::TakeOver => {
                        if let Err(error) = dispatch::take_over(livekit, call).await {
                            output::warning(&error);
                        }
                    }
                    Step::HangUp => dispatch::hang_up(livekit, call).await?,
                    Step::End(outcome) => break 'ending Ending::Over(outcome),
                }
            }
            let returned = match self.absence {
                Absence::Until(until) => Some(until),
                Absence::None | Absence::Reconnecting => None,
            };
            tokio::select! {
                biased;
                event = self.events.recv() => match event {
                    Some(RoomEvent::Disconnected { reason }) if !ends_the_room(reason) => {
                        break Ending::ConnectionLost;
                    }
                    Some(event) => sights = self.sights(event),
                    None => break Ending::ConnectionLost,
                },
                () = sleep_until_maybe(returned) => sights = self.still_away(),
                () = sleep_until_maybe(follow.poll_timeout()) => {
                    follow.handle_timeout(Instant::now());
                }
                () = sleep_until_maybe(give_up) => break Ending::TimedOut,
                _ = tokio::signal::ctrl_c() => break Ending::Interrupted,
            }
        };
        // The room may be gone already.
        drop(self.room.close().await);
        Ok(ending)
    }

    /// What is to be seen when we come.
    fn at_first(&self) -> Vec<Sight> {
        let remembered = CallProgress::from_json(&self.room.metadata()).map(Sight::Remembered);
        let present = self.room.remote_participants();
        let seen = present
            .values()
            .flat_map(|participant| self.joined(participant));
        seen.chain(remembered).collect()
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "RoomEvent is non-exhaustive and mostly about media"
    )]
    fn sights(&mut self, event: RoomEvent) -> Vec<Sight> {
        match event {
            RoomEvent::ParticipantConnected(participant) => self.joined(&participant),
            RoomEvent::ParticipantAttributesChanged {
                participant: Participant::Remote(participant),
                ..
            } => self.attributes(&participant).into_iter().collect(),
            RoomEvent::ParticipantDisconnected(participant) => {
                let left = self.left(&participant);
                match self.absence {
                    Absence::None => left.into_iter().collect(),
                    Absence::Reconnecting | Absence::Until(_) => {
                        self.left.extend(left);
                        Vec::new()
                    }
                }
            }
            RoomEvent::RoomMetadataChanged { metadata, .. } => CallProgress::from_json(&metadata)
                .map(Sight::Remembered)
                .into_iter()
                .collect(),
            RoomEvent::Reconnecting => {
                self.absence = Absence::Reconnecting;
                Vec::new()
            }
            RoomEvent::Reconnected => {
                self.absence = Absence::Until(Instant::now() + RETURN_LIMIT);
                Vec::new()
            }
            RoomEvent::Disconnected { .. } => vec![Sight::RoomEnded],
            _ => Vec::new(),
        }
    }

    /// Those who left while our connection was being restored, and have not come back.
    fn still_away(&mut self) -> Vec<Sight> {
        self.absence = Absence::None;
        let present = self.room.remote_participants();
        let is_there = |identity: &str| present.keys().any(|there| there.as_str() == identity);
        let mut left = std::mem::take(&mut self.left);
        left.retain(|sight| match sight {
            Sight::AgentLeft(identity) => !is_there(identity),
            Sight::PhoneLeft => !is_there(&self.callee),
            Sight::AgentJoined(_)
            | Sight::AgentTold(_)
            | Sight::Phone(_)
            | Sight::Remembered(_)
            | Sight::RoomEnded => true,
        });
        left
    }

    fn joined(&self, participant: &RemoteParticipant) -> Vec<Sight> {
        let agent = self
            .is_agent(participant)
            .then(|| Sight::AgentJoined(participant.identity().to_string()));
        agent
            .into_iter()
            .chain(self.attributes(participant))
            .collect()
    }

    fn left(&self, participant: &RemoteParticipant) -> Option<Sight> {
        if self.is_agent(participant) {
            return Some(Sight::AgentLeft(participant.identity().to_string()));
        }
        self.is_callee(participant).then_some(Sight::PhoneLeft)
    }

    fn attributes(&self, participant: &RemoteParticipant) -> Option<Sight> {
        let attributes = participant.attributes();
        let attribute = |name: &str| attributes.get(name).map(String::as_str);
        if self.is_agent(participant) {
            return CallProgress::from_attributes(attribute).map(Sight::AgentTold);
        }
        if !self.is_callee(participant) {
            return None;
        }
        match attribute("sip.callStatus")? {
            "ringing" => Some(Sight::Phone(PhoneStatus::Ringing)),
            "active" | "automation" => Some(Sight::Phone(PhoneStatus::Active)),
            "hangup" => None,
            _ => Some(Sight::Phone(PhoneStatus::Dialing)),
        }
    }

    fn is_agent(&self, participant: &RemoteParticipant) -> bool {
        participant.kind() == ParticipantKind::Agent && participant.name() == self.agent_name
    }

    fn is_callee(&self, participant: &RemoteParticipant) -> bool {
        participant.identity().as_str() == self.callee
    }
}

/// Whether the room is gone, rather than only our connection to it.
fn ends_the_room(reason: DisconnectReason) -> bool {
    matches!(
        reason,
        DisconnectReason::RoomDeleted | DisconnectReason::RoomClosed
    )
}

async fn sleep_until_maybe(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => pending().await,
    }
}
