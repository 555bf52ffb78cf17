//! The connection to LiveKit that brings jobs, and the jobs themselves.
//!
//! [`registration`] decides, [`socket`] carries, [`run`] owns both and one task for each job.

mod load;
pub mod messages;
pub mod registration;
pub mod socket;

use std::{
    collections::HashMap,
    future::{Future, pending},
    time::{Duration, Instant},
};

use rand::{SeedableRng as _, rngs::SmallRng};
use tokio::{
    task::{self, JoinError, JoinSet},
    time::{MissedTickBehavior, interval_at, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, error, info, info_span};

use self::{
    load::Load,
    messages::{Assignment, JobId, JobStatus},
    registration::{Disconnected, Output, Registration, RegistrationError, RegistrationSettings},
    socket::{Endpoint, Link, LinkEvent, SocketError},
};

/// How often the load is measured; each measurement is the mean since the one before.
const LOAD_INTERVAL: Duration = Duration::from_millis(2500);

/// How long a call may take to hang up cleanly before its task is dropped.
const HANG_UP_LIMIT: Duration = Duration::from_secs(5);

/// The two steps of the end, each asked for from outside.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Take no further job; calls go on until they end by themselves.
    pub drain: CancellationToken,
    /// Hang up. Implies draining.
    pub hang_up: CancellationToken,
}

#[derive(Debug, Clone)]
pub struct WorkerSettings {
    pub endpoint: Endpoint,
    pub registration: RegistrationSettings,
}

/// Runs the worker until it is drained, is told to hang up, or cannot reach LiveKit any more.
///
/// `run_job` becomes one task for each assigned job. Its token is cancelled when the job must end
/// soon. A job that panics is reported as failed and touches no other.
///
/// # Errors
///
/// Only when the worker had to give up; running calls are let finish before.
pub async fn run<F, J>(
    settings: WorkerSettings,
    mut run_job: F,
    shutdown: Shutdown,
) -> Result<(), RegistrationError>
where
    F: FnMut(Assignment, CancellationToken) -> J,
    J: Future<Output = JobStatus> + Send + 'static,
{
    let mut worker = Worker {
        endpoint: settings.endpoint,
        registration: Registration::new(settings.registration, SmallRng::from_os_rng()),
        link: Link::Down,
        jobs: JoinSet::new(),
        running: HashMap::new(),
        failure: None,
    };
    let start = Instant::now();
    let mut load = Load::new(start);
    // Not at once: the connection's own work would fill so short a time, and the worker would say that it is full.
    let mut load_interval = interval_at((start + LOAD_INTERVAL).into(), LOAD_INTERVAL);
    load_interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut draining = false;

    loop {
        worker.act(&mut run_job, &shutdown.hang_up).await;
        if worker.registration.is_drained() {
            break;
        }
        let timeout = worker.registration.poll_timeout();
        tokio::select! {
            event = worker.link.event() => worker.handle_link(event),
            Some(ended) = worker.jobs.join_next_with_id() => worker.handle_ended(ended),
            _ = load_interval.tick() => {
                worker.registration.handle_load(load.measure(Instant::now()));
            }
            () = sleep_until_maybe(timeout) => {
                worker.registration.handle_timeout(Instant::now());
            }
            () = shutdown.drain.cancelled(), if !draining => {
                draining = true;
                info!(jobs = worker.registration.running_jobs(), "draining worker");
                worker.registration.drain();
            }
            () = shutdown.hang_up.cancelled() => {
                worker.hang_up().await;
                break;
            }
        }
    }
    worker.act(&mut run_job, &shutdown.hang_up).await;
    worker.link.close().await;
    info!("shutting down worker");
    worker.failure.map_or(Ok(()), Err)
}

struct Worker {
    endpoint: Endpoint,
    registration: Registration,
    link: Link,
    jobs: JoinSet<JobStatus>,
    running: HashMap<task::Id, RunningJob>,
    failure: Option<RegistrationError>,
}

struct RunningJob {
    id: JobId,
    end: CancellationToken,
}

impl Worker {
    /// Does what the registration wants done.
    async fn act<F, J>(&mut self, run_job: &mut F, hang_up: &CancellationToken)
    where
        F: FnMut(Assignment, CancellationToken) -> J,
        J: Future<Output = JobStatus> + Send + 'static,
    {
        while let Some(output) = self.registration.poll_output() {
            match output {
                Output::Connect => self.link = Link::open(self.endpoint.clone()),
                Output::Disconnect => self.link = Link::Down,
                Output::Send(message) => {
                    if let Err(error) = self.link.send(&message).await {
                        self.lost(&error);
                    }
                }
                Output::StartJob(assignment) => {
                    let id = assignment.id.clone();
                    let end = hang_up.child_token();
                    let span = info_span!("job", job_id = %id);
                    let job = run_job(assignment, end.clone()).instrument(span);
                    let task = self.jobs.spawn(job).id();
                    self.running.insert(task, RunningJob { id, end });
                }
                Output::TerminateJob(id) => {
                    debug!(job_id = %id, "server ends the job");
                    for job in self.running.values().filter(|job| job.id == id) {
                        job.end.cancel();
                    }
                }
                Output::GaveUp(cause) => {
                    self.failure = Some(cause);
                    self.registration.drain();
                }
            }
        }
    }

    fn handle_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Opened => self.registration.handle_connected(Instant::now()),
            LinkEvent::Received(message) => {
                self.registration.handle_message(Instant::now(), message);
            }
            LinkEvent::Lost(error) => self.lost(&error),
        }
    }

    fn lost(&mut self, error: &SocketError) {
        let cause = match error {
            SocketError::Unauthorized => Disconnected::Unauthorized,
            SocketError::Token(_)
            | SocketError::Url(_)
            | SocketError::WebSocket(_)
            | SocketError::Timeout(_)
            | SocketError::Closed => Disconnected::Lost(&with_sources(error)),
        };
        self.registration.handle_disconnected(Instant::now(), cause);
    }

    fn handle_ended(&mut self, ended: Result<(task::Id, JobStatus), JoinError>) {
        let (task, status) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                error!(%error, "job failed");
                let reason = if error.is_panic() {
                    "job panicked"
                } else {
                    "job was dropped"
                };
                (
                    error.id(),
                    JobStatus::Failed {
                        reason: reason.to_owned(),
                    },
                )
            }
        };
        let job = self
            .running
            .remove(&task)
            .expect("each task of the set belongs to a job");
        self.registration.handle_job_ended(job.id, status);
    }

    /// Gives the calls, whose tokens are cancelled by now, a last chance to end cleanly.
    async fn hang_up(&mut self) {
        self.registration.drain();
        let end_of_patience = sleep_until_maybe(Some(Instant::now() + HANG_UP_LIMIT));
        tokio::pin!(end_of_patience);
        loop {
            tokio::select! {
                ended = self.jobs.join_next_with_id() => match ended {
                    Some(ended) => self.handle_ended(ended),
                    None => return,
                },
                () = &mut end_of_patience => {
                    error!(jobs = self.jobs.len(), "calls did not hang up in time");
                    self.jobs.shutdown().await;
                    return;
                }
            }
        }
    }
}

/// An error with all its causes, as anyhow's `{:#}` prints it.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

async fn sleep_until_maybe(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => pending().await,
    }
}
