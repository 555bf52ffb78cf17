//! The tool of docs/tools.md, called by a model over the protocol.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

#[allow(dead_code, reason = "it is a program of its own")]
#[path = "../examples/opening_hours.rs"]
mod opening_hours;

use std::sync::Arc;

use opening_hours::OpeningHours;
use serde_json::{Value, json};
use sip_config::LlmSettings;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};
use voice_agent::{
    conversation::{Brain, Heard, LanguageModel, PolicySettings},
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
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let call = json!({ "tool_calls": [{
            "index": 0, "id": "call_7", "type": "function",
            "function": { "name": "opening_hours", "arguments": r#"{"day": "Saturday"}"# },
        }]});
        let answer = json!({ "content": "On Saturday we are open from ten to two." });
        [serve(&listener, call).await, serve(&listener, answer).await]
    });
    let settings = LlmSettings {
        api_key: "a-key".to_owned().into(),
        base_url: base_url.parse().unwrap(),
        model: "a-model".to_owned(),
    };
    let model = LanguageModel::new(&settings).with_tools(vec![Arc::new(OpeningHours)]);
    let mut brain = Brain::new(Some(model), PolicySettings::default());

    let reply = brain
        .hear(Heard::Turn {
            first: "Are you open on Saturday?".to_owned(),
            second: None,
        })
        .await;

    let said = reply.say.as_deref();
    assert_eq!(said, Some("On Saturday we are open from ten to two."));
    let [first, second] = server.await.unwrap();
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

/// Answers one request with one piece, and returns what was asked.
async fn serve(listener: &TcpListener, delta: Value) -> Value {
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let line = line.trim_end().to_lowercase();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let piece = |delta: Value, finish: Option<&str>| {
        let chunk = json!({
            "id": "1", "object": "chat.completion.chunk", "created": 1, "model": "a-model",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
        });
        format!("data: {chunk}\n\n")
    };
    let events = piece(delta, None) + &piece(json!({}), Some("stop")) + "data: [DONE]\n\n";
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{events}"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}
