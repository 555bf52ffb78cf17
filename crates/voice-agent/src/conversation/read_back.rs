//! Phone numbers as the agent says them: digit by digit, in groups.

use transfer_core::PhoneNumber;

/// `+15550001234` to "plus one, five five five, zero zero zero, one two three four".
pub(super) fn read_back(number: &PhoneNumber) -> String {
    let code = number.country_code();
    let national = &number.digits()[code.len()..];
    let groups = std::iter::once(code).chain(groups(code, national));
    format!("plus {}", groups.map(words).collect::<Vec<_>>().join(", "))
}

/// The digits of a part of a number, in groups of at most four.
pub(super) fn words_of(digits: &str) -> String {
    groups("", digits).map(words).collect::<Vec<_>>().join(", ")
}

pub(super) fn word(digit: char) -> &'static str {
    match digit {
        '1' => "one",
        '2' => "two",
        '3' => "three",
        '4' => "four",
        '5' => "five",
        '6' => "six",
        '7' => "seven",
        '8' => "eight",
        '9' => "nine",
        _ => "zero",
    }
}

fn words(digits: &str) -> String {
    digits.chars().map(word).collect::<Vec<_>>().join(" ")
}

/// As people of the country group them, where that is one way; else threes with a last group of two to
/// four.
fn groups<'a>(code: &str, national: &'a str) -> impl Iterator<Item = &'a str> {
    let mut sizes: &[usize] = match (code, national.len()) {
        ("1", 10) => &[3, 3, 4],
        ("91", 10) => &[5, 5],
        ("44", 10) if national.starts_with('2') => &[2, 4, 4],
        ("61", 9) => &[1, 4, 4],
        _ => &[],
    };
    let mut rest = national;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let size = match sizes {
            [size, others @ ..] => {
                sizes = others;
                *size
            }
            [] if rest.len() <= 4 => rest.len(),
            [] => 3,
        };
        let (group, others) = rest.split_at(size);
        rest = others;
        Some(group)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_in_their_groups() {
        let check = |number: &str, expect: &str| {
            assert_eq!(read_back(&number.parse().unwrap()), expect, "{number}");
        };
        check(
            "+15550001234",
            "plus one, five five five, zero zero zero, one two three four",
        );
        check(
            "+919876543210",
            "plus nine one, nine eight seven six five, four three two one zero",
        );
        check(
            "+442079460958",
            "plus four four, two zero, seven nine four six, zero nine five eight",
        );
        check(
            "+61255501234",
            "plus six one, two, five five five zero, one two three four",
        );
        check(
            "+4930123456",
            "plus four nine, three zero one, two three four, five six",
        );
        assert_eq!(words_of("1555000"), "one five five, five zero zero zero");
    }
}
