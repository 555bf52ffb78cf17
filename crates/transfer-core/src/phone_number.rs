//! E.164 phone numbers, from what people write and say.
//!
//! # Assumptions
//!
//! - *Shape decides, assignment only warns.* A number is accepted when its length is one that the
//!   numbering plan of its country uses; whether that range is in service is [`PhoneNumber::is_assigned`].
//!   Test numbers (`+1 555 000 1234`) and ranges newer than our copy of the plans must work.
//! - Only ASCII digits count. Full-width or Arabic-Indic digits and look-alike letters are refused:
//!   a number that reads differently from how it dials is how people are sent to the wrong phone.
//! - Emergency numbers and short codes are not E.164 and are refused as too short.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use phonenumber::metadata::{DATABASE, Descriptor, Metadata};
use phonenumber::{Type, country};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::numbering_plans::{NUMBERING_PLANS, NumberingPlan};

mod numbering_plans;

/// Digits after the `+` at most (ITU-T E.164 §6.1).
const MAX_DIGITS: usize = 15;

/// Digits after the `+` at least, for country codes whose plan we do not know.
///
/// The shortest numbers in use have four digits after a three-digit code (Niue, `+683 4xxx`).
const MIN_DIGITS: usize = 7;

/// A number in international form (ITU-T E.164): country code and national number, at most 15 digits.
///
/// `Display` is the form for wires, `+15550001234`.
/// `Debug` and [`PhoneNumber::masked`] are for logs and hide all but the country code and the last
/// two digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber {
    digits: String,
}

impl PhoneNumber {
    /// Parses what a person wrote or dictated.
    ///
    /// Spaces, dashes, dots, slashes and brackets are dropped, so are `tel:` and the `(0)` of
    /// `+44 (0)20 …`.
    /// International forms start with `+` or `00`; everything else is a national form and needs
    /// `default_region`, whose own international prefix (`011`, `0011`, …) counts too.
    /// The first national form takes some 100 ms, since it loads the numbering plans of the world.
    pub fn parse(
        input: &str,
        default_region: Option<Region>,
    ) -> Result<Self, ParsePhoneNumberError> {
        let text = strip_scheme(input.trim());
        let dialled = Dialled::read(text)?;
        let digits = if dialled.plus {
            dialled.digits
        } else {
            international_digits(&dialled.digits, default_region)?
        };
        let digits = match text.contains("(0)") {
            true => without_trunk_zero(digits),
            false => digits,
        };
        check_length(&digits)?;
        Ok(Self { digits })
    }

    /// Returns the digits without the `+`: `15550001234`.
    pub fn digits(&self) -> &str {
        &self.digits
    }

    /// Returns the country code: `1` of `+15550001234`.
    pub fn country_code(&self) -> &str {
        &self.digits[..country_code_len(&self.digits)]
    }

    /// Returns the number with all but the country code and the last two digits hidden:
    /// `+1********34`.
    pub fn masked(&self) -> String {
        let code = self.country_code();
        let shown = &self.digits[self.digits.len() - 2..];
        let hidden = self.digits.len() - code.len() - shown.len();
        format!("+{code}{}{shown}", "*".repeat(hidden))
    }

    /// Tells whether the number lies in a range that its country has put into service.
    ///
    /// `false` is worth a warning, never a refusal: plans change, and test numbers are unassigned.
    /// The first call takes some 100 ms, since it loads the numbering plans of the world.
    pub fn is_assigned(&self) -> bool {
        let national = self.national();
        self.plans()
            .iter()
            .any(|plan| is_in_service(national, plan))
    }

    /// Returns the country that the number belongs to, `None` for international services.
    ///
    /// Where countries share a code, a number that none of them claims counts as the main one's:
    /// `+1 555 000 1234` is one of the USA.
    /// The first call takes some 100 ms, since it loads the numbering plans of the world.
    pub fn region(&self) -> Option<Region> {
        let national = self.national();
        let plans = self.plans();
        let claims = |plan: &&&Metadata| match plan.leading_digits() {
            Some(leading) => leading
                .find(national)
                .is_some_and(|found| found.start() == 0),
            None => is_in_service(national, plan),
        };
        let plan = plans.iter().find(claims).or(plans.first())?;
        plan.id().parse().ok()
    }

    /// Returns the digits after the country code.
    pub(crate) fn national(&self) -> &str {
        &self.digits[self.country_code().len()..]
    }

    /// Returns the plans of the countries that share the number's country code, the main one first.
    pub(crate) fn plans(&self) -> Vec<&'static Metadata> {
        let code: Option<u16> = self.country_code().parse().ok();
        code.and_then(|code| DATABASE.by_code(&code))
            .unwrap_or_default()
    }
}

/// The kinds of number that a numbering plan lists as in service.
const SERVICES: [Type; 10] = [
    Type::FixedLine,
    Type::Mobile,
    Type::TollFree,
    Type::PremiumRate,
    Type::SharedCost,
    Type::PersonalNumber,
    Type::Voip,
    Type::Pager,
    Type::Uan,
    Type::Voicemail,
];

/// The international forms only (`+…`, `00…`).
impl FromStr for PhoneNumber {
    type Err = ParsePhoneNumberError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        Self::parse(input, None)
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.digits)
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Serialize for PhoneNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PhoneNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Hides the phone numbers in a name that goes to a log: `call-91********10-k3v9x0a7c2mq`.
///
/// A room is found by the rest of its name. Runs of digits shorter than a phone number stay.
pub fn mask_digits(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for run in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = run.bytes().take_while(u8::is_ascii_digit).count();
        match digits < MIN_DIGITS {
            true => masked.push_str(run),
            false => {
                masked.push_str(&run[..2]);
                masked.extend(std::iter::repeat_n('*', digits - 4));
                masked.push_str(&run[digits - 2..]);
            }
        }
    }
    masked
}

/// Returns the identity of the participant who was dialled at `number`: `sip_+15550001234`.
pub fn identity(number: &PhoneNumber) -> String {
    format!("sip_{number}")
}

/// Returns the number of which [`identity`] made this identity; `None` for a participant who came otherwise.
pub fn number_of(identity: &str) -> Option<PhoneNumber> {
    identity.strip_prefix("sip_")?.parse().ok()
}

/// A country or territory with a numbering plan (ISO 3166-1 alpha-2), for numbers in national form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Region(country::Id);

impl Region {
    fn plan(self) -> Option<&'static Metadata> {
        DATABASE.by_id(self.0.as_ref())
    }

    /// Returns the country code of its numbers: `91` for India.
    pub(crate) fn country_code(self) -> Option<String> {
        Some(self.plan()?.country_code().to_string())
    }
}

impl FromStr for Region {
    type Err = ParseRegionError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        input
            .trim()
            .to_ascii_uppercase()
            .parse()
            .map(Self)
            .map_err(|_| ParseRegionError)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not the ISO 3166-1 alpha-2 code of a country with a numbering plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a two-letter country code (ISO 3166-1), such as IN or US")]
pub struct ParseRegionError;

/// Why a text is not a phone number that can be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParsePhoneNumberError {
    /// There is no digit in it.
    #[error("there are no digits in it")]
    Empty,
    /// Something that is neither a digit nor punctuation; also digits of other scripts.
    #[error("`{}` cannot be part of a phone number", .0.escape_default())]
    InvalidCharacter(char),
    /// A `+` after the first digit, or a second one.
    #[error("`+` belongs at the start only")]
    MisplacedPlus,
    /// A national form, and no region to read it in.
    #[error("the country code is missing (write it as +15550001234)")]
    MissingCountryCode,
    /// The country code starts with 0; none does.
    #[error("no country code starts with 0")]
    InvalidCountryCode,
    /// Digits are missing, or it is an emergency number or a short code.
    #[error("{digits} digits with the country code are too few for a phone number")]
    TooShort { digits: usize },
    /// More digits than numbers of that country, or any number, have.
    #[error("{digits} digits with the country code are too many for a phone number")]
    TooLong { digits: usize },
}

impl ParsePhoneNumberError {
    /// Returns what to tell somebody who said the number on the phone.
    pub fn spoken(self) -> &'static str {
        match self {
            Self::Empty | Self::InvalidCharacter(_) | Self::MisplacedPlus => {
                "Sorry, I did not catch a phone number. Please say it digit by digit."
            }
            Self::MissingCountryCode | Self::InvalidCountryCode => {
                "Sorry, I need the number with its country code. Please say it again, starting with plus."
            }
            Self::TooShort { .. } => {
                "Sorry, that number seems to be missing some digits. Please say it again, digit by digit."
            }
            Self::TooLong { .. } => {
                "Sorry, that number seems to have too many digits. Please say it again, digit by digit."
            }
        }
    }
}

/// What is left of an input once the punctuation is gone.
struct Dialled {
    plus: bool,
    digits: String,
}

impl Dialled {
    fn read(text: &str) -> Result<Self, ParsePhoneNumberError> {
        let mut dialled = Self {
            plus: false,
            digits: String::with_capacity(MAX_DIGITS),
        };
        for character in text.chars() {
            match character {
                '0'..='9' => dialled.digits.push(character),
                '+' if dialled.plus || !dialled.digits.is_empty() => {
                    return Err(ParsePhoneNumberError::MisplacedPlus);
                }
                '+' => dialled.plus = true,
                _ if is_separator(character) => {}
                _ => return Err(ParsePhoneNumberError::InvalidCharacter(character)),
            }
        }
        if dialled.digits.is_empty() {
            return Err(ParsePhoneNumberError::Empty);
        }
        Ok(dialled)
    }
}

/// Punctuation that people and web pages put between digits, no-break spaces and typographic dashes
/// included.
fn is_separator(character: char) -> bool {
    matches!(
        character,
        ' ' | '-' | '.' | '/' | '(' | ')' | '[' | ']' | '\u{a0}' | '\u{202f}' | '\u{2010}'
            ..='\u{2015}' | '\u{2212}'
    )
}

/// Removes `tel:` (RFC 3966 §3; schemes are case-insensitive, RFC 3986 §3.1).
fn strip_scheme(text: &str) -> &str {
    match text.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => &text[4..],
        _ => text,
    }
}

/// Turns digits dialled without a `+` into country code and national number.
fn international_digits(
    dialled: &str,
    region: Option<Region>,
) -> Result<String, ParsePhoneNumberError> {
    let plan = region.and_then(Region::plan);
    let prefix = plan
        .and_then(Metadata::international_prefix)
        .and_then(|prefix| prefix.find(dialled))
        .filter(|prefix| prefix.start() == 0);
    if let Some(prefix) = prefix {
        return Ok(dialled[prefix.end()..].to_owned());
    }
    // ITU-T E.164 recommends 00 to everybody, so it is read that way also where another one is used.
    if let Some(international) = dialled.strip_prefix("00") {
        return Ok(international.to_owned());
    }
    let plan = plan.ok_or(ParsePhoneNumberError::MissingCountryCode)?;
    let code = plan.country_code().to_string();
    let national = without_national_prefix(dialled, plan);
    if !is_in_service(&national, plan)
        && let Some(rest) = dialled.strip_prefix(&code)
        && is_in_service(rest, plan)
    {
        return Ok(dialled.to_owned());
    }
    Ok(code + &national)
}

/// Removes the national (trunk) prefix, such as the 0 of `020 7946 0958`, unless that would leave
/// something that is no number of the plan.
fn without_national_prefix<'a>(dialled: &'a str, plan: &Metadata) -> Cow<'a, str> {
    match strip_national_prefix(dialled, plan) {
        Some(national)
            if is_possible(&national, plan)
                && (is_in_service(&national, plan) || !is_in_service(dialled, plan)) =>
        {
            national
        }
        _ => dialled.into(),
    }
}

/// Removes the prefix, which may hold a carrier code (Brazil) or be rewritten rather than removed
/// (Argentina's mobile numbers).
fn strip_national_prefix<'a>(dialled: &'a str, plan: &Metadata) -> Option<Cow<'a, str>> {
    let Some(pattern) = plan.national_prefix_for_parsing() else {
        return dialled.strip_prefix(plan.national_prefix()?).map(Cow::from);
    };
    let captures = pattern.captures(dialled)?;
    let prefix = captures.get(0).filter(|prefix| prefix.start() == 0)?;
    let last_group = captures.get(captures.len() - 1);
    match (plan.national_prefix_transform_rule(), last_group) {
        (Some(rewrite), Some(_)) => Some(pattern.replace(dialled, rewrite)),
        _ => Some(dialled[prefix.end()..].into()),
    }
}

fn is_possible(national: &str, plan: &Metadata) -> bool {
    services(plan)
        .flat_map(Descriptor::possible_length)
        .any(|length| usize::from(*length) == national.len())
}

fn is_in_service(national: &str, plan: &Metadata) -> bool {
    services(plan).any(|service| service.is_match(national))
}

fn services(plan: &Metadata) -> impl Iterator<Item = &Descriptor> {
    SERVICES
        .iter()
        .filter_map(|service| plan.descriptors().get(*service))
}

/// Drops the 0 of `+44 (0)20 …` where 0 is the country's national prefix; Italy's 0 stays.
fn without_trunk_zero(digits: String) -> String {
    let (code, national) = digits.split_at(country_code_len(&digits));
    match national.strip_prefix('0') {
        Some(rest) if numbering_plan(&digits).is_some_and(|plan| plan.trunk_zero) => {
            format!("{code}{rest}")
        }
        _ => digits,
    }
}

fn check_length(digits: &str) -> Result<(), ParsePhoneNumberError> {
    if digits.starts_with('0') {
        return Err(ParsePhoneNumberError::InvalidCountryCode);
    }
    let code = country_code_len(digits);
    let (allowed, longest) = match numbering_plan(digits) {
        Some(plan) => {
            let longest = plan.lengths.iter().max().map_or(0, |length| code + length);
            (plan.lengths.contains(&(digits.len() - code)), longest)
        }
        None => (
            (MIN_DIGITS..=MAX_DIGITS).contains(&digits.len()),
            MAX_DIGITS,
        ),
    };
    let digits = digits.len();
    match (allowed, digits > longest.min(MAX_DIGITS)) {
        (_, true) => Err(ParsePhoneNumberError::TooLong { digits }),
        (true, false) => Ok(()),
        (false, false) => Err(ParsePhoneNumberError::TooShort { digits }),
    }
}

/// Returns the lengths in use under the country code of `digits`, if it is assigned.
fn numbering_plan(digits: &str) -> Option<&'static NumberingPlan> {
    let code: u16 = digits[..country_code_len(digits)].parse().ok()?;
    NUMBERING_PLANS
        .binary_search_by_key(&code, |plan| plan.code)
        .ok()
        .map(|index| &NUMBERING_PLANS[index])
}

/// How many of the leading digits are the country code (ITU-T E.164 Annex D, "List of assigned codes").
///
/// Zones 1 and 7 have one digit, some forty countries two, all others, unassigned ones included, three.
fn country_code_len(digits: &str) -> usize {
    let len = match digits.as_bytes() {
        [b'1' | b'7', ..] => 1,
        [b'2', b'0' | b'7', ..]
        | [b'3', b'0'..=b'4' | b'6' | b'9', ..]
        | [b'4', b'0' | b'1' | b'3'..=b'9', ..]
        | [b'5', b'1'..=b'8', ..]
        | [b'6', b'0'..=b'6', ..]
        | [b'8', b'1' | b'2' | b'4' | b'6', ..]
        | [b'9', b'0'..=b'5' | b'8', ..] => 2,
        _ => 3,
    };
    len.min(digits.len())
}

#[cfg(test)]
mod tests;
