//! Answers that are not what was asked for.

use std::time::Duration;

use reqwest::{
    Response, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use crate::Pause;

/// What a vendor's text may take up in a log line.
const LONGEST_MESSAGE: usize = 200;

/// How long the text of a refusal is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// For how long a vendor is left that is out of quota and does not say for how long.
const QUOTA_PAUSE: Duration = Duration::from_secs(30);

/// The vendor answered, with a status that says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 401 or 403: set another key, or give this one the right.
    #[error("the key was refused ({status})")]
    Key { status: u16 },
    /// 402 or 429: wait, or pay.
    #[error("out of quota, or too many requests ({status}{})", after(.retry_after))]
    Quota {
        status: u16,
        retry_after: Option<Duration>,
    },
    /// 5xx: the vendor has a fault.
    #[error("the server has a fault ({status})")]
    Server { status: u16 },
    /// Any other status, such as that of a model that does not exist.
    #[error("the request was refused ({status}): {message}")]
    Request {
        status: u16,
        /// The vendor's words, shortened, without the key.
        message: String,
    },
}

fn after(retry_after: &Option<Duration>) -> String {
    match retry_after {
        Some(pause) => format!(", again in {} s", pause.as_secs()),
        None => String::new(),
    }
}

impl Refusal {
    /// Passes on an answer that says yes.
    pub(crate) async fn of(response: Response, key: &SecretString) -> Result<Response, Self> {
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = match timeout(PATIENCE, response.bytes()).await {
            Ok(Ok(body)) => body,
            // The status says enough.
            Ok(Err(_)) | Err(_) => Default::default(),
        };
        Err(Self::new(status, &headers, &body, key))
    }

    pub(crate) fn new(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        key: &SecretString,
    ) -> Self {
        match status.as_u16() {
            status @ (401 | 403) => Self::Key { status },
            status @ (402 | 429) => Self::Quota {
                status,
                retry_after: retry_after(headers),
            },
            status @ 500.. => Self::Server { status },
            status => Self::Request {
                status,
                message: message(body, key),
            },
        }
    }

    pub fn pause(&self) -> Pause {
        match self {
            Self::Key { .. } | Self::Request { .. } => Pause::UntilFixed,
            Self::Quota { retry_after, .. } => Pause::For(retry_after.unwrap_or(QUOTA_PAUSE)),
            Self::Server { .. } => Pause::None,
        }
    }
}

/// The seconds of `Retry-After` (RFC 9110 §10.2.3). Its other form, a date, is not sent by these vendors.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse();
    seconds.ok().map(Duration::from_secs)
}

/// The vendor's own words: OpenAI's `error.message`, Deepgram's `err_msg` or `message`, Cartesia's `message`
/// or `error`, or the text itself.
pub(crate) fn message(body: &[u8], key: &SecretString) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let words = json.as_ref().and_then(|json| {
        [
            "/error/message",
            "/err_msg",
            "/message",
            "/error",
            "/detail",
        ]
        .iter()
        .find_map(|pointer| json.pointer(pointer)?.as_str().map(str::to_owned))
    });
    let words = words.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    printable(&words, key)
}

/// One line without the key.
pub(crate) fn printable(words: &str, key: &SecretString) -> String {
    let words = words.replace(key.expose_secret(), "***");
    let words: Vec<_> = words.split_whitespace().collect();
    let words = words.join(" ").replace(char::is_control, "");
    match words.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None if words.is_empty() => "it does not say why".to_owned(),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vendors_words_are_found_and_the_key_is_not_in_them() {
        let check = |body: &str, expect: &str| {
            assert_eq!(
                message(body.as_bytes(), &"the-key".into()),
                expect,
                "{body}"
            );
        };
        check(
            r#"{"error":{"message":"no such\nmodel","code":null}}"#,
            "no such model",
        );
        check(
            r#"{"err_code":"INVALID","err_msg":"Bad model","request_id":"1"}"#,
            "Bad model",
        );
        check(
            r#"{"title":"x","message":"Voice not found"}"#,
            "Voice not found",
        );
        check(r#"{"error":"no voice"}"#, "no voice");
        check("Invalid the-key\r\n", "Invalid ***");
        check("", "it does not say why");
        check(&"ä".repeat(300), &format!("{}…", "ä".repeat(200)));
    }

    #[test]
    fn a_status_becomes_what_can_be_done_about_it() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        let check = |status, expect: &str, pause| {
            let status = StatusCode::from_u16(status).unwrap();
            let refusal = Refusal::new(status, &headers, b"no such model", &"k".into());
            assert_eq!(refusal.to_string(), expect);
            assert_eq!(refusal.pause(), pause, "{expect}");
        };
        let seconds = |seconds| Pause::For(Duration::from_secs(seconds));
        check(401, "the key was refused (401)", Pause::UntilFixed);
        check(403, "the key was refused (403)", Pause::UntilFixed);
        check(
            402,
            "out of quota, or too many requests (402, again in 7 s)",
            seconds(7),
        );
        check(
            429,
            "out of quota, or too many requests (429, again in 7 s)",
            seconds(7),
        );
        check(500, "the server has a fault (500)", Pause::None);
        check(
            404,
            "the request was refused (404): no such model",
            Pause::UntilFixed,
        );
    }
}
