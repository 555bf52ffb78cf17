//! The conversation as whoever leads a call has it: one thought at a time, beside everything else.
//!
//! A pause may be the end of a turn. [`Mind::think_ahead`] has a copy of the conversation answer what was said up to
//! it; if that then was the turn ([`Mind::think`]), the copy becomes the conversation, and its answer is there
//! earlier by as much. If not, nobody will ever know of it.

use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

use super::{Brain, Done, Heard, Listener, Told};

/// What is told of a thought before whoever listens takes it; the conversation waits for more than that.
const AHEAD: usize = 8;

/// A thought, and one ahead that nobody has taken.
const THOUGHTS: usize = 2;

/// Thinks about what is heard. When it is dropped, [`Mind::start`]'s future ends.
pub(crate) struct Mind {
    thoughts: mpsc::Sender<Thought>,
    /// Of the last thought.
    told: mpsc::Receiver<Told>,
    thinks_ahead: bool,
    ahead: Option<Ahead>,
}

struct Thought {
    /// What the agent has done since the thought before.
    done: Vec<Done>,
    heard: Heard,
    told: mpsc::Sender<Told>,
    /// Of a thought ahead: becomes true when it was meant, or closes.
    meant: Option<watch::Receiver<bool>>,
}

/// A thought about what may be a whole turn. Dropped, it is forgotten.
struct Ahead {
    done: Vec<Done>,
    heard: Heard,
    told: mpsc::Receiver<Told>,
    meant: watch::Sender<bool>,
}

impl Mind {
    /// Returns the mind and the work that it does, which is to be run.
    pub(crate) fn start(mut brain: Brain) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (thoughts, mut to_think) = mpsc::channel(THOUGHTS);
        let (_, told) = mpsc::channel(1);
        let mind = Self {
            thoughts,
            told,
            thinks_ahead: brain.thinks_ahead(),
            ahead: None,
        };
        let work = async move {
            while let Some(thought) = to_think.recv().await {
                brain = answer(brain, thought).await;
            }
        };
        (mind, work)
    }

    /// Thinks about what was heard. The thought before is given up if it goes on, and nothing more is told of it.
    pub(crate) fn think(&mut self, done: Vec<Done>, heard: Heard) {
        if let Some(ahead) = self.ahead.take()
            && (&ahead.done, &ahead.heard) == (&done, &heard)
        {
            debug!("the answer was begun ahead");
            self.told = ahead.told;
            ahead.meant.send_replace(true);
            return;
        }
        let (tell, told) = mpsc::channel(AHEAD);
        self.told = told;
        let thought = Thought {
            done,
            heard,
            told: tell,
            meant: None,
        };
        if self.thoughts.try_send(thought).is_err() {
            // A thought is followed by another one once something was told of it, so it has begun.
            warn!("thought lost");
        }
    }

    /// Thinks about what may be heard next, in place of what was thought ahead before. Nothing is told of it until
    /// [`Self::think`] is asked to think just that, after the agent has done just that.
    pub(crate) fn think_ahead(&mut self, done: Vec<Done>, heard: Heard) {
        self.ahead = None;
        // The other place is that of the next thought.
        if !self.thinks_ahead || self.thoughts.capacity() < THOUGHTS {
            return;
        }
        let (tell, told) = mpsc::channel(AHEAD);
        let (meant, is_meant) = watch::channel(false);
        let thought = Thought {
            done: done.clone(),
            heard: heard.clone(),
            told: tell,
            meant: Some(is_meant),
        };
        if self.thoughts.try_send(thought).is_ok() {
            self.ahead = Some(Ahead {
                done,
                heard,
                told,
                meant,
            });
        }
    }

    /// Returns what the thought says next, `None` when there is no more. Cancel safe.
    pub(crate) async fn told(&mut self) -> Option<Told> {
        self.told.recv().await
    }
}

/// Returns the conversation as it is after the thought: the same, if that was ahead and not meant.
async fn answer(mut brain: Brain, thought: Thought) -> Brain {
    let before = thought.meant.as_ref().map(|_| brain.clone());
    for done in &thought.done {
        brain.did(done);
    }
    let listener = match thought.meant.clone() {
        None => Listener::new(thought.told),
        Some(meant) => Listener::ahead(thought.told, meant),
    };
    brain.hear(thought.heard, &listener).await;
    drop(listener);
    match before.zip(thought.meant) {
        None => brain,
        Some((before, mut meant)) => match meant.wait_for(|meant| *meant).await {
            Ok(_) => brain,
            Err(_) => before,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::future::BoxFuture;
    use serde_json::{Value, json};
    use sip_config::LlmSettings;
    use tokio::task::JoinSet;

    use super::*;
    use crate::{
        conversation::{LanguageModel, PolicySettings},
        loopback::{Answer, Request, Vendor as Server},
        tool::Tool,
    };

    /// A model that answers to what it hears and uses its tool when it hears "tool", and what was asked of both.
    struct World {
        server: Server,
        requests: mpsc::Receiver<String>,
        uses: mpsc::Receiver<()>,
        mind: Mind,
        _work: JoinSet<()>,
    }

    struct Bell(mpsc::Sender<()>);

    impl Tool for Bell {
        fn name(&self) -> &'static str {
            "bell"
        }

        fn description(&self) -> &'static str {
            "Rings."
        }

        fn call(&self, _: Value) -> BoxFuture<'_, anyhow::Result<String>> {
            Box::pin(async {
                self.0.try_send(()).unwrap();
                Ok("It rang.".to_owned())
            })
        }
    }

    impl World {
        async fn new(preemptive_generation: bool) -> Self {
            let (asked, requests) = mpsc::channel(16);
            let (used, uses) = mpsc::channel(16);
            let server = Server::start(move |request| {
                let (text, answer) = serve(request);
                asked.try_send(text).unwrap();
                answer
            })
            .await;
            let settings = LlmSettings {
                api_key: server.account.api_key.clone(),
                base_url: server.account.base_url.clone(),
                model: "a-model".to_owned(),
                preemptive_generation,
            };
            let model = LanguageModel::new(&settings).with_tools(vec![Arc::new(Bell(used))]);
            let (mind, work) = Mind::start(Brain::new(Some(model), PolicySettings::default()));
            let mut tasks = JoinSet::new();
            tasks.spawn(work);
            Self {
                server,
                requests,
                uses,
                mind,
                _work: tasks,
            }
        }

        /// The next answer, whole.
        async fn answer(&mut self) -> String {
            loop {
                match self.mind.told().await.expect("there is an answer") {
                    Told::FirstToken(_) => {}
                    Told::Sentence(sentence) => panic!("{sentence}"),
                    Told::Reply { reply, .. } => return reply.say.unwrap(),
                }
            }
        }

        /// What the model was told in its last request, without the instructions.
        fn history(&self) -> Vec<String> {
            let requests = self.server.requests();
            let body = requests.last().unwrap().json();
            let messages = body["messages"].as_array().unwrap().iter().skip(1);
            let texts = messages.map(|message| message["content"].as_str().unwrap_or_default());
            texts.map(str::to_owned).collect()
        }
    }

    fn serve(request: &Request) -> (String, Answer) {
        let messages = request.json()["messages"].clone();
        let last = messages.as_array().unwrap().last().unwrap();
        let text = last["content"].as_str().unwrap().to_owned();
        let (delta, end) = match text.as_str() {
            "tool" => {
                let bell = json!({ "name": "bell", "arguments": "" });
                let call = json!({ "index": 0, "id": "1", "type": "function", "function": bell });
                (json!({ "tool_calls": [call] }), "tool_calls")
            }
            text => (json!({ "content": format!("Re: {text}") }), "stop"),
        };
        let chunk = json!({
            "id": "1", "object": "chat.completion.chunk", "created": 1, "model": "a-model",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": end }],
        });
        let events = format!("data: {chunk}\n\ndata: [DONE]\n\n");
        let answer = Answer::Typed("text/event-stream", events.into_bytes());
        (text, answer)
    }

    fn turn(text: &str) -> Heard {
        Heard::Turn {
            first: text.to_owned(),
            second: None,
        }
    }

    fn said(text: &str) -> Vec<Done> {
        vec![Done::Said(text.to_owned())]
    }

    #[tokio::test]
    async fn an_answer_begun_ahead_is_told_once_it_is_wanted_and_asked_for_once() {
        let mut world = World::new(true).await;
        world.mind.think_ahead(said("Hello."), turn("When?"));
        assert_eq!(world.requests.recv().await.unwrap(), "When?");
        assert!(world.mind.told().await.is_none(), "nobody wants it yet");

        world.mind.think(said("Hello."), turn("When?"));
        assert_eq!(world.answer().await, "Re: When?");
        world.mind.think(said("Re: When?"), turn("Why?"));
        assert_eq!(world.answer().await, "Re: Why?");
        assert_eq!(world.server.requests().len(), 2);
        assert_eq!(world.history(), ["Hello.", "When?", "Re: When?", "Why?"]);
    }

    #[tokio::test]
    async fn what_was_not_the_turn_or_did_not_follow_what_was_said_is_forgotten() {
        for (done, heard, words) in [
            (said("Hello."), turn("Whence?"), Some("Whence?")),
            (said("Hel"), turn("When?"), Some("When?")),
            (said("Hello."), Heard::Silence, None),
        ] {
            let mut world = World::new(true).await;
            world.mind.think_ahead(said("Hello."), turn("When?"));
            assert_eq!(world.requests.recv().await.unwrap(), "When?");
            world.mind.think(done.clone(), heard);
            let answer = world.answer().await;
            world.mind.think(said(&answer), turn("Why?"));
            assert_eq!(world.answer().await, "Re: Why?");

            let [Done::Said(before)] = &done[..] else {
                unreachable!("it was said")
            };
            let mut talk = vec![before.as_str()];
            talk.extend(words);
            talk.extend([answer.as_str(), "Why?"]);
            assert_eq!(world.history(), talk);
        }
    }

    #[tokio::test]
    async fn of_thoughts_ahead_only_the_last_counts() {
        let mut world = World::new(true).await;
        for ahead in ["Do", "Do you", "Do you open?"] {
            world.mind.think_ahead(vec![], turn(ahead));
            assert_eq!(world.requests.recv().await.unwrap(), ahead);
        }
        world.mind.think(vec![], turn("Do you open?"));
        assert_eq!(world.answer().await, "Re: Do you open?");
        assert_eq!(world.history(), ["Do you open?"]);
    }

    #[tokio::test]
    async fn no_tool_is_used_for_what_was_not_said() {
        let mut world = World::new(true).await;
        world.mind.think_ahead(vec![], turn("tool"));
        assert_eq!(world.requests.recv().await.unwrap(), "tool");
        world.mind.think(vec![], turn("Do not."));
        assert_eq!(world.answer().await, "Re: Do not.");
        assert!(world.uses.is_empty());

        assert_eq!(world.requests.recv().await.unwrap(), "Do not.");
        world.mind.think_ahead(vec![], turn("tool"));
        assert_eq!(world.requests.recv().await.unwrap(), "tool");
        assert!(world.uses.is_empty(), "it may not be meant");
        world.mind.think(vec![], turn("tool"));
        assert_eq!(world.answer().await, "Re: It rang.");
        assert_eq!(world.uses.len(), 1);
    }

    #[tokio::test]
    async fn nothing_is_asked_ahead_when_the_operator_does_not_want_it() {
        let mut world = World::new(false).await;
        world.mind.think_ahead(vec![], turn("When?"));
        world.mind.think(vec![], turn("Why?"));
        assert_eq!(world.answer().await, "Re: Why?");
        assert_eq!(world.server.requests().len(), 1);
    }
}
