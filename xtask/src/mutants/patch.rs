//! Mutations as files: what one breaks, who must notice, and a unified diff.
//!
//! Line numbers of a hunk are not used: its lines must stand in the file exactly once, wherever that is. So a
//! patch outlives changes above it, needs no `patch` or `git` to apply, and never lands at a wrong place.

use std::{
    fs, iter,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};

/// Starts a line of the heading.
const CAUGHT_BY: &str = "caught by: ";

/// One way to break the program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mutant {
    /// The name of its file, without `.patch`.
    pub(super) name: String,
    /// What it breaks, in one line.
    pub(super) breaks: String,
    pub(super) caught_by: Vec<Catch>,
    files: Vec<FilePatch>,
}

/// A scenario that must fail, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Catch {
    pub(super) scenario: String,
    /// Part of the first line of what the scenario fails with.
    pub(super) with: String,
}

#[derive(Debug, PartialEq, Eq)]
struct FilePatch {
    /// Below the root of the workspace.
    path: PathBuf,
    hunks: Vec<Hunk>,
}

/// Lines with their ends.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hunk {
    before: String,
    after: String,
}

/// A file that a mutant changes, with its text before and after.
pub(super) struct Edit {
    pub(super) path: PathBuf,
    pub(super) before: String,
    pub(super) after: String,
}

/// Reads all of `dir`, sorted by name.
pub(super) fn read_all(dir: &Path) -> anyhow::Result<Vec<Mutant>> {
    let cannot = || format!("cannot read {}", dir.display());
    let mut mutants = Vec::new();
    for entry in fs::read_dir(dir).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if path
            .extension()
            .is_none_or(|extension| extension != "patch")
        {
            continue;
        }
        let stem = path.file_stem().expect("a file with an extension has one");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mutant = Mutant::parse(&stem.to_string_lossy(), &text)
            .with_context(|| format!("{} is no mutant", path.display()))?;
        mutants.push(mutant);
    }
    mutants.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(mutants)
}

impl Mutant {
    fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let diff = text
            .find("--- ")
            .context("it has no diff, which begins with `--- `")?;
        let (heading, diff) = text.split_at(diff);
        let breaks = heading
            .lines()
            .next()
            .filter(|line| !line.is_empty() && !line.starts_with(CAUGHT_BY))
            .context("its first line must say what it breaks")?
            .to_owned();
        let caught_by = heading
            .lines()
            .filter_map(|line| line.strip_prefix(CAUGHT_BY))
            .map(Catch::parse)
            .collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(
            !caught_by.is_empty(),
            "it has no line `{CAUGHT_BY}<scenario>: <part of what it fails with>`"
        );
        Ok(Self {
            name: name.to_owned(),
            breaks,
            caught_by,
            files: files(diff)?,
        })
    }

    /// Works out what changes in the sources below `root`, and writes nothing.
    ///
    /// # Errors
    ///
    /// When the sources have changed so that the mutant no longer applies.
    pub(super) fn edits(&self, root: &Path) -> anyhow::Result<Vec<Edit>> {
        let edit = |file: &FilePatch| {
            let path = root.join(&file.path);
            let before = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let mut after = before.clone();
            for hunk in &file.hunks {
                after = hunk
                    .apply(&after)
                    .with_context(|| format!("in {}", file.path.display()))?;
            }
            Ok(Edit {
                path,
                before,
                after,
            })
        };
        self.files
            .iter()
            .map(edit)
            .collect::<anyhow::Result<_>>()
            .with_context(|| {
                format!(
                    "e2e/mutants/{}.patch is out of date: bring it up to the sources, or remove it",
                    self.name
                )
            })
    }
}

impl Catch {
    fn parse(text: &str) -> anyhow::Result<Self> {
        match text.split_once(": ") {
            Some((scenario, with)) if !with.trim().is_empty() => Ok(Self {
                scenario: scenario.to_owned(),
                with: with.trim().to_owned(),
            }),
            _ => bail!("`{text}` is no `<scenario>: <part of what it fails with>`"),
        }
    }
}

/// Reads a unified diff of files that exist before and after.
fn files(diff: &str) -> anyhow::Result<Vec<FilePatch>> {
    let mut files: Vec<FilePatch> = Vec::new();
    let mut lines = diff.split_inclusive('\n');
    while let Some(line) = lines.next() {
        if let Some(old) = line.strip_prefix("--- a/") {
            let new = lines.next().and_then(|line| line.strip_prefix("+++ b/"));
            ensure!(
                new.is_some_and(|new| new == old),
                "`--- a/{0}` must be followed by `+++ b/{0}`",
                old.trim_end()
            );
            files.push(FilePatch {
                path: PathBuf::from(old.trim_end()),
                hunks: Vec::new(),
            });
            continue;
        }
        let file = files.last_mut().context("a diff begins with `--- a/`")?;
        if line.starts_with("@@ ") {
            file.hunks.push(Hunk::default());
            continue;
        }
        let hunk = file.hunks.last_mut().context("a hunk begins with `@@ `")?;
        let (mark, rest) = line.split_at_checked(1).unwrap_or_default();
        match mark {
            " " => {
                hunk.before.push_str(rest);
                hunk.after.push_str(rest);
            }
            "-" => hunk.before.push_str(rest),
            "+" => hunk.after.push_str(rest),
            _ => bail!("`{}` is no line of a hunk", line.trim_end()),
        }
    }
    let changes_nothing = |file: &FilePatch| {
        file.hunks.is_empty() || file.hunks.iter().any(|hunk| hunk.before == hunk.after)
    };
    if let Some(file) = files.iter().find(|file| changes_nothing(file)) {
        bail!(
            "a hunk of {} is missing or changes nothing",
            file.path.display()
        );
    }
    Ok(files)
}

impl Hunk {
    fn apply(&self, text: &str) -> anyhow::Result<String> {
        let starts = iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
        let places: Vec<_> = starts
            .filter(|&start| text[start..].starts_with(&self.before))
            .collect();
        let [start] = places[..] else {
            bail!(
                "these lines stand there {} times instead of once:\n{}",
                places.len(),
                self.before
            );
        };
        let rest = &text[start + self.before.len()..];
        Ok([&text[..start], &self.after, rest].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo;

    const PATCH: &str = "\
Doors open to anybody.
caught by: a_stranger_stays_outside: the door must be shut
caught by: a_thief_stays_outside: the door must
--- a/src/door.rs
+++ b/src/door.rs
@@ -1,3 +1,2 @@ fn open()
 if locked {
-    return;
-}
+    knock();
";

    fn hunk(before: &str, after: &str) -> Hunk {
        Hunk {
            before: before.to_owned(),
            after: after.to_owned(),
        }
    }

    #[test]
    fn a_patch_says_what_it_breaks_and_who_catches_it() {
        let catch = |scenario: &str, with: &str| Catch {
            scenario: scenario.to_owned(),
            with: with.to_owned(),
        };
        assert_eq!(
            Mutant::parse("doors", PATCH).unwrap(),
            Mutant {
                name: "doors".to_owned(),
                breaks: "Doors open to anybody.".to_owned(),
                caught_by: vec![
                    catch("a_stranger_stays_outside", "the door must be shut"),
                    catch("a_thief_stays_outside", "the door must")
                ],
                files: vec![FilePatch {
                    path: "src/door.rs".into(),
                    hunks: vec![hunk(
                        "if locked {\n    return;\n}\n",
                        "if locked {\n    knock();\n"
                    )],
                }],
            }
        );
    }

    #[test]
    fn what_is_no_mutant_is_refused_with_the_reason() {
        let check = |from: &str, to: &str, expect: &str| {
            let text = PATCH.replace(from, to);
            assert_ne!(text, PATCH, "`{from}` stands there");
            let error = Mutant::parse("doors", &text).unwrap_err();
            assert!(format!("{error:#}").contains(expect), "{error:#}");
        };
        check("--- a/src", "", "it has no diff");
        check("Doors open to anybody.\n", "", "what it breaks");
        check("caught by: ", "seen by: ", "it has no line `caught by:");
        check(": the door must be shut", "", "`a_stranger_stays_outside`");
        check(": the door must\n", ": \n", "`a_thief_stays_outside: `");
        check("+++ b/src/door", "+++ b/src/gate", "`+++ b/src/door.rs`");
        check("@@ -1,3 +1,2 @@ fn open()\n", "", "a hunk begins with");
        check("-    return;\n-}\n+    knock();\n", "", "changes nothing");
        check(" if locked", "if locked", "`if locked {` is no line");
    }

    #[test]
    fn a_hunk_is_applied_where_its_lines_stand_once() {
        let check = |text: &str, expect: Result<&str, &str>| {
            let applied = hunk("b\n", "x\ny\n").apply(text);
            let applied = applied.map_err(|error| error.to_string());
            match (&applied, expect) {
                (Ok(text), Ok(expect)) => assert_eq!(text, expect),
                (Err(error), Err(expect)) => assert!(error.contains(expect), "{error}"),
                _ => panic!("{applied:?}, not {expect:?}"),
            }
        };
        check("a\nb\nc\n", Ok("a\nx\ny\nc\n"));
        check("b\n", Ok("x\ny\n"));
        check("a\nbb\n", Err("0 times"));
        check("b\na\nb\n", Err("2 times"));
    }

    /// A patch that does not apply shows nothing, and nobody notices until the mutants are run.
    #[test]
    fn every_mutant_fits_the_sources_and_names_scenarios_that_exist() {
        let root = cargo::root();
        let list = fs::read_to_string(root.join("e2e/tests/scenarios/main.rs")).unwrap();
        let mutants = read_all(&root.join("e2e/mutants")).unwrap();
        assert!(!mutants.is_empty());
        for mutant in mutants {
            for edit in mutant.edits(root).unwrap() {
                assert_ne!(edit.before, edit.after, "{}", mutant.name);
            }
            for Catch { scenario, .. } in &mutant.caught_by {
                assert!(
                    list.contains(&format!("::{scenario},")),
                    "{}: there is no scenario `{scenario}`",
                    mutant.name
                );
            }
        }
    }
}
