//! Comparing what was to be said with what was understood.

/// The digits in a text, spoken or written: `plus one, 5 5 5` is `1555`.
pub fn digits(text: &str) -> String {
    words(text)
        .map(|word| spoken_digit(&word).map_or(word, str::to_owned))
        .flat_map(|word| {
            word.chars()
                .filter(char::is_ascii_digit)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// A text without the words for digits, which Whisper writes in many ways.
pub fn without_digits(text: &str) -> String {
    let others: Vec<_> = words(text)
        .filter(|word| spoken_digit(word).is_none())
        .collect();
    others.join(" ")
}

fn spoken_digit(word: &str) -> Option<&'static str> {
    Some(match word {
        "zero" | "oh" => "0",
        "one" => "1",
        "two" => "2",
        "three" => "3",
        "four" => "4",
        "five" => "5",
        "six" => "6",
        "seven" => "7",
        "eight" => "8",
        "nine" => "9",
        _ => return None,
    })
}

/// The share of a sentence's words that must be understood of a recording, for the sentence to count as heard:
/// Whisper is sometimes wrong.
pub const UNDERSTOOD: f64 = 0.7;

/// The share of the words of `said`, 0 to 1, that occur in `heard`.
pub fn share_understood(said: &str, heard: &str) -> f64 {
    let (understood, said) = understood(said, heard);
    understood as f64 / said.max(1) as f64
}

/// How many of the words of `said` occur in `heard`, and how many there are.
pub fn understood(said: &str, heard: &str) -> (usize, usize) {
    let mut there: Vec<_> = words(heard).collect();
    let said: Vec<_> = words(said).collect();
    let found = said.iter().filter(|word| {
        let position = there.iter().position(|other| other == *word);
        position.map(|at| there.swap_remove(at)).is_some()
    });
    (found.count(), said.len())
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_as_words_and_as_figures() {
        assert_eq!(
            digits("plus one, five 5 five. Zero-zero 0, 1234?"),
            "15550001234"
        );
        assert_eq!(digits("Is that right?"), "");
        assert_eq!(
            without_digits("To plus one, oh 5. Right?"),
            "to plus 5 right"
        );
    }

    #[test]
    fn a_word_counts_once_for_each_time_it_was_understood() {
        let share = |said, understood| (share_understood(said, understood) * 100.0).round();
        assert_eq!(share("One moment, please.", "one moment please"), 100.0);
        assert_eq!(share("no no", "no"), 50.0);
        assert_eq!(share("The line is busy.", "hello"), 0.0);
    }
}
