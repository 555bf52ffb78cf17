//! The `.env` format, as python-dotenv reads it, without expansion.
//!
//! ```text
//! # a comment
//! export NAME=value            # the export is optional, so is this comment
//! QUOTED="two words\n"         # \n, \t, \\ and \" are escapes
//! LITERAL='a # and a $ are just characters'
//! ```
//!
//! Values are taken as they stand: a `$` in a password is a `$`, quoted or not.

use std::io;
use std::path::{Path, PathBuf};

/// A `.env` file that was read, and can be changed without touching the rest.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EnvFile {
    lines: Vec<Line>,
}

#[derive(PartialEq, Eq)]
struct Line {
    text: String,
    entry: Option<(String, String)>,
}

/// Leaves out the values, which may be secrets.
impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Line")
            .field(&self.entry.as_ref().map(|(name, _)| name))
            .finish()
    }
}

impl EnvFile {
    /// Reads a file; `None` when there is none.
    pub fn read(path: &Path) -> Result<Option<Self>, EnvFileError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(EnvFileError::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let text = String::from_utf8(bytes).map_err(|_| EnvFileError::NotUtf8 {
            path: path.to_owned(),
        })?;
        let file = Self::parse(&text).map_err(|line| EnvFileError::Syntax {
            path: path.to_owned(),
            line,
        })?;
        Ok(Some(file))
    }

    /// Parses the text of a file; the error is the number of the line that is not understood.
    fn parse(text: &str) -> Result<Self, usize> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text
            .lines()
            .enumerate()
            .map(|(index, text)| {
                let entry = parse_line(text).ok_or(index + 1)?;
                Ok(Line {
                    text: text.to_owned(),
                    entry,
                })
            })
            .collect::<Result<_, usize>>()?;
        Ok(Self { lines })
    }

    /// Returns the value of a variable; the last one counts if it is there twice.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.lines
            .iter()
            .rev()
            .filter_map(|line| line.entry.as_ref())
            .find(|(entry, _)| entry == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the names of all variables, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.lines
            .iter()
            .filter_map(|line| line.entry.as_ref())
            .map(|(name, _)| name.as_str())
    }

    /// Sets a variable in the line where it stands, or in a new line at the end.
    pub fn set(&mut self, name: &str, value: &str) {
        let line = Line {
            text: format!("{name}={}", quoted(value)),
            entry: Some((name.to_owned(), value.to_owned())),
        };
        let place = self
            .lines
            .iter_mut()
            .rev()
            .find(|line| line.entry.as_ref().is_some_and(|(entry, _)| entry == name));
        match place {
            Some(place) => *place = line,
            None => self.lines.push(line),
        }
    }

    /// Writes the file as a whole or not at all: into a neighbour that then takes its place, with
    /// the same permissions (only the owner's, for a new file).
    pub fn write(&self, path: &Path) -> Result<(), EnvFileError> {
        let failed = |source| EnvFileError::Write {
            path: path.to_owned(),
            source,
        };
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut neighbour = target.clone().into_os_string();
        neighbour.push(".new");
        let neighbour = PathBuf::from(neighbour);
        let text: String = self
            .lines
            .iter()
            .flat_map(|line| [line.text.as_str(), "\n"])
            .collect();
        write_private(&neighbour, &text).map_err(failed)?;
        if let Ok(metadata) = target.metadata() {
            std::fs::set_permissions(&neighbour, metadata.permissions()).map_err(failed)?;
        }
        std::fs::rename(&neighbour, &target).map_err(failed)
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Parses one line: `Some(None)` for blank lines and comments, `None` for what is neither.
fn parse_line(text: &str) -> Option<Option<(String, String)>> {
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return Some(None);
    }
    let text = text.strip_prefix("export ").unwrap_or(text);
    let (name, value) = text.split_once('=')?;
    let name = name.trim();
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then_some(())?;
    let value = parse_value(value.trim_start())?;
    Some(Some((name.to_owned(), value)))
}

fn parse_value(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
    let Some(quote) = quote else {
        let end = text
            .char_indices()
            .find(|(index, c)| {
                *c == '#' && (*index == 0 || text[..*index].ends_with(char::is_whitespace))
            })
            .map_or(text.len(), |(index, _)| index);
        return Some(text[..end].trim_end().to_owned());
    };
    let mut value = String::new();
    let mut rest = text[1..].chars();
    loop {
        match rest.next()? {
            c if c == quote => break,
            '\\' => match (rest.next()?, quote) {
                ('n', '"') => value.push('\n'),
                ('t', '"') => value.push('\t'),
                (c @ ('\\' | '"'), '"') | (c @ ('\\' | '\''), '\'') => value.push(c),
                (c, _) => value.extend(['\\', c]),
            },
            c => value.push(c),
        }
    }
    let after = rest.as_str().trim_start();
    (after.is_empty() || after.starts_with('#')).then_some(value)
}

fn quoted(value: &str) -> String {
    let is_plain = value
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"_-+.:/@".contains(&b));
    match is_plain {
        true => value.to_owned(),
        false => format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'")),
    }
}

/// Why a `.env` file cannot be used. No variant shows a line of it: it may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    #[error("cannot read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not UTF-8 text; save it as UTF-8", .path.display())]
    NotUtf8 { path: PathBuf },
    #[error("{}, line {line}: expected NAME=value", .path.display())]
    Syntax { path: PathBuf, line: usize },
    #[error("cannot write {}", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(text: &str) -> Option<String> {
        EnvFile::parse(text)
            .ok()?
            .get("NAME")
            .map(ToOwned::to_owned)
    }

    #[test]
    fn values_are_taken_as_they_stand() {
        for (text, value) in [
            ("NAME=value", "value"),
            ("  export NAME = value  ", "value"),
            ("NAME=", ""),
            ("NAME=two words", "two words"),
            ("NAME=value # comment", "value"),
            ("NAME=# comment", ""),
            ("NAME=a#b", "a#b"),
            ("NAME=pa$$word${HOME}", "pa$$word${HOME}"),
            ("NAME=a=b", "a=b"),
            ("NAME='a # b' # comment", "a # b"),
            ("NAME='it\\'s'", "it's"),
            ("NAME='a\\nb'", "a\\nb"),
            ("NAME=\"a\\nb\\\"c\\\\\"", "a\nb\"c\\"),
            ("NAME=\"$HOME\"", "$HOME"),
            ("\u{feff}NAME=value\r\nOTHER=1\r\n", "value"),
            ("NAME=first\nNAME=second", "second"),
            ("# NAME=no\n\nNAME=yes", "yes"),
        ] {
            assert_eq!(get(text).as_deref(), Some(value), "{text:?}");
        }
    }

    #[test]
    fn a_line_that_is_not_understood_is_named_by_its_number() {
        for text in [
            "A=1\nsecret",
            "A=1\nB='open",
            "A=1\n1A=x",
            "A=1\n=x",
            "\nA B=x",
            "\nA='x' y",
        ] {
            assert_eq!(EnvFile::parse(text), Err(2), "{text:?}");
        }
    }

    #[test]
    fn setting_a_variable_leaves_the_rest_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".env");
        std::fs::write(&path, "# mine\nA = 'x' # why\n\nOUTBOUND_TRUNK_ID=\nB=2").unwrap();

        let mut file = EnvFile::read(&path).unwrap().unwrap();
        file.set("OUTBOUND_TRUNK_ID", "ST_abc");
        file.set("C", "it's $5");
        file.write(&path).unwrap();

        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "# mine\nA = 'x' # why\n\nOUTBOUND_TRUNK_ID=ST_abc\nB=2\nC='it\\'s $5'\n"
        );
        let read = EnvFile::read(&path).unwrap().unwrap();
        assert_eq!(read.get("C"), Some("it's $5"));
    }

    #[test]
    fn permissions_stay_and_a_new_file_is_private() {
        use std::os::unix::fs::PermissionsExt as _;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".env");
        let mode = || path.metadata().unwrap().permissions().mode() & 0o777;

        EnvFile::default().write(&path).unwrap();
        assert_eq!(mode(), 0o600);

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        EnvFile::default().write(&path).unwrap();
        assert_eq!(mode(), 0o640);
    }

    #[test]
    fn a_missing_file_is_no_error_and_a_binary_one_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".env");
        assert_eq!(EnvFile::read(&path).unwrap(), None);
        std::fs::write(&path, b"\xff\xfeN\0A\0").unwrap();
        assert!(matches!(
            EnvFile::read(&path),
            Err(EnvFileError::NotUtf8 { .. })
        ));
    }
}
