//! Offers and answers (RFC 8829).
//!
//! Where `livekit` needs it, the text rules: what is set may differ from what was created
//! (`inactive` becomes `recvonly`, `stereo=1` is added), an offer may be set long after it was
//! created or never, and the negotiated direction is the reverse of the answer, whatever the
//! transceiver asked for.

use std::time::Instant;

use crate::{
    RtcError,
    peer_connection::{OfferOptions, SignalingState},
    rtp_transceiver::RtpTransceiverDirection,
    session_description::{SdpType, SessionDescription},
};

use str0m::IceCreds;

use super::{
    codec::{Formats, MAX_RECEIVED_MESSAGE},
    media::applied_mid,
    peer::{Peer, PeerEvent},
    sdp::{
        ApplicationSection, Codec, Description, DescriptionWriter, Extension, MediaSection,
        Section, SectionKind, Setup, TransportAttributes,
    },
    transceiver::{Mid, TrackKind, Transceiver, TransceiverId},
    transport::Role,
};

pub(super) struct Signaling {
    pub(super) state: SignalingState,
    current_local: Option<SessionDescription>,
    pending_local: Option<SessionDescription>,
    current_remote: Option<SessionDescription>,
    pending_remote: Option<SessionDescription>,
    /// The sections in their order, which never changes (RFC 8829 §5.2.2).
    lines: Vec<Line>,
    /// How many of `lines` were negotiated.
    stable_lines: usize,
    next_mid: u32,
    session_id: u64,
    session_version: u64,
}

#[derive(Clone, Debug)]
enum Line {
    Media(TransceiverId),
    Application {
        mid: String,
    },
    /// A section of the other side that can only be rejected.
    Rejected(Section),
}

impl Signaling {
    pub(super) fn new(session_id: u64) -> Self {
        Self {
            state: SignalingState::Stable,
            current_local: None,
            pending_local: None,
            current_remote: None,
            pending_remote: None,
            lines: Vec::new(),
            stable_lines: 0,
            next_mid: 0,
            session_id,
            session_version: 1,
        }
    }

    pub(super) fn has_remote_description(&self) -> bool {
        self.current_remote.is_some() || self.pending_remote.is_some()
    }

    pub(super) fn has_application_section(&self) -> bool {
        self.lines
            .iter()
            .any(|line| matches!(line, Line::Application { .. }))
    }

    /// The section whose transport all others share.
    pub(super) fn bundle_mid(&self, transceivers: &[Transceiver]) -> String {
        let mid = match self.lines.first() {
            Some(Line::Media(id)) => transceivers[id.0].name().map(str::to_owned),
            Some(Line::Application { mid }) => Some(mid.clone()),
            Some(Line::Rejected(_)) | None => None,
        };
        mid.unwrap_or_else(|| "0".to_owned())
    }

    /// A name that no section has, ours or the other side's.
    fn new_mid(&mut self, transceivers: &[Transceiver]) -> String {
        loop {
            let mid = self.next_mid.to_string();
            self.next_mid += 1;
            let media = transceivers
                .iter()
                .any(|transceiver| transceiver.name() == Some(&mid));
            let application =
                |line: &Line| matches!(line, Line::Application { mid: taken } if *taken == mid);
            if !media && !self.lines.iter().any(application) {
                return mid;
            }
        }
    }
}

impl Peer {
    pub(crate) fn current_local_description(&self) -> Option<SessionDescription> {
        self.signaling.current_local.clone()
    }

    pub(crate) fn current_remote_description(&self) -> Option<SessionDescription> {
        self.signaling.current_remote.clone()
    }

    pub(crate) fn create_offer(
        &mut self,
        options: &OfferOptions,
    ) -> Result<SessionDescription, RtcError> {
        self.check_open()?;
        if !matches!(
            self.signaling.state,
            SignalingState::Stable | SignalingState::HaveLocalOffer
        ) {
            return Err(self.wrong_state("create an offer"));
        }
        if (options.ice_restart || self.transport.restart_wanted) && self.transport.started {
            self.transport.restart_wanted = false;
            self.transport.restart = Some(IceCreds::new());
        }
        self.place_sections();
        let mut writer = DescriptionWriter::default();
        for line in &self.signaling.lines {
            match line {
                Line::Application { mid } => {
                    writer
                        .application(&application(mid), self.transport_attributes(Setup::ActPass));
                }
                Line::Media(id) => {
                    let transceiver = &self.transceivers[id.0];
                    let kind = transceiver.kind.section();
                    let codecs = self.formats.codecs(&kind);
                    let extensions = self.formats.extensions(&kind);
                    let direction = transceiver.direction;
                    self.write_media(
                        &mut writer,
                        transceiver,
                        direction,
                        codecs,
                        &extensions,
                        Setup::ActPass,
                    );
                }
                Line::Rejected(section) => writer.rejected(section),
            }
        }
        Ok(self.describe(writer, SdpType::Offer))
    }

    pub(crate) fn create_answer(&mut self) -> Result<SessionDescription, RtcError> {
        self.check_open()?;
        let Some(offer) = &self.signaling.pending_remote else {
            return Err(self.wrong_state("create an answer"));
        };
        let offer = parse(offer)?;
        let setup = match offer.transport().map(|transport| transport.setup) {
            Ok(Some(Setup::Active)) => Setup::Passive,
            Ok(Some(Setup::Passive | Setup::ActPass) | None) | Err(_) => Setup::Active,
        };
        let mut writer = DescriptionWriter::default();
        for (section, line) in offer.sections.iter().zip(&self.signaling.lines) {
            match line {
                Line::Application { mid } if !section.is_rejected() => {
                    writer.application(&application(mid), self.transport_attributes(setup));
                }
                Line::Media(id) if self.codec_for(section).is_some() => {
                    let transceiver = &self.transceivers[id.0];
                    let wanted = section.direction().reversed();
                    let own = transceiver.direction;
                    let direction = RtpTransceiverDirection::new(
                        wanted.sends() && own.sends(),
                        wanted.receives() && own.receives(),
                    );
                    let codecs: Vec<Codec> = self.codec_for(section).into_iter().collect();
                    let in_force = self.formats.extensions(&section.kind);
                    let mut extensions = section.extensions();
                    extensions.retain(|extension| in_force.contains(extension));
                    self.write_media(
                        &mut writer,
                        transceiver,
                        direction,
                        &codecs,
                        &extensions,
                        setup,
                    );
                }
                Line::Media(_) | Line::Application { .. } | Line::Rejected(_) => {
                    writer.rejected(section)
                }
            }
        }
        Ok(self.describe(writer, SdpType::Answer))
    }

    pub(crate) fn set_local_description(
        &mut self,
        now: Instant,
        description: SessionDescription,
    ) -> Result<(), RtcError> {
        self.check_open()?;
        match description.sdp_type() {
            SdpType::Offer => self.set_local_offer(description)?,
            SdpType::Answer => self.set_local_answer(now, description)?,
            SdpType::PrAnswer => return Err(no_provisional_answers()),
            SdpType::Rollback => self.rollback(SignalingState::HaveLocalOffer)?,
        }
        self.advance(now);
        Ok(())
    }

    pub(crate) fn set_remote_description(
        &mut self,
        now: Instant,
        description: SessionDescription,
    ) -> Result<(), RtcError> {
        self.check_open()?;
        match description.sdp_type() {
            SdpType::Offer => self.set_remote_offer(now, description)?,
            SdpType::Answer => self.set_remote_answer(now, description)?,
            SdpType::PrAnswer => return Err(no_provisional_answers()),
            SdpType::Rollback => self.rollback(SignalingState::HaveRemoteOffer)?,
        }
        self.advance(now);
        Ok(())
    }

    fn set_local_offer(&mut self, description: SessionDescription) -> Result<(), RtcError> {
        if !matches!(
            self.signaling.state,
            SignalingState::Stable | SignalingState::HaveLocalOffer
        ) {
            return Err(self.wrong_state("set a local offer"));
        }
        let offer = parse(&description)?;
        let lines = &self.signaling.lines;
        if offer.sections.len() > lines.len() || offer.sections.len() < self.signaling.stable_lines
        {
            return Err(RtcError::sdp(
                "the offer does not have the sections of this connection",
            ));
        }
        for (section, line) in offer.sections.iter().zip(lines) {
            if let (Line::Media(id), Some(mid)) = (line, section.mid()) {
                self.transceivers[id.0].mid = Mid::Set(mid.to_owned());
            }
        }
        self.signaling.pending_local = Some(description);
        self.set_signaling_state(SignalingState::HaveLocalOffer);
        self.gather();
        Ok(())
    }

    fn set_remote_answer(
        &mut self,
        now: Instant,
        description: SessionDescription,
    ) -> Result<(), RtcError> {
        let offer = match (&self.signaling.pending_local, self.signaling.state) {
            (Some(offer), SignalingState::HaveLocalOffer) => parse(offer)?,
            _ => return Err(self.wrong_state("set a remote answer")),
        };
        let answer = parse(&description)?;
        let same_kinds = offer
            .sections
            .iter()
            .zip(&answer.sections)
            .all(|(a, b)| a.kind == b.kind);
        if offer.sections.len() != answer.sections.len() || !same_kinds {
            // The words of libwebrtc.
            return Err(RtcError::sdp(
                "The order of m-lines in answer doesn't match order in offer. Rejecting answer.",
            ));
        }
        let transport = answer
            .transport()
            .map_err(|err| RtcError::sdp(err.to_string()))?;
        for (section, line) in answer.sections.iter().zip(self.signaling.lines.clone()) {
            if let Line::Media(id) = line {
                self.apply_media(id, section, section.direction().reversed());
            }
        }
        self.signaling.current_local = self.signaling.pending_local.take();
        self.signaling.current_remote = Some(description);
        self.signaling.stable_lines = answer.sections.len();
        self.set_signaling_state(SignalingState::Stable);
        self.apply_transport(now, transport, Role::Offerer)
    }

    fn set_remote_offer(
        &mut self,
        now: Instant,
        description: SessionDescription,
    ) -> Result<(), RtcError> {
        if !matches!(
            self.signaling.state,
            SignalingState::Stable | SignalingState::HaveRemoteOffer
        ) {
            return Err(self.wrong_state("set a remote offer"));
        }
        let offer = parse(&description)?;
        let transport = offer
            .transport()
            .map_err(|err| RtcError::sdp(err.to_string()))?;
        self.check_offered_sections(&offer)?;
        if !self.transport.started {
            let sections = offer
                .sections
                .iter()
                .map(|s| (&s.kind, s.codecs(), s.extensions()));
            self.rebuild(now, Formats::of_offer(sections));
        } else if self.transport.remote_ufrag.as_ref() != Some(&transport.credentials.ufrag) {
            self.transport.restart = Some(IceCreds::new());
        }
        self.forget_new_lines();
        for section in &offer.sections[self.signaling.lines.len()..] {
            let line = self.line_for(section);
            self.signaling.lines.push(line);
        }
        for (section, line) in offer.sections.iter().zip(self.signaling.lines.clone()) {
            if let Line::Media(id) = line {
                self.apply_remote_streams(id, section);
            }
        }
        self.signaling.pending_remote = Some(description);
        self.set_signaling_state(SignalingState::HaveRemoteOffer);
        Ok(())
    }

    fn set_local_answer(
        &mut self,
        now: Instant,
        description: SessionDescription,
    ) -> Result<(), RtcError> {
        let offer = match (&self.signaling.pending_remote, self.signaling.state) {
            (Some(offer), SignalingState::HaveRemoteOffer) => parse(offer)?,
            _ => return Err(self.wrong_state("set a local answer")),
        };
        let answer = parse(&description)?;
        if answer.sections.len() != offer.sections.len() {
            return Err(RtcError::sdp(
                "the answer does not have the sections of the offer",
            ));
        }
        let transport = offer
            .transport()
            .map_err(|err| RtcError::sdp(err.to_string()))?;
        let lines = self.signaling.lines.clone();
        for ((offered, answered), line) in offer.sections.iter().zip(&answer.sections).zip(lines) {
            if let Line::Media(id) = line {
                self.apply_media(id, offered, answered.direction());
            }
        }
        self.signaling.current_local = Some(description);
        self.signaling.current_remote = self.signaling.pending_remote.take();
        self.signaling.stable_lines = self.signaling.lines.len();
        self.set_signaling_state(SignalingState::Stable);
        self.gather();
        self.apply_transport(now, transport, Role::Answerer)
    }

    /// Back to what was negotiated last (RFC 8829 §4.1.10.2).
    fn rollback(&mut self, from: SignalingState) -> Result<(), RtcError> {
        if self.signaling.state != from {
            return Err(self.wrong_state("roll back"));
        }
        self.forget_new_lines();
        self.signaling.pending_local = None;
        self.signaling.pending_remote = None;
        self.set_signaling_state(SignalingState::Stable);
        Ok(())
    }

    /// Takes back the places that were not negotiated.
    fn forget_new_lines(&mut self) {
        for line in self.signaling.lines.drain(self.signaling.stable_lines..) {
            if let Line::Media(id) = line {
                self.transceivers[id.0].mid = Mid::None;
            }
        }
    }

    /// Gives a place to whatever has none: transceivers as they were added, then data channels.
    fn place_sections(&mut self) {
        for index in 0..self.transceivers.len() {
            let transceiver = &self.transceivers[index];
            if transceiver.mid == Mid::None && !transceiver.is_stopped() {
                let mid = self.signaling.new_mid(&self.transceivers);
                self.transceivers[index].mid = Mid::Reserved(mid);
                self.signaling.lines.push(Line::Media(TransceiverId(index)));
            }
        }
        if !self.channels.is_empty() && !self.signaling.has_application_section() {
            let mid = self.signaling.new_mid(&self.transceivers);
            self.signaling.lines.push(Line::Application { mid });
        }
    }

    fn check_offered_sections(&self, offer: &Description) -> Result<(), RtcError> {
        let stable = &self.signaling.lines[..self.signaling.stable_lines];
        if offer.sections.len() < stable.len() {
            return Err(RtcError::sdp("the offer has fewer sections than before"));
        }
        for (section, line) in offer.sections.iter().zip(stable) {
            let same = match line {
                Line::Media(id) => self.transceivers[id.0].kind.section() == section.kind,
                Line::Application { .. } => section.kind == SectionKind::Application,
                Line::Rejected(_) => true,
            };
            if !same {
                return Err(RtcError::sdp("a section of the offer changed its kind"));
            }
        }
        if offer
            .sections
            .iter()
            .any(|s| !s.is_rejected() && s.mid().is_none())
        {
            return Err(RtcError::sdp("a section of the offer has no usable mid"));
        }
        Ok(())
    }

    fn line_for(&mut self, section: &Section) -> Line {
        let Some(mid) = section.mid().map(str::to_owned) else {
            return Line::Rejected(section.clone());
        };
        let kind = match section.kind {
            SectionKind::Audio => TrackKind::Audio,
            SectionKind::Video => TrackKind::Video,
            SectionKind::Application => return Line::Application { mid },
            SectionKind::Other(_) => return Line::Rejected(section.clone()),
        };
        // A transceiver that only waits for a section to send in takes it (RFC 8829 §5.10).
        let waiting = self.transceivers.iter().position(|transceiver| {
            let unplaced = transceiver.mid == Mid::None && !transceiver.is_stopped();
            unplaced && transceiver.kind == kind && transceiver.send.track.is_some()
        });
        let id = match waiting {
            Some(index) => TransceiverId(index),
            None => self.new_transceiver(
                kind,
                RtpTransceiverDirection::RecvOnly,
                Vec::new(),
                Vec::new(),
            ),
        };
        self.transceivers[id.0].mid = applied_mid(&mid);
        Line::Media(id)
    }

    /// The codec with which an offered section can be answered.
    fn codec_for(&self, section: &Section) -> Option<Codec> {
        let codecs = (!section.is_rejected()).then(|| section.codecs())?;
        self.formats.accepts(&section.kind, &codecs)
    }

    fn write_media(
        &self,
        writer: &mut DescriptionWriter,
        transceiver: &Transceiver,
        direction: RtpTransceiverDirection,
        codecs: &[Codec],
        extensions: &[Extension],
        setup: Setup,
    ) {
        let track_id = transceiver.send.track.as_ref().map(|track| track.id());
        let section = MediaSection {
            kind: transceiver.kind.section(),
            mid: transceiver.name().expect("a section of ours is named"),
            direction,
            codecs,
            extensions,
            sent: track_id
                .as_deref()
                .filter(|_| direction.sends())
                .map(|track_id| transceiver.send.description(track_id, &self.cname)),
        };
        writer.media(&section, self.transport_attributes(setup));
    }

    fn transport_attributes(&self, setup: Setup) -> TransportAttributes<'_> {
        TransportAttributes {
            credentials: self.transport.described_credentials(),
            fingerprint: &self.transport.fingerprint,
            setup,
        }
    }

    fn describe(&mut self, writer: DescriptionWriter, kind: SdpType) -> SessionDescription {
        self.signaling.session_version += 1;
        let text = writer.finish(self.signaling.session_id, self.signaling.session_version);
        SessionDescription::new(text, kind)
    }

    pub(super) fn set_signaling_state(&mut self, state: SignalingState) {
        if self.signaling.state != state {
            self.signaling.state = state;
            self.push_event(PeerEvent::SignalingState(state));
        }
    }

    fn wrong_state(&self, what: &str) -> RtcError {
        RtcError::state(format!("cannot {what} in state {:?}", self.signaling.state))
    }
}

fn application(mid: &str) -> ApplicationSection<'_> {
    ApplicationSection {
        mid,
        max_message_size: MAX_RECEIVED_MESSAGE,
    }
}

fn parse(description: &SessionDescription) -> Result<Description, RtcError> {
    Description::parse(description.text()).map_err(|err| RtcError::sdp(err.to_string()))
}

fn no_provisional_answers() -> RtcError {
    RtcError::unsupported("a provisional answer")
}
