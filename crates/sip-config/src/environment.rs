//! Where the variables come from, and how a group of settings is read from them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::error::{Fault, Problem, SettingsError};
use crate::{EnvFile, EnvFileError, VARIABLES, Variable};

/// The `.env` files, the one that wins first.
const FILES: [&str; 2] = [".env.local", ".env"];

/// Finds the value of a variable of the process.
type Lookup = Box<dyn Fn(&str) -> Option<String>>;

/// Lists the variables of the process.
type Names = Box<dyn Fn() -> Vec<String>>;

/// The process environment and the `.env` files under it.
pub struct Environment {
    process: Lookup,
    process_names: Names,
    files: Vec<(PathBuf, EnvFile)>,
}

impl Environment {
    /// Reads `.env.local` and `.env` of the current directory, under the process environment.
    pub fn load() -> Result<Self, LoadError> {
        let mut files = Vec::new();
        for name in FILES {
            let path = PathBuf::from(name);
            if let Some(file) = EnvFile::read(&path)? {
                files.push((path, file));
            }
        }
        Ok(Self {
            process: Box::new(process_variable),
            process_names: Box::new(process_names),
            files,
        })
    }

    /// Takes the variables from `lookup` alone. Variables with names of the operator's choice are not
    /// found in it; [`Environment::from_pairs`] finds them.
    pub fn from_fn(lookup: impl Fn(&str) -> Option<String> + 'static) -> Self {
        Self {
            process: Box::new(lookup),
            process_names: Box::new(Vec::new),
            files: Vec::new(),
        }
    }

    /// Takes the variables from `pairs` alone; the last one counts if one is there twice.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables: BTreeMap<_, _> = pairs.into_iter().collect();
        let names: Vec<_> = variables.keys().cloned().collect();
        Self {
            process: Box::new(move |name| variables.get(name).cloned()),
            process_names: Box::new(move || names.clone()),
            files: Vec::new(),
        }
    }

    /// Sets `name` as if the process had it, for what was given on the command line.
    ///
    /// `None` changes nothing.
    pub fn with(mut self, name: &'static str, value: Option<String>) -> Self {
        let Some(value) = value else {
            return self;
        };
        let process = self.process;
        self.process = Box::new(move |variable| {
            if variable == name {
                Some(value.clone())
            } else {
                process(variable)
            }
        });
        self
    }

    /// Returns the `.env` files that were found, the one that wins first.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.iter().map(|(path, _)| path)
    }

    /// Reads a group of settings, or several as a tuple. All faults come in one error.
    pub fn settings<S: Settings>(&self) -> Result<S, SettingsError> {
        let mut reader = Reader {
            environment: self,
            faults: Vec::new(),
        };
        match S::read(&mut reader) {
            Some(settings) if reader.faults.is_empty() => Ok(settings),
            _ => Err(SettingsError::new(
                reader.faults,
                self.files().cloned().collect(),
            )),
        }
    }

    /// Returns the names of the variables that begin with `prefix`, in alphabetical order.
    fn names(&self, prefix: &str) -> BTreeSet<String> {
        let from_files = self.files.iter().flat_map(|(_, file)| file.names());
        (self.process_names)()
            .into_iter()
            .chain(from_files.map(ToOwned::to_owned))
            .filter(|name| name.starts_with(prefix))
            .collect()
    }

    /// Returns a variable by its name or one of its aliases; a place that wins does so under any name.
    fn value(&self, variable: &Variable) -> Option<String> {
        self.named(&[&[variable.name], variable.aliases].concat())
    }

    fn named(&self, names: &[&str]) -> Option<String> {
        let from_process = || names.iter().find_map(|name| (self.process)(name));
        let from_files = || {
            self.files
                .iter()
                .find_map(|(_, file)| names.iter().find_map(|name| file.get(name)))
                .map(ToOwned::to_owned)
        };
        from_process()
            .or_else(from_files)
            .filter(|value| !value.trim().is_empty())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the place through which settings are read"
)]
fn process_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn process_names() -> Vec<String> {
    std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .collect()
}

/// A group of settings that a binary asks for.
pub trait Settings: Sized {
    /// Reads the group. Faults go to the reader; `None` when one of them leaves nothing to return.
    fn read(reader: &mut Reader<'_>) -> Option<Self>;
}

impl<A: Settings, B: Settings> Settings for (A, B) {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (a, b) = (A::read(reader), B::read(reader));
        Some((a?, b?))
    }
}

impl<A: Settings, B: Settings, C: Settings> Settings for (A, B, C) {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (a, b, c) = (A::read(reader), B::read(reader), C::read(reader));
        Some((a?, b?, c?))
    }
}

impl<A: Settings, B: Settings, C: Settings, D: Settings> Settings for (A, B, C, D) {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (a, b, c, d) = (
            A::read(reader),
            B::read(reader),
            C::read(reader),
            D::read(reader),
        );
        Some((a?, b?, c?, d?))
    }
}

/// Reads variables and collects what is wrong with them.
pub struct Reader<'a> {
    environment: &'a Environment,
    faults: Vec<Fault>,
}

pub(crate) type ParseError = Box<dyn std::error::Error + Send + Sync>;

impl Reader<'_> {
    /// Reads a variable that has to be there.
    pub(crate) fn required<T, E: Into<ParseError>>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let variable = variable(name);
        match self.environment.value(variable) {
            Some(value) => self.parse(variable, &value, parse),
            None => {
                self.fault(variable, Problem::Missing);
                None
            }
        }
    }

    /// Reads a variable that may be left out.
    pub(crate) fn optional<T, E: Into<ParseError>>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let variable = variable(name);
        let value = self.environment.value(variable)?;
        self.parse(variable, &value, parse)
    }

    /// Reads the variables that begin with `prefix`, have a name of the operator's choice and are set,
    /// besides those of the table.
    pub(crate) fn open_ended(&self, prefix: &str) -> Vec<(String, String)> {
        let mut names = self.environment.names(prefix);
        names.retain(|name| VARIABLES.iter().all(|variable| variable.name != name));
        names
            .into_iter()
            .filter_map(|name| {
                let value = self.environment.named(&[&name])?;
                Some((name, value))
            })
            .collect()
    }

    /// Reports a variable with a name of the operator's choice, which stands for `variable` of the table.
    pub(crate) fn open_ended_fault(&mut self, name: String, stands_for: &str, error: ParseError) {
        self.faults.push(Fault {
            name: name.into(),
            variable: variable(stands_for),
            problem: Problem::Invalid(error),
        });
    }

    /// Reports a variable that is understood and cannot be followed.
    pub(crate) fn wrong(&mut self, name: &str, error: ParseError) {
        self.fault(variable(name), Problem::Invalid(error));
    }

    /// Reads a variable of the system, which is no setting of ours.
    pub(crate) fn system(&self, name: &str) -> Option<String> {
        (self.environment.process)(name).filter(|value| !value.is_empty())
    }

    fn parse<T, E: Into<ParseError>>(
        &mut self,
        variable: &'static Variable,
        value: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(value) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.fault(variable, Problem::Invalid(error.into()));
                None
            }
        }
    }

    fn fault(&mut self, variable: &'static Variable, problem: Problem) {
        if self.faults.iter().all(|f| f.name != variable.name) {
            self.faults.push(Fault {
                name: variable.name.into(),
                variable,
                problem,
            });
        }
    }
}

fn variable(name: &str) -> &'static Variable {
    VARIABLES
        .iter()
        .find(|variable| variable.name == name)
        .expect("every variable that is read stands in the table")
}

/// Why the `.env` files cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct LoadError(#[from] EnvFileError);

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(process: &'static [(&str, &str)], files: &[&str]) -> Environment {
        let lookup = |name: &str| {
            process
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let directory = tempfile::tempdir().unwrap();
        let files = files.iter().map(|text| {
            let path = directory.path().join(".env");
            std::fs::write(&path, text).unwrap();
            let file = EnvFile::read(&path).unwrap().unwrap();
            (path, file)
        });
        let files = files.collect();
        Environment {
            files,
            ..Environment::from_fn(lookup)
        }
    }

    fn trunk_id(environment: &Environment) -> Option<String> {
        environment.value(variable("OUTBOUND_TRUNK_ID"))
    }

    #[test]
    fn the_process_wins_over_the_files_and_the_first_file_over_the_second() {
        let files = ["OUTBOUND_TRUNK_ID=ST_local", "OUTBOUND_TRUNK_ID=ST_file"];
        let process = &[("OUTBOUND_TRUNK_ID", "ST_process")];
        let id = |environment: Environment| trunk_id(&environment).unwrap();
        assert_eq!(id(environment(process, &files)), "ST_process");
        assert_eq!(id(environment(&[], &files)), "ST_local");
        assert_eq!(id(environment(&[], &files[1..])), "ST_file");
    }

    #[test]
    fn a_place_wins_also_under_an_alias() {
        let process = &[("SIP_OUTBOUND_TRUNK_ID", "ST_process")];
        let environment = environment(process, &["OUTBOUND_TRUNK_ID=ST_file"]);
        assert_eq!(trunk_id(&environment).as_deref(), Some("ST_process"));
    }

    #[test]
    fn what_is_set_to_nothing_is_not_set() {
        let environment = environment(
            &[("OUTBOUND_TRUNK_ID", " ")],
            &["OUTBOUND_TRUNK_ID=ST_file"],
        );
        assert_eq!(trunk_id(&environment), None);
    }
}
