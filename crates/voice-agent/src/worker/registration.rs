//! The worker's side of the agent protocol as a state machine.
//!
//! Contract: feed it what happened with `handle_*`, then drain [`Registration::poll_output`] until
//! it is empty, then wait for the next event or for [`Registration::poll_timeout`].
//! It reads no clock and no socket; `now` must not go back.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    time::{Duration, Instant},
};

use rand::{Rng as _, rngs::SmallRng};
use tracing::{debug, info, warn};
use transfer_core::mask_digits;

use super::messages::{
    Assignment, JobId, JobOffer, JobStatus, Registered, ServerMessage, WorkerMessage, WorkerStatus,
};

/// How long the server may take to answer the registration; its own limit for us is the same.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an accepted job is kept free for its assignment.
///
/// The server forgets the offer after 10 s; a job that starts later would have no owner there.
const ASSIGNMENT_TIMEOUT: Duration = Duration::from_millis(7500);

/// How often the server learns our load; it picks workers by what it heard last.
const STATUS_INTERVAL: Duration = Duration::from_millis(2500);

/// How often we ask whether the server still listens.
///
/// A dead connection is noticed after this and [`PONG_TIMEOUT`]; until then calls are lost.
const PING_INTERVAL: Duration = Duration::from_secs(15);

const PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// Connection attempts in a row without a registration before the worker gives up.
pub const MAX_RETRIES: u32 = 16;

/// The longest pause between two attempts, without jitter.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// Spread of the pause, so that a restarted server does not meet all workers at once.
const RETRY_JITTER: Duration = Duration::from_secs(1);

/// The server never picks a worker that reports 1.0, even if it is the only one and available.
const MAX_REPORTED_LOAD: f32 = 0.99;

#[derive(Debug, Clone)]
pub struct RegistrationSettings {
    /// Dispatches name the agent; ours is `outbound-caller`.
    pub agent_name: String,
    /// No job is taken at this load or above, 0.0 to 1.0; `None` takes every job.
    pub load_limit: Option<f32>,
}

#[derive(Debug, PartialEq)]
pub enum Output {
    /// Open a connection, then call [`Registration::handle_connected`] or
    /// [`Registration::handle_disconnected`].
    Connect,
    /// Drop the connection; nothing needs to be reported for it.
    Disconnect,
    Send(WorkerMessage),
    /// Run the job, then call [`Registration::handle_job_ended`].
    StartJob(Assignment),
    /// End the job soon; [`Registration::handle_job_ended`] is still due.
    TerminateJob(JobId),
    /// No further connection will be asked for.
    GaveUp(RegistrationError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    #[error("LiveKit refused the API key or secret")]
    Unauthorized,
    #[error("no connection to LiveKit after {attempts} attempts")]
    Unreachable { attempts: u32 },
}

/// Why a connection ended or never came to be.
pub enum Disconnected<'a> {
    /// HTTP 401: the token, that is key and secret, is not accepted.
    Unauthorized,
    Lost(&'a dyn fmt::Display),
}

#[derive(Debug)]
enum State {
    Waiting {
        until: Instant,
    },
    Connecting,
    Registering {
        deadline: Instant,
    },
    Registered {
        status_due: Instant,
        ping_due: Instant,
        pong_deadline: Option<Instant>,
    },
    GaveUp,
}

#[derive(Debug)]
pub struct Registration {
    settings: RegistrationSettings,
    state: State,
    rng: SmallRng,
    /// Attempts since the last registration.
    attempts: u32,
    was_registered: bool,
    load: f32,
    draining: bool,
    full: bool,
    sequence: u64,
    /// Accepted offers and the moment when they lapse.
    accepted: BTreeMap<JobId, Instant>,
    running: BTreeSet<JobId>,
    /// Reports that wait for a connection.
    unreported: Vec<(JobId, JobStatus)>,
    outputs: VecDeque<Output>,
}

impl Registration {
    /// `rng` spreads reconnects only; a test may seed it.
    pub fn new(settings: RegistrationSettings, rng: SmallRng) -> Self {
        Self {
            settings,
            state: State::Connecting,
            rng,
            attempts: 0,
            was_registered: false,
            load: 0.0,
            draining: false,
            full: false,
            sequence: 0,
            accepted: BTreeMap::new(),
            running: BTreeSet::new(),
            unreported: Vec::new(),
            outputs: VecDeque::from([Output::Connect]),
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called, if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let connection = match &self.state {
            State::Waiting { until } => Some(*until),
            State::Registering { deadline } => Some(*deadline),
            State::Registered {
                status_due,
                ping_due,
                pong_deadline,
            } => Some(
                (*status_due)
                    .min(*ping_due)
                    .min(pong_deadline.unwrap_or(*status_due)),
            ),
            State::Connecting | State::GaveUp => None,
        };
        connection
            .into_iter()
            .chain(self.accepted.values().copied())
            .min()
    }

    /// True once [`Self::drain`] was called and the last job has ended.
    pub fn is_drained(&self) -> bool {
        self.draining && self.running.is_empty() && self.accepted.is_empty()
    }

    pub fn running_jobs(&self) -> usize {
        self.running.len()
    }

    pub fn handle_connected(&mut self, now: Instant) {
        self.state = State::Registering {
            deadline: now + REGISTER_TIMEOUT,
        };
        self.send(WorkerMessage::Register {
            agent_name: self.settings.agent_name.clone(),
        });
    }

    pub fn handle_disconnected(&mut self, now: Instant, cause: Disconnected<'_>) {
        match cause {
            // Keys that worked before may be in rotation; keys that never worked are wrong.
            Disconnected::Unauthorized if !self.was_registered => {
                self.give_up(RegistrationError::Unauthorized);
            }
            Disconnected::Unauthorized => self.retry(now, &RegistrationError::Unauthorized),
            Disconnected::Lost(cause) => self.retry(now, cause),
        }
    }

    pub fn handle_message(&mut self, now: Instant, message: ServerMessage) {
        match message {
            ServerMessage::Registered(registered) => self.registered(now, &registered),
            ServerMessage::Availability(offer) => self.answer(now, offer),
            ServerMessage::Assignment(assignment) => self.start(assignment),
            ServerMessage::Termination(job) => {
                self.accepted.remove(&job);
                if self.running.contains(&job) {
                    self.outputs.push_back(Output::TerminateJob(job));
                }
            }
            ServerMessage::Pong => {
                if let State::Registered { pong_deadline, .. } = &mut self.state {
                    *pong_deadline = None;
                }
            }
            ServerMessage::GoAway { reason } => {
                info!(reason, "server drains, registering again");
                self.outputs.push_back(Output::Disconnect);
                self.retry(now, &"server drains");
            }
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.accepted.retain(|job, deadline| {
            let lapsed = *deadline <= now;
            if lapsed {
                warn!(job_id = %job, "assignment did not come in time");
            }
            !lapsed
        });
        match &mut self.state {
            State::Waiting { until } if *until <= now => {
                self.state = State::Connecting;
                self.outputs.push_back(Output::Connect);
            }
            State::Registering { deadline } if *deadline <= now => {
                self.outputs.push_back(Output::Disconnect);
                self.retry(now, &"server did not answer the registration");
            }
            State::Registered {
                pong_deadline: Some(deadline),
                ..
            } if *deadline <= now => {
                self.outputs.push_back(Output::Disconnect);
                self.retry(now, &"server did not answer the ping");
            }
            State::Registered {
                status_due,
                ping_due,
                pong_deadline,
            } => {
                let ping = *ping_due <= now;
                if ping {
                    *ping_due = now + PING_INTERVAL;
                    *pong_deadline = Some(now + PONG_TIMEOUT);
                }
                let status = *status_due <= now;
                if status {
                    *status_due = now + STATUS_INTERVAL;
                }
                if ping {
                    self.send(WorkerMessage::Ping);
                }
                if status {
                    self.send_status();
                }
            }
            State::Waiting { .. }
            | State::Registering { .. }
            | State::Connecting
            | State::GaveUp => {}
        }
    }

    /// Takes the latest measurement, 0.0 to 1.0.
    pub fn handle_load(&mut self, load: f32) {
        self.load = load.clamp(0.0, 1.0);
    }

    pub fn handle_job_ended(&mut self, job: JobId, status: JobStatus) {
        if self.running.remove(&job) {
            self.report(job, status);
        }
    }

    /// Takes no further job; running jobs go on.
    pub fn drain(&mut self) {
        if !self.draining {
            self.draining = true;
            if matches!(self.state, State::Registered { .. }) {
                self.send_status();
            }
        }
    }

    fn registered(&mut self, now: Instant, server: &Registered) {
        if !matches!(self.state, State::Registering { .. }) {
            warn!("server registered this worker unasked");
            return;
        }
        self.state = State::Registered {
            status_due: now + STATUS_INTERVAL,
            ping_due: now + PING_INTERVAL,
            pong_deadline: None,
        };
        self.attempts = 0;
        self.was_registered = true;
        self.sequence = 0;
        info!(
            agent_name = self.settings.agent_name,
            id = server.worker_id,
            region = server.region,
            protocol = server.protocol,
            server = server.server_version,
            "registered worker"
        );
        self.send_status();
        if !self.running.is_empty() {
            let jobs: Vec<_> = self.running.iter().cloned().collect();
            info!(jobs = jobs.len(), "reporting the calls that run on");
            self.send(WorkerMessage::RunningJobs(jobs.clone()));
            for job in jobs {
                self.send(WorkerMessage::Job {
                    job,
                    status: JobStatus::Running,
                });
            }
        }
        for (job, status) in std::mem::take(&mut self.unreported) {
            self.send(WorkerMessage::Job { job, status });
        }
    }

    fn answer(&mut self, now: Instant, offer: JobOffer) {
        info!(
            job_id = %offer.id,
            dispatch_id = offer.dispatch_id,
            room = mask_digits(&offer.room),
            "received job request"
        );
        if !self.is_available() {
            info!(job_id = %offer.id, draining = self.draining, load = self.load, "job declined");
            self.send(WorkerMessage::Decline { job: offer.id });
            return;
        }
        self.accepted
            .insert(offer.id.clone(), now + ASSIGNMENT_TIMEOUT);
        self.send(WorkerMessage::Accept {
            identity: format!("agent-{}", offer.id),
            name: self.settings.agent_name.clone(),
            job: offer.id,
        });
    }

    fn start(&mut self, assignment: Assignment) {
        if self.accepted.remove(&assignment.id).is_none() {
            warn!(job_id = %assignment.id, "assignment of a job that was not accepted");
            let reason = "assignment came too late or was not asked for".to_owned();
            self.report(assignment.id, JobStatus::Failed { reason });
            return;
        }
        debug!(job_id = %assignment.id, "job assigned");
        self.running.insert(assignment.id.clone());
        self.outputs.push_back(Output::StartJob(assignment));
    }

    fn is_available(&self) -> bool {
        !self.draining
            && self
                .settings
                .load_limit
                .is_none_or(|limit| self.load < limit)
    }

    fn send_status(&mut self) {
        let available = self.is_available();
        if !self.draining && self.full == available {
            self.full = !available;
            info!(load = self.load, available, "capacity changed");
        }
        self.sequence += 1;
        self.send(WorkerMessage::Status(WorkerStatus {
            available,
            draining: self.draining,
            load: self.load.min(MAX_REPORTED_LOAD),
            jobs: self.running.len(),
            sequence: self.sequence,
        }));
    }

    fn report(&mut self, job: JobId, status: JobStatus) {
        if matches!(self.state, State::Registered { .. }) {
            self.send(WorkerMessage::Job { job, status });
        } else {
            self.unreported.push((job, status));
        }
    }

    fn send(&mut self, message: WorkerMessage) {
        self.outputs.push_back(Output::Send(message));
    }

    fn retry(&mut self, now: Instant, cause: &dyn fmt::Display) {
        // The server forgot its offers together with the connection.
        self.accepted.clear();
        if self.attempts >= MAX_RETRIES {
            self.give_up(RegistrationError::Unreachable {
                attempts: self.attempts,
            });
            return;
        }
        let delay = (Duration::from_secs(2) * self.attempts).min(MAX_RETRY_DELAY)
            + RETRY_JITTER.mul_f64(self.rng.random());
        self.attempts += 1;
        self.state = State::Waiting { until: now + delay };
        warn!(
            error = %cause,
            retry_count = self.attempts,
            max_retry = MAX_RETRIES,
            "failed to connect to livekit, retrying in {:.1}s",
            delay.as_secs_f64()
        );
    }

    fn give_up(&mut self, error: RegistrationError) {
        self.accepted.clear();
        self.state = State::GaveUp;
        self.outputs.push_back(Output::GaveUp(error));
    }
}

#[cfg(test)]
mod tests;
