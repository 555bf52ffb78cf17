//! From the audio of a turn to its words, by OpenAI's transcription protocol.

use std::time::Duration;

use reqwest::{Client, header::CONTENT_TYPE};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use sip_config::OpenAiStt;
use tokio::time::timeout;

use crate::{Pause, Refusal, endpoint};

/// The rate of what is transcribed, in Hz.
const RATE: u32 = 16_000;

/// What lies between the fields of the form (RFC 7578); no recorded speech holds it.
const BOUNDARY: &str = "----turn-of-a-telephone-call-7d1c2f";

/// A turn could not be transcribed.
#[derive(Debug, thiserror::Error)]
pub enum TranscribeError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the server cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the server took longer than {:.1} s", .0.as_secs_f64())]
    Stalled(Duration),
    #[error("the connection broke off")]
    CutOff(#[source] reqwest::Error),
    #[error("the server's answer is no transcript")]
    Garbage(#[source] serde_json::Error),
}

impl TranscribeError {
    pub fn pause(&self) -> Pause {
        match self {
            Self::Refused(refusal) => refusal.pause(),
            Self::Unreachable(_) | Self::Stalled(_) | Self::CutOff(_) | Self::Garbage(_) => {
                Pause::None
            }
        }
    }
}

/// A server that writes down what was said.
#[derive(Debug, Clone)]
pub struct Transcriber {
    http: Client,
    settings: OpenAiStt,
}

impl Transcriber {
    pub fn new(http: Client, settings: OpenAiStt) -> Self {
        Self { http, settings }
    }

    /// Returns the words in `pcm`, which is 16 kHz mono; empty when there are none.
    ///
    /// The answer must be there within `patience`. Dropping the future ends the request.
    pub async fn transcribe(
        &self,
        pcm: &[i16],
        patience: Duration,
    ) -> Result<String, TranscribeError> {
        timeout(patience, self.ask(pcm))
            .await
            .map_err(|_| TranscribeError::Stalled(patience))?
    }

    async fn ask(&self, pcm: &[i16]) -> Result<String, TranscribeError> {
        #[derive(Deserialize)]
        struct Transcript {
            text: String,
        }
        let account = &self.settings.account;
        let request = self
            .http
            .post(endpoint(&account.base_url, "audio/transcriptions"))
            .bearer_auth(account.api_key.expose_secret())
            .header(
                CONTENT_TYPE,
                format!("multipart/form-data; boundary={BOUNDARY}"),
            )
            .body(self.form(pcm));
        let response = request
            .send()
            .await
            .map_err(|error| TranscribeError::Unreachable(error.without_url()))?;
        let response = Refusal::of(response, &account.api_key).await?;
        let body = response
            .bytes()
            .await
            .map_err(|error| TranscribeError::CutOff(error.without_url()))?;
        let transcript: Transcript =
            serde_json::from_slice(&body).map_err(TranscribeError::Garbage)?;
        Ok(transcript.text.trim().to_owned())
    }

    /// Four fields do not need reqwest's `multipart` and the table of file types that comes with it.
    fn form(&self, pcm: &[i16]) -> Vec<u8> {
        let mut form = Vec::with_capacity(pcm.len() * 2 + 1024);
        let mut field = |name: &str, value: &str| {
            let field = format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
            form.extend(field.into_bytes());
        };
        field("model", &self.settings.model);
        field("response_format", "json");
        if let Some(language) = &self.settings.language {
            field("language", language);
        }
        form.extend_from_slice(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"turn.wav\"\r\n\
                 Content-Type: audio/wav\r\n\r\n"
            )
            .as_bytes(),
        );
        form.extend(wav(pcm));
        form.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        form
    }
}

/// A WAV file of 16 kHz mono.
fn wav(pcm: &[i16]) -> Vec<u8> {
    let bytes = u32::try_from(pcm.len() * 2).expect("a turn is shorter than a day");
    let mut wav = Vec::with_capacity(pcm.len() * 2 + 44);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + bytes).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    wav.extend_from_slice(&16_u32.to_le_bytes());
    // PCM, one channel.
    wav.extend_from_slice(&[1, 0, 1, 0]);
    wav.extend_from_slice(&RATE.to_le_bytes());
    wav.extend_from_slice(&(RATE * 2).to_le_bytes());
    // Two bytes in a frame, 16 bits in a sample.
    wav.extend_from_slice(&[2, 0, 16, 0]);
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&bytes.to_le_bytes());
    wav.extend(pcm.iter().flat_map(|sample| sample.to_le_bytes()));
    wav
}
