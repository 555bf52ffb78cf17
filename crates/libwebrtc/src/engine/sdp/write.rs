//! Writes descriptions: section by section, in the order libwebrtc uses.

use std::fmt::{Arguments, Write as _};

use str0m::IceCreds;

use super::{Codec, Extension, Section, SectionKind, Setup};
use crate::rtp_transceiver::RtpTransceiverDirection;

/// Collects sections; [`DescriptionWriter::finish`] puts the session in front of them.
#[derive(Default)]
pub(crate) struct DescriptionWriter {
    body: String,
    /// Of the sections that were not rejected: they share one transport (RFC 9143).
    mids: Vec<String>,
}

/// Lines that every section repeats.
#[derive(Clone, Copy)]
pub(crate) struct TransportAttributes<'a> {
    pub(crate) credentials: &'a IceCreds,
    /// As in `a=fingerprint`.
    pub(crate) fingerprint: &'a str,
    pub(crate) setup: Setup,
}

/// A section of audio or video.
pub(crate) struct MediaSection<'a> {
    pub(crate) kind: SectionKind,
    pub(crate) mid: &'a str,
    pub(crate) direction: RtpTransceiverDirection,
    pub(crate) codecs: &'a [Codec],
    pub(crate) extensions: &'a [Extension],
    pub(crate) sent: Option<SentTrack<'a>>,
}

/// The track that a section sends. `livekit` finds its publication by `track_id`.
pub(crate) struct SentTrack<'a> {
    pub(crate) stream_id: &'a str,
    pub(crate) track_id: &'a str,
    pub(crate) ssrc: u32,
    pub(crate) cname: &'a str,
}

/// The section of the data channels.
pub(crate) struct ApplicationSection<'a> {
    pub(crate) mid: &'a str,
    pub(crate) max_message_size: u32,
}

impl DescriptionWriter {
    pub(crate) fn media(&mut self, section: &MediaSection<'_>, transport: TransportAttributes<'_>) {
        let payload_types: Vec<String> = section
            .codecs
            .iter()
            .map(|codec| codec.payload_type.to_string())
            .collect();
        let kind = name(&section.kind);
        self.line(format_args!(
            "m={kind} 9 UDP/TLS/RTP/SAVPF {}",
            payload_types.join(" ")
        ));
        self.line(format_args!("c=IN IP4 0.0.0.0"));
        self.line(format_args!("a=rtcp:9 IN IP4 0.0.0.0"));
        self.transport(section.mid, transport);
        for extension in section.extensions {
            self.line(format_args!("a=extmap:{} {}", extension.id, extension.uri));
        }
        self.line(format_args!("a={}", section.direction.attribute()));
        if let Some(sent) = &section.sent {
            self.line(format_args!("a=msid:{} {}", sent.stream_id, sent.track_id));
        }
        self.line(format_args!("a=rtcp-mux"));
        self.line(format_args!("a=rtcp-rsize"));
        for codec in section.codecs {
            self.codec(&section.kind, codec);
        }
        if let Some(sent) = &section.sent {
            let SentTrack {
                stream_id,
                track_id,
                ssrc,
                cname,
            } = sent;
            self.line(format_args!("a=ssrc:{ssrc} cname:{cname}"));
            self.line(format_args!("a=ssrc:{ssrc} msid:{stream_id} {track_id}"));
        }
    }

    pub(crate) fn application(
        &mut self,
        section: &ApplicationSection<'_>,
        transport: TransportAttributes<'_>,
    ) {
        self.line(format_args!(
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"
        ));
        self.line(format_args!("c=IN IP4 0.0.0.0"));
        self.transport(section.mid, transport);
        self.line(format_args!("a=sctp-port:5000"));
        self.line(format_args!(
            "a=max-message-size:{}",
            section.max_message_size
        ));
    }

    /// The answer to a section that we do not want.
    pub(crate) fn rejected(&mut self, offered: &Section) {
        let (kind, protocol) = (name(&offered.kind), &offered.protocol);
        self.line(format_args!(
            "m={kind} 0 {protocol} {}",
            offered.formats.join(" ")
        ));
        self.line(format_args!("c=IN IP4 0.0.0.0"));
        self.line(format_args!("a=inactive"));
        if let Some(mid) = offered.mid() {
            self.line(format_args!("a=mid:{mid}"));
        }
    }

    /// `session` and `version` are those of `o=` (RFC 8829 §5.2.1).
    pub(crate) fn finish(self, session: u64, version: u64) -> String {
        let mut head = Self::default();
        head.line(format_args!("v=0"));
        head.line(format_args!("o=- {session} {version} IN IP4 127.0.0.1"));
        head.line(format_args!("s=-"));
        head.line(format_args!("t=0 0"));
        head.line(format_args!("a=group:BUNDLE {}", self.mids.join(" ")));
        head.line(format_args!("a=extmap-allow-mixed"));
        head.line(format_args!("a=msid-semantic: WMS"));
        head.body + &self.body
    }

    fn transport(&mut self, mid: &str, transport: TransportAttributes<'_>) {
        let TransportAttributes {
            credentials,
            fingerprint,
            setup,
        } = transport;
        self.line(format_args!("a=ice-ufrag:{}", credentials.ufrag));
        self.line(format_args!("a=ice-pwd:{}", credentials.pass));
        self.line(format_args!("a=ice-options:trickle"));
        self.line(format_args!("a=fingerprint:{fingerprint}"));
        self.line(format_args!("a=setup:{}", setup.attribute()));
        self.line(format_args!("a=mid:{mid}"));
        self.mids.push(mid.to_owned());
    }

    fn codec(&mut self, kind: &SectionKind, codec: &Codec) {
        let Codec {
            payload_type,
            name,
            fmtp,
        } = codec;
        self.line(format_args!("a=rtpmap:{payload_type} {name}"));
        self.line(format_args!("a=rtcp-fb:{payload_type} transport-cc"));
        if *kind == SectionKind::Video {
            for feedback in ["ccm fir", "nack", "nack pli"] {
                self.line(format_args!("a=rtcp-fb:{payload_type} {feedback}"));
            }
        }
        if !fmtp.is_empty() {
            self.line(format_args!("a=fmtp:{payload_type} {fmtp}"));
        }
    }

    fn line(&mut self, line: Arguments<'_>) {
        self.body.write_fmt(line).expect("a String takes any text");
        self.body.push_str("\r\n");
    }
}

impl Setup {
    fn attribute(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
        }
    }
}

fn name(kind: &SectionKind) -> &str {
    match kind {
        SectionKind::Audio => "audio",
        SectionKind::Video => "video",
        SectionKind::Application => "application",
        SectionKind::Other(name) => name,
    }
}
