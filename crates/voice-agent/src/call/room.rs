//! Our presence in the room: joins, publishes, and tells the call what happens there.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use livekit::{
    DisconnectReason, Room, RoomEvent, RoomOptions,
    options::TrackPublishOptions,
    participant::{Participant, ParticipantKind, ParticipantTrackPermission, RemoteParticipant},
    prelude::{ParticipantIdentity, TrackSid},
    track::{LocalTrack, RemoteTrack, TrackSource},
};
use speech::Pcm;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use transfer_core::CallProgress;

use super::{
    Api,
    attributes::{CallStatus, masked, masked_identity},
    dtmf::{self, Press},
    handover::Audience,
    progress, sleep_until_maybe,
    state::{Input, Party},
    target::is_target,
};
use crate::audio::{Speaker, listen};

/// How long a phone may stay away after our own connection was restored: both lost the same server
/// and come back in any order.
const RETURN_LIMIT: Duration = Duration::from_secs(10);

/// How soon and how seldom caller and target are kept apart again while they shall not hear each other.
const KEEP_APART_FIRST: Duration = Duration::from_millis(50);
const KEEP_APART_LAST: Duration = Duration::from_secs(2);

/// Which participant is the person on the phone.
#[derive(Debug, Clone)]
pub(super) enum Phone {
    /// The callee that we dial.
    Identity(String),
    /// Whoever came by SIP; the first one stays.
    AnySip,
}

pub(super) struct Presence {
    pub(super) api: Arc<Api>,
    pub(super) room_name: String,
    pub(super) url: String,
    pub(super) token: String,
    pub(super) phone: Phone,
    pub(super) speaker: Speaker,
    /// What a caller on hold hears; `None` is silence.
    pub(super) hold_sound: Option<Pcm>,
    pub(super) audience: watch::Receiver<Audience>,
    /// Where the person's audio goes: 10 ms of 16 kHz mono each.
    pub(super) frames: mpsc::Sender<Vec<i16>>,
    pub(super) inputs: mpsc::Sender<Input>,
    /// What is to be pressed on the phones.
    pub(super) presses: Option<mpsc::Receiver<Press>>,
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
        let mut listening = JoinSet::new();
        if let Some((progress, ended)) = self.progress.take() {
            listening.spawn(progress::publish(room.local_participant(), progress, ended));
        }
        if let Some(presses) = self.presses.take() {
            listening.spawn(dtmf::press(room.local_participant(), presses));
        }
        let Some(voice) = publish(room, self.speaker.track("agent")).await else {
            self.tell(Input::RoomLost).await;
            return;
        };
        debug!("audio track published");
        self.tell(Input::Joined).await;
        let mut stage = Stage::new(room, voice);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => {
                        let moved = moves_the_stage(&event);
                        self.handle(event, &mut listening).await;
                        if moved && *self.audience.borrow() != Audience::Caller {
                            stage.set(self).await;
                        }
                    }
                    None => return,
                },
                Ok(()) = self.audience.changed() => {
                    self.audience.borrow_and_update();
                    stage.set(self).await;
                }
                () = sleep_until_maybe(stage.keep_apart_at) => stage.keep_apart(self).await,
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
                } else if is_target(participant.identity().as_str()) {
                    self.tell(Input::TargetLeft).await;
                }
            }
            RoomEvent::TrackSubscribed {
                track: RemoteTrack::Audio(track),
                participant,
                ..
            } => {
                if let Some(party) = self.party(&participant) {
                    debug!(?party, "listening to the phone");
                    let audience = self.audience.clone();
                    let attended = move || match *audience.borrow() {
                        Audience::Caller => party == Party::Caller,
                        Audience::Target => party == Party::Target,
                        Audience::Together => false,
                    };
                    listening.spawn(listen(track, self.frames.clone(), attended));
                }
            }
            RoomEvent::SipDTMFReceived {
                digit: Some(digit),
                participant: Some(participant),
                ..
            } => {
                if let (Some(from), Some(key)) = (self.party(&participant), digit.chars().next()) {
                    debug!(?from, "key pressed");
                    self.tell(Input::Key { from, key }).await;
                }
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

    /// Whose phone the participant is; `None` for anybody else, such as a supervisor with a browser.
    fn party(&self, participant: &RemoteParticipant) -> Option<Party> {
        if self.is_phone(participant) {
            Some(Party::Caller)
        } else if is_target(participant.identity().as_str()) {
            Some(Party::Target)
        } else {
            None
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

/// Who hears whom, carried out: by permissions for our own tracks, by subscriptions for the others'.
struct Stage<'r> {
    room: &'r Room,
    /// The track that the agent speaks on.
    voice: TrackSid,
    hold: Speaker,
    /// Published when somebody is on hold for the first time.
    hold_track: Option<TrackSid>,
    /// Plays the hold sound.
    playing: JoinSet<()>,
    /// When caller and target are kept apart again.
    keep_apart_at: Option<Instant>,
    keep_apart_pause: Duration,
}

impl<'r> Stage<'r> {
    fn new(room: &'r Room, voice: TrackSid) -> Self {
        Self {
            room,
            voice,
            hold: Speaker::new(),
            hold_track: None,
            playing: JoinSet::new(),
            keep_apart_at: None,
            keep_apart_pause: KEEP_APART_FIRST,
        }
    }

    /// Makes it so that `presence.audience` is true of those who are in the room.
    async fn set(&mut self, presence: &Presence) {
        let audience = *presence.audience.borrow();
        if audience == Audience::Target {
            self.play_hold_sound(presence.hold_sound.as_ref()).await;
            self.part(presence).await;
            self.keep_apart_pause = KEEP_APART_FIRST;
            self.keep_apart_at = Some(Instant::now() + KEEP_APART_FIRST);
        } else {
            self.keep_apart_at = None;
            self.playing.abort_all();
            self.hold.stop();
            self.permit(true, Vec::new()).await;
        }
        self.subscribe(presence, audience == Audience::Together)
            .await;
    }

    /// Keeps caller and target apart, again and again: livekit-sip subscribes a phone to everybody in the
    /// moment in which it is answered, which may be after we said otherwise.
    async fn keep_apart(&mut self, presence: &Presence) {
        self.subscribe(presence, false).await;
        self.keep_apart_pause = (self.keep_apart_pause * 2).min(KEEP_APART_LAST);
        self.keep_apart_at = Some(Instant::now() + self.keep_apart_pause);
    }

    async fn play_hold_sound(&mut self, sound: Option<&Pcm>) {
        let Some(sound) = sound else { return };
        if self.hold_track.is_none() {
            self.hold_track = publish(self.room, self.hold.track("hold")).await;
        }
        if self.playing.is_empty() {
            self.playing.spawn(self.hold.clone().repeat(sound.clone()));
        }
    }

    /// The caller gets the hold sound, the target the agent's voice.
    async fn part(&self, presence: &Presence) {
        let permissions = self.room.remote_participants().into_values();
        let permissions = permissions.filter_map(|participant| {
            let track = match presence.party(&participant)? {
                Party::Caller => self.hold_track.clone(),
                Party::Target => Some(self.voice.clone()),
            };
            Some(ParticipantTrackPermission {
                participant_identity: participant.identity(),
                allow_all: false,
                allowed_track_sids: track.into_iter().collect(),
            })
        });
        self.permit(false, permissions.collect()).await;
    }

    async fn permit(&self, all: bool, permissions: Vec<ParticipantTrackPermission>) {
        let us = self.room.local_participant();
        if let Err(error) = us
            .set_track_subscription_permissions(all, permissions)
            .await
        {
            warn!(%error, "cannot set who hears the agent");
        }
    }

    /// Lets caller and target hear each other, or keeps them apart.
    async fn subscribe(&self, presence: &Presence, hear_each_other: bool) {
        let participants = self.room.remote_participants();
        let of = |party| {
            let participant = participants
                .values()
                .find(|participant| presence.party(participant) == Some(party))?;
            let tracks = participant.track_publications().into_keys();
            let tracks: Vec<String> = tracks.map(|sid| sid.to_string()).collect();
            Some((participant.identity(), tracks))
        };
        let (Some(caller), Some(target)) = (of(Party::Caller), of(Party::Target)) else {
            return;
        };
        for ((listener, _), (_, tracks)) in [(&caller, &target), (&target, &caller)] {
            self.subscribe_one(presence, listener, tracks, hear_each_other)
                .await;
        }
    }

    async fn subscribe_one(
        &self,
        presence: &Presence,
        listener: &ParticipantIdentity,
        tracks: &[String],
        subscribe: bool,
    ) {
        if tracks.is_empty() {
            return;
        }
        let rooms = &presence.api.rooms;
        let (room, listener) = (&presence.room_name, listener.as_str());
        let set = rooms.update_subscriptions(room, listener, tracks.to_vec(), subscribe);
        if let Err(error) = set.await {
            warn!(%error, listener = masked_identity(listener), "cannot set who is heard");
        }
    }
}

/// Whether somebody or something to be heard came into the room, or a phone was answered.
fn moves_the_stage(event: &RoomEvent) -> bool {
    matches!(
        event,
        RoomEvent::ParticipantConnected(_)
            | RoomEvent::TrackPublished { .. }
            | RoomEvent::TrackSubscribed { .. }
            | RoomEvent::ParticipantAttributesChanged { .. }
    )
}

/// Publishes an audio track and returns its id, or `None` when LiveKit refused it.
async fn publish(room: &Room, track: LocalTrack) -> Option<TrackSid> {
    let options = TrackPublishOptions {
        source: TrackSource::Microphone,
        ..Default::default()
    };
    match room.local_participant().publish_track(track, options).await {
        Ok(publication) => Some(publication.sid()),
        Err(error) => {
            warn!(%error, "cannot publish the audio track");
            None
        }
    }
}
