//! A call between the agent and a person with a phone, as the person lives through it.

use anyhow::{Context, bail, ensure};

use crate::{
    phone::{CallId, Leg, Phone, PhoneSettings},
    wait::LIMIT,
    words::digits,
    worker::{Worker, WorkerEvent},
    world::World,
};

/// What the agent says when it is about to transfer.
pub const NOTICE: &str = "transferring you";

/// How often a person says something before giving up: Whisper is sometimes wrong, as people are.
const PATIENCE: usize = 4;

/// An answered call, after the agent's greeting.
pub struct Call {
    pub worker: Worker,
    pub phone: Phone,
    pub id: CallId,
    /// What the agent has said so far, sentence by sentence.
    pub said: Vec<String>,
    /// Position in the worker's journal when the call began.
    pub since: usize,
    /// Which of the phone's calls this is, counted from 0.
    leg: usize,
}

impl Call {
    /// Sets up the trunk, starts the worker and the callee's phone, runs the dialer, answers, and listens to
    /// the greeting.
    pub async fn placed(world: &World, callee: PhoneSettings) -> anyhow::Result<Self> {
        Self::placed_with(world, callee, &[]).await
    }

    /// As [`placed`](Self::placed), with more arguments for the dialer.
    pub async fn placed_with(
        world: &World,
        callee: PhoneSettings,
        args: &[&str],
    ) -> anyhow::Result<Self> {
        let mut call = Self::picked_up(world, callee, args).await?;
        call.greeted().await?;
        Ok(call)
    }

    /// As [`placed_with`](Self::placed_with), without listening to the greeting.
    pub async fn picked_up(
        world: &World,
        callee: PhoneSettings,
        args: &[&str],
    ) -> anyhow::Result<Self> {
        Self::picked_up_with(world, callee, args, None).await
    }

    /// As [`picked_up`](Self::picked_up); the callee says hello at once.
    pub async fn picked_up_with_hello(
        world: &World,
        callee: PhoneSettings,
        hello: &str,
    ) -> anyhow::Result<Self> {
        Self::picked_up_with(world, callee, &[], Some(hello)).await
    }

    async fn picked_up_with(
        world: &World,
        callee: PhoneSettings,
        args: &[&str],
        hello: Option<&str>,
    ) -> anyhow::Result<Self> {
        let worker = async {
            world.trunk().await?;
            world.worker().await
        };
        let phone = async {
            let phone = world.phone(callee).await?;
            let hello = match hello {
                Some(hello) => Some(phone.rehearse(hello).await?),
                None => None,
            };
            anyhow::Ok((phone, hello))
        };
        let (worker, (phone, hello)) = tokio::try_join!(worker, phone)?;
        let dialer = async {
            let args = [&["--to", phone.settings().number], args].concat();
            world.run("dialer", &args).await?.expect_success()
        };
        let answered = async {
            let id = phone
                .incoming()
                .await
                .context("the callee's phone must ring")?;
            phone.answer(&id).await?;
            if let Some(hello) = &hello {
                phone.recite(hello).await?;
            }
            Ok(id)
        };
        // People pick up before the dialer has said that somebody will call them.
        let (_, id) = tokio::try_join!(dialer, answered)?;
        Ok(Self::established(worker, phone, id))
    }

    /// Listens to the greeting of an established call, the worker's first.
    pub async fn answered(worker: Worker, phone: Phone, id: CallId) -> anyhow::Result<Self> {
        let mut call = Self::established(worker, phone, id);
        call.greeted().await?;
        Ok(call)
    }

    fn established(worker: Worker, phone: Phone, id: CallId) -> Self {
        Self {
            worker,
            phone,
            id,
            said: Vec::new(),
            since: 0,
            leg: 0,
        }
    }

    async fn greeted(&mut self) -> anyhow::Result<()> {
        let greeting = self.listen(0).await;
        greeting.map(drop).context("the agent must greet")
    }

    /// Has the worker call the same phone once more, answers, and listens to the greeting. `leg` is how many
    /// calls with audio the phone has had.
    pub async fn again(self, world: &World, leg: usize) -> anyhow::Result<Self> {
        let Self { worker, phone, .. } = self;
        let (since, rung) = (worker.events().len(), phone.events().len());
        let metadata = format!(r#"{{"phone_number":"{}"}}"#, phone.settings().number);
        world
            .dispatch(&format!("call-again-{leg}"), &metadata)
            .await?;
        let id = phone.incoming_after(rung).await?;
        phone.answer(&id).await?;
        let mut call = Self {
            worker,
            phone,
            id,
            said: Vec::new(),
            since,
            leg,
        };
        call.listen(since).await.context("the agent must greet")?;
        Ok(call)
    }

    /// Says `text` and listens to the agent's answer.
    ///
    /// # Errors
    ///
    /// When the agent hears nothing, or says nothing.
    pub async fn tell(&mut self, text: &str) -> anyhow::Result<String> {
        let from = self.worker.events().len();
        self.phone.say(text).await?;
        self.worker
            .events()
            .find_after(from, &format!("hearing `{text}`"), LIMIT, |event| {
                matches!(event, WorkerEvent::Heard { .. }).then_some(())
            })
            .await?;
        self.listen(from).await
    }

    /// Asks for the transfer to the default number in the words `request`, until the agent gives notice of it.
    pub async fn ask_for_transfer(&mut self, request: &str) -> anyhow::Result<()> {
        for _ in 0..PATIENCE {
            if self.tell(request).await?.to_lowercase().contains(NOTICE) {
                return Ok(());
            }
        }
        bail!(
            "the agent never understood `{request}`; it said: {:#?}",
            self.said
        )
    }

    /// Asks for a transfer to `number` in the words `request`, until the agent has read it back right, and
    /// then confirms. Returns the agent's last words before the transfer.
    pub async fn ask_for(&mut self, number: &str, request: &str) -> anyhow::Result<String> {
        for _ in 0..PATIENCE {
            let answer = self.tell(request).await?;
            match digits(&answer) {
                read_back if read_back == digits(number) => {
                    return self.tell("Yes, that is right.").await;
                }
                misheard if misheard.is_empty() => {}
                _ => drop(self.tell("No, that is wrong.").await?),
            }
        }
        bail!(
            "the agent never read back {number}; it said: {:#?}",
            self.said
        )
    }

    /// Asks for a transfer to `number` in the words `request`, until the agent gives notice of that one without a
    /// question; one in doubt, which it asks about, is rejected and asked for again.
    pub async fn ask_for_at_once(&mut self, number: &str, request: &str) -> anyhow::Result<()> {
        for _ in 0..PATIENCE {
            let answer = self.tell(request).await?;
            // "One moment please" is no part of the number.
            let told = digits(answer.split("One moment").next().unwrap_or_default());
            if answer.contains(NOTICE) {
                ensure!(told == digits(number), "the notice: {answer}");
                return Ok(());
            }
            if !told.is_empty() {
                self.tell("No, that is wrong.").await?;
            }
        }
        bail!(
            "the agent never understood {number} twice; it said: {:#?}",
            self.said
        )
    }

    /// Waits until the agent begins to say something.
    pub async fn first_words(&self) -> anyhow::Result<()> {
        let says = |event: &WorkerEvent| matches!(event, WorkerEvent::Says { .. }).then_some(());
        self.worker.find("the agent's first words", says).await
    }

    /// What the phone heard and said while it talked to the agent.
    pub async fn leg(&self) -> anyhow::Result<Leg> {
        self.phone.leg(self.leg).await
    }

    /// Listens until the agent has said something in full, after position `from` of the worker's journal.
    pub async fn listen(&mut self, from: usize) -> anyhow::Result<String> {
        let sentence = self.worker.spoken_after(from).await?;
        self.said.push(sentence.clone());
        Ok(sentence)
    }
}
