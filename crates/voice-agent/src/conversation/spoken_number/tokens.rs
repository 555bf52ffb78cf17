//! A transcript as words, figures and the joints between them.

/// A word, some figures or a sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// What lies between this token and the one before.
    pub(super) joint: Joint,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Plus,
    Figures(String),
    /// In lower case.
    Word(String),
}

/// How closely two tokens belong together; the later, the looser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Joint {
    Glued,
    Hyphen,
    Space,
    /// Punctuation.
    Break,
}

impl Token {
    pub(super) fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            Kind::Plus | Kind::Figures(_) => None,
        }
    }

    pub(super) fn is_any(&self, words: &[&str]) -> bool {
        self.word().is_some_and(|word| words.contains(&word))
    }
}

/// Whether `words` are said one after the other.
pub(super) fn says(tokens: &[Token], words: &[&str]) -> bool {
    tokens.windows(words.len()).any(|window| {
        let mut pairs = window.iter().zip(words);
        pairs.all(|(token, word)| token.is_any(&[word]))
    })
}

/// `"+1-555, Triple five's 2nd"` to plus, `1`, `555`, `triple`, `five's`, `2nd`.
///
/// Figures of other scripts become words: a digit that is dropped would make another number.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut joint = Joint::Break;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let mut run = String::from(c);
        let kind = if c == '+' {
            Kind::Plus
        } else if c.is_ascii_digit() {
            while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                run.push(digit);
            }
            Kind::Figures(run)
        } else if c.is_alphanumeric() {
            while let Some(letter) = rest.next_if(|c| c.is_alphabetic() || matches!(c, '\'' | '’'))
            {
                run.push(if letter == '’' { '\'' } else { letter });
            }
            match run.to_lowercase() {
                word if word == "plus" => Kind::Plus,
                word => Kind::Word(word),
            }
        } else {
            joint = joint.max(match c {
                '-' | '‐' | '‑' | '–' => Joint::Hyphen,
                ',' | '.' | ';' | ':' | '!' | '?' | '…' | '\n' => Joint::Break,
                _ => Joint::Space,
            });
            continue;
        };
        match (tokens.last_mut(), &kind) {
            (Some(figures), Kind::Word(word)) if joint == Joint::Glued && is_suffix(word) => {
                if let Kind::Figures(digits) = &figures.kind {
                    figures.kind = Kind::Word(format!("{digits}{word}"));
                }
            }
            _ => tokens.push(Token { kind, joint }),
        }
        joint = Joint::Glued;
    }
    tokens
}

/// What makes an ordinal, a time or an amount of figures: "2nd", "5pm", "10k".
fn is_suffix(word: &str) -> bool {
    matches!(
        word,
        "st" | "nd" | "rd" | "th" | "am" | "pm" | "k" | "m" | "kg" | "km" | "h" | "s" | "mb" | "gb"
    )
}
