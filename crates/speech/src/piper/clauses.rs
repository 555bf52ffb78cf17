//! Texts in pieces that are spoken one by one.

/// Splits a text after its commas and stops, so that the first piece is heard while the next is made.
///
/// Marks inside numbers and abbreviations do not split (`3.5`, `10,000`, `e.g.this`): a space must follow.
/// A piece keeps its mark and loses the spaces around it; pieces without a letter or digit are left out.
pub fn clauses(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest
            .char_indices()
            .zip(rest.chars().skip(1).map(Some).chain([None]))
            .find(|((_, c), next)| match c {
                ',' | ';' | ':' | '.' | '?' | '!' => next.is_none_or(char::is_whitespace),
                c => *c == '\n',
            })
            .map_or(rest.len(), |((at, c), _)| at + c.len_utf8());
        let (clause, remaining) = rest.split_at(end);
        rest = remaining;
        Some(clause.trim())
    })
    .filter(|clause| clause.contains(char::is_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fall_into_clauses() {
        let check = |text: &str, expect: &[&str]| {
            assert_eq!(clauses(text).collect::<Vec<_>>(), expect, "{text:?}");
        };
        check("", &[]);
        check("...", &[]);
        check("Sure.", &["Sure."]);
        check(
            "Sure, I am transferring you now. One moment please.",
            &["Sure,", "I am transferring you now.", "One moment please."],
        );
        check(
            "It costs 3.5 or 10,000. Yes?",
            &["It costs 3.5 or 10,000.", "Yes?"],
        );
        check("no mark at the end", &["no mark at the end"]);
        check("a line\nanother ¿é?", &["a line", "another ¿é?"]);
    }
}
