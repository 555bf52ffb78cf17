//! The messages, as far as they are used.
//!
//! <https://developers.deepgram.com/reference/speech-to-text/listen-streaming>

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the server says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type")]
pub enum ServerMessage {
    Results(Results),
    /// Deepgram hears a voice.
    SpeechStarted {
        #[serde(deserialize_with = "seconds")]
        timestamp: Duration,
    },
    /// There was no word for a while after the last one.
    UtteranceEnd {
        #[serde(deserialize_with = "seconds")]
        last_word_end: Duration,
    },
    /// The stream has ended.
    Metadata {},
    Error {
        #[serde(alias = "message")]
        description: Option<String>,
    },
    /// What later versions may send.
    #[serde(other)]
    Unknown,
}

/// The words in a piece of the audio.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Results {
    #[serde(deserialize_with = "seconds")]
    pub start: Duration,
    #[serde(deserialize_with = "seconds")]
    pub duration: Duration,
    /// Whether these are the last results for this piece.
    pub is_final: bool,
    /// Whether a pause follows.
    #[serde(default)]
    pub speech_final: bool,
    /// Whether a `Finalize` made them final.
    #[serde(default)]
    pub from_finalize: bool,
    pub channel: Channel,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Channel {
    /// The best one first.
    pub alternatives: Vec<Alternative>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Alternative {
    pub transcript: String,
}

impl Results {
    /// The position in the audio up to which these results go.
    pub fn end(&self) -> Duration {
        self.start.saturating_add(self.duration)
    }

    /// The words; empty when there are none.
    pub fn text(&self) -> &str {
        let best = self.channel.alternatives.first();
        best.map_or("", |best| best.transcript.trim())
    }
}

/// What we say, besides audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
pub(super) enum ClientMessage {
    KeepAlive,
    Finalize,
    CloseStream,
}

impl ClientMessage {
    pub(super) fn json(self) -> String {
        serde_json::to_string(&self).expect("a message without fields is JSON")
    }
}

/// Seconds from the start of the audio. `UtteranceEnd` has -1 for a word that it does not know.
fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds.max(0.0)).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<ServerMessage, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn messages_of_the_documentation_are_understood() {
        let results = parse(
            r#"{"type":"Results","channel_index":[0,1],"duration":1.98,"start":0.5,"is_final":true,
            "speech_final":true,"channel":{"alternatives":[{"transcript":"tell me more about this",
            "confidence":0.99964225,"words":[{"word":"tell","start":0.07,"end":0.3,"confidence":0.99}]}]},
            "metadata":{"request_id":"1","model_info":{},"model_uuid":"2"},"from_finalize":false}"#,
        )
        .unwrap();
        let ServerMessage::Results(results) = results else {
            panic!("{results:?}")
        };
        assert_eq!(results.text(), "tell me more about this");
        assert_eq!(results.end(), Duration::from_millis(2480));
        assert_eq!(
            parse(r#"{"type":"UtteranceEnd","channel":[0,1],"last_word_end":-1}"#).unwrap(),
            ServerMessage::UtteranceEnd {
                last_word_end: Duration::ZERO
            }
        );
        assert_eq!(
            parse(r#"{"type":"SpeechStarted","channel":[0],"timestamp":9.54}"#).unwrap(),
            ServerMessage::SpeechStarted {
                timestamp: Duration::from_millis(9540)
            }
        );
        let metadata =
            r#"{"type":"Metadata","transaction_key":"deprecated","duration":3.1,"channels":1}"#;
        assert_eq!(parse(metadata).unwrap(), ServerMessage::Metadata {});
        assert_eq!(
            parse(r#"{"type":"TurnResumed","x":1}"#).unwrap(),
            ServerMessage::Unknown
        );
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for json in [
            "",
            "hello",
            "[]",
            "{}",
            r#"{"type":"Results"}"#,
            r#"{"type":"Results","start":1e400,"duration":1,"is_final":true,"channel":{"alternatives":[]}}"#,
            r#"{"type":"Results","start":1e300,"duration":1,"is_final":true,"channel":{"alternatives":[]}}"#,
        ] {
            assert!(parse(json).is_err(), "{json}");
        }
    }

    #[test]
    fn our_messages_are_those_of_the_documentation() {
        assert_eq!(ClientMessage::KeepAlive.json(), r#"{"type":"KeepAlive"}"#);
        assert_eq!(ClientMessage::Finalize.json(), r#"{"type":"Finalize"}"#);
        assert_eq!(
            ClientMessage::CloseStream.json(),
            r#"{"type":"CloseStream"}"#
        );
    }
}
