//! From text to audio, streamed as the vendor makes it.

use std::time::Duration;

use reqwest::{
    Client, RequestBuilder, Response,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sip_config::{CartesiaTts, DeepgramTts, OpenAiTts, TtsSettings};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    Pause, Refusal, endpoint,
    samples::{Samples, Unplayable},
};

/// The rate that vendors are asked for, in Hz: the only one that all of them have.
///
/// Servers of OpenAI's protocol have their own: [`Spoken::sample_rate`].
pub(crate) const SPEAKING_RATE: u32 = 24_000;

/// How long a vendor may send nothing in the middle of a sentence. It sends faster than is played, so that
/// some seconds are in hand mostly.
const STALL_TIMEOUT: Duration = Duration::from_secs(2);

/// The version of Cartesia's API whose words are used here.
pub(crate) const CARTESIA_VERSION: &str = "2025-04-16";

/// A text could not be spoken, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum SpeakError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the server cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// There may be some audio already.
    #[error("the server was silent for {:.1} s", .0.as_secs_f64())]
    Stalled(Duration),
    /// There may be some audio already.
    #[error("the connection broke off")]
    CutOff(#[source] reqwest::Error),
    #[error("the server sent {0} in place of samples")]
    Garbage(String),
}

impl SpeakError {
    pub fn pause(&self) -> Pause {
        match self {
            Self::Refused(refusal) => refusal.pause(),
            Self::Unreachable(_) | Self::Stalled(_) | Self::CutOff(_) | Self::Garbage(_) => {
                Pause::None
            }
        }
    }
}

/// A vendor's voice.
#[derive(Debug, Clone)]
pub struct CloudVoice {
    http: Client,
    vendor: Vendor,
}

#[derive(Debug, Clone)]
enum Vendor {
    OpenAi(OpenAiTts),
    Cartesia(CartesiaTts),
    Deepgram(DeepgramTts),
}

impl CloudVoice {
    /// `None` when the settings name no vendor.
    pub fn new(http: Client, settings: &TtsSettings) -> Option<Self> {
        let vendor = match settings {
            TtsSettings::Local => return None,
            TtsSettings::OpenAi(tts) => Vendor::OpenAi(tts.clone()),
            TtsSettings::Cartesia(tts) => Vendor::Cartesia(tts.clone()),
            TtsSettings::Deepgram(tts) => Vendor::Deepgram(tts.clone()),
        };
        Some(Self { http, vendor })
    }

    /// The same vendor with another of its voices, as the vendor names it: OpenAI's `voice`, Cartesia's voice id,
    /// Deepgram's model.
    pub fn with_voice(&self, voice: &str) -> Self {
        let mut other = self.clone();
        let place = match &mut other.vendor {
            Vendor::OpenAi(tts) => &mut tts.voice,
            Vendor::Cartesia(tts) => &mut tts.voice,
            Vendor::Deepgram(tts) => &mut tts.model,
        };
        voice.clone_into(place);
        other
    }

    /// The vendor's name.
    pub fn name(&self) -> &'static str {
        match &self.vendor {
            Vendor::OpenAi(_) => "OpenAI",
            Vendor::Cartesia(_) => "Cartesia",
            Vendor::Deepgram(_) => "Deepgram",
        }
    }

    /// Begins to speak a text. The first samples must be there within `patience`.
    ///
    /// Dropping the future or what it returns ends the request.
    pub async fn speak(&self, text: &str, patience: Duration) -> Result<Spoken, SpeakError> {
        let deadline = Instant::now() + patience;
        let stalled = |_| SpeakError::Stalled(patience);
        let response = timeout_at(deadline, self.request(text).send())
            .await
            .map_err(stalled)?
            .map_err(|error| SpeakError::Unreachable(error.without_url()))?;
        let response = Refusal::of(response, self.key()).await?;
        if let Some(content_type) = other_than_samples(response.headers()) {
            return Err(SpeakError::Garbage(content_type));
        }
        let mut spoken = Spoken {
            response,
            samples: Samples::new(),
            first: None,
        };
        let first = timeout_at(deadline, spoken.receive())
            .await
            .map_err(stalled)??
            .ok_or_else(|| SpeakError::Garbage("nothing".to_owned()))?;
        spoken.first = Some(first);
        Ok(spoken)
    }

    fn key(&self) -> &SecretString {
        match &self.vendor {
            Vendor::OpenAi(tts) => &tts.account.api_key,
            Vendor::Cartesia(tts) => &tts.account.api_key,
            Vendor::Deepgram(tts) => &tts.account.api_key,
        }
    }

    fn request(&self, text: &str) -> RequestBuilder {
        let key = self.key().expose_secret();
        match &self.vendor {
            // https://platform.openai.com/docs/api-reference/audio/createSpeech; `pcm` would be
            // raw and 24 kHz, but servers of this protocol send what their voices have, and say so in a WAV header only.
            Vendor::OpenAi(tts) => self
                .http
                .post(endpoint(&tts.account.base_url, "audio/speech"))
                .bearer_auth(key)
                .json(&json!({
                    "model": tts.model,
                    "voice": tts.voice,
                    "input": text,
                    "response_format": "wav",
                })),
            // https://docs.cartesia.ai/api-reference/tts/bytes
            Vendor::Cartesia(tts) => self
                .http
                .post(endpoint(&tts.account.base_url, "tts/bytes"))
                .header("Cartesia-Version", CARTESIA_VERSION)
                .bearer_auth(key)
                .json(&json!({
                    "model_id": tts.model,
                    "transcript": text,
                    "voice": { "mode": "id", "id": tts.voice },
                    "output_format": {
                        "container": "raw",
                        "encoding": "pcm_s16le",
                        "sample_rate": SPEAKING_RATE,
                    },
                })),
            // https://developers.deepgram.com/reference/text-to-speech/speak-request
            Vendor::Deepgram(tts) => {
                let mut url = endpoint(&tts.account.base_url, "speak");
                url.query_pairs_mut()
                    .append_pair("model", &tts.model)
                    .append_pair("encoding", "linear16")
                    .append_pair("sample_rate", &SPEAKING_RATE.to_string())
                    .append_pair("container", "none");
                self.http
                    .post(url)
                    .header(AUTHORIZATION, format!("Token {key}"))
                    .json(&json!({ "text": text }))
            }
        }
    }
}

/// A sentence on its way.
pub struct Spoken {
    response: Response,
    samples: Samples,
    first: Option<Vec<i16>>,
}

impl Spoken {
    /// In Hz, of one channel.
    pub fn sample_rate(&self) -> u32 {
        self.samples.rate()
    }

    /// Returns the next samples, some milliseconds or a second of them; `None` when the sentence is complete.
    pub async fn next(&mut self) -> Result<Option<Vec<i16>>, SpeakError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        timeout(STALL_TIMEOUT, self.receive())
            .await
            .map_err(|_| SpeakError::Stalled(STALL_TIMEOUT))?
    }

    async fn receive(&mut self) -> Result<Option<Vec<i16>>, SpeakError> {
        let garbage = |Unplayable(what)| SpeakError::Garbage(what);
        loop {
            let received = self.response.chunk().await;
            let cut_off = |error: reqwest::Error| SpeakError::CutOff(error.without_url());
            let Some(bytes) = received.map_err(cut_off)? else {
                return self.samples.finish().map(|()| None).map_err(garbage);
            };
            let samples = self.samples.push(&bytes).map_err(garbage)?;
            if !samples.is_empty() {
                return Ok(Some(samples));
            }
        }
    }
}

/// The content type, if it says that there are no raw samples. Vendors disagree on what it is for those
/// (`audio/pcm`, `audio/l16`, `application/octet-stream` ...), some name none.
fn other_than_samples(headers: &HeaderMap) -> Option<String> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    let other = kind.starts_with("text/")
        || kind.ends_with("json")
        || matches!(
            kind.strip_prefix("audio/"),
            Some("mpeg" | "mp3" | "ogg" | "opus" | "aac" | "flac" | "webm")
        );
    other.then_some(kind)
}
