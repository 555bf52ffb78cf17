//! The worker against a server of ours that speaks the agent protocol on loopback.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::{future::pending, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use livekit_api::access_token::TokenVerifier;
use livekit_protocol as proto;
use prost::Message as _;
use proto::{server_message::Message as Server, worker_message::Message as Worker};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
    },
};
use tokio_util::sync::CancellationToken;
use voice_agent::worker::{
    self, Shutdown, WorkerSettings,
    messages::{Assignment, JobStatus},
    registration::{RegistrationError, RegistrationSettings},
    socket::Endpoint,
};

/// Reaching this means a bug, not a slow machine.
const LIMIT: Duration = Duration::from_secs(30);

const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn registers_for_room_jobs_with_a_token_that_carries_the_agent_grant() {
    let server = TestServer::start().await;
    let _worker = server.start_worker(|_, _| async { JobStatus::Success });

    let mut connection = server.accept().await;

    let claims = TokenVerifier::with_api_key("key", SECRET)
        .verify(&connection.token)
        .unwrap();
    assert!(claims.video.agent);
    assert_eq!(connection.path, "/agent");
    let Worker::Register(register) = connection.receive().await else {
        panic!("the first message registers");
    };
    assert_eq!(register.agent_name, "outbound-caller");
    assert_eq!(register.r#type(), proto::JobType::JtRoom);
}

#[tokio::test]
async fn runs_an_assigned_job_and_reports_how_it_ended() {
    let server = TestServer::start().await;
    let _worker = server.start_worker(|assignment, _| async move {
        assert_eq!(assignment.room, "call-AJ_1");
        assert_eq!(assignment.metadata, r#"{"phone_number":"+15550001234"}"#);
        assert_eq!(assignment.token, "room-token");
        JobStatus::Success
    });
    let mut connection = server.register().await;

    let accepted = connection.assign("AJ_1").await;

    assert_eq!(accepted.participant_identity, "agent-AJ_1");
    assert_eq!(
        connection.receive_job_update().await,
        ("AJ_1".to_owned(), "JS_SUCCESS")
    );
}

#[tokio::test]
async fn a_job_that_panics_takes_no_other_with_it() {
    let server = TestServer::start().await;
    let (go_on, mut go) = mpsc::channel::<()>(1);
    let mut steady = Some(async move {
        go.recv().await;
        JobStatus::Success
    });
    let _worker = server.start_worker(move |assignment, _| {
        let job = (assignment.id.as_str() == "AJ_steady").then(|| steady.take().unwrap());
        async move {
            match job {
                Some(job) => job.await,
                None => panic!("provoked by the test"),
            }
        }
    });
    let mut connection = server.register().await;

    connection.assign("AJ_steady").await;
    connection.assign("AJ_panics").await;
    assert_eq!(
        connection.receive_job_update().await,
        ("AJ_panics".to_owned(), "JS_FAILED")
    );

    go_on.send(()).await.unwrap();
    assert_eq!(
        connection.receive_job_update().await,
        ("AJ_steady".to_owned(), "JS_SUCCESS")
    );
}

#[tokio::test]
async fn reconnects_after_the_server_goes_away_and_reports_running_jobs() {
    let server = TestServer::start().await;
    let _worker = server.start_worker(|_, _| pending::<JobStatus>());
    let mut connection = server.register().await;
    connection.assign("AJ_1").await;

    drop(connection);
    let mut connection = server.register().await;

    let Worker::MigrateJob(running) = connection.receive().await else {
        panic!("running jobs are reported first");
    };
    assert_eq!(running.job_ids, ["AJ_1"]);
    assert_eq!(
        connection.receive_job_update().await,
        ("AJ_1".to_owned(), "JS_RUNNING")
    );
}

#[tokio::test]
async fn a_job_that_the_server_terminates_is_asked_to_end() {
    let server = TestServer::start().await;
    let _worker = server.start_worker(|_, end| async move {
        end.cancelled().await;
        JobStatus::Success
    });
    let mut connection = server.register().await;
    connection.assign("AJ_1").await;

    let termination = proto::JobTermination {
        job_id: "AJ_1".to_owned(),
    };
    connection.send(Server::Termination(termination)).await;

    assert_eq!(
        connection.receive_job_update().await,
        ("AJ_1".to_owned(), "JS_SUCCESS")
    );
}

#[tokio::test]
async fn drains_until_its_last_job_has_ended() {
    let server = TestServer::start().await;
    let (go_on, mut go) = mpsc::channel::<()>(1);
    let mut job = Some(async move {
        go.recv().await;
        JobStatus::Success
    });
    let worker = server.start_worker(move |_, _| job.take().expect("one job"));
    let mut connection = server.register().await;
    connection.assign("AJ_1").await;

    worker.shutdown.drain.cancel();
    connection.receive_draining().await;
    connection.offer("AJ_2").await;
    let Worker::Availability(answer) = connection.receive().await else {
        panic!("an offer is answered");
    };
    assert!(!answer.available);
    assert!(!worker.task.is_finished());

    go_on.send(()).await.unwrap();
    assert_eq!(
        connection.receive_job_update().await,
        ("AJ_1".to_owned(), "JS_SUCCESS")
    );
    assert_eq!(worker.end().await, Ok(()));
}

#[tokio::test]
async fn hanging_up_waits_for_jobs_that_end_cleanly() {
    let server = TestServer::start().await;
    let (started, mut has_started) = mpsc::channel::<()>(1);
    let worker = server.start_worker(move |_, end| {
        let started = started.clone();
        async move {
            started.send(()).await.unwrap();
            end.cancelled().await;
            JobStatus::Success
        }
    });
    let mut connection = server.register().await;
    connection.assign("AJ_1").await;
    has_started.recv().await.unwrap();

    worker.shutdown.hang_up.cancel();

    assert_eq!(
        connection.receive_job_update().await,
        ("AJ_1".to_owned(), "JS_SUCCESS")
    );
    assert_eq!(worker.end().await, Ok(()));
}

#[tokio::test]
async fn a_key_that_the_server_refuses_ends_the_worker() {
    let server = TestServer::start().await;
    let worker = server.start_worker(|_, _| async { JobStatus::Success });

    let (mut stream, _) = server.listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(refusal).await.unwrap();

    assert_eq!(worker.end().await, Err(RegistrationError::Unauthorized));
}

struct TestServer {
    listener: TcpListener,
}

impl TestServer {
    async fn start() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        }
    }

    fn start_worker<F, J>(&self, run_job: F) -> TestWorker
    where
        F: FnMut(Assignment, CancellationToken) -> J + Send + 'static,
        J: Future<Output = JobStatus> + Send + 'static,
    {
        let address = self.listener.local_addr().unwrap();
        let settings = WorkerSettings {
            endpoint: Endpoint {
                url: format!("ws://{address}").parse().unwrap(),
                api_key: "key".to_owned(),
                api_secret: SECRET.to_owned().into(),
            },
            registration: RegistrationSettings {
                agent_name: "outbound-caller".to_owned(),
                load_limit: None,
            },
        };
        let shutdown = Shutdown::default();
        let task = tokio::spawn(worker::run(settings, run_job, shutdown.clone()));
        TestWorker { task, shutdown }
    }

    async fn accept(&self) -> Connection {
        let (stream, _) = timeout(LIMIT, self.listener.accept())
            .await
            .unwrap()
            .unwrap();
        let (mut token, mut path) = (String::new(), String::new());
        #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
        let on_request = |request: &Request, response: Response| {
            let authorization = request.headers()["authorization"].to_str().unwrap();
            token = authorization.strip_prefix("Bearer ").unwrap().to_owned();
            path = request.uri().path().to_owned();
            Ok(response)
        };
        let stream = accept_hdr_async(stream, on_request).await.unwrap();
        Connection {
            stream,
            token,
            path,
        }
    }

    async fn register(&self) -> Connection {
        let mut connection = self.accept().await;
        assert!(matches!(connection.receive().await, Worker::Register(_)));
        let response = proto::RegisterWorkerResponse {
            worker_id: "AW_1".to_owned(),
            ..Default::default()
        };
        connection.send(Server::Register(response)).await;
        connection
    }
}

struct TestWorker {
    task: JoinHandle<Result<(), RegistrationError>>,
    shutdown: Shutdown,
}

impl TestWorker {
    async fn end(self) -> Result<(), RegistrationError> {
        timeout(LIMIT, self.task).await.unwrap().unwrap()
    }
}

struct Connection {
    stream: WebSocketStream<TcpStream>,
    token: String,
    path: String,
}

impl Connection {
    async fn send(&mut self, message: Server) {
        let frame = proto::ServerMessage {
            message: Some(message),
        }
        .encode_to_vec();
        self.stream
            .send(Message::Binary(frame.into()))
            .await
            .unwrap();
    }

    async fn receive_any(&mut self) -> Worker {
        loop {
            let frame = timeout(LIMIT, self.stream.next())
                .await
                .unwrap()
                .unwrap()
                .unwrap();
            if let Message::Binary(frame) = frame {
                return proto::WorkerMessage::decode(&frame[..])
                    .unwrap()
                    .message
                    .unwrap();
            }
        }
    }

    /// The next message that is no periodic one.
    async fn receive(&mut self) -> Worker {
        loop {
            let message = self.receive_any().await;
            if !matches!(message, Worker::UpdateWorker(_) | Worker::Ping(_)) {
                return message;
            }
        }
    }

    async fn receive_draining(&mut self) {
        loop {
            if let Worker::UpdateWorker(status) = self.receive_any().await
                && status.draining
            {
                assert_eq!(status.status(), proto::WorkerStatus::WsFull);
                return;
            }
        }
    }

    async fn receive_job_update(&mut self) -> (String, &'static str) {
        let Worker::UpdateJob(update) = self.receive().await else {
            panic!("a job update is due");
        };
        let status = update.status().as_str_name();
        (update.job_id, status)
    }

    async fn offer(&mut self, id: &str) {
        let request = proto::AvailabilityRequest {
            job: Some(job(id)),
            resuming: false,
        };
        self.send(Server::Availability(request)).await;
    }

    async fn assign(&mut self, id: &str) -> proto::AvailabilityResponse {
        self.offer(id).await;
        let Worker::Availability(answer) = self.receive().await else {
            panic!("an offer is answered");
        };
        assert!(answer.available);
        assert_eq!(answer.job_id, id);
        let assignment = proto::JobAssignment {
            job: Some(job(id)),
            url: None,
            token: "room-token".to_owned(),
        };
        self.send(Server::Assignment(assignment)).await;
        answer
    }
}

fn job(id: &str) -> proto::Job {
    proto::Job {
        id: id.to_owned(),
        room: Some(proto::Room {
            name: format!("call-{id}"),
            ..Default::default()
        }),
        metadata: r#"{"phone_number":"+15550001234"}"#.to_owned(),
        ..Default::default()
    }
}
