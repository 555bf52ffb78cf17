//! The built-in dialogue: what a patient receptionist would say, by rules.

use tracing::info;
use transfer_core::{
    ParsePhoneNumberError, PhoneNumber, Region, TransferFailure,
    policy::{Confirmation, Destination, Refusal, TransferPolicy},
};

use super::{
    Action, Heard, Reply, TransferRequest,
    department::{self, Wish},
    intent::Intent,
    keypad::{Entry, Key},
    read_back::{read_back, words_of},
    spoken_number::{SpokenNumber, SpokenNumberError},
};
use crate::behaviour::Behaviour;

/// Misunderstood numbers in a row after which the agent asks for the number on the keypad.
const PATIENCE: u32 = 2;

/// Misunderstood numbers in a row, those on the keypad included, after which the agent gives up.
const LAST_TRY: u32 = PATIENCE + 2;

/// Digits from which a number without the word "transfer" is taken for a wish to be transferred there.
const A_NUMBER_ALONE: usize = 7;

const ENTER: &str = "Please enter the number on your keypad, starting with the country code, and press the \
    hash key at the end.";

const NOTICE: &str = "Sure, I am transferring you now. One moment please.";

const UNRECOGNISED: &str = "I am sorry, I did not catch that. Please say it again.";

const OR_KEY: &str = "Or press 0, and I will transfer you.";

const DEAF_NOTICE: &str =
    "I am sorry, I cannot hear you well, so I am transferring you now. One moment please.";

/// The last words to a person who says nothing.
pub(super) const NOBODY_THERE: &str = "I cannot hear you, so I will hang up. Goodbye.";

const CALL_BACK: &str = "Shall I ask them to call you back?";

const ASK_FOR_MESSAGE: &str = "What should I tell them? If there is nothing to tell, just say no.";

/// Words from which a sentence is a message, whatever else it could mean.
const A_MESSAGE: usize = 4;

/// What the dialogue knows about the call.
#[derive(Debug, Clone, Default)]
pub struct PolicySettings {
    /// Who talks, and how patiently.
    pub behaviour: Behaviour,
    /// Where "Transfer me." leads; without one the agent asks for a number.
    pub default_transfer: Option<PhoneNumber>,
    /// How numbers without a country code are read.
    pub default_region: Option<Region>,
    /// Whom the person may reach.
    pub transfer_policy: TransferPolicy,
}

/// A dialogue without a model: understands transfers, numbers, yes and no.
///
/// Pure: every answer follows from what was heard so far.
#[derive(Debug, Clone)]
pub struct DialoguePolicy {
    settings: PolicySettings,
    /// Whether whoever could not be reached may be asked to call back.
    takes_notes: bool,
    /// Whether the last transfer was to a number that the person gave.
    named: bool,
    /// Whom the last answer refused.
    refused: Option<(PhoneNumber, Refusal)>,
    state: State,
    misunderstandings: u32,
    silences: u32,
    last_said: String,
    /// Whether the person spoke before the number in [`State::Confirm`] was read back to its end.
    is_half_read: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Anything may come.
    Open,
    /// The agent has asked for a number, and keeps what it has of it.
    Number { begun: Option<SpokenNumber> },
    /// The agent has asked for a number on the keypad.
    Keypad { entry: Entry },
    /// The agent has read a number back and waits for a yes.
    Confirm { number: PhoneNumber },
    /// The agent has offered to transfer to the default number.
    Offer,
    /// The agent has offered to note that the person wants to be called back.
    CallBack,
    /// The agent has asked what that note shall say.
    Message,
}

/// What two recognitions of the same words say about a number.
enum Reading {
    None,
    Number {
        number: PhoneNumber,
        /// Whether there were two recognitions, and both were this number.
        agreed: bool,
    },
    /// Both are phone numbers, and different ones.
    Contradiction,
    /// Digits that are no phone number.
    Unusable {
        spoken: SpokenNumber,
        error: SpokenNumberError,
    },
}

impl DialoguePolicy {
    pub fn new(settings: PolicySettings) -> Self {
        Self {
            settings,
            takes_notes: false,
            named: false,
            refused: None,
            state: State::Open,
            misunderstandings: 0,
            silences: 0,
            last_said: String::new(),
            is_half_read: false,
        }
    }

    /// From now on, offers to write down that the person wants to be called back when no transfer worked.
    pub fn take_notes(&mut self) {
        self.takes_notes = true;
    }

    /// The agent's first words.
    pub fn greeting(&self) -> String {
        self.settings.behaviour.greeting()
    }

    /// Returns whom the last answer has refused, and why, once.
    pub(super) fn take_refusal(&mut self) -> Option<(PhoneNumber, Refusal)> {
        self.refused.take()
    }

    /// Whether a phone number is likely to come next.
    pub fn expects_number(&self) -> bool {
        matches!(self.state, State::Number { .. })
    }

    /// Whether the answer is a matter of rules, not of conversation: a question of ours is open, a
    /// number was said, or a transfer refused.
    pub(super) fn has_the_say(&self, heard: &Heard) -> bool {
        let Heard::Turn { first, second } = heard else {
            return true;
        };
        match self.state {
            State::Number { .. }
            | State::Keypad { .. }
            | State::Confirm { .. }
            | State::CallBack
            | State::Message => return true,
            State::Open | State::Offer => {}
        }
        match self.read(first, second.as_deref()) {
            Reading::Number { .. } | Reading::Contradiction => true,
            Reading::Unusable { spoken, .. } => spoken.plus,
            Reading::None => {
                let intent = Intent::of(first);
                let wish = department::wish(first, intent, self.departments());
                matches!(
                    intent,
                    Intent::DoNotTransfer | Intent::Cancel | Intent::Nothing
                ) || matches!(wish, Wish::Department(_))
            }
        }
    }

    /// Learns what of its last answer the person has heard.
    pub(super) fn said(&mut self, words: &str) {
        if let State::Confirm { number } = &self.state {
            self.is_half_read = !words.contains(&read_back(number));
        }
    }

    /// Answers.
    pub fn hear(&mut self, heard: Heard) -> Reply {
        let reply = match heard {
            Heard::Key(key) => self.key(key),
            Heard::KeysEnded => self.keys_ended(),
            Heard::Silence => self.silence(),
            Heard::Unrecognised { again } => self.unrecognised(again),
            Heard::TransferFailed(failure) => self.transfer_failed(failure),
            Heard::Noted { kept } => self.noted(kept),
            Heard::TransferUnconfirmed(doubt) => {
                self.state = State::Open;
                listen(doubt.spoken())
            }
            Heard::Turn { first, second } => self.turn(&first, second.as_deref()),
        };
        if let Some(said) = &reply.say {
            self.last_said.clone_from(said);
        }
        reply
    }

    /// Reads a number back and waits for a yes, or refuses it; the way in for a number that a model named.
    pub(super) fn confirm(&mut self, number: PhoneNumber) -> Reply {
        if let Some(refused) = self.refuse(&number) {
            return refused;
        }
        let question = format!("You said {}. Is that right?", read_back(&number));
        self.state = State::Confirm { number };
        listen(question)
    }

    /// Goes on with a number that was asked for aloud: with a question, unless the operator wants none where
    /// both recognitions agree.
    fn heard_number(&mut self, number: PhoneNumber, agreed: bool) -> Reply {
        let confirmation = self.settings.transfer_policy.rules().confirmation;
        if !agreed || confirmation == Confirmation::Always {
            return self.confirm(number);
        }
        if let Some(refused) = self.refuse(&number) {
            return refused;
        }
        info!(
            number = number.masked(),
            "number understood the same way twice, so nobody is asked"
        );
        let read_back = read_back(&number);
        Reply {
            say: Some(format!(
                "Sure, I am transferring you now, to {read_back}. One moment please."
            )),
            ..self.confirmed(number)
        }
    }

    fn key(&mut self, key: Key) -> Reply {
        self.silences = 0;
        match (&mut self.state, key) {
            (State::Keypad { .. }, Key::HASH) => self.entered(),
            (State::Keypad { entry }, _) => {
                entry.press(key);
                nothing()
            }
            (
                State::Open
                | State::Number { .. }
                | State::Confirm { .. }
                | State::Offer
                | State::CallBack
                | State::Message,
                Key::ZERO,
            ) => {
                self.misunderstandings = 0;
                self.transfer()
            }
            (State::Confirm { number }, Key::ONE) => {
                let number = number.clone();
                if self.is_half_read {
                    return ask_for_yes(&number);
                }
                self.confirmed(number)
            }
            (State::Confirm { .. }, Key::TWO) => self.rejected(),
            (State::Offer, Key::ONE) => self.transfer(),
            (State::Offer | State::CallBack, Key::TWO) => self.declined(),
            (State::CallBack, Key::ONE) => self.ask_for_message(),
            (State::Number { .. }, _) if key != Key::HASH => {
                let mut entry = Entry::default();
                entry.press(key);
                self.state = State::Keypad { entry };
                nothing()
            }
            (
                State::Open
                | State::Number { .. }
                | State::Confirm { .. }
                | State::Offer
                | State::CallBack
                | State::Message,
                _,
            ) => nothing(),
        }
    }

    /// A pause ends an entry that has begun, and nothing else.
    fn keys_ended(&mut self) -> Reply {
        match &self.state {
            State::Keypad { entry } if !entry.is_empty() => self.entered(),
            State::Keypad { .. }
            | State::Open
            | State::Number { .. }
            | State::Confirm { .. }
            | State::Offer
            | State::CallBack
            | State::Message => nothing(),
        }
    }

    fn entered(&mut self) -> Reply {
        let State::Keypad { entry } = &mut self.state else {
            return nothing();
        };
        let entry = std::mem::take(entry);
        // Who entered this number enters the next one too.
        self.misunderstandings = self.misunderstandings.max(PATIENCE - 1);
        if entry.is_empty() {
            return self.misunderstood("I did not get any digits.");
        }
        match entry.phone_number(self.settings.default_region) {
            Ok(number) => {
                if let Some(refused) = self.refuse(&number) {
                    return refused;
                }
                let question = format!(
                    "You entered {}. Is that right? Press 1 or say yes, or press 2 to enter it again.",
                    read_back(&number)
                );
                self.state = State::Confirm { number };
                listen(question)
            }
            Err(error) => self.misunderstood(match error {
                ParsePhoneNumberError::TooShort { .. } => "That number is missing some digits.",
                ParsePhoneNumberError::TooLong { .. } => "That number has too many digits.",
                ParsePhoneNumberError::MissingCountryCode
                | ParsePhoneNumberError::InvalidCountryCode => "I need the country code too.",
                ParsePhoneNumberError::Empty
                | ParsePhoneNumberError::InvalidCharacter(_)
                | ParsePhoneNumberError::MisplacedPlus => "That is not a phone number.",
            }),
        }
    }

    fn confirmed(&mut self, number: PhoneNumber) -> Reply {
        self.state = State::Open;
        self.named = true;
        self.misunderstandings = 0;
        Reply {
            say: Some(NOTICE.to_owned()),
            then: Action::Transfer(TransferRequest::Number(number)),
        }
    }

    fn rejected(&mut self) -> Reply {
        self.misunderstood("Sorry. Please say the whole number again, digit by digit.")
    }

    fn declined(&mut self) -> Reply {
        self.state = State::Open;
        listen("All right. How else can I help?")
    }

    /// Refuses a number that the policy does not want, before anybody confirms it in vain.
    fn refuse(&mut self, number: &PhoneNumber) -> Option<Reply> {
        let refusal = self.settings.transfer_policy.decide(number).err()?;
        let hint = refusal.hint();
        info!(rule = %refusal, hint, number = number.masked(), "number refused");
        self.refused = Some((number.clone(), refusal));
        self.state = State::Open;
        Some(listen(refusal.spoken()))
    }

    pub(super) fn departments(&self) -> &[Destination] {
        &self.settings.transfer_policy.rules().destinations
    }

    /// Transfers to a department: the operator gave its number, so nothing is read back.
    pub(super) fn transfer_to_department(&mut self, department: &Destination) -> Reply {
        self.state = State::Open;
        self.named = false;
        Reply {
            say: Some(format!(
                "Sure, I am transferring you to {} now. One moment please.",
                department.name
            )),
            then: Action::Transfer(TransferRequest::Number(department.number.clone())),
        }
    }

    /// Somebody was asked for whom we do not know.
    pub(super) fn ask_for_department(&mut self) -> Reply {
        let departments = department::list(self.departments());
        if self.settings.default_transfer.is_none() {
            self.state = State::Open;
            return listen(format!("I can transfer you to {departments}. Which one?"));
        }
        self.state = State::Offer;
        listen(format!(
            "I can transfer you to {departments}. Which one, or shall I transfer you to our team?"
        ))
    }

    /// Transfers to the default number, or asks for one.
    pub(super) fn transfer(&mut self) -> Reply {
        if self.settings.default_transfer.is_some() {
            self.state = State::Open;
            self.named = false;
            return Reply {
                say: Some(NOTICE.to_owned()),
                then: Action::Transfer(TransferRequest::Default),
            };
        }
        self.ask_for_number("Which number should I transfer you to? Please start with plus.")
    }

    /// Nobody is told to repeat for ever what nobody can hear.
    fn unrecognised(&mut self, again: bool) -> Reply {
        self.silences = 0;
        match (&self.settings.default_transfer, again) {
            (Some(_), true) => Reply {
                say: Some(DEAF_NOTICE.to_owned()),
                ..self.transfer()
            },
            (Some(_), false) => listen(format!("{UNRECOGNISED} {OR_KEY}")),
            (None, _) => listen(UNRECOGNISED),
        }
    }

    fn silence(&mut self) -> Reply {
        if let State::Keypad { entry } = &self.state
            && !entry.is_empty()
        {
            return self.entered();
        }
        // Who has agreed to be called back is, with or without a message.
        if self.state == State::Message {
            return self.keep_note(None);
        }
        self.silences += 1;
        if self.silences >= self.settings.behaviour.timings.silences {
            return Reply {
                say: Some(NOBODY_THERE.to_owned()),
                then: Action::HangUp,
            };
        }
        listen(match &self.state {
            State::Confirm { number } => {
                format!(
                    "Are you still there? I have {}. Is that right?",
                    read_back(number)
                )
            }
            State::Number { .. } => "Are you still there? Please say the number.".to_owned(),
            State::Keypad { .. } => format!("Are you still there? {ENTER}"),
            State::Offer => "Are you still there? Shall I transfer you to our team?".to_owned(),
            State::CallBack => format!("Are you still there? {CALL_BACK}"),
            State::Open | State::Message => "Are you still there? How can I help?".to_owned(),
        })
    }

    fn transfer_failed(&mut self, failure: TransferFailure) -> Reply {
        self.state = State::Open;
        if self.takes_notes && is_worth_a_call_back(failure, self.named) {
            self.state = State::CallBack;
            let (told, _question) = failure.spoken().rsplit_once(". ").unwrap_or_default();
            return listen(format!("{told}. {CALL_BACK}"));
        }
        let then = match failure {
            TransferFailure::CallerGone => Action::HangUp,
            TransferFailure::Refused { .. }
            | TransferFailure::TargetBusy
            | TransferFailure::TargetDeclined
            | TransferFailure::TargetNoAnswer
            | TransferFailure::TargetUnknown
            | TransferFailure::TargetFault { .. }
            | TransferFailure::Cancelled
            | TransferFailure::BadTarget
            | TransferFailure::Policy(_)
            | TransferFailure::AlreadyTransferring
            | TransferFailure::NotAPhoneCall
            | TransferFailure::ApiKeyRefused
            | TransferFailure::SipServiceDown
            | TransferFailure::Overloaded
            | TransferFailure::CannotCall(_) => Action::Listen,
        };
        Reply {
            say: Some(failure.spoken().to_owned()),
            then,
        }
    }

    fn ask_for_message(&mut self) -> Reply {
        self.state = State::Message;
        listen(ASK_FOR_MESSAGE)
    }

    /// The answer to [`ASK_FOR_MESSAGE`]: a message, unless it is a short word for none.
    fn message(&mut self, text: &str) -> Reply {
        let is_short = text.split_whitespace().count() < A_MESSAGE;
        match Intent::of(text) {
            Intent::Nothing => nothing(),
            Intent::Repeat | Intent::Yes | Intent::Greeting if is_short => listen(ASK_FOR_MESSAGE),
            Intent::DoNotTransfer | Intent::Cancel if is_short => self.declined(),
            Intent::No | Intent::Goodbye | Intent::Thanks if is_short => self.keep_note(None),
            Intent::Repeat
            | Intent::DoNotTransfer
            | Intent::Cancel
            | Intent::No
            | Intent::Goodbye
            | Intent::Transfer
            | Intent::Yes
            | Intent::Greeting
            | Intent::Identity
            | Intent::Thanks
            | Intent::Help
            | Intent::Other => self.keep_note(Some(text.trim().to_owned())),
        }
    }

    fn keep_note(&mut self, message: Option<String>) -> Reply {
        self.state = State::Open;
        self.silences = 0;
        Reply {
            say: None,
            then: Action::KeepNote { message },
        }
    }

    fn noted(&mut self, kept: bool) -> Reply {
        self.state = State::Open;
        listen(match kept {
            true => {
                "Thank you. I have noted that you would like a call back. Is there anything else?"
            }
            false => {
                "I am sorry, I could not write that down, so nobody will know. Please call again later. Is there anything else?"
            }
        })
    }

    fn turn(&mut self, first: &str, second: Option<&str>) -> Reply {
        if self.state == State::Message {
            return self.message(first);
        }
        let intent = match (Intent::of(first), second) {
            (Intent::Other | Intent::Nothing, Some(second)) => Intent::of(second),
            (intent, _) => intent,
        };
        let reading = self.read(first, second);
        if intent == Intent::Nothing && matches!(reading, Reading::None) {
            return nothing();
        }
        self.silences = 0;
        match (&reading, intent) {
            (_, Intent::DoNotTransfer | Intent::Cancel) => {
                self.state = State::Open;
                self.misunderstandings = 0;
                return listen("All right, I will not transfer you. How else can I help?");
            }
            (Reading::None, Intent::Goodbye) => return goodbye(),
            (Reading::None, Intent::Repeat) if !self.last_said.is_empty() => {
                return listen(self.last_said.clone());
            }
            _ => {}
        }
        if matches!(reading, Reading::None) {
            let departments = self.departments();
            let wishes = [Some(first), second]
                .map(|text| text.map(|text| department::wish(text, intent, departments)));
            let department = wishes.iter().flatten().find_map(|wish| match wish {
                Wish::Department(department) => Some((*department).clone()),
                Wish::None | Wish::Unclear => None,
            });
            if let Some(department) = department {
                return self.transfer_to_department(&department);
            }
            if wishes.contains(&Some(Wish::Unclear)) {
                return self.ask_for_department();
            }
        }
        match self.state.clone() {
            State::Open => self.open(reading, intent),
            State::Number { begun } => self.number(begun, reading, intent),
            State::Keypad { entry } if entry.is_empty() => self.said_for_keys(reading, intent),
            // People read out what they press.
            State::Keypad { .. } => nothing(),
            State::Confirm { number } => self.confirmation(number, reading, intent, first),
            State::Offer => self.offer(reading, intent),
            State::CallBack => self.call_back(reading, intent, first),
            State::Message => self.message(first),
        }
    }

    fn open(&mut self, reading: Reading, intent: Intent) -> Reply {
        match (reading, intent) {
            (Reading::Number { number, agreed }, Intent::Transfer) => {
                self.heard_number(number, agreed)
            }
            // Who only mentions a number may not want to go there.
            (Reading::Number { number, .. }, _) => self.confirm(number),
            (Reading::Contradiction, _) => self.misunderstood(
                "Sorry, I am not sure about that number. Please say it again, digit by digit.",
            ),
            (Reading::Unusable { spoken, error }, _)
                if spoken.plus
                    || spoken.digits.len() >= A_NUMBER_ALONE
                    || (intent == Intent::Transfer && super::has_number(&spoken.digits)) =>
            {
                self.unusable(spoken, error)
            }
            (_, Intent::Transfer) => self.transfer(),
            (_, Intent::Yes) => listen("Good. Say transfer me, and I will connect you."),
            (_, Intent::No) => listen("All right. Is there anything else?"),
            (_, Intent::Greeting) => listen("Hello. How can I help?"),
            (_, Intent::Identity) => listen(format!(
                "This is {}, an automated assistant. I can transfer you to a person.",
                self.settings.behaviour.name()
            )),
            (_, Intent::Thanks) => listen("You are welcome. Is there anything else?"),
            (_, Intent::Help) => listen(
                "Say transfer me, or say transfer me to, and then a phone number with its country code.",
            ),
            (_, Intent::Repeat) => listen(self.greeting()),
            (
                _,
                Intent::Other
                | Intent::Nothing
                | Intent::Goodbye
                | Intent::Cancel
                | Intent::DoNotTransfer,
            ) => self.cannot_help(),
        }
    }

    /// The question was beyond us: somebody else may know.
    fn cannot_help(&mut self) -> Reply {
        if self.settings.default_transfer.is_none() {
            return listen("I am sorry, I can only transfer your call. To which number?");
        }
        self.state = State::Offer;
        listen("I am sorry, I cannot help with that. Shall I transfer you to someone who can?")
    }

    fn number(&mut self, begun: Option<SpokenNumber>, reading: Reading, intent: Intent) -> Reply {
        match (reading, intent) {
            (Reading::Number { number, agreed }, _) => self.heard_number(number, agreed),
            (Reading::Contradiction, _) => self.misunderstood(
                "Sorry, I heard two different numbers. Please say it once more, digit by digit.",
            ),
            (Reading::Unusable { spoken, error }, _) => {
                if let Some(joined) = begun.map(|begun| join(begun, &spoken)) {
                    match joined.phone_number(self.settings.default_region) {
                        Ok(number) => return self.confirm(number),
                        Err(SpokenNumberError::NoPhoneNumber(
                            ParsePhoneNumberError::TooShort { .. },
                        )) => return self.go_on(joined),
                        Err(_) => {}
                    }
                }
                self.unusable(spoken, error)
            }
            (Reading::None, Intent::Transfer | Intent::Yes)
                if self.settings.default_transfer.is_some() =>
            {
                self.transfer()
            }
            (
                Reading::None,
                Intent::Transfer
                | Intent::Yes
                | Intent::No
                | Intent::Greeting
                | Intent::Identity
                | Intent::Thanks
                | Intent::Help
                | Intent::Repeat
                | Intent::Other
                | Intent::Nothing
                | Intent::Goodbye
                | Intent::Cancel
                | Intent::DoNotTransfer,
            ) => self.misunderstood("Please say the number digit by digit, starting with plus."),
        }
    }

    /// Who was asked for keys may still say a number, or have no keypad.
    fn said_for_keys(&mut self, reading: Reading, intent: Intent) -> Reply {
        match (reading, intent) {
            (Reading::Number { number, agreed }, _) => self.heard_number(number, agreed),
            (_, Intent::Transfer) if self.settings.default_transfer.is_some() => self.transfer(),
            (_, Intent::No) => self.give_up(),
            (
                _,
                Intent::Transfer
                | Intent::Yes
                | Intent::Greeting
                | Intent::Identity
                | Intent::Thanks
                | Intent::Help
                | Intent::Repeat
                | Intent::Other
                | Intent::Nothing
                | Intent::Goodbye
                | Intent::Cancel
                | Intent::DoNotTransfer,
            ) => self.ask_for_keys(""),
        }
    }

    fn confirmation(
        &mut self,
        number: PhoneNumber,
        reading: Reading,
        intent: Intent,
        text: &str,
    ) -> Reply {
        match (reading, intent) {
            (Reading::Number { number: other, .. }, _) if other != number => self.confirm(other),
            (Reading::Unusable { spoken, .. }, _) if is_about_the_end(text) => {
                match with_tail(&number, &spoken.digits) {
                    Some(corrected) => self.confirm(corrected),
                    None => self.misunderstood("Sorry. Please say the whole number again."),
                }
            }
            (Reading::Unusable { .. } | Reading::Contradiction, _) => {
                self.misunderstood("Sorry. Please say the whole number again, digit by digit.")
            }
            (_, Intent::Yes) if !self.is_half_read => self.confirmed(number),
            (_, Intent::No) => self.rejected(),
            (
                _,
                Intent::Yes
                | Intent::Transfer
                | Intent::DoNotTransfer
                | Intent::Cancel
                | Intent::Repeat
                | Intent::Goodbye
                | Intent::Greeting
                | Intent::Identity
                | Intent::Thanks
                | Intent::Help
                | Intent::Other
                | Intent::Nothing,
            ) => ask_for_yes(&number),
        }
    }

    fn call_back(&mut self, reading: Reading, intent: Intent, text: &str) -> Reply {
        match (&reading, intent) {
            (Reading::None, Intent::Yes) => self.ask_for_message(),
            (Reading::None, Intent::No) => self.declined(),
            (Reading::None, Intent::Other | Intent::Help) if is_about_calling_back(text) => {
                self.ask_for_message()
            }
            _ => {
                self.state = State::Open;
                self.open(reading, intent)
            }
        }
    }

    fn offer(&mut self, reading: Reading, intent: Intent) -> Reply {
        match (&reading, intent) {
            (Reading::None, Intent::Yes | Intent::Transfer) => self.transfer(),
            (Reading::None, Intent::No) => self.declined(),
            _ => {
                self.state = State::Open;
                self.open(reading, intent)
            }
        }
    }

    /// Compares the two recognitions. One that is no phone number does not count against one that is:
    /// the read-back decides, and the two are seldom wrong in the same way.
    fn read(&self, first: &str, second: Option<&str>) -> Reading {
        let region = self.settings.default_region;
        let found: Vec<_> = [Some(first), second]
            .into_iter()
            .flatten()
            .filter_map(SpokenNumber::find)
            .map(|spoken| (spoken.phone_number(region), spoken))
            .collect();
        let reading = |number: &PhoneNumber, agreed| Reading::Number {
            number: number.clone(),
            agreed,
        };
        let mut numbers = found.iter().filter_map(|(number, _)| number.as_ref().ok());
        match (numbers.next(), numbers.next()) {
            (Some(one), Some(other)) if one != other => {
                // Some plans allow so many lengths that a lost digit leaves a possible number, but
                // seldom one in service.
                match (one.is_assigned(), other.is_assigned()) {
                    (true, false) => reading(one, false),
                    (false, true) => reading(other, false),
                    (true, true) | (false, false) => Reading::Contradiction,
                }
            }
            (Some(number), same) => reading(number, same.is_some()),
            (None, _) => found
                .into_iter()
                .find_map(|(number, spoken)| {
                    let error = number.err()?;
                    Some(Reading::Unusable { spoken, error })
                })
                .unwrap_or(Reading::None),
        }
    }

    fn unusable(&mut self, spoken: SpokenNumber, error: SpokenNumberError) -> Reply {
        match error {
            SpokenNumberError::NoPhoneNumber(ParsePhoneNumberError::TooShort { .. })
                if spoken.plus =>
            {
                self.go_on(spoken)
            }
            SpokenNumberError::NoPhoneNumber(_)
            | SpokenNumberError::Ambiguous(_)
            | SpokenNumberError::ExtensionAlone => self.misunderstood(error.spoken()),
        }
    }

    /// A number that has begun: people pause between its groups.
    fn go_on(&mut self, begun: SpokenNumber) -> Reply {
        let known = match &self.state {
            State::Number { begun: Some(known) } => known.digits.len(),
            State::Open
            | State::Number { begun: None }
            | State::Keypad { .. }
            | State::Confirm { .. }
            | State::Offer
            | State::CallBack
            | State::Message => 0,
        };
        if begun.digits.len() <= known {
            return self.misunderstood("Sorry, I lost the number. Please say all of it again.");
        }
        let so_far = words_of(&begun.digits);
        self.state = State::Number { begun: Some(begun) };
        listen(format!("I have plus {so_far}. What comes next?"))
    }

    fn misunderstood(&mut self, question: &str) -> Reply {
        self.misunderstandings += 1;
        match self.misunderstandings {
            ..PATIENCE => self.ask_for_number(question),
            PATIENCE..LAST_TRY => self.ask_for_keys(why(question)),
            LAST_TRY.. => self.give_up(),
        }
    }

    fn ask_for_keys(&mut self, why: &str) -> Reply {
        self.state = State::Keypad {
            entry: Entry::default(),
        };
        listen(format!("{why} {ENTER}").trim_start())
    }

    pub(super) fn ask_for_number(&mut self, question: &str) -> Reply {
        self.state = State::Number { begun: None };
        listen(question)
    }

    fn give_up(&mut self) -> Reply {
        self.misunderstandings = 0;
        if self.settings.default_transfer.is_none() {
            self.state = State::Open;
            return listen(
                "I am sorry, I could not get the number. Please have it ready in writing, or call again. How else can I help?",
            );
        }
        self.state = State::Offer;
        listen("I am sorry, I could not get the number. Shall I transfer you to our team?")
    }
}

/// Whether there is somebody who could call back: all that was tried has failed, and for no reason that asking
/// once more would mend. `named`: the person gave the number.
fn is_worth_a_call_back(failure: TransferFailure, named: bool) -> bool {
    match failure {
        TransferFailure::Refused { .. }
        | TransferFailure::TargetBusy
        | TransferFailure::TargetDeclined
        | TransferFailure::TargetNoAnswer
        | TransferFailure::TargetFault { .. }
        | TransferFailure::CannotCall(_)
        | TransferFailure::ApiKeyRefused
        | TransferFailure::SipServiceDown
        | TransferFailure::Overloaded => true,
        // A wrong number has nobody who calls back; ours, out of service, does.
        TransferFailure::TargetUnknown => !named,
        TransferFailure::Cancelled
        | TransferFailure::BadTarget
        | TransferFailure::Policy(_)
        | TransferFailure::AlreadyTransferring
        | TransferFailure::CallerGone
        | TransferFailure::NotAPhoneCall => false,
    }
}

fn nothing() -> Reply {
    Reply {
        say: None,
        then: Action::Listen,
    }
}

/// A question without its request to say something: "Sorry, I am not sure about that number."
fn why(question: &str) -> &str {
    question.split("Please").next().map_or("", str::trim_end)
}

fn listen(say: impl Into<String>) -> Reply {
    Reply {
        say: Some(say.into()),
        then: Action::Listen,
    }
}

fn ask_for_yes(number: &PhoneNumber) -> Reply {
    listen(format!(
        "I have {}. Please say yes if that is right, or no.",
        read_back(number)
    ))
}

fn goodbye() -> Reply {
    Reply {
        say: Some("Thank you for the call. Goodbye.".to_owned()),
        then: Action::HangUp,
    }
}

fn join(begun: SpokenNumber, more: &SpokenNumber) -> SpokenNumber {
    if more.plus {
        return more.clone();
    }
    SpokenNumber::plain(
        begun.plus,
        begun.digits + &more.digits,
        begun.region.or(more.region),
    )
}

/// "Please have them call me back."
fn is_about_calling_back(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("call") && text.contains("back")
}

/// "It ends in …", "the last four are …".
fn is_about_the_end(text: &str) -> bool {
    let text = text.to_lowercase();
    [
        "ends in",
        "ends with",
        "ending",
        "at the end",
        "the last",
        "end is",
    ]
    .iter()
    .any(|phrase| text.contains(phrase))
}

fn with_tail(number: &PhoneNumber, tail: &str) -> Option<PhoneNumber> {
    let digits = number.digits();
    let kept = digits.len().checked_sub(tail.len())?;
    // The country code is not corrected this way.
    if kept < number.country_code().len() {
        return None;
    }
    format!("+{}{tail}", &digits[..kept]).parse().ok()
}

#[cfg(test)]
mod tests;
