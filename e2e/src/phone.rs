//! A phone: baresip, registered with the carrier, driven over its control port.

use std::{
    fs,
    net::Ipv4Addr,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use speech::Pcm;

use crate::{
    babble::babble,
    binaries::debian,
    carrier::phone_password,
    journal::{Journal, Writer, journal},
    party::{
        CALLEE, CALLEE_NUMBER, CARRIER, DOMAIN, LIVE_AGENT, LIVE_AGENT_NUMBER, SIP_PORT, TARGET,
        TARGET_NUMBER,
    },
    process::Process,
    recording::Recording,
    tone::Pilot,
    utterance::{self, Voice, Voices},
    wait::{LIMIT, Unmet, wait_for_condition},
};

mod control;

use control::Control;
pub use control::{CallId, EventKind, PhoneEvent};

/// Files in a phone's folder: silence, the pilot tone, and what it records.
const QUIET: &str = "quiet.wav";
const PILOT: &str = "pilot.wav";
const RECORDINGS: &str = "recordings";

/// Tells how loud a person speaks.
const LOUDNESS_SAMPLE: &str = "Please transfer me to a live agent.";

/// How long a voicemail box beeps.
const BEEP: Duration = Duration::from_millis(600);

/// The codecs that a phone offers and accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codecs {
    /// G.722 first, G.711 as a fallback.
    Wideband,
    /// G.711 µ-law and A-law only, as most mobile networks.
    Narrowband,
}

impl Codecs {
    /// The rate of the phone's sound files, in Hz: that of the codec, since baresip resamples badly enough for
    /// Whisper to misunderstand.
    fn sample_rate(self) -> u32 {
        match self {
            Self::Wideband => 16_000,
            Self::Narrowband => 8_000,
        }
    }
}

#[derive(Debug, Clone)]
pub struct PhoneSettings {
    pub name: &'static str,
    pub number: &'static str,
    pub address: Ipv4Addr,
    pub pilot: Pilot,
    pub voice: Voice,
    pub codecs: Codecs,
    /// How much quieter than the person others talk near the phone, in dB, all the time.
    pub babble_db: Option<f64>,
}

impl PhoneSettings {
    /// The person whom the agent dials.
    pub fn callee() -> Self {
        Self {
            name: "callee",
            number: CALLEE_NUMBER,
            address: CALLEE,
            pilot: Pilot::CALLEE,
            voice: Voice::Joe,
            codecs: Codecs::Wideband,
            babble_db: None,
        }
    }

    /// The transfer target of the guide's custom transfer.
    pub fn target() -> Self {
        Self {
            name: "target",
            number: TARGET_NUMBER,
            address: TARGET,
            pilot: Pilot::TARGET,
            voice: Voice::Rms,
            codecs: Codecs::Wideband,
            babble_db: None,
        }
    }

    /// The human behind `DEFAULT_TRANSFER_NUMBER`.
    pub fn live_agent() -> Self {
        Self {
            name: "live-agent",
            number: LIVE_AGENT_NUMBER,
            address: LIVE_AGENT,
            pilot: Pilot::LIVE_AGENT,
            voice: Voice::Slt,
            codecs: Codecs::Wideband,
            babble_db: None,
        }
    }

    pub fn with_codecs(self, codecs: Codecs) -> Self {
        Self { codecs, ..self }
    }

    pub fn with_voice(self, voice: Voice) -> Self {
        Self { voice, ..self }
    }

    pub fn with_babble(self, below_db: f64) -> Self {
        Self {
            babble_db: Some(below_db),
            ..self
        }
    }
}

/// Both directions of one call of a phone.
#[derive(Debug, Clone)]
pub struct Leg {
    pub heard: Recording,
    pub said: Recording,
}

/// A longer silence is between two utterances of a person, not in one.
const BETWEEN_UTTERANCES: Duration = Duration::from_millis(800);

/// A shorter silence is in what somebody says, such as at a comma.
const BETWEEN_WORDS: Duration = Duration::from_millis(400);

impl Leg {
    /// For each of the person's utterances, the longest silence that it heard between its last word and the end of
    /// what was said to it before its next utterance; all of the time when nothing was.
    pub fn silences_after_words(&self) -> anyhow::Result<Vec<Duration>> {
        let said = self.utterances()?;
        let heard = self.heard.sounds(Duration::ZERO)?;
        let end = self.heard.pcm()?.duration();
        let silences = said.iter().enumerate().map(|(n, words)| {
            let next = said.get(n + 1).map_or(end, |next| next.start);
            longest_silence(words.end..next, &heard)
        });
        Ok(silences.collect())
    }

    /// For each of the person's utterances that began while something was said to it, how long that went on.
    pub fn talked_over(&self) -> anyhow::Result<Vec<Duration>> {
        let said = self.utterances()?;
        let heard = self.heard.sounds(BETWEEN_WORDS)?;
        Ok(talked_over(&said, &heard))
    }

    /// When the person spoke, in the time of what it heard.
    ///
    /// Both recordings must have come to the same time, and need not have begun so: the leg goes on, or was hung up.
    /// One that was left for another call is heard no more, and is spoken into. Nobody else may talk near the phone.
    fn utterances(&self) -> anyhow::Result<Vec<Range<Duration>>> {
        let ahead =
            self.heard.pcm()?.duration().as_secs_f64() - self.said.pcm()?.duration().as_secs_f64();
        let here = |there: Duration| {
            Duration::try_from_secs_f64(there.as_secs_f64() + ahead).unwrap_or_default()
        };
        let said = self.said.sounds(BETWEEN_UTTERANCES)?.into_iter();
        Ok(said
            .map(|words| here(words.start)..here(words.end))
            .collect())
    }
}

/// How long each of `sounds` that something of `said` began in still lasted.
fn talked_over(said: &[Range<Duration>], sounds: &[Range<Duration>]) -> Vec<Duration> {
    said.iter()
        .filter_map(|words| {
            let sound = sounds.iter().find(|sound| sound.contains(&words.start))?;
            Some(sound.end.saturating_sub(words.start))
        })
        .collect()
}

/// The longest silence from the start of `span` to the last of `sounds` in it.
fn longest_silence(span: Range<Duration>, sounds: &[Range<Duration>]) -> Duration {
    let inside = sounds
        .iter()
        .filter(|sound| sound.end > span.start && sound.start < span.end);
    let mut silent_since = span.start;
    let mut longest = None;
    for sound in inside {
        let silence = sound.start.saturating_sub(silent_since);
        longest = longest.max(Some(silence));
        silent_since = sound.end;
    }
    longest.unwrap_or(span.end.saturating_sub(span.start))
}

pub struct Phone {
    settings: PhoneSettings,
    dir: PathBuf,
    voices: Arc<Voices>,
    /// What is heard at the phone beside the person.
    background: Arc<Pcm>,
    control: Control,
    speaker: Writer<String>,
    words: Journal<String>,
    process: Process,
}

/// Words as a sound file of the phone that is to say them.
#[derive(Debug)]
pub struct Rehearsed {
    text: String,
    file: String,
    length: Duration,
}

impl Phone {
    /// Starts a phone below `dir` and waits until the carrier has registered it.
    pub async fn start(
        dir: &Path,
        settings: PhoneSettings,
        voices: Arc<Voices>,
    ) -> anyhow::Result<Self> {
        let own_dir = dir.join(settings.name);
        let recordings = own_dir.join(RECORDINGS);
        fs::create_dir_all(&recordings)
            .with_context(|| format!("cannot create {}", recordings.display()))?;
        let (quiet, pilot) = (own_dir.join(QUIET), own_dir.join(PILOT));
        let PhoneSettings {
            pilot: tones,
            voice,
            codecs,
            babble_db,
            ..
        } = settings;
        let (rate, scratch, speakers) = (codecs.sample_rate(), own_dir.clone(), voices.clone());
        let background = tokio::task::spawn_blocking(move || {
            utterance::write_pilot(&pilot, tones, rate)?;
            let nothing = utterance::silence(rate, Duration::ZERO);
            let background = match babble_db {
                Some(below_db) => {
                    let person = speakers.say(voice, LOUDNESS_SAMPLE, &scratch)?;
                    babble(&speakers, &person, below_db, rate, &scratch)?
                }
                None => nothing.clone(),
            };
            utterance::write(&quiet, &nothing, &background)?;
            anyhow::Ok(background)
        });
        let background = Arc::new(background.await??);
        fs::write(own_dir.join("config"), config(&settings))?;
        fs::write(own_dir.join("accounts"), account(&settings))?;
        fs::write(own_dir.join("contacts"), "")?;

        let mut command = Command::new(debian("baresip", "baresip-core")?);
        command
            .arg("-f")
            .arg(&own_dir)
            .args(["-s", "-v"])
            .current_dir(&own_dir);
        let mut process = Process::spawn(settings.name, &mut command, dir)?;
        process.wait_for_log("[1 binding]").await?;
        let control = Control::connect(settings.name, settings.address).await?;
        let (speaker, words) = journal(format!("the person at phone {}", settings.name));
        Ok(Self {
            settings,
            dir: own_dir,
            voices,
            background,
            control,
            speaker,
            words,
            process,
        })
    }

    pub fn settings(&self) -> &PhoneSettings {
        &self.settings
    }

    /// What happened to the phone.
    pub fn events(&self) -> &Journal<PhoneEvent> {
        self.control.events()
    }

    /// What the person at the phone has said; each entry comes with its first word.
    pub fn words(&self) -> &Journal<String> {
        &self.words
    }

    /// Waits until the phone rings.
    pub async fn incoming(&self) -> anyhow::Result<CallId> {
        self.find("an incoming call", EventKind::Incoming, |_| true)
            .await
    }

    /// Waits until the phone rings, after position `from` of its journal.
    pub async fn incoming_after(&self, from: usize) -> anyhow::Result<CallId> {
        self.events()
            .find_after(from, "an incoming call", LIMIT, |event| {
                (event.kind == EventKind::Incoming).then(|| event.call.clone())
            })
            .await
    }

    /// Waits until the other side has pressed so many keys, and returns them.
    pub async fn keys(&self, count: usize) -> anyhow::Result<String> {
        let what = format!("{count} keys pressed by the other side");
        wait_for_condition(&what, LIMIT, async || {
            let key =
                |event: &PhoneEvent| (event.kind == EventKind::Key).then(|| event.param.clone());
            match self.events().all(key) {
                keys if keys.len() >= count => Ok(keys.concat()),
                keys => Err(Unmet::NotYet(format!("{keys:?}"))),
            }
        })
        .await
    }

    /// Whether the phone has rung.
    pub fn has_rung(&self) -> bool {
        !self
            .events()
            .all(|event| (event.kind == EventKind::Incoming).then_some(()))
            .is_empty()
    }

    /// Answers the ringing call and waits until it is established.
    pub async fn answer(&self, call: &CallId) -> anyhow::Result<()> {
        self.control.command("accept", "").await?;
        self.established(call).await
    }

    /// Presses the red button while the phone rings.
    pub async fn reject(&self, call: &CallId) -> anyhow::Result<()> {
        self.control.command("hangup", "").await?;
        self.closed(call).await.map(drop)
    }

    /// Dials `number` and returns when the other side rings.
    pub async fn dial(&self, number: &str) -> anyhow::Result<CallId> {
        self.control.command("dial", number).await?;
        self.find("ringing at the other side", EventKind::Ringing, |event| {
            event.peer.contains(number)
        })
        .await
    }

    /// Waits for the call that the phone placed to `number` by itself because of a REFER.
    pub async fn referred_to(&self, number: &str) -> anyhow::Result<CallId> {
        self.find("a referred call", EventKind::Established, |event| {
            event.outgoing && event.peer.contains(number)
        })
        .await
    }

    /// Waits until the phone has placed a call to `number` by itself because of a REFER, and that one rings.
    pub async fn referred_ringing(&self, number: &str) -> anyhow::Result<CallId> {
        self.find("a referred call that rings", EventKind::Ringing, |event| {
            event.outgoing && event.peer.contains(number)
        })
        .await
    }

    pub async fn established(&self, call: &CallId) -> anyhow::Result<()> {
        self.find("an established call", EventKind::Established, |event| {
            event.call == *call
        })
        .await
        .map(drop)
    }

    /// Waits until `call` is over, and returns the reason as baresip puts it.
    pub async fn closed(&self, call: &CallId) -> anyhow::Result<String> {
        self.events()
            .find(&format!("the end of call {call}"), |event| {
                (event.kind == EventKind::Closed && event.call == *call)
                    .then(|| event.param.clone())
            })
            .await
    }

    /// Hangs up the phone's latest call.
    pub async fn hang_up(&self) -> anyhow::Result<()> {
        self.control.command("hangup", "").await.map(drop)
    }

    /// Makes `call`, of several, the one that is spoken into, hung up, and answered.
    pub async fn turn_to(&self, call: &CallId) -> anyhow::Result<()> {
        let answer = self.control.command("callfind", &call.to_string()).await?;
        ensure!(
            answer.contains("setting current call"),
            "baresip does not know the call {call}: {answer}"
        );
        Ok(())
    }

    /// Hangs up `call`, whichever others the phone is in.
    pub async fn hang_up_call(&self, call: &CallId) -> anyhow::Result<()> {
        self.turn_to(call).await?;
        self.hang_up().await
    }

    /// Presses keys of the keypad, `0` to `9`, `*` and `#`, in the running call (RFC 4733).
    pub async fn press(&self, keys: &str) -> anyhow::Result<()> {
        for key in keys.chars() {
            ensure!(
                matches!(key, '0'..='9' | '*' | '#'),
                "no phone has a key `{key}`"
            );
            self.control.command("sndcode", &key.to_string()).await?;
        }
        Ok(())
    }

    /// Waits until the phone is in no call and rings for none.
    pub async fn expect_idle(&self) -> anyhow::Result<()> {
        let what = format!("phone {} to be in no call", self.settings.name);
        wait_for_condition(&what, LIMIT, async || {
            let calls = self.control.command("listcalls", "").await?;
            if calls.contains("Active calls (0)") {
                Ok(())
            } else {
                Err(Unmet::NotYet(calls))
            }
        })
        .await
    }

    /// Mutes the running call, pilot tone and all, or lets it be heard again.
    pub async fn mute(&self) -> anyhow::Result<()> {
        self.control.command("mute", "").await.map(drop)
    }

    /// Speaks into the running call and returns when the last word has been sent.
    pub async fn say(&self, text: &str) -> anyhow::Result<()> {
        let rehearsed = self.rehearse(text).await?;
        self.recite(&rehearsed).await
    }

    /// Makes what is to be said before there is a call: that takes longer than people are patient.
    pub async fn rehearse(&self, text: &str) -> anyhow::Result<Rehearsed> {
        let (file, length) = self.utterance(text).await?;
        Ok(Rehearsed {
            text: text.to_owned(),
            file,
            length,
        })
    }

    /// Says what was rehearsed, as [`say`](Self::say) does.
    pub async fn recite(&self, rehearsed: &Rehearsed) -> anyhow::Result<()> {
        let leg = self.leg(self.legs()?.saturating_sub(1)).await?;
        let begun = leg.said.pcm()?.duration();
        self.play(&rehearsed.file).await?;
        self.speaker.write(rehearsed.text.clone());
        self.has_sent(&leg, begun + rehearsed.length).await?;
        // The next call would play the words again.
        self.play(QUIET).await
    }

    /// Plays the pilot tone into the running call, and into later ones, until the next words.
    pub async fn hum(&self) -> anyhow::Result<()> {
        self.play(PILOT).await
    }

    /// Plays the pilot tone into the running call for as long as the tone of a voicemail box takes.
    pub async fn beep(&self) -> anyhow::Result<()> {
        let leg = self.leg(self.legs()?.saturating_sub(1)).await?;
        let begun = leg.said.pcm()?.duration();
        self.play(PILOT).await?;
        self.has_sent(&leg, begun + BEEP).await?;
        self.play(QUIET).await
    }

    /// Waits until the phone has sent `length` of audio in `leg`.
    async fn has_sent(&self, leg: &Leg, length: Duration) -> anyhow::Result<()> {
        let what = format!("{} to send {length:?} of audio", self.settings.name);
        wait_for_condition(&what, length + LIMIT, async || {
            let sent = leg.said.pcm()?.duration();
            if sent >= length {
                Ok(())
            } else {
                Err(Unmet::NotYet(format!("{sent:?} sent")))
            }
        })
        .await
    }

    /// The `n`th call of this phone that had audio, counted from 0; waits until it is being recorded.
    pub async fn leg(&self, n: usize) -> anyhow::Result<Leg> {
        wait_for_condition(
            &format!("leg {n} of {}", self.settings.name),
            LIMIT,
            async || {
                let (heard, said) = (self.recordings("dec")?, self.recordings("enc")?);
                match (heard.get(n), said.get(n)) {
                    (Some(heard), Some(said)) => {
                        let leg = Leg {
                            heard: Recording::new(heard.clone()),
                            said: Recording::new(said.clone()),
                        };
                        // The header comes with the first frame.
                        leg.heard
                            .pcm()
                            .and(leg.said.pcm())
                            .map_err(|e| Unmet::NotYet(e.to_string()))?;
                        Ok(leg)
                    }
                    _ => Err(Unmet::NotYet(format!("{} recordings", heard.len()))),
                }
            },
        )
        .await
    }

    /// Fails when the phone has crashed.
    pub fn check_running(&mut self) -> anyhow::Result<()> {
        self.process.check_running()
    }

    /// How many calls with audio there were.
    fn legs(&self) -> anyhow::Result<usize> {
        Ok(self.recordings("dec")?.len())
    }

    /// Writes a sound file that says `text`; returns its name and how long the words take.
    async fn utterance(&self, text: &str) -> anyhow::Result<(String, Duration)> {
        let words: String = text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let file = format!("{words:.60}.wav");
        let (voices, dir, path, text) = (
            self.voices.clone(),
            self.dir.clone(),
            self.dir.join(&file),
            text.to_owned(),
        );
        let (voice, background) = (self.settings.voice, self.background.clone());
        let spoken = tokio::task::spawn_blocking(move || {
            utterance::write(&path, &voices.say(voice, &text, &dir)?, &background)
        });
        Ok((file, spoken.await??))
    }

    /// Switches what the phone plays; applies to the running call and to later ones.
    async fn play(&self, file: &str) -> anyhow::Result<()> {
        let answer = self
            .control
            .command("ausrc", &format!("aufile,{file}"))
            .await?;
        ensure!(
            answer.contains("switch audio device"),
            "baresip does not switch its source: {answer}"
        );
        Ok(())
    }

    /// The recordings in one direction, oldest first: their names are dates, to the second.
    fn recordings(&self, direction: &str) -> anyhow::Result<Vec<PathBuf>> {
        let mut paths: Vec<_> = fs::read_dir(self.dir.join(RECORDINGS))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        paths.retain(|path| {
            path.to_string_lossy()
                .ends_with(&format!("-{direction}.wav"))
        });
        paths.sort();
        Ok(paths)
    }

    async fn find(
        &self,
        what: &str,
        kind: EventKind,
        is_it: impl Fn(&PhoneEvent) -> bool,
    ) -> anyhow::Result<CallId> {
        self.events()
            .find(what, |event| {
                (event.kind == kind && is_it(event)).then(|| event.call.clone())
            })
            .await
    }
}

/// Paths are relative to the phone's folder: baresip 1.0.0 cuts them off after 127 characters.
/// `jitter_buffer_delay` is in packets of 20 ms; aubridge without a partner replaces the sound card; `sndfile`
/// records both directions of every call.
fn config(settings: &PhoneSettings) -> String {
    let address = settings.address;
    let control = control::PORT;
    let rate = settings.codecs.sample_rate();
    format!(
        "poll_method epoll
sip_listen {address}:{SIP_PORT}
net_interface {address}
call_local_timeout 120
call_max_calls 4
audio_source aufile,{QUIET}
audio_player aubridge,nobody
audio_alert aubridge,nobody
ausrc_srate {rate}
auplay_srate {rate}
ausrc_channels 1
auplay_channels 1
rtp_ports 21000-21200
rtp_stats yes
jitter_buffer_delay 5-10
snd_path {RECORDINGS}
statmode_default off
module_path /usr/lib/baresip/modules
module_tmp account.so
module g722.so
module g711.so
module sndfile.so
module aufile.so
module aubridge.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {address}:{control}
"
    )
}

fn account(settings: &PhoneSettings) -> String {
    let PhoneSettings { name, number, .. } = settings;
    let password = phone_password(number);
    let codecs = match settings.codecs {
        Codecs::Wideband => "",
        Codecs::Narrowband => ";audio_codecs=PCMU,PCMA",
    };
    format!(
        "\"{name}\" <sip:{number}@{DOMAIN}>;auth_user={number};auth_pass={password};outbound=\"sip:{CARRIER}\";regint=600;answermode=manual{codecs}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_begins_to_speak_into_a_sound_talks_over_the_rest_of_it() {
        let s = Duration::from_secs;
        let sounds = [s(1)..s(4), s(6)..s(9)];
        let said = [s(0)..s(2), s(3)..s(7), s(8)..s(20), s(30)..s(31)];
        assert_eq!(talked_over(&said, &sounds), [s(1), s(1)]);
    }

    #[test]
    fn the_longest_silence_is_before_or_between_sounds_and_not_after_them() {
        let s = Duration::from_secs;
        let sounds = [s(0)..s(2), s(5)..s(6), s(10)..s(11), s(20)..s(21)];
        for (span, expect) in [(3..15, 4), (1..7, 3), (3..7, 2), (12..19, 7), (20..30, 0)] {
            let span = s(span.start)..s(span.end);
            assert_eq!(
                longest_silence(span.clone(), &sounds),
                s(expect),
                "{span:?}"
            );
        }
    }
}
