//! What the worker counts, for Prometheus: calls, transfers and how long people wait.
//!
//! Label values are words of this program, never texts: no phone number, room or secret can be in them.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tracing::{debug, warn};
use transfer_core::{CallOutcome, Verdict};

/// Upper bounds of the latency histograms in seconds. A turn is good below 1 s, 3 s is the bound of dead air, and 8 s
/// are given to a language model.
const SECONDS: [f64; 12] = [0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0];

/// Scrapes that are answered at the same time; Prometheus makes one in some seconds.
const CONNECTIONS: usize = 16;

/// How long a connection may take to send a request, or be without one.
const IDLE_LIMIT: Duration = Duration::from_secs(10);

/// How long a connection may last: a scraper comes back with a new one.
const CONNECTION_LIMIT: Duration = Duration::from_secs(300);

/// Between attempts to accept, when the process is out of files.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The counters of a worker.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    active_calls: Gauge,
    calls: Family<CallLabels, Counter>,
    dial_failures: Family<CauseLabels, Counter>,
    transfers: Family<TransferLabels, Counter>,
    turn_latency: Family<StageLabels, Histogram, fn() -> Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    direction: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabels {
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransferLabels {
    verdict: &'static str,
    /// `none` when the target answered.
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

/// A call that goes on, until this is dropped.
#[derive(Debug)]
pub(crate) struct ActiveCall(Gauge);

impl Drop for ActiveCall {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("voice_agent");
        let active_calls = Gauge::default();
        let calls = Family::default();
        let dial_failures = Family::default();
        let transfers = Family::default();
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let turn_latency = Family::new_with_constructor(histogram);
        registry.register("active_calls", "Calls that go on now", active_calls.clone());
        registry.register(
            "calls",
            "Calls that have ended, by how they did",
            calls.clone(),
        );
        registry.register(
            "dial_failures",
            "Callees who were not reached, by why",
            dial_failures.clone(),
        );
        registry.register(
            "transfers",
            "Transfers, by what became of them",
            transfers.clone(),
        );
        registry.register_with_unit(
            "turn_latency",
            "How long people waited for an answer, by stage; e2e is the whole wait",
            Unit::Seconds,
            turn_latency.clone(),
        );
        Self {
            registry,
            active_calls,
            calls,
            dial_failures,
            transfers,
            turn_latency,
        }
    }
}

impl Metrics {
    pub(crate) fn call_begins(&self) -> ActiveCall {
        self.active_calls.inc();
        ActiveCall(self.active_calls.clone())
    }

    /// `direction`: `outbound` or `inbound`.
    pub(crate) fn call_ended(&self, direction: &'static str, outcome: CallOutcome) {
        let labels = CallLabels {
            direction,
            outcome: outcome.code(),
        };
        self.calls.get_or_create(&labels).inc();
        if let CallOutcome::NotAnswered(cause) = outcome {
            let cause = cause.code();
            self.dial_failures
                .get_or_create(&CauseLabels { cause })
                .inc();
        }
    }

    pub(crate) fn transfer_ended(&self, verdict: Verdict) {
        let labels = TransferLabels {
            verdict: verdict.name(),
            cause: match verdict {
                Verdict::Connected => "none",
                Verdict::Failed(cause) => cause.code(),
                Verdict::Unconfirmed(doubt) => doubt.code(),
            },
        };
        self.transfers.get_or_create(&labels).inc();
    }

    pub(crate) fn waited(&self, stage: &'static str, time: Duration) {
        let histogram = self.turn_latency.get_or_create(&StageLabels { stage });
        histogram.observe(time.as_secs_f64());
    }

    /// Returns all of it in Prometheus' text format.
    fn text(&self) -> String {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry).expect("a string takes all text");
        text
    }
}

/// Nobody can be answered on that address.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} (PROMETHEUS_PORT); choose a port that is free and an address of this machine"
)]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// Opens the address on which [`serve`] answers.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ListenError { address, source })
}

/// Answers `GET /metrics` until it is dropped.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>) -> Infallible {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_LIMIT);
    loop {
        let connection = connections.clone().acquire_owned().await;
        let connection = connection.expect("the semaphore is never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "cannot accept a connection for the metrics");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let metrics = metrics.clone();
        let answer = service_fn(move |request| {
            let response = respond(&request, &metrics);
            async { Ok::<_, Infallible>(response) }
        });
        let served = server.serve_connection(TokioIo::new(stream), answer);
        tokio::spawn(async move {
            if let Ok(Err(error)) = timeout(CONNECTION_LIMIT, served).await {
                debug!(%error, "a connection for the metrics broke");
            }
            drop(connection);
        });
    }
}

fn respond(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    let (status, header, text) = match request.uri().path() {
        "/metrics" if is_read => (StatusCode::OK, (CONTENT_TYPE, TEXT_FORMAT), metrics.text()),
        "/metrics" => {
            let allow = (ALLOW, "GET, HEAD");
            (StatusCode::METHOD_NOT_ALLOWED, allow, String::new())
        }
        _ => {
            let hint = "The metrics are at /metrics.\n".to_owned();
            (StatusCode::NOT_FOUND, (CONTENT_TYPE, "text/plain"), hint)
        }
    };
    Response::builder()
        .status(status)
        .header(header.0, header.1)
        .body(Full::from(text))
        .expect("status and header are constants")
}

#[cfg(test)]
mod tests {
    use transfer_core::{DialFailure, Doubt, SipStatus, TransferFailure};

    use super::*;

    async fn get(path: &str, metrics: Metrics) -> reqwest::Response {
        let address = "127.0.0.1:0".parse().unwrap();
        let listener = listen(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Arc::new(metrics)));
        reqwest::get(format!("http://{address}{path}"))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn what_happened_is_told_in_prometheus_text_format() {
        let metrics = Metrics::default();
        let _goes_on = metrics.call_begins();
        drop(metrics.call_begins());
        metrics.call_ended("outbound", CallOutcome::Transferred);
        let busy = CallOutcome::NotAnswered(DialFailure::Busy);
        metrics.call_ended("outbound", busy);
        metrics.call_ended("outbound", busy);
        metrics.call_ended("inbound", CallOutcome::CalleeHungUp);
        let status = SipStatus(603);
        for verdict in [
            Verdict::Connected,
            Verdict::Failed(TransferFailure::Refused { status }),
            Verdict::Unconfirmed(Doubt::TimedOut),
        ] {
            metrics.transfer_ended(verdict);
        }
        metrics.waited("e2e", Duration::from_millis(1_200));

        let response = get("/metrics", metrics).await;

        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], TEXT_FORMAT);
        let text = response.text().await.unwrap();
        for line in [
            "# TYPE voice_agent_active_calls gauge",
            "voice_agent_active_calls 1",
            r#"voice_agent_calls_total{direction="outbound",outcome="transferred"} 1"#,
            r#"voice_agent_calls_total{direction="outbound",outcome="not_answered"} 2"#,
            r#"voice_agent_calls_total{direction="inbound",outcome="callee_hung_up"} 1"#,
            r#"voice_agent_dial_failures_total{cause="busy"} 2"#,
            r#"voice_agent_transfers_total{verdict="connected",cause="none"} 1"#,
            r#"voice_agent_transfers_total{verdict="failed",cause="refused"} 1"#,
            r#"voice_agent_transfers_total{verdict="unconfirmed",cause="timed_out"} 1"#,
            "# TYPE voice_agent_turn_latency_seconds histogram",
            r#"voice_agent_turn_latency_seconds_sum{stage="e2e"} 1.2"#,
            r#"voice_agent_turn_latency_seconds_bucket{stage="e2e",le="1"} 0"#,
            r#"voice_agent_turn_latency_seconds_bucket{stage="e2e",le="1.5"} 1"#,
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
    }

    #[tokio::test]
    async fn other_paths_are_told_where_the_metrics_are() {
        let response = get("/", Metrics::default()).await;
        assert_eq!(response.status(), 404);
        let text = response.text().await.unwrap();
        assert_eq!(text, "The metrics are at /metrics.\n");
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_named() {
        let address = "127.0.0.1:0".parse().unwrap();
        let taken = listen(address).await.unwrap().local_addr().unwrap();
        let _holder = TcpListener::bind(taken).await.unwrap();
        let error = listen(taken).await.unwrap_err().to_string();
        assert!(error.contains(&taken.to_string()) && error.contains("PROMETHEUS_PORT"));
    }
}
