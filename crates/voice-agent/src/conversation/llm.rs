//! A language model as the agent's brain, over OpenAI's chat completions protocol.
//!
//! The model chats and decides *that* the person wants a transfer or has finished. Where to, it only
//! suggests: its number is parsed, read back and confirmed by [`DialoguePolicy`], as is every number that
//! the person says. When the server fails, stalls or talks nonsense, the policy answers that turn. Tools that are
//! not about the call answer the model, which then goes on: [`Tool`].
//!
//! Sentences are told as they are written ([`Draft`]), until a tool is called. What an answer does, it does when it is
//! complete; one that breaks off after its first sentence ends with what was complete, and with an excuse.

mod calls;
mod draft;

use std::{sync::Arc, time::Duration};

use async_openai::{
    Client,
    config::OpenAIConfig,
    error::OpenAIError,
    types::chat::{
        ChatCompletionRequestAssistantMessage, ChatCompletionRequestMessage,
        ChatCompletionRequestSystemMessage, ChatCompletionRequestUserMessage,
        CreateChatCompletionRequest,
    },
};
use futures_util::StreamExt as _;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sip_config::LlmSettings;
use speech_cloud::Pause;
use tokio::time::timeout;
use tracing::{debug, warn};
use transfer_core::{
    PhoneNumber,
    policy::{DestinationName, Refusal},
};

use self::{
    calls::{Act, Call, ToolCalls},
    draft::Draft,
};
use super::{Action, DialoguePolicy, Heard, Keys, Listener, PolicySettings, Reply, department};
use crate::{behaviour::Behaviour, tool::Tool, vendor::Vendor};

/// How long the server may take to begin its answer, and between two pieces of it.
///
/// The person hears no more than the filler meanwhile; longer than this, an answer by the rules is the better one.
const STALL_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a whole answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a tool of one's own may take.
const TOOL_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a model may be answered by a tool in one turn; LiveKit's agents have the same limit.
const TOOL_STEPS: u32 = 3;

/// Turns of both sides that the model is told again each time.
const HISTORY: usize = 24;

/// Bounds a model that does not stop; spoken, this is half a minute.
const MAX_ANSWER_TOKENS: u32 = 160;

/// What the operator's instructions do not change: how to speak, and who transfers.
const MANNERS: &str = "Answer in one or two short sentences of plain spoken English, without lists, symbols or \
    abbreviations.";
const THE_SYSTEM_TRANSFERS: &str =
    "Never say that you are transferring the call: the system says so.";

/// The end of an answer that broke off after its first sentence.
const BROKEN_OFF: &str = "I am sorry, I lost my thread. Please ask me again.";

/// A language model on its server. Clones share the connections, so a call does not begin with a TLS handshake.
#[derive(Clone)]
pub struct LanguageModel {
    client: Client<OpenAIConfig>,
    vendor: Vendor,
    name: String,
    thinks_ahead: bool,
    /// Besides the built-in ones.
    tools: Arc<[Arc<dyn Tool>]>,
}

/// Asks a model, and [`DialoguePolicy`] whenever the rules have the say.
#[derive(Clone)]
pub struct LlmBrain {
    model: LanguageModel,
    policy: DialoguePolicy,
    settings: PolicySettings,
    /// What the person has said, and what the person has heard of us.
    history: Vec<ChatCompletionRequestMessage>,
}

/// A model's answer, but for the sentences that were told while it wrote.
#[derive(Debug)]
struct Answer {
    /// The rest of it.
    text: Option<String>,
    act: Option<Act>,
}

/// A model gave no usable answer.
#[derive(Debug, thiserror::Error)]
enum AnswerError {
    #[error("the language model's server refused or broke off")]
    Server(#[from] OpenAIError),
    #[error("the language model's server was silent for {} s", STALL_TIMEOUT.as_secs())]
    Stalled,
    #[error("the language model's answer took more than {} s", ANSWER_TIMEOUT.as_secs())]
    TooLong,
    #[error("the language model's answer was cut off")]
    CutOff,
    #[error("the language model said nothing")]
    Empty,
    #[error("the language model called the unknown tool `{0}`")]
    UnknownTool(String),
    #[error("the language model called a tool with malformed arguments")]
    MalformedArguments(#[source] serde_json::Error),
    #[error("the language model did nothing but call tools")]
    OnlyTools,
}

impl AnswerError {
    /// What this says about asking the server again; `None` when the model is at fault, not its server.
    fn pause(&self) -> Option<Pause> {
        match self {
            Self::Server(OpenAIError::ApiError(refusal)) => match refusal.status_code.as_u16() {
                401 | 403 | 404 => Some(Pause::UntilFixed),
                _ => Some(Pause::None),
            },
            Self::Server(_) | Self::Stalled | Self::TooLong | Self::CutOff => Some(Pause::None),
            Self::Empty | Self::UnknownTool(_) | Self::MalformedArguments(_) | Self::OnlyTools => {
                None
            }
        }
    }
}

impl LanguageModel {
    /// Contacts nobody yet.
    pub fn new(settings: &LlmSettings) -> Self {
        let config = OpenAIConfig::new()
            .with_api_base(settings.base_url.as_str().trim_end_matches('/'))
            .with_api_key(settings.api_key.expose_secret());
        Self {
            client: Client::with_config(config),
            vendor: Vendor::new("OpenAI"),
            name: settings.model.clone(),
            thinks_ahead: settings.preemptive_generation,
            tools: Arc::default(),
        }
    }

    /// The model's server, which all clones leave alone together.
    pub(crate) fn vendor(&self) -> &Vendor {
        &self.vendor
    }

    /// Lets the model call `tools` too.
    ///
    /// # Panics
    ///
    /// When two tools have one name, or one has that of a built-in tool.
    pub fn with_tools(mut self, tools: Vec<Arc<dyn Tool>>) -> Self {
        for (n, tool) in tools.iter().enumerate() {
            let name = tool.name();
            let is_taken = tools[..n].iter().any(|other| other.name() == name);
            assert!(
                !is_taken && !calls::is_built_in(name),
                "two tools are called `{name}`"
            );
        }
        self.tools = tools.into();
        self
    }
}

impl LlmBrain {
    pub fn new(model: LanguageModel, settings: PolicySettings) -> Self {
        Self {
            model,
            policy: DialoguePolicy::new(settings.clone()),
            settings,
            history: Vec::new(),
        }
    }

    pub(super) fn take_notes(&mut self) {
        self.policy.take_notes();
    }

    pub(super) fn take_refusal(&mut self) -> Option<(PhoneNumber, Refusal)> {
        self.policy.take_refusal()
    }

    pub(super) fn expects_number(&self) -> bool {
        self.policy.expects_number()
    }

    pub(super) fn said(&mut self, words: &str) {
        self.policy.said(words);
        if !words.is_empty() {
            self.remember(ChatCompletionRequestAssistantMessage::from(words));
        }
    }

    /// The model asked for that.
    pub(super) fn pressed(&mut self, keys: &Keys) {
        for message in ToolCalls::pressed(keys).answered(None, "The keys were pressed.".to_owned())
        {
            self.remember(message);
        }
    }

    /// Whether the model is to be asked before it is certain that the person has finished.
    pub(super) fn thinks_ahead(&self) -> bool {
        self.model.thinks_ahead
    }

    /// Cancel safe: what was heard is remembered at once.
    pub(super) async fn hear(&mut self, heard: Heard, listener: &Listener) -> Reply {
        let rules_answer = self.policy.has_the_say(&heard);
        let Heard::Turn { first, .. } = &heard else {
            return self.policy.hear(heard);
        };
        self.remember(ChatCompletionRequestUserMessage::from(first.as_str()));
        if rules_answer || !self.model.vendor.is_worth_asking() {
            return self.policy.hear(heard);
        }
        let mut draft = Draft::new(listener);
        match self.ask(&mut draft).await {
            Ok(answer) => {
                self.model.vendor.succeeded();
                self.reply(answer, draft.is_told())
            }
            Err(error) if draft.is_told() => {
                self.failed(error, "the answer ends with what was complete of it");
                let sentences = draft.complete().into_iter().chain([BROKEN_OFF.to_owned()]);
                Reply {
                    say: Some(sentences.collect::<Vec<_>>().join(" ")),
                    then: Action::Listen,
                }
            }
            Err(error) => {
                self.failed(error, "answering by the rules");
                self.policy.hear(heard)
            }
        }
    }

    fn failed(&self, error: AnswerError, consequence: &str) {
        match error.pause() {
            Some(pause) => self.model.vendor.failed(error, pause, consequence),
            None => warn!("{:#}; {consequence}", anyhow::Error::from(error)),
        }
    }

    /// `is_told`: something of the answer was said before this.
    fn reply(&mut self, Answer { text, act }: Answer, is_told: bool) -> Reply {
        match act {
            None => Reply {
                say: text,
                then: Action::Listen,
            },
            Some(Act::Press(keys)) => Reply {
                say: text,
                then: Action::PressKeys(keys),
            },
            Some(Act::End) => Reply {
                say: text.or_else(|| (!is_told).then(|| "Goodbye.".to_owned())),
                then: Action::HangUp,
            },
            Some(Act::Transfer { destination: None }) => self.policy.transfer(),
            Some(Act::Transfer {
                destination: Some(destination),
            }) => self.destination(&destination),
        }
    }

    /// A department by its exact name, or a number.
    fn destination(&mut self, destination: &str) -> Reply {
        let departments = self.policy.departments();
        let named = destination
            .parse::<DestinationName>()
            .ok()
            .and_then(|name| {
                departments
                    .iter()
                    .find(|department| department.name == name)
            })
            .cloned();
        if let Some(department) = named {
            return self.policy.transfer_to_department(&department);
        }
        match PhoneNumber::parse(destination, self.settings.default_region) {
            Ok(number) => self.policy.confirm(number),
            Err(_) if !departments.is_empty() && !destination.contains(char::is_numeric) => {
                self.policy.ask_for_department()
            }
            Err(error) => self.policy.ask_for_number(error.spoken()),
        }
    }

    /// What follows when a model calls a tool; with the policy, for what the person says then.
    #[cfg(test)]
    pub(crate) fn called(&mut self, name: &str, arguments: &str) -> Option<Reply> {
        let calls = ToolCalls {
            id: String::new(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        let act = match calls.first(self.settings.behaviour.tools, &[]).ok()? {
            Some(Call::Own { .. } | Call::Mistake(_)) => return None,
            Some(Call::Act(act)) => Some(act),
            None => None,
        };
        let text = None;
        Some(self.reply(Answer { text, act }, false))
    }

    #[cfg(test)]
    pub(crate) fn rules(&mut self) -> &mut DialoguePolicy {
        &mut self.policy
    }

    async fn ask(&self, draft: &mut Draft<'_>) -> Result<Answer, AnswerError> {
        timeout(ANSWER_TIMEOUT, self.converse(draft))
            .await
            .map_err(|_| AnswerError::TooLong)?
    }

    /// Asks the model, and again with what its tools have answered. Of that, the next turn knows nothing.
    async fn converse(&self, draft: &mut Draft<'_>) -> Result<Answer, AnswerError> {
        let behaviour = &self.settings.behaviour;
        let given = behaviour.tools;
        let tools = calls::definitions(given, self.policy.departments(), &self.model.tools);
        let mut messages =
            vec![ChatCompletionRequestSystemMessage::from(instructions(behaviour)).into()];
        messages.extend(self.history.iter().cloned());
        for _ in 0..=TOOL_STEPS {
            let request = CreateChatCompletionRequest {
                model: self.model.name.clone(),
                messages: messages.clone(),
                tools: Some(tools.clone()).filter(|tools| !tools.is_empty()),
                max_completion_tokens: Some(MAX_ANSWER_TOKENS),
                ..CreateChatCompletionRequest::default()
            };
            let calls = self.stream(request, draft).await?;
            let result = match calls.first(given, &self.model.tools)? {
                None => {
                    let text = draft.rest();
                    return match text.is_some() || draft.is_told_since_tools() {
                        true => Ok(Answer { text, act: None }),
                        false => Err(AnswerError::Empty),
                    };
                }
                Some(Call::Act(act)) => {
                    let (text, act) = (draft.rest(), Some(act));
                    return Ok(Answer { text, act });
                }
                Some(Call::Own { tool, arguments }) => {
                    draft.tell_rest().await;
                    draft.meant().await;
                    use_tool(&*tool, arguments).await
                }
                Some(Call::Mistake(mistake)) => mistake,
            };
            messages.extend(calls.answered(draft.calls_tool(), result));
        }
        Err(AnswerError::OnlyTools)
    }

    /// Has the model write on at the draft, and returns what it calls.
    async fn stream(
        &self,
        request: CreateChatCompletionRequest,
        draft: &mut Draft<'_>,
    ) -> Result<ToolCalls, AnswerError> {
        let stalled = |_| AnswerError::Stalled;
        let chat = self.model.client.chat();
        let mut stream = timeout(STALL_TIMEOUT, chat.create_stream(request))
            .await
            .map_err(stalled)??;
        let mut calls = ToolCalls::default();
        let mut finished = false;
        while let Some(chunk) = timeout(STALL_TIMEOUT, stream.next())
            .await
            .map_err(stalled)?
        {
            for choice in chunk?.choices {
                draft.begins().await;
                draft.write(choice.delta.content.as_deref().unwrap_or_default());
                for call in choice.delta.tool_calls.into_iter().flatten() {
                    calls.add(call);
                }
                if !calls.have_begun() {
                    draft.tell_sentences().await;
                }
                finished |= choice.finish_reason.is_some();
            }
        }
        match finished {
            true => Ok(calls),
            false => Err(AnswerError::CutOff),
        }
    }

    fn remember(&mut self, message: impl Into<ChatCompletionRequestMessage>) {
        self.history.push(message.into());
        let surplus = self.history.len().saturating_sub(HISTORY);
        self.history.drain(..surplus);
        // Servers refuse an answer of a tool whose call they do not see.
        while let Some(ChatCompletionRequestMessage::Tool(_)) = self.history.first() {
            self.history.remove(0);
        }
    }
}

/// What the model is told of a tool's work.
async fn use_tool(tool: &dyn Tool, arguments: Value) -> String {
    let name = tool.name();
    debug!(tool = name, "tool called");
    match timeout(TOOL_TIMEOUT, tool.call(arguments)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            warn!("the tool `{name}` failed: {error:#}");
            format!("Error: {error:#}")
        }
        Err(_) => {
            let limit = TOOL_TIMEOUT.as_secs();
            warn!("the tool `{name}` took more than {limit} s and was given up");
            format!("Error: {name} did not answer in time.")
        }
    }
}

fn instructions(behaviour: &Behaviour) -> String {
    let own = behaviour.instructions();
    let mut parts = vec![own.as_str(), MANNERS];
    for when in calls::instructions(behaviour.tools) {
        parts.push(when);
    }
    parts.push(THE_SYSTEM_TRANSFERS);
    parts.join(" ")
}

#[cfg(test)]
mod tests;
