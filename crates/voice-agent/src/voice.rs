//! From text to audio.

use std::{sync::Arc, time::Duration};

use speech::{Pcm, Piper, clauses};
use tokio::sync::mpsc;
use tracing::{Instrument as _, Span, error};

use crate::inference::Inference;

/// Clauses that are made ahead of the one that is being played.
const AHEAD: usize = 2;

/// Silence after a comma and the like.
const CLAUSE_PAUSE: Duration = Duration::from_millis(80);

/// Silence after a sentence.
const SENTENCE_PAUSE: Duration = Duration::from_millis(200);

/// The agent's voice.
#[derive(Clone)]
pub struct Voice {
    piper: Arc<Piper>,
    inference: Inference,
}

impl Voice {
    pub(crate) fn new(piper: Arc<Piper>, inference: Inference) -> Self {
        Self { piper, inference }
    }

    /// Speaks a text clause by clause, the pauses between them included.
    ///
    /// The first audio comes after a tenth of a second, the rest while it plays. Dropping the receiver
    /// ends the work. What cannot be spoken is logged and left out.
    pub fn sentences(&self, text: &str) -> mpsc::Receiver<Pcm> {
        let (audio, receiver) = mpsc::channel(AHEAD);
        let clauses: Vec<String> = clauses(text).map(str::to_owned).collect();
        let voice = self.clone();
        let speak = async move {
            for clause in clauses {
                let Some(pcm) = voice.clause(clause).await else {
                    continue;
                };
                if audio.send(pcm).await.is_err() {
                    return;
                }
            }
        };
        tokio::spawn(speak.instrument(Span::current()));
        receiver
    }

    async fn clause(&self, clause: String) -> Option<Pcm> {
        let piper = self.piper.clone();
        let spoken = self.inference.run(move || {
            let pause = if clause.ends_with([',', ';', ':']) {
                CLAUSE_PAUSE
            } else {
                SENTENCE_PAUSE
            };
            let mut pcm = piper.synthesize(&clause)?;
            let silence = f64::from(pcm.sample_rate) * pause.as_secs_f64();
            pcm.samples.resize(pcm.samples.len() + silence as usize, 0);
            Ok::<_, speech::SynthesizeError>(pcm)
        });
        match spoken.await {
            Ok(pcm) => Some(pcm),
            Err(error) => {
                error!("cannot speak: {:#}", anyhow::Error::from(error));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ears::tests::MODELS;

    fn voice() -> Voice {
        Voice::new(MODELS.piper.clone(), Inference::on_all_cores())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_text_comes_clause_by_clause_with_its_pauses() {
        let mut audio = voice().sentences("Sure, one moment please. Goodbye.");
        let mut clauses = Vec::new();
        while let Some(pcm) = audio.recv().await {
            clauses.push(pcm);
        }
        assert_eq!(clauses.len(), 3);
        for (pcm, pause) in clauses
            .iter()
            .zip([CLAUSE_PAUSE, SENTENCE_PAUSE, SENTENCE_PAUSE])
        {
            let silence = (f64::from(pcm.sample_rate) * pause.as_secs_f64()) as usize;
            let (spoken, end) = pcm.samples.split_at(pcm.samples.len() - silence);
            assert!(end.iter().all(|sample| *sample == 0));
            assert!(spoken.iter().any(|sample| sample.unsigned_abs() > 2_000));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_to_say_is_no_audio() {
        assert_eq!(voice().sentences("").recv().await, None);
        assert_eq!(voice().sentences(" ... ").recv().await, None);
    }
}
