//! Whether the carrier answers SIP, and takes the account.

use std::io;
use std::net::SocketAddr;

use sip_config::{Transport, TrunkSettings};

use super::finding::{Check, Finding};
use super::sip::{Dialogue, PATIENCE};

/// A user part that is no phone number: nobody's phone can ring.
const NOBODY: &str = "doctor-probe";

const ACCOUNT_FIX: &str = "check VOBIZ_USERNAME and VOBIZ_PASSWORD against the carrier's console, then run \
     `trunk-setup`; a carrier that knows its customers by address has to know this machine's too";

/// What a carrier answered, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Status { status: u16, text: String },
    Silence { error: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Digest {
    first: Answer,
    /// With credentials, when the first was a challenge.
    second: Option<Answer>,
    rang: bool,
}

/// Asks the carrier for its abilities, then for a call that cannot ring, without and with credentials.
pub(super) async fn probe(
    address: SocketAddr,
    transport: Transport,
    settings: &TrunkSettings,
) -> [Finding; 2] {
    if transport == Transport::Tls {
        let reason = "doctor speaks SIP over UDP and TCP only, and SIP_TRANSPORT is tls";
        return [Check::Options, Check::Digest].map(|check| Finding::skipped(check, reason));
    }
    let tcp = transport == Transport::Tcp;
    let options = match open(address, tcp, settings).await {
        Ok(mut dialogue) => match dialogue.options().await {
            Ok(response) => Answer::Status {
                status: response.status(),
                text: response.text(),
            },
            Err(error) => silence(&error),
        },
        Err(error) => silence(&error),
    };
    let digest = digest(address, tcp, settings).await;
    [
        judge_options(address, &options, &digest),
        judge_digest(&digest),
    ]
}

async fn open(address: SocketAddr, tcp: bool, settings: &TrunkSettings) -> io::Result<Dialogue> {
    let number = settings.number_format.write(&settings.outbound_number);
    let account = (settings.username.as_str(), &settings.password);
    Dialogue::open(address, tcp, &settings.domain, &number, account).await
}

async fn digest(address: SocketAddr, tcp: bool, settings: &TrunkSettings) -> Digest {
    let failed = |first| Digest {
        first,
        second: None,
        rang: false,
    };
    let mut dialogue = match open(address, tcp, settings).await {
        Ok(dialogue) => dialogue,
        Err(error) => return failed(silence(&error)),
    };
    let challenge = match dialogue.invite(NOBODY, None).await {
        Ok(answered) => answered,
        Err(error) => return failed(silence(&error)),
    };
    let status = challenge.response.status();
    let mut seen = Digest {
        first: Answer::Status {
            status,
            text: challenge.response.text(),
        },
        second: None,
        rang: challenge.rang,
    };
    if matches!(status, 401 | 407) {
        let second = dialogue.invite(NOBODY, Some(&challenge.response)).await;
        seen.second = Some(match second {
            Ok(answered) => {
                seen.rang |= answered.rang;
                Answer::Status {
                    status: answered.response.status(),
                    text: answered.response.text(),
                }
            }
            Err(error) => silence(&error),
        });
    }
    seen
}

fn silence(error: &io::Error) -> Answer {
    Answer::Silence {
        error: match error.kind() == io::ErrorKind::TimedOut {
            true => format!("no answer within {} s", PATIENCE.as_secs()),
            false => error.to_string(),
        },
    }
}

fn judge_options(address: SocketAddr, options: &Answer, digest: &Digest) -> Finding {
    match (options, &digest.first) {
        (Answer::Status { text, .. }, _) => {
            Finding::ok(Check::Options, format!("{address} answers {text}"))
        }
        (Answer::Silence { error }, Answer::Status { .. }) => Finding::warn(
            Check::Options,
            "the carrier does not answer OPTIONS, but it does answer INVITE",
            "nothing to repair; some carriers do not answer OPTIONS",
        )
        .with_evidence(format!("OPTIONS to {address}: {error}")),
        (Answer::Silence { error }, Answer::Silence { .. }) => Finding::failed(
            Check::Options,
            format!("the carrier at {address} does not answer"),
            "check VOBIZ_SIP_DOMAIN and SIP_TRANSPORT, and that the firewall lets SIP out and its answers in",
        )
        .with_evidence(format!("OPTIONS to {address}: {error}")),
    }
}

fn judge_digest(digest: &Digest) -> Finding {
    let finding = match (&digest.first, &digest.second) {
        (Answer::Silence { .. }, _) => {
            return Finding::skipped(Check::Digest, "the carrier does not answer");
        }
        (
            Answer::Status {
                status: 403, text, ..
            },
            None,
        ) => Finding::failed(
            Check::Digest,
            "the carrier refuses calls without asking for a password",
            ACCOUNT_FIX,
        )
        .with_evidence(format!("INVITE without credentials: {text}")),
        (Answer::Status { text, .. }, None) => Finding::ok(
            Check::Digest,
            format!("the carrier asks for no password ({text})"),
        ),
        (
            _,
            Some(Answer::Status {
                status: 401 | 403 | 407,
                text,
            }),
        ) => Finding::failed(
            Check::Digest,
            "the carrier refuses the user or the password",
            ACCOUNT_FIX,
        )
        .with_evidence(format!("INVITE with credentials: {text}")),
        (_, Some(Answer::Status { text, .. })) => Finding::ok(
            Check::Digest,
            format!("user and password are accepted ({text} for nobody's number)"),
        ),
        (_, Some(Answer::Silence { error })) => Finding::warn(
            Check::Digest,
            "the carrier does not answer the credentials",
            "run doctor again; if it stays so, ask the carrier",
        )
        .with_evidence(format!("INVITE with credentials: {error}")),
    };
    match digest.rang {
        true => finding.with_evidence(format!("`{NOBODY}` rang, and was cancelled at once")),
        false => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    fn status(status: u16) -> Answer {
        Answer::Status {
            status,
            text: status.to_string(),
        }
    }

    fn silent() -> Answer {
        silence(&io::ErrorKind::TimedOut.into())
    }

    #[test]
    fn a_refusal_counts_only_where_the_credentials_were_looked_at() {
        for (first, second, expected) in [
            (status(407), Some(status(404)), Status::Ok),
            (status(401), Some(status(484)), Status::Ok),
            (status(407), Some(status(486)), Status::Ok),
            (status(407), Some(status(407)), Status::Failed),
            (status(407), Some(status(403)), Status::Failed),
            (status(401), Some(status(401)), Status::Failed),
            (status(407), Some(silent()), Status::Warn),
            (status(404), None, Status::Ok),
            (status(403), None, Status::Failed),
            (silent(), None, Status::Skipped),
        ] {
            let digest = Digest {
                first,
                second,
                rang: false,
            };
            assert_eq!(judge_digest(&digest).status, expected, "{digest:?}");
        }
    }

    #[test]
    fn silence_to_options_fails_only_if_the_carrier_is_silent_altogether() {
        let address = "127.0.0.1:5060".parse().unwrap();
        for (options, first, expected) in [
            (status(200), silent(), Status::Ok),
            (status(405), status(407), Status::Ok),
            (silent(), status(407), Status::Warn),
            (silent(), silent(), Status::Failed),
        ] {
            let digest = Digest {
                first,
                second: None,
                rang: false,
            };
            assert_eq!(judge_options(address, &options, &digest).status, expected);
        }
    }
}
