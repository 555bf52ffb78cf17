//! Who listens and who speaks: a vendor whose key is there, or the models of this machine.

use secrecy::SecretString;
use url::Url;

use crate::environment::{Reader, Settings};
use crate::variables;

pub(crate) const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";
const DEEPGRAM_BASE_URL: &str = "https://api.deepgram.com/v1";
const CARTESIA_BASE_URL: &str = "https://api.cartesia.ai";

/// A vendor's server and our key for it.
#[derive(Clone, Debug)]
pub struct Account {
    pub api_key: SecretString,
    /// What the paths of the vendor's API are appended to.
    pub base_url: Url,
}

/// Who listens.
#[derive(Clone, Debug)]
pub enum SttSettings {
    /// Whisper, on this machine.
    Local,
    Deepgram(DeepgramStt),
    OpenAi(OpenAiStt),
}

/// Deepgram's streaming recognition.
#[derive(Clone, Debug)]
pub struct DeepgramStt {
    pub account: Account,
    pub model: String,
    pub language: String,
    /// Words that are more likely than others, such as names.
    pub keyterms: Vec<String>,
}

/// A server that transcribes files by OpenAI's protocol.
#[derive(Clone, Debug)]
pub struct OpenAiStt {
    pub account: Account,
    pub model: String,
    /// `None`: the model finds out.
    pub language: Option<String>,
}

/// Who speaks.
#[derive(Clone, Debug)]
pub enum TtsSettings {
    /// Piper, on this machine.
    Local,
    OpenAi(OpenAiTts),
    Cartesia(CartesiaTts),
    Deepgram(DeepgramTts),
}

/// A server that speaks by OpenAI's protocol.
#[derive(Clone, Debug)]
pub struct OpenAiTts {
    pub account: Account,
    pub model: String,
    pub voice: String,
}

/// Cartesia's voices.
#[derive(Clone, Debug)]
pub struct CartesiaTts {
    pub account: Account,
    pub model: String,
    /// Its id.
    pub voice: String,
}

/// Deepgram's voices, of which each is a model.
#[derive(Clone, Debug)]
pub struct DeepgramTts {
    pub account: Account,
    pub model: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stt {
    Deepgram,
    OpenAi,
    Local,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tts {
    OpenAi,
    Cartesia,
    Deepgram,
    Local,
}

/// The accounts that there are.
struct Accounts {
    openai: Option<Account>,
    deepgram: Option<Account>,
    cartesia: Option<Account>,
    /// A server of the operator's own answers for OpenAI. Most of them only have language models, so
    /// that it must be named to speak or to listen.
    openai_by_name: bool,
}

/// Who listens and who speaks.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    pub stt: SttSettings,
    pub tts: TtsSettings,
}

impl Settings for ProviderSettings {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let accounts = Accounts::read(reader);
        let (stt, tts) = (stt(reader, &accounts), tts(reader, &accounts));
        Some(Self {
            stt: stt?,
            tts: tts?,
        })
    }
}

impl Accounts {
    fn read(reader: &mut Reader<'_>) -> Self {
        let own_url = reader.optional("OPENAI_BASE_URL", variables::base_url);
        let openai_by_name = own_url
            .as_ref()
            .is_some_and(|url| url.host_str() != fixed(OPENAI_BASE_URL).host_str());
        Self {
            openai: account(reader, "OPENAI_API_KEY", "OPENAI_BASE_URL", OPENAI_BASE_URL),
            deepgram: account(
                reader,
                "DEEPGRAM_API_KEY",
                "DEEPGRAM_BASE_URL",
                DEEPGRAM_BASE_URL,
            ),
            cartesia: account(
                reader,
                "CARTESIA_API_KEY",
                "CARTESIA_BASE_URL",
                CARTESIA_BASE_URL,
            ),
            openai_by_name,
        }
    }

    fn has_openai(&self) -> bool {
        self.openai.is_some() && !self.openai_by_name
    }
}

fn account(reader: &mut Reader<'_>, key: &str, url: &str, default_url: &str) -> Option<Account> {
    let api_key = reader.optional(key, variables::secret);
    let base_url = reader.optional(url, variables::base_url);
    Some(Account {
        api_key: api_key?,
        base_url: base_url.unwrap_or_else(|| fixed(default_url)),
    })
}

fn fixed(url: &str) -> Url {
    url.parse().expect("the default base URL is a URL")
}

fn stt(reader: &mut Reader<'_>, accounts: &Accounts) -> Option<SttSettings> {
    let provider = reader.optional("STT_PROVIDER", stt_provider);
    let deepgram_model = reader.optional("DEEPGRAM_MODEL", variables::token);
    let deepgram_language = reader.optional("DEEPGRAM_LANGUAGE", variables::token);
    let keyterms = reader.optional("DEEPGRAM_KEYTERMS", keyterms);
    let openai_model = reader.optional("OPENAI_STT_MODEL", variables::token);
    let openai_language = reader.optional("OPENAI_STT_LANGUAGE", variables::token);
    let provider = provider.unwrap_or(match accounts {
        Accounts {
            deepgram: Some(_), ..
        } => Stt::Deepgram,
        accounts if accounts.has_openai() => Stt::OpenAi,
        _ => Stt::Local,
    });
    match provider {
        Stt::Local => Some(SttSettings::Local),
        Stt::Deepgram => {
            let account = needed(
                reader,
                "STT_PROVIDER",
                "DEEPGRAM_API_KEY",
                &accounts.deepgram,
            )?;
            Some(SttSettings::Deepgram(DeepgramStt {
                account,
                model: deepgram_model.unwrap_or_else(|| "nova-3".to_owned()),
                language: deepgram_language.unwrap_or_else(|| "multi".to_owned()),
                keyterms: keyterms.unwrap_or_default(),
            }))
        }
        Stt::OpenAi => {
            let account = needed(reader, "STT_PROVIDER", "OPENAI_API_KEY", &accounts.openai)?;
            let language = openai_language.unwrap_or_else(|| "en".to_owned());
            Some(SttSettings::OpenAi(OpenAiStt {
                account,
                model: openai_model.unwrap_or_else(|| "gpt-4o-mini-transcribe".to_owned()),
                language: Some(language).filter(|language| language != "auto"),
            }))
        }
    }
}

fn tts(reader: &mut Reader<'_>, accounts: &Accounts) -> Option<TtsSettings> {
    let provider = reader.optional("TTS_PROVIDER", tts_provider);
    let openai_model = reader.optional("OPENAI_TTS_MODEL", variables::token);
    let openai_voice = reader.optional("OPENAI_TTS_VOICE", variables::token);
    let cartesia_model = reader.optional("CARTESIA_TTS_MODEL", variables::token);
    let cartesia_voice = reader.optional("CARTESIA_TTS_VOICE", variables::token);
    let deepgram_model = reader.optional("DEEPGRAM_TTS_MODEL", variables::token);
    let provider = provider.unwrap_or(match accounts {
        accounts if accounts.has_openai() => Tts::OpenAi,
        Accounts {
            cartesia: Some(_), ..
        } => Tts::Cartesia,
        Accounts {
            deepgram: Some(_), ..
        } => Tts::Deepgram,
        _ => Tts::Local,
    });
    match provider {
        Tts::Local => Some(TtsSettings::Local),
        Tts::OpenAi => {
            let account = needed(reader, "TTS_PROVIDER", "OPENAI_API_KEY", &accounts.openai)?;
            Some(TtsSettings::OpenAi(OpenAiTts {
                account,
                model: openai_model.unwrap_or_else(|| "tts-1".to_owned()),
                voice: openai_voice.unwrap_or_else(|| "alloy".to_owned()),
            }))
        }
        Tts::Cartesia => {
            let account = needed(
                reader,
                "TTS_PROVIDER",
                "CARTESIA_API_KEY",
                &accounts.cartesia,
            )?;
            Some(TtsSettings::Cartesia(CartesiaTts {
                account,
                model: cartesia_model.unwrap_or_else(|| "sonic-2".to_owned()),
                voice: cartesia_voice
                    .unwrap_or_else(|| "f786b574-daa5-4673-aa0c-cbe3e8534c02".to_owned()),
            }))
        }
        Tts::Deepgram => {
            let account = needed(
                reader,
                "TTS_PROVIDER",
                "DEEPGRAM_API_KEY",
                &accounts.deepgram,
            )?;
            Some(TtsSettings::Deepgram(DeepgramTts {
                account,
                model: deepgram_model.unwrap_or_else(|| "aura-2-thalia-en".to_owned()),
            }))
        }
    }
}

/// The account of a provider that was chosen by its name.
fn needed(
    reader: &mut Reader<'_>,
    chosen_by: &str,
    key: &str,
    account: &Option<Account>,
) -> Option<Account> {
    if account.is_none() {
        reader.wrong(
            chosen_by,
            format!("the provider that it names needs {key}, which is not set").into(),
        );
    }
    account.clone()
}

fn stt_provider(value: &str) -> Result<Stt, &'static str> {
    match value.trim().to_ascii_lowercase().as_str() {
        "local" => Ok(Stt::Local),
        "deepgram" => Ok(Stt::Deepgram),
        "openai" => Ok(Stt::OpenAi),
        _ => Err("there is no such provider"),
    }
}

fn tts_provider(value: &str) -> Result<Tts, &'static str> {
    match value.trim().to_ascii_lowercase().as_str() {
        "local" => Ok(Tts::Local),
        "openai" => Ok(Tts::OpenAi),
        "cartesia" => Ok(Tts::Cartesia),
        "deepgram" => Ok(Tts::Deepgram),
        _ => Err("there is no such provider"),
    }
}

fn keyterms(value: &str) -> Result<Vec<String>, &'static str> {
    if value.contains(char::is_control) {
        return Err("it has line breaks or control characters in it");
    }
    let terms = value.split(',').map(str::trim);
    Ok(terms
        .filter(|term| !term.is_empty())
        .map(str::to_owned)
        .collect())
}
