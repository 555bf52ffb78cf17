//! `voice-agent console`, run as a user runs it: with a `.env`, a script on standard input or recordings.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{
    journal::journal,
    process::{Process, Stream},
    tool,
};

/// How long a conversation may take.
const LIMIT: Duration = Duration::from_secs(90);

/// A finished conversation.
pub struct Talk {
    /// The objects of `--json`, and when each came.
    pub events: Vec<(Duration, Value)>,
    /// Everything that was logged.
    pub log: String,
    /// Where the logs and recordings are.
    pub dir: PathBuf,
}

/// Has a conversation in the folder `dir`, which is made, and which `settings` are for.
pub async fn talk(
    dir: &Path,
    settings: &[(&str, &str)],
    args: &[&str],
    script: &str,
) -> anyhow::Result<Talk> {
    let environment: String = settings
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    fs::create_dir_all(dir)?;
    fs::write(dir.join(".env"), environment)?;
    let input = dir.join("script.txt");
    fs::write(&input, script)?;
    let input = File::open(&input).context("cannot read the script")?;

    let mut command = tool::command("voice-agent", &[&["console", "--json"], args].concat(), dir)?;
    let (writer, journal) = journal("console");
    let started = Instant::now();
    let on_line = move |line: &str| {
        if let Ok(event) = serde_json::from_str(line) {
            writer.write((started.elapsed(), event));
        }
    };
    let stream = Stream::Stdout;
    let mut process =
        Process::spawn_with_input("console", &mut command, dir, input, stream, on_line)?;
    let status = process.wait(LIMIT).await?;
    // What it printed may still be on its way here.
    journal.clone().follow(|_: &(Duration, Value)| ()).await;
    let log = process.log_text()?;
    ensure!(status.success(), "the console ended with {status}:\n{log}");
    Ok(Talk {
        events: journal.entries(),
        log,
        dir: dir.to_owned(),
    })
}

impl Talk {
    /// The `text` of all events of this kind, and when each came.
    pub fn texts(&self, event: &str) -> Vec<(Duration, &str)> {
        self.events
            .iter()
            .filter(|(_, value)| value["event"] == event)
            .filter_map(|(at, value)| Some((*at, value["text"].as_str()?)))
            .collect()
    }

    /// What the agent said after the caller's turn number `turn`, counted from 0, and how long after it each.
    pub fn answer(&self, turn: usize) -> Vec<(Duration, &str)> {
        let heard = self.texts("heard");
        let Some(&(asked, _)) = heard.get(turn) else {
            return Vec::new();
        };
        let until = heard.get(turn + 1).map_or(Duration::MAX, |(at, _)| *at);
        self.texts("said")
            .into_iter()
            .filter(|(at, _)| (asked..until).contains(at))
            .map(|(at, text)| (at - asked, text))
            .collect()
    }

    /// Fails unless the log has `text`.
    pub fn expect_log(&self, text: &str) -> anyhow::Result<()> {
        ensure!(
            self.log.contains(text),
            "no `{text}` in the log:\n{}",
            self.log
        );
        Ok(())
    }

    /// Fails if the log has `text`.
    pub fn expect_no_log(&self, text: &str) -> anyhow::Result<()> {
        ensure!(
            !self.log.contains(text),
            "`{text}` in the log:\n{}",
            self.log
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_what_is_said_between_two_turns() {
        let at = |seconds, value| (Duration::from_secs(seconds), value);
        let talk = Talk {
            events: vec![
                at(0, json!({ "event": "said", "text": "Hello." })),
                at(1, json!({ "event": "heard", "text": "Who are you?" })),
                at(2, json!({ "event": "said", "text": "I am Ada." })),
                at(3, json!({ "event": "said", "text": "And you?" })),
                at(4, json!({ "event": "heard", "text": "Bye." })),
                at(5, json!({ "event": "said", "text": "Goodbye." })),
            ],
            log: String::new(),
            dir: PathBuf::new(),
        };
        let second = Duration::from_secs(1);
        assert_eq!(
            talk.answer(0),
            [(second, "I am Ada."), (2 * second, "And you?")]
        );
        assert_eq!(talk.answer(1), [(second, "Goodbye.")]);
        assert!(talk.answer(2).is_empty());
    }
}
