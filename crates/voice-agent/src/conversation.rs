//! What the agent answers: pure decisions, from what was heard to what to say and do.
//!
//! [`DialoguePolicy`] is the built-in dialogue, which needs no key; [`LlmBrain`] asks a language model
//! and falls back on the policy. Either way the rules about transfers are code, not prompt:
//!
//! 1. "Transfer me." goes to the default number at once.
//! 2. A number that was heard, or that a model named, is read back digit by digit, and only a yes
//!    transfers. Two recognitions of the same audio must not contradict each other before it is read
//!    back at all. The operator may have the question left out for a number that the person asked for and
//!    that both recognitions understood alike ([`Confirmation`](transfer_core::policy::Confirmation)).
//! 3. A number that was entered on the keypad is read back too. Outside such an entry the key `0` goes
//!    to the default number, `1` is yes and `2` is no.
//! 4. A number that the operator's [`TransferPolicy`](transfer_core::policy::TransferPolicy)
//!    refuses is refused at once, not read back. A department that the operator named is reached by its
//!    name, without a question.
//! 5. Where notes are kept, whoever could not be reached by any way that the operator has configured may
//!    be asked to call back: a yes, and the next turn is the message, whatever it says.
//! 6. No target but a [`PhoneNumber`] leaves this module.

mod answerer;
mod department;
mod echo;
mod intent;
mod keypad;
mod keys;
mod llm;
mod mind;
mod policy;
mod read_back;
mod sentences;
mod spoken_number;

use std::{future::pending, time::Instant};

use tokio::sync::{mpsc, watch};
use transfer_core::{Doubt, PhoneNumber, TransferFailure, policy::Refusal};

use self::intent::Intent;
pub(crate) use self::{answerer::Machine, mind::Mind, spoken_number::has_whole_number};
pub use self::{
    keypad::{Key, UnknownKey},
    keys::{Keys, ParseKeysError, Stroke},
    llm::{LanguageModel, LlmBrain},
    policy::{DialoguePolicy, PolicySettings},
    spoken_number::{Ambiguity, SpokenNumber, SpokenNumberError, has_number, is_unfinished_number},
};

/// What happened on the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The person said something.
    Turn {
        /// What [`speech::Pass::First`] made of it.
        first: String,
        /// What [`speech::Pass::Second`] made of it, when it was run.
        second: Option<String>,
    },
    /// The person pressed a key of the telephone. Answered at once and by the rules, whoever thinks.
    Key(Key),
    /// No key was pressed for some seconds: an entry, if there is one, is complete.
    KeysEnded,
    /// Nobody has spoken for a while.
    Silence,
    /// The person said something that could not be recognised.
    Unrecognised {
        /// The turn before could not be recognised either: nobody hears the person.
        again: bool,
    },
    /// The transfer that the last reply asked for did not happen.
    TransferFailed(TransferFailure),
    /// The note that the last reply asked for is written down, or is lost.
    Noted { kept: bool },
    /// Nobody knows whether the transfer that the last reply asked for went through, and the person is still
    /// there.
    TransferUnconfirmed(Doubt),
}

/// Whether a sentence says no more than yes or no.
pub(crate) fn is_yes_or_no(text: &str) -> bool {
    matches!(Intent::of(text), Intent::Yes | Intent::No)
}

/// Whether a turn has no words in it.
pub(crate) fn is_noise(text: &str) -> bool {
    text.trim().is_empty() || Intent::of(text) == Intent::Nothing
}

/// Whether a turn says no more than "I am listening": "mm-hm", "yeah, okay".
///
/// To what [`expects_answer`] it is an answer all the same.
pub(crate) fn is_backchannel(text: &str) -> bool {
    intent::is_backchannel(text)
}

/// Whether these can be the words that a recognition makes of a murmur: few, and none that ask for something.
pub(crate) fn may_be_murmur(text: &str) -> bool {
    const FEW: usize = 3;
    let asks = match Intent::of(text) {
        Intent::Transfer
        | Intent::DoNotTransfer
        | Intent::Yes
        | Intent::No
        | Intent::Cancel
        | Intent::Repeat
        | Intent::Identity
        | Intent::Help => true,
        // "Bye bye" is what becomes of some people's "uh-huh".
        Intent::Goodbye | Intent::Greeting | Intent::Thanks | Intent::Other | Intent::Nothing => {
            false
        }
    };
    !asks && !has_number(text) && text.split_whitespace().count() <= FEW
}

/// Whether words may be those that the agent was saying, and come back on the line.
///
/// One or two a person may happen to say, too.
pub(crate) fn is_echo(heard: &str, said: &str) -> bool {
    echo::is_echo(heard, said)
}

/// Whether a "yeah" is an answer to what the agent says: a question, the request to say yes, or that nobody is
/// heard.
pub(crate) fn expects_answer(said: &str) -> bool {
    said.contains('?') || said.to_lowercase().contains("say yes") || said == policy::NOBODY_THERE
}

/// Whether a sentence agrees to what was asked, or declines; `None` when it does neither.
pub(crate) fn consent(text: &str) -> Option<bool> {
    match Intent::of(text) {
        Intent::Yes | Intent::Transfer => Some(true),
        Intent::No | Intent::DoNotTransfer | Intent::Cancel | Intent::Goodbye => Some(false),
        Intent::Repeat
        | Intent::Greeting
        | Intent::Identity
        | Intent::Thanks
        | Intent::Help
        | Intent::Other
        | Intent::Nothing => None,
    }
}

/// The answer to [`Heard`], or the end of one whose first sentences were told already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// To be spoken before anything else happens.
    pub say: Option<String>,
    /// To be done once all was spoken.
    pub then: Action,
}

/// What comes of [`Heard`], in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A language model has begun its answer, at that time.
    FirstToken(Instant),
    /// The next sentence of an answer that is still being written.
    Sentence(String),
    /// The end of the answer, or all of it.
    Reply {
        reply: Reply,
        /// Whether a phone number is likely to come next: listen longer, and twice.
        expects_number: bool,
        /// Whom the rules have refused to transfer to, and why.
        refused: Option<(PhoneNumber, Refusal)>,
    },
}

/// What follows what was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Listen,
    Transfer(TransferRequest),
    /// Write down that the person wants to be called back by whom the last transfer did not reach.
    KeepNote {
        message: Option<String>,
    },
    /// Press keys on the person's line, and listen on.
    PressKeys(Keys),
    HangUp,
}

/// What the agent has done in the conversation since the last thing that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// What the person has heard of the agent's words: all of them, or the first of an answer that was
    /// interrupted.
    Said(String),
    /// [`Action::PressKeys`] was begun.
    Pressed(Keys),
}

/// Whom the person wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferRequest {
    /// The configured number.
    Default,
    /// A number that the person gave and confirmed, or that of a department.
    Number(PhoneNumber),
}

/// Who thinks. A copy is the same conversation, which then goes its own way.
#[derive(Clone)]
pub enum Brain {
    Rules(Box<DialoguePolicy>),
    Llm(Box<LlmBrain>),
}

impl Brain {
    /// A new conversation, led by the model when there is one.
    pub fn new(model: Option<LanguageModel>, settings: PolicySettings) -> Self {
        match model {
            Some(model) => Self::Llm(Box::new(LlmBrain::new(model, settings))),
            None => Self::Rules(Box::new(DialoguePolicy::new(settings))),
        }
    }

    /// Offers callers whom no transfer has connected to write down that they want to be called back.
    pub fn take_notes(&mut self) {
        match self {
            Self::Rules(policy) => policy.take_notes(),
            Self::Llm(brain) => brain.take_notes(),
        }
    }

    /// Learns what the agent has done, before what the person says next. Nothing that was not heard is remembered
    /// as said.
    pub fn did(&mut self, done: &Done) {
        match (self, done) {
            (Self::Rules(policy), Done::Said(words)) => policy.said(words),
            (Self::Rules(_), Done::Pressed(_)) => {}
            (Self::Llm(brain), Done::Said(words)) => brain.said(words),
            (Self::Llm(brain), Done::Pressed(keys)) => brain.pressed(keys),
        }
    }

    /// Decides on the answer, and tells it as it comes. Never fails: without its server, a model's brain answers by
    /// the rules.
    ///
    /// When nobody listens any more, the answer is given up with its request. Cancel safe too: what was heard is
    /// remembered either way, and what was said of the answer once [`Brain::did`] says so.
    pub async fn hear(&mut self, heard: Heard, listener: &Listener) {
        let reply = tokio::select! {
            // First, so that what was heard is remembered.
            biased;
            reply = self.answer(heard, listener) => reply,
            () = listener.leaves() => return,
        };
        let end = Told::Reply {
            reply,
            expects_number: self.expects_number(),
            refused: self.take_refusal(),
        };
        listener.tell(end).await;
    }

    async fn answer(&mut self, heard: Heard, listener: &Listener) -> Reply {
        match self {
            Self::Rules(policy) => policy.hear(heard),
            Self::Llm(brain) => brain.hear(heard, listener).await,
        }
    }

    /// Whether an answer takes time, so that it is worth while to think of one before it is certain what is asked.
    fn thinks_ahead(&self) -> bool {
        match self {
            Self::Rules(_) => false,
            Self::Llm(brain) => brain.thinks_ahead(),
        }
    }

    /// Returns whom the rules have refused to transfer to in the last answer, and why, once.
    fn take_refusal(&mut self) -> Option<(PhoneNumber, Refusal)> {
        match self {
            Self::Rules(policy) => policy.take_refusal(),
            Self::Llm(brain) => brain.take_refusal(),
        }
    }

    fn expects_number(&self) -> bool {
        match self {
            Self::Rules(policy) => policy.expects_number(),
            Self::Llm(brain) => brain.expects_number(),
        }
    }
}

/// Whoever listens to what comes of a thought.
pub struct Listener {
    told: mpsc::Sender<Told>,
    meant: watch::Receiver<bool>,
}

impl Listener {
    /// Of a thought about what was said.
    pub fn new(told: mpsc::Sender<Told>) -> Self {
        let (_, meant) = watch::channel(true);
        Self { told, meant }
    }

    /// Of a thought about what may be a whole turn; `meant` becomes true when it was one.
    fn ahead(told: mpsc::Sender<Told>, meant: watch::Receiver<bool>) -> Self {
        Self { told, meant }
    }

    /// Nobody who has stopped listening is told anything.
    async fn tell(&self, news: Told) {
        self.told.send(news).await.ok();
    }

    /// Waits until nobody listens.
    async fn leaves(&self) {
        self.told.closed().await;
    }

    /// Waits until what the thought is about was really said; for ever, if it never was.
    async fn meant(&self) {
        if self.meant.clone().wait_for(|meant| *meant).await.is_err() {
            pending().await
        }
    }
}
