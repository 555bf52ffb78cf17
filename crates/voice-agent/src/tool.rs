//! Tools of your own, which a language model may call: docs/tools.md shows how one is made.
//!
//! The built-in ones act on the call; a tool of yours looks something up or writes something down, and what it
//! answers is told to the model, which tells the person. The built-in dialogue, which works without a model, calls
//! none.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

/// What a language model may call.
pub trait Tool: Send + Sync {
    /// The name that the model calls: 1 to 64 letters, digits, `_` and `-`.
    fn name(&self) -> &str;

    /// What the tool does and when to call it, in the words of an instruction to the model.
    fn description(&self) -> &str;

    /// The arguments, as a JSON Schema of an object.
    fn parameters(&self) -> Value {
        json!({ "type": "object", "properties": {} })
    }

    /// Does it, and returns what the model is told.
    ///
    /// The model made up `arguments`: they may be anything. An error is told to the model too, and is in the log. The
    /// person waits meanwhile; what takes longer than 3 s is given up, and so is an answer that the person interrupts:
    /// the future is dropped.
    fn call(&self, arguments: Value) -> BoxFuture<'_, anyhow::Result<String>>;
}

/// The tools of this agent besides the built-in ones. Add yours here.
pub fn own_tools() -> Vec<Arc<dyn Tool>> {
    Vec::new()
}
