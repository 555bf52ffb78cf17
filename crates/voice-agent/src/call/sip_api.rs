//! `TransferSIPParticipant` with the answer that LiveKit gives: `livekit-api` drops the response and the details
//! of an error, which is where newer servers say how the transfer ended.

use std::{collections::HashMap, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use livekit_api::access_token::{AccessToken, AccessTokenError, SIPGrants, VideoGrants};
use livekit_protocol as proto;
use prost::Message;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use transfer_core::{SipStatus, TransferReason, TwirpFailure};

/// The end of the type URL of `livekit.SIPTransferError` in an `Any`.
const TRANSFER_ERROR: &str = "livekit.SIPTransferError";

pub(super) struct SipApi {
    http: reqwest::Client,
    transfer_url: String,
    api_key: String,
    api_secret: String,
}

/// Why a transfer has no successful answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SipApiError {
    #[error("cannot sign the request")]
    Token(#[from] AccessTokenError),
    #[error("LiveKit did not answer")]
    Http(#[from] reqwest::Error),
    #[error("LiveKit's answer cannot be read")]
    Response(#[from] prost::DecodeError),
    #[error("LiveKit answered {}: {}", .0.code, .0.msg)]
    Twirp(ErrorAnswer),
}

/// Twirp's JSON for errors.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorAnswer {
    code: String,
    msg: String,
    #[serde(default)]
    meta: HashMap<String, String>,
}

/// `google.rpc.Status`, which LiveKit puts into an error's `meta`.
#[derive(Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<RpcDetail>,
}

/// `google.protobuf.Any`.
#[derive(Message)]
struct RpcDetail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

impl SipApi {
    /// `host` is LiveKit's address as `http://` or `https://`.
    pub(super) fn new(host: &str, api_key: &str, api_secret: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            transfer_url: format!(
                "{}/twirp/livekit.SIP/TransferSIPParticipant",
                host.trim_end_matches('/')
            ),
            api_key: api_key.to_owned(),
            api_secret: api_secret.to_owned(),
        }
    }

    /// Sends the request once, and waits up to `limit` for the answer.
    pub(super) async fn transfer(
        &self,
        request: proto::TransferSipParticipantRequest,
        limit: Duration,
    ) -> Result<proto::TransferSipParticipantResponse, SipApiError> {
        let token = AccessToken::with_api_key(&self.api_key, &self.api_secret)
            .with_grants(VideoGrants {
                room_admin: true,
                room: request.room_name.clone(),
                ..VideoGrants::default()
            })
            .with_sip_grants(SIPGrants {
                call: true,
                ..SIPGrants::default()
            })
            .to_jwt()?;
        let response = self
            .http
            .post(&self.transfer_url)
            .header(CONTENT_TYPE, "application/protobuf")
            .bearer_auth(token)
            .body(request.encode_to_vec())
            .timeout(limit)
            .send()
            .await?;
        if response.status().is_success() {
            return Ok(Message::decode(response.bytes().await?)?);
        }
        Err(SipApiError::Twirp(response.json().await?))
    }
}

impl SipApiError {
    /// LiveKit's own answer, or `None` when there was none to read.
    pub(super) fn twirp_failure(&self) -> Option<TwirpFailure<'_>> {
        let Self::Twirp(answer) = self else {
            return None;
        };
        let sip_status = answer.meta.get("sip_status_code");
        Some(TwirpFailure {
            code: &answer.code,
            message: &answer.msg,
            sip_status: sip_status
                .and_then(|status| status.parse().ok())
                .map(SipStatus),
            transfer_reason: answer.transfer_reason(),
        })
    }
}

impl ErrorAnswer {
    fn transfer_reason(&self) -> Option<TransferReason> {
        let details = BASE64_STANDARD
            .decode(self.meta.get("error_details")?)
            .ok()?;
        let status = RpcStatus::decode(details.as_slice()).ok()?;
        let detail = status
            .details
            .iter()
            .find(|detail| detail.type_url.ends_with(TRANSFER_ERROR))?;
        let error = proto::SipTransferError::decode(detail.value.as_slice()).ok()?;
        TransferReason::from_wire(error.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_found_in_the_details_of_an_error() {
        let error = proto::SipTransferError {
            reason: proto::SipTransferReason::StrRingingTimeout as i32,
            ..Default::default()
        };
        let status = RpcStatus {
            details: vec![
                RpcDetail {
                    type_url: "type.googleapis.com/livekit.SIPStatus".to_owned(),
                    value: vec![0xff],
                },
                RpcDetail {
                    type_url: format!("type.googleapis.com/{TRANSFER_ERROR}"),
                    value: error.encode_to_vec(),
                },
            ],
        };
        let check = |details: String, reason| {
            let answer = ErrorAnswer {
                code: "deadline_exceeded".to_owned(),
                msg: "request timed out".to_owned(),
                meta: [("error_details".to_owned(), details)].into(),
            };
            assert_eq!(answer.transfer_reason(), reason);
        };
        check(
            BASE64_STANDARD.encode(status.encode_to_vec()),
            Some(TransferReason::RingingTimeout),
        );
        check("not base64!".to_owned(), None);
        check(BASE64_STANDARD.encode([0xff, 0xff]), None);
    }
}
