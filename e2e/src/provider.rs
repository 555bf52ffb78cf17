//! Servers of OpenAI's protocol that other people wrote, from the Python package index.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use serde_json::json;
use speech::ModelsDir;
use tokio::net::TcpStream;

use crate::{
    binaries::debian,
    http,
    process::{Process, Signals},
};

/// Names the folder that `cargo xtask providers` installs the servers in.
const PACKAGES: &str = "PROVIDER_PACKAGES";

/// Names the folder with a language model in GGUF.
const LANGUAGE_MODEL: &str = "PROVIDER_LANGUAGE_MODEL";

/// What is installed there.
const REQUIREMENTS: &str = include_str!("../providers/requirements.in");

/// The key that those servers want that want one.
pub const KEY: &str = "the-servers-own-key";

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Writes answers, one after the other; checks the key.
    LanguageModel,
    /// Transcribes; checks no key.
    SpeechToText,
    /// Speaks, a whole text at once; checks the key.
    TextToSpeech,
}

impl Kind {
    fn package(self) -> &'static str {
        match self {
            Self::LanguageModel => "llama-cpp-python",
            Self::SpeechToText => "faster-whisper-server",
            Self::TextToSpeech => "local-tts-studio",
        }
    }

    /// Where it listens, which is on loopback.
    fn port(self) -> u16 {
        match self {
            Self::LanguageModel => 8101,
            Self::SpeechToText => 8102,
            Self::TextToSpeech => 8103,
        }
    }

    /// Name and version.
    pub fn title(self) -> String {
        format!("{} {}", self.package(), version(self.package()))
    }

    fn command(self, dir: &Path) -> anyhow::Result<Command> {
        let port = self.port().to_string();
        let models = models()?;
        let mut command = Command::new(debian("python3", "python3")?);
        command
            .current_dir(dir)
            .env("PYTHONPATH", folder(PACKAGES)?)
            .args(["-s", "-m"]);
        match self {
            Self::LanguageModel => command
                .args(["llama_cpp.server", "--host", "127.0.0.1", "--port", &port])
                .args(["--api_key", KEY, "--n_ctx", "2048"])
                .args(["--n_threads", "2", "--model"])
                .arg(gguf()?),
            Self::SpeechToText => command
                .args(["faster_whisper_server", "--host", "127.0.0.1"])
                .args(["--port", &port])
                .arg(models.whisper())
                .env("HF_HUB_OFFLINE", "1"),
            Self::TextToSpeech => {
                let voices = models.piper();
                fs::write(dir.join("settings.json"), voice_settings(&voices)?)?;
                command
                    .args(["local_tts.cli", "--port", &port])
                    .env("LOCAL_TTS_DATA_DIR", dir)
            }
        };
        Ok(command)
    }
}

/// A running server.
pub struct Provider {
    kind: Kind,
    process: Process,
}

impl Provider {
    /// Starts it, with its log in `dir`; waits until it listens.
    pub async fn start(kind: Kind, dir: &Path) -> anyhow::Result<Self> {
        let mut command = kind.command(dir)?;
        let mut process = Process::spawn(kind.package(), &mut command, dir)?;
        let address = ("127.0.0.1", kind.port());
        process
            .wait_until_ready("listen", async || TcpStream::connect(address).await.is_ok())
            .await?;
        Ok(Self { kind, process })
    }

    /// Has a voice say something that nobody hears, so that it has loaded its model.
    pub async fn warm_up(&self) -> anyhow::Result<()> {
        let body = json!({ "input": "Hello.", "response_format": "wav" }).to_string();
        let headers = format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n");
        http::post(
            &format!("127.0.0.1:{}", self.port()),
            "/v1/audio/speech",
            &headers,
            &body,
        )
        .await
    }

    pub fn port(&self) -> u16 {
        self.kind.port()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// What stops, continues or kills it, from any thread.
    pub fn signals(&self) -> anyhow::Result<Signals> {
        self.process.signals()
    }
}

/// The local models.
pub fn models() -> anyhow::Result<ModelsDir> {
    let models = ModelsDir::from_lookup(|name| env::var(name).ok());
    models.context("neither SPEECH_MODELS_DIR nor HOME is set")
}

fn folder(variable: &str) -> anyhow::Result<PathBuf> {
    let folder = env::var_os(variable).with_context(|| format!("{variable} is not set"));
    Ok(PathBuf::from(folder.context(
        "the servers are not known\nhint: run `cargo xtask providers`",
    )?))
}

fn gguf() -> anyhow::Result<PathBuf> {
    let folder = folder(LANGUAGE_MODEL)?;
    let files =
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    files
        .filter_map(|file| Some(file.ok()?.path()))
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "gguf")
        })
        .with_context(|| format!("no GGUF in {}", folder.display()))
}

/// What `local-tts-studio` reads: it serves the one voice in the folder `voices`.
fn voice_settings(voices: &Path) -> anyhow::Result<String> {
    let files =
        fs::read_dir(voices).with_context(|| format!("cannot read {}", voices.display()))?;
    let voice = files
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .find_map(|name| name.strip_suffix(".onnx").map(str::to_owned))
        .with_context(|| format!("no voice in {}", voices.display()))?;
    let settings = json!({
        "voices_dir": voices, "api_default_voice": voice,
        "api_key_enabled": true, "api_key": KEY,
    });
    Ok(settings.to_string())
}

fn version(package: &str) -> &'static str {
    REQUIREMENTS
        .lines()
        .filter_map(|line| line.split_once("=="))
        .find(|(name, _)| name.split('[').next() == Some(package))
        .map(|(_, version)| version)
        .expect("each server is pinned")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_a_version() {
        for kind in [Kind::LanguageModel, Kind::SpeechToText, Kind::TextToSpeech] {
            assert!(kind.title().ends_with(|c: char| c.is_ascii_digit()));
        }
    }
}
