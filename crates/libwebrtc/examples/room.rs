//! Two participants of the unmodified `livekit` crate talk over this engine through a real
//! livekit-server.
//!
//! ```text
//! LIVEKIT_URL=ws://127.0.0.1:7880 LIVEKIT_API_KEY=devkey LIVEKIT_API_SECRET=... \
//!     cargo run -p libwebrtc --example room -- check
//! ```
//!
//! - `check`: data, RPC, audio both ways, mute, unpublish and republish, resume, full reconnect,
//!   leave. Exit code 0 if all passed. `check dual` uses one peer connection for each direction,
//!   `check tcp` adds ICE over TCP.
//! - `load ROOMS SECONDS`: CPU and memory of ROOMS rooms, each with one agent measured here and
//!   one peer in a child process.
//! - `leak ROOMS`: joins, publishes and leaves ROOMS times; descriptors and threads must come back.

#![expect(
    clippy::print_stdout,
    reason = "the report is the output of this program"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a program by itself: it measures time, and the server is named as livekit's tools name it"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each step waits for one of many room events"
)]

use std::{
    env,
    f64::consts::TAU,
    fs,
    process::{Command, ExitCode},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use futures_util::StreamExt;
use livekit::{
    SimulateScenario,
    options::TrackPublishOptions,
    prelude::*,
    track::{LocalAudioTrack, LocalTrack, TrackSource},
    webrtc::{
        audio_frame::AudioFrame,
        audio_source::{AudioSourceOptions, RtcAudioSource, native::NativeAudioSource},
        audio_stream::native::NativeAudioStream,
        stats::RtcStats,
    },
};
use livekit_api::access_token::{AccessToken, VideoGrants};
use tokio::{sync::mpsc::UnboundedReceiver, task::JoinHandle, time::timeout};

const RATE: u32 = 48_000;
const AMPLITUDE: f64 = 12_000.0;
/// A tone counts as heard above this amplitude of [`AMPLITUDE`].
const HEARD: f64 = 6_000.0;
const ALICE_HZ: f64 = 440.0;
const BOB_HZ: f64 = 1_000.0;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["check"] => check(true, false).await,
        ["check", "dual"] => check(false, false).await,
        ["check", "tcp"] => check(true, true).await,
        ["load", rooms, seconds] => load(rooms, seconds).await,
        ["peers", rooms, seconds, base] => hold(rooms, seconds, base, "peer").await.map(drop),
        ["leak", rooms] => leak(rooms).await,
        _ => Err(anyhow!(
            "usage: room check [dual|tcp] | load ROOMS SECONDS | leak ROOMS"
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            println!("FAIL {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn token(room: &str, identity: &str) -> Result<String> {
    Ok(AccessToken::new()?
        .with_identity(identity)
        .with_grants(VideoGrants {
            room_join: true,
            room: room.into(),
            ..Default::default()
        })
        .to_jwt()?)
}

/// One end of a room and its events.
struct Participant {
    room: Arc<Room>,
    events: UnboundedReceiver<RoomEvent>,
}

impl Participant {
    async fn join(room: &str, identity: &str, single_peer_connection: bool) -> Result<Self> {
        let url = env::var("LIVEKIT_URL").context("LIVEKIT_URL is not set")?;
        let mut options = RoomOptions::default();
        options.single_peer_connection = single_peer_connection;
        let (room, events) = Room::connect(&url, &token(room, identity)?, options).await?;
        Ok(Self {
            room: Arc::new(room),
            events,
        })
    }

    /// Waits for the first event for which `pick` answers.
    async fn until<T>(&mut self, what: &str, pick: impl Fn(RoomEvent) -> Option<T>) -> Result<T> {
        let found = async {
            while let Some(event) = self.events.recv().await {
                if let Some(found) = pick(event) {
                    return Ok(found);
                }
            }
            Err(anyhow!("the room ended while waiting for {what}"))
        };
        timeout(Duration::from_secs(20), found)
            .await
            .with_context(|| format!("no {what}"))?
    }

    async fn publish(&self, tone: &Tone) -> Result<LocalTrackPublication> {
        let source = RtcAudioSource::Native(tone.source.clone());
        let track = LocalAudioTrack::create_audio_track("mic", source);
        let options = TrackPublishOptions {
            source: TrackSource::Microphone,
            ..Default::default()
        };
        Ok(self
            .room
            .local_participant()
            .publish_track(LocalTrack::Audio(track), options)
            .await?)
    }

    async fn subscribed(&mut self) -> Result<RemoteAudioTrack> {
        self.until("TrackSubscribed", |event| match event {
            RoomEvent::TrackSubscribed {
                track: RemoteTrack::Audio(track),
                ..
            } => Some(track),
            _ => None,
        })
        .await
    }

    /// Waits for both, whichever comes first, and says when the reconnection was done.
    async fn reconnected_and_subscribed(
        &mut self,
        start: Instant,
    ) -> Result<(RemoteAudioTrack, Duration)> {
        let (mut track, mut took) = (None, None);
        loop {
            if let (Some(track), Some(took)) = (&track, took) {
                return Ok((RemoteAudioTrack::clone(track), took));
            }
            self.until("Reconnected and TrackSubscribed", |event| match event {
                RoomEvent::Reconnected => Some(None),
                RoomEvent::TrackSubscribed {
                    track: RemoteTrack::Audio(track),
                    ..
                } => Some(Some(track)),
                _ => None,
            })
            .await
            .map(|event| match event {
                Some(subscribed) => track = Some(subscribed),
                None => took = Some(start.elapsed()),
            })?;
        }
    }

    async fn send(&self, payload: &[u8], reliable: bool) -> Result<()> {
        let packet = DataPacket {
            payload: payload.to_vec(),
            reliable,
            ..Default::default()
        };
        Ok(self.room.local_participant().publish_data(packet).await?)
    }

    async fn received(&mut self, wanted: &[u8]) -> Result<()> {
        self.until("DataReceived", |event| match event {
            RoomEvent::DataReceived { payload, .. } if *payload == wanted => Some(()),
            _ => None,
        })
        .await
    }
}

/// A published sine; it stops when dropped.
struct Tone {
    source: NativeAudioSource,
    feeder: JoinHandle<()>,
}

impl Tone {
    fn start(hz: f64) -> Self {
        let source = NativeAudioSource::new(AudioSourceOptions::default(), RATE, 1, 100);
        let sink = source.clone();
        let feeder = tokio::spawn(async move {
            let mut n = 0u64;
            loop {
                let mut frame = AudioFrame::new(RATE, 1, RATE / 100);
                for sample in frame.data.to_mut() {
                    *sample = ((n as f64 * hz * TAU / f64::from(RATE)).sin() * AMPLITUDE) as i16;
                    n += 1;
                }
                if sink.capture_frame(&frame).await.is_err() {
                    return;
                }
            }
        });
        Self { source, feeder }
    }
}

impl Drop for Tone {
    fn drop(&mut self) {
        self.feeder.abort();
    }
}

/// What a listener got.
#[derive(Debug, Default)]
struct Heard {
    frames: usize,
    silent_frames: usize,
    worst_gap: Duration,
    alice: f64,
    bob: f64,
    /// Breaks of more than 0.3 rad in the phase of the louder tone, between blocks of 100 ms.
    phase_jumps: usize,
}

async fn listen(track: &RemoteAudioTrack, time: Duration) -> Heard {
    let mut stream = NativeAudioStream::new(track.rtc_track(), RATE as i32, 1);
    let settled = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < settled && timeout(time, stream.next()).await.is_ok() {}

    let mut heard = Heard::default();
    let mut pcm = Vec::new();
    let mut last = Instant::now();
    let end = last + time;
    while Instant::now() < end {
        let Ok(Some(frame)) = timeout(Duration::from_secs(1), stream.next()).await else {
            break;
        };
        heard.worst_gap = heard.worst_gap.max(last.elapsed());
        last = Instant::now();
        heard.frames += 1;
        if frame.data.iter().all(|s| s.abs() < 500) {
            heard.silent_frames += 1;
        }
        pcm.extend_from_slice(&frame.data);
    }
    heard.alice = bin(&pcm, ALICE_HZ).0;
    heard.bob = bin(&pcm, BOB_HZ).0;
    let hz = if heard.alice > heard.bob {
        ALICE_HZ
    } else {
        BOB_HZ
    };
    // 100 ms hold a whole number of periods of both tones, so the phase must stay.
    let phases: Vec<f64> = pcm
        .chunks_exact(RATE as usize / 10)
        .map(|c| bin(c, hz).1)
        .collect();
    heard.phase_jumps = phases
        .windows(2)
        .filter(|w| {
            let turn = (w[1] - w[0]).rem_euclid(TAU);
            turn.min(TAU - turn) > 0.3
        })
        .count();
    heard
}

/// Amplitude and phase of `hz` in mono PCM at [`RATE`].
fn bin(pcm: &[i16], hz: f64) -> (f64, f64) {
    let (mut re, mut im) = (0.0, 0.0);
    for (i, sample) in pcm.iter().enumerate() {
        let (sin, cos) = (i as f64 * hz * TAU / f64::from(RATE)).sin_cos();
        re += f64::from(*sample) * cos;
        im += f64::from(*sample) * sin;
    }
    (re.hypot(im) * 2.0 / pcm.len().max(1) as f64, im.atan2(re))
}

/// Runs one step, prints it and counts failures.
macro_rules! step {
    ($failed:ident, $name:expr, $body:block) => {{
        let start = Instant::now();
        let result = async { anyhow::Ok($body) }.await;
        let ms = start.elapsed().as_millis();
        match &result {
            Ok(value) => println!("PASS {} ({ms} ms) {value:?}", $name),
            Err(err) => {
                $failed += 1;
                println!("FAIL {} ({ms} ms): {err:#}", $name);
            }
        }
        result.ok()
    }};
}

async fn check(single: bool, tcp: bool) -> Result<()> {
    let mut failed = 0;
    let room = format!("check-{}", std::process::id());
    let start = Instant::now();
    let mut alice = Participant::join(&room, "alice", single)
        .await
        .context("alice")?;
    let mut bob = Participant::join(&room, "bob", single)
        .await
        .context("bob")?;
    println!(
        "PASS both joined ({} ms), single peer connection: {single}",
        start.elapsed().as_millis()
    );

    step!(failed, "alice sees bob", {
        alice
            .until("ParticipantConnected", |e| {
                matches!(e, RoomEvent::ParticipantConnected(_)).then_some(())
            })
            .await?;
    });
    step!(failed, "data channels", {
        for (payload, reliable) in [(b"reliable".as_slice(), true), (b"lossy", false)] {
            alice.send(payload, reliable).await?;
            bob.received(payload).await?;
        }
    });
    step!(failed, "RPC of 10 B and 20 kB", {
        bob.room
            .local_participant()
            .register_rpc_method("echo".into(), |call| {
                Box::pin(async move { Ok(format!("echo:{}", call.payload)) })
            });
        for payload in ["0123456789".to_owned(), "y".repeat(20_000)] {
            let call = PerformRpcData::new(bob.room.local_participant().identity(), "echo")
                .with_payload(payload.clone());
            let answer = alice.room.local_participant().perform_rpc(call).await;
            ensure!(answer.map_err(|e| anyhow!("{e:?}"))? == format!("echo:{payload}"));
        }
    });

    let tone = Tone::start(ALICE_HZ);
    let mut publication = alice.publish(&tone).await?;
    let mut track = bob.subscribed().await?;
    step!(failed, "10 s of 440 Hz", {
        let heard = listen(&track, Duration::from_secs(10)).await;
        ensure!(heard.frames > 970 && heard.silent_frames == 0, "{heard:?}");
        ensure!(
            heard.alice > HEARD && heard.bob < 200.0 && heard.phase_jumps <= 1,
            "{heard:?}"
        );
        heard
    });
    step!(failed, "statistics", {
        let stats = track.get_stats().await?;
        let inbound = stats.iter().find_map(|entry| match entry {
            RtcStats::InboundRtp(inbound) => Some(inbound),
            _ => None,
        });
        let inbound = inbound.context("no inbound-rtp")?;
        ensure!(inbound.received.packets_received > 400 && inbound.received.packets_lost == 0);
        inbound.received.packets_received
    });
    step!(failed, "mute and unmute", {
        publication.mute();
        bob.until("TrackMuted", |e| {
            matches!(e, RoomEvent::TrackMuted { .. }).then_some(())
        })
        .await?;
        let heard = listen(&track, Duration::from_secs(1)).await;
        ensure!(heard.alice < 50.0, "muted: {heard:?}");
        publication.unmute();
        bob.until("TrackUnmuted", |e| {
            matches!(e, RoomEvent::TrackUnmuted { .. }).then_some(())
        })
        .await?;
        let heard = listen(&track, Duration::from_secs(1)).await;
        ensure!(heard.alice > HEARD, "unmuted: {heard:?}");
    });
    for round in 1..=3 {
        step!(failed, format!("unpublish and republish {round}"), {
            alice
                .room
                .local_participant()
                .unpublish_track(&publication.sid())
                .await?;
            bob.until("TrackUnsubscribed", |e| {
                matches!(e, RoomEvent::TrackUnsubscribed { .. }).then_some(())
            })
            .await?;
            publication = alice.publish(&tone).await?;
            track = bob.subscribed().await?;
            let heard = listen(&track, Duration::from_secs(2)).await;
            ensure!(heard.alice > HEARD, "{heard:?}");
        });
    }
    let bob_tone = Tone::start(BOB_HZ);
    bob.publish(&bob_tone).await?;
    let bob_track = alice.subscribed().await?;
    step!(failed, "both directions at once", {
        let time = Duration::from_secs(2);
        let (at_bob, at_alice) = tokio::join!(listen(&track, time), listen(&bob_track, time));
        ensure!(
            at_bob.alice > HEARD && at_bob.bob < 200.0,
            "at bob: {at_bob:?}"
        );
        ensure!(
            at_alice.bob > HEARD && at_alice.alice < 200.0,
            "at alice: {at_alice:?}"
        );
    });
    for round in 1..=3 {
        step!(failed, format!("resume with ICE restart {round}"), {
            alice
                .room
                .simulate_scenario(SimulateScenario::SignalReconnect)
                .await?;
            alice
                .until("Reconnecting", |e| {
                    matches!(e, RoomEvent::Reconnecting).then_some(())
                })
                .await?;
            let start = Instant::now();
            alice
                .until("Reconnected", |e| {
                    matches!(e, RoomEvent::Reconnected).then_some(())
                })
                .await?;
            let took = start.elapsed();
            ensure!(took < Duration::from_millis(2_500), "took {took:?}");
            let time = Duration::from_secs(1);
            let (at_bob, at_alice) = tokio::join!(listen(&track, time), listen(&bob_track, time));
            ensure!(
                at_bob.alice > HEARD && at_alice.bob > HEARD,
                "{at_bob:?} {at_alice:?}"
            );
            alice.send(b"resumed", true).await?;
            bob.received(b"resumed").await?;
            took
        });
    }
    let mut scenarios = vec![("full reconnect", SimulateScenario::FullReconnect)];
    if tcp {
        scenarios.push(("ICE over TCP", SimulateScenario::ForceTcp));
    }
    for (name, scenario) in scenarios {
        step!(failed, name, {
            let start = Instant::now();
            alice.room.simulate_scenario(scenario).await?;
            let (bob_track, took) = alice.reconnected_and_subscribed(start).await?;
            track = bob.subscribed().await?;
            let time = Duration::from_secs(2);
            let (at_bob, at_alice) = tokio::join!(listen(&track, time), listen(&bob_track, time));
            ensure!(
                at_bob.alice > HEARD && at_alice.bob > HEARD,
                "{at_bob:?} {at_alice:?}"
            );
            alice.send(b"again", true).await?;
            bob.received(b"again").await?;
            took
        });
    }
    step!(failed, "leave", {
        alice.room.close().await?;
        bob.until("ParticipantDisconnected", |e| {
            matches!(e, RoomEvent::ParticipantDisconnected(_)).then_some(())
        })
        .await?;
    });
    bob.room.close().await?;
    ensure!(failed == 0, "{failed} steps failed");
    Ok(())
}

/// CPU seconds and resident MiB of this process.
fn usage() -> Result<(f64, f64)> {
    // proc_pid_stat(5): utime and stime are fields 14 and 15, in ticks of 10 ms.
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    let pages: f64 = fs::read_to_string("/proc/self/statm")?
        .split_whitespace()
        .nth(1)
        .context("statm")?
        .parse()?;
    Ok((ticks / 100.0, pages * 4096.0 / 1048576.0))
}

async fn load(rooms: &str, seconds: &str) -> Result<()> {
    let base = format!("load-{}", std::process::id());
    let mut peers = Command::new(env::current_exe()?)
        .args([
            "peers",
            rooms,
            &(seconds.parse::<u64>()? + 10).to_string(),
            &base,
        ])
        .spawn()?;
    let result = hold(rooms, seconds, &base, "agent").await;
    peers.kill()?;
    peers.wait()?;
    let (cpu, rss, heard) = result?;
    let rooms: f64 = rooms.parse()?;
    let good = heard.iter().filter(|h| h.alice > HEARD).count();
    let jumps: usize = heard.iter().map(|h| h.phase_jumps).sum();
    println!(
        "{rooms} rooms: {cpu:.1} % of a core, {:.2} % a room, {rss:.1} MiB, {good} heard, {jumps} phase jumps",
        cpu / rooms
    );
    Ok(())
}

/// Publishes and listens in each of `rooms` rooms; CPU percent, resident MiB and what was heard.
async fn hold(
    rooms: &str,
    seconds: &str,
    base: &str,
    identity: &str,
) -> Result<(f64, f64, Vec<Heard>)> {
    let seconds: u64 = seconds.parse()?;
    let mut held = Vec::new();
    let mut listeners = Vec::new();
    for n in 0..rooms.parse::<usize>()? {
        let mut participant = Participant::join(&format!("{base}-{n}"), identity, true).await?;
        let tone = Tone::start(ALICE_HZ);
        participant.publish(&tone).await?;
        held.push((participant.room.clone(), tone));
        listeners.push(tokio::spawn(async move {
            let track = participant.subscribed().await?;
            anyhow::Ok(listen(&track, Duration::from_secs(seconds)).await)
        }));
    }
    let (before, _) = usage()?;
    let start = Instant::now();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (after, rss) = usage()?;
    let cpu = (after - before) / start.elapsed().as_secs_f64() * 100.0;
    let mut heard = Vec::new();
    for listener in listeners {
        heard.push(listener.await??);
    }
    for (room, _tone) in held {
        room.close().await?;
    }
    Ok((cpu, rss, heard))
}

async fn leak(rooms: &str) -> Result<()> {
    let count = |what| fs::read_dir(format!("/proc/self/{what}")).map(Iterator::count);
    for n in 0..rooms.parse::<usize>()? {
        let participant = Participant::join(&format!("leak-{n}"), "agent", true).await?;
        let tone = Tone::start(ALICE_HZ);
        participant.publish(&tone).await?;
        participant.room.close().await?;
        if n % 10 == 0 {
            let (fds, threads) = (count("fd")?, count("task")?);
            println!(
                "{n}: {fds} descriptors, {threads} threads, {:.1} MiB",
                usage()?.1
            );
        }
    }
    Ok(())
}
