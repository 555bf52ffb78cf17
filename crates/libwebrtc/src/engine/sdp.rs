//! Session descriptions (RFC 8866) as JSEP (RFC 8829) uses them: sections of attributes.
//!
//! Reading is lenient, because `livekit` unwraps what [`crate::session_description`] parses: what
//! is not understood is kept or skipped, and what is missing is an error only where it is needed.

use str0m::{Candidate, IceCreds, config::Fingerprint};

use crate::{rtp_transceiver::RtpTransceiverDirection, session_description::SdpParseError};

mod write;

pub(crate) use write::{
    ApplicationSection, DescriptionWriter, MediaSection, SentTrack, TransportAttributes,
};

/// Names of more characters do not fit into the mid header extension as str0m keeps it.
const MAX_MID_LEN: usize = 16;

#[derive(Clone, Debug, Default)]
pub(crate) struct Description {
    attributes: Attributes,
    pub(crate) sections: Vec<Section>,
}

/// A media description: an m-line and its attributes.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) kind: SectionKind,
    /// 0 rejects the section (RFC 8829 §5.3.1).
    pub(crate) port: u16,
    /// As on the m-line, e.g. `UDP/TLS/RTP/SAVPF`.
    pub(crate) protocol: String,
    /// Payload types, or `webrtc-datachannel`.
    pub(crate) formats: Vec<String>,
    attributes: Attributes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SectionKind {
    Audio,
    Video,
    Application,
    Other(String),
}

/// A codec of a section, `name` as in `a=rtpmap`: `opus/48000/2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Codec {
    pub(crate) payload_type: u8,
    pub(crate) name: String,
    pub(crate) fmtp: String,
}

/// A header extension (RFC 8285): the id belongs to the offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extension {
    pub(crate) id: u8,
    pub(crate) uri: String,
}

/// The DTLS roles of `a=setup` (RFC 8842).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    Active,
    Passive,
    ActPass,
}

/// What the bundled transport of the other side is: ICE (RFC 8839) and DTLS (RFC 8122).
#[derive(Clone, Debug)]
pub(crate) struct RemoteTransport {
    pub(crate) credentials: IceCreds,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) setup: Option<Setup>,
    pub(crate) ice_lite: bool,
    pub(crate) candidates: Vec<Candidate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("no ICE credentials in the remote description")]
    NoIceCredentials,
    #[error("no DTLS fingerprint in the remote description")]
    NoFingerprint,
}

#[derive(Clone, Debug, Default)]
struct Attributes(Vec<(String, String)>);

impl Description {
    pub(crate) fn parse(text: &str) -> Result<Self, SdpParseError> {
        let mut description: Option<Self> = None;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let error = |description: &str| SdpParseError {
                line: line.to_owned(),
                description: description.to_owned(),
            };
            let (kind, value) = line
                .split_once('=')
                .ok_or_else(|| error("expected <type>=<value>"))?;
            let Some(description) = &mut description else {
                if kind != "v" {
                    return Err(error("expected v="));
                }
                description = Some(Self::default());
                continue;
            };
            match kind {
                "m" => description
                    .sections
                    .push(Section::parse(value).map_err(error)?),
                "a" => description.last_attributes().push(value),
                _ if kind.len() == 1 => {}
                _ => return Err(error("a line type is one letter")),
            }
        }
        description.ok_or_else(|| SdpParseError {
            line: String::new(),
            description: "empty session description".to_owned(),
        })
    }

    fn last_attributes(&mut self) -> &mut Attributes {
        match self.sections.last_mut() {
            Some(section) => &mut section.attributes,
            None => &mut self.attributes,
        }
    }

    /// The transport that all sections share (BUNDLE): attributes of the first section that was
    /// not rejected and has them, else of the session. livekit-server (pion) gives the fingerprint
    /// for the session only.
    pub(crate) fn transport(&self) -> Result<RemoteTransport, TransportError> {
        let attribute = |name| {
            let mut live = self.sections.iter().filter(|section| section.port != 0);
            live.find_map(|section| section.attributes.first(name))
                .or_else(|| self.attributes.first(name))
        };
        let (Some(ufrag), Some(pass)) = (attribute("ice-ufrag"), attribute("ice-pwd")) else {
            return Err(TransportError::NoIceCredentials);
        };
        let fingerprint = attribute("fingerprint")
            .and_then(parse_fingerprint)
            .ok_or(TransportError::NoFingerprint)?;
        let candidates = self.sections.iter().flat_map(|section| {
            let lines = section.attributes.all("candidate");
            lines.filter_map(|line| Candidate::from_sdp_string(&format!("candidate:{line}")).ok())
        });
        Ok(RemoteTransport {
            credentials: IceCreds {
                ufrag: ufrag.to_owned(),
                pass: pass.to_owned(),
            },
            fingerprint,
            setup: match attribute("setup") {
                Some("active") => Some(Setup::Active),
                Some("passive") => Some(Setup::Passive),
                Some("actpass") => Some(Setup::ActPass),
                _ => None,
            },
            ice_lite: self.attributes.first("ice-lite").is_some(),
            candidates: candidates.collect(),
        })
    }
}

/// `sha-256 AB:CD:…` (RFC 8122 §5).
fn parse_fingerprint(value: &str) -> Option<Fingerprint> {
    let (hash_func, hex) = value.split_once(' ')?;
    let bytes: Result<Vec<u8>, _> = hex
        .trim()
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16))
        .collect();
    Some(Fingerprint {
        hash_func: hash_func.to_ascii_lowercase(),
        bytes: bytes.ok()?,
    })
}

impl Section {
    /// `value` is what follows `m=`.
    fn parse(value: &str) -> Result<Self, &'static str> {
        let mut words = value.split_whitespace();
        let (Some(kind), Some(port), Some(protocol)) = (words.next(), words.next(), words.next())
        else {
            return Err("expected m=<media> <port> <proto> <fmt>");
        };
        let (port, _count) = port.split_once('/').unwrap_or((port, ""));
        Ok(Self {
            kind: match kind {
                "audio" => SectionKind::Audio,
                "video" => SectionKind::Video,
                "application" => SectionKind::Application,
                other => SectionKind::Other(other.to_owned()),
            },
            port: port.parse().map_err(|_| "the port is not a number")?,
            protocol: protocol.to_owned(),
            formats: words.map(str::to_owned).collect(),
            attributes: Attributes::default(),
        })
    }

    /// The name of the section (RFC 5888), if it has one that can be used.
    pub(crate) fn mid(&self) -> Option<&str> {
        let usable = |mid: &&str| (1..=MAX_MID_LEN).contains(&mid.len()) && mid.is_ascii();
        self.attributes.first("mid").filter(usable)
    }

    pub(crate) fn is_rejected(&self) -> bool {
        self.port == 0
    }

    /// As seen by who wrote the description; inactive when rejected.
    pub(crate) fn direction(&self) -> RtpTransceiverDirection {
        if self.is_rejected() {
            return RtpTransceiverDirection::Inactive;
        }
        let mut names = self.attributes.0.iter().map(|(name, _)| name.as_str());
        names
            .find_map(|name| match name {
                "sendrecv" => Some(RtpTransceiverDirection::SendRecv),
                "sendonly" => Some(RtpTransceiverDirection::SendOnly),
                "recvonly" => Some(RtpTransceiverDirection::RecvOnly),
                "inactive" => Some(RtpTransceiverDirection::Inactive),
                _ => None,
            })
            .unwrap_or(RtpTransceiverDirection::SendRecv)
    }

    pub(crate) fn codecs(&self) -> Vec<Codec> {
        let codec = |line: &str| {
            let (number, name) = line.split_once(' ')?;
            let mut fmtp = self
                .attributes
                .all("fmtp")
                .filter_map(|l| l.split_once(' '));
            Some(Codec {
                payload_type: number.parse().ok().filter(|pt| *pt < 128)?,
                name: name.trim().to_owned(),
                fmtp: fmtp
                    .find_map(|(pt, value)| (pt == number).then(|| value.to_owned()))
                    .unwrap_or_default(),
            })
        };
        self.attributes.all("rtpmap").filter_map(codec).collect()
    }

    pub(crate) fn extensions(&self) -> Vec<Extension> {
        let extension = |line: &str| {
            let (id, uri) = line.split_once(' ')?;
            let (id, _direction) = id.split_once('/').unwrap_or((id, ""));
            Some(Extension {
                // One-byte headers only (RFC 8285 §4.2).
                id: id.parse().ok().filter(|id| (1..=14).contains(id))?,
                uri: uri.split_whitespace().next()?.to_owned(),
            })
        };
        self.attributes
            .all("extmap")
            .filter_map(extension)
            .collect()
    }

    /// The announced sources without those that only repair others (RFC 4588 RTX).
    pub(crate) fn ssrcs(&self) -> Vec<u32> {
        let repairs: Vec<u32> = self
            .attributes
            .all("ssrc-group")
            .filter_map(|group| group.strip_prefix("FID ")?.split_whitespace().nth(1))
            .filter_map(|ssrc| ssrc.parse().ok())
            .collect();
        let mut ssrcs: Vec<u32> = Vec::new();
        for line in self.attributes.all("ssrc") {
            let number = line.split_whitespace().next().and_then(|n| n.parse().ok());
            if let Some(ssrc) = number
                && ssrc != 0
                && !repairs.contains(&ssrc)
                && !ssrcs.contains(&ssrc)
            {
                ssrcs.push(ssrc);
            }
        }
        ssrcs
    }

    /// The media streams that the track of this section belongs to (RFC 8830), from `a=msid` or,
    /// where an older sender wrote only that, `a=ssrc:… msid:`.
    pub(crate) fn stream_ids(&self) -> Vec<String> {
        let of_section = self.attributes.all("msid");
        let of_sources = self
            .attributes
            .all("ssrc")
            .filter_map(|line| Some(line.split_once(" msid:")?.1));
        let mut ids: Vec<String> = Vec::new();
        for id in of_section
            .chain(of_sources)
            .filter_map(|v| v.split_whitespace().next())
        {
            if id != "-" && !ids.iter().any(|known| known == id) {
                ids.push(id.to_owned());
            }
        }
        ids
    }
}

impl Attributes {
    /// `line` is what follows `a=`.
    fn push(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        self.0.push((name.to_owned(), value.trim().to_owned()));
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find_map(|(n, value)| (n == name).then_some(value.as_str()))
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter_map(move |(n, value)| (n == name).then_some(value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What livekit-server answers: fingerprint at session level, an idle section without a source.
    const ANSWER: &str = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
        a=fingerprint:SHA-256 0A:ff\r\na=ice-lite\r\na=group:BUNDLE 0 1\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=setup:active\r\na=mid:0\r\n\
        a=ice-ufrag:u\r\na=ice-pwd:p\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n\
        a=extmap:4/recvonly urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendonly\r\n\
        a=ssrc:7 cname:PA_x\r\na=ssrc:7 msid:PA_x TR_y\r\na=ssrc:8 cname:PA_x\r\na=ssrc-group:FID 7 8\r\n\
        a=candidate:1 1 udp 2130706431 127.0.0.1 7882 typ host\r\na=candidate:nonsense\r\n\
        m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:1\r\n";

    #[test]
    fn sections_have_codecs_sources_streams_and_extensions() {
        let description = Description::parse(ANSWER).unwrap();
        let audio = &description.sections[0];
        assert_eq!(audio.mid(), Some("0"));
        assert_eq!(audio.direction(), RtpTransceiverDirection::SendOnly);
        assert_eq!(
            audio.codecs(),
            [Codec {
                payload_type: 111,
                name: "opus/48000/2".into(),
                fmtp: "useinbandfec=1".into()
            }]
        );
        assert_eq!(audio.ssrcs(), [7]);
        assert_eq!(audio.stream_ids(), ["PA_x"]);
        assert_eq!(audio.extensions()[0].id, 4);
        assert!(description.sections[1].is_rejected());
        assert_eq!(
            description.sections[1].direction(),
            RtpTransceiverDirection::Inactive
        );
    }

    #[test]
    fn transport_takes_the_session_for_what_the_sections_do_not_say() {
        let transport = Description::parse(ANSWER).unwrap().transport().unwrap();
        assert_eq!(transport.credentials.ufrag, "u");
        assert_eq!(transport.fingerprint.hash_func, "sha-256");
        assert_eq!(transport.fingerprint.bytes, [0x0a, 0xff]);
        assert_eq!(transport.setup, Some(Setup::Active));
        assert!(transport.ice_lite);
        assert_eq!(transport.candidates.len(), 1);
    }

    #[test]
    fn description_without_credentials_has_no_transport() {
        let description = Description::parse("v=0\r\nm=audio 9 RTP/AVP 0\r\n").unwrap();
        assert_eq!(
            description.transport().unwrap_err(),
            TransportError::NoIceCredentials
        );
    }

    #[test]
    fn lines_that_are_no_sdp_are_refused() {
        for text in [
            "",
            "hello",
            "m=audio 9 RTP/AVP 0",
            "v=0\nm=audio",
            "v=0\nm=audio x y z",
            "v=0\nabc=1",
        ] {
            assert!(Description::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn mids_that_str0m_would_cut_are_no_mids() {
        let text = "v=0\r\nm=audio 9 RTP/AVP 0\r\na=mid:12345678901234567\r\n";
        assert_eq!(Description::parse(text).unwrap().sections[0].mid(), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,400}") {
            read_everything(&text);
        }

        #[test]
        fn any_damage_to_an_answer_is_read_or_refused(at in 0..ANSWER.len(), bytes in ".{0,12}", cut in 0usize..40) {
            let end = (at + cut).min(ANSWER.len());
            read_everything(&format!("{}{bytes}{}", &ANSWER[..at], &ANSWER[end..]));
        }
    }

    fn read_everything(text: &str) {
        let Ok(description) = Description::parse(text) else {
            return;
        };
        drop(description.transport());
        for section in &description.sections {
            drop((section.mid(), section.direction(), section.codecs()));
            drop((section.extensions(), section.ssrcs(), section.stream_ids()));
        }
    }
}
