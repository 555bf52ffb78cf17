//! Every way in which a dial is known to fail, one after the other, with one worker.
//!
//! `docs/dialer.md` has their exit codes for people to read.

use anyhow::{Context, ensure};
use e2e::{
    carrier::TRUNK_PASSWORD,
    party::{CALLEE_NUMBER, DOMAIN, LIVEKIT_SIP, STRICT_SIP_PORT, number_answered_with},
    phone::{EventKind, Phone, PhoneSettings},
    wire,
    worker::{Worker, WorkerEvent},
    world::World,
};

/// What the operator gets to know of a dial that failed.
#[derive(Debug, Clone, Copy)]
struct Expected {
    status: Option<u16>,
    /// Part of the cause, in the worker's log and in the job's outcome.
    cause: &'static str,
    /// Part of the hint.
    hint: &'static str,
}

const fn expect(status: u16, cause: &'static str, hint: &'static str) -> Expected {
    Expected {
        status: Some(status),
        cause,
        hint,
    }
}

const fn without_status(cause: &'static str, hint: &'static str) -> Expected {
    Expected {
        status: None,
        cause,
        hint,
    }
}

/// What the network answers to an INVITE.
const ANSWERS: [Expected; 11] = [
    expect(402, "the carrier refused the call with 402", "top up"),
    expect(403, "the carrier refused the call with 403", "console"),
    expect(404, "not in service", "check the number"),
    expect(408, "nobody answered", "call again later"),
    expect(480, "cannot be reached now", "out of coverage"),
    expect(484, "not in service", "check the number"),
    expect(486, "busy", "call again later"),
    expect(488, "refused the media with 488", "codecs"),
    expect(500, "the carrier failed with 500", "call again later"),
    expect(503, "the carrier failed with 503", "call again later"),
    expect(603, "declined", "call again later"),
];

/// What the network does for the black hole of its number plan: `100 Trying` and nothing else.
const BLACK_HOLE: u16 = 999;

/// A number that no INVITE reaches, since nobody is there to send one.
const NOBODY: u16 = 700;

pub(crate) async fn dial_rows_of_the_network(mut world: World) -> anyhow::Result<()> {
    world.set("DIAL_RINGING_TIMEOUT", "3")?;
    let rows = Rows::start(&world).await?;
    for expected in ANSWERS {
        let status = expected.status.context("each of these has a status")?;
        let number = number_answered_with(status);
        rows.dial(&number, expected).await?;
        wire::expect_one_dial(&world.capture, LIVEKIT_SIP, &number).await?;
    }

    let black_hole = number_answered_with(BLACK_HOLE);
    let silence = without_status("nobody answered", "DIAL_RINGING_TIMEOUT");
    rows.dial(&black_hole, silence).await?;
    wire::expect_one_dial(&world.capture, LIVEKIT_SIP, &black_hole).await?;

    // The same phone twice: the second call must not be taken for the first.
    let rings_out = async {
        let call = rows.callee.incoming().await?;
        rows.callee.closed(&call).await
    };
    tokio::try_join!(rows.dial(CALLEE_NUMBER, silence), rings_out)?;
    wire::expect_one_dial(&world.capture, LIVEKIT_SIP, CALLEE_NUMBER).await?;
    let rung = rows.callee.events().len();
    let rejects = async {
        let call = rows.callee.incoming_after(rung).await?;
        rows.callee.reject(&call).await
    };
    let declined = expect(603, "declined", "call again later");
    tokio::try_join!(rows.dial(CALLEE_NUMBER, declined), rejects)?;
    let answered = rows
        .callee
        .events()
        .all(|event| (event.kind == EventKind::Established).then_some(()));
    ensure!(answered.is_empty(), "nobody answers in these rows");
    rows.callee.expect_idle().await?;

    let Rows { worker, callee, .. } = rows;
    world.kill_sip_service();
    let rows = Rows {
        world: &world,
        worker,
        callee,
    };
    let nobody = number_answered_with(NOBODY);
    let no_service = without_status("no SIP service is running", "start livekit-sip");
    rows.dial(&nobody, no_service).await?;
    wire::expect_no_dial(&world.capture, &nobody).await
}

pub(crate) async fn dial_rows_of_the_trunk(world: World) -> anyhow::Result<()> {
    let rows = Rows::start(&world).await?;
    // Nobody's numbers, one for each row, so that the capture tells the rows apart.
    let [wrong, strict, anonymous, nowhere, unknown] =
        &[701, 702, 703, 704, 705].map(number_answered_with);

    world
        .change_trunk(|trunk| trunk.auth_password = "wrong".to_owned())
        .await?;
    let refused = without_status("refused the trunk's credentials", "VOBIZ_PASSWORD");
    rows.dial(wrong, refused).await?;
    wire::expect_one_call(&world.capture, wrong).await?;

    world
        .change_trunk(|trunk| trunk.address = format!("{DOMAIN}:{STRICT_SIP_PORT}"))
        .await?;
    let forbidden = expect(403, "refused the call with 403", "trunk-setup");
    rows.dial(strict, forbidden).await?;
    wire::expect_one_dial(&world.capture, LIVEKIT_SIP, strict).await?;

    world
        .change_trunk(|trunk| {
            trunk.address = DOMAIN.to_owned();
            trunk.auth_username.clear();
            trunk.auth_password.clear();
        })
        .await?;
    rows.dial(anonymous, refused).await?;
    wire::expect_one_call(&world.capture, anonymous).await?;

    world
        .change_trunk(|trunk| {
            trunk.address = "no-such-host.invalid".to_owned();
            trunk.auth_username = "anybody".to_owned();
            trunk.auth_password = TRUNK_PASSWORD.to_owned();
        })
        .await?;
    let unresolved = without_status("cannot be resolved", "VOBIZ_SIP_DOMAIN");
    rows.dial(nowhere, unresolved).await?;
    wire::expect_no_dial(&world.capture, nowhere).await?;

    world.delete_trunk().await?;
    let no_trunk = without_status("the trunk does not exist", "OUTBOUND_TRUNK_ID");
    rows.dial(unknown, no_trunk).await?;
    wire::expect_no_dial(&world.capture, unknown).await?;

    ensure!(!rows.callee.has_rung(), "nobody was to be called");
    rows.callee.expect_idle().await
}

struct Rows<'a> {
    world: &'a World,
    worker: Worker,
    callee: Phone,
}

impl<'a> Rows<'a> {
    async fn start(world: &'a World) -> anyhow::Result<Self> {
        let worker = async {
            world.trunk().await?;
            world.worker().await
        };
        let (worker, callee) = tokio::try_join!(worker, world.phone(PhoneSettings::callee()))?;
        Ok(Self {
            world,
            worker,
            callee,
        })
    }

    /// Has the worker dial `number` and checks all that it says about it, and that no room is left.
    async fn dial(&self, number: &str, expected: Expected) -> anyhow::Result<()> {
        let outcome = self.judge(number, expected).await;
        outcome.with_context(|| format!("{number} was to end as {expected:?}"))
    }

    async fn judge(&self, number: &str, expected: Expected) -> anyhow::Result<()> {
        let from = self.worker.events().len();
        let metadata = format!(r#"{{"phone_number":"{number}"}}"#);
        let room = format!("row-{from}");
        self.world.dispatch(&room, &metadata).await?;
        let outcome = self.worker.job_outcome_after(from).await?;
        let failures = self.worker.events().entries().split_off(from);
        let failures: Vec<_> = failures
            .into_iter()
            .filter(|event| matches!(event, WorkerEvent::DialFailed { .. }))
            .collect();
        let [
            WorkerEvent::DialFailed {
                cause,
                sip_status,
                hint,
            },
        ] = failures.as_slice()
        else {
            anyhow::bail!("a dial fails once, not {failures:?}, and the job ended as `{outcome}`");
        };
        ensure!(
            cause.contains(expected.cause),
            "the cause must not be `{cause}`"
        );
        ensure!(
            *sip_status == expected.status,
            "the SIP status must not be {sip_status:?}"
        );
        ensure!(
            hint.contains(expected.hint),
            "the hint must not be `{hint}`"
        );
        ensure!(
            outcome.contains(expected.cause),
            "the job must not end as `{outcome}`"
        );
        self.world.expect_no_rooms().await
    }
}
