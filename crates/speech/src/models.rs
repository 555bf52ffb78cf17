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
    fn a_missing_model_names_the_file_and_the_command() {
        let error = read(Path::new("/nowhere/model.bin")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the model file `/nowhere/model.bin` is missing; `cargo xtask setup` fetches it"
        );
    }
}
