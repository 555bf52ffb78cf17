//! This machine's clock beside LiveKit's. API tokens say from when they are good.

use std::time::{Duration, SystemTime};

use super::finding::{Check, Finding};

/// LiveKit lets tokens be a minute off.
const REFUSED_FROM: Duration = Duration::from_secs(60);

/// The `Date` header counts whole seconds, and the answer takes time.
const WORTH_A_WARNING: Duration = Duration::from_secs(10);

/// Judges the `Date` header of LiveKit's answer, which came at `now`.
pub(super) fn judge(date: Option<&str>, now: SystemTime) -> Finding {
    let Some(server) = date.and_then(|date| httpdate::parse_http_date(date).ok()) else {
        return Finding::skipped(Check::Clock, "LiveKit's answer has no date");
    };
    let (off, direction) = match now.duration_since(server) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(error) => (error.duration(), "behind"),
    };
    let cause = format!(
        "this machine's clock is {} s {direction} LiveKit's",
        off.as_secs()
    );
    let finding = match off {
        off if off >= REFUSED_FROM => Finding::failed(
            Check::Clock,
            cause,
            "set the clock of the machine that is wrong, for instance with NTP; LiveKit refuses tokens of another time",
        ),
        off if off >= WORTH_A_WARNING => Finding::warn(
            Check::Clock,
            cause,
            "have NTP set the clocks of both machines",
        ),
        _ => return Finding::ok(Check::Clock, "agrees with LiveKit's"),
    };
    finding.with_evidence(format!(
        "LiveKit's Date header: {}",
        date.unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn a_clock_that_is_a_minute_off_fails_in_either_direction() {
        let date = "Wed, 25 Nov 2026 07:00:00 GMT";
        let server = httpdate::parse_http_date(date).unwrap();
        for (off, status) in [
            (0, Status::Ok),
            (9, Status::Ok),
            (10, Status::Warn),
            (60, Status::Failed),
            (86_400, Status::Failed),
        ] {
            let off = Duration::from_secs(off);
            assert_eq!(judge(Some(date), server + off).status, status, "{off:?}");
            assert_eq!(judge(Some(date), server - off).status, status, "-{off:?}");
        }
        assert_eq!(judge(None, server).status, Status::Skipped);
        assert_eq!(judge(Some("soon"), server).status, Status::Skipped);
    }
}
