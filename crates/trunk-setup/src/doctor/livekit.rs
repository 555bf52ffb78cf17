//! Whether LiveKit is there and takes the key.

use std::time::{Duration, SystemTime};

use livekit_protocol::SipOutboundTrunkInfo;
use sip_config::LiveKitSettings;

use super::{
    clock, describe,
    finding::{Check, Finding},
};
use crate::error::SetupError;
use crate::server::Server;

/// A server that is there answers its start page in milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// The findings, and the trunks if the server gave them.
pub(super) struct Seen {
    pub(super) livekit: Finding,
    pub(super) clock: Finding,
    pub(super) trunks: Result<Vec<SipOutboundTrunkInfo>, SetupError>,
}

/// Asks for the start page, whose answer carries the time, and for the trunks, which needs the key.
pub(super) async fn probe(settings: &LiveKitSettings, server: &Server) -> Seen {
    let http = reqwest::Client::new();
    let page = http.get(settings.api_url()).timeout(PATIENCE).send().await;
    let now = SystemTime::now();
    let clock = match &page {
        Ok(answer) => {
            let date = answer.headers().get("date");
            clock::judge(date.and_then(|date| date.to_str().ok()), now)
        }
        Err(_) => Finding::skipped(Check::Clock, "LiveKit cannot be reached"),
    };
    let trunks = match page {
        Ok(_) => server.trunks().await,
        Err(source) => Err(SetupError::Unreachable {
            url: settings.api_url(),
            source: Box::new(source),
        }),
    };
    Seen {
        livekit: judge(&settings.api_url(), trunks.as_ref().err()),
        clock,
        trunks,
    }
}

fn judge(url: &str, error: Option<&SetupError>) -> Finding {
    let Some(error) = error else {
        return Finding::ok(Check::Livekit, format!("{url} answers and takes the key"));
    };
    match error {
        // The key was looked at before that.
        SetupError::NoSip { .. } => {
            Finding::ok(Check::Livekit, format!("{url} answers and takes the key"))
        }
        SetupError::Unexplained { .. } | SetupError::ApiKeyRefused { .. } => Finding::failed(
            Check::Livekit,
            format!("LiveKit at {url} refuses the API key or its secret"),
            "set LIVEKIT_API_KEY and LIVEKIT_API_SECRET to a pair that the server knows; if they are right, look at the clock",
        )
        .with_evidence(describe(error)),
        other @ (SetupError::Load(_)
        | SetupError::Settings(_)
        | SetupError::Unreachable { .. }
        | SetupError::Refused { .. }
        | SetupError::Protocol(_)
        | SetupError::Plan(_)
        | SetupError::Inbound(_)
        | SetupError::EnvFile { .. }) => Finding::failed(
            Check::Livekit,
            format!("LiveKit at {url} cannot be used"),
            other
                .hint()
                .unwrap_or("look into the server's log, and check LIVEKIT_URL"),
        )
        .with_evidence(describe(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn a_refused_key_and_a_server_that_is_not_there_are_told_apart() {
        let url = "http://127.0.0.1:7880";
        let refused = SetupError::Unexplained {
            url: url.to_owned(),
        };
        let gone = SetupError::Unreachable {
            url: url.to_owned(),
            source: "connection refused".into(),
        };
        let no_sip = SetupError::NoSip {
            message: "sip not connected (redis required)".to_owned(),
        };
        assert!(
            judge(url, Some(&refused))
                .cause
                .contains("refuses the API key")
        );
        let gone = judge(url, Some(&gone));
        assert!(gone.cause.contains("cannot be used"));
        assert!(gone.fix.unwrap().contains("LIVEKIT_URL"));
        assert_eq!(judge(url, Some(&no_sip)).status, Status::Ok);
        assert_eq!(judge(url, None).status, Status::Ok);
    }
}
