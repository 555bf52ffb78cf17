//! Our presence in the room: joins, publishes, and tells the call what happens there.

use std::collections::HashMap;

use livekit::{
    DisconnectReason, Room, RoomError, RoomEvent, RoomOptions,
    options::TrackPublishOptions,
    participant::{Participant, ParticipantKind, RemoteParticipant},
    track::{RemoteTrack, TrackSource},
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    attributes::{CallStatus, masked, masked_identity},
    state::Input,
};
use crate::audio::{Speaker, listen};

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
}

impl Presence {
    /// Joins and stays until the room ends or `leave` is cancelled.
    pub(super) async fn attend(mut self, leave: CancellationToken) {
        let (room, mut events) = match self.join().await {
            Ok(joined) => joined,
            Err(error) => {
                warn!(%error, "cannot join the room");
                self.tell(Input::RoomLost).await;
                return;
            }
        };
        let mut listening = JoinSet::new();
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.handle(event, &mut listening).await,
                    None => break,
                },
                () = leave.cancelled() => break,
            }
        }
        if let Err(error) = room.close().await {
            debug!(%error, "room was closed already");
        }
    }

    async fn join(&self) -> Result<(Room, mpsc::UnboundedReceiver<RoomEvent>), RoomError> {
        let (room, events) = Room::connect(&self.url, &self.token, RoomOptions::default()).await?;
        info!("joined the room");
        let options = TrackPublishOptions {
            source: TrackSource::Microphone,
            ..Default::default()
        };
        room.local_participant()
            .publish_track(self.speaker.track(), options)
            .await?;
        debug!("audio track published");
        self.tell(Input::Joined).await;
        Ok((room, events))
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
                    self.tell(Input::PhoneLeft).await;
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
            RoomEvent::Reconnecting => warn!("connection to the room lost, reconnecting"),
            RoomEvent::Reconnected => info!("reconnected to the room"),
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
