//! What servers of OpenAI's protocol answer.

use serde_json::{Value, json};

/// One event of a streamed chat completion
/// (<https://platform.openai.com/docs/api-reference/chat-streaming>).
pub fn completion_chunk(delta: &Value, finish: Option<&str>) -> String {
    let chunk = json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
    });
    format!("data: {chunk}\n\n")
}

/// The event after the last one.
pub const DONE: &str = "data: [DONE]\n\n";
