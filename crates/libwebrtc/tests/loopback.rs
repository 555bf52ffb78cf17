//! Two peer connections of the public API in one process, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails where its helpers do")]
#![expect(clippy::disallowed_methods, reason = "limits are real time here")]

use std::{
    net::UdpSocket,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use libwebrtc::{
    audio_frame::AudioFrame,
    audio_source::{AudioSourceOptions, native::NativeAudioSource},
    audio_stream::native::NativeAudioStream,
    data_channel::{DataChannel, DataChannelInit, DataChannelState},
    ice_candidate::IceCandidate,
    media_stream_track::MediaStreamTrack,
    peer_connection::{
        AnswerOptions, OfferOptions, PeerConnection, PeerConnectionState, TrackEvent,
    },
    peer_connection_factory::{
        IceTransportsType, PeerConnectionFactory, RtcConfiguration,
        native::PeerConnectionFactoryExt,
    },
};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::timeout,
};

/// Loopback takes milliseconds; reaching this means a bug.
const LIMIT: Duration = Duration::from_secs(20);

struct End {
    connection: PeerConnection,
    candidates: Receiver<IceCandidate>,
    states: Receiver<PeerConnectionState>,
}

/// A callback that puts what it is told into the channel.
fn into<T: Send + 'static>(sender: Sender<T>) -> Box<dyn FnMut(T) + Send + Sync> {
    Box::new(move |value| {
        sender
            .try_send(value)
            .unwrap_or_else(|_| panic!("64 are enough"))
    })
}

fn end() -> End {
    let connection = PeerConnectionFactory::default()
        .create_peer_connection(RtcConfiguration::default())
        .unwrap();
    let (candidate, candidates) = channel(64);
    let (state, states) = channel(64);
    connection.on_ice_candidate(Some(into(candidate)));
    connection.on_connection_state_change(Some(into(state)));
    End {
        connection,
        candidates,
        states,
    }
}

impl End {
    async fn until(&mut self, wanted: PeerConnectionState) {
        let reached = async {
            while let Some(state) = self.states.recv().await {
                if state == wanted {
                    return;
                }
            }
            panic!("the connection ended before it was {wanted:?}");
        };
        timeout(LIMIT, reached)
            .await
            .unwrap_or_else(|_| panic!("never {wanted:?}"));
    }
}

/// Offer, answer and candidates; returns when both are connected, with the ports used.
async fn connect(left: &mut End, right: &mut End) -> Vec<String> {
    let offer = left
        .connection
        .create_offer(OfferOptions::default())
        .await
        .unwrap();
    left.connection
        .set_local_description(offer.clone())
        .await
        .unwrap();
    right
        .connection
        .set_remote_description(offer)
        .await
        .unwrap();
    let answer = right
        .connection
        .create_answer(AnswerOptions::default())
        .await
        .unwrap();
    right
        .connection
        .set_local_description(answer.clone())
        .await
        .unwrap();
    left.connection
        .set_remote_description(answer)
        .await
        .unwrap();

    let lines = vec![signal(left, right).await, signal(right, left).await];
    left.until(PeerConnectionState::Connected).await;
    right.until(PeerConnectionState::Connected).await;
    lines
}

async fn signal(from: &mut End, to: &End) -> String {
    let candidate = timeout(LIMIT, from.candidates.recv())
        .await
        .unwrap()
        .unwrap();
    let line = candidate.candidate();
    to.connection.add_ice_candidate(candidate).await.unwrap();
    line
}

fn negotiated(end: &End) -> DataChannel {
    let init = DataChannelInit {
        negotiated: true,
        id: 3,
        ..DataChannelInit::default()
    };
    end.connection.create_data_channel("both", init).unwrap()
}

async fn open(channel: &DataChannel) {
    wait_for("the channel opens", || {
        channel.state() == DataChannelState::Open
    })
    .await;
}

async fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// `candidate:… udp <priority> <address> <port> typ host`
fn is_free(candidate: &str) -> bool {
    let words: Vec<&str> = candidate.split_whitespace().collect();
    UdpSocket::bind(format!("{}:{}", words[4], words[5])).is_ok()
}

#[tokio::test]
async fn a_tone_and_messages_go_through() {
    let (mut left, mut right) = (end(), end());
    let source = NativeAudioSource::new(AudioSourceOptions::default(), 48_000, 1, 100);
    let track = PeerConnectionFactory::default().create_audio_track("tone", source.clone());
    left.connection
        .add_track(track.into(), &["stream"])
        .unwrap();
    let (sent, received) = (negotiated(&left), negotiated(&right));
    let (event, mut tracks) = channel::<TrackEvent>(1);
    right.connection.on_track(Some(into(event)));
    connect(&mut left, &mut right).await;

    let feeder = tokio::spawn(async move {
        let mut frame = AudioFrame::new(48_000, 1, 480);
        for (n, sample) in frame.data.to_mut().iter_mut().enumerate() {
            // 1 kHz has ten whole periods in 10 ms.
            *sample =
                ((n as f64 * 1_000.0 / 48_000.0 * std::f64::consts::TAU).sin() * 10_000.0) as i16;
        }
        while source.capture_frame(&frame).await.is_ok() {}
    });
    let event = timeout(LIMIT, tracks.recv()).await.unwrap().unwrap();
    assert_eq!(event.streams[0].id(), "stream");
    let MediaStreamTrack::Audio(track) = event.track else {
        panic!("a video track");
    };
    let mut stream = NativeAudioStream::new(track, 16_000, 1);
    let loud = async {
        loop {
            let frame = stream.next().await.unwrap();
            assert_eq!(frame.data.len(), 160);
            if frame.data.iter().any(|sample| sample.abs() > 8_000) {
                return;
            }
        }
    };
    timeout(LIMIT, loud).await.unwrap();
    feeder.abort();

    let (message, mut messages) = channel(1);
    open(&sent).await;
    sent.send(b"before there is a callback", true).unwrap();
    received.on_message(Some(Box::new(move |buffer| {
        message.try_send(buffer.data.to_vec()).unwrap();
    })));
    let got = timeout(LIMIT, messages.recv()).await.unwrap().unwrap();
    assert_eq!(got, b"before there is a callback");
}

#[tokio::test]
async fn callbacks_may_call_into_the_connection() {
    let (mut left, mut right) = (end(), end());
    let (here, there) = (negotiated(&left), negotiated(&right));
    let echo = there.clone();
    there.on_message(Some(Box::new(move |buffer| {
        echo.send(buffer.data, buffer.binary).unwrap();
    })));
    let (message, mut messages) = channel(1);
    here.on_message(Some(Box::new(move |buffer| {
        message.try_send(buffer.data.to_vec()).unwrap();
    })));
    connect(&mut left, &mut right).await;
    open(&here).await;
    open(&there).await;
    here.send(b"echo", true).unwrap();
    assert_eq!(
        timeout(LIMIT, messages.recv()).await.unwrap().unwrap(),
        b"echo"
    );
}

#[tokio::test]
async fn close_frees_the_sockets_and_tells_the_other_side() {
    let (mut left, mut right) = (end(), end());
    let channel = negotiated(&left);
    negotiated(&right);
    let candidates = connect(&mut left, &mut right).await;
    assert!(!is_free(&candidates[0]));

    left.connection.close();

    assert_eq!(
        left.connection.connection_state(),
        PeerConnectionState::Closed
    );
    assert_eq!(channel.state(), DataChannelState::Closed);
    assert!(channel.send(b"x", true).is_err());
    right.until(PeerConnectionState::Closed).await;
    wait_for("the port is free", || is_free(&candidates[0])).await;
}

#[tokio::test]
async fn the_last_clone_closes_although_channels_and_callbacks_live() {
    let (mut left, mut right) = (end(), end());
    let channel = negotiated(&left);
    negotiated(&right);
    let kept = channel.clone();
    channel.on_state_change(Some(Box::new(move |_| {
        kept.label();
    })));
    let candidates = connect(&mut left, &mut right).await;
    let clone = left.connection.clone();
    drop(left);
    assert_eq!(clone.connection_state(), PeerConnectionState::Connected);
    drop(clone);
    right.until(PeerConnectionState::Closed).await;
    wait_for("the port is free", || is_free(&candidates[0])).await;
    assert_eq!(channel.state(), DataChannelState::Closed);
}

#[tokio::test]
async fn a_callback_that_panics_closes_its_connection_and_no_other() {
    let (mut left, mut right) = (end(), end());
    let (here, there) = (negotiated(&left), negotiated(&right));
    there.on_message(Some(Box::new(|_| panic!("this one is meant"))));
    connect(&mut left, &mut right).await;
    open(&here).await;
    here.send(b"boom", true).unwrap();
    left.until(PeerConnectionState::Closed).await;
    assert_eq!(
        right.connection.connection_state(),
        PeerConnectionState::Closed
    );
    assert!(
        end()
            .connection
            .create_offer(OfferOptions::default())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn states_come_in_order() {
    let (mut left, mut right) = (end(), end());
    negotiated(&left);
    negotiated(&right);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let (state, states) = channel(64);
    right.states = states;
    right
        .connection
        .on_connection_state_change(Some(Box::new(move |now| {
            log.lock().unwrap().push(now);
            state.try_send(now).unwrap();
        })));
    connect(&mut left, &mut right).await;
    right.connection.close();
    right.until(PeerConnectionState::Closed).await;
    assert_eq!(
        *seen.lock().unwrap(),
        [
            PeerConnectionState::Connecting,
            PeerConnectionState::Connected,
            PeerConnectionState::Closed
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_done_is_refused() {
    let factory = PeerConnectionFactory::default();
    for ice_transport_type in [IceTransportsType::Relay, IceTransportsType::NoHost] {
        let mut config = RtcConfiguration::default();
        config.ice_transport_type = ice_transport_type;
        assert!(factory.create_peer_connection(config).is_err());
    }
    // A sender of another connection, as `livekit` asks after a full reconnect.
    let (left, right) = (end(), end());
    let source = NativeAudioSource::new(AudioSourceOptions::default(), 48_000, 1, 100);
    let track = factory.create_audio_track("tone", source);
    let sender = left
        .connection
        .add_track(track.into(), &["stream"])
        .unwrap();
    assert!(right.connection.remove_track(sender).is_err());
}
