//! What a sentence is for.

/// The purpose of a sentence, numbers aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    Transfer,
    /// "Don't transfer me."
    DoNotTransfer,
    Yes,
    No,
    Cancel,
    Repeat,
    Goodbye,
    Greeting,
    Identity,
    Thanks,
    Help,
    /// Words, and none that we know.
    Other,
    /// Noise, or what Whisper writes when nobody speaks.
    Nothing,
}

impl Intent {
    /// Of all that fit, the one that does least harm: a refusal before a transfer, a no before a yes.
    pub(super) fn of(text: &str) -> Self {
        let sentence = Sentence::new(text);
        if sentence.is_empty() {
            Self::Nothing
        } else if sentence.asks_identity() {
            Self::Identity
        } else if sentence.refuses_transfer() {
            Self::DoNotTransfer
        } else if sentence.has_any(CANCEL) {
            Self::Cancel
        } else if sentence.has_any(REPEAT) || sentence.is_any(REPEAT_ALONE) {
            Self::Repeat
        } else if sentence.has_any(TRANSFER) || sentence.has_stem("transfer") {
            Self::Transfer
        } else if sentence.has_any(GOODBYE) || sentence.is_any(GOODBYE_ALONE) {
            Self::Goodbye
        } else if sentence.has_any(NO) {
            Self::No
        } else if sentence.has_any(YES) {
            Self::Yes
        } else if sentence.has_any(HELP) {
            Self::Help
        } else if sentence.has_any(THANKS) {
            Self::Thanks
        } else if sentence.has_any(GREETING) {
            Self::Greeting
        } else {
            Self::Other
        }
    }
}

/// Whether a sentence says only, and any number of times, what a listener says to one who goes on speaking.
pub(super) fn is_backchannel(text: &str) -> bool {
    let sentence = Sentence::new(text);
    let mut rest = sentence.padded.trim();
    let is_empty = rest.is_empty();
    while !rest.is_empty() {
        let (word, others) = rest.split_once(' ').unwrap_or((rest, ""));
        if is_hum(word) {
            rest = others;
            continue;
        }
        let follows = |phrase: &&str| {
            rest.strip_prefix(*phrase)
                .filter(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        let Some(after) = BACKCHANNEL.iter().find_map(follows) else {
            return false;
        };
        rest = after.trim_start();
    }
    !is_empty
}

/// "mm", "hm", "mmmhm", "hn", however it is spelled.
fn is_hum(word: &str) -> bool {
    word.chars().all(|c| matches!(c, 'm' | 'h' | 'n'))
}

const BACKCHANNEL: &[&str] = &[
    "uh huh",
    "aha",
    "ah",
    "oh",
    "yeah",
    "yep",
    "yup",
    "okay",
    "ok",
    "right",
    "i see",
    "sure",
    "alright",
    "all right",
    "got it",
    "that's right",
    "exactly",
    "go on",
    "go ahead",
    // What Whisper makes of a hum.
    "amen",
    "and then",
];

/// Asking for somebody else. `transfer` in any form counts too.
const TRANSFER: &[&str] = &[
    "connect me",
    "connect us",
    "connect my",
    "connect this",
    "connect the call",
    "put me through",
    "put us through",
    "put my call through",
    "patch me",
    "forward me",
    "forward my",
    "forward this",
    "forward the call",
    "redirect me",
    "pass me",
    "hand me over",
    "switch me",
    "get me someone",
    "get me somebody",
    "get me a",
    "get me an",
    "give me a human",
    "give me a person",
    "speak to",
    "speak with",
    "talk to",
    "talk with",
    "real person",
    "real human",
    "human being",
    "a human",
    "human please",
    "human agent",
    "live agent",
    "live person",
    "live human",
    "an agent",
    "agent please",
    "another agent",
    "operator",
    "representative",
    "customer service",
    "customer support",
    "your manager",
    "a manager",
    "the manager",
    "your supervisor",
    "a supervisor",
    "somebody else",
    "someone else",
    "a colleague",
    // "Transfer me" over the telephone, as Whisper has spelled it.
    "trans for me",
    "transform me",
    "transport me",
    "translate me",
    "trance for me",
    "chance for me",
    "press for me",
    "trust for me",
];

/// Alone they may be the name of somebody; with a no before them they end the wish.
const TRANSFER_VERBS: &[&str] = &["transfer", "connect", "put", "forward", "speak", "talk"];

const NEGATIONS: &[&str] = &["don't", "dont", "not", "never", "without", "stop", "no"];

const CANCEL: &[&str] = &[
    "cancel",
    "never mind",
    "nevermind",
    "forget it",
    "forget that",
    "forget about it",
    "stop",
    "leave it",
    "start again",
    "start over",
    "changed my mind",
    "hold on",
    "not now",
];

const REPEAT: &[&str] = &[
    "repeat",
    "say that again",
    "say it again",
    "say again",
    "come again",
    "what did you say",
    "once more",
    "one more time",
    "again please",
    "didn't hear",
    "did not hear",
    "didn't catch",
    "did not catch",
    "didn't understand",
    "can't hear",
    "cannot hear",
    "pardon",
];

const REPEAT_ALONE: &[&str] = &["sorry", "what", "excuse me", "huh", "i'm sorry", "again"];

const GOODBYE: &[&str] = &[
    "goodbye",
    "good bye",
    "bye",
    "hang up",
    "end the call",
    "end this call",
    "see you",
    "have a nice day",
    "have a good day",
    "good night",
    "that's all",
    "that is all",
    "that'll be all",
    "nothing else",
    "talk to you later",
];

const GOODBYE_ALONE: &[&str] = &["i'm done", "we're done"];

const NO: &[&str] = &[
    "no",
    "nope",
    "nah",
    "wrong",
    "incorrect",
    "not right",
    "not correct",
    "not quite",
    "not that",
    "not it",
    "isn't right",
    "isn't correct",
    "negative",
    "don't",
    "not really",
    "not yet",
    "isn't it",
];

const YES: &[&str] = &[
    "yes",
    "yeah",
    "yep",
    "yup",
    "yea",
    "yah",
    "ya",
    "aye",
    "correct",
    "right",
    "exactly",
    "sure",
    "okay",
    "ok",
    "please do",
    "go ahead",
    "do it",
    "do that",
    "sounds good",
    "absolutely",
    "affirmative",
    "uh huh",
    "mm hmm",
    "mhm",
    "perfect",
    "that's it",
    "that is it",
    "that's good",
    "that's fine",
    "fine",
    "indeed",
    "of course",
    "definitely",
    "certainly",
    "confirmed",
    "confirm",
    "true",
    "alright",
    "all right",
    "please",
];

const HELP: &[&str] = &[
    "what can you do",
    "what do you do",
    "help",
    "how does this work",
    "how does it work",
    "what can i say",
    "what should i say",
    "options",
];

const THANKS: &[&str] = &["thank you", "thanks", "cheers"];

const GREETING: &[&str] = &[
    "hello",
    "hi",
    "hey",
    "good morning",
    "good afternoon",
    "good evening",
    "speaking",
    "this is",
    "it's me",
    "how are you",
];

const IDENTITY: &[&str] = &[
    "who is this",
    "who's this",
    "who are you",
    "who is calling",
    "who's calling",
    "who is that",
    "who's that",
    "who is there",
    "who's there",
    "who am i speaking",
    "who am i talking",
    "what's your name",
    "what is your name",
    "are you a robot",
    "are you a bot",
    "are you real",
    "are you a real",
    "are you a human",
    "are you human",
    "are you a machine",
    "are you an ai",
    "am i talking to a",
    "am i speaking to a",
    "am i speaking with a",
    "is this a recording",
    "is this a robot",
    "is this a real",
    "is this a machine",
    "where are you calling from",
    "why are you calling",
    "what company",
];

/// A sentence as lower-case words between single spaces.
pub(super) struct Sentence {
    padded: String,
}

impl Sentence {
    pub(super) fn new(text: &str) -> Self {
        let mut depth = 0u32;
        let mut padded = String::from(" ");
        // "[BLANK_AUDIO]", "(music)": what Whisper sees in noise.
        for c in text.chars() {
            match c {
                '[' | '(' => depth += 1,
                ']' | ')' => depth = depth.saturating_sub(1),
                _ if depth > 0 => {}
                '’' | '\'' => padded.push('\''),
                c if c.is_alphanumeric() => padded.extend(c.to_lowercase()),
                _ if !padded.ends_with(' ') => padded.push(' '),
                _ => {}
            }
        }
        if !padded.ends_with(' ') {
            padded.push(' ');
        }
        Self { padded }
    }

    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.padded.split_whitespace()
    }

    fn is_empty(&self) -> bool {
        // "You" and "." are Whisper's favourite readings of silence.
        let says_nothing = |word| matches!(word, "you" | "uh" | "um" | "hmm" | "mm" | "ah");
        self.words().all(says_nothing) && !self.has_any(YES)
    }

    fn has(&self, phrase: &str) -> bool {
        self.padded.match_indices(phrase).any(|(at, _)| {
            self.padded[..at].ends_with(' ') && self.padded[at + phrase.len()..].starts_with(' ')
        })
    }

    /// Whether one of `phrases` is in it, in whole words.
    pub(super) fn has_any(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.has(phrase))
    }

    fn is_any(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.padded.trim() == *phrase)
    }

    fn has_stem(&self, stem: &str) -> bool {
        self.words().any(|word| word.starts_with(stem))
    }

    fn asks_identity(&self) -> bool {
        self.has_any(IDENTITY)
    }

    /// A negation with at most three words before the verb: "I do not want to be transferred".
    fn refuses_transfer(&self) -> bool {
        const NEAR: usize = 4;
        let words: Vec<&str> = self.words().collect();
        words.iter().enumerate().any(|(verb, word)| {
            let is_verb = TRANSFER_VERBS.contains(word) || word.starts_with("transfer");
            is_verb
                && words[verb.saturating_sub(NEAR)..verb].iter().any(|word| {
                    // "No, transfer me to sales" refuses something else.
                    NEGATIONS.contains(word) && *word != "no"
                })
        }) || self.has("no need to transfer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(intent: Intent, texts: &[&str]) {
        for text in texts {
            assert_eq!(Intent::of(text), intent, "{text:?}");
        }
    }

    #[test]
    fn requests_for_somebody_else() {
        check(
            Intent::Transfer,
            &[
                "Transfer me.",
                "transfer me to a live agent.",
                "Transfer me to +1 555 000 1234.",
                "Please transfer my call.",
                "Can I be transferred?",
                "Can I speak to a human please?",
                "I want to talk to a real person.",
                "Put me through to billing.",
                "Connect me to the sales team.",
                "Get me an operator please.",
                "Operator!",
                "I'd like to speak with someone.",
                "Could I have a human, please?",
                "No, transfer me to sales.",
                "Yes, transfer me please.",
            ],
        );
    }

    #[test]
    fn refusals_of_a_transfer() {
        check(
            Intent::DoNotTransfer,
            &[
                "Wait, don't transfer me.",
                "Do not transfer me.",
                "Please don't put me through to anyone.",
                "I do not want to be transferred.",
                "I don’t want to talk to anyone.",
                "Stop the transfer.",
                "No need to transfer me.",
            ],
        );
    }

    #[test]
    fn answers() {
        check(
            Intent::Yes,
            &[
                "Yes.",
                "Yes please.",
                "Yeah, yeah,",
                "That's correct.",
                "That's right.",
                "Sure.",
                "OK",
                "Go ahead.",
                "Mm-hmm.",
                "Please.",
            ],
        );
        check(
            Intent::No,
            &[
                "No.",
                "No thank you.",
                "Nope",
                "That's wrong.",
                "That's not right.",
                "No, five six.",
                "That's not correct.",
                "Incorrect.",
            ],
        );
        check(
            Intent::Cancel,
            &[
                "Cancel that.",
                "Never mind.",
                "That's wrong, start again.",
                "Stop.",
            ],
        );
        check(
            Intent::Repeat,
            &[
                "Could you repeat that please?",
                "Sorry?",
                "What?",
                "Pardon?",
                "Can you say that again?",
            ],
        );
    }

    #[test]
    fn listeners_say_little() {
        for text in [
            "Mm-hmm.",
            "Mm-hm",
            "Mhm.",
            "MMMHM.",
            "M-H-M",
            "HM, okay.",
            "Uh-huh.",
            "Uh huh, uh huh.",
            "Yeah.",
            "Yeah, yeah.",
            "Okay.",
            "OK, right.",
            "Right.",
            "I see.",
            "Oh, okay, I see.",
            "All right.",
            "Hmm.",
            "Oh.",
            "Got it.",
            "Sure, okay.",
            "H&M.",
            "HNM",
            "Amen.",
            "And then...",
            "That's right.",
            "Okay, go on.",
        ] {
            assert!(is_backchannel(text), "{text:?}");
        }
        for text in [
            "",
            "...",
            "Yes.",
            "No.",
            "Yeah, transfer me.",
            "Okay, bye.",
            "Right now?",
            "Huh?",
            "I see a problem.",
            "Okay, stop.",
            "Sure thing, but wait.",
            "What?",
            "Sorry?",
            "Rightly so.",
            "That's right, and my number is five.",
            "Hello?",
            "Thank you.",
            "And then what?",
            "Go on with the next one.",
        ] {
            assert!(!is_backchannel(text), "{text:?}");
        }
    }

    #[test]
    fn small_talk() {
        check(
            Intent::Goodbye,
            &["Goodbye.", "Bye bye.", "OK, bye.", "That's all, thank you."],
        );
        check(
            Intent::Identity,
            &[
                "Hello, who is this?",
                "Are you a real person?",
                "Am I talking to a human?",
            ],
        );
        check(
            Intent::Greeting,
            &["Hello.", "Hi there!", "Hello?", "Good morning."],
        );
        check(Intent::Thanks, &["Thank you.", "Thanks!"]);
        check(Intent::Help, &["Help", "What can you do?"]);
        check(
            Intent::Other,
            &[
                "What are your opening hours?",
                "How much does it cost?",
                "What is the weather like?",
                "I'd like to book an appointment for tomorrow.",
            ],
        );
        check(
            Intent::Nothing,
            &["", ".", "[BLANK_AUDIO]", "(music)", "you", "Um...", "♪"],
        );
    }
}
