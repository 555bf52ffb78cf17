//! Whether a vendor takes a key, by a request that costs nothing.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, header::AUTHORIZATION};
use secrecy::{ExposeSecret as _, SecretString};
use sip_config::{Account, LlmSettings, SttSettings, TtsSettings};

use crate::{Refusal, endpoint, speak::CARTESIA_VERSION};

const PATIENCE: Duration = Duration::from_secs(10);

/// A key that is to be asked for.
#[derive(Debug, Clone)]
pub struct KeyCheck {
    vendor: Vendor,
    account: Account,
}

#[derive(Debug, Clone, Copy)]
enum Vendor {
    OpenAi,
    Deepgram,
    Cartesia,
}

/// Nobody said that the key is right.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{vendor} refuses {variable}")]
    Refused {
        vendor: &'static str,
        variable: &'static str,
    },
    /// It may be right all the same: a key that may only speak is answered with 403 here.
    #[error("cannot find out whether {vendor} takes {variable}")]
    Unknown {
        vendor: &'static str,
        variable: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl KeyCheck {
    /// `None` when nobody is asked.
    pub fn stt(settings: &SttSettings) -> Option<Self> {
        let (vendor, account) = match settings {
            SttSettings::Local => return None,
            SttSettings::Deepgram(stt) => (Vendor::Deepgram, &stt.account),
            SttSettings::OpenAi(stt) => (Vendor::OpenAi, &stt.account),
        };
        Some(Self {
            vendor,
            account: account.clone(),
        })
    }

    /// `None` when nobody is asked.
    pub fn tts(settings: &TtsSettings) -> Option<Self> {
        let (vendor, account) = match settings {
            TtsSettings::Local => return None,
            TtsSettings::OpenAi(tts) => (Vendor::OpenAi, &tts.account),
            TtsSettings::Cartesia(tts) => (Vendor::Cartesia, &tts.account),
            TtsSettings::Deepgram(tts) => (Vendor::Deepgram, &tts.account),
        };
        Some(Self {
            vendor,
            account: account.clone(),
        })
    }

    /// Of whatever server speaks OpenAI's protocol.
    pub fn llm(settings: &LlmSettings) -> Self {
        Self {
            vendor: Vendor::OpenAi,
            account: Account {
                api_key: settings.api_key.clone(),
                base_url: settings.base_url.clone(),
            },
        }
    }

    /// Whether the answer to one is the answer to the other.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.names() == other.names()
    }

    fn names(&self) -> (&'static str, &'static str) {
        match self.vendor {
            Vendor::OpenAi => ("OpenAI", "OPENAI_API_KEY"),
            Vendor::Deepgram => ("Deepgram", "DEEPGRAM_API_KEY"),
            Vendor::Cartesia => ("Cartesia", "CARTESIA_API_KEY"),
        }
    }

    fn request(&self, http: &Client) -> RequestBuilder {
        let base_url = &self.account.base_url;
        let key = self.account.api_key.expose_secret();
        match self.vendor {
            Vendor::OpenAi => http.get(endpoint(base_url, "models")).bearer_auth(key),
            Vendor::Deepgram => http
                .get(endpoint(base_url, "projects"))
                .header(AUTHORIZATION, format!("Token {key}")),
            Vendor::Cartesia => {
                let mut url = endpoint(base_url, "voices");
                url.set_query(Some("limit=1"));
                http.get(url)
                    .header("Cartesia-Version", CARTESIA_VERSION)
                    .bearer_auth(key)
            }
        }
    }
}

/// Asks the vendor; at most for 10 s.
pub async fn check_key(http: &Client, check: &KeyCheck) -> Result<(), KeyError> {
    let (vendor, variable) = check.names();
    let unknown = |source| KeyError::Unknown {
        vendor,
        variable,
        source,
    };
    let response = check.request(http).timeout(PATIENCE).send().await;
    let response = response.map_err(|error| unknown(error.without_url().into()))?;
    let key: &SecretString = &check.account.api_key;
    match Refusal::of(response, key).await {
        Ok(_) => Ok(()),
        Err(Refusal::Key { status: 401 }) => Err(KeyError::Refused { vendor, variable }),
        Err(other) => Err(unknown(other.into())),
    }
}
