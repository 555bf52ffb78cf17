//! The agent protocol's messages in our own words.
//!
//! Source: `livekit_agent.proto` of livekit/protocol, `WorkerMessage` and `ServerMessage`.
//! This module alone imports those protobufs; one WebSocket binary frame carries one message.

use std::fmt;

use livekit_protocol::{
    self as proto, server_message::Message as Server, worker_message::Message as Worker,
};
use prost::Message as _;

/// The identifier that the server gave to one assigned call, `AJ_…`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(String);

impl JobId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for JobId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the server tells about a job when it asks whether somebody takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobOffer {
    pub id: JobId,
    /// The dispatch that caused the job, `AD_…`; empty when a room configuration did.
    pub dispatch_id: String,
    pub room: String,
}

/// A job that the server gave to this worker, with what is needed to join its room.
#[derive(Clone, PartialEq, Eq)]
pub struct Assignment {
    pub id: JobId,
    pub dispatch_id: String,
    pub room: String,
    /// The dispatch's metadata as it was sent: the JSON of `transfer_core::JobMetadata`.
    pub metadata: String,
    /// Another address than the worker's own, when the room lives elsewhere.
    pub url: Option<String>,
    /// The access token for the room; it carries the identity that we answered with.
    pub token: String,
}

impl fmt::Debug for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assignment")
            .field("id", &self.id)
            .field("dispatch_id", &self.dispatch_id)
            .field("room", &self.room)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// A message from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerMessage {
    /// `RegisterWorkerResponse`: jobs may come from now on.
    Registered(Registered),
    /// `AvailabilityRequest`: will this worker take the job?
    Availability(JobOffer),
    /// `JobAssignment`: the job is ours.
    Assignment(Assignment),
    /// `JobTermination`: the room or its dispatch is gone, the job must end.
    Termination(JobId),
    /// `WorkerPong`, the answer to [`WorkerMessage::Ping`].
    Pong,
    /// `AgentHttp.GoAway`: the node drains, register again.
    GoAway { reason: String },
}

/// How the server introduced itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registered {
    /// `AW_…`, another one after each registration.
    pub worker_id: String,
    pub server_version: String,
    pub region: String,
    /// The signalling protocol of the server's rooms.
    pub protocol: i32,
}

/// A frame that is no [`ServerMessage`].
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("frame is not a `ServerMessage`")]
    Protobuf(#[source] prost::DecodeError),
    #[error("server sent a message that this worker does not know")]
    UnknownMessage,
    #[error("server sent `{message}` without its job")]
    MissingJob { message: &'static str },
}

impl ServerMessage {
    pub fn decode(frame: &[u8]) -> Result<Self, DecodeError> {
        let message = proto::ServerMessage::decode(frame)
            .map_err(DecodeError::Protobuf)?
            .message;
        Ok(match message.ok_or(DecodeError::UnknownMessage)? {
            Server::Register(response) => {
                let server = response.server_info.unwrap_or_default();
                Self::Registered(Registered {
                    worker_id: response.worker_id,
                    server_version: server.version,
                    region: server.region,
                    protocol: server.protocol,
                })
            }
            Server::Availability(request) => {
                let job = request.job.ok_or(DecodeError::MissingJob {
                    message: "availability",
                })?;
                Self::Availability(JobOffer {
                    id: JobId(job.id),
                    dispatch_id: job.dispatch_id,
                    room: job.room.unwrap_or_default().name,
                })
            }
            Server::Assignment(assignment) => {
                let job = assignment.job.ok_or(DecodeError::MissingJob {
                    message: "assignment",
                })?;
                Self::Assignment(Assignment {
                    id: JobId(job.id),
                    dispatch_id: job.dispatch_id,
                    room: job.room.unwrap_or_default().name,
                    metadata: job.metadata,
                    url: assignment.url.filter(|url| !url.is_empty()),
                    token: assignment.token,
                })
            }
            Server::Termination(termination) => Self::Termination(JobId(termination.job_id)),
            Server::Pong(_) => Self::Pong,
            Server::GoAway(go_away) => Self::GoAway {
                reason: go_away.reason,
            },
        })
    }
}

/// A message to the server.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkerMessage {
    /// `RegisterWorkerRequest` for jobs of type `JT_ROOM`; the first message on a connection.
    Register { agent_name: String },
    /// `AvailabilityResponse`, yes: `identity` and `name` are who we shall be in the room.
    Accept {
        job: JobId,
        identity: String,
        name: String,
    },
    /// `AvailabilityResponse`, no: the server asks another worker.
    Decline { job: JobId },
    /// `UpdateWorkerStatus`, every 2.5 s.
    Status(WorkerStatus),
    /// `UpdateJobStatus`.
    Job { job: JobId, status: JobStatus },
    /// `MigrateJobRequest`: jobs that run on although the connection is a new one.
    RunningJobs(Vec<JobId>),
    /// `WorkerPing`.
    Ping,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorkerStatus {
    /// `WS_FULL` if false: the server does not offer jobs.
    pub available: bool,
    pub draining: bool,
    /// 0.0 idle to 1.0; the server prefers the least loaded worker and never picks one at 1.0.
    pub load: f32,
    pub jobs: usize,
    /// Counts up within one registration, so that a late report changes nothing.
    pub sequence: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobStatus {
    Running,
    Success,
    /// The reason is shown to operators in LiveKit's dispatch list; no personal data.
    Failed {
        reason: String,
    },
}

impl WorkerMessage {
    pub fn encode(&self) -> Vec<u8> {
        let message = match self {
            Self::Register { agent_name } => Worker::Register(proto::RegisterWorkerRequest {
                r#type: proto::JobType::JtRoom.into(),
                agent_name: agent_name.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                allowed_permissions: Some(proto::ParticipantPermission {
                    can_publish: true,
                    can_subscribe: true,
                    can_publish_data: true,
                    can_update_metadata: true,
                    ..Default::default()
                }),
                ..Default::default()
            }),
            Self::Accept {
                job,
                identity,
                name,
            } => Worker::Availability(proto::AvailabilityResponse {
                job_id: job.0.clone(),
                available: true,
                participant_identity: identity.clone(),
                participant_name: name.clone(),
                ..Default::default()
            }),
            Self::Decline { job } => Worker::Availability(proto::AvailabilityResponse {
                job_id: job.0.clone(),
                available: false,
                ..Default::default()
            }),
            Self::Status(status) => Worker::UpdateWorker(proto::UpdateWorkerStatus {
                status: Some(if status.available {
                    proto::WorkerStatus::WsAvailable.into()
                } else {
                    proto::WorkerStatus::WsFull.into()
                }),
                load: status.load,
                job_count: u32::try_from(status.jobs).unwrap_or(u32::MAX),
                draining: status.draining,
                seq: status.sequence,
            }),
            Self::Job { job, status } => {
                let (status, error) = match status {
                    JobStatus::Running => (proto::JobStatus::JsRunning, String::new()),
                    JobStatus::Success => (proto::JobStatus::JsSuccess, String::new()),
                    JobStatus::Failed { reason } => (proto::JobStatus::JsFailed, reason.clone()),
                };
                Worker::UpdateJob(proto::UpdateJobStatus {
                    job_id: job.0.clone(),
                    status: status.into(),
                    error,
                })
            }
            Self::RunningJobs(jobs) => Worker::MigrateJob(proto::MigrateJobRequest {
                job_ids: jobs.iter().map(|job| job.0.clone()).collect(),
            }),
            // The server returns the timestamp unread, and we measure nothing with it.
            Self::Ping => Worker::Ping(proto::WorkerPing { timestamp: 0 }),
        };
        proto::WorkerMessage {
            message: Some(message),
        }
        .encode_to_vec()
    }
}
