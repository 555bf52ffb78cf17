//! The conversation as whoever leads a call has it: one thought at a time, beside everything else.

use tokio::sync::mpsc;
use tracing::warn;

use super::{Brain, Done, Heard, Told};

/// What is told of a thought ahead of whoever listens; the conversation waits for more than that.
const AHEAD: usize = 8;

/// Thinks about what is heard. When it is dropped, [`Mind::start`]'s future ends.
pub(crate) struct Mind {
    thoughts: mpsc::Sender<Thought>,
    /// Of the last thought.
    told: mpsc::Receiver<Told>,
}

struct Thought {
    /// What the agent has done since the thought before.
    done: Vec<Done>,
    heard: Heard,
    told: mpsc::Sender<Told>,
}

impl Mind {
    /// Returns the mind and the work that it does, which is to be run.
    pub(crate) fn start(mut brain: Brain) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (thoughts, mut to_think) = mpsc::channel::<Thought>(1);
        let (_, told) = mpsc::channel(1);
        let work = async move {
            while let Some(Thought { done, heard, told }) = to_think.recv().await {
                for done in &done {
                    brain.did(done);
                }
                brain.hear(heard, &told).await;
            }
        };
        (Self { thoughts, told }, work)
    }

    /// Thinks about what was heard. The thought before is given up if it goes on, and nothing more is told of it.
    pub(crate) fn think(&mut self, done: Vec<Done>, heard: Heard) {
        let (tell, told) = mpsc::channel(AHEAD);
        self.told = told;
        let thought = Thought {
            done,
            heard,
            told: tell,
        };
        if self.thoughts.try_send(thought).is_err() {
            // A thought is followed by another one once something was told of it, so it has begun.
            warn!("thought lost");
        }
    }

    /// Returns what the thought says next, `None` when there is no more. Cancel safe.
    pub(crate) async fn told(&mut self) -> Option<Told> {
        self.told.recv().await
    }
}
