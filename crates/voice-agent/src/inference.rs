//! The local models, loaded once, and the cores that all calls share.

use std::{panic::resume_unwind, sync::Arc, thread::available_parallelism};

use sip_config::{AgentSettings, LlmSettings};
use speech::{LoadError, ModelsDir, Piper, Whisper};
use tokio::{sync::Semaphore, task::spawn_blocking};
use transfer_core::{PhoneNumber, Region, policy::TransferPolicy};

use crate::{
    conversation::{Brain, DialoguePolicy, LlmBrain, PolicySettings},
    ears::Ears,
    voice::Voice,
};

/// Everything that calls need to listen, think and speak.
pub struct Speech {
    whisper: Arc<Whisper>,
    piper: Arc<Piper>,
    inference: Inference,
    default_region: Option<Region>,
    llm: Option<LlmSettings>,
}

impl Speech {
    /// Loads the models; takes about half a second and blocks for it.
    pub fn load(settings: &AgentSettings) -> Result<Self, LoadError> {
        let models = ModelsDir::new(&settings.speech.models_dir);
        Ok(Self {
            whisper: Arc::new(Whisper::load(&models.whisper())?),
            piper: Arc::new(Piper::load(&models.piper())?),
            inference: Inference::on_all_cores(),
            default_region: settings.default_region,
            llm: settings.llm.clone(),
        })
    }

    /// A new conversation.
    pub fn brain(
        &self,
        default_transfer: Option<PhoneNumber>,
        transfer_policy: TransferPolicy,
    ) -> Brain {
        let settings = PolicySettings {
            default_transfer,
            default_region: self.default_region,
            transfer_policy,
        };
        match &self.llm {
            Some(llm) => Brain::Llm(Box::new(LlmBrain::new(llm, settings))),
            None => Brain::Rules(DialoguePolicy::new(settings)),
        }
    }

    pub fn voice(&self) -> Voice {
        Voice::new(self.piper.clone(), self.inference.clone())
    }

    pub fn ears(&self) -> Ears {
        Ears::new(self.whisper.clone(), self.inference.clone())
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

    use super::*;

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
