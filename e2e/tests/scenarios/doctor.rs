//! `trunk-setup doctor` names the fault that was injected, and no other.

use anyhow::{Context, ensure};
use e2e::{
    carrier::TRUNK_PASSWORD,
    livekit_server::{API_SECRET, URL},
    party::{
        CALLEE_NUMBER, DOMAIN, LIVE_AGENT_NUMBER, LIVEKIT_SIP, TRUNK_NUMBER,
        refer_target_refused_with,
    },
    phone::PhoneSettings,
    world::World,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};

/// What doctor said.
struct Report {
    json: Value,
    text: String,
}

impl Report {
    fn checks(&self) -> impl Iterator<Item = &Value> {
        self.json["checks"].as_array().into_iter().flatten()
    }

    fn failed(&self) -> Vec<&str> {
        self.checks()
            .filter(|check| check["status"] == "failed")
            .filter_map(|check| check["check"].as_str())
            .collect()
    }

    /// Fails unless exactly these checks failed, and the first of them speaks of `about`.
    fn expect(&self, failed: &[&str], about: &str) -> anyhow::Result<()> {
        ensure!(
            self.failed() == failed,
            "{failed:?} must have failed, and nothing else: {}",
            self.text
        );
        let named = self
            .checks()
            .find(|check| Some(check["check"].as_str()) == Some(failed.first().copied()))
            .context("the check must be there")?;
        ensure!(
            named.to_string().contains(about),
            "`{about}` must be named: {named}"
        );
        ensure!(named["fix"].is_string(), "a fix must be named: {named}");
        Ok(())
    }

    fn expect_status(&self, name: &str, status: &str) -> anyhow::Result<()> {
        let check = self.checks().find(|check| check["check"] == name);
        ensure!(
            check.is_some_and(|check| check["status"] == status),
            "{name} must be {status}: {}",
            self.text
        );
        Ok(())
    }
}

async fn doctor(world: &World, args: &[&str]) -> anyhow::Result<Report> {
    let args: Vec<_> = ["doctor", "--json"].iter().chain(args).copied().collect();
    let output = world.run("trunk-setup", &args).await?;
    let json: Value = serde_json::from_str(&output.stdout)
        .with_context(|| format!("doctor must print JSON: {output}"))?;
    ensure!(
        output.status.code() == Some(i32::from(json["ok"] != true)),
        "the exit code must agree: {output}"
    );
    for secret in [TRUNK_PASSWORD, API_SECRET, CALLEE_NUMBER, LIVE_AGENT_NUMBER] {
        ensure!(!output.stdout.contains(secret), "a secret is shown");
    }
    Ok(Report {
        json,
        text: output.to_string(),
    })
}

pub(crate) async fn doctor_finds_nothing_wrong_in_a_whole_world(
    world: World,
) -> anyhow::Result<()> {
    world.trunk().await?;
    let model = ModelServer::start().await?;
    world.set("OPENAI_BASE_URL", &model.url)?;
    world.set("OPENAI_API_KEY", ModelServer::KEY)?;
    let (_worker, callee, target) = tokio::try_join!(
        world.worker(),
        world.phone(PhoneSettings::callee()),
        world.phone(PhoneSettings::live_agent())
    )?;
    let report = doctor(&world, &[]).await?;
    ensure!(report.failed().is_empty(), "nothing fails: {}", report.text);
    for name in [
        "environment",
        "livekit",
        "clock",
        "sip_service",
        "trunk",
        "dns",
        "options",
        "digest",
        "worker",
        "language_model",
    ] {
        report.expect_status(name, "ok")?;
    }
    // The numbers of this world are nobody's.
    report.expect_status("numbers", "warn")?;
    report.expect_status("refer", "skipped")?;
    ensure!(
        !callee.has_rung() && !target.has_rung(),
        "nobody is called unasked"
    );
    let invites = world
        .capture
        .all(|message| {
            (message.from == LIVEKIT_SIP && message.request() == Some("INVITE")).then_some(())
        })
        .await?;
    ensure!(invites.is_empty(), "livekit-sip must call nobody");

    let (report, ()) = tokio::try_join!(doctor(&world, &["--test-call", CALLEE_NUMBER]), async {
        let call = callee.incoming().await?;
        callee.answer(&call).await?;
        let call = target.incoming().await?;
        target.answer(&call).await
    })?;
    report.expect_status("refer", "ok")?;
    world.expect_no_rooms().await
}

pub(crate) async fn doctor_names_faults_of_settings_and_keys(world: World) -> anyhow::Result<()> {
    world.trunk().await?;
    let _worker = world.worker().await?;
    world.set("VOBIZ_USERNAME", "")?;
    doctor(&world, &[])
        .await?
        .expect(&["environment"], "VOBIZ_USERNAME is missing")?;
    world.set("VOBIZ_USERNAME", e2e::carrier::TRUNK_USER)?;

    world.set("VOBIZ_OUTBOUND_NUMBER", "08000")?;
    doctor(&world, &[])
        .await?
        .expect(&["environment"], "VOBIZ_OUTBOUND_NUMBER is wrong")?;
    world.set("VOBIZ_OUTBOUND_NUMBER", TRUNK_NUMBER)?;

    world.set("LIVEKIT_URL", "ws://127.0.0.1:9")?;
    let report = doctor(&world, &[]).await?;
    report.expect(&["livekit"], "LIVEKIT_URL")?;
    report.expect_status("digest", "ok")?;
    world.set("LIVEKIT_URL", URL)?;

    world.set("LIVEKIT_API_SECRET", "wrong")?;
    doctor(&world, &[])
        .await?
        .expect(&["livekit"], "refuses the API key")?;
    world.set("LIVEKIT_API_SECRET", API_SECRET)?;

    let model = ModelServer::start().await?;
    world.set("OPENAI_BASE_URL", &model.url)?;
    world.set("OPENAI_API_KEY", "another-key")?;
    doctor(&world, &[])
        .await?
        .expect(&["language_model"], "OPENAI_API_KEY")?;
    world.set("OPENAI_API_KEY", "")?;

    // It is no LiveKit, and its clock stands still.
    world.set("LIVEKIT_URL", &model.url)?;
    let report = doctor(&world, &[]).await?;
    report.expect(&["livekit", "clock"], "livekit")?;
    world.set("LIVEKIT_URL", URL)?;
    world.expect_no_rooms().await
}

pub(crate) async fn doctor_names_faults_of_trunk_and_carrier(world: World) -> anyhow::Result<()> {
    doctor(&world, &[]).await?.expect(
        &["environment", "trunk", "worker"],
        "OUTBOUND_TRUNK_ID is missing",
    )?;
    world.trunk().await?;
    let _worker = world.worker().await?;

    // The trunk has the wrong password, then the settings have.
    world.set("VOBIZ_PASSWORD", "wrong")?;
    world.trunk().await?;
    doctor(&world, &[])
        .await?
        .expect(&["digest"], "refuses the user or the password")?;
    world.set("VOBIZ_PASSWORD", TRUNK_PASSWORD)?;
    doctor(&world, &[])
        .await?
        .expect(&["trunk"], "differs: password")?;
    world.trunk().await?;

    world.set("VOBIZ_SIP_DOMAIN", "no-such-host.invalid")?;
    doctor(&world, &[])
        .await?
        .expect(&["trunk", "dns"], "differs: address")?;
    world.trunk().await?;
    doctor(&world, &[])
        .await?
        .expect(&["dns"], "no-such-host.invalid does not resolve")?;
    world.set("VOBIZ_SIP_DOMAIN", DOMAIN)?;
    world.trunk().await?;

    let silent = UdpSocket::bind("127.0.0.99:5060").await?;
    world.set("VOBIZ_SIP_DOMAIN", "127.0.0.99")?;
    world.trunk().await?;
    let report = doctor(&world, &[]).await?;
    report.expect(&["options"], "does not answer")?;
    report.expect_status("digest", "skipped")?;
    let (asked, _) = silent.recv_from(&mut [0; 1500]).await?;
    ensure!(asked > 0, "the carrier must have been asked");
    world.expect_no_rooms().await
}

pub(crate) async fn doctor_names_servers_that_are_gone(mut world: World) -> anyhow::Result<()> {
    world.trunk().await?;
    doctor(&world, &[])
        .await?
        .expect(&["worker"], "no worker named `outbound-caller`")?;
    let _worker = world.worker().await?;
    world.kill_sip_service();
    doctor(&world, &[])
        .await?
        .expect(&["sip_service"], "no response from servers")?;
    world.expect_no_rooms().await
}

pub(crate) async fn doctor_names_a_refused_refer(world: World) -> anyhow::Result<()> {
    world.trunk().await?;
    let (_worker, callee) = tokio::try_join!(world.worker(), world.phone(PhoneSettings::callee()))?;
    let target = refer_target_refused_with(603);
    let args = ["--test-call", CALLEE_NUMBER, "--transfer-to", &target];
    let (report, ()) = tokio::try_join!(doctor(&world, &args), async {
        let call = callee.incoming().await?;
        callee.answer(&call).await?;
        callee.closed(&call).await.map(drop)
    })?;
    report.expect(&["refer"], "the carrier refused to transfer with 603")?;
    world.expect_no_rooms().await
}

/// A server with a list of models for those who have the key.
struct ModelServer {
    url: String,
    _task: JoinSet<()>,
}

impl ModelServer {
    const KEY: &str = "the-models-key";

    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    if !matches!(stream.read_buf(&mut request).await, Ok(1..)) {
                        break;
                    }
                }
                let request = String::from_utf8_lossy(&request).to_lowercase();
                let known = request.starts_with("get /v1/models ")
                    && request.contains(&format!("authorization: bearer {}\r", Self::KEY));
                let status = if known { "200 OK" } else { "401 Unauthorized" };
                let answer = format!(
                    "HTTP/1.1 {status}\r\nDate: Wed, 01 Jan 2020 00:00:00 GMT\r\nContent-Length: 11\r\nConnection: close\r\n\r\n{{\"data\":[]}}"
                );
                // The client may be gone; the next one counts.
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        Ok(Self { url, _task: task })
    }
}
