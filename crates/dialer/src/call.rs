//! From the command line to the call that is asked for.

use sip_config::DialerSettings;
use transfer_core::{JobMetadata, PhoneNumber};

use crate::cli::Args;
use crate::error::DialerError;
use crate::room_name::{keyed_room_name, room_name};

/// One call, ready to be dispatched.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) room: String,
    pub(crate) agent_name: String,
    pub(crate) number: PhoneNumber,
    pub(crate) metadata: JobMetadata,
}

impl Call {
    /// Whether the call's room remembers the call.
    pub(crate) fn is_keyed(&self) -> bool {
        self.metadata.idempotency_key.is_some()
    }
}

/// Reads the numbers of the command line and names the room.
pub(crate) fn plan(args: &Args, settings: DialerSettings) -> Result<Call, DialerError> {
    let parse = |flag, text: &str| {
        PhoneNumber::parse(text, settings.default_region)
            .map_err(|source| DialerError::Number { flag, source })
    };
    let parse_optional =
        |flag, text: &Option<String>| text.as_ref().map(|text| parse(flag, text)).transpose();
    let number = parse("--to", args.to())?;
    let metadata = JobMetadata {
        phone_number: Some(number.clone()),
        sip_headers: args
            .headers
            .iter()
            .map(|header| (header.name().to_owned(), header.value().to_owned()))
            .collect(),
        from_number: parse_optional("--from", &args.from)?,
        transfer_to: parse_optional("--transfer-to", &args.transfer_to)?,
        idempotency_key: args.idempotency_key.clone(),
        agent: args.agent.iter().cloned().collect(),
        ..JobMetadata::default()
    };
    Ok(Call {
        room: match &args.idempotency_key {
            Some(key) => keyed_room_name(&number, key),
            None => room_name(&number),
        },
        agent_name: settings.agent_name,
        number,
        metadata,
    })
}
