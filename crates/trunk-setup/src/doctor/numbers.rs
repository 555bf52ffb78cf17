//! Whether the numbers look like ones that can be called.

use transfer_core::PhoneNumber;

use super::finding::{Check, Finding};

/// Judges numbers that are in international form already.
pub(super) fn judge(outbound: &PhoneNumber, transfer: Option<&PhoneNumber>) -> Finding {
    let numbers = [
        ("VOBIZ_OUTBOUND_NUMBER", Some(outbound)),
        ("DEFAULT_TRANSFER_NUMBER", transfer),
    ];
    let mut evidence = Vec::new();
    for (name, number) in numbers {
        match number {
            None => evidence.push(format!("{name} is not set: \"Transfer me.\" leads nowhere")),
            Some(number) if !number.is_assigned() => evidence.push(format!(
                "{name} ({}) lies in no range that its country has put into service",
                number.masked()
            )),
            Some(_) => {}
        }
    }
    if evidence.is_empty() {
        return Finding::ok(Check::Numbers, "are complete, and of ranges in service");
    }
    let mut finding = Finding::warn(
        Check::Numbers,
        "some may not be callable",
        "check them digit by digit; test numbers and new ranges are warned about too",
    );
    finding.evidence = evidence;
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn unassigned_and_missing_numbers_are_warned_about_and_masked() {
        let real: PhoneNumber = "+442079460958".parse().unwrap();
        let unassigned: PhoneNumber = "+15550001234".parse().unwrap();
        assert_eq!(judge(&real, Some(&real)).status, Status::Ok);
        let finding = judge(&real, Some(&unassigned));
        assert_eq!(finding.status, Status::Warn);
        assert!(finding.evidence[0].contains("DEFAULT_TRANSFER_NUMBER (+1********34)"));
        assert!(judge(&unassigned, None).evidence[1].contains("not set"));
    }
}
