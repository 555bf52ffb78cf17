//! Between LiveKit's tracks and speech: 48 kHz mono to the room, 16 kHz mono from it.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use livekit::{
    track::{LocalAudioTrack, LocalTrack, RemoteAudioTrack},
    webrtc::{
        audio_frame::AudioFrame,
        audio_source::{AudioSourceOptions, RtcAudioSource, native::NativeAudioSource},
        audio_stream::native::NativeAudioStream,
    },
};
use speech::{HEARING_RATE, Pcm, resample};
use tokio::{sync::mpsc, time::sleep_until};
use tracing::{trace, warn};

/// What Opus works at; anything else would be resampled below us, frame by frame.
pub(crate) const SPEAKING_RATE: u32 = 48_000;

/// Samples of one 10 ms frame to the room.
const FRAME: usize = SPEAKING_RATE as usize / 100;

/// How much is queued ahead of the encoder.
///
/// Less and a busy machine makes gaps; more and nothing is gained, since stopping empties it.
const QUEUE_MS: u32 = 200;

/// From our last sample sent to the last sample heard: the network, the SIP service's jitter buffer
/// and the phone's.
const WAY_TO_THE_EAR: Duration = Duration::from_millis(250);

/// The agent's mouth: an audio track of the room.
#[derive(Clone)]
pub(crate) struct Speaker {
    source: NativeAudioSource,
}

impl Speaker {
    pub(crate) fn new() -> Self {
        let options = AudioSourceOptions::default();
        Self {
            source: NativeAudioSource::new(options, SPEAKING_RATE, 1, QUEUE_MS),
        }
    }

    /// The track to publish. It carries silence while nobody speaks.
    pub(crate) fn track(&self, name: &str) -> LocalTrack {
        let source = RtcAudioSource::Native(self.source.clone());
        LocalTrack::Audio(LocalAudioTrack::create_audio_track(name, source))
    }

    /// Plays `first` and what comes until `clips` ends, and returns when the person has heard the last sample.
    ///
    /// Cancel safe; call [`Self::stop`] after dropping it, or what is queued is still heard.
    pub(crate) async fn play(&self, first: Pcm, mut clips: mpsc::Receiver<Pcm>) {
        let mut heard_until = Instant::now();
        let mut next = Some(first);
        while let Some(clip) = next {
            let clip = resample(&clip, SPEAKING_RATE);
            heard_until = heard_until.max(Instant::now()) + clip.duration();
            self.capture(&clip).await;
            next = clips.recv().await;
        }
        sleep_until((heard_until + WAY_TO_THE_EAR).into()).await;
    }

    /// Plays `clip`, and returns when the person has heard the last sample.
    ///
    /// Cancel safe; call [`Self::stop`] after dropping it, or what is queued is still heard.
    pub(crate) async fn play_clip(&self, clip: &[Pcm]) {
        let begun = Instant::now();
        let mut length = WAY_TO_THE_EAR;
        for pcm in clip {
            let pcm = resample(pcm, SPEAKING_RATE);
            length += pcm.duration();
            self.capture(&pcm).await;
        }
        sleep_until((begun + length).into()).await;
    }

    /// Plays `sound` again and again, until it is dropped.
    ///
    /// Cancel safe; call [`Self::stop`] after dropping it, or what is queued is still heard.
    pub(crate) async fn repeat(self, sound: Pcm) {
        let sound = resample(&sound, SPEAKING_RATE);
        loop {
            self.capture(&sound).await;
        }
    }

    /// Queues `clip`, which is in [`SPEAKING_RATE`], as fast as it is played.
    async fn capture(&self, clip: &Pcm) {
        for samples in clip.samples.chunks(FRAME) {
            let mut data = samples.to_vec();
            data.resize(FRAME, 0);
            let frame = AudioFrame {
                data: data.into(),
                sample_rate: SPEAKING_RATE,
                num_channels: 1,
                samples_per_channel: FRAME as u32,
            };
            if let Err(error) = self.source.capture_frame(&frame).await {
                warn!(%error, "audio frame lost");
            }
        }
    }

    /// Falls silent at once.
    pub(crate) fn stop(&self) {
        self.source.clear_buffer();
    }
}

/// Listens to somebody's track until it ends: 10 ms frames of 16 kHz mono, whenever `attended` says so.
///
/// When `frames` is full the newest frame is lost: the listener is behind by a second then.
pub(crate) async fn listen(
    track: RemoteAudioTrack,
    frames: mpsc::Sender<Vec<i16>>,
    attended: impl Fn() -> bool,
) {
    let mut stream = NativeAudioStream::new(track.rtc_track(), HEARING_RATE as i32, 1);
    while let Some(frame) = stream.next().await {
        if !attended() {
            continue;
        }
        match frames.try_send(frame.data.into_owned()) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => trace!("frame lost, ears are behind"),
            Err(mpsc::error::TrySendError::Closed(_)) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn playing_ends_when_the_last_sample_was_heard_and_not_before() {
        let clip = |milliseconds: usize| Pcm {
            sample_rate: 22_050,
            samples: vec![1_000; milliseconds * 22_050 / 1000],
        };
        let (clips, to_play) = mpsc::channel(1);
        clips.send(clip(200)).await.unwrap();
        drop(clips);
        let started = Instant::now();

        Speaker::new().play(clip(300), to_play).await;

        assert!(started.elapsed() >= Duration::from_millis(500) + WAY_TO_THE_EAR);
    }
}
