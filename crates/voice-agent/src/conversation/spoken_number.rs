//! Phone numbers in the words that people use and the spellings that speech recognition chooses.
//!
//! 1. [`tokens`](mod@tokens): the text as words, figures and the joints between them.
//! 2. [`groups`](mod@groups): "triple five", "twelve", "fifty-five", "eight hundred", each with its possible readings.
//! 3. [`runs`](mod@runs): groups in a row, without times, amounts and other numbers that nobody wants to call.
//! 4. Here: corrections, country codes and extensions put runs together, and the lengths that numbers may
//!    have settle what was ambiguous. What they do not settle is asked again.

use transfer_core::{ParsePhoneNumberError, PhoneNumber, Region};

use self::{
    regions::named_region,
    runs::{Bridge, Role, Run, bridge, runs},
    tokens::{Kind, Token, tokens},
};

mod groups;
mod regions;
mod runs;
mod tokens;

/// Digits in a row as somebody said them; whether they are a phone number is another question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpokenNumber {
    /// "Plus" was said before them.
    pub plus: bool,
    /// ASCII digits, at least one; the likeliest reading.
    pub digits: String,
    /// The country that was named along with them.
    pub region: Option<Region>,
    /// The extension that was said along with them. It is never among the digits, unless nothing else
    /// was said.
    pub extension: Option<String>,
    /// All readings, the likelier ones in an earlier rank. Those of one rank are equally likely.
    ranks: Vec<Vec<Reading>>,
    doubt: Option<Doubt>,
    /// Other numbers of the same sentence.
    rivals: Vec<Self>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Reading {
    plus: bool,
    digits: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// The length of a number may settle it.
    Settled,
    Hopeless(Ambiguity),
}

/// Why nobody can know which number was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguity {
    /// "Fifty five five".
    #[error("its groups can be read in more than one way")]
    Groups,
    /// Two numbers in a sentence, and no correction between them.
    #[error("more than one number was said")]
    Numbers,
    /// A correction of which it is not clear what it takes the place of.
    #[error("the correction may concern different digits")]
    Correction,
}

/// Why what was said is no number to transfer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpokenNumberError {
    #[error("the spoken number is ambiguous")]
    Ambiguous(#[source] Ambiguity),
    #[error("an extension alone cannot be dialled")]
    ExtensionAlone,
    #[error("the spoken digits are no phone number")]
    NoPhoneNumber(#[source] ParsePhoneNumberError),
}

impl SpokenNumberError {
    /// Returns what to tell the person.
    pub fn spoken(self) -> &'static str {
        match self {
            Self::Ambiguous(Ambiguity::Groups) => {
                "Sorry, I am not sure about that number. Please say it again, digit by digit."
            }
            Self::Ambiguous(Ambiguity::Numbers) => {
                "Sorry, I heard more than one number. Please say only the one that you want, digit by digit."
            }
            Self::Ambiguous(Ambiguity::Correction) => {
                "Sorry, I lost track of the correction. Please say the whole number again."
            }
            Self::ExtensionAlone => {
                "Sorry, I cannot dial an extension. Please say the whole phone number, starting with plus."
            }
            Self::NoPhoneNumber(error) => error.spoken(),
        }
    }
}

/// Readings that are considered at most; with more, nobody can know.
const MOST_READINGS: usize = 16;

/// Numbers of one sentence that are compared with each other at most.
const MOST_RIVALS: usize = 4;

/// Digits from which a correction may be a whole number.
const A_WHOLE_NUMBER: usize = 7;

/// Digits from which something can be corrected.
const WORTH_CORRECTING: usize = 3;

/// Digits from which a number without a plus may be an international one; national numbers have ten
/// at most in most plans.
const SHORTEST_WITHOUT_PLUS: usize = 11;

/// More digits than any number has, with whatever prefix.
const TOO_MANY: usize = 24;

impl SpokenNumber {
    /// Finds the number in a sentence.
    ///
    /// A correction ("no wait", "sorry", "I mean") takes the place of as many digits at the end of what
    /// was said before, else of what a number of a possible length leaves over. After "plus" or "start
    /// again" only what follows counts. Of several numbers the last with a plus is returned, else the
    /// longest; when both are phone numbers, [`Self::phone_number`] tells.
    pub fn find(text: &str) -> Option<Self> {
        let tokens = tokens(text);
        let mut found = statements(&tokens);
        let best = match found.iter().rposition(|number| number.plus) {
            Some(with_plus) => with_plus,
            None => {
                let lengths = found.iter().map(|number| number.digits.len()).enumerate();
                lengths.max_by_key(|(_, length)| *length)?.0
            }
        };
        let mut best = found.remove(best);
        best.region = named_region(&tokens);
        found.sort_by_key(|number| usize::MAX - number.digits.len());
        found.truncate(MOST_RIVALS);
        for rival in &mut found {
            rival.region = best.region;
        }
        best.rivals = found;
        Some(best)
    }

    /// Digits of which nothing is in doubt.
    pub(super) fn plain(plus: bool, digits: String, region: Option<Region>) -> Self {
        let reading = Reading {
            plus,
            digits: digits.clone(),
        };
        Self {
            plus,
            digits,
            region,
            extension: None,
            ranks: vec![vec![reading]],
            doubt: None,
            rivals: Vec::new(),
        }
    }

    /// Reads the digits as a phone number.
    ///
    /// Without a plus they are a national number of the named country, else of `default_region`, and
    /// only then an international one whose plus was lost on the way.
    /// Of several readings the only one that has the length of a phone number counts.
    /// Of a number that is too long, four equal digits in a row are taken for the three that were said:
    /// Whisper hears "five five five" as 5555. It is read back before anything is done with it.
    pub fn phone_number(
        &self,
        default_region: Option<Region>,
    ) -> Result<PhoneNumber, SpokenNumberError> {
        let number = self.settle(default_region);
        let mut others = self
            .rivals
            .iter()
            .filter_map(|rival| rival.settle(default_region).ok());
        match number {
            Ok(number) if others.any(|other| other != number) => {
                Err(SpokenNumberError::Ambiguous(Ambiguity::Numbers))
            }
            Err(SpokenNumberError::NoPhoneNumber(error)) => match (others.next(), others.next()) {
                (Some(other), None) if !self.plus => Ok(other),
                (None, _) | (Some(_), None) => Err(SpokenNumberError::NoPhoneNumber(error)),
                (Some(_), Some(_)) => Err(SpokenNumberError::Ambiguous(Ambiguity::Numbers)),
            },
            number => number,
        }
    }

    fn settle(&self, default_region: Option<Region>) -> Result<PhoneNumber, SpokenNumberError> {
        if self.extension.as_ref() == Some(&self.digits) {
            return Err(SpokenNumberError::ExtensionAlone);
        }
        if let Some(Doubt::Hopeless(ambiguity)) = self.doubt {
            return Err(SpokenNumberError::Ambiguous(ambiguity));
        }
        let region = self.region.or(default_region);
        for rank in &self.ranks {
            let possible = possible(rank, region);
            match possible.as_slice() {
                [] => {}
                [number] => return Ok(number.clone()),
                [..] => return Err(self.ambiguity()),
            }
        }
        let error = match self.as_given(region) {
            Ok(number) => return Ok(number),
            Err(_) if self.doubt.is_some() => return Err(self.ambiguity()),
            Err(error) => error,
        };
        if matches!(error, ParsePhoneNumberError::TooLong { .. }) && self.ranks.len() == 1 {
            let digits = without_fourth_in_a_row(&self.digits);
            if let Ok(number) = Self::plain(self.plus, digits, self.region).as_given(region) {
                return Ok(number);
            }
        }
        Err(SpokenNumberError::NoPhoneNumber(error))
    }

    /// Reads the digits without a guess at what may have been misheard.
    pub(super) fn as_given(
        &self,
        default_region: Option<Region>,
    ) -> Result<PhoneNumber, ParsePhoneNumberError> {
        let reading = Reading {
            plus: self.plus,
            digits: self.digits.clone(),
        };
        reading
            .phone_number(self.region.or(default_region))
            .map(|(number, _)| number)
    }

    fn ambiguity(&self) -> SpokenNumberError {
        SpokenNumberError::Ambiguous(match self.ranks.len() {
            1 => Ambiguity::Groups,
            _ => Ambiguity::Correction,
        })
    }

    fn of_run(run: &Run) -> Self {
        let plus = run.role != Role::Digits && run.role != Role::Extension;
        let (readings, all) = readings(run);
        let mut number = Self::plain(plus, readings[0].clone(), None);
        let doubtful =
            |readings: &[String]| readings.len() > 1 && !readings.iter().any(String::is_empty);
        if !all || run.groups.iter().any(|group| group.hopeless) {
            number.doubt = Some(Doubt::Hopeless(Ambiguity::Groups));
        } else if run.groups.iter().any(|group| doubtful(&group.readings)) {
            number.doubt = Some(Doubt::Settled);
        }
        let readings = readings.into_iter().map(|digits| Reading { plus, digits });
        number.ranks = vec![readings.collect()];
        number
    }

    /// `after`, said as a correction of this.
    fn corrected(&self, after: Self) -> Self {
        if after.plus || self.digits.len() < WORTH_CORRECTING || self.digits.len() > TOO_MANY {
            return after;
        }
        let before = |kept: usize, after: &Reading| Reading {
            plus: self.plus && kept > 0,
            digits: format!("{}{}", &self.digits[..kept], after.digits),
        };
        let (mut likely, mut possible) = (Vec::new(), Vec::new());
        for reading in &after.ranks[0] {
            if let Some(kept) = self.digits.len().checked_sub(reading.digits.len()) {
                let mut same_length = before(kept, reading);
                same_length.plus = self.plus;
                likely.push(same_length);
            }
            if reading.digits.len() >= A_WHOLE_NUMBER {
                likely.push(reading.clone());
            }
            possible.extend((0..=self.digits.len()).map(|kept| before(kept, reading)));
        }
        let natural = likely.first().unwrap_or(&after.ranks[0][0]).clone();
        Self {
            plus: natural.plus,
            digits: natural.digits,
            ranks: vec![likely, possible],
            doubt: self
                .doubt
                .filter(|doubt| *doubt != Doubt::Settled)
                .or(after.doubt),
            ..after
        }
    }

    fn with_country_code(self, code: &str) -> Self {
        let coded = |national: &str| {
            let national = national.strip_prefix('0').unwrap_or(national);
            format!("{code}{national}")
        };
        let readings = self.ranks[0].iter().map(|reading| Reading {
            plus: true,
            digits: coded(&reading.digits),
        });
        Self {
            ranks: vec![readings.collect()],
            doubt: self.doubt,
            ..Self::plain(true, coded(&self.digits), None)
        }
    }
}

impl Reading {
    /// The phone number, and whether it is one in national form.
    fn phone_number(
        &self,
        region: Option<Region>,
    ) -> Result<(PhoneNumber, bool), ParsePhoneNumberError> {
        if self.digits.len() > TOO_MANY {
            return Err(ParsePhoneNumberError::TooLong {
                digits: self.digits.len(),
            });
        }
        let international = international(&self.digits);
        if self.plus {
            return international.map(|number| (number, false));
        }
        let may_lack_plus = self.digits.len() >= SHORTEST_WITHOUT_PLUS;
        let national = PhoneNumber::parse(&self.digits, region);
        match (national, international) {
            (Ok(national), Ok(international)) if may_lack_plus && !national.is_assigned() => {
                Ok((international, false))
            }
            (Ok(national), _) => Ok((national, true)),
            (Err(_), Ok(international)) if may_lack_plus => Ok((international, false)),
            (Err(error), _) => Err(error),
        }
    }
}

/// Reads digits after a plus. A national prefix behind the country code is dropped, as people say it
/// who read from a letterhead: +44 (0)20 ….
fn international(digits: &str) -> Result<PhoneNumber, ParsePhoneNumberError> {
    (1..=3)
        .filter(|code| digits.as_bytes().get(*code) == Some(&b'0'))
        .find_map(|code| {
            let (code, rest) = (&digits[..code], &digits[code + 1..]);
            let number: PhoneNumber = format!("+{code}(0){rest}").parse().ok()?;
            (number.country_code() == code).then_some(number)
        })
        .map_or_else(|| format!("+{digits}").parse(), Ok)
}

/// The phone numbers among the readings, each once; national ones push out those whose plus was lost.
fn possible(readings: &[Reading], region: Option<Region>) -> Vec<PhoneNumber> {
    let found: Vec<_> = readings
        .iter()
        .filter_map(|reading| Some((reading.plus, reading.phone_number(region).ok()?)))
        .collect();
    let any_national = found.iter().any(|(_, (_, national))| *national);
    let mut numbers: Vec<_> = found
        .into_iter()
        .filter(|(plus, (_, national))| *plus || *national || !any_national)
        .map(|(_, (number, _))| number)
        .collect();
    numbers.sort();
    numbers.dedup();
    numbers
}

/// All readings of a run, the likeliest first, and whether these are all.
fn readings(run: &Run) -> (Vec<String>, bool) {
    let mut readings = vec![String::new()];
    let mut all = true;
    for group in &run.groups {
        let choices = match group.readings.len() * readings.len() <= MOST_READINGS {
            true => &group.readings[..],
            false => {
                all = false;
                &group.readings[..1]
            }
        };
        if let [only] = choices {
            readings
                .iter_mut()
                .for_each(|reading| reading.push_str(only));
        } else {
            readings = readings
                .iter()
                .flat_map(|reading| {
                    choices
                        .iter()
                        .map(move |choice| format!("{reading}{choice}"))
                })
                .collect();
        }
    }
    // "202 555 0143, 202 555 0143."
    let natural = &readings[0];
    let (one, other) = natural.split_at(natural.len() / 2);
    if one == other && one.len() >= A_WHOLE_NUMBER {
        readings.push(one.to_owned());
    }
    (readings, all)
}

/// The numbers of a sentence, with corrections, country codes and extensions in their places.
fn statements(tokens: &[Token]) -> Vec<SpokenNumber> {
    let mut found: Vec<SpokenNumber> = Vec::new();
    let mut code: Option<String> = None;
    let mut end = 0;
    for run in runs(tokens) {
        let mut number = SpokenNumber::of_run(&run);
        let bridge = bridge(&tokens[end..run.start]);
        end = run.end;
        match run.role {
            Role::Extension => {
                let extension = number.digits.clone();
                match found.last_mut() {
                    Some(before) => before.extension = Some(extension),
                    None => {
                        number.extension = Some(extension);
                        found.push(number);
                    }
                }
                continue;
            }
            Role::CountryCode if number.digits.len() <= 3 => {
                match found.pop_if(|before| !before.plus && before.digits.len() >= A_WHOLE_NUMBER) {
                    Some(before) => found.push(before.with_country_code(&number.digits)),
                    None => code = Some(number.digits),
                }
                continue;
            }
            Role::Digits => {
                if let Some(code) = code.take() {
                    number = number.with_country_code(&code);
                }
            }
            Role::Plus | Role::CountryCode => {}
        }
        match (bridge, found.pop()) {
            (Bridge::None, before) => found.extend(before),
            (Bridge::Restart, _) | (_, None) => {}
            (Bridge::Correction, Some(before)) => number = before.corrected(number),
            (Bridge::Unclear, Some(mut before)) => {
                before.doubt = Some(Doubt::Hopeless(Ambiguity::Correction));
                number.doubt = before.doubt;
                found.push(before);
            }
        }
        found.push(number);
    }
    if let (Some(code), []) = (code, found.as_slice()) {
        found.push(SpokenNumber::plain(true, code, None));
    }
    found
}

/// `155550001234` to `15550001234`.
fn without_fourth_in_a_row(digits: &str) -> String {
    let mut kept: Vec<char> = Vec::with_capacity(digits.len());
    for digit in digits.chars() {
        if !kept.ends_with(&[digit; 3]) {
            kept.push(digit);
        }
    }
    kept.into_iter().collect()
}

/// Digits from which a sentence is taken to hold a number worth listening to twice.
///
/// "One of your agents" has one digit, "extension four two" two.
const WORTH_A_SECOND_LOOK: usize = 3;

/// Digits from which a sentence can hold a whole phone number.
const WHOLE_NUMBER: usize = 7;

/// Whether a sentence seems to hold a phone number or a part of one.
pub fn has_number(text: &str) -> bool {
    let tokens = tokens(text);
    digits(&tokens) >= WORTH_A_SECOND_LOOK
        || tokens
            .iter()
            .any(|token| groups::repetition(token).is_some())
}

/// Whether a sentence has as many digits as a phone number in it, in whatever form.
pub(crate) fn has_whole_number(text: &str) -> bool {
    digits(&tokens(text)) >= WHOLE_NUMBER
}

fn digits(tokens: &[Token]) -> usize {
    runs(tokens).iter().map(Run::len).sum()
}

/// Whether a sentence breaks off in a phone number: more digits are likely to come.
pub fn is_unfinished_number(text: &str) -> bool {
    let tokens = tokens(text);
    if tokens.last().is_some_and(|token| token.kind == Kind::Plus) {
        return true;
    }
    match SpokenNumber::find(text) {
        None => false,
        Some(number) if number.plus => matches!(
            number.as_given(None),
            Err(ParsePhoneNumberError::TooShort { .. })
        ),
        Some(number) => (WORTH_A_SECOND_LOOK..NATIONAL_DIGITS).contains(&number.digits.len()),
    }
}

/// Digits that a national number has in most plans.
const NATIONAL_DIGITS: usize = 9;

#[cfg(test)]
mod tests;
