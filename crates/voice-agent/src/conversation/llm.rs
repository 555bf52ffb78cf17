//! A language model as the agent's brain, over OpenAI's chat completions protocol.
//!
//! The model chats and decides *that* the person wants a transfer or has finished. Where to, it only
//! suggests: its number is parsed, read back and confirmed by [`DialoguePolicy`], as is every number that
//! the person says. When the server fails, stalls or talks nonsense, the policy answers that turn.

use std::time::{Duration, Instant};

use async_openai::{
    Client,
    config::OpenAIConfig,
    error::OpenAIError,
    types::chat::{
        ChatCompletionMessageToolCallChunk, ChatCompletionRequestAssistantMessage,
        ChatCompletionRequestMessage, ChatCompletionRequestSystemMessage,
        ChatCompletionRequestUserMessage, ChatCompletionTool, ChatCompletionTools,
        CreateChatCompletionRequest, FunctionObject,
    },
};
use futures_util::StreamExt as _;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::json;
use sip_config::LlmSettings;
use tokio::time::timeout;
use tracing::warn;
use transfer_core::{
    PhoneNumber,
    policy::{Destination, DestinationName, Refusal},
};

use super::{Action, DialoguePolicy, Heard, PolicySettings, Reply, department};
use crate::behaviour::{Behaviour, Tools};

/// How long the server may take to begin its answer, and between two pieces of it.
///
/// The person hears no more than the filler meanwhile; longer than this, an answer by the rules is the better one.
const STALL_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a whole answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// Turns of both sides that the model is told again each time.
const HISTORY: usize = 24;

/// Bounds a model that does not stop; spoken, this is half a minute.
const MAX_ANSWER_TOKENS: u32 = 160;

/// What the operator's instructions do not change: how to speak, and who transfers.
const MANNERS: &str = "Answer in one or two short sentences of plain spoken English, without lists, symbols or \
    abbreviations.";
const WHEN_TO_TRANSFER: &str = "When the person wants to be transferred, or to speak to a human, call transfer_call, without a \
    destination unless the person named a phone number or a department.";
const WHEN_TO_END: &str = "When the person says goodbye, call end_call.";
const THE_SYSTEM_TRANSFERS: &str =
    "Never say that you are transferring the call: the system says so.";

/// A language model on its server. Clones share the connections, so a call does not begin with a TLS handshake.
#[derive(Clone)]
pub struct LanguageModel {
    client: Client<OpenAIConfig>,
    name: String,
}

/// Asks a model, and [`DialoguePolicy`] whenever the rules have the say.
pub struct LlmBrain {
    model: LanguageModel,
    policy: DialoguePolicy,
    settings: PolicySettings,
    /// What the person has said, and what the person has heard of us.
    history: Vec<ChatCompletionRequestMessage>,
    /// When the model began its last answer.
    first_token: Option<Instant>,
}

/// A model's answer.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    text: String,
    tool: Option<Tool>,
}

#[derive(Debug, PartialEq, Eq)]
enum Tool {
    TransferCall { destination: Option<String> },
    EndCall,
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
}

impl LanguageModel {
    /// Contacts nobody yet.
    pub fn new(settings: &LlmSettings) -> Self {
        let config = OpenAIConfig::new()
            .with_api_base(settings.base_url.as_str().trim_end_matches('/'))
            .with_api_key(settings.api_key.expose_secret());
        Self {
            client: Client::with_config(config),
            name: settings.model.clone(),
        }
    }
}

impl LlmBrain {
    pub fn new(model: LanguageModel, settings: PolicySettings) -> Self {
        Self {
            model,
            policy: DialoguePolicy::new(settings.clone()),
            settings,
            history: Vec::new(),
            first_token: None,
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

    /// When the model began the last answer, if it did.
    pub(super) fn first_token(&self) -> Option<Instant> {
        self.first_token
    }

    pub(super) fn said(&mut self, words: &str) {
        self.policy.said(words);
        if !words.is_empty() {
            self.remember(ChatCompletionRequestAssistantMessage::from(words));
        }
    }

    pub(super) async fn hear(&mut self, heard: Heard) -> Reply {
        self.first_token = None;
        let reply = match &heard {
            Heard::Turn { first, .. } if !self.policy.has_the_say(&heard) => {
                match self.ask(first).await {
                    Ok(answer) => self.reply(answer),
                    Err(error) => {
                        let error = anyhow::Error::from(error);
                        warn!("{error:#}; answering by the rules");
                        self.policy.hear(heard.clone())
                    }
                }
            }
            Heard::Turn { .. }
            | Heard::Key(_)
            | Heard::KeysEnded
            | Heard::Silence
            | Heard::Unrecognised { .. }
            | Heard::TransferFailed(_)
            | Heard::Noted { .. }
            | Heard::TransferUnconfirmed(_) => self.policy.hear(heard.clone()),
        };
        if let Heard::Turn { first, .. } = heard {
            self.remember(ChatCompletionRequestUserMessage::from(first));
        }
        reply
    }

    fn reply(&mut self, answer: Answer) -> Reply {
        let text = Some(answer.text).filter(|text| !text.is_empty());
        match answer.tool {
            None => Reply {
                say: text,
                then: Action::Listen,
            },
            Some(Tool::EndCall) => Reply {
                say: text.or_else(|| Some("Goodbye.".to_owned())),
                then: Action::HangUp,
            },
            Some(Tool::TransferCall { destination: None }) => self.policy.transfer(),
            Some(Tool::TransferCall {
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
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        let tool = calls.first(self.settings.behaviour.tools).ok()?;
        Some(self.reply(Answer {
            text: String::new(),
            tool,
        }))
    }

    #[cfg(test)]
    pub(crate) fn rules(&mut self) -> &mut DialoguePolicy {
        &mut self.policy
    }

    async fn ask(&mut self, text: &str) -> Result<Answer, AnswerError> {
        let behaviour = &self.settings.behaviour;
        let mut messages =
            vec![ChatCompletionRequestSystemMessage::from(instructions(behaviour)).into()];
        messages.extend(self.history.iter().cloned());
        messages.push(ChatCompletionRequestUserMessage::from(text).into());
        let request = CreateChatCompletionRequest {
            model: self.model.name.clone(),
            messages,
            tools: Some(tools(behaviour.tools, self.policy.departments()))
                .filter(|tools| !tools.is_empty()),
            max_completion_tokens: Some(MAX_ANSWER_TOKENS),
            ..CreateChatCompletionRequest::default()
        };
        timeout(ANSWER_TIMEOUT, self.stream(request))
            .await
            .map_err(|_| AnswerError::TooLong)?
    }

    async fn stream(
        &mut self,
        request: CreateChatCompletionRequest,
    ) -> Result<Answer, AnswerError> {
        let stalled = |_| AnswerError::Stalled;
        let chat = self.model.client.chat();
        let mut stream = timeout(STALL_TIMEOUT, chat.create_stream(request))
            .await
            .map_err(stalled)??;
        let mut text = String::new();
        let mut calls = ToolCalls::default();
        let mut finished = false;
        while let Some(chunk) = timeout(STALL_TIMEOUT, stream.next())
            .await
            .map_err(stalled)?
        {
            for choice in chunk?.choices {
                self.first_token.get_or_insert_with(Instant::now);
                text.push_str(choice.delta.content.as_deref().unwrap_or_default());
                for call in choice.delta.tool_calls.into_iter().flatten() {
                    calls.add(call);
                }
                finished |= choice.finish_reason.is_some();
            }
        }
        if !finished {
            return Err(AnswerError::CutOff);
        }
        let tool = calls.first(self.settings.behaviour.tools)?;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() && tool.is_none() {
            return Err(AnswerError::Empty);
        }
        Ok(Answer { text, tool })
    }

    fn remember(&mut self, message: impl Into<ChatCompletionRequestMessage>) {
        self.history.push(message.into());
        let surplus = self.history.len().saturating_sub(HISTORY);
        self.history.drain(..surplus);
    }
}

/// Tool calls as they arrive: the name first, the arguments in pieces.
#[derive(Default)]
struct ToolCalls {
    name: String,
    arguments: String,
}

impl ToolCalls {
    /// Only the first call counts; there is nothing that goes with a transfer or a goodbye.
    fn add(&mut self, chunk: ChatCompletionMessageToolCallChunk) {
        let Some(function) = chunk.function.filter(|_| chunk.index == 0) else {
            return;
        };
        self.name
            .push_str(function.name.as_deref().unwrap_or_default());
        self.arguments
            .push_str(function.arguments.as_deref().unwrap_or_default());
    }

    /// A tool that the model was not given is an unknown one.
    fn first(&self, given: Tools) -> Result<Option<Tool>, AnswerError> {
        #[derive(Default, Deserialize)]
        struct Arguments {
            destination: Option<String>,
        }
        let tool = match self.name.as_str() {
            "" => None,
            "end_call" if given.end_call => Some(Tool::EndCall),
            "transfer_call" if given.transfer_call => {
                let arguments = match self.arguments.trim() {
                    "" => Arguments::default(),
                    json => serde_json::from_str(json).map_err(AnswerError::MalformedArguments)?,
                };
                let destination = arguments
                    .destination
                    .filter(|destination| !destination.trim().is_empty());
                Some(Tool::TransferCall { destination })
            }
            name => return Err(AnswerError::UnknownTool(name.to_owned())),
        };
        Ok(tool)
    }
}

fn instructions(behaviour: &Behaviour) -> String {
    let tools = behaviour.tools;
    let parts = [
        Some(behaviour.instructions()),
        Some(MANNERS.to_owned()),
        tools.transfer_call.then(|| WHEN_TO_TRANSFER.to_owned()),
        tools.end_call.then(|| WHEN_TO_END.to_owned()),
        Some(THE_SYSTEM_TRANSFERS.to_owned()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn tools(given: Tools, departments: &[Destination]) -> Vec<ChatCompletionTools> {
    let names = department::list(departments);
    let destination = match departments {
        [] => "The phone number as the person said it, with its country code if one was said. Leave it out when no number was named.".to_owned(),
        _ => format!("One of the departments {names}, or the phone number as the person said it, with its country code if one was said. Leave it out when neither was named."),
    };
    let tool = |name: &str, description: &str, parameters| {
        ChatCompletionTools::Function(ChatCompletionTool {
            function: FunctionObject {
                name: name.to_owned(),
                description: Some(description.to_owned()),
                parameters: Some(parameters),
                strict: None,
            },
        })
    };
    let transfer_call = || {
        tool(
            "transfer_call",
            "Transfers the person to a live agent, or to the department or phone number that the person named.",
            json!({
                "type": "object",
                "properties": {
                    "destination": {
                        "type": "string",
                        "description": destination,
                    },
                },
            }),
        )
    };
    let end_call = || {
        tool(
            "end_call",
            "Hangs up after the person has said goodbye.",
            json!({ "type": "object", "properties": {} }),
        )
    };
    let tools = [
        given.transfer_call.then(transfer_call),
        given.end_call.then(end_call),
    ];
    tools.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
