//! Microphone and speaker, by PulseAudio's native protocol, which PipeWire speaks too.
//!
//! The sound server has its own thread in the client. It brings what the microphone hears, and takes from a short
//! queue what is to be played; what it asks for and is not there is silence. Neither queue grows: what is too much
//! is lost, as the clocks of a microphone, a speaker and this process are not the same.

use std::{
    collections::VecDeque,
    ffi::CString,
    fmt, fs,
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use pulseaudio::{
    AsPlaybackSource as _, Client, ClientError, PlaybackStream, RecordStream, cookie_path_from_env,
    protocol::{
        ChannelMap, ChannelVolume, PlaybackStreamParams, RecordStreamParams, SampleFormat,
        SampleSpec,
        stream::{BufferAttr, StreamFlags},
    },
    socket_path_from_env,
};
use speech::HEARING_RATE;
use tokio::{
    sync::mpsc::{self, error::TryRecvError},
    task::spawn_blocking,
    time::timeout,
};

use crate::audio::SPEAKING_RATE;

/// How long the sound server may take to open both.
const OPENING: Duration = Duration::from_secs(5);

/// How long the microphone may give nothing: then it was unplugged, or the sound server hangs.
const SILENT: Duration = Duration::from_secs(3);

/// What the server keeps of the speaker's audio. Less and a busy machine makes gaps.
const AHEAD: Duration = Duration::from_millis(40);

/// How much the microphone brings at once, and how much the server asks for.
const PIECE: Duration = Duration::from_millis(10);

/// Samples of 10 ms that are played.
const FRAME: usize = SPEAKING_RATE as usize / 100;

/// Frames of 10 ms on their way to the speaker, in case that its clock is late.
const TO_PLAY: usize = 6;

/// Pieces of the microphone's; the loop takes them every 10 ms.
const HEARD: usize = 100;

/// Bytes of a cookie. Without one libpulse sends zeros, and servers hang up on any other length.
const COOKIE: usize = 256;

/// Which devices; the server's default ones where there is no name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Devices {
    pub input: Option<String>,
    pub output: Option<String>,
}

/// Why nothing is heard or played.
#[derive(Debug, thiserror::Error)]
pub enum SoundError {
    #[error(
        "no sound server is running here; start PulseAudio or PipeWire with pipewire-pulse, or name its socket in \
         PULSE_SERVER (unix:/path), or talk with --text or --wav"
    )]
    NoServer,
    #[error("the sound server refuses us; talk with --text or --wav, or look what it says")]
    Refused(#[source] ClientError),
    #[error("the sound server did not answer in {} s; restart it, or talk with --text or --wav", OPENING.as_secs())]
    Timeout,
    #[error("the sound server knows no {kind} `{name}`; it has: {known}")]
    Unknown {
        kind: DeviceKind,
        name: String,
        /// The names that there are.
        known: String,
    },
    #[error("the sound server has no {0}; plug one in, or talk with --text or --wav")]
    None(DeviceKind),
    #[error(
        "the microphone gives no audio any more: it was unplugged, or the sound server has ended"
    )]
    Gone,
}

impl SoundError {
    /// Whether what was asked for is at fault, not the machine.
    pub(super) fn is_usage(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    Microphone,
    Speaker,
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Microphone => "microphone",
            Self::Speaker => "speaker",
        })
    }
}

/// A device as the sound server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) kind: DeviceKind,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) is_default: bool,
    /// Whether it hears what a speaker plays.
    is_monitor: bool,
}

/// The devices of this machine: microphones first, those that hear what a speaker plays last.
pub(super) async fn devices() -> Result<Vec<Device>, SoundError> {
    within(OPENING, async { list(&connect().await?).await }).await
}

/// An open microphone and an open speaker.
pub(super) struct Sound {
    /// 16 kHz mono.
    microphone: mpsc::Receiver<Vec<i16>>,
    /// Frames of 10 ms, 48 kHz mono.
    speaker: mpsc::Sender<Vec<i16>>,
    heard_at: Instant,
    /// What is open, in words.
    description: String,
    _open: (RecordStream, PlaybackStream),
}

impl Sound {
    pub(super) async fn open(wanted: &Devices) -> Result<Self, SoundError> {
        within(OPENING, Self::open_slowly(wanted)).await
    }

    async fn open_slowly(wanted: &Devices) -> Result<Self, SoundError> {
        let client = connect().await?;
        let known = list(&client).await?;
        let input = choose(&known, DeviceKind::Microphone, wanted.input.as_deref())?;
        let output = choose(&known, DeviceKind::Speaker, wanted.output.as_deref())?;

        let (heard, microphone) = mpsc::channel(HEARD);
        let params = RecordStreamParams {
            sample_spec: mono(HEARING_RATE),
            channel_map: ChannelMap::mono(),
            source_name: Some(c_string(&input.name)),
            buffer_attr: BufferAttr {
                fragment_size: bytes(HEARING_RATE, PIECE),
                ..BufferAttr::default()
            },
            // Else the server goes on with another one in place of an unplugged microphone, such as a speaker's monitor.
            flags: StreamFlags {
                no_move: true,
                ..flags()
            },
            cvolume: Some(ChannelVolume::norm(1)),
            ..RecordStreamParams::default()
        };
        let hear = move |bytes: &[u8]| {
            let samples = bytes.chunks_exact(2).map(|two| [two[0], two[1]]);
            heard
                .try_send(samples.map(i16::from_le_bytes).collect())
                .ok();
        };
        let record = client.create_record_stream(params, hear);
        let record = record.await.map_err(SoundError::Refused)?;

        let (speaker, to_play) = mpsc::channel(TO_PLAY);
        let params = PlaybackStreamParams {
            sample_spec: mono(SPEAKING_RATE),
            channel_map: ChannelMap::mono(),
            sink_name: Some(c_string(&output.name)),
            buffer_attr: BufferAttr {
                target_length: bytes(SPEAKING_RATE, AHEAD),
                pre_buffering: 0,
                minimum_request_length: bytes(SPEAKING_RATE, PIECE),
                ..BufferAttr::default()
            },
            flags: flags(),
            cvolume: Some(ChannelVolume::norm(1)),
            ..PlaybackStreamParams::default()
        };
        let mut queue = Queue::new(to_play);
        let play = move |bytes: &mut [u8]| queue.fill(bytes);
        let playback = client.create_playback_stream(params, play.as_playback_source());
        let playback = playback.await.map_err(SoundError::Refused)?;
        Ok(Self {
            microphone,
            speaker,
            heard_at: Instant::now(),
            description: format!("{} and {}", input.description, output.description),
            _open: (record, playback),
        })
    }

    /// The two devices, as the sound server describes them.
    pub(super) fn description(&self) -> &str {
        &self.description
    }

    /// Plays 10 ms, after what waits to be played.
    pub(super) fn play(&self, frame: &[i16]) {
        self.speaker.try_send(frame.to_vec()).ok();
    }

    /// What the microphone has heard since this was asked last; perhaps nothing.
    pub(super) fn heard(&mut self, now: Instant) -> Result<Vec<i16>, SoundError> {
        let mut samples = Vec::new();
        loop {
            match self.microphone.try_recv() {
                Ok(more) => samples.extend(more),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(SoundError::Gone),
            }
        }
        if !samples.is_empty() {
            self.heard_at = now;
        }
        match now.saturating_duration_since(self.heard_at) < SILENT {
            true => Ok(samples),
            false => Err(SoundError::Gone),
        }
    }
}

/// What is to be played, in the thread of the sound server.
struct Queue {
    frames: mpsc::Receiver<Vec<i16>>,
    begun: VecDeque<i16>,
}

impl Queue {
    fn new(frames: mpsc::Receiver<Vec<i16>>) -> Self {
        Self {
            frames,
            begun: VecDeque::new(),
        }
    }

    /// Fills `bytes`, with silence where there is nothing, and returns how many these are.
    fn fill(&mut self, bytes: &mut [u8]) -> usize {
        // What waits beyond what is asked for would be heard late for the rest of the call.
        let asked = bytes.len() / 2 / FRAME + 1;
        while self.frames.len() > asked + 1 {
            self.frames.try_recv().ok();
        }
        for two in bytes.chunks_exact_mut(2) {
            if self.begun.is_empty() {
                self.begun
                    .extend(self.frames.try_recv().unwrap_or_default());
            }
            let sample = self.begun.pop_front().unwrap_or_default();
            two.copy_from_slice(&sample.to_le_bytes());
        }
        bytes.len()
    }
}

/// The one with that name, or else the default one; as a microphone never what hears a speaker, unless it is named.
fn choose<'d>(
    known: &'d [Device],
    kind: DeviceKind,
    name: Option<&str>,
) -> Result<&'d Device, SoundError> {
    let mut of_kind = known.iter().filter(|device| device.kind == kind);
    let Some(name) = name else {
        let mut usable: Vec<_> = of_kind.filter(|device| !device.is_monitor).collect();
        usable.sort_by_key(|device| !device.is_default);
        return usable.first().copied().ok_or(SoundError::None(kind));
    };
    let found = of_kind.clone().find(|device| device.name == name);
    found.ok_or_else(|| SoundError::Unknown {
        kind,
        name: name.to_owned(),
        known: match of_kind.next() {
            None => "none".to_owned(),
            Some(first) => of_kind.fold(first.name.clone(), |names, device| {
                format!("{names}, {}", device.name)
            }),
        },
    })
}

async fn connect() -> Result<Client, SoundError> {
    // It waits for the server's greeting.
    let connected = spawn_blocking(|| {
        let path = socket_path_from_env().ok_or(SoundError::NoServer)?;
        let socket = UnixStream::connect(path).map_err(|_| SoundError::NoServer)?;
        let cookie = cookie_path_from_env().and_then(|path| fs::read(path).ok());
        let cookie = cookie.unwrap_or_else(|| vec![0; COOKIE]);
        Client::new_unix(c"voice-agent console", socket, Some(cookie)).map_err(SoundError::Refused)
    });
    connected.await.unwrap_or(Err(SoundError::Timeout))
}

async fn list(client: &Client) -> Result<Vec<Device>, SoundError> {
    let refused = SoundError::Refused;
    let server = client.server_info().await.map_err(refused)?;
    let (source, sink) = (server.default_source_name, server.default_sink_name);
    let text = |text: &CString| text.to_string_lossy().into_owned();
    let sources = client.list_sources().await.map_err(refused)?;
    let sources = sources.iter().map(|device| Device {
        kind: DeviceKind::Microphone,
        name: text(&device.name),
        description: text(device.description.as_ref().unwrap_or(&device.name)),
        is_default: source.as_ref() == Some(&device.name),
        is_monitor: device.monitor_of_sink_index.is_some(),
    });
    let sinks = client.list_sinks().await.map_err(refused)?;
    let sinks = sinks.iter().map(|device| Device {
        kind: DeviceKind::Speaker,
        name: text(&device.name),
        description: text(device.description.as_ref().unwrap_or(&device.name)),
        is_default: sink.as_ref() == Some(&device.name),
        is_monitor: false,
    });
    let mut devices: Vec<_> = sources.chain(sinks).collect();
    devices.sort_by_key(|device| (device.kind == DeviceKind::Speaker, device.is_monitor));
    Ok(devices)
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, SoundError>>,
) -> Result<T, SoundError> {
    timeout(limit, work)
        .await
        .unwrap_or(Err(SoundError::Timeout))
}

fn mono(sample_rate: u32) -> SampleSpec {
    SampleSpec {
        format: SampleFormat::S16Le,
        channels: 1,
        sample_rate,
    }
}

fn flags() -> StreamFlags {
    StreamFlags {
        adjust_latency: true,
        ..StreamFlags::default()
    }
}

/// Of so much audio.
fn bytes(sample_rate: u32, length: Duration) -> u32 {
    sample_rate / 1_000 * length.as_millis() as u32 * 2
}

/// A name that came from the server, which sends no zeros in it.
fn c_string(name: &str) -> CString {
    CString::new(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(kind: DeviceKind, name: &str) -> Device {
        Device {
            kind,
            name: name.to_owned(),
            description: format!("the {name}"),
            is_default: false,
            is_monitor: false,
        }
    }

    #[test]
    fn the_default_microphone_is_one_that_hears_people() {
        use DeviceKind::{Microphone, Speaker};

        let monitor = Device {
            is_default: true,
            is_monitor: true,
            ..device(Microphone, "phones.monitor")
        };
        let headset = device(Microphone, "headset");
        let desk = Device {
            is_default: true,
            ..device(Microphone, "desk")
        };
        let known = [monitor.clone(), headset.clone(), desk.clone()];
        let chosen = |known, kind, name| choose(known, kind, name).unwrap().name.clone();
        assert_eq!(chosen(&known, Microphone, None), "desk");
        assert_eq!(chosen(&known[..2], Microphone, None), "headset");
        assert_eq!(
            chosen(&known, Microphone, Some("phones.monitor")),
            "phones.monitor"
        );

        let error = choose(&known[..1], Microphone, None).unwrap_err();
        assert!(matches!(error, SoundError::None(Microphone)), "{error}");
        let error = choose(&known, Speaker, Some("desk")).unwrap_err();
        let text = "the sound server knows no speaker `desk`; it has: none";
        assert_eq!(error.to_string(), text);
        let error = choose(&known, Microphone, Some("desc")).unwrap_err();
        let text =
            "the sound server knows no microphone `desc`; it has: phones.monitor, headset, desk";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn what_is_not_there_in_time_is_silence_and_nothing_is_lost_by_it() {
        let (speaker, frames) = mpsc::channel(TO_PLAY);
        let mut queue = Queue::new(frames);
        let mut bytes = [1; 6];
        assert_eq!(queue.fill(&mut bytes), 6);
        assert_eq!(bytes, [0; 6]);
        speaker.try_send(vec![1, 2]).unwrap();
        speaker.try_send(vec![3, 4]).unwrap();
        queue.fill(&mut bytes);
        assert_eq!(bytes, [1, 0, 2, 0, 3, 0]);
        queue.fill(&mut bytes);
        assert_eq!(bytes, [4, 0, 0, 0, 0, 0]);
        for late in 1..6 {
            speaker.try_send(vec![late]).unwrap();
        }
        queue.fill(&mut bytes);
        assert_eq!(bytes, [4, 0, 5, 0, 0, 0], "what came too early is lost");
    }
}
