//! Text to phonemes, by the `espeak-ng` program.
//!
//! It runs as a process of its own: it is under the GPL, and linking it would put the whole agent under
//! it. That costs 9 ms for each clause.

use std::{
    io::{self, Write},
    process::{Command, Stdio},
};

/// A text could not be turned into phonemes.
#[derive(Debug, thiserror::Error)]
pub enum PhonemesError {
    #[error("the program `espeak-ng` is not installed (Debian package `espeak-ng`)")]
    NotInstalled,
    #[error("cannot run the program `espeak-ng`")]
    Run(#[source] io::Error),
    #[error("the program `espeak-ng` failed: {stderr}")]
    Failed { stderr: String },
}

/// The IPA of `text` as `voice` says it, with the punctuation mark that ends the text.
///
/// Empty when there is nothing to say.
pub(super) fn phonemes(text: &str, voice: &str) -> Result<String, PhonemesError> {
    let mut child = Command::new("espeak-ng")
        .args(["-q", "--ipa", "--stdin", "-v", voice])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                PhonemesError::NotInstalled
            } else {
                PhonemesError::Run(error)
            }
        })?;
    // Shorter than a pipe's buffer, so this cannot wait for the program's own output.
    let mut stdin = child.stdin.take().expect("stdin was asked for");
    let written = stdin.write_all(text.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().map_err(PhonemesError::Run)?;
    if !output.status.success() {
        return Err(PhonemesError::Failed {
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    written.map_err(PhonemesError::Run)?;
    let ipa = String::from_utf8_lossy(&output.stdout);
    let ipa = ipa.split_whitespace().collect::<Vec<_>>().join(" ");
    if ipa.is_empty() {
        return Ok(ipa);
    }
    Ok(format!("{ipa}{}", final_mark(text)))
}

/// espeak-ng drops it, and it shapes the melody.
fn final_mark(text: &str) -> char {
    text.trim_end()
        .chars()
        .last()
        .filter(|mark| matches!(mark, '.' | ',' | ';' | ':' | '?' | '!'))
        .unwrap_or('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_ipa_with_its_mark() {
        let check = |text: &str, expect: &str| {
            assert_eq!(phonemes(text, "en-us").unwrap(), expect, "{text:?}");
        };
        check("Yes.", "jˈɛs.");
        check("yes", "jˈɛs.");
        check("yes?", "jˈɛs?");
        check("triple five,", "tɹˈɪpəl fˈaɪv,");
        check("", "");
        check(" \n", "");
        check("--version", "vˈɜːʒən.");
    }
}
