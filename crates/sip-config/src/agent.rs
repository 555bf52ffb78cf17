//! What the worker and the dialer need beside LiveKit itself.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use transfer_core::{
    AGENT_NAME, Fallback, PhoneNumber, Region, SipDomain, TransferMode, UserParameter,
    policy::TransferRules,
};
use url::Url;

use crate::environment::{Reader, Settings};
use crate::providers::{OPENAI_BASE_URL, ProviderSettings};
use crate::{transfer, variables};

/// How long a callee may ring; LiveKit's own default.
const DIAL_RINGING_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a transfer target may ring.
///
/// Longer than carriers let a phone ring before they give up: a REFER cannot be called back, and a
/// target that answers after we gave up leaves the caller in two calls.
const TRANSFER_RINGING_TIMEOUT: Duration = Duration::from_secs(40);

/// livekit-server ends a waiting `CreateSIPParticipant` after 80 s, whatever it was asked for.
const LONGEST_RINGING_TIMEOUT_S: u64 = 80;

const OPENAI_LLM_MODEL: &str = "gpt-4o-mini";

/// The trunk that calls leave through; who only talks needs none.
#[derive(Clone, Debug)]
pub struct OutboundTrunkSettings {
    /// LiveKit's name for it (`ST_…`).
    pub trunk_id: String,
}

/// The settings of the voice agent, LiveKit and the trunk aside.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// The name under which the worker registers.
    pub agent_name: String,
    /// The file that says how the agent behaves.
    pub behaviour_file: Option<PathBuf>,
    /// The domain of refer targets; `tel:` targets are sent without.
    pub sip_domain: Option<SipDomain>,
    /// How refer targets in that domain are written.
    pub user_parameter: UserParameter,
    /// Where "Transfer me." leads.
    pub default_transfer_number: Option<PhoneNumber>,
    /// Whom callers may be transferred to.
    pub transfer_rules: TransferRules,
    /// How to read numbers that are said without a country code.
    pub default_region: Option<Region>,
    pub dial_ringing_timeout: Duration,
    pub transfer_ringing_timeout: Duration,
    pub transfer: TransferSettings,
    pub log_level: LogLevel,
    /// Where Prometheus is answered; `None`: nowhere.
    pub metrics_address: Option<SocketAddr>,
    pub speech: SpeechSettings,
    pub providers: ProviderSettings,
    /// `None`: the built-in dialogue answers.
    pub llm: Option<LlmSettings>,
}

/// How transfers are done.
#[derive(Clone, Debug)]
pub struct TransferSettings {
    pub mode: TransferMode,
    pub fallback: Fallback,
    /// Who stands in for the default number, in order.
    pub next: Vec<PhoneNumber>,
    pub hold_sound: HoldSound,
    /// Where notes to call somebody back are kept; `None`: nobody is offered a call back.
    pub callback_file: Option<PathBuf>,
}

/// What a caller hears who waits for the transfer target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HoldSound {
    /// Ringback, as if the caller had dialled.
    #[default]
    Dialtone,
    Music,
    None,
}

/// The settings of the dialer, LiveKit aside.
#[derive(Clone, Debug)]
pub struct DialerSettings {
    /// The worker to dispatch.
    pub agent_name: String,
    /// How to read numbers that are written without a country code.
    pub default_region: Option<Region>,
}

/// What this machine does for speech.
#[derive(Clone, Debug)]
pub struct SpeechSettings {
    /// Where the local models lie.
    pub models_dir: PathBuf,
    /// Whether turns are found in audio without noise. Off by default: where people talk in the background, it does
    /// more harm than good.
    pub noise_suppression: bool,
}

/// A server that speaks OpenAI's chat completions protocol.
#[derive(Clone, Debug)]
pub struct LlmSettings {
    pub api_key: SecretString,
    /// Up to and including the `/v1`.
    pub base_url: Url,
    pub model: String,
    /// Whether the model is asked in the pause that may be the end of a turn.
    pub preemptive_generation: bool,
}

/// The least important level that is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// The word that `tracing` filters take.
impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

/// Takes Python's words too, which the variable had first.
fn log_level(value: &str) -> Result<LogLevel, &'static str> {
    match value.trim().to_ascii_lowercase().as_str() {
        "error" | "critical" => Ok(LogLevel::Error),
        "warn" | "warning" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        "trace" => Ok(LogLevel::Trace),
        _ => Err("there is no such level"),
    }
}

impl Settings for OutboundTrunkSettings {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let trunk_id = reader.required("OUTBOUND_TRUNK_ID", variables::trunk_id)?;
        Some(Self { trunk_id })
    }
}

impl Settings for AgentSettings {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let dialer = DialerSettings::read(reader);
        let region = dialer.as_ref().and_then(|dialer| dialer.default_region);
        let behaviour_file = reader.optional("AGENT_CONFIG", path);
        let sip_domain = reader.optional("VOBIZ_SIP_DOMAIN", str::parse);
        let user_parameter = variables::user_parameter(reader);
        let default_transfer_number = reader.optional("DEFAULT_TRANSFER_NUMBER", |value| {
            PhoneNumber::parse(value, region)
        });
        let transfer_rules = transfer::rules(reader, default_transfer_number.clone(), region);
        let dial_ringing_timeout = reader.optional("DIAL_RINGING_TIMEOUT", ringing_timeout);
        let transfer_ringing_timeout = reader.optional("TRANSFER_RINGING_TIMEOUT", ringing_timeout);
        let transfer = TransferSettings::read(reader, region);
        let log_level = reader.optional("LIVEKIT_LOG_LEVEL", log_level);
        let metrics_address = reader.optional("PROMETHEUS_PORT", metrics_address);
        let speech = SpeechSettings::read(reader);
        let providers = ProviderSettings::read(reader);
        let llm = LlmSettings::read_optional(reader);
        let dialer = dialer?;
        Some(Self {
            agent_name: dialer.agent_name,
            behaviour_file,
            sip_domain,
            user_parameter,
            default_transfer_number,
            transfer_rules,
            default_region: dialer.default_region,
            dial_ringing_timeout: dial_ringing_timeout.unwrap_or(DIAL_RINGING_TIMEOUT),
            transfer_ringing_timeout: transfer_ringing_timeout.unwrap_or(TRANSFER_RINGING_TIMEOUT),
            transfer,
            log_level: log_level.unwrap_or_default(),
            metrics_address,
            speech: speech?,
            providers: providers?,
            llm,
        })
    }
}

/// The number that "Transfer me." leads to, for tools that need nothing else of the agent's settings.
#[derive(Clone, Debug)]
pub struct TransferNumberSettings {
    pub default_transfer_number: Option<PhoneNumber>,
}

impl Settings for TransferNumberSettings {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let region = variables::default_region(reader);
        let default_transfer_number = reader.optional("DEFAULT_TRANSFER_NUMBER", |value| {
            PhoneNumber::parse(value, region)
        });
        Some(Self {
            default_transfer_number,
        })
    }
}

/// `None`: there is no key, and the built-in dialogue answers.
impl Settings for Option<LlmSettings> {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(LlmSettings::read_optional(reader))
    }
}

impl TransferSettings {
    fn read(reader: &mut Reader<'_>, region: Option<Region>) -> Self {
        let mode = reader.optional("TRANSFER_MODE", str::parse);
        let fallback = reader.optional("TRANSFER_FALLBACK", str::parse);
        let next = reader.optional("TRANSFER_NEXT", |value| {
            let numbers = value.split(',').filter(|number| !number.trim().is_empty());
            numbers
                .map(|number| PhoneNumber::parse(number, region))
                .collect::<Result<Vec<_>, _>>()
        });
        let hold_sound = reader.optional("TRANSFER_HOLD_SOUND", hold_sound);
        let callback_file = reader.optional("CALLBACK_FILE", path);
        Self {
            mode: mode.unwrap_or_default(),
            fallback: fallback.unwrap_or_default(),
            next: next.unwrap_or_default(),
            hold_sound: hold_sound.unwrap_or_default(),
            callback_file,
        }
    }
}

impl Settings for DialerSettings {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let agent_name = reader.optional("LIVEKIT_AGENT_NAME", variables::token);
        Some(Self {
            agent_name: agent_name.unwrap_or_else(|| AGENT_NAME.to_owned()),
            default_region: variables::default_region(reader),
        })
    }
}

impl Settings for SpeechSettings {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let models_dir = reader.optional("SPEECH_MODELS_DIR", path);
        let models_dir = match models_dir {
            Some(models_dir) => models_dir,
            None => default_models_dir(
                reader.system("XDG_CACHE_HOME").as_deref(),
                reader.system("HOME").as_deref(),
            ),
        };
        let noise_suppression = reader.optional("NOISE_SUPPRESSION", variables::switch);
        Some(Self {
            models_dir,
            noise_suppression: noise_suppression.unwrap_or_default(),
        })
    }
}

/// `models` in our directory under the user's cache (XDG base directories: an `XDG_CACHE_HOME` that
/// is not absolute does not count).
fn default_models_dir(xdg_cache_home: Option<&str>, home: Option<&str>) -> PathBuf {
    let cache = xdg_cache_home
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .unwrap_or_else(|| Path::new(home.unwrap_or("/")).join(".cache"));
    cache.join("sip-transfer-agent").join("models")
}

impl LlmSettings {
    fn read_optional(reader: &mut Reader<'_>) -> Option<Self> {
        let api_key = reader.optional("OPENAI_API_KEY", variables::secret);
        let base_url = reader.optional("OPENAI_BASE_URL", variables::base_url);
        let model = reader.optional("OPENAI_LLM_MODEL", variables::token);
        let preemptive_generation = reader.optional("PREEMPTIVE_GENERATION", variables::switch);
        Some(Self {
            api_key: api_key?,
            base_url: base_url.unwrap_or_else(|| {
                OPENAI_BASE_URL
                    .parse()
                    .expect("the default base URL is a URL")
            }),
            model: model.unwrap_or_else(|| OPENAI_LLM_MODEL.to_owned()),
            preemptive_generation: preemptive_generation.unwrap_or(true),
        })
    }
}

fn path(value: &str) -> Result<PathBuf, &'static str> {
    Ok(PathBuf::from(value.trim()))
}

/// A port alone is one on all addresses, as in LiveKit's own configuration.
fn metrics_address(value: &str) -> Result<SocketAddr, &'static str> {
    let value = value.trim();
    let address = match value.parse() {
        Ok(port) => Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        Err(_) => value.parse(),
    };
    match address {
        Ok(address) if address.port() != 0 => Ok(address),
        Ok(_) | Err(_) => Err("it is neither a port nor an IP address with a port"),
    }
}

fn ringing_timeout(value: &str) -> Result<Duration, &'static str> {
    match value.trim().parse() {
        Ok(seconds @ 1..=LONGEST_RINGING_TIMEOUT_S) => Ok(Duration::from_secs(seconds)),
        _ => Err("it is not a whole number of seconds from 1 to 80"),
    }
}

fn hold_sound(value: &str) -> Result<HoldSound, &'static str> {
    match value.trim().to_ascii_lowercase().as_str() {
        "dialtone" | "ringback" => Ok(HoldSound::Dialtone),
        "music" => Ok(HoldSound::Music),
        "none" | "silence" | "off" => Ok(HoldSound::None),
        _ => Err("there is no such sound"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_lie_in_the_users_cache() {
        let dir = |xdg, home| default_models_dir(xdg, home).display().to_string();
        assert_eq!(dir(Some("/c"), Some("/h")), "/c/sip-transfer-agent/models");
        assert_eq!(
            dir(Some("c"), Some("/h")),
            "/h/.cache/sip-transfer-agent/models"
        );
        assert_eq!(dir(None, Some("/h")), "/h/.cache/sip-transfer-agent/models");
    }

    #[test]
    fn timeouts_are_whole_seconds_within_the_servers_limit() {
        assert_eq!(ringing_timeout(" 45 "), Ok(Duration::from_secs(45)));
        for value in ["0", "81", "-1", "30s", "1.5", ""] {
            assert!(ringing_timeout(value).is_err(), "{value}");
        }
    }

    #[test]
    fn metrics_are_told_on_a_port_or_on_one_address() {
        for (value, address) in [
            (" 9464 ", "0.0.0.0:9464"),
            ("127.0.0.1:9464", "127.0.0.1:9464"),
            ("[::1]:9464", "[::1]:9464"),
        ] {
            assert_eq!(metrics_address(value), Ok(address.parse().unwrap()));
        }
        for value in [
            "",
            "0",
            "65536",
            "localhost:9464",
            "127.0.0.1",
            "127.0.0.1:0",
        ] {
            assert!(metrics_address(value).is_err(), "{value}");
        }
    }

    #[test]
    fn log_levels_are_pythons_or_ours() {
        assert_eq!(log_level("WARNING"), Ok(LogLevel::Warn));
        assert_eq!(log_level("trace"), Ok(LogLevel::Trace));
        assert!(log_level("loud").is_err());
    }
}
