//! The tokio shell around [`engine::Peer`]: sockets, timers, callbacks and the only clock.
//!
//! A [`Connection`] has one lock around the engine. It is held for one call into it, with the
//! datagrams that come out of the call sent before it is released, so that they keep their order;
//! sending never blocks. Callbacks of the application run on the connection's own task, one after
//! the other, without any lock of ours. While one runs the connection neither reads its sockets
//! nor keeps its timers, so callbacks must not block; this also bounds what can pile up.

mod callbacks;
mod interfaces;
mod sockets;
mod task;

use std::{
    sync::{Arc, OnceLock},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::{runtime::Runtime, sync::Notify};

use crate::{
    RtcError,
    engine::{Peer, Report, TransceiverId},
    media::sender::Sender,
    media_stream_track::MediaStreamTrack,
    stats::RtcStats,
};

pub(crate) use callbacks::Callbacks;
use sockets::Sockets;

/// Threads of the process-wide runtime. Peer connections are made where there is no runtime, and
/// outlive the one they are made on.
const RUNTIME_THREADS: usize = 2;

/// The engine of one peer connection and its sockets.
///
/// Lock order: `peer`, then `sockets`. `callbacks` is never held together with another.
pub(crate) struct Connection {
    peer: Mutex<Peer>,
    sockets: Mutex<Sockets>,
    callbacks: Mutex<Callbacks>,
    /// The task has to look at events, timers or callbacks.
    wake: Notify,
}

impl Connection {
    /// Starts the task of the connection, which ends with [`Connection::close`].
    pub(crate) fn open() -> Result<Arc<Self>, RtcError> {
        let connection = Arc::new(Self {
            peer: Mutex::new(Peer::new(now())?),
            sockets: Mutex::new(Sockets::default()),
            callbacks: Mutex::new(Callbacks::default()),
            wake: Notify::new(),
        });
        runtime()?.spawn(task::run(connection.clone()));
        Ok(connection)
    }

    /// One call into the engine, and what has to be sent afterwards.
    pub(crate) fn with<R>(&self, call: impl FnOnce(&mut Peer, Instant) -> R) -> R {
        let mut peer = self.peer.lock();
        let result = call(&mut peer, now());
        if let Some(first) = peer.poll_transmit() {
            let mut sockets = self.sockets.lock();
            sockets.send(first);
            while let Some(next) = peer.poll_transmit() {
                sockets.send(next);
            }
        }
        if peer.wants_polling() {
            self.wake.notify_one();
        }
        result
    }

    /// Reads the engine's state.
    pub(crate) fn read<R>(&self, call: impl FnOnce(&Peer) -> R) -> R {
        call(&self.peer.lock())
    }

    /// Replaces a callback; the task looks whether something waited for it.
    pub(crate) fn set_callback<C>(
        &self,
        slot: impl for<'a> FnOnce(&'a mut Callbacks) -> &'a mut Option<C>,
        callback: Option<C>,
    ) {
        let old = std::mem::replace(slot(&mut self.callbacks.lock()), callback);
        self.wake.notify_one();
        drop(old);
    }

    /// Tells the other side and frees the sockets.
    pub(crate) fn close(&self) {
        let encoders = self.with(Peer::close);
        self.sockets.lock().clear();
        self.wake.notify_one();
        drop(encoders);
    }

    /// Makes `track` what the transceiver sends.
    pub(crate) fn set_sent_track(
        self: &Arc<Self>,
        id: TransceiverId,
        track: Option<MediaStreamTrack>,
    ) {
        let encoder = match &track {
            Some(MediaStreamTrack::Audio(audio)) => {
                let connection = Arc::downgrade(self);
                let output = move |packet| {
                    if let Some(connection) = connection.upgrade() {
                        connection.with(|peer, now| peer.write_audio(now, id, packet));
                    }
                };
                Sender::new(audio, Box::new(output))
            }
            Some(MediaStreamTrack::Video(_)) | None => None,
        };
        let old = self.with(|peer, _| peer.set_sent_track(id, track, encoder));
        drop(old);
    }

    pub(crate) fn report(&self, what: Report) -> Vec<RtcStats> {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        // Microseconds fit for the next 290,000 years.
        let timestamp = since_epoch.as_micros() as i64;
        self.read(|peer| peer.report(what, timestamp))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the driver is where time comes from"
)]
fn now() -> Instant {
    Instant::now()
}

fn runtime() -> Result<&'static Runtime, RtcError> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(RUNTIME_THREADS)
                .thread_name("webrtc")
                .enable_all()
                .build()
        })
        .as_ref()
        .map_err(|err| RtcError::internal(format!("no runtime for peer connections: {err}")))
}
