//! A tool of one's own: a language model that is asked for opening hours looks them up. docs/tools.md is about it.
//!
//! `cargo run -p voice-agent --example opening_hours -- Saturday` calls the tool without a model.

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use voice_agent::tool::Tool;

pub(crate) struct OpeningHours;

impl Tool for OpeningHours {
    fn name(&self) -> &str {
        "opening_hours"
    }

    fn description(&self) -> &str {
        "Says when the shop is open. Call it when the person asks for opening hours."
    }

    fn parameters(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "day": {
                    "type": "string",
                    "enum": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
                },
            },
            "required": ["day"],
        })
    }

    fn call(&self, arguments: Value) -> BoxFuture<'_, anyhow::Result<String>> {
        Box::pin(async move {
            let day = arguments["day"].as_str().context("no day was named")?;
            // A database or another server is asked here, with `.await`.
            Ok(match day {
                "Sunday" => "closed".to_owned(),
                "Saturday" => "from ten to two".to_owned(),
                "Monday" | "Tuesday" | "Wednesday" | "Thursday" | "Friday" => {
                    "from nine to five".to_owned()
                }
                unknown => anyhow::bail!("`{unknown}` is no day of the week"),
            })
        })
    }
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "it is what the example is for")]
async fn main() -> anyhow::Result<()> {
    let day = std::env::args().nth(1).context("name a day of the week")?;
    println!("{}", OpeningHours.call(json!({ "day": day })).await?);
    Ok(())
}
