//! The table of all variables, and the parsers that several of them share.

use secrecy::SecretString;
use transfer_core::{Region, UserParameter};
use url::Url;

use crate::environment::Reader;

/// One variable, as the reports and `.env.example` describe it.
#[derive(Debug)]
pub struct Variable {
    pub name: &'static str,
    /// Other names that are read when `name` is not set.
    pub aliases: &'static [&'static str],
    pub group: &'static str,
    pub doc: &'static str,
    /// The form, for whoever has to fill it in.
    pub expected: &'static str,
    /// The commands that do not start without it, or that it has an effect on.
    pub needed_by: &'static str,
    /// The value in `.env.example`: a placeholder if it has to be filled in, else the default.
    pub example: &'static str,
    /// Whether `.env.example` leaves it commented out.
    pub optional: bool,
}

const LIVEKIT: &str = "LiveKit";
const CARRIER: &str = "Vobiz, or any other SIP carrier";
const AGENT: &str = "The agent";
const SPEECH: &str = "Speech and language";

const ALL_COMMANDS: &str = "dialer, trunk-setup, voice-agent";

/// All variables, in the order of `.env.example`.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "LIVEKIT_URL",
        aliases: &[],
        group: LIVEKIT,
        doc: "Address of the LiveKit server",
        expected: "a URL such as wss://my-project.livekit.cloud or ws://127.0.0.1:7880",
        needed_by: ALL_COMMANDS,
        example: "wss://my-project.livekit.cloud",
        optional: false,
    },
    Variable {
        name: "LIVEKIT_API_KEY",
        aliases: &[],
        group: LIVEKIT,
        doc: "API key of the project",
        expected: "the key from LiveKit's console or livekit-server's configuration",
        needed_by: ALL_COMMANDS,
        example: "",
        optional: false,
    },
    Variable {
        name: "LIVEKIT_API_SECRET",
        aliases: &[],
        group: LIVEKIT,
        doc: "Secret of that key",
        expected: "the secret that belongs to LIVEKIT_API_KEY",
        needed_by: ALL_COMMANDS,
        example: "",
        optional: false,
    },
    Variable {
        name: "VOBIZ_SIP_DOMAIN",
        aliases: &[],
        group: CARRIER,
        doc: "Where calls and transfers go; without it the agent transfers to tel: targets",
        expected: "a host with an optional port, such as your-sip-domain.sip.vobiz.ai",
        needed_by: "trunk-setup, voice-agent",
        example: "your-sip-domain.sip.vobiz.ai",
        optional: false,
    },
    Variable {
        name: "VOBIZ_USERNAME",
        aliases: &[],
        group: CARRIER,
        doc: "User of the SIP account",
        expected: "the user name from the carrier's console",
        needed_by: "trunk-setup",
        example: "",
        optional: false,
    },
    Variable {
        name: "VOBIZ_PASSWORD",
        aliases: &[],
        group: CARRIER,
        doc: "Password of the SIP account; put it in single quotes if it holds a # or spaces",
        expected: "the password from the carrier's console",
        needed_by: "trunk-setup",
        example: "",
        optional: false,
    },
    Variable {
        name: "VOBIZ_OUTBOUND_NUMBER",
        aliases: &["LIVEKIT_SIP_NUMBER"],
        group: CARRIER,
        doc: "Your number, which callees see",
        expected: "a phone number with country code, such as +919876543210",
        needed_by: "trunk-setup",
        example: "+91XXXXXXXXXX",
        optional: false,
    },
    Variable {
        name: "OUTBOUND_TRUNK_ID",
        aliases: &["SIP_OUTBOUND_TRUNK_ID", "LIVEKIT_SIP_OUTBOUND_TRUNK"],
        group: CARRIER,
        doc: "LiveKit's trunk; leave it empty and run `trunk-setup --write-env` to create one",
        expected: "a trunk id, ST_ and letters (`trunk-setup` prints it)",
        needed_by: "voice-agent",
        example: "",
        optional: false,
    },
    Variable {
        name: "SIP_CARRIER",
        aliases: &[],
        group: CARRIER,
        doc: "Habits of the carrier: vobiz, or generic, which takes inbound calls to the number without + too",
        expected: "vobiz or generic",
        needed_by: "trunk-setup",
        example: "vobiz",
        optional: true,
    },
    Variable {
        name: "SIP_NUMBER_FORMAT",
        aliases: &[],
        group: CARRIER,
        doc: "How the carrier wants your number in From: plus (+918000000000) or digits (918000000000)",
        expected: "plus or digits",
        needed_by: "trunk-setup",
        example: "plus",
        optional: true,
    },
    Variable {
        name: "SIP_USER_PHONE",
        aliases: &[],
        group: CARRIER,
        doc: "Whether the target of a REFER says ;user=phone, which some carriers need to take it for a phone number",
        expected: "true or false",
        needed_by: "trunk-setup, voice-agent",
        example: "false",
        optional: true,
    },
    Variable {
        name: "SIP_TRANSPORT",
        aliases: &[],
        group: CARRIER,
        doc: "How LiveKit sends SIP to the carrier; without it the trunk keeps what it has",
        expected: "auto, udp, tcp or tls",
        needed_by: "trunk-setup",
        example: "auto",
        optional: true,
    },
    Variable {
        name: "SIP_MEDIA_ENCRYPTION",
        aliases: &[],
        group: CARRIER,
        doc: "Whether calls use SRTP; without it the trunk keeps what it has",
        expected: "disable, allow or require",
        needed_by: "trunk-setup",
        example: "disable",
        optional: true,
    },
    Variable {
        name: "DEFAULT_TRANSFER_NUMBER",
        aliases: &[],
        group: AGENT,
        doc: "Where \"Transfer me.\" leads",
        expected: "a phone number with country code, such as +919876543210",
        needed_by: "voice-agent",
        example: "+91XXXXXXXXXX",
        optional: false,
    },
    Variable {
        name: "DEFAULT_REGION",
        aliases: &[],
        group: AGENT,
        doc: "Country of numbers without a country code; without it they are refused",
        expected: "a two-letter country code (ISO 3166-1), such as IN or US",
        needed_by: ALL_COMMANDS,
        example: "IN",
        optional: true,
    },
    Variable {
        name: "LIVEKIT_AGENT_NAME",
        aliases: &["LIVEKIT_AGENT_NAME_OVERRIDE"],
        group: AGENT,
        doc: "Name under which the worker registers and the dialer dispatches",
        expected: "a name without spaces",
        needed_by: "dialer, voice-agent",
        example: "outbound-caller",
        optional: true,
    },
    Variable {
        name: "AGENT_CONFIG",
        aliases: &[],
        group: AGENT,
        doc: "How the agent behaves: name, greeting, instructions, patience (docs/behaviour.md); without it a friendly receptionist",
        expected: "the path of a TOML file",
        needed_by: "voice-agent",
        example: "agent.toml",
        optional: true,
    },
    Variable {
        name: "LIVEKIT_LOG_LEVEL",
        aliases: &[],
        group: AGENT,
        doc: "What is logged; phone numbers and transcripts from debug on",
        expected: "error, warn, info, debug or trace",
        needed_by: "voice-agent",
        example: "info",
        optional: true,
    },
    Variable {
        name: "PROMETHEUS_PORT",
        aliases: &[],
        group: AGENT,
        doc: "Where the worker tells its metrics at /metrics: a port, on all addresses, or one address with a port; off if unset",
        expected: "a port from 1 to 65535 such as 9464, or an IP address with one such as 127.0.0.1:9464",
        needed_by: "voice-agent",
        example: "127.0.0.1:9464",
        optional: true,
    },
    Variable {
        name: "DIAL_RINGING_TIMEOUT",
        aliases: &[],
        group: AGENT,
        doc: "Seconds that a callee may ring",
        expected: "whole seconds from 1 to 80",
        needed_by: "voice-agent",
        example: "30",
        optional: true,
    },
    Variable {
        name: "TRANSFER_RINGING_TIMEOUT",
        aliases: &[],
        group: AGENT,
        doc: "Seconds that a transfer target may ring; longer than the carrier's own limit is right",
        expected: "whole seconds from 1 to 80",
        needed_by: "voice-agent",
        example: "40",
        optional: true,
    },
    Variable {
        name: "TRANSFER_ALLOW",
        aliases: &[],
        group: AGENT,
        doc: "Whom callers may name besides the default number and the departments; without it any ordinary number",
        expected: "a list of numbers, prefixes and countries, such as +15550001234, +44*, IN",
        needed_by: "voice-agent",
        example: "IN, US, +4420*",
        optional: true,
    },
    Variable {
        name: "TRANSFER_SALES",
        aliases: &[],
        group: AGENT,
        doc: "A department that callers may ask for by name; TRANSFER_BILLING, TRANSFER_TECH_SUPPORT and so on make more",
        expected: "a phone number with country code, such as +919876543210",
        needed_by: "voice-agent",
        example: "+91XXXXXXXXXX",
        optional: true,
    },
    Variable {
        name: "TRANSFER_MAX_PER_CALL",
        aliases: &[],
        group: AGENT,
        doc: "Transfers that one call may try",
        expected: "a whole number from 1 to 100",
        needed_by: "voice-agent",
        example: "5",
        optional: true,
    },
    Variable {
        name: "TRANSFER_MAX_PER_DAY",
        aliases: &[],
        group: AGENT,
        doc: "Transfers that one worker process may try within 24 hours; without it any number",
        expected: "a whole number from 1 to 100000",
        needed_by: "voice-agent",
        example: "200",
        optional: true,
    },
    Variable {
        name: "TRANSFER_CONFIRM",
        aliases: &[],
        group: AGENT,
        doc: "Whether each number that a caller speaks needs a yes; with false only one that was not understood the same way twice",
        expected: "true or false",
        needed_by: "voice-agent",
        example: "true",
        optional: true,
    },
    Variable {
        name: "TRANSFER_MODE",
        aliases: &[],
        group: AGENT,
        doc: "cold sends the caller away by REFER; bridge calls the target into the call; warm asks the target first",
        expected: "cold, bridge or warm",
        needed_by: "voice-agent",
        example: "cold",
        optional: true,
    },
    Variable {
        name: "TRANSFER_FALLBACK",
        aliases: &[],
        group: AGENT,
        doc: "What to do when the carrier refuses REFER: call the target into the call, or give up",
        expected: "bridge or none",
        needed_by: "voice-agent",
        example: "bridge",
        optional: true,
    },
    Variable {
        name: "TRANSFER_NEXT",
        aliases: &[],
        group: AGENT,
        doc: "Who stands in, in this order, when the default number is busy or does not answer",
        expected: "phone numbers with country code, with commas between them",
        needed_by: "voice-agent",
        example: "+91XXXXXXXXXX,+91XXXXXXXXXX",
        optional: true,
    },
    Variable {
        name: "TRANSFER_HOLD_SOUND",
        aliases: &[],
        group: AGENT,
        doc: "What the caller hears while the transfer target rings",
        expected: "dialtone, music or none",
        needed_by: "voice-agent",
        example: "dialtone",
        optional: true,
    },
    Variable {
        name: "CALLBACK_FILE",
        aliases: &[],
        group: AGENT,
        doc: "Where notes of callers who want to be called back are added; without it nobody is offered that",
        expected: "a file, in a folder that exists",
        needed_by: "voice-agent",
        example: "/var/lib/voice-agent/callbacks.jsonl",
        optional: true,
    },
    Variable {
        name: "STT_PROVIDER",
        aliases: &[],
        group: SPEECH,
        doc: "Who listens; without it the first of deepgram and openai that has its key, else local",
        expected: "deepgram, openai or local",
        needed_by: "voice-agent",
        example: "deepgram",
        optional: true,
    },
    Variable {
        name: "TTS_PROVIDER",
        aliases: &[],
        group: SPEECH,
        doc: "Who speaks; without it the first of openai, cartesia and deepgram that has its key, else local",
        expected: "openai, cartesia, deepgram or local",
        needed_by: "voice-agent",
        example: "openai",
        optional: true,
    },
    Variable {
        name: "SPEECH_MODELS_DIR",
        aliases: &[],
        group: SPEECH,
        doc: "Models for local speech, which also stands in for a provider that fails; the default is where `cargo xtask setup` puts them",
        expected: "a directory",
        needed_by: "voice-agent",
        example: "/path/to/models",
        optional: true,
    },
    Variable {
        name: "NOISE_SUPPRESSION",
        aliases: &[],
        group: SPEECH,
        doc: "Whether turns are found in audio without its noise; for loud and steady noise, not for voices in the background (docs/speech.md)",
        expected: "true or false",
        needed_by: "voice-agent",
        example: "false",
        optional: true,
    },
    Variable {
        name: "OPENAI_API_KEY",
        aliases: &[],
        group: SPEECH,
        doc: "Lets a language model lead the conversation, and OpenAI listen and speak; without it the built-in dialogue leads",
        expected: "an API key",
        needed_by: "voice-agent",
        example: "",
        optional: true,
    },
    Variable {
        name: "OPENAI_BASE_URL",
        aliases: &[],
        group: SPEECH,
        doc: "A server that speaks OpenAI's protocol; one of your own listens or speaks only where it is named",
        expected: "a URL such as https://api.openai.com/v1",
        needed_by: "voice-agent",
        example: "https://api.openai.com/v1",
        optional: true,
    },
    Variable {
        name: "OPENAI_LLM_MODEL",
        aliases: &[],
        group: SPEECH,
        doc: "The language model",
        expected: "the name of a model that the server has",
        needed_by: "voice-agent",
        example: "gpt-4o-mini",
        optional: true,
    },
    Variable {
        name: "PREEMPTIVE_GENERATION",
        aliases: &[],
        group: SPEECH,
        doc: "Whether the language model is asked in the pause that may be the end of what the caller says: faster answers, and some requests in vain",
        expected: "true or false",
        needed_by: "voice-agent",
        example: "true",
        optional: true,
    },
    Variable {
        name: "OPENAI_STT_MODEL",
        aliases: &[],
        group: SPEECH,
        doc: "OpenAI's model for listening",
        expected: "the name of a model that the server has",
        needed_by: "voice-agent",
        example: "gpt-4o-mini-transcribe",
        optional: true,
    },
    Variable {
        name: "OPENAI_STT_LANGUAGE",
        aliases: &[],
        group: SPEECH,
        doc: "The language that OpenAI listens for",
        expected: "a two-letter language code (ISO 639-1) such as en, or auto",
        needed_by: "voice-agent",
        example: "en",
        optional: true,
    },
    Variable {
        name: "OPENAI_TTS_MODEL",
        aliases: &[],
        group: SPEECH,
        doc: "OpenAI's model for speaking",
        expected: "the name of a model that the server has",
        needed_by: "voice-agent",
        example: "tts-1",
        optional: true,
    },
    Variable {
        name: "OPENAI_TTS_VOICE",
        aliases: &[],
        group: SPEECH,
        doc: "OpenAI's voice",
        expected: "the name of a voice of that model",
        needed_by: "voice-agent",
        example: "alloy",
        optional: true,
    },
    Variable {
        name: "DEEPGRAM_API_KEY",
        aliases: &[],
        group: SPEECH,
        doc: "Lets Deepgram listen",
        expected: "an API key",
        needed_by: "voice-agent",
        example: "",
        optional: true,
    },
    Variable {
        name: "DEEPGRAM_BASE_URL",
        aliases: &[],
        group: SPEECH,
        doc: "A server that speaks Deepgram's protocol",
        expected: "a URL such as https://api.deepgram.com/v1",
        needed_by: "voice-agent",
        example: "https://api.deepgram.com/v1",
        optional: true,
    },
    Variable {
        name: "DEEPGRAM_MODEL",
        aliases: &[],
        group: SPEECH,
        doc: "Deepgram's model for listening",
        expected: "the name of a streaming model",
        needed_by: "voice-agent",
        example: "nova-3",
        optional: true,
    },
    Variable {
        name: "DEEPGRAM_LANGUAGE",
        aliases: &[],
        group: SPEECH,
        doc: "The language that Deepgram listens for",
        expected: "a language of that model such as en or hi, or multi",
        needed_by: "voice-agent",
        example: "multi",
        optional: true,
    },
    Variable {
        name: "DEEPGRAM_KEYTERMS",
        aliases: &[],
        group: SPEECH,
        doc: "Names that Deepgram should know, such as your company's; departments are added by themselves",
        expected: "words or phrases, with commas between them",
        needed_by: "voice-agent",
        example: "Acme, Ada Lovelace",
        optional: true,
    },
    Variable {
        name: "DEEPGRAM_TTS_MODEL",
        aliases: &[],
        group: SPEECH,
        doc: "Deepgram's voice",
        expected: "the name of a voice model",
        needed_by: "voice-agent",
        example: "aura-2-thalia-en",
        optional: true,
    },
    Variable {
        name: "CARTESIA_API_KEY",
        aliases: &[],
        group: SPEECH,
        doc: "Lets Cartesia speak",
        expected: "an API key",
        needed_by: "voice-agent",
        example: "",
        optional: true,
    },
    Variable {
        name: "CARTESIA_BASE_URL",
        aliases: &[],
        group: SPEECH,
        doc: "A server that speaks Cartesia's protocol",
        expected: "a URL such as https://api.cartesia.ai",
        needed_by: "voice-agent",
        example: "https://api.cartesia.ai",
        optional: true,
    },
    Variable {
        name: "CARTESIA_TTS_MODEL",
        aliases: &[],
        group: SPEECH,
        doc: "Cartesia's model",
        expected: "the name of a model",
        needed_by: "voice-agent",
        example: "sonic-2",
        optional: true,
    },
    Variable {
        name: "CARTESIA_TTS_VOICE",
        aliases: &[],
        group: SPEECH,
        doc: "Cartesia's voice",
        expected: "the id of a voice",
        needed_by: "voice-agent",
        example: "f786b574-daa5-4673-aa0c-cbe3e8534c02",
        optional: true,
    },
];

pub(crate) fn default_region(reader: &mut Reader<'_>) -> Option<Region> {
    reader.optional("DEFAULT_REGION", str::parse)
}

/// Takes `true` or `false`, in any case.
pub(crate) fn switch(value: &str) -> Result<bool, &'static str> {
    let value = value.trim().to_ascii_lowercase();
    value.parse().map_err(|_| "it is neither true nor false")
}

/// How refer targets are written.
pub(crate) fn user_parameter(reader: &mut Reader<'_>) -> UserParameter {
    match reader.optional("SIP_USER_PHONE", switch) {
        Some(true) => UserParameter::Phone,
        Some(false) | None => UserParameter::Absent,
    }
}

/// Takes a word: no spaces, no control characters.
pub(crate) fn token(value: &str) -> Result<String, &'static str> {
    let value = value.trim();
    match value.contains(|c: char| c.is_whitespace() || c.is_control()) {
        true => Err("it has spaces or line breaks in it"),
        false => Ok(value.to_owned()),
    }
}

/// Takes a secret as it stands, spaces included.
pub(crate) fn secret(value: &str) -> Result<SecretString, &'static str> {
    match value.contains(char::is_control) {
        true => Err("it has line breaks or control characters in it"),
        false => Ok(value.into()),
    }
}

/// Takes the URL of a server that is asked by HTTP.
pub(crate) fn base_url(value: &str) -> Result<Url, &'static str> {
    let url = Url::parse(value.trim()).map_err(|_| "it is not a URL")?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err("it does not start with http:// or https://"),
    }
}

pub(crate) fn trunk_id(value: &str) -> Result<String, &'static str> {
    let value = token(value)?;
    match value.strip_prefix("ST_") {
        Some(rest) if !rest.is_empty() => Ok(value),
        _ => Err("it does not start with ST_"),
    }
}
