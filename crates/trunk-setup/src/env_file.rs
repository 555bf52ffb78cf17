//! The trunk's id in the `.env` file.

use std::path::{Path, PathBuf};

use sip_config::{EnvFile, EnvFileError};

use crate::error::SetupError;

const VARIABLE: &str = "OUTBOUND_TRUNK_ID";

/// Writes the id where it takes effect: into the first file that names the variable, else into
/// `.env`. Returns the file, or `None` when the id stood there already.
pub(crate) fn write_trunk_id(id: &str) -> Result<Option<PathBuf>, SetupError> {
    write(id, [Path::new(".env.local"), Path::new(".env")]).map_err(|source| SetupError::EnvFile {
        id: id.to_owned(),
        source,
    })
}

fn write(id: &str, paths: [&Path; 2]) -> Result<Option<PathBuf>, EnvFileError> {
    for path in paths {
        let Some(mut file) = EnvFile::read(path)? else {
            continue;
        };
        match file.get(VARIABLE) {
            Some(present) if present == id => return Ok(None),
            Some(_) => {
                file.set(VARIABLE, id);
                file.write(path)?;
                return Ok(Some(path.to_owned()));
            }
            None => {}
        }
    }
    let [_, path] = paths;
    let mut file = EnvFile::read(path)?.unwrap_or_default();
    file.set(VARIABLE, id);
    file.write(path)?;
    Ok(Some(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes `ST_new` with these contents of `.env.local` and `.env`, and returns the new ones.
    fn check(local: Option<&str>, main: Option<&str>) -> (Option<String>, Option<String>) {
        let directory = tempfile::tempdir().unwrap();
        let paths = [
            directory.path().join(".env.local"),
            directory.path().join(".env"),
        ];
        for (path, text) in paths.iter().zip([local, main]) {
            if let Some(text) = text {
                std::fs::write(path, text).unwrap();
            }
        }
        write("ST_new", [&paths[0], &paths[1]]).unwrap();
        let [local, main] = paths.map(|path| std::fs::read_to_string(path).ok());
        (local, main)
    }

    fn owned(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn the_id_goes_where_it_takes_effect() {
        let new = "OUTBOUND_TRUNK_ID=ST_new\n";
        let line = "OUTBOUND_TRUNK_ID=\n";
        assert_eq!(check(None, None), (None, owned(new)));
        assert_eq!(check(None, Some(line)), (None, owned(new)));
        assert_eq!(
            check(Some("A=1\n"), Some(line)),
            (owned("A=1\n"), owned(new))
        );
        assert_eq!(check(Some(line), Some(line)), (owned(new), owned(line)));
        assert_eq!(check(Some("A=1\n"), None), (owned("A=1\n"), owned(new)),);
    }

    #[test]
    fn an_id_that_stands_there_is_not_written_again() {
        let text = "OUTBOUND_TRUNK_ID = ST_new # mine\n";
        assert_eq!(check(None, Some(text)), (None, owned(text)));
    }
}
