//! The local models, loaded once, and the cores that all calls share.

use std::{panic::resume_unwind, sync::Arc, thread::available_parallelism};

use sip_config::{AgentSettings, SttSettings};
use speech::{LoadError, ModelsDir, Piper, Whisper};
use speech_cloud::{CloudVoice, KeyCheck, KeyError, Pause, Transcriber, check_key, http_client};
use tokio::{sync::Semaphore, task::spawn_blocking};
use tracing::{debug, error, info, warn};
use transfer_core::{PhoneNumber, Region, policy::TransferPolicy};

use crate::{
    behaviour::Behaviour,
    conversation::{Brain, LanguageModel, PolicySettings},
    ears::{Ears, LocalEars, Stt},
    tool::own_tools,
    vendor::Vendor,
    voice::{LocalVoice, Ready, Voice},
};

/// Everything that calls need to listen, think and speak.
pub struct Speech {
    stt: Stt,
    local_ears: Option<LocalEars>,
    noise_suppression: bool,
    tts: Option<(CloudVoice, Vendor)>,
    local_voice: Option<LocalVoice>,
    ready: Ready,
    /// The keys that are used, and what they are used for.
    keys: Vec<(KeyCheck, Vec<Vendor>)>,
    http: reqwest::Client,
    default_region: Option<Region>,
    model: Option<LanguageModel>,
}

/// There is nobody to listen, or nobody to speak.
#[derive(Debug, thiserror::Error)]
pub enum LoadSpeechError {
    #[error("no provider is chosen to {work}, and this machine cannot")]
    Model {
        work: &'static str,
        source: LoadError,
    },
    #[error(
        "this machine cannot open TLS connections; install its root certificates (ca-certificates)"
    )]
    Http(#[source] reqwest::Error),
}

/// The model that leads the conversation, with the tools of this agent; none when the built-in dialogue does.
pub(crate) fn language_model(settings: &AgentSettings) -> Option<LanguageModel> {
    let model = LanguageModel::new(settings.llm.as_ref()?);
    Some(model.with_tools(own_tools()))
}

impl Speech {
    /// Loads the models; takes about half a second and blocks for it.
    ///
    /// A vendor works without them, and then nobody stands in for it.
    pub fn load(settings: &AgentSettings) -> Result<Self, LoadSpeechError> {
        let models = ModelsDir::new(&settings.speech.models_dir);
        let inference = Inference::on_all_cores();
        let http = http_client().map_err(LoadSpeechError::Http)?;
        let (stt, listener) = stt(settings, &http);
        let tts = CloudVoice::new(http.clone(), &settings.providers.tts).map(|voice| {
            let vendor = Vendor::new(voice.name());
            (voice, vendor)
        });
        let whisper = model(
            "listen",
            listener.is_some(),
            Whisper::load(&models.whisper()),
        )?;
        let piper = model("speak", tts.is_some(), Piper::load(&models.piper()))?;

        let name = |vendor: Option<&Vendor>| vendor.map_or("local", Vendor::name);
        let speaker = tts.as_ref().map(|(_, vendor)| vendor);
        info!("Using {} STT", name(listener.as_ref()));
        info!("Using {} TTS", name(speaker));
        let model = language_model(settings);
        let thinker = model.as_ref().map(LanguageModel::vendor);
        let keys = keys([
            KeyCheck::stt(&settings.providers.stt).zip(listener),
            KeyCheck::tts(&settings.providers.tts).zip(speaker.cloned()),
            settings
                .llm
                .as_ref()
                .map(KeyCheck::llm)
                .zip(thinker.cloned()),
        ]);
        Ok(Self {
            stt,
            local_ears: whisper.map(|whisper| LocalEars {
                whisper: Arc::new(whisper),
                inference: inference.clone(),
            }),
            noise_suppression: settings.speech.noise_suppression,
            tts,
            local_voice: piper.map(|piper| LocalVoice {
                piper: Arc::new(piper),
                inference,
            }),
            ready: Ready::default(),
            keys,
            http,
            default_region: settings.default_region,
            model,
        })
    }

    /// Asks the vendors whether they take their keys, and says in the log when one does not. No call waits
    /// for it, and a vendor that refuses its key is not asked for anything.
    pub fn check_keys(&self) -> impl Future<Output = ()> + Send + 'static {
        let (http, keys) = (self.http.clone(), self.keys.clone());
        async move {
            for (check, vendors) in keys {
                match check_key(&http, &check).await {
                    Ok(()) => debug!(?vendors, "key taken"),
                    Err(refused @ KeyError::Refused { vendor, variable }) => {
                        error!("{refused}; set a valid key and start again");
                        for user in vendors {
                            let error = KeyError::Refused { vendor, variable };
                            user.failed(error, Pause::UntilFixed, "it is not asked");
                        }
                    }
                    Err(unknown @ KeyError::Unknown { .. }) => {
                        warn!("{:#}", anyhow::Error::from(unknown));
                    }
                }
            }
        }
    }

    /// A new conversation.
    pub fn brain(
        &self,
        behaviour: Behaviour,
        default_transfer: Option<PhoneNumber>,
        transfer_policy: TransferPolicy,
    ) -> Brain {
        let settings = PolicySettings {
            behaviour,
            default_transfer,
            default_region: self.default_region,
            transfer_policy,
        };
        Brain::new(self.model.clone(), settings)
    }

    /// The voice of a call; `wish` is the name that the provider has for it, where it is not that of the settings.
    pub fn voice(&self, wish: Option<&str>) -> Voice {
        if let (Some(voice), None) = (wish, &self.tts) {
            warn!(voice, "no such voice: TTS_PROVIDER is local, which has one");
        }
        Voice::new(self.tts.clone(), self.local_voice.clone())
            .sharing(self.ready.clone())
            .wishing(wish)
    }

    pub fn ears(&self) -> Ears {
        Ears::new(self.stt.clone(), self.local_ears.clone())
            .with_noise_suppression(self.noise_suppression)
    }
}

/// One check for each key, however often it is used.
fn keys(used: [Option<(KeyCheck, Vendor)>; 3]) -> Vec<(KeyCheck, Vec<Vendor>)> {
    let mut keys: Vec<(KeyCheck, Vec<Vendor>)> = Vec::new();
    for (key, user) in used.into_iter().flatten() {
        match keys.iter_mut().find(|(same, _)| same.is_same_as(&key)) {
            Some((_, users)) => users.push(user),
            None => keys.push((key, vec![user])),
        }
    }
    keys
}

/// Who recognises, and which vendor that is.
fn stt(settings: &AgentSettings, http: &reqwest::Client) -> (Stt, Option<Vendor>) {
    match &settings.providers.stt {
        SttSettings::Local => (Stt::Local, None),
        SttSettings::OpenAi(openai) => {
            let vendor = Vendor::new("OpenAI");
            let transcriber = Transcriber::new(http.clone(), openai.clone());
            (Stt::OpenAi(transcriber, vendor.clone()), Some(vendor))
        }
        SttSettings::Deepgram(deepgram) => {
            let vendor = Vendor::new("Deepgram");
            let mut deepgram = deepgram.clone();
            // Older models refuse a request with key terms.
            if deepgram.model.starts_with("nova-3") {
                let departments = settings.transfer_rules.destinations.iter();
                let names = departments.map(|department| department.name.to_string());
                deepgram.keyterms.extend(names);
            }
            (Stt::Deepgram(deepgram, vendor.clone()), Some(vendor))
        }
    }
}

/// A model that must be there, or that only stands in for a vendor.
fn model<T>(
    work: &'static str,
    stands_in: bool,
    loaded: Result<T, LoadError>,
) -> Result<Option<T>, LoadSpeechError> {
    match loaded {
        Ok(model) => Ok(Some(model)),
        Err(LoadError::Missing { path }) if stands_in => {
            info!(
                model = %path.display(),
                "no local model to {work} with: nobody stands in when the provider fails; `cargo xtask setup --agent` fetches it"
            );
            Ok(None)
        }
        Err(source) => Err(LoadSpeechError::Model { work, source }),
    }
}

/// As many inferences at once as there are cores, in the order in which they were asked for.
///
/// Each uses one thread; more of them would only make each other late.
#[derive(Clone)]
pub(crate) struct Inference {
    cores: Arc<Semaphore>,
}

impl Inference {
    pub(crate) fn on_all_cores() -> Self {
        let cores = available_parallelism().map_or(1, |cores| cores.get());
        Self {
            cores: Arc::new(Semaphore::new(cores)),
        }
    }

    /// Whether an inference that is asked for now begins at once.
    pub(crate) fn has_free_core(&self) -> bool {
        self.cores.available_permits() > 0
    }

    /// Runs `infer` on a blocking thread once a core is free.
    ///
    /// Cancel safe: what has not begun does not begin, what has begun ends unheard.
    ///
    /// # Panics
    ///
    /// When `infer` does.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        infer: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let core = self.cores.clone().acquire_owned().await;
        let core = core.expect("the semaphore is never closed");
        let ran = spawn_blocking(move || {
            let _core = core;
            infer()
        });
        match ran.await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // Blocking tasks are cancelled only before they begin, when the runtime ends.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use sip_config::Environment;

    use super::*;
    use crate::loopback::{Answer, Vendor as Server};

    /// On a machine without models.
    fn load(providers: &[(&str, &str)]) -> Result<Speech, LoadSpeechError> {
        let empty = tempfile::tempdir().unwrap();
        let dir = empty.path().to_str().unwrap();
        let needed = [("OUTBOUND_TRUNK_ID", "ST_abc"), ("SPEECH_MODELS_DIR", dir)];
        let pairs = needed.iter().chain(providers);
        let pairs = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = Environment::from_pairs(pairs).settings().unwrap();
        Speech::load(&settings)
    }

    #[test]
    fn models_are_needed_for_what_no_provider_does() {
        let missing = |providers| match load(providers) {
            Err(LoadSpeechError::Model { work, .. }) => work,
            Err(other) => panic!("{other}"),
            Ok(_) => "nothing",
        };
        assert_eq!(missing(&[]), "listen");
        assert_eq!(missing(&[("CARTESIA_API_KEY", "k")]), "listen");
        let only_listens = [("DEEPGRAM_API_KEY", "k"), ("TTS_PROVIDER", "local")];
        assert_eq!(missing(&only_listens), "speak");
        assert_eq!(missing(&[("OPENAI_API_KEY", "k")]), "nothing");
        let the_originals = [
            ("DEEPGRAM_API_KEY", "k"),
            ("CARTESIA_API_KEY", "k"),
            ("TTS_PROVIDER", "cartesia"),
        ];
        assert_eq!(missing(&the_originals), "nothing");
    }

    #[tokio::test]
    async fn a_provider_that_refuses_its_key_is_not_asked() {
        for (status, is_asked) in [(401, false), (403, true), (500, true)] {
            let server = Server::always(Answer::refused(status)).await;
            let speech = load(&[
                ("OPENAI_API_KEY", "a-secret"),
                ("OPENAI_BASE_URL", server.account.base_url.as_str()),
                ("STT_PROVIDER", "openai"),
                ("TTS_PROVIDER", "openai"),
            ]);
            let speech = speech.unwrap_or_else(|error| panic!("{error}"));
            speech.check_keys().await;
            let (_, speaker) = speech.tts.unwrap();
            assert_eq!(speaker.is_worth_asking(), is_asked, "{status}");
            let Stt::OpenAi(_, listener) = speech.stt else {
                panic!("OpenAI listens")
            };
            assert_eq!(listener.is_worth_asking(), is_asked, "{status}");
            let model = speech.model.unwrap();
            assert_eq!(model.vendor().is_worth_asking(), is_asked, "{status}");
            assert_eq!(
                server.requests().len(),
                1,
                "a key that is used three times is asked for once"
            );
        }
    }

    #[tokio::test]
    async fn no_more_inferences_run_at_once_than_there_are_cores() {
        let cores = available_parallelism().unwrap().get();
        let inference = Inference::on_all_cores();
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let runs = (0..cores * 4).map(|_| {
            let (inference, running, most) = (inference.clone(), running.clone(), most.clone());
            tokio::spawn(async move {
                inference
                    .run(move || {
                        let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                    })
                    .await;
            })
        });
        for run in runs.collect::<Vec<_>>() {
            run.await.unwrap();
        }
        assert!((1..=cores).contains(&most.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn a_panic_reaches_the_call_and_frees_the_core() {
        let inference = Inference {
            cores: Arc::new(Semaphore::new(1)),
        };
        let call = tokio::spawn({
            let inference = inference.clone();
            async move { inference.run(|| panic!("no such weights")).await }
        });
        assert!(call.await.unwrap_err().is_panic());
        assert_eq!(inference.run(|| 7).await, 7);
    }
}
