//! The agent's own words, which come back on a line without echo cancellation.

use super::intent::Sentence;

/// The part of the words that a recognition has right, at least, of a faint echo.
const UNDERSTOOD: f64 = 0.7;

/// Whether `heard`, which is not empty, may be a part of what the agent says, as a recognition writes it.
pub(super) fn is_echo(heard: &str, said: &str) -> bool {
    let (heard, said) = (Sentence::new(heard), Sentence::new(said));
    let heard: Vec<_> = heard.words().collect();
    let said: Vec<_> = said.words().collect();
    if heard.is_empty() || said.is_empty() {
        return false;
    }
    // A word that was heard as another one takes the place of one that was said.
    let length = (heard.len() + 1).min(said.len());
    let understood = said.windows(length).map(|part| in_common(&heard, part));
    understood.max().unwrap_or_default() as f64 >= UNDERSTOOD * heard.len() as f64
}

/// How many words two texts have in common, in the same order.
fn in_common(a: &[&str], b: &[&str]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for word in a {
        let mut before = 0;
        for (n, other) in b.iter().enumerate() {
            let above = row[n + 1];
            row[n + 1] = match word == other {
                true => before + 1,
                false => above.max(row[n]),
            };
            before = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Hello, this is Ada of Example Travel. We sell train tickets to every large city in \
                        Europe. How can I help?";

    #[test]
    fn what_the_agent_says_comes_back() {
        for heard in [
            "Hello, this is Ada of example travel.",
            "this is a day of example travel",
            "We sell train tickets",
            "tickets to every large city in Europe. How can I...",
            "How can I help?",
            "of example.",
        ] {
            assert!(is_echo(heard, SAID), "{heard}");
        }
    }

    #[test]
    fn what_a_person_says_does_not() {
        for heard in [
            "",
            "Goodbye.",
            "Can you?",
            "Hello, who is this?",
            "Can you help me?",
            "I want to go to Europe.",
            "Transfer me to a live agent.",
            "How can I help you with that? I want a ticket.",
        ] {
            assert!(!is_echo(heard, SAID), "{heard}");
        }
        assert!(!is_echo("How can I help?", ""));
    }
}
