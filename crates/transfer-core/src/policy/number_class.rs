//! Numbers that cost more than a call, or reach no ordinary phone.
//!
//! Three sources, in this order:
//!
//! 1. ITU-T's list of assigned country codes (Recommendation E.164, annex to the Operational Bulletin):
//!    which codes belong to no country, but to satellites and other worldwide networks and services.
//! 2. [`RANGES`]: what libphonenumber's metadata lacks. It lists ranges that are in service; a whole range
//!    that is set aside for premium services is refused here, because what is put into service
//!    tomorrow is not ordinary either.
//! 3. libphonenumber's metadata, by the type of the number.

use std::fmt;

use phonenumber::{Type, metadata::Metadata};

use crate::PhoneNumber;

/// A kind of number that is never reached unless it is named one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NumberClass {
    PremiumRate,
    /// The tariff is the called company's choice; partly paid by the caller.
    SharedCost,
    /// Follows a person, at a tariff that nobody sees (UK 070).
    PersonalNumber,
    Pager,
    /// A mailbox's own number: no person is there.
    Voicemail,
    /// Satellites, worldwide networks and services: country codes of no country.
    GlobalNetwork,
    /// A country code that is assigned to nobody.
    UnassignedCode,
    /// Begins like an emergency number and lies in no range that is in service.
    Emergency,
    /// A service number such as directory enquiries, with a country code in front.
    ShortCode,
}

impl fmt::Display for NumberClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PremiumRate => "premium rate",
            Self::SharedCost => "shared cost",
            Self::PersonalNumber => "personal",
            Self::Pager => "pager",
            Self::Voicemail => "voicemail",
            Self::GlobalNetwork => "satellite and global network",
            Self::UnassignedCode => "unassigned country code",
            Self::Emergency => "emergency",
            Self::ShortCode => "short code",
        })
    }
}

/// Country codes that belong to no country.
///
/// ITU-T E.164's list of assigned country codes, its notes on global services, and the codes that it
/// withdrew. +800, the international freephone service, is left out: it costs the caller nothing.
const GLOBAL_CODES: [&str; 18] = [
    // Groups of countries (388), international shared cost (808).
    "388", "808",
    // Inmarsat (870; 871 to 874 until 2008), reserved for maritime mobile services (875 to 877).
    "870", "871", "872", "873", "874", "875", "876", "877",
    // Universal personal telecommunications, national non-commercial purposes.
    "878", "879",
    // Satellites: Globalstar and Iridium (881); international networks, satellites among them (882, 883).
    "881", "882", "883",
    // Disaster relief (withdrawn), international premium rate, trials.
    "888", "979", "991",
];

/// Ranges by their first digits, country code included, with where they are set aside.
#[rustfmt::skip]
const RANGES: &[(&str, NumberClass)] = {
    use NumberClass::{PersonalNumber, PremiumRate, SharedCost, ShortCode, Pager};
    &[
        // North America: Pay-Per-Call services (NANPA, "900 NXX"); personal communications services
        // that bill the caller (NANPA, "5XX NPA"); carrier services (700).
        ("1900", PremiumRate),
        ("1500", PersonalNumber), ("1521", PersonalNumber), ("1522", PersonalNumber), ("1523", PersonalNumber),
        ("1524", PersonalNumber), ("1525", PersonalNumber), ("1526", PersonalNumber), ("1527", PersonalNumber),
        ("1528", PersonalNumber), ("1529", PersonalNumber), ("1532", PersonalNumber), ("1533", PersonalNumber),
        ("1535", PersonalNumber), ("1538", PersonalNumber), ("1542", PersonalNumber), ("1543", PersonalNumber),
        ("1544", PersonalNumber), ("1545", PersonalNumber), ("1546", PersonalNumber), ("1547", PersonalNumber),
        ("1549", PersonalNumber), ("1550", PersonalNumber), ("1552", PersonalNumber), ("1553", PersonalNumber),
        ("1554", PersonalNumber), ("1556", PersonalNumber), ("1566", PersonalNumber), ("1558", PersonalNumber),
        ("1569", PersonalNumber), ("1577", PersonalNumber), ("1578", PersonalNumber), ("1588", PersonalNumber),
        ("1589", PersonalNumber), ("1700", SharedCost),
        // United Kingdom (Ofcom, National Telephone Numbering Plan): 09 premium, 084 and 087 revenue
        // sharing, 070 personal, 118 directory enquiries as far as they are reached with a country code.
        ("449", PremiumRate), ("4484", SharedCost), ("4487", SharedCost), ("4470", PersonalNumber),
        // Germany (Bundesnetzagentur): 0900 and the former 0190 premium, 0180 shared cost, 0137 mass
        // traffic, 0700 personal, 118 directory enquiries, 0164 to 0169 pagers.
        ("49900", PremiumRate), ("49190", PremiumRate), ("49180", SharedCost), ("49137", SharedCost),
        ("49700", PersonalNumber), ("49118", ShortCode), ("49164", Pager), ("49168", Pager), ("49169", Pager),
        // Austria (RTR): 09 premium, 0810 to 0828 shared cost, 118 directory enquiries.
        ("43900", PremiumRate), ("43901", PremiumRate), ("43930", PremiumRate), ("43931", PremiumRate),
        ("43939", PremiumRate), ("43810", SharedCost), ("43820", SharedCost), ("43821", SharedCost),
        ("43828", SharedCost), ("43118", ShortCode),
        // Switzerland (BAKOM): 090x premium, 084x and 0878 shared cost.
        ("41900", PremiumRate), ("41901", PremiumRate), ("41906", PremiumRate), ("4184", SharedCost),
        ("41878", SharedCost),
        // France (Arcep): 081, 082 and 089 bill for the service; 080 does not.
        ("3381", SharedCost), ("3382", SharedCost), ("3389", PremiumRate),
        // Italy (AGCOM): 89 premium, 199, 178 and 84 shared cost, 12 and 4 (as in 4x xxx) directory and carrier services.
        ("3989", PremiumRate), ("39166", PremiumRate), ("39144", PremiumRate), ("39199", SharedCost),
        ("39178", PersonalNumber), ("3984", SharedCost), ("3912", ShortCode),
        // Spain (CNMC): 803, 806, 807, 905, 907 premium, 901 and 902 shared cost, 70 personal, 118 directory.
        ("34803", PremiumRate), ("34806", PremiumRate), ("34807", PremiumRate), ("34905", PremiumRate),
        ("34907", PremiumRate), ("34901", SharedCost), ("34902", SharedCost), ("3470", PersonalNumber),
        // Netherlands (ACM), Belgium (BIPT), Sweden (PTS), Norway (Nkom), Denmark, Poland (UKE), Ireland (ComReg).
        ("3190", PremiumRate), ("3290", PremiumRate), ("46900", PremiumRate), ("46939", PremiumRate),
        ("46944", PremiumRate), ("4677", SharedCost), ("4782", PremiumRate), ("4590", PremiumRate),
        ("4870", PremiumRate), ("48801", SharedCost), ("353151", PremiumRate), ("353152", PremiumRate),
        ("353153", PremiumRate), ("353154", PremiumRate), ("353155", PremiumRate), ("353156", PremiumRate),
        ("353157", PremiumRate), ("353158", PremiumRate), ("353159", PremiumRate),
        // India (DoT, National Numbering Plan): 186 universal access and premium, 190 premium.
        ("91186", SharedCost), ("91190", PremiumRate), ("91900000", PremiumRate),
        // Japan (MIC): 0990 premium, 0570 navigation dial, which bills the caller by its length.
        ("81990", PremiumRate), ("81570", SharedCost),
        // Australia (ACMA): 190 premium, 13 local rate. New Zealand: 0900.
        ("61190", PremiumRate), ("6113", SharedCost), ("64900", PremiumRate),
        // Russia (Mintsifry): 809 and 803 premium.
        ("7809", PremiumRate), ("7803", PremiumRate),
    ]
};

/// What metadata calls the kinds that are refused.
const REFUSED_TYPES: [(Type, NumberClass); 5] = [
    (Type::PremiumRate, NumberClass::PremiumRate),
    (Type::SharedCost, NumberClass::SharedCost),
    (Type::PersonalNumber, NumberClass::PersonalNumber),
    (Type::Pager, NumberClass::Pager),
    (Type::Voicemail, NumberClass::Voicemail),
];

/// Emergency numbers (ITU-T E.161.1 recommends 112 and 911), and those that countries kept.
const EMERGENCY: [&str; 8] = ["112", "911", "999", "000", "110", "119", "100", "108"];

/// No national number that is so short is an ordinary one, unless its range is in service.
const SHORT_CODE_DIGITS: usize = 5;

impl NumberClass {
    /// Returns the class of a number; `None` for an ordinary one.
    pub(super) fn of(number: &PhoneNumber) -> Option<Self> {
        if let Some(class) = Self::of_prefix(number.digits()) {
            return Some(class);
        }
        let plans = number.plans();
        if plans.is_empty() {
            return Some(Self::UnassignedCode);
        }
        let national = number.national();
        let by_type = REFUSED_TYPES
            .into_iter()
            .find(|(kind, _)| plans.iter().any(|plan| is(national, *kind, plan)));
        if let Some((_, class)) = by_type {
            return Some(class);
        }
        if number.country_code() == "1" {
            return of_north_american(number);
        }
        if number.is_assigned() {
            return None;
        }
        if national.len() <= SHORT_CODE_DIGITS {
            return Some(Self::ShortCode);
        }
        EMERGENCY
            .iter()
            .any(|emergency| national.starts_with(emergency))
            .then_some(Self::Emergency)
    }

    /// Returns the class of all numbers whose first digits, country code included, these are.
    pub(super) fn of_prefix(digits: &str) -> Option<Self> {
        let global = GLOBAL_CODES.iter().any(|code| digits.starts_with(code));
        if global {
            return Some(Self::GlobalNetwork);
        }
        RANGES
            .iter()
            .find(|(range, _)| digits.starts_with(range))
            .map(|(_, class)| *class)
    }

    /// Returns what the agent tells the caller.
    pub(super) fn spoken(self) -> &'static str {
        match self {
            Self::PremiumRate => {
                "I'm sorry, I do not transfer calls to premium rate numbers. Is there another number?"
            }
            Self::SharedCost => {
                "I'm sorry, I do not transfer calls to numbers with a special tariff. Is there another number?"
            }
            Self::PersonalNumber | Self::Pager | Self::Voicemail => {
                "I'm sorry, I can only transfer calls to ordinary phone numbers. Is there another number?"
            }
            Self::GlobalNetwork => {
                "I'm sorry, I do not transfer calls to satellite or international service numbers. Is there another number?"
            }
            Self::UnassignedCode => {
                "I'm sorry, there is no country with that code. Is there another number?"
            }
            Self::Emergency => {
                "I'm sorry, I cannot transfer emergency calls. Please hang up and dial the emergency number yourself."
            }
            Self::ShortCode => {
                "I'm sorry, I do not transfer calls to short service numbers. Is there another number?"
            }
        }
    }
}

/// Whether the national number is of a kind, and not one that the plan also lists as ordinary.
fn is(national: &str, kind: Type, plan: &Metadata) -> bool {
    let matches = |kind| {
        plan.descriptors()
            .get(kind)
            .is_some_and(|kind| kind.is_match(national))
    };
    let ordinary = || matches(Type::FixedLine) || matches(Type::Mobile);
    matches(kind) && !(matches!(kind, Type::Voicemail) && ordinary())
}

/// Area codes of three like digits' form N11 are service codes (211 to 911), and two exchanges bill
/// the caller wherever they are: 976 (pay per call) and 555-1212 (directory assistance).
/// Other countries under +1 use 976 for ordinary phones.
fn of_north_american(number: &PhoneNumber) -> Option<NumberClass> {
    let (area, line) = number.national().split_at(3);
    let is_north = number
        .region()
        .is_some_and(|region| ["US", "CA"].contains(&region.to_string().as_str()));
    match (area, line) {
        ("911", _) => Some(NumberClass::Emergency),
        (area, _) if area.ends_with("11") => Some(NumberClass::ShortCode),
        (_, line) if is_north && line.starts_with("976") => Some(NumberClass::PremiumRate),
        (_, "5551212") => Some(NumberClass::PremiumRate),
        _ => None,
    }
}

/// The first digits of everything that no prefix may allow.
#[cfg(test)]
pub(super) fn refused_ranges() -> Vec<&'static str> {
    let ranges = RANGES.iter().map(|(range, _)| *range);
    GLOBAL_CODES.into_iter().chain(ranges).collect()
}
