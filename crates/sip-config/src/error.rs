//! The report of everything that is wrong with the settings.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use crate::Variable;

/// What is wrong with one variable.
#[derive(Debug)]
pub struct Fault {
    /// The name under which it is set, or should be.
    pub name: Cow<'static, str>,
    pub variable: &'static Variable,
    pub problem: Problem,
}

/// Whether a variable is missing or not understood.
#[derive(Debug)]
pub enum Problem {
    Missing,
    Invalid(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        let Variable {
            expected,
            needed_by,
            ..
        } = self.variable;
        match &self.problem {
            Problem::Missing => writeln!(f, "{name} is missing")?,
            Problem::Invalid(reason) => writeln!(f, "{name} is wrong: {reason}")?,
        }
        writeln!(f, "    expected: {expected}")?;
        write!(f, "    needed by: {needed_by}")
    }
}

/// Everything that is wrong with the settings a binary asked for.
///
/// Displays as a report of several lines, without any value.
#[derive(Debug, thiserror::Error)]
pub struct SettingsError {
    faults: Vec<Fault>,
    files: Vec<PathBuf>,
}

impl SettingsError {
    pub(crate) fn new(faults: Vec<Fault>, files: Vec<PathBuf>) -> Self {
        Self { faults, files }
    }

    /// Returns the faults in the order in which the variables were read.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults.len() {
            1 => writeln!(f, "1 setting is missing or wrong")?,
            count => writeln!(f, "{count} settings are missing or wrong")?,
        }
        for fault in &self.faults {
            writeln!(f, "  {fault}")?;
        }
        let files: Vec<_> = self
            .files
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        match files.is_empty() {
            true => write!(
                f,
                "looked in the environment; there is no .env.local or .env in this directory (start from .env.example)"
            ),
            false => write!(f, "looked in the environment, {}", files.join(", ")),
        }
    }
}
