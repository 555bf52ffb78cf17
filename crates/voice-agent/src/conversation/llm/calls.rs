//! What a language model may call, and its calls as they arrive.

use std::sync::Arc;

use async_openai::types::chat::{
    ChatCompletionMessageToolCall, ChatCompletionMessageToolCallChunk,
    ChatCompletionMessageToolCalls, ChatCompletionRequestAssistantMessage,
    ChatCompletionRequestMessage, ChatCompletionRequestToolMessage, ChatCompletionTool,
    ChatCompletionTools, FunctionCall, FunctionObject,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use transfer_core::policy::Destination;

use super::{super::Keys, AnswerError, department};
use crate::{behaviour::Tools, tool::Tool};

/// A tool that acts on the call. A new one is a line of [`BUILT_IN`].
struct BuiltIn {
    name: &'static str,
    is_given: fn(Tools) -> bool,
    /// What the model is told among its instructions.
    when: &'static str,
    description: &'static str,
    parameters: fn(&[Destination]) -> Value,
    read: fn(&str) -> Result<Call, AnswerError>,
}

const BUILT_IN: [BuiltIn; 3] = [
    BuiltIn {
        name: "transfer_call",
        is_given: |tools| tools.transfer_call,
        when: "When the person wants to be transferred, or to speak to a human, call transfer_call, without a \
            destination unless the person named a phone number or a department.",
        description: "Transfers the person to a live agent, or to the department or phone number that the person named.",
        parameters: |departments| {
            let names = department::list(departments);
            let destination = match departments {
                [] => "The phone number as the person said it, with its country code if one was said. Leave it out when no number was named.".to_owned(),
                _ => format!("One of the departments {names}, or the phone number as the person said it, with its country code if one was said. Leave it out when neither was named."),
            };
            json!({
                "type": "object",
                "properties": { "destination": { "type": "string", "description": destination } },
            })
        },
        read: |arguments| {
            #[derive(Default, Deserialize)]
            struct Arguments {
                destination: Option<String>,
            }
            let Arguments { destination } = read(arguments)?;
            let destination = destination.filter(|destination| !destination.trim().is_empty());
            Ok(Call::Act(Act::Transfer { destination }))
        },
    },
    BuiltIn {
        name: "end_call",
        is_given: |tools| tools.end_call,
        when: "When the person says goodbye, call end_call.",
        description: "Hangs up after the person has said goodbye.",
        parameters: |_| json!({ "type": "object", "properties": {} }),
        read: |_| Ok(Call::Act(Act::End)),
    },
    BuiltIn {
        name: SEND_DTMF,
        is_given: |tools| tools.send_dtmf,
        when: "When a machine asks for a key to be pressed, call send_dtmf with the keys, say nothing, and wait for what \
            the machine says next.",
        description: "Presses keys on the telephone, for a machine on the line that asks for them.",
        parameters: |_| {
            json!({
                "type": "object",
                "properties": {
                    "digits": {
                        "type": "string",
                        "description": "The keys, of 0 to 9, * and #, in their order; w waits for half a second. At most 32.",
                    },
                },
                "required": ["digits"],
            })
        },
        read: |arguments| {
            #[derive(Default, Deserialize)]
            struct Arguments {
                #[serde(default)]
                digits: String,
            }
            let Arguments { digits } = read(arguments)?;
            Ok(match digits.parse() {
                Ok(keys) => Call::Act(Act::Press(keys)),
                Err(mistake) => Call::Mistake(format!("Error: {mistake}.")),
            })
        },
    },
];

const SEND_DTMF: &str = "send_dtmf";

/// The id of a call whose server gave it none.
const NAMELESS: &str = "call_0";

/// What a model wants.
pub(super) enum Call {
    Act(Act),
    /// The answer is for the model.
    Own {
        tool: Arc<dyn Tool>,
        arguments: Value,
    },
    /// Nothing, and why; the model may correct itself.
    Mistake(String),
}

/// What a model wants done in the call.
#[derive(Debug)]
pub(super) enum Act {
    Transfer { destination: Option<String> },
    End,
    Press(Keys),
}

/// Whether a tool of one's own cannot have that name, because a built-in one has it.
pub(super) fn is_built_in(name: &str) -> bool {
    BUILT_IN.iter().any(|tool| tool.name == name)
}

/// When to call the tools that are given.
pub(super) fn instructions(given: Tools) -> impl Iterator<Item = &'static str> {
    let tools = BUILT_IN.iter().filter(move |tool| (tool.is_given)(given));
    tools.map(|tool| tool.when)
}

/// The tools that are given, for a request.
pub(super) fn definitions(
    given: Tools,
    departments: &[Destination],
    own: &[Arc<dyn Tool>],
) -> Vec<ChatCompletionTools> {
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
    let built_in = BUILT_IN
        .iter()
        .filter(|tool| (tool.is_given)(given))
        .map(|built_in| {
            let parameters = (built_in.parameters)(departments);
            tool(built_in.name, built_in.description, parameters)
        });
    let own = own
        .iter()
        .map(|own| tool(own.name(), own.description(), own.parameters()));
    built_in.chain(own).collect()
}

/// Tool calls as they arrive: the name first, the arguments in pieces.
#[derive(Default)]
pub(super) struct ToolCalls {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

impl ToolCalls {
    /// That the model has pressed keys.
    pub(super) fn pressed(keys: &Keys) -> Self {
        Self {
            id: NAMELESS.to_owned(),
            name: SEND_DTMF.to_owned(),
            arguments: json!({ "digits": keys.reveal() }).to_string(),
        }
    }

    /// Only the first call counts; there is nothing that goes with a transfer or a goodbye, and a tool that was
    /// answered may be followed by another one.
    pub(super) fn add(&mut self, chunk: ChatCompletionMessageToolCallChunk) {
        if chunk.index != 0 {
            return;
        }
        if let Some(id) = chunk.id {
            self.id = id;
        }
        let Some(function) = chunk.function else {
            return;
        };
        self.name
            .push_str(function.name.as_deref().unwrap_or_default());
        self.arguments
            .push_str(function.arguments.as_deref().unwrap_or_default());
    }

    /// Whether the model has begun to call something.
    pub(super) fn have_begun(&self) -> bool {
        !self.name.is_empty() || !self.id.is_empty()
    }

    /// A tool that the model was not given is an unknown one.
    pub(super) fn first(
        &self,
        given: Tools,
        own: &[Arc<dyn Tool>],
    ) -> Result<Option<Call>, AnswerError> {
        let name = self.name.as_str();
        if name.is_empty() {
            return Ok(None);
        }
        let mut built_in = BUILT_IN.iter();
        if let Some(tool) = built_in.find(|tool| tool.name == name && (tool.is_given)(given)) {
            return (tool.read)(&self.arguments).map(Some);
        }
        match own.iter().find(|tool| tool.name() == name) {
            Some(tool) => Ok(Some(self.own(tool.clone()))),
            None => Err(AnswerError::UnknownTool(name.to_owned())),
        }
    }

    fn own(&self, tool: Arc<dyn Tool>) -> Call {
        let arguments = match self.arguments.trim() {
            "" => Ok(json!({})),
            text => serde_json::from_str(text),
        };
        match arguments {
            Ok(arguments) => Call::Own { tool, arguments },
            Err(error) => Call::Mistake(format!("Error: the arguments are no JSON: {error}.")),
        }
    }

    /// The call, after what the model `said`, and what it is told of it, as the talk goes on.
    pub(super) fn answered(
        self,
        said: Option<String>,
        result: String,
    ) -> [ChatCompletionRequestMessage; 2] {
        let id = match self.id.is_empty() {
            true => NAMELESS.to_owned(),
            false => self.id,
        };
        let call = ChatCompletionMessageToolCall {
            id: id.clone(),
            function: FunctionCall {
                name: self.name,
                arguments: self.arguments,
            },
        };
        let called = ChatCompletionRequestAssistantMessage {
            content: said.map(Into::into),
            tool_calls: Some(vec![ChatCompletionMessageToolCalls::Function(call)]),
            ..ChatCompletionRequestAssistantMessage::default()
        };
        let told = ChatCompletionRequestToolMessage {
            content: result.into(),
            tool_call_id: id,
        };
        [called.into(), told.into()]
    }
}

/// Models leave out the arguments of a call without any.
fn read<T: Default + DeserializeOwned>(arguments: &str) -> Result<T, AnswerError> {
    match arguments.trim() {
        "" => Ok(T::default()),
        json => serde_json::from_str(json).map_err(AnswerError::MalformedArguments),
    }
}
