//! A copy of the workspace that is broken and built, so that nothing of it gets into the user's own `target/`.
//!
//! Sources and what was built of them stay for the next run. Cargo compares times, so a file of the copy is
//! written exactly when its text changes: also when a mutant that an interrupted run left there is taken back.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;

use super::patch::{Edit, Mutant};
use crate::{
    cargo::{self, Executable, Metadata},
    e2e, process,
};

/// As [`e2e::BUILD`], without the unit tests; the features are the same.
const BUILD: &[&str] = &["build", "--workspace", "--bins", "--test", e2e::SCENARIOS];

/// What a compiled dependency consists of: replaced as a whole by cargo, never written into.
const ARTEFACTS: [&str; 3] = ["rlib", "rmeta", "so"];

pub(super) struct Copy {
    source: PathBuf,
    build: PathBuf,
    /// Has what scenarios left that failed for another reason than the mutant's.
    unclear: PathBuf,
    /// Held so that nobody else breaks the same copy.
    _lock: File,
}

impl Copy {
    /// Brings the copy up to the user's sources.
    pub(super) fn make(metadata: &Metadata) -> anyhow::Result<Self> {
        let dir = metadata.target_dir.join("mutants");
        let copy = Self {
            source: dir.join("source"),
            build: dir.join("build"),
            unclear: dir.join("unclear"),
            _lock: lock(&dir)?,
        };
        if !copy.build.exists() {
            // Times of sources mean nothing to what is built elsewhere.
            remove_dir(&copy.source)?;
            seed(metadata, &copy.build)?;
        }
        copy.forget_runs()?;
        remove_dir(&copy.unclear)?;
        copy.sync(cargo::root(), &tracked(cargo::root())?)?;
        Ok(copy)
    }

    pub(super) fn source(&self) -> &Path {
        &self.source
    }

    /// Makes the copy equal to `files` below `root`, writing only what differs.
    fn sync(&self, root: &Path, files: &BTreeSet<PathBuf>) -> anyhow::Result<()> {
        for file in files {
            let from = root.join(file);
            let to = self.source.join(file);
            let text =
                fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
            if fs::read(&to).is_ok_and(|there| there == text) {
                continue;
            }
            write(&to, &text)?;
            // Scripts are to stay executable.
            let permissions = fs::metadata(&from)?.permissions();
            fs::set_permissions(&to, permissions)
                .with_context(|| format!("cannot change {}", to.display()))?;
        }
        for file in below(&self.source)? {
            let name = file.strip_prefix(&self.source).expect("it lies there");
            if !files.contains(name) {
                fs::remove_file(&file)
                    .with_context(|| format!("cannot remove {}", file.display()))?;
            }
        }
        Ok(())
    }

    /// Breaks the copy while `run` runs.
    pub(super) fn broken_by<T>(
        &self,
        mutant: &Mutant,
        run: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let edits = mutant.edits(&self.source)?;
        for Edit { path, after, .. } in &edits {
            write(path, after.as_bytes())?;
        }
        let result = run();
        for Edit { path, before, .. } in &edits {
            write(path, before.as_bytes())?;
        }
        result
    }

    pub(super) fn build(&self) -> anyhow::Result<Vec<Executable>> {
        let mut command = cargo::offline(BUILD, &[]);
        command
            .current_dir(&self.source)
            .env("CARGO_TARGET_DIR", &self.build);
        cargo::build(&mut command)
    }

    /// Removes what failed scenarios have left.
    pub(super) fn forget_runs(&self) -> anyhow::Result<()> {
        remove_dir(&self.runs())
    }

    /// Puts what failed scenarios have left where it stays until the next run, and returns where that is.
    pub(super) fn keep_runs(&self, mutant: &Mutant) -> anyhow::Result<PathBuf> {
        let kept = self.unclear.join(&mutant.name);
        fs::create_dir_all(&self.unclear)
            .with_context(|| format!("cannot create {}", self.unclear.display()))?;
        fs::rename(self.runs(), &kept)
            .with_context(|| format!("cannot create {}", kept.display()))?;
        Ok(kept)
    }

    /// Where scenarios leave the files of those that fail.
    fn runs(&self) -> PathBuf {
        self.build.join("e2e")
    }
}

fn lock(dir: &Path) -> anyhow::Result<File> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let path = dir.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    file.try_lock().context(
        "another `cargo xtask mutants` of this checkout is running: wait until it has ended",
    )?;
    Ok(file)
}

/// What belongs to the workspace below `root`: what git knows, and new files that it does not ignore.
fn tracked(root: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let listed = process::output(git(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))
    .context("only a checkout of git says which files belong to it")?;
    // A file that was deleted is known until that is committed.
    let there = |file: &PathBuf| root.join(file).is_file();
    Ok(listed
        .split_terminator('\0')
        .map(PathBuf::from)
        .filter(there)
        .collect())
}

fn git(root: &Path) -> Command {
    let mut command = process::command("git");
    command.arg("-C").arg(root);
    command
}

/// Begins a target folder with the compiled dependencies of the user's own, which cost a quarter of an hour.
///
/// Artefacts are hard links. What cargo writes into is copied, or it would take what it did here for done there.
fn seed(metadata: &Metadata, build: &Path) -> anyhow::Result<()> {
    let ours = metadata.target_dir.join("debug");
    if !ours.join("deps").is_dir() {
        println!("mutants: nothing is built yet, so every dependency is compiled");
        return Ok(());
    }
    // Under its name only when it is whole.
    let partial = build.with_extension("partial");
    remove_dir(&partial)?;
    let profile = partial.join("debug");
    let deps = profile.join("deps");
    fs::create_dir_all(&deps).with_context(|| format!("cannot create {}", deps.display()))?;
    process::output(
        process::command("cp")
            .arg("--archive")
            .args([ours.join(".fingerprint"), ours.join("build")])
            .arg(&profile),
    )?;
    let members = metadata.members();
    for entry in fs::read_dir(ours.join("deps"))? {
        let from = entry?.path();
        let to = deps.join(from.file_name().expect("an entry has a name"));
        let extension = from.extension().and_then(|extension| extension.to_str());
        let is_artefact = extension.is_some_and(|extension| ARTEFACTS.contains(&extension));
        if is_artefact && !is_of(&from, &members) {
            fs::hard_link(&from, &to)
                .with_context(|| format!("cannot link {} to {}", from.display(), to.display()))?;
        }
    }
    fs::rename(&partial, build).with_context(|| format!("cannot create {}", build.display()))
}

/// Whether `artefact`, as in `libtransfer_core-0123.rlib`, is of one of `packages`.
fn is_of(artefact: &Path, packages: &[&str]) -> bool {
    let stem = artefact.file_stem().unwrap_or_default().to_string_lossy();
    let name = stem.rsplit_once('-').map_or(&*stem, |(name, _)| name);
    let name = name.strip_prefix("lib").unwrap_or(name);
    packages
        .iter()
        .any(|package| package.replace('-', "_") == name)
}

fn write(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let dir = path.parent().expect("a file lies in a folder");
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Every file below `dir`.
fn below(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let cannot = || format!("cannot read {}", dir.display());
        for entry in fs::read_dir(&dir).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            if entry.file_type().with_context(cannot)?.is_dir() {
                dirs.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}

fn remove_dir(dir: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compiled_of_the_workspace_is_told_from_its_dependencies() {
        let check = |artefact: &str, expect| {
            let packages = ["transfer-core", "libwebrtc"];
            assert_eq!(is_of(Path::new(artefact), &packages), expect, "{artefact}");
        };
        check("deps/libtransfer_core-0123456789abcdef.rlib", true);
        check("deps/liblibwebrtc-0123456789abcdef.rmeta", true);
        check("deps/libserde_derive-0123456789abcdef.so", false);
        check("deps/libwebrtc-0123456789abcdef.rlib", false);
    }

    #[test]
    fn two_runs_do_not_share_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock(dir.path()).unwrap();
        let error = lock(dir.path()).unwrap_err();
        assert!(error.to_string().contains("wait until"), "{error:#}");
        drop(first);
        lock(dir.path()).unwrap();
    }

    #[test]
    fn a_file_is_written_only_when_its_text_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (root, source) = (dir.path().join("root"), dir.path().join("source"));
        let copy = Copy {
            source: source.clone(),
            build: dir.path().join("build"),
            unclear: dir.path().join("unclear"),
            _lock: lock(dir.path()).unwrap(),
        };
        for name in ["same", "new/changed"] {
            write(&root.join(name), b"text").unwrap();
        }
        let files = BTreeSet::from(["same", "new/changed"].map(PathBuf::from));
        copy.sync(&root, &files).unwrap();
        write(&source.join("new/changed"), b"broken").unwrap();
        write(&source.join("gone"), b"").unwrap();
        let written = |name: &str| fs::metadata(source.join(name)).unwrap().modified().unwrap();
        let before = ["same", "new/changed"].map(written);

        copy.sync(&root, &files).unwrap();

        assert_eq!(written("same"), before[0]);
        assert!(written("new/changed") > before[1]);
        assert_eq!(fs::read(source.join("new/changed")).unwrap(), b"text");
        assert!(!source.join("gone").exists());
    }
}
