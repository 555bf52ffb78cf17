//! Phone numbers in the words that people use and the spellings that Whisper chooses.

use transfer_core::{ParsePhoneNumberError, PhoneNumber, Region};

/// Digits in a row as somebody said them; whether they are a phone number is another question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpokenNumber {
    /// "Plus" was said before them.
    pub plus: bool,
    /// ASCII digits, at least one.
    pub digits: String,
    /// The country that was named along with them.
    pub region: Option<Region>,
}

impl SpokenNumber {
    /// Finds the number in a sentence.
    ///
    /// After a correction ("no wait", "sorry", "I mean") only what follows counts. Of several runs of
    /// digits the last with a plus wins, else the longest.
    pub fn find(text: &str) -> Option<Self> {
        let tokens = tokens(text);
        let corrected = after_correction(&tokens);
        let run = best_run(runs(corrected)).or_else(|| best_run(runs(&tokens)))?;
        Some(Self {
            plus: run.plus,
            digits: run.digits,
            region: named_region(&tokens),
        })
    }

    /// Reads the digits as a phone number.
    ///
    /// Without a plus they are a national number of the named country, else of `default_region`, and
    /// only then an international one whose plus was lost on the way.
    /// Of a number that is too long, four equal digits in a row are taken for the three that were said:
    /// Whisper hears "five five five" as 5555. It is read back before anything is done with it.
    pub fn phone_number(
        &self,
        default_region: Option<Region>,
    ) -> Result<PhoneNumber, ParsePhoneNumberError> {
        match self.as_given(default_region) {
            Err(error @ ParsePhoneNumberError::TooLong { .. }) => {
                let shortened = Self {
                    digits: without_fourth_in_a_row(&self.digits),
                    ..self.clone()
                };
                shortened.as_given(default_region).map_err(|_| error)
            }
            result => result,
        }
    }

    /// Reads the digits without a guess at what may have been misheard.
    pub(super) fn as_given(
        &self,
        default_region: Option<Region>,
    ) -> Result<PhoneNumber, ParsePhoneNumberError> {
        let international = format!("+{}", self.digits).parse();
        if self.plus {
            return international;
        }
        let national = PhoneNumber::parse(&self.digits, self.region.or(default_region));
        match (national, international) {
            (Ok(national), Ok(international))
                if self.may_lack_plus() && !national.is_assigned() =>
            {
                Ok(international)
            }
            (Ok(national), _) => Ok(national),
            (Err(_), Ok(international)) if self.may_lack_plus() => Ok(international),
            (Err(error), _) => Err(error),
        }
    }

    fn may_lack_plus(&self) -> bool {
        self.digits.len() >= SHORTEST_WITHOUT_PLUS
    }
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

/// Digits from which a number without a plus may be an international one; national numbers have ten
/// at most in most plans.
const SHORTEST_WITHOUT_PLUS: usize = 11;

/// Digits from which a sentence is taken to hold a number worth listening to twice.
///
/// "One of your agents" has one digit, "extension four two" two.
const WORTH_A_SECOND_LOOK: usize = 3;

/// Whether a sentence seems to hold a phone number or a part of one.
pub fn has_number(text: &str) -> bool {
    let tokens = tokens(text);
    let digits: usize = runs(&tokens).iter().map(|run| run.digits.len()).sum();
    digits >= WORTH_A_SECOND_LOOK || tokens.iter().any(|token| repetition(token).is_some())
}

/// Whether a sentence breaks off in a phone number: more digits are likely to come.
pub fn is_unfinished_number(text: &str) -> bool {
    let tokens = tokens(text);
    if tokens.last() == Some(&Token::Plus) {
        return true;
    }
    match best_run(runs(after_correction(&tokens))) {
        None => false,
        Some(run) if run.plus => matches!(
            format!("+{}", run.digits).parse::<PhoneNumber>(),
            Err(ParsePhoneNumberError::TooShort { .. })
        ),
        Some(run) => (WORTH_A_SECOND_LOOK..NATIONAL_DIGITS).contains(&run.digits.len()),
    }
}

/// Digits that a national number has in most plans.
const NATIONAL_DIGITS: usize = 9;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Plus,
    Figures(String),
    Word(String),
}

impl Token {
    fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Plus | Self::Figures(_) => None,
        }
    }

    fn is_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }
}

/// `"+1-555, Triple five's"` to plus, `1`, `555`, `triple`, `five's`.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let mut run = String::from(c);
        if c == '+' {
            tokens.push(Token::Plus);
        } else if c.is_ascii_digit() {
            while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                run.push(digit);
            }
            tokens.push(Token::Figures(run));
        } else if c.is_alphabetic() {
            while let Some(letter) = rest.next_if(|c| c.is_alphabetic() || matches!(c, '\'' | '’'))
            {
                run.push(if letter == '’' { '\'' } else { letter });
            }
            match run.to_lowercase().as_str() {
                "plus" => tokens.push(Token::Plus),
                word => tokens.push(Token::Word(word.to_owned())),
            }
        }
    }
    tokens
}

/// What follows the last correction, if there is a number in it; else everything.
fn after_correction(tokens: &[Token]) -> &[Token] {
    const CORRECTIONS: [&[&str]; 11] = [
        &["no", "wait"],
        &["wait", "no"],
        &["no", "no"],
        &["no", "sorry"],
        &["sorry"],
        &["i", "mean"],
        &["i", "meant"],
        &["scratch", "that"],
        &["correction"],
        &["start", "again"],
        &["actually"],
    ];
    let start = (0..tokens.len())
        .rev()
        .find_map(|at| {
            CORRECTIONS.iter().find_map(|words| {
                let said = tokens.get(at..at + words.len())?;
                let same = said
                    .iter()
                    .zip(*words)
                    .all(|(token, word)| token.is_word(word));
                same.then_some(at + words.len())
            })
        })
        .unwrap_or(0);
    &tokens[start..]
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Run {
    plus: bool,
    digits: String,
}

fn best_run(runs: Vec<Run>) -> Option<Run> {
    let with_plus = runs.iter().rposition(|run| run.plus);
    match with_plus {
        Some(at) => runs.into_iter().nth(at),
        None => runs.into_iter().max_by_key(|run| run.digits.len()),
    }
}

/// All runs of digits, in order.
fn runs(tokens: &[Token]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut run = Run::default();
    let mut at = 0;
    while at < tokens.len() {
        let (token, next) = (&tokens[at], tokens.get(at + 1));
        let previous = at.checked_sub(1).map(|at| &tokens[at]);
        at += 1;
        if let Some((digits, used)) = digits(token, next, tokens.get(at + 1)) {
            run.digits.push_str(&digits);
            at += used - 1;
        } else if is_plus(token, next, run.digits.is_empty()) {
            close(&mut runs, &mut run);
            run.plus = true;
        } else if let Some(digit) = homophone(token) {
            // "To", "for" and the like are digits only in the company of digits.
            let before = !run.digits.is_empty() || previous.is_some_and(|t| t.is_word("extension"));
            let zero = digit == '0' && (before || next.is_some_and(is_numeric));
            let between =
                before && next.is_none_or(|next| is_numeric(next) || homophone(next).is_some());
            if zero || between {
                run.digits.push(digit);
            } else {
                close(&mut runs, &mut run);
            }
        } else if token.is_word("well") && !run.digits.is_empty() && next.is_some_and(is_numeric) {
            // "Twelve", over the telephone.
            run.digits.push_str("12");
        } else if !is_filler(token) {
            close(&mut runs, &mut run);
        }
    }
    close(&mut runs, &mut run);
    runs
}

fn close(runs: &mut Vec<Run>, run: &mut Run) {
    let run = std::mem::take(run);
    if !run.digits.is_empty() {
        runs.push(run);
    }
}

/// The digits that begin at `token`, and how many tokens they take.
fn digits(token: &Token, next: Option<&Token>, after: Option<&Token>) -> Option<(String, usize)> {
    if let (Some(times), Some(next)) = (repetition(token), next) {
        return repeated(times, next).map(|digits| (digits, 2));
    }
    let tens = token.word().and_then(tens);
    if let Some(tens) = tens {
        let unit = next.and_then(single).filter(|unit| *unit != '0');
        return Some(match unit {
            // "Fifty five hundred" is not "fifty" "five hundred".
            Some(unit) => (format!("{tens}{unit}"), 2),
            None => (format!("{tens}0"), 1),
        });
    }
    let number = match token {
        Token::Figures(figures) => figures.clone(),
        Token::Word(word) => digit(word)
            .map(String::from)
            .or_else(|| teen(word).map(str::to_owned))?,
        Token::Plus => return None,
    };
    match next {
        // "One eight hundred", "five thousand".
        Some(next) if next.is_word("hundred") => Some((number + "00", 2)),
        Some(next) if next.is_word("thousand") && after.and_then(single).is_none() => {
            Some((number + "000", 2))
        }
        _ => Some((number, 1)),
    }
}

/// "Double nine", and Whisper's "double 9", "double 99" and "triple 5000" (for triple five, triple zero).
fn repeated(times: usize, of: &Token) -> Option<String> {
    match of {
        Token::Figures(figures) => {
            let first = figures.chars().next()?;
            let written = figures.chars().take_while(|c| *c == first).count();
            if figures.len() > 1 && written >= times {
                return Some(figures.clone());
            }
            let all = std::iter::repeat_n(first, times).chain(figures.chars().skip(1));
            Some(all.collect())
        }
        Token::Word(word) => {
            let singular = word.strip_suffix("es").and_then(digit);
            let singular = singular.or_else(|| word.strip_suffix('s').and_then(digit));
            let digit = digit(word).or(singular).or_else(|| homophone(of))?;
            Some(std::iter::repeat_n(digit, times).collect())
        }
        Token::Plus => None,
    }
}

fn repetition(token: &Token) -> Option<usize> {
    match token.word()? {
        "double" | "doubles" => Some(2),
        "triple" | "triples" | "tripled" | "tripple" | "treble" => Some(3),
        "quadruple" => Some(4),
        _ => None,
    }
}

/// "Plus", and what Whisper makes of it over the telephone.
fn is_plus(token: &Token, next: Option<&Token>, first: bool) -> bool {
    let followed = next.is_some_and(|next| is_numeric(next) || homophone(next).is_some());
    match token {
        Token::Plus => followed,
        Token::Word(word) => {
            let alike = matches!(
                word.as_str(),
                "class" | "last" | "less" | "plush" | "pluses" | "bless" | "pulse"
            );
            first && alike && next.is_some_and(is_numeric)
        }
        Token::Figures(_) => false,
    }
}

fn is_numeric(token: &Token) -> bool {
    match token {
        Token::Figures(_) => true,
        Token::Word(word) => {
            digit(word).is_some()
                || teen(word).is_some()
                || tens(word).is_some()
                || repetition(token).is_some()
        }
        Token::Plus => false,
    }
}

fn single(token: &Token) -> Option<char> {
    match token {
        Token::Figures(figures) if figures.len() == 1 => figures.chars().next(),
        Token::Word(word) => digit(word),
        Token::Figures(_) | Token::Plus => None,
    }
}

fn digit(word: &str) -> Option<char> {
    Some(match word {
        "zero" | "nought" | "naught" | "nil" => '0',
        "one" => '1',
        "two" => '2',
        "three" => '3',
        "four" => '4',
        "five" => '5',
        "six" => '6',
        "seven" => '7',
        "eight" => '8',
        "nine" => '9',
        _ => return None,
    })
}

fn teen(word: &str) -> Option<&'static str> {
    Some(match word {
        "ten" => "10",
        "eleven" => "11",
        "twelve" => "12",
        "thirteen" => "13",
        "fourteen" => "14",
        "fifteen" => "15",
        "sixteen" => "16",
        "seventeen" => "17",
        "eighteen" => "18",
        "nineteen" => "19",
        _ => return None,
    })
}

fn tens(word: &str) -> Option<char> {
    Some(match word {
        "twenty" => '2',
        "thirty" => '3',
        "forty" | "fourty" => '4',
        "fifty" => '5',
        "sixty" => '6',
        "seventy" => '7',
        "eighty" => '8',
        "ninety" => '9',
        _ => return None,
    })
}

/// Words that sound like a digit and are usually something else.
fn homophone(token: &Token) -> Option<char> {
    Some(match token.word()? {
        "oh" | "o" | "owe" => '0',
        "won" => '1',
        "to" | "too" => '2',
        "tree" => '3',
        "for" | "fore" => '4',
        "fife" => '5',
        "sex" | "sicks" => '6',
        "ate" => '8',
        "niner" | "nein" => '9',
        _ => return None,
    })
}

/// Words that do not end a number.
fn is_filler(token: &Token) -> bool {
    token.word().is_some_and(|word| {
        matches!(
            word,
            "and" | "um" | "uh" | "er" | "then" | "dash" | "hyphen" | "space"
        )
    })
}

/// The country that a sentence names.
fn named_region(tokens: &[Token]) -> Option<Region> {
    const NAMES: [(&[&str], &str); 24] = [
        (&["india"], "IN"),
        (&["indian"], "IN"),
        (&["uk"], "GB"),
        (&["united", "kingdom"], "GB"),
        (&["england"], "GB"),
        (&["britain"], "GB"),
        (&["united", "states"], "US"),
        (&["usa"], "US"),
        (&["america"], "US"),
        (&["american"], "US"),
        (&["canada"], "CA"),
        (&["australia"], "AU"),
        (&["ireland"], "IE"),
        (&["new", "zealand"], "NZ"),
        (&["singapore"], "SG"),
        (&["germany"], "DE"),
        (&["france"], "FR"),
        (&["spain"], "ES"),
        (&["italy"], "IT"),
        (&["netherlands"], "NL"),
        (&["south", "africa"], "ZA"),
        (&["united", "arab", "emirates"], "AE"),
        (&["dubai"], "AE"),
        (&["japan"], "JP"),
    ];
    NAMES.iter().find_map(|(words, code)| {
        let named = tokens.windows(words.len()).any(|window| {
            window
                .iter()
                .zip(*words)
                .all(|(token, word)| token.is_word(word))
        });
        named.then(|| code.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expect: &str) {
        let found = SpokenNumber::find(text);
        let shown = found.map_or(String::new(), |number| {
            let plus = if number.plus { "+" } else { "" };
            format!("{plus}{}", number.digits)
        });
        assert_eq!(shown, expect, "{text:?}");
    }

    #[test]
    fn digit_by_digit() {
        check(
            "Transfer me to plus one, five five five, zero zero zero, one two three four.",
            "+15550001234",
        );
        check(
            "Plus nine one, nine eight seven six five, four three two one zero.",
            "+919876543210",
        );
        check(
            "Plus four four, two zero, seven nine four six, zero nine five eight.",
            "+442079460958",
        );
        check(
            "Call me on four one five, five five five, two six seven one.",
            "4155552671",
        );
        check(
            "It's plus one, six one seven, five five five, zero one nine nine.",
            "+16175550199",
        );
        check(
            "Two zero two, five five five, zero one four three.",
            "2025550143",
        );
        check(
            "Plus six one, two, five five five zero, one two three four.",
            "+61255501234",
        );
    }

    #[test]
    fn doubles_triples_teens_and_tens() {
        check(
            "Transfer me to plus one five five five, triple zero, one two three four",
            "+15550001234",
        );
        check(
            "Plus one, five fifty five, double zero zero, twelve thirty four.",
            "+15550001234",
        );
        check(
            "Plus one, triple five, triple zero, one two three four.",
            "+15550001234",
        );
        check(
            "Plus nine one, nine eight double seven six, five four three double one.",
            "+919877654311",
        );
        check(
            "Double nine, eight seven, double six, five four, triple three.",
            "99876654333",
        );
        check(
            "Oh two oh, seven nine four six, oh nine five eight.",
            "02079460958",
        );
        check(
            "Four one five, five fifty five, twenty six seventy one.",
            "4155552671",
        );
        check(
            "One eight hundred, five five five, one two three four.",
            "18005551234",
        );
        check(
            "The number is plus one, two one two, five five five, oh one oh one.",
            "+12125550101",
        );
        check("five fifty-five, two thousand", "5552000");
        check("nought two nought", "020");
        check("triple fives, double zeros, quadruple nine", "555009999");
    }

    #[test]
    fn the_spellings_of_whisper() {
        check("Transfer me to plus 1 555 000 1234.", "+15550001234");
        check("Transfer me to +1-555-000-1234.", "+15550001234");
        check("Transfer me to plus 1555 triple 0 1234", "+15550001234");
        check(
            "Transfer me to plus one five five five, triple-zero 1, 2, 3, 4.",
            "+15550001234",
        );
        check("plus 1, triple 5000 1234", "+15550001234");
        check("Plus 1, triple 555, double 00, 0 1234", "+15550001234");
        check("Double 9, 8, 7, double 6, 5, 4, triple 3.", "99876654333");
        check("double 0, 0", "000");
        check("+91 98765 43210", "+919876543210");
        check("919876543210", "919876543210");
        check("(202) 555-0143", "2025550143");
        check("Plus 9 won 9 8 7 6 5 4 3 2 1 0.", "+919876543210");
        check("plus one five five five oh oh oh 12:34", "+15550001234");
        check("Plus 1, 555, 000, $12.34", "+15550001234");
        check("five five five to six seven for one.", "55526741");
        check("Class 1 555 000 1234", "+15550001234");
        check(
            "Transfer me to last one five five five triple zero one two three four.",
            "+15550001234",
        );
        check("less 44 20 7946 0958", "+442079460958");
        check(
            "Transfer me to plus one five five five triples zero one two three four.",
            "+15550001234",
        );
        check(
            "Plus one five 55, double zero, zero, well 34.",
            "+15550001234",
        );
    }

    #[test]
    fn a_digit_too_many_in_a_run_is_dropped_from_a_number_that_is_too_long() {
        let number = |text: &str| {
            SpokenNumber::find(text)
                .expect("there is a number")
                .phone_number(None)
        };
        let expected: PhoneNumber = "+15550001234".parse().unwrap();
        for text in [
            "Transfer me to plus 15555-Tripple 01234",
            "plus 1 555 0000 1234",
            "plus 1 5555 0000 1234",
        ] {
            assert_eq!(number(text), Ok(expected.clone()), "{text}");
        }
        assert!(number("plus 1 555 000 12345").is_err());
    }

    #[test]
    fn corrections_take_what_follows() {
        check(
            "Transfer me to plus one, no wait, plus four four, two zero, seven nine four six, zero nine five eight.",
            "+442079460958",
        );
        check("+1 555 000 1235, sorry, +1 555 000 1234", "+15550001234");
        check("No no, plus one 555 000 1234", "+15550001234");
        check("plus one 555 000 1234, I mean", "+15550001234");
        check("I'm sorry, I don't have it", "");
    }

    #[test]
    fn extensions_and_tails() {
        check("Extension four two one.", "421");
        check("Extension for two one.", "421");
        check("Transfer me to extension one zero five.", "105");
        check("No, it ends in one two three five.", "1235");
    }

    #[test]
    fn sentences_without_a_number() {
        for text in [
            "Transfer me.",
            "Transfer me to a live agent.",
            "I want to talk to a real person.",
            "What is this for?",
            "I ate too much, so what?",
            "Oh, okay.",
            "",
        ] {
            check(text, "");
            assert!(!has_number(text), "{text}");
        }
        assert!(!has_number("Transfer me to one of your agents."));
        assert!(has_number("Transfer me to plus one five five"));
        assert!(has_number("It's triple something"));
    }

    #[test]
    fn numbers_that_break_off() {
        let check =
            |text: &str, expect: bool| assert_eq!(is_unfinished_number(text), expect, "{text}");
        check("Transfer me to plus one five five five", true);
        check("Transfer me to plus", true);
        check("five five five, triple zero", true);
        check("Transfer me to +1 555 000 1234.", false);
        check("202 555 0143", false);
        check("Transfer me to one of your agents.", false);
        check("Transfer me.", false);
    }

    #[test]
    fn numbers_are_read_with_plus_country_or_region() {
        let check = |text: &str, region: Option<&str>, expect: Result<&str, &str>| {
            let region = region.map(|region| region.parse().unwrap());
            let found = SpokenNumber::find(text).unwrap().phone_number(region);
            let found = found
                .map(|number| number.to_string())
                .map_err(|error| error.to_string());
            match (found, expect) {
                (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{text}"),
                (Err(found), Err(expect)) => assert!(found.contains(expect), "{text}: {found}"),
                (found, expect) => panic!("{text}: {found:?}, expected {expect:?}"),
            }
        };
        check("plus one 555 000 1234", None, Ok("+15550001234"));
        check("1 555 000 1234", None, Ok("+15550001234"));
        check("1 555 000 1234", Some("IN"), Ok("+15550001234"));
        check("91 98765 43210", None, Ok("+919876543210"));
        check("98765 43210", Some("IN"), Ok("+919876543210"));
        check("98765 43210 in India", None, Ok("+919876543210"));
        check("020 7946 0958 in the UK", Some("US"), Ok("+442079460958"));
        check("202 555 0143", None, Err("country code"));
        check("plus one 555 00 1234", None, Err("few"));
        check("plus one 555 000 12345", None, Err("many"));
        check("extension 105", Some("US"), Err("few"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", region in prop::option::of(Just("US"))) {
            let region = region.map(|region| region.parse().unwrap());
            let number = SpokenNumber::find(&text).and_then(|n| n.phone_number(region).ok());
            if let Some(number) = number {
                prop_assert_eq!(number.to_string().parse(), Ok(number));
            }
        }

        #[test]
        fn words_of_numbers_never_make_it_panic(words in prop::collection::vec(
            prop::sample::select(vec![
                "plus", "+", "one", "two", "to", "for", "oh", "zero", "zeros", "double", "triple",
                "twelve", "fifty", "hundred", "thousand", "99", "5", "000", "last", "and",
                "no", "wait", "sorry", "extension", "india",
            ]), 0..20))
        {
            let text = words.join(" ");
            if let Some(number) = SpokenNumber::find(&text) {
                prop_assert!(!number.digits.is_empty());
                prop_assert!(number.digits.bytes().all(|b| b.is_ascii_digit()));
                let _ = number.phone_number(None);
            }
        }

        #[test]
        fn every_number_said_digit_by_digit_is_found(digits in "[1-9][0-9]{6,14}") {
            let words: Vec<_> = digits.chars().map(super::super::read_back::word).collect();
            let found = SpokenNumber::find(&format!("Transfer me to plus {}.", words.join(" ")));
            prop_assert_eq!(found.map(|number| number.digits), Some(digits));
        }
    }
}
