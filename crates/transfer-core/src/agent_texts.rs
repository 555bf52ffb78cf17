//! What a behaviour file, or one call, says of the agent.

use std::{collections::BTreeMap, str::FromStr};

use serde::Serialize;

/// What stands for the agent's name in the other texts.
pub const NAME_PLACEHOLDER: &str = "{name}";

/// A text about the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentText {
    /// What it calls itself.
    Name,
    /// Its first words.
    Greeting,
    /// What a language model is told about itself and its task.
    Instructions,
    /// What the text-to-speech provider calls the voice: a name, an id or a model.
    Voice,
}

impl AgentText {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Name, Self::Greeting, Self::Instructions, Self::Voice];

    /// Returns the text of that [`key`](Self::key).
    pub fn with_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|text| text.key() == key)
    }

    /// Returns its name in files and in job metadata.
    pub fn key(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Greeting => "greeting",
            Self::Instructions => "instructions",
            Self::Voice => "voice",
        }
    }

    /// Says what is expected of it, for the end of an error.
    pub fn form(self) -> &'static str {
        match self {
            Self::Name => "a text of 1 to 60 characters on one line, such as \"Ada\"",
            Self::Greeting => "a text of 1 to 500 characters, in which {name} stands for the name",
            Self::Instructions => {
                "a text of 1 to 20000 characters, in which {name} stands for the name"
            }
            Self::Voice => {
                "what the provider calls one of its voices, 1 to 100 characters without spaces, such as \"nova\""
            }
        }
    }

    /// Returns `value` without the white space around it, or what is wrong with it.
    pub fn check(self, value: &str) -> Result<String, AgentTextError> {
        let value = value.trim();
        let wrong = |reason| Err(AgentTextError { text: self, reason });
        match value.chars().count() {
            0 => return wrong("it is empty"),
            length if length > self.longest() => return wrong("it is too long"),
            _ => {}
        }
        match self {
            // It is spoken in the middle of sentences.
            Self::Name if value.contains(|c: char| c.is_control() || "{}".contains(c)) => {
                wrong("it has line breaks or braces in it")
            }
            Self::Greeting if value.replace(NAME_PLACEHOLDER, "").contains(['{', '}']) => {
                wrong("it has another placeholder than {name} in it")
            }
            Self::Voice if value.contains(|c: char| c.is_whitespace() || c.is_control()) => {
                wrong("it has spaces or line breaks in it")
            }
            Self::Name | Self::Greeting | Self::Instructions | Self::Voice => Ok(value.to_owned()),
        }
    }

    /// In characters.
    fn longest(self) -> usize {
        match self {
            Self::Name => 60,
            // Half a minute of speech.
            Self::Greeting => 500,
            // They are sent with each turn.
            Self::Instructions => 20_000,
            Self::Voice => 100,
        }
    }
}

/// The texts that differ from what the agent would be without them. Each has the form that it must have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AgentTexts(BTreeMap<AgentText, String>);

impl AgentTexts {
    /// Sets a text, in place of the one before.
    pub fn set(&mut self, text: AgentText, value: &str) -> Result<(), AgentTextError> {
        self.0.insert(text, text.check(value)?);
        Ok(())
    }

    /// Returns a text that was set.
    pub fn get(&self, text: AgentText) -> Option<&str> {
        self.0.get(&text).map(String::as_str)
    }

    /// Tells whether none was set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets the texts that `other` has.
    pub fn update(&mut self, other: &Self) {
        self.0.extend(other.0.clone());
    }
}

impl FromIterator<AgentSetting> for AgentTexts {
    fn from_iter<T: IntoIterator<Item = AgentSetting>>(settings: T) -> Self {
        let settings = settings.into_iter();
        Self(settings.map(|it| (it.text, it.value)).collect())
    }
}

/// A text about the agent, from a command line.
///
/// Parses from `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSetting {
    text: AgentText,
    value: String,
}

impl FromStr for AgentSetting {
    type Err = AgentSettingError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        let (key, value) = input.split_once('=').ok_or(AgentSettingError::NoValue)?;
        let text = AgentText::with_key(key).ok_or(AgentSettingError::UnknownKey)?;
        let value = text.check(value)?;
        Ok(Self { text, value })
    }
}

/// A text has not the form that it must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; expected: {}", .text.form())]
pub struct AgentTextError {
    text: AgentText,
    reason: &'static str,
}

impl AgentTextError {
    pub(crate) fn no_text(text: AgentText) -> Self {
        let reason = "it is not a text";
        Self { text, reason }
    }

    /// Returns which text it is.
    pub fn text(&self) -> AgentText {
        self.text
    }

    /// Returns what is wrong with it.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

/// Why a setting cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AgentSettingError {
    #[error("write it as KEY=VALUE")]
    NoValue,
    #[error("there is no such key; expected: {}", AgentText::ALL.map(AgentText::key).join(", "))]
    UnknownKey,
    #[error(transparent)]
    Wrong(#[from] AgentTextError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_limits() {
        for text in AgentText::ALL {
            let longest = "n".repeat(text.longest());
            assert_eq!(text.check(&longest), Ok(longest.clone()), "{text:?}");
            for wrong in [" ".to_owned(), longest + "n"] {
                assert!(text.check(&wrong).is_err(), "{text:?}: {wrong}");
            }
        }
    }

    #[test]
    fn each_text_has_a_form() {
        for (text, wrong, reason) in [
            (
                AgentText::Name,
                "A\nda",
                "it has line breaks or braces in it",
            ),
            (
                AgentText::Name,
                "{name}",
                "it has line breaks or braces in it",
            ),
            (
                AgentText::Greeting,
                "Hello {user}.",
                "it has another placeholder than {name} in it",
            ),
            (
                AgentText::Voice,
                "the nice one",
                "it has spaces or line breaks in it",
            ),
        ] {
            assert_eq!(
                text.check(wrong),
                Err(AgentTextError { text, reason }),
                "{text:?}"
            );
        }
        let free = "You are {name}.\nSay {x}.";
        assert_eq!(AgentText::Instructions.check(free), Ok(free.to_owned()));
    }

    #[test]
    fn a_setting_is_a_key_and_a_value() {
        let texts = |settings: &[&str]| -> Result<AgentTexts, AgentSettingError> {
            settings
                .iter()
                .map(|setting| setting.parse::<AgentSetting>())
                .collect()
        };
        let said = texts(&["name=Max", "greeting=It is {name} = me.", "name= Ada "]).unwrap();
        assert_eq!(said.get(AgentText::Name), Some("Ada"));
        assert_eq!(said.get(AgentText::Greeting), Some("It is {name} = me."));
        assert_eq!(said.get(AgentText::Voice), None);

        for (setting, refused) in [
            ("name", "write it as KEY=VALUE"),
            (
                "mood=good",
                "there is no such key; expected: name, greeting, instructions, voice",
            ),
            (
                "name=",
                "it is empty; expected: a text of 1 to 60 characters on one line, such as \"Ada\"",
            ),
        ] {
            assert_eq!(texts(&[setting]).unwrap_err().to_string(), refused);
        }
    }

    #[test]
    fn later_texts_win_and_the_others_stay() {
        let texts = |settings: &[&str]| -> AgentTexts {
            let parse = |setting: &&str| setting.parse::<AgentSetting>().unwrap();
            settings.iter().map(parse).collect()
        };
        let mut texts_of_the_file = texts(&["name=Ada", "voice=nova"]);
        texts_of_the_file.update(&texts(&["name=Max"]));
        assert_eq!(texts_of_the_file, texts(&["name=Max", "voice=nova"]));
    }
}
