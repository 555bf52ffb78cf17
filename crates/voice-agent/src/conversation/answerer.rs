//! Who has picked up: a person, or a machine that says so in its first words.

use super::intent::Sentence;

/// A machine that answers the telephone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    /// A voicemail box. It takes a message after its tone.
    Voicemail,
    /// Speaks and takes nothing: the mailbox is full, the subscriber cannot be reached.
    Announcement,
    /// A call screener, such as iOS and Android have. It asks who calls, and a person decides.
    Screener,
}

impl Machine {
    /// Recognises a machine by what it says; `None` for whatever a person could say too.
    ///
    /// Taking a person for a machine is the worse error, so only sentences that name what the machine does count.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let sentence = Sentence::new(text);
        if sentence.has_any(PERSON) {
            None
        } else if sentence.has_any(NO_MAILBOX) {
            Some(Self::Announcement)
        } else if sentence.has_any(SCREENER) {
            Some(Self::Screener)
        } else if sentence.has_any(VOICEMAIL) {
            Some(Self::Voicemail)
        } else if sentence.has_any(UNREACHABLE) {
            Some(Self::Announcement)
        } else {
            None
        }
    }
}

/// What somebody says who has picked up for another.
const PERSON: &[&str] = &[
    "like to leave",
    "want to leave",
    "wish to leave",
    "wanna leave",
    "can i take a message",
    "take a message",
];

const NO_MAILBOX: &[&str] = &[
    "mailbox is full",
    "mail box is full",
    "inbox is full",
    "not been set up",
    "hasn't been set up",
    "not accepting messages",
    "cannot accept messages",
    "can't accept messages",
    "cannot accept any messages",
];

const SCREENER: &[&str] = &[
    "record your name",
    "say your name",
    "state your name",
    "tell me your name and",
    "name and reason",
    "name and the reason",
    "name and why",
    "screening service",
    "call screening",
    "screening this call",
    "see if this person is available",
    "see if they are available",
    "see if they're available",
];

const VOICEMAIL: &[&str] = &[
    "leave a message",
    "leave me a message",
    "leave us a message",
    "leave your message",
    "leave a brief message",
    "leave a short message",
    "leave a detailed message",
    "leave a voice message",
    "leave a voicemail",
    "leave your name",
    "record your message",
    "record a message",
    "after the tone",
    "after the beep",
    "after the signal",
    "at the tone",
    "at the beep",
    "voicemail box",
    "voice mail box",
    "voice mailbox",
    "reached the voicemail",
    "reached the voice mail",
    "reached my voicemail",
    "voicemail of",
    "forwarded to voicemail",
    "forwarded to voice mail",
    "automatic voice message system",
    "automatic voice messaging system",
    "automated voice messaging system",
    "automated voice message system",
    "i can't come to the phone",
    "we can't come to the phone",
    "i cannot come to the phone",
    "unable to take your call",
    "can't take your call",
    "cannot take your call",
    "unable to answer your call",
    "can't answer your call",
    "i'll get back to you",
    "we'll get back to you",
    "i will get back to you",
    "call you back as soon as",
    "get back to you as soon as",
];

const UNREACHABLE: &[&str] = &[
    "number you have dialed",
    "number you have dialled",
    "number you dialed",
    "number you dialled",
    "number you are calling",
    "number you have reached",
    "has been disconnected",
    "is not in service",
    "subscriber you",
    "is switched off",
    "person you are calling is not",
    "person you are trying to reach is not",
    "customer you are calling is",
    "not reachable at the moment",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: Option<Machine>, texts: &[&str]) {
        for text in texts {
            assert_eq!(Machine::of(text), expected, "{text:?}");
        }
    }

    #[test]
    fn voicemail_greetings() {
        check(
            Some(Machine::Voicemail),
            &[
                "Hi, this is John. I can't come to the phone right now. Please leave a message after the tone.",
                "Hi, you’ve reached the voicemail of Maria Lopez, please leave your name and number.",
                "Your call has been forwarded to voicemail. The person you're trying to reach is not available. \
                 At the tone, please record your message. When you have finished recording, you may hang up.",
                "Your call has been forwarded to an automatic voice message system.",
                "You have reached Miller and Sons. We are unable to take your call. Leave us a message, and we'll get \
                 back to you.",
                "The person you are calling is not available. Please leave a message after the beep.",
                "Sorry, I can't take your call right now.",
            ],
        );
    }

    #[test]
    fn announcements_that_take_no_message() {
        check(
            Some(Machine::Announcement),
            &[
                "The mailbox is full and cannot accept any messages at this time. Goodbye.",
                "You have reached a voicemail box that has not been set up yet.",
                "The number you have dialed is not in service.",
                "The subscriber you have called is switched off.",
                "The person you are calling is not available. Please try again later.",
            ],
        );
    }

    #[test]
    fn call_screeners() {
        check(
            Some(Machine::Screener),
            &[
                "Hi, if you record your name and reason for calling, I'll see if this person is available.",
                "Hi, the person you're calling is using a screening service from Google and will get a copy of this \
                 conversation. Go ahead and say your name and why you're calling.",
                "Please state your name after the tone and we'll try to connect you.",
            ],
        );
    }

    #[test]
    fn people() {
        check(
            None,
            &[
                "Hello?",
                "Miller.",
                "You've reached Miller and Sons, this is Kate speaking, how can I help you?",
                "Who is calling, please?",
                "What is the reason for your call?",
                "She is not here right now. Would you like to leave a message?",
                "He can't come to the phone right now, can I take a message?",
                "Transfer me to a live agent.",
                "Transfer me to voicemail.",
                "I'm not available right now, call me later.",
                "What number are you calling from?",
                "",
            ],
        );
    }
}
