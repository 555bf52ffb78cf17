use rand::SeedableRng as _;

use super::*;

#[test]
fn registers_under_its_agent_name_as_soon_as_it_is_connected() {
    let mut worker = Worker::new(None);

    assert_eq!(worker.outputs(), [Output::Connect]);
    worker.registration.handle_connected(worker.now);

    assert_eq!(
        worker.sent(),
        [WorkerMessage::Register {
            agent_name: "outbound-caller".to_owned()
        }]
    );
}

#[test]
fn accepts_an_offer_and_starts_the_job_when_it_is_assigned() {
    let mut worker = Worker::registered(None);

    worker.receive(offer("AJ_1"));
    assert_eq!(worker.sent(), [accept("AJ_1")]);

    worker.receive(assignment("AJ_1"));
    assert_eq!(worker.started(), ["AJ_1"]);
    assert_eq!(worker.registration.running_jobs(), 1);
}

#[test]
fn an_assignment_after_the_limit_is_failed_and_not_started() {
    for (waited, starts) in [
        (Duration::from_millis(7499), true),
        (ASSIGNMENT_TIMEOUT, false),
    ] {
        let mut worker = Worker::registered(None);
        worker.receive(offer("AJ_1"));
        worker.outputs();

        worker.elapse(waited);
        worker.outputs();
        worker.receive(assignment("AJ_1"));

        let outputs = worker.outputs();
        let started = matches!(outputs[..], [Output::StartJob(_)]);
        let failed = matches!(
            outputs[..],
            [Output::Send(WorkerMessage::Job {
                status: JobStatus::Failed { .. },
                ..
            })]
        );
        assert_eq!((started, failed), (starts, !starts), "after {waited:?}");
    }
}

#[test]
fn an_assignment_that_was_never_offered_is_failed() {
    let mut worker = Worker::registered(None);

    worker.receive(assignment("AJ_9"));

    let [
        WorkerMessage::Job {
            job,
            status: JobStatus::Failed { .. },
        },
    ] = &worker.sent()[..]
    else {
        panic!("one report expected");
    };
    assert_eq!(job.as_str(), "AJ_9");
}

#[test]
fn declines_and_reports_itself_full_at_the_load_limit_only() {
    for (load, limit, takes) in [
        (0.69, Some(0.7), true),
        (0.70, Some(0.7), false),
        (1.00, Some(0.7), false),
        (1.00, None, true),
    ] {
        let mut worker = Worker::registered(limit);
        worker.registration.handle_load(load);

        worker.receive(offer("AJ_1"));
        let answer = if takes {
            accept("AJ_1")
        } else {
            WorkerMessage::Decline {
                job: JobId::from("AJ_1"),
            }
        };
        assert_eq!(worker.sent(), [answer], "load {load}, limit {limit:?}");

        worker.elapse(STATUS_INTERVAL);
        let [WorkerMessage::Status(status)] = worker.sent()[..] else {
            panic!("one status expected");
        };
        assert_eq!(status.available, takes);
        assert!(status.load < 1.0, "the server would never pick us again");
    }
}

#[test]
fn reports_its_load_and_calls_every_two_and_a_half_seconds() {
    let mut worker = Worker::registered(None);
    worker.run_job("AJ_1");
    worker.registration.handle_load(0.25);

    worker.elapse(STATUS_INTERVAL - Duration::from_millis(1));
    assert_eq!(worker.sent(), []);
    worker.elapse(Duration::from_millis(1));

    let status = WorkerStatus {
        available: true,
        draining: false,
        load: 0.25,
        jobs: 1,
        sequence: 2,
    };
    assert_eq!(worker.sent(), [WorkerMessage::Status(status)]);
}

#[test]
fn termination_reaches_a_running_job_and_no_other() {
    let mut worker = Worker::registered(None);
    worker.run_job("AJ_1");

    worker.receive(ServerMessage::Termination(JobId::from("AJ_2")));
    assert_eq!(worker.outputs(), []);
    worker.receive(ServerMessage::Termination(JobId::from("AJ_1")));
    assert_eq!(
        worker.outputs(),
        [Output::TerminateJob(JobId::from("AJ_1"))]
    );
}

#[test]
fn a_job_that_ended_is_reported_once() {
    let mut worker = Worker::registered(None);
    worker.run_job("AJ_1");

    worker
        .registration
        .handle_job_ended(JobId::from("AJ_1"), JobStatus::Success);
    worker
        .registration
        .handle_job_ended(JobId::from("AJ_1"), JobStatus::Success);

    assert_eq!(worker.sent(), [ended("AJ_1")]);
}

#[test]
fn running_and_ended_jobs_are_reported_after_a_reconnect() {
    let mut worker = Worker::registered(None);
    worker.run_job("AJ_1");
    worker.run_job("AJ_2");

    worker
        .registration
        .handle_disconnected(worker.now, Disconnected::Lost(&"reset"));
    worker
        .registration
        .handle_job_ended(JobId::from("AJ_2"), JobStatus::Success);
    assert_eq!(worker.outputs(), []);
    worker.elapse(RETRY_JITTER);
    assert_eq!(worker.outputs(), [Output::Connect]);
    worker.register();

    let running = JobId::from("AJ_1");
    let sent = worker.sent();
    assert!(matches!(
        sent[0],
        WorkerMessage::Status(WorkerStatus { jobs: 1, .. })
    ));
    assert_eq!(
        sent[1..],
        [
            WorkerMessage::RunningJobs(vec![running.clone()]),
            WorkerMessage::Job {
                job: running,
                status: JobStatus::Running
            },
            ended("AJ_2"),
        ]
    );
}

#[test]
fn an_offer_lapses_with_its_connection() {
    let mut worker = Worker::registered(None);
    worker.receive(offer("AJ_1"));
    worker.registration.drain();

    worker
        .registration
        .handle_disconnected(worker.now, Disconnected::Lost(&"reset"));

    assert!(worker.registration.is_drained());
}

#[test]
fn pauses_grow_by_two_seconds_to_ten_with_up_to_a_second_of_jitter() {
    let mut worker = Worker::registered(None);
    let mut pauses = Vec::new();

    for _ in 0..7 {
        worker
            .registration
            .handle_disconnected(worker.now, Disconnected::Lost(&"refused"));
        let pause = worker.registration.poll_timeout().unwrap() - worker.now;
        pauses.push(pause);
        worker.elapse(pause);
        assert_eq!(worker.outputs(), [Output::Connect]);
    }

    for (pause, least) in pauses
        .iter()
        .zip([0, 2, 4, 6, 8, 10, 10].map(Duration::from_secs))
    {
        assert!((least..=least + RETRY_JITTER).contains(pause), "{pauses:?}");
    }
    assert_ne!(
        pauses[5], pauses[6],
        "without jitter all workers come at once"
    );
}

#[test]
fn gives_up_after_sixteen_retries_in_a_row() {
    let mut worker = Worker::registered(None);

    for _ in 0..MAX_RETRIES {
        worker
            .registration
            .handle_disconnected(worker.now, Disconnected::Lost(&"refused"));
        worker.elapse(MAX_RETRY_DELAY + RETRY_JITTER);
        assert_eq!(worker.outputs(), [Output::Connect]);
    }
    worker
        .registration
        .handle_disconnected(worker.now, Disconnected::Lost(&"refused"));

    let error = RegistrationError::Unreachable {
        attempts: MAX_RETRIES,
    };
    assert_eq!(worker.outputs(), [Output::GaveUp(error)]);
    assert_eq!(worker.registration.poll_timeout(), None);
}

#[test]
fn a_registration_forgives_earlier_failures() {
    let mut worker = Worker::registered(None);

    for _ in 0..=MAX_RETRIES {
        worker
            .registration
            .handle_disconnected(worker.now, Disconnected::Lost(&"refused"));
        worker.elapse(MAX_RETRY_DELAY + RETRY_JITTER);
        assert_eq!(worker.outputs(), [Output::Connect]);
        worker.register();
        worker.outputs();
    }
}

#[test]
fn a_refused_key_is_final_unless_it_worked_before() {
    let mut worker = Worker::new(None);
    worker.outputs();
    worker
        .registration
        .handle_disconnected(worker.now, Disconnected::Unauthorized);
    assert_eq!(
        worker.outputs(),
        [Output::GaveUp(RegistrationError::Unauthorized)]
    );

    let mut worker = Worker::registered(None);
    worker
        .registration
        .handle_disconnected(worker.now, Disconnected::Unauthorized);
    worker.elapse(RETRY_JITTER);
    assert_eq!(worker.outputs(), [Output::Connect]);
}

#[test]
fn a_server_that_does_not_answer_the_ping_is_left() {
    let mut worker = Worker::registered(None);
    worker.elapse(PING_INTERVAL);
    assert!(worker.sent().contains(&WorkerMessage::Ping));

    worker.receive(ServerMessage::Pong);
    worker.elapse(PONG_TIMEOUT);
    assert!(!worker.outputs().contains(&Output::Disconnect));

    worker.elapse(PING_INTERVAL - PONG_TIMEOUT);
    assert!(worker.sent().contains(&WorkerMessage::Ping));
    worker.elapse(PONG_TIMEOUT);
    assert_eq!(worker.outputs(), [Output::Disconnect]);
}

#[test]
fn a_server_that_does_not_answer_the_registration_is_left() {
    let mut worker = Worker::new(None);
    worker.registration.handle_connected(worker.now);
    worker.outputs();

    worker.elapse(REGISTER_TIMEOUT);

    assert_eq!(worker.outputs(), [Output::Disconnect]);
}

#[test]
fn leaves_a_server_that_goes_away_and_keeps_its_jobs() {
    let mut worker = Worker::registered(None);
    worker.run_job("AJ_1");

    worker.receive(ServerMessage::GoAway {
        reason: "deploy".to_owned(),
    });

    assert_eq!(worker.outputs(), [Output::Disconnect]);
    assert_eq!(worker.registration.running_jobs(), 1);
}

#[test]
fn a_draining_worker_takes_no_job_and_is_drained_after_the_last() {
    let mut worker = Worker::registered(None);
    worker.run_job("AJ_1");

    worker.registration.drain();
    let [WorkerMessage::Status(status)] = worker.sent()[..] else {
        panic!("the server must know at once");
    };
    assert!(status.draining && !status.available);
    worker.receive(offer("AJ_2"));
    assert_eq!(
        worker.sent(),
        [WorkerMessage::Decline {
            job: JobId::from("AJ_2")
        }]
    );

    assert!(!worker.registration.is_drained());
    worker
        .registration
        .handle_job_ended(JobId::from("AJ_1"), JobStatus::Success);
    assert!(worker.registration.is_drained());
}

/// A registration with its clock.
struct Worker {
    registration: Registration,
    now: Instant,
}

impl Worker {
    fn new(load_limit: Option<f32>) -> Self {
        let settings = RegistrationSettings {
            agent_name: "outbound-caller".to_owned(),
            load_limit,
        };
        let registration = Registration::new(settings, SmallRng::seed_from_u64(7));
        Self {
            registration,
            now: Instant::now(),
        }
    }

    fn registered(load_limit: Option<f32>) -> Self {
        let mut worker = Self::new(load_limit);
        worker.register();
        worker.outputs();
        worker
    }

    fn register(&mut self) {
        self.registration.handle_connected(self.now);
        assert!(matches!(
            self.sent()[..],
            [.., WorkerMessage::Register { .. }]
        ));
        self.receive(ServerMessage::Registered(Registered::default()));
    }

    fn run_job(&mut self, id: &str) {
        self.receive(offer(id));
        self.receive(assignment(id));
        assert!(
            self.outputs()
                .iter()
                .any(|output| matches!(output, Output::StartJob(_)))
        );
    }

    fn receive(&mut self, message: ServerMessage) {
        self.registration.handle_message(self.now, message);
    }

    fn elapse(&mut self, time: Duration) {
        self.now += time;
        self.registration.handle_timeout(self.now);
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.registration.poll_output()).collect()
    }

    fn sent(&mut self) -> Vec<WorkerMessage> {
        let sent = self
            .outputs()
            .into_iter()
            .filter_map(|output| match output {
                Output::Send(message) => Some(message),
                Output::Connect
                | Output::Disconnect
                | Output::StartJob(_)
                | Output::TerminateJob(_)
                | Output::GaveUp(_) => None,
            });
        sent.collect()
    }

    fn started(&mut self) -> Vec<String> {
        let started = self
            .outputs()
            .into_iter()
            .filter_map(|output| match output {
                Output::StartJob(assignment) => Some(assignment.id.to_string()),
                Output::Connect
                | Output::Disconnect
                | Output::Send(_)
                | Output::TerminateJob(_)
                | Output::GaveUp(_) => None,
            });
        started.collect()
    }
}

fn offer(id: &str) -> ServerMessage {
    ServerMessage::Availability(JobOffer {
        id: JobId::from(id),
        dispatch_id: "AD_1".to_owned(),
        room: "call-15550001234-abc".to_owned(),
    })
}

fn assignment(id: &str) -> ServerMessage {
    ServerMessage::Assignment(Assignment {
        id: JobId::from(id),
        dispatch_id: "AD_1".to_owned(),
        room: "call-15550001234-abc".to_owned(),
        metadata: String::new(),
        url: None,
        token: "token".to_owned(),
    })
}

fn accept(id: &str) -> WorkerMessage {
    WorkerMessage::Accept {
        job: JobId::from(id),
        identity: format!("agent-{id}"),
        name: "outbound-caller".to_owned(),
    }
}

fn ended(id: &str) -> WorkerMessage {
    WorkerMessage::Job {
        job: JobId::from(id),
        status: JobStatus::Success,
    }
}
