//! `voice-agent console` by microphone and speaker, on a PulseAudio server of the test's own.
//!
//! Its devices are null sinks: what a person says is played into `mouth`, whose monitor is the microphone, and what the
//! person hears is the monitor of `phones`.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::{
    collections::VecDeque,
    ffi::CString,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use pulseaudio::{
    AsPlaybackSource as _, Client, PlaybackStream, RecordStream,
    protocol::{
        ChannelMap, ChannelVolume, PlaybackStreamParams, RecordStreamParams, SampleFormat,
        SampleSpec,
        stream::{BufferAttr, StreamFlags},
    },
};
use sip_config::{Environment, SpeechSettings};
use speech::{HEARING_RATE, ModelsDir, Pass, Piper, Whisper, resample};
use tempfile::TempDir;

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(40);

/// What null sinks and both buffers keep on the way from the agent to the person and back, on a busy machine.
const WAY: Duration = Duration::from_millis(400);

/// How soon the agent falls silent for whoever interrupts it.
const BARGE_IN: Duration = Duration::from_millis(200);

/// Samples of 10 ms at [`HEARING_RATE`].
const FRAME: usize = HEARING_RATE as usize / 100;

/// Below it is silence; null sinks have no noise.
const SOUND: u16 = 200;

/// A sound server, which goes with its folder.
struct SoundServer {
    dir: TempDir,
    process: Child,
}

impl Drop for SoundServer {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl SoundServer {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("native");
        let socket_module = format!(
            "module-native-protocol-unix socket={} auth-anonymous=1",
            socket.display()
        );
        let log = fs::File::create(dir.path().join("pulseaudio.log")).unwrap();
        let process = Command::new("pulseaudio")
            .args([
                "-n",
                "--daemonize=no",
                "--exit-idle-time=-1",
                "--use-pid-file=no",
            ])
            .args(["--disable-shm=yes", "--realtime=no", "--high-priority=no"])
            .args(["-L", &socket_module])
            .args(["-L", "module-null-sink sink_name=mouth"])
            .args(["-L", "module-null-sink sink_name=phones"])
            .env_clear()
            .env("HOME", dir.path())
            .env("XDG_RUNTIME_DIR", dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("PulseAudio is installed: cargo xtask setup");
        let server = Self { dir, process };
        until("the sound server listens", || server.connect().is_some());
        server
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("native")
    }

    fn connect(&self) -> Option<Client> {
        let socket = UnixStream::connect(self.socket()).ok()?;
        Client::new_unix(c"the person", socket, Some([0; 256])).ok()
    }
}

/// The person at the machine.
struct Person {
    client: Client,
    /// What the microphone hears and what the speaker plays, 16 kHz mono, from the same moment on.
    said: Arc<Mutex<Vec<i16>>>,
    heard: Arc<Mutex<Vec<i16>>>,
    _recordings: [RecordStream; 2],
}

impl Person {
    async fn at(server: &SoundServer) -> Self {
        let client = server.connect().unwrap();
        let (said, heard) = (Arc::default(), Arc::default());
        let recordings = [
            record(&client, "mouth.monitor", &said).await,
            record(&client, "phones.monitor", &heard).await,
        ];
        Self {
            client,
            said,
            heard,
            _recordings: recordings,
        }
    }

    /// Begins to say something; it goes on until what is returned is dropped.
    async fn say(&self, samples: &[i16]) -> PlaybackStream {
        let mut bytes: VecDeque<u8> = samples.iter().flat_map(|it| it.to_le_bytes()).collect();
        let params = PlaybackStreamParams {
            sample_spec: spec(),
            channel_map: ChannelMap::mono(),
            sink_name: Some(c"mouth".to_owned()),
            // Less than the server would wait for is said, too.
            buffer_attr: BufferAttr {
                pre_buffering: 0,
                ..BufferAttr::default()
            },
            cvolume: Some(ChannelVolume::norm(1)),
            ..PlaybackStreamParams::default()
        };
        let source = move |buffer: &mut [u8]| {
            let length = buffer.len().min(bytes.len());
            for (place, byte) in buffer.iter_mut().zip(bytes.drain(..length)) {
                *place = byte;
            }
            length
        };
        let stream = self
            .client
            .create_playback_stream(params, source.as_playback_source());
        stream.await.unwrap()
    }

    /// What was heard so far.
    fn heard(&self) -> Vec<i16> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits for something to be said, and for its end.
    fn listen_to_an_utterance(&self, from: usize) {
        until("the agent has said something", || {
            let heard = self.heard();
            let frames: Vec<_> = heard[from.min(heard.len())..].chunks(FRAME).collect();
            let last = frames.iter().rposition(|frame| sounds(frame));
            last.is_some_and(|last| frames.len() - last > 100)
        });
    }
}

async fn record(client: &Client, source: &str, into: &Arc<Mutex<Vec<i16>>>) -> RecordStream {
    let into = into.clone();
    let params = RecordStreamParams {
        sample_spec: spec(),
        channel_map: ChannelMap::mono(),
        source_name: Some(CString::new(source).unwrap()),
        buffer_attr: BufferAttr {
            fragment_size: 2 * FRAME as u32,
            ..BufferAttr::default()
        },
        flags: StreamFlags {
            adjust_latency: true,
            ..StreamFlags::default()
        },
        cvolume: Some(ChannelVolume::norm(1)),
        ..RecordStreamParams::default()
    };
    let hear = move |bytes: &[u8]| {
        let samples = bytes.chunks_exact(2).map(|two| [two[0], two[1]]);
        into.lock().unwrap().extend(samples.map(i16::from_le_bytes));
    };
    client.create_record_stream(params, hear).await.unwrap()
}

fn spec() -> SampleSpec {
    SampleSpec {
        format: SampleFormat::S16Le,
        channels: 1,
        sample_rate: HEARING_RATE,
    }
}

fn sounds(frame: &[i16]) -> bool {
    frame.iter().any(|sample| sample.unsigned_abs() > SOUND)
}

/// Polls until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LIMIT, "not in {LIMIT:?}: {what}");
        sleep(Duration::from_millis(20));
    }
}

/// `voice-agent console`, killed with the test.
struct Console {
    process: Child,
    /// Open as long as nobody hangs up.
    input: Option<ChildStdin>,
    events: Arc<Mutex<Vec<serde_json::Value>>>,
}

impl Drop for Console {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn command(server: Option<&SoundServer>, args: &[&str]) -> Command {
    let models = models_dir();
    let mut command = Command::new(env!("CARGO_BIN_EXE_voice-agent"));
    command
        .arg("console")
        .args(args)
        .env_clear()
        .env("SPEECH_MODELS_DIR", models)
        .env("DEFAULT_TRANSFER_NUMBER", "+15550001234")
        .env("PATH", std::env::var_os("PATH").unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(server) = server {
        let socket = format!("unix:{}", server.socket().display());
        command
            .env("PULSE_SERVER", socket)
            .current_dir(server.dir.path());
    }
    command
}

impl Console {
    fn start(server: &SoundServer, args: &[&str]) -> Self {
        let devices = [
            "--json",
            "--input-device",
            "mouth.monitor",
            "--output-device",
            "phones",
        ];
        let mut process = command(Some(server), &[&devices[..], args].concat())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let events: Arc<Mutex<Vec<_>>> = Arc::default();
        let record = events.clone();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap();
                record.lock().unwrap().push(event);
            }
        });
        Self {
            input: process.stdin.take(),
            process,
            events,
        }
    }

    fn texts(&self, event: &str) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let of_kind = events.iter().filter(|it| it["event"] == event);
        let texts = of_kind.filter_map(|it| it["text"].as_str().or(it["outcome"].as_str()));
        texts.map(str::to_owned).collect()
    }

    /// Waits for the end, and returns the exit code and what was written to standard error.
    fn end(mut self) -> (Option<i32>, String) {
        until("the console ends", || {
            self.process.try_wait().unwrap().is_some()
        });
        let mut errors = String::new();
        let mut stderr = self.process.stderr.take().unwrap();
        stderr.read_to_string(&mut errors).unwrap();
        (self.process.wait().unwrap().code(), errors)
    }
}

fn models_dir() -> PathBuf {
    let settings = Environment::load().unwrap().settings::<SpeechSettings>();
    settings.unwrap().models_dir
}

fn speak(words: &str) -> Vec<i16> {
    let piper = Piper::load(&ModelsDir::new(models_dir()).piper()).unwrap();
    resample(&piper.synthesize(words).unwrap(), HEARING_RATE).samples
}

fn write_down(samples: &[i16]) -> String {
    let whisper = Whisper::load(&ModelsDir::new(models_dir()).whisper()).unwrap();
    let samples: Vec<_> = samples.iter().map(|&it| f32::from(it) / 32_768.0).collect();
    let transcript = whisper.transcribe(&samples, Pass::First).unwrap();
    transcript.text.to_lowercase()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_microphone_talks_and_is_transferred() {
    let server = SoundServer::start();
    let person = Person::at(&server).await;
    let console = Console::start(&server, &[]);
    person.listen_to_an_utterance(0);
    let greeting = person.heard().len();
    let heard = write_down(&person.heard());
    assert!(heard.contains("how can i help"), "{heard}");

    let _saying = person.say(&speak("Transfer me, please.")).await;
    until("the call ends", || !console.texts("ended").is_empty());
    let events = format!("{:?}", console.events.lock().unwrap());
    assert_eq!(console.texts("ended"), ["transferred"], "{events}");
    let understood = console.texts("heard").join(" ").to_lowercase();
    assert!(understood.contains("transfer me"), "{understood}");
    let heard = write_down(&person.heard()[greeting..]);
    assert!(heard.contains("transferring you"), "{heard}");
    let (code, errors) = console.end();
    assert_eq!((code, errors.as_str()), (Some(0), ""));
}

#[expect(clippy::print_stdout, reason = "the figure is part of the result")]
#[tokio::test(flavor = "multi_thread")]
async fn whoever_interrupts_by_microphone_silences_the_agent() {
    let server = SoundServer::start();
    let file = server.dir.path().join("agent.toml");
    let greeting = "We open at nine in the morning, and we close at six in the evening, from Monday to Friday. On \
        Saturday we open at ten, and we close at two in the afternoon. On Sunday nobody is here.";
    fs::write(&file, format!("greeting = \"{greeting}\"\n")).unwrap();
    let words = speak("Wait a moment, please. I have a question.");
    let person = Person::at(&server).await;
    let console = Console::start(&server, &["--config", file.to_str().unwrap()]);
    until("the greeting is under way", || {
        let heard = person.heard();
        let first = heard.chunks(FRAME).position(sounds);
        first.is_some_and(|first| heard.len() / FRAME - first > 150)
    });
    let from = person.heard().len() / FRAME;
    let _saying = person.say(&words).await;
    until("the agent stops", || !console.texts("heard").is_empty());

    let frames = |samples: &[i16]| samples.chunks(FRAME).map(sounds).collect::<Vec<_>>();
    let said = frames(&person.said.lock().unwrap());
    let heard = frames(&person.heard());
    let begun = from + said[from..].iter().position(|sounds| *sounds).unwrap();
    // From there on it is silent for half a second.
    let silent = (begun..heard.len().saturating_sub(50))
        .find(|at| !heard[*at..*at + 50].contains(&true))
        .expect("the agent falls silent");
    let talked_over = Duration::from_millis(10) * (silent - begun) as u32;
    println!("the speaker played the agent for {talked_over:?} over the person");
    assert!(
        talked_over <= BARGE_IN + WAY,
        "the agent went on for {talked_over:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_server_that_ends_in_mid_call_ends_the_call_with_an_error() {
    let mut server = SoundServer::start();
    let console = Console::start(&server, &[]);
    until("the agent greets", || !console.texts("said").is_empty());
    server.process.kill().unwrap();
    let (code, errors) = console.end();
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        errors.contains("the microphone gives no audio any more"),
        "{errors}"
    );
}

#[test]
fn commands_are_typed_beside_the_talk_and_the_end_of_the_input_hangs_up() {
    let server = SoundServer::start();
    let mut console = Console::start(&server, &[]);
    until("the agent greets", || !console.texts("said").is_empty());
    let input = console.input.as_mut().unwrap();
    input.write_all(b"/failed busy\n/key 0\n").unwrap();
    // The greeting, the notice of the transfer, and why it failed.
    until("the key is heard", || console.texts("said").len() > 2);
    console.input = None;
    until("the call ends", || !console.texts("ended").is_empty());
    assert_eq!(console.end().0, Some(0));
}

#[test]
fn devices_are_named_and_those_that_are_not_there_refused() {
    let server = SoundServer::start();
    let output = command(Some(&server), &["--list-devices"])
        .output()
        .unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(
        listed.contains("--input-device mouth.monitor  "),
        "{listed}"
    );
    assert!(listed.contains("--output-device phones  "), "{listed}");
    assert_eq!(output.status.code(), Some(0));

    for (args, code, error) in [
        (
            &[
                "--output-device",
                "boombox",
                "--input-device",
                "mouth.monitor",
            ][..],
            2,
            "the sound server knows no speaker `boombox`; it has: mouth, phones",
        ),
        // It hears what the agent says.
        (&["--sound"], 1, "the sound server has no microphone"),
    ] {
        let output = command(Some(&server), args).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains(error), "{errors}");
        assert_eq!(output.status.code(), Some(code));
    }
    let output = command(None, &["--sound"]).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.starts_with("no sound server is running here"),
        "{errors}"
    );
    assert_eq!(output.status.code(), Some(1));
}
