//! Phones without a person, for measurements: each answers at once, says what it is told to, and keeps the time of
//! arrival and the loudness of every frame that it hears.
//!
//! All of them live in this process and take a hundredth of a core each, so that many calls leave the machine to
//! those who are measured. They speak G.711 µ-law (RFC 3551) in frames of 20 ms.

use std::{
    collections::{HashMap, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, bail};
use audio_codec::{
    Decoder as _, Encoder as _,
    pcmu::{PcmuDecoder, PcmuEncoder},
};
use speech::{Pcm, resample};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    journal::{Journal, Writer, journal},
    party::{HANDSETS, SIP_PORT},
    recording::{SOUND, loudness},
    sip::SipMessage,
    wait::LIMIT,
};

/// The rate of G.711, in Hz.
pub const RATE: u32 = 8_000;

/// How much audio is in a packet.
pub const FRAME: Duration = Duration::from_millis(20);

/// Samples in a packet, which are as many bytes.
const FRAME_SAMPLES: usize = 160;

/// Silence in µ-law.
const SILENCE: u8 = 0xFF;

/// Length of the fixed header of RTP (RFC 3550 §5.1).
const RTP_HEADER: usize = 12;

/// How long after a frame was heard its echo is sent: some of the way through a telephone network.
const ECHO_FRAMES: usize = 5;

/// Calls that wait to be taken from [`Handsets::next`].
const WAITING: usize = 64;

/// A frame of audio that a handset got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub at: Instant,
    pub sequence: u16,
    /// In samples.
    pub timestamp: u32,
    /// Mean of the magnitudes of its samples.
    pub loudness: u16,
}

impl Frame {
    /// Whether there is something to hear.
    pub fn sounds(&self) -> bool {
        self.loudness >= SOUND
    }
}

/// What a person says, ready to be sent: it begins and ends with a sound.
#[derive(Debug, Clone)]
pub struct Utterance(Vec<[u8; FRAME_SAMPLES]>);

impl Utterance {
    pub fn new(speech: &Pcm) -> Self {
        let samples = resample(speech, RATE).samples;
        let mut frames: Vec<_> = samples.chunks_exact(FRAME_SAMPLES).collect();
        let sounds = |frame: &&[i16]| loudness(frame) >= SOUND;
        frames.truncate(frames.iter().rposition(sounds).map_or(0, |last| last + 1));
        frames.drain(..frames.iter().position(sounds).unwrap_or(0));
        Self(frames.into_iter().map(encoded).collect())
    }

    pub fn duration(&self) -> Duration {
        FRAME * u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

/// All handsets, at the numbers of [`crate::party::handset_number`].
pub struct Handsets {
    answered: mpsc::Receiver<Handset>,
    _switchboard: JoinSet<anyhow::Result<()>>,
}

impl Handsets {
    pub async fn start() -> anyhow::Result<Self> {
        Self::on_a_line(None).await
    }

    /// On lines on which everything that is heard comes back, `gain` times as large (-20 dB are 0.1).
    pub async fn with_echo(gain: f64) -> anyhow::Result<Self> {
        Self::on_a_line(Some(gain)).await
    }

    async fn on_a_line(echo: Option<f64>) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((HANDSETS, SIP_PORT))
            .await
            .context("cannot open the handsets' SIP socket")?;
        let (answer, answered) = mpsc::channel(WAITING);
        let mut task = JoinSet::new();
        task.spawn(Switchboard::new(socket, answer, echo).run());
        Ok(Self {
            answered,
            _switchboard: task,
        })
    }

    /// Waits for the next call that was answered.
    pub async fn next(&mut self, limit: Duration) -> anyhow::Result<Handset> {
        match timeout(limit, self.answered.recv()).await {
            Ok(Some(handset)) => Ok(handset),
            Ok(None) => bail!("the handsets' switchboard has ended"),
            Err(_) => bail!("nobody called a handset in {limit:?}"),
        }
    }
}

/// A handset in a call, which lasts until the other side hangs up.
pub struct Handset {
    words: mpsc::Sender<Words>,
    heard: Journal<Frame>,
}

/// What is to be said, and who wants to know when that was done.
struct Words {
    utterance: Utterance,
    said: oneshot::Sender<Instant>,
}

impl Handset {
    /// The frames that it got; the journal ends with the call.
    pub fn heard(&self) -> &Journal<Frame> {
        &self.heard
    }

    /// Says it, and returns when the last frame was sent.
    pub async fn say(&self, utterance: Utterance) -> anyhow::Result<Instant> {
        let (said, when) = oneshot::channel();
        let words = Words { utterance, said };
        if self.words.send(words).await.is_err() {
            bail!("the call is over");
        }
        when.await.context("the call ended in mid sentence")
    }

    /// Waits until there has been no sound for so long, `from` a moment on.
    ///
    /// # Errors
    ///
    /// When the call ends, or the other side has not fallen silent within [`LIMIT`].
    pub async fn silence(&self, from: Instant, length: Duration) -> anyhow::Result<()> {
        let mut silent_since = from;
        let begin = self.heard.position_after(0, |frame| frame.at >= from);
        let mut next = begin.unwrap_or_else(|| self.heard.len());
        while silent_since.elapsed() < length {
            let sound = self
                .heard
                .find_after(next, "the next frame", LIMIT, |frame| {
                    Some(frame.sounds().then_some(frame.at))
                });
            if let Some(at) = sound.await? {
                silent_since = silent_since.max(at);
            }
            next += 1;
            if from.elapsed() > LIMIT + length {
                bail!("the other side speaks for longer than {LIMIT:?}");
            }
        }
        Ok(())
    }
}

/// The SIP side of all handsets (RFC 3261): it answers calls, and nothing else.
struct Switchboard {
    socket: UdpSocket,
    answer: mpsc::Sender<Handset>,
    echo: Option<f64>,
    calls: HashMap<String, Call>,
}

struct Call {
    /// The session description of the answer.
    description: String,
    /// `None` when its handset was given away.
    ringing: Option<Handset>,
    /// Ends with the call.
    _audio: JoinSet<()>,
}

impl Switchboard {
    fn new(socket: UdpSocket, answer: mpsc::Sender<Handset>, echo: Option<f64>) -> Self {
        Self {
            socket,
            answer,
            echo,
            calls: HashMap::new(),
        }
    }

    async fn run(mut self) -> anyhow::Result<()> {
        let mut buffer = vec![0; 65_536];
        loop {
            let (length, from) = self.socket.recv_from(&mut buffer).await?;
            let text = String::from_utf8_lossy(&buffer[..length]);
            let SocketAddr::V4(peer) = from else { continue };
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
            let message = SipMessage::parse(now, *peer.ip(), HANDSETS, &text);
            if let Some(message) = message
                && let Some(response) = self.handle(&message).await?
            {
                self.socket.send_to(response.as_bytes(), from).await?;
            }
        }
    }

    async fn handle(&mut self, message: &SipMessage) -> anyhow::Result<Option<String>> {
        let (Some(method), Some(id)) = (message.request(), message.call_id()) else {
            return Ok(None);
        };
        match method {
            "INVITE" => {
                if !self.calls.contains_key(id) {
                    let call = Call::answered(&message.body, self.echo).await?;
                    self.calls.insert(id.to_owned(), call);
                }
                let description = &self.calls[id].description;
                Ok(Some(response(message, description)))
            }
            "ACK" => {
                let call = self.calls.get_mut(id);
                if let Some(handset) = call.and_then(|call| call.ringing.take()) {
                    self.answer.send(handset).await?;
                }
                Ok(None)
            }
            "BYE" => {
                self.calls.remove(id);
                Ok(Some(response(message, "")))
            }
            _ => Ok(Some(response(message, ""))),
        }
    }
}

/// `200 OK` to a request, with a session description unless it is empty.
fn response(request: &SipMessage, description: &str) -> String {
    let mut lines = vec!["SIP/2.0 200 OK".to_owned()];
    for name in ["Via", "Record-Route", "From", "Call-ID", "CSeq"] {
        lines.extend(
            request
                .headers(name)
                .map(|value| format!("{name}: {value}")),
        );
    }
    let to = request.header("To").unwrap_or_default();
    let tag = if to.contains(";tag=") {
        ""
    } else {
        ";tag=handset"
    };
    lines.push(format!("To: {to}{tag}"));
    lines.push(format!("Contact: <sip:handset@{HANDSETS}:{SIP_PORT}>"));
    if !description.is_empty() {
        lines.push("Content-Type: application/sdp".to_owned());
    }
    lines.push(format!("Content-Length: {}", description.len()));
    format!("{}\r\n\r\n{description}", lines.join("\r\n"))
}

impl Call {
    async fn answered(offer: &str, echo: Option<f64>) -> anyhow::Result<Self> {
        let peer = audio_address(offer).context("an INVITE without an address for audio")?;
        let socket = UdpSocket::bind((HANDSETS, 0)).await?;
        let port = socket.local_addr()?.port();
        let (words, to_say) = mpsc::channel(1);
        let (writer, heard) = journal("a handset");
        let mut audio = JoinSet::new();
        audio.spawn(talk(socket, peer, to_say, writer, echo.map(Echo::new)));
        Ok(Self {
            description: [
                "v=0",
                &format!("o=- 1 1 IN IP4 {HANDSETS}"),
                "s=-",
                &format!("c=IN IP4 {HANDSETS}"),
                "t=0 0",
                &format!("m=audio {port} RTP/AVP 0"),
                "a=rtpmap:0 PCMU/8000",
                "a=ptime:20",
                "a=sendrecv\r\n",
            ]
            .join("\r\n"),
            ringing: Some(Handset { words, heard }),
            _audio: audio,
        })
    }
}

/// Where the other side wants its audio (RFC 4566 §5.7, §5.14).
fn audio_address(description: &str) -> Option<SocketAddr> {
    let value = |prefix: &str| {
        description
            .lines()
            .find_map(|line| line.strip_prefix(prefix))
    };
    let address: Ipv4Addr = value("c=IN IP4 ")?.trim().parse().ok()?;
    let port: u16 = value("m=audio ")?.split(' ').next()?.parse().ok()?;
    Some((address, port).into())
}

/// Sends a frame every 20 ms, and keeps those that come, which need not be from where `peer` wants its own.
async fn talk(
    socket: UdpSocket,
    peer: SocketAddr,
    mut to_say: mpsc::Receiver<Words>,
    heard: Writer<Frame>,
    mut echo: Option<Echo>,
) {
    let mut clock = interval(FRAME);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut buffer = [0; 2048];
    let mut speaking: Option<(std::vec::IntoIter<[u8; FRAME_SAMPLES]>, Words)> = None;
    for sequence in 0_u32.. {
        loop {
            tokio::select! {
                biased;
                received = socket.recv(&mut buffer) => {
                    // The other side's port may not be open yet, or not any more.
                    if let Ok(length) = received
                        && let Some((frame, samples)) = frame(&buffer[..length], Instant::now())
                    {
                        heard.write(frame);
                        if let Some(echo) = &mut echo {
                            echo.hears(samples);
                        }
                    }
                }
                _ = clock.tick() => break,
            }
        }
        if speaking.is_none()
            && let Ok(words) = to_say.try_recv()
        {
            speaking = Some((words.utterance.0.clone().into_iter(), words));
        }
        let words = speaking.as_mut().and_then(|(frames, _)| frames.next());
        let payload = words.unwrap_or([SILENCE; FRAME_SAMPLES]);
        let payload = match &mut echo {
            Some(echo) => echo.add_to(payload),
            None => payload,
        };
        // It is not known whether anybody listens.
        drop(socket.send_to(&packet(sequence, &payload), peer).await);
        if let Some((_, words)) = speaking.take_if(|(frames, _)| frames.len() == 0) {
            // Who asked for it may have stopped waiting.
            words.said.send(Instant::now()).ok();
        }
    }
}

/// What comes back of what is heard.
struct Echo {
    gain: f64,
    heard: VecDeque<Vec<i16>>,
}

impl Echo {
    fn new(gain: f64) -> Self {
        Self {
            gain,
            heard: VecDeque::from(vec![Vec::new(); ECHO_FRAMES]),
        }
    }

    fn hears(&mut self, samples: Vec<i16>) {
        self.heard.push_back(samples);
        // Two clocks: what is heard may come a little faster than it is sent.
        let surplus = self.heard.len().saturating_sub(2 * ECHO_FRAMES);
        self.heard.drain(..surplus);
    }

    /// The frame that is sent with the one that comes back in it.
    fn add_to(&mut self, payload: [u8; FRAME_SAMPLES]) -> [u8; FRAME_SAMPLES] {
        let Some(heard) = self.heard.pop_front() else {
            return payload;
        };
        let mut samples = [0; FRAME_SAMPLES];
        let decoded = PcmuDecoder::new().decode_into(&payload, &mut samples);
        decoded.expect("a byte becomes a sample");
        for (sample, heard) in samples.iter_mut().zip(heard) {
            *sample = sample.saturating_add((f64::from(heard) * self.gain) as i16);
        }
        encoded(&samples)
    }
}

/// A frame in µ-law.
fn encoded(samples: &[i16]) -> [u8; FRAME_SAMPLES] {
    let mut bytes = [0; FRAME_SAMPLES];
    let encoded = PcmuEncoder::new().encode_into(samples, &mut bytes);
    encoded.expect("a sample becomes a byte");
    bytes
}

fn packet(sequence: u32, payload: &[u8]) -> Vec<u8> {
    let timestamp = sequence.wrapping_mul(FRAME_SAMPLES as u32);
    let mut packet = vec![0x80, 0];
    packet.extend((sequence as u16).to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    // One source in each session: any identifier will do.
    packet.extend(1_u32.to_be_bytes());
    packet.extend(payload);
    packet
}

/// Reads an RTP packet of µ-law audio, and its samples; `None` when it is something else.
fn frame(packet: &[u8], at: Instant) -> Option<(Frame, Vec<i16>)> {
    let [0x80, marker_and_type, s0, s1, t0, t1, t2, t3, ..] = *packet else {
        return None;
    };
    let payload = packet.get(RTP_HEADER..)?;
    if marker_and_type & 0x7F != 0 || payload.is_empty() {
        return None;
    }
    let mut samples = vec![0; payload.len()];
    PcmuDecoder::new().decode_into(payload, &mut samples).ok()?;
    let frame = Frame {
        at,
        sequence: u16::from_be_bytes([s0, s1]),
        timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        loudness: loudness(&samples),
    };
    Some((frame, samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_handset_sends_is_what_another_one_hears() {
        let pcm = Pcm {
            sample_rate: RATE,
            samples: [[0; 160], [1_000; 160], [-3_000; 160], [20; 160]].concat(),
        };
        let utterance = Utterance::new(&pcm);
        assert_eq!(utterance.duration(), 2 * FRAME, "it is cut to its sounds");
        let now = Instant::now();
        for (payload, loud) in utterance.0.iter().zip([1_000_u16, 3_000]) {
            let (heard, _) = frame(&packet(70_000, payload), now).unwrap();
            assert_eq!(heard.sequence, 4_464, "it wraps");
            assert_eq!(heard.timestamp, 11_200_000);
            assert!(heard.loudness.abs_diff(loud) < loud / 16, "{heard:?}");
        }
        let (silence, _) = frame(&packet(1, &[SILENCE; 160]), now).unwrap();
        assert!(!silence.sounds());
    }

    #[test]
    fn an_echo_is_softer_and_comes_later() {
        let mut echo = Echo::new(0.1);
        echo.hears(vec![10_000; FRAME_SAMPLES]);
        let sent = (0..=ECHO_FRAMES + 1).map(|_| {
            let payload = echo.add_to([SILENCE; FRAME_SAMPLES]);
            let (frame, _) = frame(&packet(1, &payload), Instant::now()).unwrap();
            frame.loudness
        });
        let sent: Vec<_> = sent.collect();
        let (silence, [comes_back, after]) = sent.split_at(ECHO_FRAMES) else {
            panic!("{sent:?}")
        };
        assert!(
            silence.iter().chain([after]).all(|loudness| *loudness == 0),
            "{sent:?}"
        );
        assert!(comes_back.abs_diff(1_000) < 50, "{sent:?}");
    }

    #[test]
    fn key_presses_and_garbage_are_no_frames() {
        let now = Instant::now();
        let mut key = packet(1, &[0; 4]);
        key[1] = 101;
        for packet in [&key[..], b"OPTIONS", &[0x80; 12]] {
            assert_eq!(frame(packet, now), None);
        }
    }

    #[test]
    fn the_audio_goes_where_the_offer_says() {
        let offer = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nc=IN IP4 127.0.0.10\r\nm=audio 20014 RTP/AVP 9 0 8\r\n";
        let expect = "127.0.0.10:20014".parse().unwrap();
        assert_eq!(audio_address(offer), Some(expect));
        assert_eq!(audio_address("v=0\r\n"), None);
    }

    #[test]
    fn an_answer_belongs_to_its_request() {
        let invite = "INVITE sip:+15552000001@127.0.0.50:5060 SIP/2.0\r\nVia: one\r\nVia: two\r\n\
                      Record-Route: <sip:carrier;lr>\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:b>\r\n\
                      Call-ID: 7\r\nCSeq: 2 INVITE\r\n\r\n";
        let any = Ipv4Addr::LOCALHOST;
        let invite = SipMessage::parse(Duration::ZERO, any, any, invite).unwrap();
        let answer = response(&invite, "v=0\r\n");
        let answer = SipMessage::parse(Duration::ZERO, any, any, &answer).unwrap();
        assert_eq!(answer.response_to("INVITE"), Some(200));
        assert_eq!(answer.headers("Via").collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(answer.header("To"), Some("<sip:b>;tag=handset"));
        assert_eq!(answer.body, "v=0");
    }
}
