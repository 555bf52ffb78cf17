//! Runs of groups in a sentence, and what the words around them say that they are.

use super::{
    groups::{Group, group, homophone, is_numeric},
    tokens::{Joint, Kind, Token, says},
};

/// Groups in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) role: Role,
    pub(super) groups: Vec<Group>,
    /// The tokens from the first group to the end of the last.
    pub(super) start: usize,
    pub(super) end: usize,
    /// A "to" or "for" was taken for a digit.
    homophones: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Digits,
    /// "Plus" came before it.
    Plus,
    /// "Country code" came before it.
    CountryCode,
    /// "Extension" came before it.
    Extension,
}

impl Run {
    /// How many digits it has in its likeliest reading.
    pub(super) fn len(&self) -> usize {
        self.groups.iter().map(|group| group.natural().len()).sum()
    }
}

/// The runs that may be phone numbers or parts of one, in order: no times, dates, amounts and counts.
pub(super) fn runs(tokens: &[Token]) -> Vec<Run> {
    let all = all_runs(tokens);
    let sum = |at: usize| is_sum(&all, at);
    all.iter()
        .enumerate()
        .filter(|(at, run)| !sum(*at) && !sum(at + 1) && may_be_a_number(run, tokens))
        .map(|(_, run)| run.clone())
        .collect()
}

struct Runs<'a> {
    tokens: &'a [Token],
    runs: Vec<Run>,
    open: Option<Run>,
    next: Role,
}

impl Runs<'_> {
    fn push(&mut self, group: Group, at: usize, used: usize, homophones: bool) {
        let role = std::mem::replace(&mut self.next, Role::Digits);
        let run = self.open.get_or_insert(Run {
            role,
            groups: Vec::new(),
            start: at,
            end: at,
            homophones: false,
        });
        run.groups.push(group);
        run.end = at + used;
        run.homophones |= homophones;
    }

    fn close(&mut self, next: Role) {
        self.runs.extend(self.open.take());
        self.next = next;
    }

    fn after_extension(&self) -> bool {
        self.open.is_none() && self.next == Role::Extension
    }

    /// "To", "for" and the like are digits only in the company of digits.
    fn homophone(&mut self, at: usize, digit: char, leads_to_number: bool) {
        let (tokens, inside) = (self.tokens, self.open.is_some());
        let before = inside || self.after_extension();
        let next = tokens.get(at + 1);
        let between =
            before && next.is_none_or(|next| is_numeric(next) || homophone(next).is_some());
        let group = match (digit, next) {
            // "Oh, two zero two": a nought or a sigh.
            ('0', Some(next)) if !inside && leads_to_number && next.joint == Joint::Break => {
                Group::either(vec!["0".to_owned(), String::new()])
            }
            ('0', _) if before || leads_to_number => Group::sure(digit),
            // "... one two three four too."
            (_, None) if inside => Group::either(vec![digit.into(), String::new()]),
            _ if between => Group::sure(digit),
            _ => return self.close(Role::Digits),
        };
        self.push(group, at, 1, digit != '0');
    }
}

fn all_runs(tokens: &[Token]) -> Vec<Run> {
    let leads_to_number = leading_noughts(tokens);
    let mut runs = Runs {
        tokens,
        runs: Vec::new(),
        open: None,
        next: Role::Digits,
    };
    let mut at = 0;
    while at < tokens.len() {
        let (token, next) = (&tokens[at], tokens.get(at + 1));
        let here = at;
        at += 1;
        if let Some((group, used)) = group(&tokens[here..]) {
            runs.push(group, here, used, false);
            at = here + used;
        } else if token.kind == Kind::Plus {
            let code = runs.open.is_none() && runs.next == Role::CountryCode;
            runs.close(if code { Role::CountryCode } else { Role::Plus });
        } else if is_country_code(&tokens[..at]) {
            runs.close(Role::CountryCode);
        } else if token.is_any(&["extension", "ext", "extn"])
            || (token.is_any(&["x"]) && runs.open.is_some())
        {
            runs.close(Role::Extension);
        } else if runs.open.is_none() && sounds_like_plus(token) && next.is_some_and(is_numeric) {
            runs.close(Role::Plus);
        } else if let Some(digit) = homophone(token) {
            runs.homophone(here, digit, leads_to_number[here]);
        } else if token.is_any(&["well"]) && runs.open.is_some() && next.is_some_and(is_numeric) {
            // "Twelve", over the telephone.
            runs.push(Group::sure("12"), here, 1, false);
        } else if !(is_filler(token) || runs.open.is_none() && token.is_any(COPULAS)) {
            runs.close(Role::Digits);
        }
    }
    runs.close(Role::Digits);
    runs.runs
}

/// For each token, whether it is followed by a number, with nothing but "oh" between.
fn leading_noughts(tokens: &[Token]) -> Vec<bool> {
    let mut leads = vec![false; tokens.len()];
    for at in (0..tokens.len().saturating_sub(1)).rev() {
        let next = &tokens[at + 1];
        leads[at] = is_numeric(next) || (homophone(next) == Some('0') && leads[at + 1]);
    }
    leads
}

fn is_country_code(said: &[Token]) -> bool {
    const KINDS: &[&str] = &[
        "country",
        "dialing",
        "dialling",
        "calling",
        "international",
        "isd",
    ];
    match said {
        [.., kind, code] => kind.is_any(KINDS) && code.is_any(&["code"]),
        _ => false,
    }
}

/// What Whisper makes of "plus" over the telephone.
fn sounds_like_plus(token: &Token) -> bool {
    token.is_any(&["class", "last", "less", "plush", "pluses", "bless", "pulse"])
}

/// Words that do not end a number.
fn is_filler(token: &Token) -> bool {
    token.is_any(&[
        "and",
        "um",
        "umm",
        "uh",
        "er",
        "erm",
        "ah",
        "hmm",
        "mm",
        "then",
        "dash",
        "dashes",
        "hyphen",
        "minus",
        "space",
        "dot",
        "point",
        "comma",
        "pause",
        "slash",
        "bracket",
        "brackets",
        "parenthesis",
        "open",
        "close",
        "followed",
        "by",
        "okay",
        "ok",
        "yeah",
    ])
}

/// Between "country code" or "extension" and its digits.
const COPULAS: &[&str] = &["is", "number", "it's", "of", "the"];

/// "Two plus two".
fn is_sum(runs: &[Run], at: usize) -> bool {
    match (
        at.checked_sub(1).and_then(|before| runs.get(before)),
        runs.get(at),
    ) {
        (Some(one), Some(other)) => {
            other.role == Role::Plus
                && one.role == Role::Digits
                && one.end + 1 == other.start
                && one.len() <= 2
                && other.len() <= 3
        }
        _ => false,
    }
}

/// Digits from which words around are no longer asked what the digits are.
const A_NUMBER: usize = 7;

fn may_be_a_number(run: &Run, tokens: &[Token]) -> bool {
    match run.role {
        Role::Plus | Role::CountryCode | Role::Extension => return true,
        Role::Digits => {}
    }
    let before = |back: usize| run.start.checked_sub(back).and_then(|at| tokens.get(at));
    let said_before = |back: usize, words| before(back).is_some_and(|token| token.is_any(words));
    let next = tokens.get(run.end);
    // "One moment", but not "one. Days later".
    let close = next.filter(|next| next.joint < Joint::Break);
    if close.is_some_and(|next| next.is_any(COUNTED)) || names_something_else(run, tokens) {
        return false;
    }
    if run.len() >= A_NUMBER {
        return true;
    }
    if close.is_some_and(|next| next.is_any(CLOSE_BEHIND)) {
        return false;
    }
    if run.homophones || said_before(1, MONTHS) || close.is_some_and(|next| next.is_any(MONTHS)) {
        return false;
    }
    let ends_in = said_before(2, &["ends", "end", "ending", "ended"]);
    if said_before(1, TIME_COMES) && run.len() <= 4 && !ends_in {
        return false;
    }
    if run.len() > 2 {
        return true;
    }
    // "No one", but "no, one two".
    let lone = run.len() == 1 || !said_before(1, &["no", "that"]);
    let one_of_many = said_before(1, ONE_OF_MANY) && lone;
    !(one_of_many && tokens[run.start].joint < Joint::Break)
        && close
            .is_none_or(|next| next.is_any(&["please", "thanks", "thank", "sorry", "no", "not"]))
}

/// Things that are counted or measured.
const COUNTED: &[&str] = &[
    "thing",
    "things",
    "moment",
    "moments",
    "second",
    "seconds",
    "minute",
    "minutes",
    "min",
    "mins",
    "hour",
    "hours",
    "day",
    "days",
    "week",
    "weeks",
    "month",
    "months",
    "year",
    "years",
    "time",
    "times",
    "question",
    "questions",
    "people",
    "persons",
    "person",
    "agents",
    "agent",
    "of",
    "percent",
    "dollars",
    "dollar",
    "pounds",
    "euros",
    "euro",
    "rupees",
    "cents",
    "degrees",
    "miles",
    "kilometers",
    "kilometres",
    "meters",
    "metres",
    "o'clock",
    "am",
    "pm",
    "kids",
    "children",
    "calls",
    "orders",
    "items",
    "tickets",
    "million",
    "billion",
    "lakh",
    "crore",
    "units",
    "employees",
    "customers",
    "users",
    "bucks",
    "grand",
    "hundredths",
    "street",
    "avenue",
    "road",
    "years'",
    "star",
    "stars",
    "options",
    "ways",
    "bedroom",
    "bedrooms",
    "nights",
    "guests",
    "rooms",
    "characters",
    "digits",
    "steps",
    "quarters",
];

/// Behind a short run: "one or two", "ten a.m.", "two and a half".
const CLOSE_BEHIND: &[&str] = &["or", "a", "p", "half", "other", "others", "another", "more"];

const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// A time or a year follows.
const TIME_COMES: &[&str] = &[
    "at", "in", "since", "until", "till", "before", "after", "around", "about", "almost", "nearly",
    "over", "only", "just", "year", "was", "were", "room", "page", "chapter", "gate", "flight",
    "version", "route", "highway", "level", "floor", "platform", "bus", "train", "step", "line",
    "covid", "windows", "iphone", "costs", "cost", "paid", "pay", "than", "between", "from", "for",
    "have", "has", "get", "of",
];

const ONE_OF_MANY: &[&str] = &[
    "this", "that", "which", "no", "every", "any", "each", "some", "the", "another", "a", "last",
    "first", "next", "only", "someone", "good", "wrong", "right", "other", "have", "press",
    "option", "and", "new", "old",
];

/// "My order number is": a number, and none to call.
fn names_something_else(run: &Run, tokens: &[Token]) -> bool {
    const IDS: &[&str] = &[
        "order",
        "account",
        "ticket",
        "reference",
        "invoice",
        "customer",
        "serial",
        "tracking",
        "policy",
        "case",
        "booking",
        "confirmation",
        "card",
        "pin",
        "zip",
        "postcode",
        "postal",
        "membership",
        "member",
        "passport",
        "visa",
        "license",
        "licence",
        "social",
        "security",
        "tax",
        "employee",
        "student",
        "batch",
        "part",
        "model",
        "vin",
        "iban",
        "sort",
        "claim",
        "receipt",
        "transaction",
        "parcel",
        "room",
        "code",
        "password",
        "passcode",
        "id",
        "identification",
    ];
    const PHONES: &[&str] = &[
        "phone",
        "telephone",
        "mobile",
        "cell",
        "call",
        "dial",
        "transfer",
        "country",
        "area",
    ];
    let lead = &tokens[run.start.saturating_sub(4)..run.start];
    lead.iter().any(|word| word.is_any(IDS)) && !lead.iter().any(|word| word.is_any(PHONES))
}

/// What the words between two runs say about the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bridge {
    /// Nothing.
    None,
    /// "Sorry", "no", "I mean": what follows takes the place of what was said, or of its end.
    Correction,
    /// "Start again": what was said before does not count.
    Restart,
    /// "Not", "instead of": either may be the wrong one.
    Unclear,
}

pub(super) fn bridge(between: &[Token]) -> Bridge {
    const RESTARTS: &[&[&str]] = &[
        &["start", "again"],
        &["start", "over"],
        &["begin", "again"],
        &["the", "beginning"],
        &["scratch", "all"],
        &["forget", "that"],
        &["forget", "it"],
        &["once", "more"],
        &["that", "again"],
    ];
    const UNCLEAR: &[&[&str]] = &[&["not"], &["instead"], &["rather"], &["except"], &["isn't"]];
    const CORRECTIONS: &[&[&str]] = &[
        &["no"],
        &["nope"],
        &["wait"],
        &["sorry"],
        &["actually"],
        &["correction"],
        &["oops"],
        &["whoops"],
        &["scratch", "that"],
        &["strike", "that"],
        &["make", "that"],
        &["make", "it"],
        &["i", "mean"],
        &["i", "meant"],
        &["my", "mistake"],
        &["my", "bad"],
        &["excuse", "me"],
        &["pardon"],
        &["apologies"],
        &["wrong"],
        &["hang", "on"],
        &["hold", "on"],
    ];
    let said = |phrases: &[&[&str]]| phrases.iter().any(|words| says(between, words));
    if said(RESTARTS) {
        Bridge::Restart
    } else if said(UNCLEAR) {
        Bridge::Unclear
    } else if said(CORRECTIONS) {
        Bridge::Correction
    } else {
        Bridge::None
    }
}
