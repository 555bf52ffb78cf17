//! What a binary sees of the settings, and what a person sees of what is wrong with them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::rc::Rc;

use expect_test::{expect, expect_file};
use secrecy::ExposeSecret as _;
use sip_config::{
    AgentSettings, DialerSettings, Environment, LiveKitSettings, OutboundTrunkSettings,
    SpeechSettings, SttSettings, TrunkSettings, TtsSettings, VARIABLES,
};
use transfer_core::policy::Confirmation;

const COMPLETE: &[(&str, &str)] = &[
    ("LIVEKIT_URL", "ws://127.0.0.1:7880"),
    ("LIVEKIT_API_KEY", "devkey"),
    ("LIVEKIT_API_SECRET", "the-api-secret"),
    ("VOBIZ_SIP_DOMAIN", "sip.example.net:5070"),
    ("VOBIZ_USERNAME", "trunkuser"),
    ("VOBIZ_PASSWORD", " the $password # "),
    ("VOBIZ_OUTBOUND_NUMBER", "+91 80000 00000"),
    ("OUTBOUND_TRUNK_ID", "ST_abc"),
    ("DEFAULT_TRANSFER_NUMBER", "080000 00001"),
    ("DEFAULT_REGION", "IN"),
    ("OPENAI_API_KEY", "the-llm-secret"),
    ("HOME", "/home/me"),
];

type Everything = (
    LiveKitSettings,
    TrunkSettings,
    OutboundTrunkSettings,
    AgentSettings,
);

fn environment(pairs: &'static [(&str, &str)]) -> Environment {
    Environment::from_fn(|name| {
        pairs
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn a_complete_environment_becomes_types() {
    let (livekit, trunk, _, agent): Everything = environment(COMPLETE).settings().unwrap();

    assert_eq!(livekit.signal_url(), "ws://127.0.0.1:7880");
    assert_eq!(livekit.api_secret.expose_secret(), "the-api-secret");
    assert_eq!(trunk.domain.to_string(), "sip.example.net:5070");
    assert_eq!(trunk.password.expose_secret(), " the $password # ");
    assert_eq!(trunk.outbound_number.to_string(), "+918000000000");
    assert_eq!(
        agent.default_transfer_number.unwrap().to_string(),
        "+918000000001"
    );
    assert_eq!(agent.agent_name, "outbound-caller");
    assert_eq!(agent.dial_ringing_timeout.as_secs(), 30);
    assert_eq!(agent.transfer_ringing_timeout.as_secs(), 40);
    assert_eq!(agent.log_level.to_string(), "info");
    assert_eq!(
        agent.speech.models_dir.to_str(),
        Some("/home/me/.cache/sip-transfer-agent/models")
    );
    let llm = agent.llm.unwrap();
    assert_eq!(llm.base_url.as_str(), "https://api.openai.com/v1");
    assert_eq!(llm.model, "gpt-4o-mini");
}

#[test]
fn debug_output_shows_no_secret_and_no_full_number() {
    let everything: Everything = environment(COMPLETE).settings().unwrap();
    let debug = format!("{everything:?}");
    for hidden in [
        "the-api-secret",
        "password #",
        "the-llm-secret",
        "8000000000",
    ] {
        assert!(!debug.contains(hidden), "{debug}");
    }
}

#[test]
fn aliases_are_read() {
    let environment = environment(&[
        ("LIVEKIT_SIP_OUTBOUND_TRUNK", "ST_alias"),
        ("LIVEKIT_AGENT_NAME_OVERRIDE", "night-shift"),
    ]);
    let (trunk, agent): (OutboundTrunkSettings, AgentSettings) = environment.settings().unwrap();
    assert_eq!(trunk.trunk_id, "ST_alias");
    assert_eq!(agent.agent_name, "night-shift");
}

#[test]
fn the_dialer_starts_with_nothing_set() {
    let dialer: DialerSettings = environment(&[]).settings().unwrap();
    assert_eq!(dialer.agent_name, "outbound-caller");
    assert_eq!(dialer.default_region, None);
}

/// Who listens and who speaks, with what.
fn providers(pairs: &'static [(&str, &str)]) -> (String, String) {
    let environment = Environment::from_pairs(
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    let agent: AgentSettings = environment
        .settings()
        .expect("the providers are set rightly");
    let stt = match agent.providers.stt {
        SttSettings::Local => "local".to_owned(),
        SttSettings::Deepgram(stt) => format!(
            "deepgram {} {} {} {:?}",
            stt.account.base_url, stt.model, stt.language, stt.keyterms
        ),
        SttSettings::OpenAi(stt) => format!(
            "openai {} {} {:?}",
            stt.account.base_url, stt.model, stt.language
        ),
    };
    let tts = match agent.providers.tts {
        TtsSettings::Local => "local".to_owned(),
        TtsSettings::OpenAi(tts) => format!(
            "openai {} {} {}",
            tts.account.base_url, tts.model, tts.voice
        ),
        TtsSettings::Cartesia(tts) => format!(
            "cartesia {} {} {}",
            tts.account.base_url, tts.model, tts.voice
        ),
        TtsSettings::Deepgram(tts) => format!("deepgram {} {}", tts.account.base_url, tts.model),
    };
    (stt, tts)
}

#[test]
fn keys_choose_the_providers_and_names_win_over_keys() {
    const OPENAI: (&str, &str) = ("OPENAI_API_KEY", "a");
    const DEEPGRAM: (&str, &str) = ("DEEPGRAM_API_KEY", "b");
    const CARTESIA: (&str, &str) = ("CARTESIA_API_KEY", "c");
    let check = |pairs, stt: &str, tts: &str| {
        let found = providers(pairs);
        let word = |text: &str| text.split(' ').next().unwrap().to_owned();
        assert_eq!(
            (word(&found.0), word(&found.1)),
            (stt.to_owned(), tts.to_owned()),
            "{pairs:?}"
        );
    };
    check(&[], "local", "local");
    check(&[OPENAI], "openai", "openai");
    check(&[DEEPGRAM], "deepgram", "deepgram");
    check(&[CARTESIA], "local", "cartesia");
    check(&[OPENAI, DEEPGRAM, CARTESIA], "deepgram", "openai");
    check(
        &[OPENAI, DEEPGRAM, CARTESIA, ("TTS_PROVIDER", "cartesia")],
        "deepgram",
        "cartesia",
    );
    check(
        &[
            OPENAI,
            DEEPGRAM,
            ("TTS_PROVIDER", "deepgram"),
            ("STT_PROVIDER", "openai"),
        ],
        "openai",
        "deepgram",
    );
    check(
        &[
            OPENAI,
            DEEPGRAM,
            ("TTS_PROVIDER", "Local"),
            ("STT_PROVIDER", " local "),
        ],
        "local",
        "local",
    );
}

#[test]
fn a_server_of_ones_own_in_openais_place_speaks_only_where_it_is_named() {
    const LOCAL_MODEL: [(&str, &str); 2] = [
        ("OPENAI_API_KEY", "a"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1"),
    ];
    let (stt, tts) = providers(&LOCAL_MODEL);
    assert_eq!((stt.as_str(), tts.as_str()), ("local", "local"));
    let (stt, tts) = providers(&[
        LOCAL_MODEL[0],
        LOCAL_MODEL[1],
        ("STT_PROVIDER", "openai"),
        ("TTS_PROVIDER", "openai"),
    ]);
    assert_eq!(
        stt,
        "openai http://127.0.0.1:8000/v1 gpt-4o-mini-transcribe Some(\"en\")"
    );
    assert_eq!(tts, "openai http://127.0.0.1:8000/v1 tts-1 alloy");
}

#[test]
fn providers_have_the_defaults_of_the_original_and_take_others() {
    let (stt, tts) = providers(&[("DEEPGRAM_API_KEY", "b"), ("CARTESIA_API_KEY", "c")]);
    assert_eq!(stt, "deepgram https://api.deepgram.com/v1 nova-3 multi []");
    assert_eq!(
        tts,
        "cartesia https://api.cartesia.ai/ sonic-2 f786b574-daa5-4673-aa0c-cbe3e8534c02"
    );
    let (stt, tts) = providers(&[
        ("DEEPGRAM_API_KEY", "b"),
        ("DEEPGRAM_BASE_URL", "https://dg.example/v1"),
        ("DEEPGRAM_MODEL", "nova-2"),
        ("DEEPGRAM_LANGUAGE", "hi"),
        ("DEEPGRAM_KEYTERMS", "Acme, Ada Lovelace,"),
        ("DEEPGRAM_TTS_MODEL", "aura-2-orion-en"),
    ]);
    assert_eq!(
        stt,
        "deepgram https://dg.example/v1 nova-2 hi [\"Acme\", \"Ada Lovelace\"]"
    );
    assert_eq!(tts, "deepgram https://dg.example/v1 aura-2-orion-en");
    let (stt, _) = providers(&[
        ("OPENAI_API_KEY", "a"),
        ("OPENAI_STT_MODEL", "whisper-1"),
        ("OPENAI_STT_LANGUAGE", "auto"),
    ]);
    assert_eq!(stt, "openai https://api.openai.com/v1 whisper-1 None");
}

#[test]
fn all_faults_come_in_one_report() {
    let error = environment(&[
        ("LIVEKIT_URL", "my-project.livekit.cloud"),
        ("LIVEKIT_API_SECRET", "the-api\nsecret"),
        ("VOBIZ_SIP_DOMAIN", "sip:sip.example.net"),
        ("VOBIZ_PASSWORD", " "),
        ("VOBIZ_OUTBOUND_NUMBER", "+91XXXXXXXXXX"),
        ("OUTBOUND_TRUNK_ID", "abc"),
        ("DEFAULT_REGION", "India"),
        ("STT_PROVIDER", "siri"),
        ("TTS_PROVIDER", "openai"),
        ("DIAL_RINGING_TIMEOUT", "30s"),
    ])
    .settings::<Everything>()
    .unwrap_err();
    expect![[r#"
        12 settings are missing or wrong
          LIVEKIT_URL is wrong: it is not a URL (relative URL without a base)
            expected: a URL such as wss://my-project.livekit.cloud or ws://127.0.0.1:7880
            needed by: dialer, trunk-setup, voice-agent
          LIVEKIT_API_KEY is missing
            expected: the key from LiveKit's console or livekit-server's configuration
            needed by: dialer, trunk-setup, voice-agent
          LIVEKIT_API_SECRET is wrong: it has line breaks or control characters in it
            expected: the secret that belongs to LIVEKIT_API_KEY
            needed by: dialer, trunk-setup, voice-agent
          DEFAULT_REGION is wrong: not a two-letter country code (ISO 3166-1), such as IN or US
            expected: a two-letter country code (ISO 3166-1), such as IN or US
            needed by: dialer, trunk-setup, voice-agent
          VOBIZ_SIP_DOMAIN is wrong: write the host only, without `sip:` or `https://`
            expected: a host with an optional port, such as your-sip-domain.sip.vobiz.ai
            needed by: trunk-setup, voice-agent
          VOBIZ_USERNAME is missing
            expected: the user name from the carrier's console
            needed by: trunk-setup
          VOBIZ_PASSWORD is missing
            expected: the password from the carrier's console
            needed by: trunk-setup
          VOBIZ_OUTBOUND_NUMBER is wrong: `X` cannot be part of a phone number
            expected: a phone number with country code, such as +919876543210
            needed by: trunk-setup
          OUTBOUND_TRUNK_ID is wrong: it does not start with ST_
            expected: a trunk id, ST_ and letters (`trunk-setup` prints it)
            needed by: voice-agent
          DIAL_RINGING_TIMEOUT is wrong: it is not a whole number of seconds from 1 to 80
            expected: whole seconds from 1 to 80
            needed by: voice-agent
          STT_PROVIDER is wrong: there is no such provider
            expected: deepgram, openai or local
            needed by: voice-agent
          TTS_PROVIDER is wrong: the provider that it names needs OPENAI_API_KEY, which is not set
            expected: openai, cartesia, deepgram or local
            needed by: voice-agent
        looked in the environment; there is no .env.local or .env in this directory (start from .env.example)"#]]
    .assert_eq(&error.to_string());
}

#[test]
fn a_switch_is_true_or_false_and_nothing_else() {
    let confirmation = |value: &str| {
        let mut pairs: Vec<_> = COMPLETE
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        pairs.push(("TRANSFER_CONFIRM".to_owned(), value.to_owned()));
        let agent: Result<AgentSettings, _> = Environment::from_pairs(pairs).settings();
        agent.map(|agent| agent.transfer_rules.confirmation)
    };
    assert_eq!(confirmation("").unwrap(), Confirmation::Always);
    assert_eq!(confirmation(" TRUE ").unwrap(), Confirmation::Always);
    assert_eq!(confirmation("false").unwrap(), Confirmation::WhenInDoubt);
    for value in ["no", "0", "falsch"] {
        let error = confirmation(value).unwrap_err().to_string();
        assert!(error.contains("neither true nor false"), "{error}");
    }
}

#[test]
fn noise_is_suppressed_only_where_somebody_wants_it() {
    let noise_suppression = |value: &str| {
        let value = value.to_owned();
        Environment::from_fn(move |name| (name == "NOISE_SUPPRESSION").then(|| value.clone()))
            .settings::<SpeechSettings>()
            .map(|speech| speech.noise_suppression)
    };
    assert!(!noise_suppression("").unwrap());
    assert!(!noise_suppression("False").unwrap());
    assert!(noise_suppression("true").unwrap());
    let error = noise_suppression("krisp").unwrap_err().to_string();
    assert!(error.contains("NOISE_SUPPRESSION is wrong: it is neither true nor false"));
}

#[test]
fn every_variable_of_the_table_is_read() {
    let asked = Rc::new(RefCell::new(BTreeSet::new()));
    let asked_by_lookup = Rc::clone(&asked);
    let environment = Environment::from_fn(move |name| {
        asked_by_lookup.borrow_mut().insert(name.to_owned());
        None
    });
    environment.settings::<Everything>().unwrap_err();
    for variable in VARIABLES {
        for name in std::iter::once(&variable.name).chain(variable.aliases) {
            assert!(asked.borrow().contains(*name), "{name} is never read");
        }
    }
}

/// `UPDATE_EXPECT=1` rewrites the file.
#[test]
fn the_example_file_holds_every_variable() {
    let mut text = String::from(
        "# Copy this file to .env and fill it in. The process environment wins over .env.local, and that over .env.\n",
    );
    let mut group = "";
    for variable in VARIABLES {
        if variable.group != group {
            group = variable.group;
            writeln!(text, "\n# --- {group}").unwrap();
        }
        let comment = if variable.optional { "# " } else { "" };
        writeln!(text, "# {}", variable.doc).unwrap();
        writeln!(text, "{comment}{}={}", variable.name, variable.example).unwrap();
    }
    expect_file!["../../../.env.example"].assert_eq(&text);
}
