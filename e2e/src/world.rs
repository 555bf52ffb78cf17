//! Everything that a call needs, started together.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use livekit_api::services::{
    agent_dispatch::AgentDispatchClient,
    room::RoomClient,
    sip::{ListSIPOutboundTrunkFilter, SIPClient},
};
use livekit_protocol::{CreateAgentDispatchRequest, SipOutboundTrunkInfo};
use speech::{ModelsDir, Whisper};

use crate::{
    capture::Capture,
    carrier::{Carrier, TRUNK_PASSWORD, TRUNK_USER},
    livekit_server::{API_KEY, API_SECRET, LiveKitServer, URL},
    livekit_sip::LiveKitSip,
    party::{CARRIER, DOMAIN, LIVE_AGENT_NUMBER, TRUNK_NUMBER},
    phone::{Phone, PhoneSettings},
    recording::Recording,
    redis::Redis,
    tls_front::{self, TlsFront},
    tool,
    utterance::Voices,
    wait::{LIMIT, Unmet, wait_for_condition},
    worker::Worker,
};

/// The name under which the worker registers when nothing else is set.
const AGENT_NAME: &str = "outbound-caller";

/// The running servers, the carrier and the capture. Phones and workers come on request.
pub struct World {
    dir: PathBuf,
    voices: Arc<Voices>,
    models: ModelsDir,
    rooms: RoomClient,
    sip: SIPClient,
    pub capture: Capture,
    pub carrier: Carrier,
    livekit_sip: Option<LiveKitSip>,
    tls_front: Option<TlsFront>,
    _livekit_server: LiveKitServer,
    _redis: Redis,
}

impl World {
    /// Starts everything with its files in `dir`, inside the namespace; takes one to two seconds.
    ///
    /// Writes a `.env` with the carrier's account and no trunk id.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        let models = ModelsDir::from_lookup(|name| env::var(name).ok())
            .context("neither SPEECH_MODELS_DIR nor XDG_CACHE_HOME nor HOME is set")?;
        let piper = models.piper();
        let load_voices = async {
            let voices = tokio::task::spawn_blocking(move || Voices::load(&piper)).await??;
            anyhow::Ok(Arc::new(voices))
        };
        let carrier_and_capture = async {
            let carrier = Carrier::start(dir).await?;
            anyhow::Ok((carrier, Capture::start(dir).await?))
        };
        let livekit = async {
            let redis = Redis::start(dir).await?;
            let (server, sip) =
                tokio::try_join!(LiveKitServer::start(dir), LiveKitSip::start(dir))?;
            anyhow::Ok((redis, server, sip))
        };
        let (voices, (carrier, capture), (redis, livekit_server, livekit_sip)) =
            tokio::try_join!(load_voices, carrier_and_capture, livekit)?;
        let world = Self {
            dir: dir.to_owned(),
            voices,
            models,
            rooms: RoomClient::with_api_key(URL, API_KEY, API_SECRET),
            sip: SIPClient::with_api_key(URL, API_KEY, API_SECRET),
            capture,
            carrier,
            livekit_sip: Some(livekit_sip),
            tls_front: None,
            _livekit_server: livekit_server,
            _redis: redis,
        };
        for (name, value) in [
            ("LIVEKIT_URL", URL),
            ("LIVEKIT_API_KEY", API_KEY),
            ("LIVEKIT_API_SECRET", API_SECRET),
            ("VOBIZ_SIP_DOMAIN", DOMAIN),
            ("VOBIZ_USERNAME", TRUNK_USER),
            ("VOBIZ_PASSWORD", TRUNK_PASSWORD),
            ("VOBIZ_OUTBOUND_NUMBER", TRUNK_NUMBER),
            ("DEFAULT_TRANSFER_NUMBER", LIVE_AGENT_NUMBER),
        ] {
            world.set(name, value)?;
        }
        if let Ok(models) = env::var("SPEECH_MODELS_DIR") {
            world.set("SPEECH_MODELS_DIR", &models)?;
        }
        Ok(world)
    }

    /// The folder of this run: `.env`, logs, capture, ladder, and one folder for each phone.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The voices of the people on the phones.
    pub fn voices(&self) -> Arc<Voices> {
        self.voices.clone()
    }

    /// Sets a variable in the `.env`.
    pub fn set(&self, name: &str, value: &str) -> anyhow::Result<()> {
        let path = self.dir.join(".env");
        let old = if path.exists() {
            fs::read_to_string(&path).context("cannot read .env")?
        } else {
            String::new()
        };
        let assignment = format!("{name}=");
        let mut lines: Vec<_> = old
            .lines()
            .filter(|line| !line.starts_with(&assignment))
            .collect();
        let line = format!("{assignment}{value}");
        lines.push(&line);
        fs::write(&path, lines.join("\n") + "\n").context("cannot write .env")
    }

    /// Has the agent behave as `text`, a behaviour file in TOML, says.
    pub fn behave(&self, text: &str) -> anyhow::Result<()> {
        let path = self.dir.join("agent.toml");
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        let path = path.to_str().context("the run's folder is UTF-8")?;
        self.set("AGENT_CONFIG", path)
    }

    /// The variables in the `.env`.
    pub fn variables(&self) -> anyhow::Result<Vec<(String, String)>> {
        let env = fs::read_to_string(self.dir.join(".env")).context("cannot read .env")?;
        let assignments = env.lines().filter_map(|line| line.split_once('='));
        Ok(assignments
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }

    /// Starts a phone.
    pub async fn phone(&self, settings: PhoneSettings) -> anyhow::Result<Phone> {
        Phone::start(&self.dir, settings, self.voices.clone()).await
    }

    /// Starts `voice-agent start`.
    pub async fn worker(&self) -> anyhow::Result<Worker> {
        Worker::start(&self.dir).await
    }

    /// Runs a tool of the product to its end.
    pub async fn run(&self, tool: &str, args: &[&str]) -> anyhow::Result<tool::Output> {
        tool::run(tool, args, &self.dir).await
    }

    /// Sets up the outbound trunk as a user does; its id goes to the `.env`.
    pub async fn trunk(&self) -> anyhow::Result<()> {
        self.run("trunk-setup", &["--write-env"])
            .await?
            .expect_success()
            .map(drop)
    }

    /// Changes the outbound trunk past `trunk-setup`, as somebody does in LiveKit's console.
    pub async fn change_trunk(
        &self,
        change: impl FnOnce(&mut SipOutboundTrunkInfo),
    ) -> anyhow::Result<()> {
        let mut trunk = self.outbound_trunk().await?;
        change(&mut trunk);
        let id = trunk.sip_trunk_id.clone();
        self.sip
            .update_sip_outbound_trunk_replace(id, trunk)
            .await
            .context("cannot change the outbound trunk")?;
        Ok(())
    }

    /// Deletes the outbound trunk; the `.env` goes on naming it.
    pub async fn delete_trunk(&self) -> anyhow::Result<()> {
        let trunk = self.outbound_trunk().await?;
        self.sip
            .delete_sip_trunk(&trunk.sip_trunk_id)
            .await
            .context("cannot delete the outbound trunk")?;
        Ok(())
    }

    async fn outbound_trunk(&self) -> anyhow::Result<SipOutboundTrunkInfo> {
        let trunks = self
            .sip
            .list_sip_outbound_trunk(ListSIPOutboundTrunkFilter::All);
        let trunks = trunks.await.context("cannot list the outbound trunks")?;
        let [trunk] = <[_; 1]>::try_from(trunks)
            .map_err(|trunks| anyhow::anyhow!("one outbound trunk was expected, not {trunks:?}"))?;
        Ok(trunk)
    }

    /// From now on the tools reach LiveKit through TLS, with a certificate of a private authority.
    pub async fn put_behind_tls(&mut self) -> anyhow::Result<()> {
        self.tls_front = Some(TlsFront::start(&self.dir).await?);
        self.set("LIVEKIT_URL", tls_front::URL)
    }

    /// Kills livekit-sip.
    pub fn kill_sip_service(&mut self) {
        self.livekit_sip = None;
    }

    /// Has an agent take a job with `metadata` in the new room `room`, as `lk dispatch create` does.
    pub async fn dispatch(&self, room: &str, metadata: &str) -> anyhow::Result<()> {
        AgentDispatchClient::with_api_key(URL, API_KEY, API_SECRET)
            .create_dispatch(CreateAgentDispatchRequest {
                agent_name: AGENT_NAME.to_owned(),
                room: room.to_owned(),
                metadata: metadata.to_owned(),
                ..Default::default()
            })
            .await
            .context("cannot dispatch an agent")?;
        Ok(())
    }

    /// Sends calls to the trunk's number to the agent, as a user does.
    pub async fn route_inbound_calls(&self) -> anyhow::Result<()> {
        let carrier = CARRIER.to_string();
        self.run("trunk-setup", &["--inbound", "--allow-address", &carrier])
            .await?
            .expect_success()
            .map(drop)
    }

    /// LiveKit's SIP API.
    pub fn sip(&self) -> &SIPClient {
        &self.sip
    }

    /// Waits until no room is left: nobody is forgotten in a silent call.
    pub async fn expect_no_rooms(&self) -> anyhow::Result<()> {
        wait_for_condition("all rooms to be gone", LIMIT, async || {
            let rooms = self.rooms.list_rooms(Vec::new()).await?;
            if rooms.is_empty() {
                return Ok(());
            }
            let names: Vec<_> = rooms.into_iter().map(|room| room.name).collect();
            Err(Unmet::NotYet(names.join(", ")))
        })
        .await
    }

    /// Waits until nobody is in any room; rooms that remember their call stay.
    pub async fn expect_nobody_in_a_room(&self) -> anyhow::Result<()> {
        wait_for_condition("everybody to leave the rooms", LIMIT, async || {
            for room in self.rooms.list_rooms(Vec::new()).await? {
                let present = self.rooms.list_participants(&room.name).await?;
                if let Some(somebody) = present.first() {
                    return Err(Unmet::NotYet(format!(
                        "{} in {}",
                        somebody.identity, room.name
                    )));
                }
            }
            Ok(())
        })
        .await
    }

    /// What was said in a recording, turn by turn.
    pub async fn transcribe(&self, recording: &Recording) -> anyhow::Result<Vec<String>> {
        let (whisper, recording) = (self.models.whisper(), recording.clone());
        tokio::task::spawn_blocking(move || recording.transcribe(&Whisper::load(&whisper)?)).await?
    }
}
