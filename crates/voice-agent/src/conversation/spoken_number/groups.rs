//! The groups that a number is said in: "five", "triple five", "twelve", "fifty-five", "eight hundred".

use super::tokens::{Joint, Kind, Token};

/// What one group may mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// The likeliest first; never empty. "Fifty five", with another five behind it, is 55 or 50 5.
    pub(super) readings: Vec<String>,
    /// Nobody knows what is meant, whatever length would fit: "double twelve".
    pub(super) hopeless: bool,
}

impl Group {
    pub(super) fn sure(digits: impl Into<String>) -> Self {
        Self::either(vec![digits.into()])
    }

    pub(super) fn either(readings: Vec<String>) -> Self {
        Self {
            readings,
            hopeless: false,
        }
    }

    pub(super) fn natural(&self) -> &str {
        &self.readings[0]
    }
}

/// The group at the start of `tokens`, and how many of them it takes.
pub(super) fn group(tokens: &[Token]) -> Option<(Group, usize)> {
    if let Some(times) = repetition(tokens.first()?) {
        return repeated(times, tokens);
    }
    if let Some(counted) = counted(tokens) {
        return Some((counted, 2));
    }
    let (count, mut used) = below_hundred(tokens)?;
    if count.natural().len() > 2 {
        return Some((count, used));
    }
    let scale = |at: usize, word| tokens.get(at).is_some_and(|token| token.is_any(&[word]));
    if scale(used, "hundred") {
        used += 1;
        if scale(used, "thousand") {
            return Some((with_zeros(&count, "00000"), used + 1));
        }
        return Some(with_rest(&count, "00", tokens, used, below_hundred));
    }
    if scale(used, "thousand") {
        return Some(with_rest(&count, "000", tokens, used + 1, below_thousand));
    }
    Some((count, used))
}

fn with_zeros(count: &Group, zeros: &str) -> Group {
    Group::either(
        count
            .readings
            .iter()
            .map(|n| format!("{n}{zeros}"))
            .collect(),
    )
}

/// "Seven hundred fifty five" is 755, or 700 and 55; "eight hundred five five five" is only 800 and 555.
fn with_rest(
    count: &Group,
    zeros: &str,
    tokens: &[Token],
    used: usize,
    parse: impl Fn(&[Token]) -> Option<(Group, usize)>,
) -> (Group, usize) {
    let alone = with_zeros(count, zeros);
    let and = tokens.get(used).is_some_and(|token| token.is_any(&["and"]));
    let start = used + usize::from(and);
    let Some(rest) = tokens.get(start..) else {
        return (alone, used);
    };
    let joined = rest
        .first()
        .is_some_and(|token| token.word().is_some() && token.joint < Joint::Break);
    let Some((rest, taken)) = parse(rest).filter(|_| joined) else {
        return (alone, used);
    };
    let end = start + taken;
    let goes_on = tokens.get(end).is_some_and(|next| {
        next.joint < Joint::Break && (is_numeric(next) || homophone(next).is_some())
    });
    if rest.natural().len() == 1 && goes_on {
        return (alone, used);
    }
    let mut readings = Vec::new();
    for count in &count.readings {
        for rest in &rest.readings {
            if rest.len() <= zeros.len() {
                readings.push(format!("{count}{rest:0>width$}", width = zeros.len()));
            }
            readings.push(format!("{count}{zeros}{rest}"));
        }
    }
    (Group::either(readings), end)
}

fn below_thousand(tokens: &[Token]) -> Option<(Group, usize)> {
    let (count, used) = below_hundred(tokens)?;
    match tokens.get(used) {
        Some(next) if count.natural().len() == 1 && next.is_any(&["hundred"]) => {
            Some(with_rest(&count, "00", tokens, used + 1, below_hundred))
        }
        _ => Some((count, used)),
    }
}

/// A digit, a teen, tens with or without a unit, or figures of any length.
fn below_hundred(tokens: &[Token]) -> Option<(Group, usize)> {
    let word = match &tokens.first()?.kind {
        Kind::Figures(figures) => return Some((Group::sure(figures), 1)),
        Kind::Word(word) => word,
        Kind::Plus => return None,
    };
    if let Some(digit) = digit(word) {
        return Some((Group::sure(digit), 1));
    }
    if let Some(teen) = teen(word) {
        return Some((Group::sure(teen), 1));
    }
    let tens = tens(word)?;
    let unit = tokens.get(1).and_then(|next| {
        let unit = single(next).filter(|unit| *unit != '0')?;
        Some((unit, next.joint))
    });
    let Some((unit, joint)) = unit else {
        return Some((Group::sure(format!("{tens}0")), 1));
    };
    let (one, two) = (format!("{tens}{unit}"), format!("{tens}0{unit}"));
    let another = tokens
        .get(2)
        .is_some_and(|next| next.joint < Joint::Break && is_numeric(next));
    let group = match joint {
        Joint::Glued | Joint::Hyphen => Group::sure(one),
        Joint::Space if another => Group::either(vec![one, two]),
        Joint::Space => Group::sure(one),
        // Nobody pauses within "fifty-five".
        Joint::Break => Group::sure(two),
    };
    Some((group, 2))
}

/// "Double nine", and Whisper's "double 9", "double 99" and "triple 5000" (for triple five, triple zero).
fn repeated(times: usize, tokens: &[Token]) -> Option<(Group, usize)> {
    let of = tokens.get(1)?;
    let group = match &of.kind {
        Kind::Figures(figures) => {
            let first = figures.chars().next()?;
            let written = figures.chars().take_while(|c| *c == first).count();
            if figures.len() > 1 && written >= times {
                Group::sure(figures)
            } else {
                let all = std::iter::repeat_n(first, times).chain(figures.chars().skip(1));
                Group::sure(all.collect::<String>())
            }
        }
        Kind::Word(word) => match digit(word)
            .or_else(|| plural(word))
            .or_else(|| homophone(of))
        {
            Some(digit) => Group::sure(repeat(digit, times)),
            None => {
                let (group, used) = below_hundred(&tokens[1..])?;
                let hopeless = Group {
                    readings: vec![group.natural().repeat(times)],
                    hopeless: true,
                };
                return Some((hopeless, used + 1));
            }
        },
        Kind::Plus => return None,
    };
    Some((group, 2))
}

/// "Three zeros".
fn counted(tokens: &[Token]) -> Option<Group> {
    let (count, of) = (tokens.first()?, tokens.get(1)?);
    let times = single(count).filter(|times| ('2'..='5').contains(times))?;
    let digit = plural(of.word()?)?;
    let repeated = repeat(digit, times.to_digit(10)? as usize);
    Some(Group::either(vec![repeated, format!("{times}{digit}")]))
}

fn repeat(digit: char, times: usize) -> String {
    std::iter::repeat_n(digit, times).collect()
}

pub(super) fn repetition(token: &Token) -> Option<usize> {
    match token.word()? {
        "double" | "doubles" => Some(2),
        "triple" | "triples" | "tripled" | "tripple" | "treble" | "trebles" => Some(3),
        "quadruple" => Some(4),
        _ => None,
    }
}

pub(super) fn is_numeric(token: &Token) -> bool {
    match &token.kind {
        Kind::Figures(_) => true,
        Kind::Word(word) => {
            digit(word).is_some()
                || teen(word).is_some()
                || tens(word).is_some()
                || repetition(token).is_some()
        }
        Kind::Plus => false,
    }
}

fn single(token: &Token) -> Option<char> {
    match &token.kind {
        Kind::Figures(figures) if figures.len() == 1 => figures.chars().next(),
        Kind::Word(word) => digit(word),
        Kind::Figures(_) | Kind::Plus => None,
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

fn plural(word: &str) -> Option<char> {
    match word {
        "ohs" | "o's" | "oh's" => return Some('0'),
        _ => {}
    }
    let singular = word.strip_suffix("es").and_then(digit);
    singular
        .or_else(|| word.strip_suffix("'s").and_then(digit))
        .or_else(|| word.strip_suffix('s').and_then(digit))
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
pub(super) fn homophone(token: &Token) -> Option<char> {
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
