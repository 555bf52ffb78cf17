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
use tokio::{
    sync::{
        mpsc::{self, error::TryRecvError},
        watch,
    },
    time::{sleep, sleep_until},
};
use tracing::{trace, warn};

use crate::delivery::{Clip, Delivery};

/// What Opus works at; anything else would be resampled below us, frame by frame.
pub(crate) const SPEAKING_RATE: u32 = 48_000;

/// Samples of one 10 ms frame to the room.
pub(crate) const FRAME: usize = SPEAKING_RATE as usize / 100;

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

    /// Begins to play `clips` as they come. `delivery` says how far it is.
    ///
    /// Falls silent at once while `paused` is true, and then goes on from the beginning of the clause, unless all was
    /// heard. Call [`Self::stop`] after dropping it, or what is queued is still heard.
    pub(crate) fn playing<'a>(
        &'a self,
        clips: mpsc::Receiver<Clip>,
        paused: watch::Receiver<bool>,
        delivery: &'a watch::Sender<Delivery>,
    ) -> Playing<'a> {
        Playing {
            speaker: self,
            clips,
            paused,
            delivery,
            complete: false,
        }
    }

    /// Plays `clip`, and returns when the person has heard the last sample.
    ///
    /// Cancel safe; call [`Self::stop`] after dropping it, or what is queued is still heard.
    pub(crate) async fn play_ahead(&self, clip: &[Pcm]) {
        let begun = Instant::now();
        let mut length = WAY_TO_THE_EAR;
        for pcm in clip {
            let pcm = resample(pcm, SPEAKING_RATE);
            length += pcm.duration();
            for samples in pcm.samples.chunks(FRAME) {
                self.capture(samples.to_vec()).await;
            }
        }
        sleep_until((begun + length).into()).await;
    }

    /// Plays `sound` again and again, until it is dropped.
    ///
    /// Cancel safe; call [`Self::stop`] after dropping it, or what is queued is still heard.
    pub(crate) async fn repeat(self, sound: Pcm) {
        let sound = resample(&sound, SPEAKING_RATE);
        loop {
            for samples in sound.samples.chunks(FRAME) {
                self.capture(samples.to_vec()).await;
            }
        }
    }

    /// Queues one frame as soon as there is room.
    async fn capture(&self, mut samples: Vec<i16>) {
        samples.resize(FRAME, 0);
        let frame = AudioFrame {
            data: samples.into(),
            sample_rate: SPEAKING_RATE,
            num_channels: 1,
            samples_per_channel: FRAME as u32,
        };
        if let Err(error) = self.source.capture_frame(&frame).await {
            warn!(%error, "audio frame lost");
        }
    }

    /// Falls silent at once.
    pub(crate) fn stop(&self) {
        self.source.clear_buffer();
    }
}

/// An utterance that is being played: wait for what [`Playing::comes`], [`Playing::play`] it, and again.
pub(crate) struct Playing<'a> {
    speaker: &'a Speaker,
    clips: mpsc::Receiver<Clip>,
    paused: watch::Receiver<bool>,
    delivery: &'a watch::Sender<Delivery>,
    /// Whether all clips have come.
    complete: bool,
}

/// What playing has come to.
enum Advance {
    /// One more frame is on its way.
    Queued,
    /// The next clip, or their end.
    Came(Option<Clip>),
    /// The person has heard the last sample that has come.
    Heard,
    Paused,
}

impl Playing<'_> {
    /// Waits for the next clip; false when there is none any more. Cancel safe.
    pub(crate) async fn comes(&mut self) -> bool {
        if self.complete {
            return false;
        }
        let clip = self.clips.recv().await;
        let comes = clip.is_some();
        self.take(clip);
        comes
    }

    /// Plays until the person has heard the last sample of all that came meanwhile. Cancel safe.
    pub(crate) async fn play(&mut self) {
        loop {
            let (frame, played_at) = {
                let delivery = self.delivery.borrow();
                (delivery.next_frame(), delivery.played_at())
            };
            let heard_at = played_at.unwrap_or_else(Instant::now) + WAY_TO_THE_EAR;
            let advance = async {
                if let Some(frame) = frame {
                    self.speaker.capture(frame).await;
                    return Advance::Queued;
                }
                tokio::select! {
                    biased;
                    clip = self.clips.recv(), if !self.complete => Advance::Came(clip),
                    () = sleep_until(heard_at.into()) => Advance::Heard,
                }
            };
            let advance = tokio::select! {
                biased;
                true = async { self.paused.wait_for(|paused| *paused).await.is_ok() } => Advance::Paused,
                advance = advance => advance,
            };
            match advance {
                Advance::Queued => {
                    self.delivery
                        .send_modify(|delivery| delivery.queued(Instant::now()));
                }
                Advance::Came(clip) => self.take(clip),
                Advance::Heard => return,
                Advance::Paused => {
                    self.speaker.stop();
                    // What is there says how long the words take of which some are said.
                    while !self.complete {
                        match self.clips.try_recv() {
                            Ok(clip) => self.take(Some(clip)),
                            Err(TryRecvError::Empty) => break,
                            Err(TryRecvError::Disconnected) => self.complete = true,
                        }
                    }
                    self.delivery
                        .send_modify(|delivery| delivery.pause(Instant::now()));
                    if self.complete && self.delivery.borrow().next_frame().is_none() {
                        sleep(WAY_TO_THE_EAR).await;
                        return;
                    }
                    if self.paused.wait_for(|paused| !*paused).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// The next clip, or their end.
    fn take(&mut self, clip: Option<Clip>) {
        let Some(clip) = clip else {
            self.complete = true;
            return;
        };
        let pcm = resample(&clip.pcm, SPEAKING_RATE);
        self.delivery
            .send_modify(|delivery| delivery.take(Clip { pcm, ..clip }));
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

    fn speech(milliseconds: usize, sample_rate: u32) -> Vec<i16> {
        vec![5_000; milliseconds * sample_rate as usize / 1000]
    }

    fn clip(samples: Vec<i16>, sample_rate: u32) -> Clip {
        Clip {
            pcm: Pcm {
                sample_rate,
                samples,
            },
            begins: Some("Words.".to_owned()),
            ends: true,
        }
    }

    /// Plays while `meanwhile` may pause it. Returns how long it took, and what was heard.
    async fn play(
        clips: Vec<Clip>,
        meanwhile: impl AsyncFnOnce(watch::Sender<bool>),
    ) -> (Duration, String) {
        let (to_play, played) = mpsc::channel(clips.len().max(1));
        for clip in clips {
            to_play.send(clip).await.unwrap();
        }
        drop(to_play);
        let (pause, paused) = watch::channel(false);
        let (delivered, delivery) = watch::channel(Delivery::default());
        let speaker = Speaker::new();
        let started = Instant::now();
        let playing = async {
            let mut playing = speaker.playing(played, paused, &delivered);
            while playing.comes().await {
                playing.play().await;
            }
            started.elapsed()
        };
        let (took, ()) = tokio::join!(playing, meanwhile(pause));
        let heard = delivery.borrow().words(Instant::now());
        (took, heard)
    }

    #[tokio::test]
    async fn playing_ends_when_the_last_sample_was_heard_and_not_before() {
        let rate = 22_050;
        let clips = vec![clip(speech(300, rate), rate), clip(speech(200, rate), rate)];
        let (took, heard) = play(clips, async |_pause| {}).await;
        assert!(took >= Duration::from_millis(500) + WAY_TO_THE_EAR);
        assert_eq!(heard, "Words. Words.");
    }

    #[tokio::test]
    async fn what_has_come_is_heard_before_the_rest_is_waited_for() {
        let (to_play, played) = mpsc::channel(1);
        let (_pause, paused) = watch::channel(false);
        let (delivered, delivery) = watch::channel(Delivery::default());
        let speaker = Speaker::new();
        let mut playing = speaker.playing(played, paused, &delivered);
        for said in ["Words.", "Words. Words."] {
            to_play
                .send(clip(speech(300, SPEAKING_RATE), SPEAKING_RATE))
                .await
                .unwrap();
            assert!(playing.comes().await);
            let began = Instant::now();
            playing.play().await;
            assert!(began.elapsed() >= Duration::from_millis(300));
            assert_eq!(delivery.borrow().words(Instant::now()), said);
        }
        drop(to_play);
        assert!(!playing.comes().await);
    }

    #[tokio::test]
    async fn nothing_to_say_is_over_soon() {
        let (_, heard) = play(vec![], async |_pause| {}).await;
        assert_eq!(heard, "");
    }

    #[tokio::test]
    async fn a_pause_is_silent_and_its_clause_is_said_again_from_its_beginning() {
        let samples = [
            speech(500, SPEAKING_RATE),
            vec![0; SPEAKING_RATE as usize / 10],
            speech(1_000, SPEAKING_RATE),
        ];
        let (into_second, silent) = (Duration::from_millis(400), Duration::from_millis(700));
        let (took, heard) = play(
            vec![clip(samples.concat(), SPEAKING_RATE)],
            async |pause: watch::Sender<bool>| {
                sleep(Duration::from_millis(600) + into_second).await;
                pause.send_replace(true);
                sleep(silent).await;
                pause.send_replace(false);
            },
        )
        .await;
        let expected = Duration::from_millis(1_600) + into_second + silent + WAY_TO_THE_EAR;
        assert!(took >= expected - Duration::from_millis(60), "{took:?}");
        assert!(took < expected + Duration::from_millis(250), "{took:?}");
        assert_eq!(heard, "Words.");
    }

    #[tokio::test]
    async fn what_was_heard_to_its_end_is_over_although_it_is_paused() {
        let clips = vec![clip(speech(300, SPEAKING_RATE), SPEAKING_RATE)];
        let (took, heard) = play(clips, async |pause: watch::Sender<bool>| {
            sleep(Duration::from_millis(400)).await;
            pause.send_replace(true);
            sleep(Duration::from_secs(3)).await;
        })
        .await;
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!(heard, "Words.");
    }
}
