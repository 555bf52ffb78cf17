//! Whether the language model's server takes the key.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use sip_config::LlmSettings;

use super::finding::{Check, Finding};

const PATIENCE: Duration = Duration::from_secs(10);

/// Asks for the list of models, which costs nothing.
pub(super) async fn probe(settings: &LlmSettings) -> Finding {
    let url = format!(
        "{}/models",
        settings.base_url.as_str().trim_end_matches('/')
    );
    let request = reqwest::Client::new()
        .get(&url)
        .bearer_auth(settings.api_key.expose_secret())
        .timeout(PATIENCE);
    match request.send().await {
        Ok(answer) => judge(&url, Ok(answer.status().as_u16())),
        Err(error) => judge(&url, Err(&error.without_url().to_string())),
    }
}

fn judge(url: &str, answer: Result<u16, &str>) -> Finding {
    match answer {
        Ok(200..=299) => Finding::ok(Check::LanguageModel, "the server takes OPENAI_API_KEY"),
        Ok(status @ (401 | 403)) => Finding::failed(
            Check::LanguageModel,
            "the server refuses OPENAI_API_KEY",
            "set a key of that server, or none: the built-in dialogue needs no key",
        )
        .with_evidence(format!("GET {url}: {status}")),
        Ok(status) => Finding::warn(
            Check::LanguageModel,
            "the server does not say whether it takes OPENAI_API_KEY",
            "check OPENAI_BASE_URL, which ends in /v1 with most servers",
        )
        .with_evidence(format!("GET {url}: {status}")),
        Err(error) => Finding::failed(
            Check::LanguageModel,
            "the server cannot be reached",
            "check OPENAI_BASE_URL",
        )
        .with_evidence(format!("GET {url}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn only_a_refusal_of_the_key_and_silence_fail() {
        let status = |answer| judge("http://x/v1/models", answer).status;
        assert_eq!(status(Ok(200)), Status::Ok);
        assert_eq!(status(Ok(401)), Status::Failed);
        assert_eq!(status(Ok(404)), Status::Warn);
        assert_eq!(status(Err("refused")), Status::Failed);
    }
}
