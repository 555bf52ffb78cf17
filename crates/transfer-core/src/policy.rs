//! Whom a caller may be transferred to.
//!
//! The person on the phone and the language model are both untrusted: whatever they ask for, a
//! transfer leaves only when [`TransferPolicy::admit`] says by which [`Rule`] it may.
//! `docs/transfer_policy.md` is the page for operators.
//!
//! # Assumptions
//!
//! - Who writes the environment or holds the API key is trusted, the environment further than the job.
//! - A number that no range of its country claims counts as an ordinary one of that country, since
//!   plans change and test numbers are unassigned.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{ParsePhoneNumberError, ParseRegionError, PhoneNumber, Region};

pub use self::number_class::NumberClass;

mod number_class;

/// Attempts that one call has, unless configured.
const ATTEMPTS_PER_CALL: u32 = 5;

/// Attempts that one number of the caller's has in a call: a busy line is worth a second and a third one.
const ATTEMPTS_PER_NUMBER: u32 = 3;

/// What a budget for a day counts.
const DAY: Duration = Duration::from_hours(24);

/// The operator's wishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferRules {
    /// Where "Transfer me." leads.
    pub default_number: Option<PhoneNumber>,
    /// The departments that callers may name.
    pub destinations: Vec<Destination>,
    /// `None`: any ordinary number may be reached.
    pub allow: Option<AllowList>,
    /// How many transfers one call may try.
    pub max_per_call: u32,
    /// How many transfers all calls together may try within any 24 hours.
    pub max_per_day: Option<u32>,
    /// Which of the numbers that callers speak are asked about.
    pub confirmation: Confirmation,
}

/// Which numbers that a caller has spoken are read back and need a yes.
///
/// A number that was entered on the keypad or that a model named needs one either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confirmation {
    #[default]
    Always,
    /// All but those that two recognitions of the same words understood alike.
    WhenInDoubt,
}

impl Default for TransferRules {
    fn default() -> Self {
        Self {
            default_number: None,
            destinations: Vec::new(),
            allow: None,
            max_per_call: ATTEMPTS_PER_CALL,
            max_per_day: None,
            confirmation: Confirmation::Always,
        }
    }
}

/// A department and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    pub name: DestinationName,
    pub number: PhoneNumber,
}

/// What callers call a department: lower-case words, such as `sales` or `tech support`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationName(String);

impl DestinationName {
    /// Returns the words, separated by one space.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Takes words of ASCII letters and digits; `_` separates them like a space, as in `TECH_SUPPORT`.
impl FromStr for DestinationName {
    type Err = ParseDestinationNameError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        let words: Vec<_> = input
            .split(['_', ' '])
            .filter(|word| !word.is_empty())
            .map(str::to_ascii_lowercase)
            .collect();
        let is_word = |word: &String| word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        // A name of digits alone would be heard as a number.
        let has_letter = words
            .iter()
            .any(|word| word.bytes().any(|byte| byte.is_ascii_alphabetic()));
        match has_letter && words.iter().all(is_word) {
            true => Ok(Self(words.join(" "))),
            false => Err(ParseDestinationNameError),
        }
    }
}

impl fmt::Display for DestinationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text cannot be the name of a department.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a name of letters, digits and underscores, such as SALES or TECH_SUPPORT")]
pub struct ParseDestinationNameError;

/// Whom callers may name; everybody else is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowList {
    entries: Vec<AllowEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum AllowEntry {
    Number(PhoneNumber),
    Prefix(NumberPrefix),
    Country(Region),
}

/// The first digits of numbers in international form: `+1555*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberPrefix {
    digits: String,
}

impl fmt::Display for NumberPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}*", self.digits)
    }
}

/// `+15550001234, +4420*, IN`
impl FromStr for AllowList {
    type Err = ParseAllowListError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        let entries = input
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(|entry| {
                AllowEntry::parse(entry).map_err(|problem| ParseAllowListError::Entry {
                    entry: entry.to_owned(),
                    problem,
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        match entries.is_empty() {
            true => Err(ParseAllowListError::Empty),
            false => Ok(Self { entries }),
        }
    }
}

/// The form that it is parsed from, with whole numbers masked.
impl fmt::Display for AllowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.entries.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            f.write_str(separator)?;
            match entry {
                AllowEntry::Number(number) => f.write_str(&number.masked())?,
                AllowEntry::Prefix(prefix) => write!(f, "{prefix}")?,
                AllowEntry::Country(region) => write!(f, "{region}")?,
            }
        }
        Ok(())
    }
}

impl AllowEntry {
    fn parse(text: &str) -> Result<Self, ParseAllowEntryError> {
        if let Some(prefix) = text.strip_suffix('*') {
            return NumberPrefix::parse(prefix).map(Self::Prefix);
        }
        if text.starts_with('+') {
            return Ok(Self::Number(text.parse()?));
        }
        if text.bytes().any(|byte| byte.is_ascii_digit()) {
            return Err(ParseAllowEntryError::NoPlus);
        }
        Ok(Self::Country(text.parse()?))
    }

    /// Tells whether the entry is about numbers with this country code.
    fn is_about(&self, code: &str) -> bool {
        match self {
            Self::Number(number) => number.country_code() == code,
            Self::Prefix(prefix) => {
                prefix.digits.starts_with(code) || code.starts_with(&prefix.digits)
            }
            Self::Country(region) => region.country_code() == Some(code.to_owned()),
        }
    }
}

impl NumberPrefix {
    fn parse(text: &str) -> Result<Self, ParseAllowEntryError> {
        let digits = text
            .strip_prefix('+')
            .ok_or(ParseAllowEntryError::NoPlus)?
            .replace([' ', '-'], "");
        let is_prefix = (1..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_prefix {
            return Err(ParseAllowEntryError::NoPrefix);
        }
        match NumberClass::of_prefix(&digits) {
            Some(class) => Err(ParseAllowEntryError::NeverByPrefix(class)),
            None => Ok(Self { digits }),
        }
    }
}

/// Why a text is not an [`AllowList`]. Shows the entry, which the operator typed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseAllowListError {
    #[error("there is no entry in it")]
    Empty,
    #[error("`{}`: {problem}", .entry.escape_debug())]
    Entry {
        entry: String,
        problem: ParseAllowEntryError,
    },
}

/// Why a text is not an entry of an [`AllowList`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseAllowEntryError {
    #[error("numbers and prefixes start with + and the country code, as in +15550001234 or +44*")]
    NoPlus,
    #[error("a prefix is + and 1 to 15 digits before the *, as in +44*")]
    NoPrefix,
    #[error("{0} numbers are allowed one by one only; write the whole number")]
    NeverByPrefix(NumberClass),
    #[error(transparent)]
    Number(#[from] ParsePhoneNumberError),
    #[error(transparent)]
    Country(#[from] ParseRegionError),
}

/// The rule by which a number may be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The environment's `DEFAULT_TRANSFER_NUMBER`.
    DefaultNumber,
    /// A department of the environment.
    Destination(DestinationName),
    /// An entry of `TRANSFER_ALLOW` that names this one number.
    AllowedNumber,
    /// The job's `transfer_to`.
    Dispatched,
    AllowedPrefix(NumberPrefix),
    AllowedCountry(Region),
    /// There is no `TRANSFER_ALLOW`, and the number is an ordinary one.
    Unrestricted,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DefaultNumber => f.write_str("default number"),
            Self::Destination(name) => write!(f, "destination {name}"),
            Self::AllowedNumber => f.write_str("allowed number"),
            Self::Dispatched => f.write_str("transfer_to of the job"),
            Self::AllowedPrefix(prefix) => write!(f, "allowed prefix {prefix}"),
            Self::AllowedCountry(region) => write!(f, "allowed country {region}"),
            Self::Unrestricted => f.write_str("any ordinary number"),
        }
    }
}

/// Why a number may not be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0} numbers are never reached unless named one by one")]
    Class(NumberClass),
    /// `TRANSFER_ALLOW` says nothing about the country; `None` when nobody knows which it is.
    #[error("TRANSFER_ALLOW does not name the number's country{}", in_brackets(*.0))]
    Country(Option<Region>),
    /// `TRANSFER_ALLOW` names other numbers of the country.
    #[error("TRANSFER_ALLOW does not name the number")]
    Number,
    #[error("the number was tried {ATTEMPTS_PER_NUMBER} times in this call")]
    Repeated,
    #[error("the call has tried {limit} transfers")]
    CallBudget { limit: u32 },
    #[error("{limit} transfers were tried within 24 hours")]
    DayBudget { limit: u32 },
}

fn in_brackets(region: Option<Region>) -> String {
    region.map_or_else(String::new, |region| format!(" ({region})"))
}

impl Refusal {
    /// Returns what the agent tells the caller.
    pub fn spoken(self) -> &'static str {
        match self {
            Self::Class(class) => class.spoken(),
            Self::Country(_) => {
                "I'm sorry, I am not allowed to transfer calls to that country. Is there another number?"
            }
            Self::Number => {
                "I'm sorry, I am not allowed to transfer calls to that number. Is there another one?"
            }
            Self::Repeated => {
                "I'm sorry, I have tried that number already. You are still with me. How else can I help?"
            }
            Self::CallBudget { .. } => {
                "I'm sorry, I have tried as many transfers as I may in one call. How else can I help?"
            }
            Self::DayBudget { .. } => {
                "I'm sorry, I may not make any more transfers today. How else can I help?"
            }
        }
    }

    /// Returns what the operator can do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Class(_) => {
                "if this very number is wanted, write it out in TRANSFER_ALLOW or give it a name such as TRANSFER_SALES"
            }
            Self::Country(_) => {
                "add the country to TRANSFER_ALLOW, such as US, or a prefix such as +1555*"
            }
            Self::Number => {
                "add the number, a prefix of it or its country to TRANSFER_ALLOW, or give it a name such as TRANSFER_SALES"
            }
            Self::Repeated => "nothing to repair",
            Self::CallBudget { .. } => "raise TRANSFER_MAX_PER_CALL if callers need more attempts",
            Self::DayBudget { .. } => {
                "look in the log for who asks for so many transfers, then raise TRANSFER_MAX_PER_DAY"
            }
        }
    }
}

/// Decides whom a caller may be transferred to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransferPolicy {
    rules: Arc<TransferRules>,
    dispatched: Option<PhoneNumber>,
}

impl TransferPolicy {
    pub fn new(rules: TransferRules) -> Self {
        Self {
            rules: Arc::new(rules),
            dispatched: None,
        }
    }

    /// Returns the policy for one job, whose `transfer_to` its dispatcher answers for.
    pub fn for_job(&self, transfer_to: Option<PhoneNumber>) -> Self {
        Self {
            rules: self.rules.clone(),
            dispatched: transfer_to,
        }
    }

    /// Returns the rules that it was made of.
    pub fn rules(&self) -> &TransferRules {
        &self.rules
    }

    /// Finds the rule by which `number` may be reached, without counting anything.
    ///
    /// The first call takes some 100 ms, since it loads the numbering plans of the world.
    pub fn decide(&self, number: &PhoneNumber) -> Result<Rule, Refusal> {
        if self.rules.default_number.as_ref() == Some(number) {
            return Ok(Rule::DefaultNumber);
        }
        let named = |destination: &&Destination| destination.number == *number;
        if let Some(destination) = self.rules.destinations.iter().find(named) {
            return Ok(Rule::Destination(destination.name.clone()));
        }
        let entries = self.rules.allow.as_ref().map(|allow| &allow.entries[..]);
        let listed =
            |entry: &AllowEntry| matches!(entry, AllowEntry::Number(listed) if listed == number);
        if entries.is_some_and(|entries| entries.iter().any(listed)) {
            return Ok(Rule::AllowedNumber);
        }
        if let Some(class) = NumberClass::of(number) {
            return Err(Refusal::Class(class));
        }
        if self.dispatched.as_ref() == Some(number) {
            return Ok(Rule::Dispatched);
        }
        match entries {
            None => Ok(Rule::Unrestricted),
            Some(entries) => decide_by_list(entries, number),
        }
    }

    /// Decides about an attempt and counts it, for the call and for the day, when it is admitted.
    ///
    /// A refused attempt counts for its number only, so that asking again and again ends in
    /// [`Refusal::Repeated`] too; the operator's own numbers are limited by the call's budget alone.
    /// `now` must not go back.
    pub fn admit(
        &self,
        number: &PhoneNumber,
        call: &mut CallAttempts,
        day: &mut DayAttempts,
        now: Instant,
    ) -> Result<Rule, Refusal> {
        let decision = self.decide(number);
        let is_ours = matches!(
            decision,
            Ok(Rule::DefaultNumber | Rule::Destination(_) | Rule::Dispatched)
        );
        if !is_ours && !call.count_number(number) {
            return Err(Refusal::Repeated);
        }
        let rule = decision?;
        let limit = self.rules.max_per_call;
        if call.admitted >= limit {
            return Err(Refusal::CallBudget { limit });
        }
        if let Some(limit) = self.rules.max_per_day
            && !day.count(limit, now)
        {
            return Err(Refusal::DayBudget { limit });
        }
        call.admitted += 1;
        Ok(rule)
    }
}

fn decide_by_list(entries: &[AllowEntry], number: &PhoneNumber) -> Result<Rule, Refusal> {
    let region = number.region();
    let rule = entries.iter().find_map(|entry| match entry {
        AllowEntry::Prefix(prefix) if number.digits().starts_with(&prefix.digits) => {
            Some(Rule::AllowedPrefix(prefix.clone()))
        }
        AllowEntry::Country(country) if region == Some(*country) => {
            Some(Rule::AllowedCountry(*country))
        }
        AllowEntry::Number(_) | AllowEntry::Prefix(_) | AllowEntry::Country(_) => None,
    });
    rule.ok_or_else(|| {
        let code = number.country_code();
        match entries.iter().any(|entry| entry.is_about(code)) {
            true => Refusal::Number,
            false => Refusal::Country(region),
        }
    })
}

/// What one call has tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallAttempts {
    admitted: u32,
    numbers: BTreeMap<PhoneNumber, u32>,
}

impl CallAttempts {
    /// Counts an attempt at `number`; false when there were enough.
    fn count_number(&mut self, number: &PhoneNumber) -> bool {
        let attempts = self.numbers.entry(number.clone()).or_default();
        let free = *attempts < ATTEMPTS_PER_NUMBER;
        *attempts += u32::from(free);
        free
    }
}

/// What all calls of a process have tried within the last 24 hours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DayAttempts {
    /// The oldest first, no more than the budget.
    at: VecDeque<Instant>,
}

impl DayAttempts {
    /// Counts an attempt; false when there were `limit` already.
    fn count(&mut self, limit: u32, now: Instant) -> bool {
        while self
            .at
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) >= DAY)
        {
            self.at.pop_front();
        }
        let free = self.at.len() < limit as usize;
        if free {
            self.at.push_back(now);
        }
        free
    }
}

#[cfg(test)]
mod tests;
