//! The tool of docs/tools.md, called by a model over the protocol.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

#[allow(dead_code, reason = "the tests of speech-cloud use the rest of it")]
#[path = "../../speech-cloud/tests/vendors/loopback.rs"]
mod loopback;
#[allow(dead_code, reason = "it is a program of its own")]
#[path = "../examples/opening_hours.rs"]
mod opening_hours;

use std::sync::Arc;

use loopback::{Answer, Request, Vendor};
use opening_hours::OpeningHours;
use serde_json::{Value, json};
use sip_config::LlmSettings;
use tokio::sync::mpsc;
use voice_agent::{
    conversation::{Brain, Heard, LanguageModel, Listener, PolicySettings, Told},
    tool::Tool as _,
};

const PAGE: &str = include_str!("../../../docs/tools.md");
const EXAMPLE: &str = include_str!("../examples/opening_hours.rs");

#[test]
fn the_page_shows_the_example() {
    let (_, page) = PAGE.split_once("```rust\n").unwrap();
    let (page, _) = page.split_once("```").unwrap();
    let begin = EXAMPLE.find("use anyhow").unwrap();
    let end = EXAMPLE.find("\n#[tokio::main]").unwrap();
    assert_eq!(page, &EXAMPLE[begin..end]);
}

#[tokio::test]
async fn a_model_looks_the_opening_hours_up_and_tells_them() {
    let server = Vendor::start(serve).await;
    let settings = LlmSettings {
        api_key: server.account.api_key.clone(),
        base_url: server.account.base_url.clone(),
        model: "a-model".to_owned(),
        preemptive_generation: false,
    };
    let model = LanguageModel::new(&settings).with_tools(vec![Arc::new(OpeningHours)]);
    let mut brain = Brain::new(Some(model), PolicySettings::default());

    let question = Heard::Turn {
        first: "Are you open on Saturday?".to_owned(),
        second: None,
    };
    let (to, mut told) = mpsc::channel(8);
    brain.hear(question, &Listener::new(to)).await;

    let Some(Told::FirstToken(_)) = told.recv().await else {
        panic!("the model answers");
    };
    let Some(Told::Reply { reply, .. }) = told.recv().await else {
        panic!("one sentence is the whole answer");
    };
    let said = reply.say.as_deref();
    assert_eq!(said, Some("On Saturday we are open from ten to two."));
    let requests: Vec<_> = server.requests().iter().map(Request::json).collect();
    let [first, second] = requests.as_slice() else {
        panic!("{requests:?}");
    };
    let tools = first["tools"].as_array().unwrap();
    let given = tools
        .iter()
        .find(|tool| tool["function"]["name"] == "opening_hours")
        .unwrap();
    assert_eq!(given["function"]["parameters"], OpeningHours.parameters());
    let told = second["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(
        *told,
        json!({ "role": "tool", "tool_call_id": "call_7", "content": "from ten to two" })
    );
}

/// Calls the tool, and tells what it answered.
fn serve(request: &Request) -> Answer {
    let messages = request.json()["messages"].clone();
    let is_answered = messages.as_array().unwrap().last().unwrap()["role"] == "tool";
    let delta = match is_answered {
        true => json!({ "content": "On Saturday we are open from ten to two." }),
        false => json!({ "tool_calls": [{
            "index": 0, "id": "call_7", "type": "function",
            "function": { "name": "opening_hours", "arguments": r#"{"day": "Saturday"}"# },
        }]}),
    };
    let piece = |delta: Value, finish: Option<&str>| {
        let chunk = json!({
            "id": "1", "object": "chat.completion.chunk", "created": 1, "model": "a-model",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
        });
        format!("data: {chunk}\n\n")
    };
    let events = piece(delta, None) + &piece(json!({}), Some("stop")) + "data: [DONE]\n\n";
    Answer::Typed("text/event-stream", events.into_bytes())
}
