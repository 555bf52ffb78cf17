//! How to reach LiveKit.

use secrecy::SecretString;
use url::Url;

use crate::environment::{Reader, Settings};

/// The LiveKit server and the API key for it.
#[derive(Clone, Debug)]
pub struct LiveKitSettings {
    url: Url,
    pub api_key: String,
    pub api_secret: SecretString,
}

impl LiveKitSettings {
    /// Returns the address of the server API: `http://…` or `https://…`, without a slash at the end.
    pub fn api_url(&self) -> String {
        self.with_scheme("http")
    }

    /// Returns the address for signalling and workers: `ws://…` or `wss://…`, without a slash at the
    /// end.
    pub fn signal_url(&self) -> String {
        self.with_scheme("ws")
    }

    fn with_scheme(&self, plain: &str) -> String {
        let secure = match self.url.scheme() {
            "https" | "wss" => "s",
            _ => "",
        };
        let rest = &self.url[url::Position::BeforeHost..];
        format!("{plain}{secure}://{}", rest.trim_end_matches('/'))
    }
}

impl Settings for LiveKitSettings {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let url = reader.required("LIVEKIT_URL", parse_url);
        let api_key = reader.required("LIVEKIT_API_KEY", crate::variables::token);
        let api_secret = reader.required("LIVEKIT_API_SECRET", crate::variables::secret);
        Some(Self {
            url: url?,
            api_key: api_key?,
            api_secret: api_secret?,
        })
    }
}

fn parse_url(value: &str) -> Result<Url, UrlError> {
    let url = Url::parse(value.trim()).map_err(UrlError::Syntax)?;
    if !matches!(url.scheme(), "ws" | "wss" | "http" | "https") {
        return Err(UrlError::Scheme);
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(UrlError::NoHost);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::Credentials);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(UrlError::Query);
    }
    Ok(url)
}

#[derive(Debug, thiserror::Error)]
enum UrlError {
    #[error("it is not a URL ({0})")]
    Syntax(url::ParseError),
    #[error("it does not start with ws://, wss://, http:// or https://")]
    Scheme,
    #[error("it names no host")]
    NoHost,
    #[error("a user or password does not belong in it")]
    Credentials,
    #[error("it has a ? or a # in it")]
    Query,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_four_schemes_lead_to_both_addresses() {
        for (value, api, signal) in [
            (
                "ws://127.0.0.1:7880",
                "http://127.0.0.1:7880",
                "ws://127.0.0.1:7880",
            ),
            (
                "wss://p.livekit.cloud/",
                "https://p.livekit.cloud",
                "wss://p.livekit.cloud",
            ),
            (
                "http://localhost:7880",
                "http://localhost:7880",
                "ws://localhost:7880",
            ),
            (
                " https://[::1]:443/lk/ ",
                "https://[::1]/lk",
                "wss://[::1]/lk",
            ),
        ] {
            let settings = LiveKitSettings {
                url: parse_url(value).unwrap(),
                api_key: String::new(),
                api_secret: String::new().into(),
            };
            assert_eq!(settings.api_url(), api);
            assert_eq!(settings.signal_url(), signal);
        }
    }

    #[test]
    fn other_urls_are_refused_with_the_reason() {
        for (value, reason) in [
            (
                "p.livekit.cloud",
                "it is not a URL (relative URL without a base)",
            ),
            (
                "localhost:7880",
                "it does not start with ws://, wss://, http:// or https://",
            ),
            (
                "sip:p.livekit.cloud",
                "it does not start with ws://, wss://, http:// or https://",
            ),
            ("wss://", "it is not a URL (empty host)"),
            (
                "wss://key:secret@p.livekit.cloud",
                "a user or password does not belong in it",
            ),
            (
                "wss://p.livekit.cloud?token=secret",
                "it has a ? or a # in it",
            ),
            (
                "https://your host",
                "it is not a URL (invalid international domain name)",
            ),
        ] {
            assert_eq!(parse_url(value).unwrap_err().to_string(), reason, "{value}");
        }
    }
}
