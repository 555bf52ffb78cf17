//! Where the models lie, and what can be wrong with them.

use std::{
    io,
    path::{Path, PathBuf},
};

/// The folder that `cargo xtask setup` fills with the models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelsDir(PathBuf);

impl ModelsDir {
    /// Takes `path`, which need not exist: loading a model from it says what is missing.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder that the environment names.
    ///
    /// `lookup` reads one variable. `SPEECH_MODELS_DIR` wins, then `$XDG_CACHE_HOME`, then `~/.cache`,
    /// the latter two followed by `sip-transfer-agent/models`. `None` without any of them.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let path = |name: &str| {
            lookup(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        path("SPEECH_MODELS_DIR")
            .or_else(|| {
                path("XDG_CACHE_HOME")
                    .or_else(|| path("HOME").map(|home| home.join(".cache")))
                    .map(|cache| cache.join("sip-transfer-agent/models"))
            })
            .map(Self)
    }

    /// The folder of the recogniser: a CTranslate2 Whisper model.
    pub fn whisper(&self) -> PathBuf {
        self.0.join("whisper-tiny.en")
    }

    /// The folder of the voice: a Piper `.onnx` and its `.onnx.json`.
    pub fn piper(&self) -> PathBuf {
        self.0.join("piper-joe")
    }
}

/// A model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is not there.
    #[error(
        "the model file `{}` is missing; `cargo xtask setup` fetches it",
        path.display()
    )]
    Missing { path: PathBuf },
    /// The file is there and cannot be read.
    #[error("cannot read the model file `{}`", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The file is not what its name says.
    #[error("the model file `{}` is not usable", path.display())]
    Malformed {
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl LoadError {
    pub(crate) fn malformed(
        path: &Path,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            source: source.into(),
        }
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|source| {
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::NotFound {
            LoadError::Missing { path }
        } else {
            LoadError::Unreadable { path, source }
        }
    })
}

pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, LoadError> {
    serde_json::from_slice(&read(path)?).map_err(|source| LoadError::malformed(path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_folder_follows_the_environment() {
        let check = |environment: &[(&str, &str)], expect: Option<&str>| {
            let found = ModelsDir::from_lookup(|name| {
                environment
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| (*value).to_owned())
            });
            assert_eq!(found, expect.map(ModelsDir::new), "{environment:?}");
        };
        check(&[], None);
        check(
            &[("HOME", "/h")],
            Some("/h/.cache/sip-transfer-agent/models"),
        );
        check(
            &[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")],
            Some("/c/sip-transfer-agent/models"),
        );
        check(
            &[("HOME", "/h"), ("XDG_CACHE_HOME", "")],
            Some("/h/.cache/sip-transfer-agent/models"),
        );
        check(&[("HOME", "/h"), ("SPEECH_MODELS_DIR", "/m")], Some("/m"));
    }

    #[test]
    fn a_missing_model_names_the_file_and_the_command() {
        let error = read(Path::new("/nowhere/model.bin")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the model file `/nowhere/model.bin` is missing; `cargo xtask setup` fetches it"
        );
    }
}
