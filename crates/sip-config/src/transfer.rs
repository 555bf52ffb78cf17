//! Whom callers may be transferred to.

use transfer_core::policy::{Confirmation, Destination, DestinationName, TransferRules};
use transfer_core::{PhoneNumber, Region};

use crate::environment::{ParseError, Reader};
use crate::variables;

/// Every variable that begins with it and is no setting is the number of a department.
const PREFIX: &str = "TRANSFER_";

/// The department of the table, which stands for all of them.
const DEPARTMENT: &str = "TRANSFER_SALES";

/// Settings of their own, in versions that have them.
const SETTINGS: [&str; 6] = [
    "TRANSFER_CONFIRM",
    "TRANSFER_FALLBACK",
    "TRANSFER_HOLD_SOUND",
    "TRANSFER_MODE",
    "TRANSFER_NEXT",
    "TRANSFER_REASON",
];

/// Names that somebody takes for settings. As a department, `TRANSFER_DENY` would allow a number.
const MISTAKEN: [&str; 8] = [
    "TRANSFER_BLOCK",
    "TRANSFER_DEFAULT",
    "TRANSFER_DENY",
    "TRANSFER_FORBID",
    "TRANSFER_LIMIT",
    "TRANSFER_NUMBER",
    "TRANSFER_TIMEOUT",
    "TRANSFER_TO",
];

const MOST_PER_CALL: u32 = 100;
const MOST_PER_DAY: u32 = 100_000;

pub(crate) fn rules(
    reader: &mut Reader<'_>,
    default_number: Option<PhoneNumber>,
    region: Option<Region>,
) -> TransferRules {
    let allow = reader.optional("TRANSFER_ALLOW", str::parse);
    let destinations = destinations(reader, region);
    let max_per_call = reader.optional("TRANSFER_MAX_PER_CALL", |value| {
        up_to(MOST_PER_CALL, value).ok_or("it is not a whole number from 1 to 100")
    });
    let max_per_day = reader.optional("TRANSFER_MAX_PER_DAY", |value| {
        up_to(MOST_PER_DAY, value).ok_or("it is not a whole number from 1 to 100000")
    });
    let confirmation = reader.optional("TRANSFER_CONFIRM", confirmation);
    let defaults = TransferRules::default();
    TransferRules {
        default_number,
        destinations,
        allow,
        max_per_call: max_per_call.unwrap_or(defaults.max_per_call),
        max_per_day,
        confirmation: confirmation.unwrap_or_default(),
    }
}

fn destinations(reader: &mut Reader<'_>, region: Option<Region>) -> Vec<Destination> {
    let sales = reader.optional(DEPARTMENT, |value| destination(DEPARTMENT, value, region));
    let mut destinations = Vec::from_iter(sales);
    for (name, value) in reader.open_ended(PREFIX) {
        if SETTINGS.contains(&name.as_str()) {
            continue;
        }
        match destination(&name, &value, region) {
            Ok(destination) => destinations.push(destination),
            Err(error) => reader.open_ended_fault(name, DEPARTMENT, error),
        }
    }
    destinations
}

fn destination(
    variable: &str,
    value: &str,
    region: Option<Region>,
) -> Result<Destination, ParseError> {
    if MISTAKEN.contains(&variable) {
        return Err("there is no such setting, and it is no name for a department".into());
    }
    let name: DestinationName = variable.trim_start_matches(PREFIX).parse()?;
    let number = PhoneNumber::parse(value, region)?;
    Ok(Destination { name, number })
}

fn confirmation(value: &str) -> Result<Confirmation, &'static str> {
    match variables::switch(value)? {
        true => Ok(Confirmation::Always),
        false => Ok(Confirmation::WhenInDoubt),
    }
}

fn up_to(most: u32, value: &str) -> Option<u32> {
    let number = value.trim().parse().ok()?;
    (1..=most).contains(&number).then_some(number)
}
