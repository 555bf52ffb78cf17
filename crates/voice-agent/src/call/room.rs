//! Our presence in the room: joins, publishes, and tells the call what happens there.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use livekit::{
    DisconnectReason, Room, RoomEvent, RoomOptions,
    options::TrackPublishOptions,
    participant::{Participant, ParticipantKind, RemoteParticipant},
    track::{RemoteTrack, TrackSource},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use transfer_core::CallProgress;

use super::{
    attributes::{CallStatus, masked, masked_identity},
    progress, sleep_until_maybe,
    state::Input,
};
use crate::audio::{Speaker, listen};

/// How long a phone may stay away after our own connection was restored: both lost the same server
/// and come back in any order.
const RETURN_LIMIT: Duration = Duration::from_secs(10);

/// Which participant is the person on the phone.
#[derive(Debug, Clone)]
pub(super) enum Phone {
    /// The callee that we dial.
    Identity(String),
    /// Whoever came by SIP; the first one stays.
    AnySip,
}

pub(super) struct Presence {
    pub(super) url: String,
    pub(super) token: String,
    pub(super) phone: Phone,
    pub(super) speaker: Speaker,
    /// Where the person's audio goes: 10 ms of 16 kHz mono each.
    pub(super) frames: mpsc::Sender<Vec<i16>>,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) absence: Absence,
    /// What we tell about the call, and whom we tell when its end is told.
    pub(super) progress: Option<(watch::Receiver<CallProgress>, mpsc::Sender<()>)>,
}

/// Whether the phone is gone, while our own connection is being restored: the SDK reports everybody
/// as gone then, and as joined again afterwards.
#[derive(Debug, Default)]
pub(super) struct Absence {
    reconnecting: bool,
    phone_missing: bool,
    /// When a phone that has not come back counts as gone.
    until: Option<Instant>,
}

impl Presence {
    /// Joins and stays until the room ends or `leave` is cancelled.
    pub(super) async fn attend(mut self, leave: CancellationToken) {
        let options = RoomOptions::default();
        let joined = tokio::select! {
            joined = Room::connect(&self.url, &self.token, options) => joined,
            () = leave.cancelled() => return,
        };
        let (room, mut events) = match joined {
            Ok(joined) => joined,
            Err(error) => {
                warn!(%error, "cannot join the room");
                self.tell(Input::RoomLost).await;
                return;
            }
        };
        info!("joined the room");
        tokio::select! {
            () = self.stay(&room, &mut events) => {}
            () = leave.cancelled() => {}
        }
        if let Err(error) = room.close().await {
            debug!(%error, "room was closed already");
        }
    }

    /// Publishes our track and follows the events until the room ends.
    async fn stay(&mut self, room: &Room, events: &mut mpsc::UnboundedReceiver<RoomEvent>) {
        let options = TrackPublishOptions {
            source: TrackSource::Microphone,
            ..Default::default()
        };
        let publish = room.local_participant();
        let mut listening = JoinSet::new();
        if let Some((progress, ended)) = self.progress.take() {
            listening.spawn(progress::publish(publish.clone(), progress, ended));
        }
        if let Err(error) = publish.publish_track(self.speaker.track(), options).await {
            warn!(%error, "cannot publish the audio track");
            self.tell(Input::RoomLost).await;
            return;
        }
        debug!("audio track published");
        self.tell(Input::Joined).await;
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.handle(event, &mut listening).await,
                    None => return,
                },
                () = sleep_until_maybe(self.absence.until) => {
                    self.absence = Absence::default();
                    info!("the phone did not come back");
                    self.tell(Input::PhoneLeft).await;
                }
            }
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "RoomEvent is non-exhaustive and mostly about what a phone call does not have"
    )]
    async fn handle(&mut self, event: RoomEvent, listening: &mut JoinSet<()>) {
        match event {
            RoomEvent::Connected {
                participants_with_tracks,
            } => {
                for (participant, _) in participants_with_tracks {
                    self.participant_joined(&participant).await;
                }
            }
            RoomEvent::ParticipantConnected(participant) => {
                self.participant_joined(&participant).await;
            }
            RoomEvent::ParticipantAttributesChanged {
                participant: Participant::Remote(participant),
                changed_attributes,
            } if self.is_phone(&participant) => {
                debug!(
                    attributes = masked(&changed_attributes),
                    "attributes changed"
                );
                self.tell_status(&participant, &changed_attributes).await;
            }
            RoomEvent::ParticipantDisconnected(participant) => {
                let reason = participant.disconnect_reason();
                info!(
                    identity = masked_identity(participant.identity().as_str()),
                    ?reason,
                    "participant left"
                );
                if self.is_phone(&participant) {
                    if self.absence.reconnecting {
                        self.absence.phone_missing = true;
                    } else {
                        self.tell(Input::PhoneLeft).await;
                    }
                }
            }
            RoomEvent::TrackSubscribed {
                track: RemoteTrack::Audio(track),
                participant,
                ..
            } if self.is_phone(&participant) => {
                debug!("listening to the phone");
                listening.spawn(listen(track, self.frames.clone()));
            }
            RoomEvent::LocalTrackSubscribed { .. } => self.tell(Input::Audible).await,
            RoomEvent::Reconnecting => {
                warn!("connection to the room lost, reconnecting");
                self.absence.reconnecting = true;
            }
            RoomEvent::Reconnected => {
                info!("reconnected to the room");
                self.absence.reconnecting = false;
                if self.absence.phone_missing {
                    self.absence.until = Some(Instant::now() + RETURN_LIMIT);
                }
            }
            RoomEvent::Disconnected { reason } => {
                if reason != DisconnectReason::ClientInitiated {
                    info!(reason = reason.as_str_name(), "room ended");
                }
                self.tell(Input::RoomLost).await;
            }
            _ => {}
        }
    }

    async fn participant_joined(&mut self, participant: &RemoteParticipant) {
        let attributes = participant.attributes();
        info!(
            identity = masked_identity(participant.identity().as_str()),
            kind = ?participant.kind(),
            attributes = masked(&attributes),
            "PARTICIPANT JOINED"
        );
        if matches!(self.phone, Phone::AnySip) && participant.kind() == ParticipantKind::Sip {
            self.phone = Phone::Identity(participant.identity().to_string());
        }
        if self.is_phone(participant) {
            self.absence.phone_missing = false;
            self.absence.until = None;
            self.tell_status(participant, &attributes).await;
        }
    }

    async fn tell_status(
        &self,
        participant: &RemoteParticipant,
        attributes: &HashMap<String, String>,
    ) {
        if let Some(status) = CallStatus::of(attributes) {
            let identity = participant.identity().to_string();
            self.tell(Input::Phone { identity, status }).await;
        }
    }

    fn is_phone(&self, participant: &RemoteParticipant) -> bool {
        match &self.phone {
            Phone::Identity(identity) => participant.identity().as_str() == identity,
            Phone::AnySip => false,
        }
    }

    /// The call drops its end when it is over; nothing is worth telling then.
    async fn tell(&self, input: Input) {
        if self.inputs.send(input).await.is_err() {
            debug!("call is over");
        }
    }
}
