//! The codecs and header extensions that are offered, and a str0m instance that knows them.

use std::time::{Duration, Instant};

use str0m::{
    IceCreds, Rtc,
    config::DtlsCert,
    format::{Codec as CodecKind, FormatParams},
    media::Frequency,
    rtp::{Extension as ExtensionKind, ExtensionMap},
};

use super::sdp::{Codec, Extension, SectionKind};

const OPUS_PAYLOAD_TYPE: u8 = 111;
const OPUS_NAME: &str = "opus/48000/2";
const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// The largest message that we take (`a=max-message-size`), as in libwebrtc.
pub(super) const MAX_RECEIVED_MESSAGE: u32 = 256 * 1024;

/// The largest message that we send: str0m's direct API cannot be told what the other side takes,
/// so it is what every side must take (RFC 8841 §6.1). `livekit` sends at most 64,000 bytes.
pub(super) const MAX_SENT_MESSAGE: usize = 64 * 1024;

/// What may wait in the send buffers of all data channels together, as in libwebrtc.
const MAX_BUFFERED_AMOUNT: usize = 16 * 1024 * 1024;

/// How often str0m tells of round trips and of what the other side reports.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(1);

/// The payload types and extension ids in force. They belong to whoever offers first, and str0m
/// wants them when it is built.
#[derive(Clone, Debug)]
pub(super) struct Formats {
    pub(super) opus: Codec,
    pub(super) video: Vec<Codec>,
    extensions: Vec<Extension>,
}

impl Formats {
    /// Ours, for offers.
    pub(super) fn offered() -> Self {
        let codec = |payload_type, name: &str, fmtp: &str| Codec {
            payload_type,
            name: name.to_owned(),
            fmtp: fmtp.to_owned(),
        };
        let extension = |id, uri: &str| Extension {
            id,
            uri: uri.to_owned(),
        };
        Self {
            opus: codec(OPUS_PAYLOAD_TYPE, OPUS_NAME, "minptime=10;useinbandfec=1"),
            video: vec![
                codec(96, "VP8/90000", ""),
                codec(
                    102,
                    "H264/90000",
                    "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
                ),
            ],
            extensions: vec![
                extension(1, AUDIO_LEVEL),
                extension(3, TRANSPORT_CC),
                extension(4, MID),
            ],
        }
    }

    /// Those of a remote offer that we know too. `None`: it offers no Opus, ours stay in force.
    pub(super) fn of_offer<'a>(
        sections: impl Iterator<Item = (&'a SectionKind, Vec<Codec>, Vec<Extension>)>,
    ) -> Self {
        let mut formats = Self::offered();
        let (mut audio, mut video) = (None, None);
        for (kind, codecs, extensions) in sections {
            let known = match kind {
                SectionKind::Audio if audio.is_none() => codecs.into_iter().find(is_opus),
                SectionKind::Video if video.is_none() => codecs.into_iter().find(is_video),
                SectionKind::Audio
                | SectionKind::Video
                | SectionKind::Application
                | SectionKind::Other(_) => None,
            };
            let Some(codec) = known else { continue };
            let slot = if *kind == SectionKind::Audio {
                &mut audio
            } else {
                &mut video
            };
            *slot = Some((codec, extensions));
        }
        let of_video = video.map(|(codec, extensions)| {
            formats.video = vec![codec];
            extensions
        });
        let of_audio = audio.map(|(codec, extensions)| {
            formats.opus = codec;
            extensions
        });
        if let Some(extensions) = of_audio.or(of_video) {
            formats.extensions = extensions
                .into_iter()
                .filter(|e| kind_of(&e.uri).is_some())
                .collect();
        }
        formats
    }

    /// For a section that we offer.
    pub(super) fn codecs(&self, kind: &SectionKind) -> &[Codec] {
        match kind {
            SectionKind::Audio => std::slice::from_ref(&self.opus),
            SectionKind::Video => &self.video,
            SectionKind::Application | SectionKind::Other(_) => &[],
        }
    }

    /// The extensions in force that make sense in a section of that kind.
    pub(super) fn extensions(&self, kind: &SectionKind) -> Vec<Extension> {
        let fits = |e: &&Extension| *kind == SectionKind::Audio || e.uri != AUDIO_LEVEL;
        self.extensions.iter().filter(fits).cloned().collect()
    }

    /// The codec of an offered section that can be answered: known, and by the number in force.
    pub(super) fn accepts(&self, kind: &SectionKind, offered: &[Codec]) -> Option<Codec> {
        let ours = self.codecs(kind);
        let same = |codec: &&Codec| {
            ours.iter().any(|our| {
                our.payload_type == codec.payload_type && our.name.eq_ignore_ascii_case(&codec.name)
            })
        };
        offered.iter().find(same).cloned()
    }

    pub(super) fn build(
        &self,
        credentials: &IceCreds,
        certificate: &DtlsCert,
        now: Instant,
    ) -> Rtc {
        let mut config = Rtc::builder()
            .set_rtp_mode(true)
            .clear_codecs()
            .set_local_ice_credentials(credentials.clone())
            .set_dtls_cert(certificate.clone())
            .set_sctp_max_buffered_amount(MAX_BUFFERED_AMOUNT)
            .set_sctp_max_message_size(MAX_RECEIVED_MESSAGE)
            .set_stats_interval(Some(STATISTICS_INTERVAL));
        let codecs = config.codec_config();
        let format = FormatParams::default;
        codecs.add_config(
            self.opus.payload_type.into(),
            None,
            CodecKind::Opus,
            Frequency::FORTY_EIGHT_KHZ,
            Some(2),
            format(),
        );
        for codec in &self.video {
            let kind = if codec.name.starts_with("VP8/") {
                CodecKind::Vp8
            } else {
                CodecKind::H264
            };
            codecs.add_config(
                codec.payload_type.into(),
                None,
                kind,
                Frequency::NINETY_KHZ,
                None,
                format(),
            );
        }
        let mut extensions = ExtensionMap::empty();
        for extension in &self.extensions {
            if let Some(kind) = kind_of(&extension.uri) {
                extensions.set(extension.id, kind);
            }
        }
        let mut rtc = config.set_extension_map(extensions).build(now);
        rtc.direct_api().enable_twcc_feedback();
        rtc
    }
}

fn kind_of(uri: &str) -> Option<ExtensionKind> {
    match uri {
        AUDIO_LEVEL => Some(ExtensionKind::AudioLevel),
        TRANSPORT_CC => Some(ExtensionKind::TransportSequenceNumber),
        MID => Some(ExtensionKind::RtpMid),
        _ => None,
    }
}

fn is_opus(codec: &Codec) -> bool {
    codec.name.eq_ignore_ascii_case(OPUS_NAME)
}

fn is_video(codec: &Codec) -> bool {
    codec.name.starts_with("VP8/") || codec.name.starts_with("H264/")
}
