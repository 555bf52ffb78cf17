//! Notes to call somebody back: a file of the operator's (`CALLBACK_FILE`) with one JSON object a line.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use transfer_core::{PhoneNumber, TransferFailure};

/// The notes hold phone numbers and what people have said.
const OWNER_ONLY: u32 = 0o600;

/// Where notes are kept.
///
/// The file is opened anew for each note, so it may be moved away at any time; each note is one append, so
/// several workers may share it.
#[derive(Debug, Clone)]
pub struct CallbackFile {
    path: PathBuf,
}

/// No note could be kept there.
#[derive(Debug, thiserror::Error)]
#[error(
    "CALLBACK_FILE: cannot write `{}`; name a file in a folder that exists and that the agent may write to, or unset it",
    path.display()
)]
pub struct CallbackFileError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Somebody could not be reached, and the caller wants to be called back.
#[derive(Debug)]
pub(super) struct Note {
    /// Wall clock.
    pub(super) time: SystemTime,
    pub(super) room: String,
    /// `None` when the caller shows no number.
    pub(super) caller: Option<PhoneNumber>,
    /// Whom the caller wanted.
    pub(super) wanted: PhoneNumber,
    pub(super) cause: TransferFailure,
    pub(super) message: Option<String>,
}

impl CallbackFile {
    /// Checks that notes can be written to `path`; makes the file when there is none.
    pub fn open(path: PathBuf) -> Result<Self, CallbackFileError> {
        let file = Self { path };
        match file.append_to() {
            Ok(_) => Ok(file),
            Err(source) => Err(CallbackFileError {
                path: file.path,
                source,
            }),
        }
    }

    fn append_to(&self) -> io::Result<File> {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(OWNER_ONLY)
            .open(&self.path)
    }

    /// Writes a note down, and returns when it is on the disk.
    pub(super) fn append(&self, note: &Note) -> io::Result<()> {
        let mut file = self.append_to()?;
        file.write_all(note.line()?.as_bytes())?;
        file.sync_data()
    }
}

impl Note {
    fn line(&self) -> io::Result<String> {
        #[derive(Serialize)]
        struct Line<'a> {
            /// RFC 3339, in UTC.
            time: String,
            room: &'a str,
            caller: Option<String>,
            wanted: String,
            cause: String,
            message: Option<&'a str>,
        }
        let since_epoch = self.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
        let time = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
        let line = Line {
            time: time.to_rfc3339_opts(SecondsFormat::Secs, true),
            room: &self.room,
            caller: self.caller.as_ref().map(PhoneNumber::to_string),
            wanted: self.wanted.to_string(),
            cause: self.cause.to_string(),
            message: self.message.as_deref(),
        };
        Ok(serde_json::to_string(&line)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    fn note(message: Option<&str>) -> Note {
        Note {
            time: UNIX_EPOCH + Duration::from_secs(1_795_616_999),
            room: "call-1".to_owned(),
            caller: Some("+919876543210".parse().unwrap()),
            wanted: "+15550009999".parse().unwrap(),
            cause: TransferFailure::TargetBusy,
            message: message.map(str::to_owned),
        }
    }

    #[test]
    fn each_note_is_one_line_whatever_was_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("callbacks.jsonl");
        let file = CallbackFile::open(path.clone()).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "",
            "the check writes nothing"
        );

        file.append(&note(Some("It is about \"order 7\".\r\nThank you.")))
            .unwrap();
        fs::rename(&path, dir.path().join("callbacks.1")).unwrap();
        file.append(&note(None)).unwrap();
        file.append(&note(None)).unwrap();

        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let head = r#"{"time":"2026-11-25T14:29:59Z","room":"call-1","caller":"+919876543210","wanted":"+15550009999","cause":"the transfer target is busy","message":"#;
        assert_eq!(
            read("callbacks.1"),
            format!("{head}\"It is about \\\"order 7\\\".\\r\\nThank you.\"}}\n")
        );
        assert_eq!(
            read("callbacks.jsonl"),
            format!("{head}null}}\n").repeat(2),
            "a file that was moved away is made anew"
        );
    }

    #[test]
    fn a_path_that_cannot_be_written_is_named_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        for (path, cause) in [
            (
                dir.path().join("missing/callbacks.jsonl"),
                "No such file or directory",
            ),
            (dir.path().to_owned(), "Is a directory"),
        ] {
            let error = CallbackFile::open(path.clone()).unwrap_err();
            let error = format!("{:#}", anyhow::Error::from(error));
            assert!(
                error.contains(&path.display().to_string()) && error.contains(cause),
                "{error}"
            );
            assert!(error.contains("or unset it"), "{error}");
        }
    }
}
