//! Departments that callers ask for by name: "transfer me to sales", "billing, please".

use transfer_core::policy::Destination;

use super::intent::Intent;

/// What a sentence says about departments.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish<'a> {
    /// It asks for none.
    None,
    Department(&'a Destination),
    /// It asks for one that there is not, or for several.
    Unclear,
}

/// Words that may stand around a name without changing what is wanted.
const FILLERS: &[&str] = &[
    "a",
    "an",
    "and",
    "at",
    "department",
    "desk",
    "give",
    "hello",
    "hi",
    "i",
    "in",
    "just",
    "like",
    "line",
    "me",
    "my",
    "need",
    "now",
    "of",
    "office",
    "ok",
    "okay",
    "one",
    "our",
    "please",
    "sure",
    "team",
    "thank",
    "thanks",
    "that",
    "the",
    "then",
    "to",
    "uh",
    "um",
    "want",
    "with",
    "would",
    "yeah",
    "yes",
    "you",
    "your",
];

/// Whoever asks for these wants the default number.
const ANYBODY: &[&str] = &[
    "agent",
    "agents",
    "anybody",
    "anyone",
    "being",
    "boss",
    "colleague",
    "colleagues",
    "customer",
    "default",
    "else",
    "her",
    "him",
    "human",
    "humans",
    "it",
    "live",
    "manager",
    "member",
    "number",
    "operator",
    "operators",
    "people",
    "person",
    "real",
    "rep",
    "representative",
    "representatives",
    "service",
    "somebody",
    "someone",
    "staff",
    "supervisor",
    "them",
];

/// They begin another thought: "to somebody about my invoice".
const BREAKS: &[&str] = &[
    "about",
    "as",
    "because",
    "before",
    "but",
    "concerning",
    "for",
    "here",
    "if",
    "immediately",
    "on",
    "regarding",
    "right",
    "since",
    "so",
    "there",
    "today",
    "when",
    "which",
    "who",
];

/// Finds the department that a sentence asks for. A name that is only mentioned is no wish: "I have a
/// question about sales".
pub(super) fn wish<'a>(text: &str, intent: Intent, departments: &'a [Destination]) -> Wish<'a> {
    let words: Vec<_> = text
        .split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let transfer = intent == Intent::Transfer;
    let mut named = departments.iter().filter_map(|department| {
        let place = place_of(department, &words)?;
        Some((department, place))
    });
    match (named.next(), named.next()) {
        (Some((department, (start, end))), None) => {
            let mut around = words[..start].iter().chain(&words[end..]);
            match transfer || around.all(|word| FILLERS.contains(&word.as_str())) {
                true => Wish::Department(department),
                false => Wish::None,
            }
        }
        (Some(_), Some(_)) if transfer => Wish::Unclear,
        (None, _) if transfer && !departments.is_empty() && names_somebody(&words) => Wish::Unclear,
        _ => Wish::None,
    }
}

/// Names the departments in a question: "sales, billing or tech support".
pub(super) fn list(departments: &[Destination]) -> String {
    let names: Vec<_> = departments.iter().map(|d| d.name.as_str()).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Where the name stands among the words; "tech support" is also heard as "techsupport".
fn place_of(department: &Destination, words: &[String]) -> Option<(usize, usize)> {
    let name = department.name.as_str();
    let count = name.split(' ').count();
    let spelled = words
        .windows(count)
        .position(|window| window.iter().eq(name.split(' ')));
    let compact = || {
        let name = name.replace(' ', "");
        words.iter().position(|word| *word == name)
    };
    spelled
        .map(|start| (start, start + count))
        .or_else(|| compact().map(|start| (start, start + 1)))
}

/// Whether somebody in particular is asked for: "to marketing", but not "to a live agent".
fn names_somebody(words: &[String]) -> bool {
    let is_link = |word: &String| ["to", "with"].contains(&word.as_str());
    let Some(link) = words.iter().rposition(is_link) else {
        return false;
    };
    words[link + 1..]
        .iter()
        .map(String::as_str)
        .take_while(|word| !BREAKS.contains(word))
        .any(|word| !FILLERS.contains(&word) && !ANYBODY.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn departments() -> Vec<Destination> {
        [
            ("sales", "+15550000001"),
            ("billing", "+15550000002"),
            ("tech support", "+15550000003"),
        ]
        .map(|(name, number)| Destination {
            name: name.parse().unwrap(),
            number: number.parse().unwrap(),
        })
        .to_vec()
    }

    #[test]
    fn a_department_is_wanted_when_it_is_asked_for_and_not_when_it_is_mentioned() {
        for (text, expect) in [
            ("Transfer me to sales.", "sales"),
            ("Transfer me to the Sales department, please.", "sales"),
            ("Can I speak to tech support?", "tech support"),
            ("techsupport please", "tech support"),
            ("Billing, please.", "billing"),
            (
                "I'd like to talk with someone in billing about my invoice.",
                "billing",
            ),
            ("Sales.", "sales"),
            ("Yes, sales.", "sales"),
            ("I have a question about sales.", "none"),
            ("Not sales.", "none"),
            ("What are your sales?", "none"),
            ("Transfer me.", "none"),
            ("Transfer me to a live agent.", "none"),
            ("I want to talk to a real person.", "none"),
            ("Please transfer me to one of your agents.", "none"),
            ("Transfer me to somebody about my invoice.", "none"),
            ("Transfer me to marketing.", "unclear"),
            ("Put me through to the complaints department.", "unclear"),
            ("Transfer me to sales or billing.", "unclear"),
        ] {
            let departments = departments();
            let found = match wish(text, Intent::of(text), &departments) {
                Wish::None => "none",
                Wish::Unclear => "unclear",
                Wish::Department(department) => department.name.as_str(),
            };
            assert_eq!(found, expect, "{text}");
        }
    }

    #[test]
    fn without_departments_nobody_is_asked_which_one() {
        let text = "Put me through to billing.";
        assert_eq!(wish(text, Intent::of(text), &[]), Wish::None);
    }

    #[test]
    fn departments_are_listed_as_people_do() {
        assert_eq!(list(&departments()), "sales, billing or tech support");
        assert_eq!(list(&departments()[..1]), "sales");
    }
}
