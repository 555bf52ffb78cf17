//! A text in whole sentences while it is still being written.

use speech::clauses;

/// Words before a full stop that do not end a sentence, besides single letters: `Mr. Miller`, `J. Smith`, `9 a.m.`.
const ABBREVIATIONS: [&str; 10] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "etc",
];

/// What has been written and not been taken.
#[derive(Debug, Default)]
pub(super) struct Sentences {
    text: String,
}

impl Sentences {
    pub(super) fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
    }

    /// Takes as few of the sentences that are complete as make `shortest` characters, so that "Sure." comes with what
    /// follows it.
    ///
    /// A sentence is complete when something follows its mark: `3.` may become `3.5`.
    pub(super) fn take(&mut self, shortest: usize) -> Option<String> {
        let ends = self.text.char_indices().filter_map(|(at, mark)| {
            let end = at + mark.len_utf8();
            let (sentence, rest) = self.text.split_at(end);
            let ends = match mark {
                '?' | '!' => rest.starts_with(char::is_whitespace),
                '.' => rest.starts_with(char::is_whitespace) && !is_abbreviated(sentence),
                mark => mark == '\n',
            };
            ends.then_some(end)
        });
        let mut taken = ends.map(|end| (end, spoken(&self.text[..end])));
        let (end, sentence) = taken.find(|(_, sentence)| {
            sentence.chars().count() >= shortest && clauses(sentence).next().is_some()
        })?;
        self.text.drain(..end);
        Some(sentence)
    }

    /// Takes all the rest; `None` when there is nothing.
    pub(super) fn rest(&mut self) -> Option<String> {
        Some(spoken(&std::mem::take(&mut self.text))).filter(|rest| !rest.is_empty())
    }
}

fn spoken(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the full stop at the end belongs to the word before it.
fn is_abbreviated(text: &str) -> bool {
    let word = text.trim_end_matches('.');
    let word = word
        .rsplit(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or_default();
    let mut letters = word.chars();
    let is_letter =
        matches!((letters.next(), letters.next()), (Some(c), None) if c.is_alphabetic());
    is_letter || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sentences of a text that comes character by character, and what is left of it.
    fn written(text: &str, shortest: usize) -> (Vec<String>, Option<String>) {
        let mut sentences = Sentences::default();
        let mut taken = Vec::new();
        for character in text.chars() {
            sentences.push(character.encode_utf8(&mut [0; 4]));
            taken.extend(sentences.take(shortest));
        }
        (taken, sentences.rest())
    }

    #[test]
    fn a_sentence_is_complete_when_something_follows_its_mark() {
        let check = |text: &str, sentences: &[&str], rest: Option<&str>| {
            let (taken, left) = written(text, 0);
            assert_eq!(taken, sentences, "{text:?}");
            assert_eq!(left.as_deref(), rest, "{text:?}");
        };
        check("", &[], None);
        check("We open at nine.", &[], Some("We open at nine."));
        check("Yes! Why?  Ask", &["Yes!", "Why?"], Some("Ask"));
        check(
            "It is 3.5 or 10,000. Yes",
            &["It is 3.5 or 10,000."],
            Some("Yes"),
        );
        check(
            "Mr. J. Smith of St. Ives is in. He",
            &["Mr. J. Smith of St. Ives is in."],
            Some("He"),
        );
        check(
            "At 9 a.m. or e.g. ten. Or",
            &["At 9 a.m. or e.g. ten."],
            Some("Or"),
        );
        check("One\nline\u{a0}of  it.\n", &["One", "line of it."], None);
        check("... Well. So", &["... Well."], Some("So"));
        check(
            "\u{bf}Qu\u{e9}? S\u{ed}",
            &["\u{bf}Qu\u{e9}?"],
            Some("S\u{ed}"),
        );
    }

    #[test]
    fn a_short_sentence_comes_with_the_next_one() {
        let (taken, rest) = written("Sure. We open at nine every day. On Sundays", 20);
        assert_eq!(taken, ["Sure. We open at nine every day."]);
        assert_eq!(rest.as_deref(), Some("On Sundays"));
    }

    #[test]
    fn what_came_at_once_is_taken_one_by_one() {
        let mut sentences = Sentences::default();
        sentences.push("We open at nine. We close at five. And");
        assert_eq!(sentences.take(10).as_deref(), Some("We open at nine."));
        assert_eq!(sentences.take(10).as_deref(), Some("We close at five."));
        assert_eq!(sentences.take(10), None);
    }
}
