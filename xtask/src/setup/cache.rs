//! The folder where servers, models and downloads stay, shared by every checkout.
//!
//! Each thing has a file `<thing>.origin` beside it: one line that says what it was made from, with the
//! checksum. A thing whose line is missing or another one is made again.
//! Things are made under another name and renamed, so what has its own name is whole.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use anyhow::Context;

pub(crate) struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// `sip-transfer-agent` in `$XDG_CACHE_HOME` or `~/.cache`.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let set = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let base = set("XDG_CACHE_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".cache")))
            .context("no place for a cache\nhint: set HOME or XDG_CACHE_HOME")?;
        Self::at(base.join("sip-transfer-agent"))
    }

    pub(crate) fn at(dir: PathBuf) -> anyhow::Result<Self> {
        for part in ["bin", "downloads", "models"] {
            let part = dir.join(part);
            fs::create_dir_all(&part)
                .with_context(|| format!("cannot create the cache folder {}", part.display()))?;
        }
        Ok(Self { dir })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn bin(&self) -> PathBuf {
        self.dir.join("bin")
    }

    pub(crate) fn downloads(&self) -> PathBuf {
        self.dir.join("downloads")
    }

    pub(crate) fn models(&self) -> PathBuf {
        self.dir.join("models")
    }

    /// Keeps other setups out until the returned file is dropped; waits for one that is at work.
    pub(crate) fn lock(&self) -> anyhow::Result<File> {
        let path = self.dir.join("setup.lock");
        let file =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => println!(
                "setup: waiting for another setup, which holds {}",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).context(format!("cannot lock {}", path.display()));
            }
        }
        file.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    }
}

/// Whether `path` was made from `origin`.
pub(crate) fn is_made_from(path: &Path, origin: &str) -> bool {
    path.exists() && fs::read_to_string(origin_of(path)).is_ok_and(|line| line.trim_end() == origin)
}

/// Makes `path` from `origin` by calling `make` with the name to make it under.
pub(crate) fn make(
    path: &Path,
    origin: &str,
    make: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let partial = beside(path, ".partial");
    remove(&partial)?;
    make(&partial)?;
    let line = beside(path, ".origin.partial");
    fs::write(&line, format!("{origin}\n"))
        .with_context(|| format!("cannot write {}", line.display()))?;
    remove(&origin_of(path))?;
    remove(path)?;
    rename(&partial, path)?;
    rename(&line, &origin_of(path))
}

fn origin_of(path: &Path) -> PathBuf {
    beside(path, ".origin")
}

/// `path` with `suffix` appended to its last part.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::rename(from, to)
        .with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}

/// Removes the file or folder `path`, if it is there.
fn remove(path: &Path) -> anyhow::Result<()> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(text: &'static str) -> impl FnOnce(&Path) -> anyhow::Result<()> {
        move |path| Ok(fs::write(path, text)?)
    }

    #[test]
    fn a_thing_that_could_not_be_made_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server-1.0");
        make(&path, "v1", |partial| {
            fs::write(partial, "half")?;
            anyhow::bail!("the compiler gave up")
        })
        .unwrap_err();
        assert!(!is_made_from(&path, "v1"));
        make(&path, "v1", write("whole")).unwrap();
        assert!(is_made_from(&path, "v1"));
        assert_eq!(fs::read_to_string(path).unwrap(), "whole");
    }

    #[test]
    fn a_thing_of_another_origin_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model");
        make(&path, "sha256:1", |partial| {
            fs::create_dir(partial)?;
            Ok(fs::write(partial.join("weights"), "old")?)
        })
        .unwrap();
        assert!(!is_made_from(&path, "sha256:2"));
        make(&path, "sha256:2", |partial| Ok(fs::create_dir(partial)?)).unwrap();
        assert!(is_made_from(&path, "sha256:2"));
        assert!(!path.join("weights").exists());
    }

    #[test]
    fn a_thing_without_an_origin_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server-1.0");
        fs::write(&path, "whatever").unwrap();
        assert!(!is_made_from(&path, "v1"));
    }

    #[test]
    fn the_lock_is_free_again_when_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache")).unwrap();
        drop(cache.lock().unwrap());
        let _second = cache.lock().unwrap();
        let third = File::open(cache.dir().join("setup.lock")).unwrap();
        assert!(matches!(third.try_lock(), Err(TryLockError::WouldBlock)));
    }
}
