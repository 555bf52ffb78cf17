//! Where the programs are that a world runs.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

/// A server in Go that is not a Debian package.
pub struct GoServer {
    name: &'static str,
    /// Names the binary, whatever its version.
    variable: &'static str,
    version: &'static str,
    /// Module that the binary is built from, as `go version -m` shows it.
    module: &'static str,
}

pub const LIVEKIT_SERVER: GoServer = GoServer {
    name: "livekit-server",
    variable: "LIVEKIT_SERVER_BIN",
    version: "1.13.5",
    module: "github.com/livekit/livekit-server",
};

pub const LIVEKIT_SIP: GoServer = GoServer {
    name: "livekit-sip",
    variable: "LIVEKIT_SIP_BIN",
    version: "1.8.0",
    module: "github.com/livekit/sip",
};

impl GoServer {
    /// Finds the binary: the environment's, the one that `cargo xtask setup` built, or the one on `PATH` when
    /// it is the tested version.
    pub fn find(&self) -> anyhow::Result<PathBuf> {
        if let Some(named) = env::var_os(self.variable) {
            let path = PathBuf::from(named);
            if !path.is_file() {
                bail!(
                    "{} names {}, which is not a file",
                    self.variable,
                    path.display()
                );
            }
            return Ok(path);
        }
        let cached = cache_dir()?.join(format!("bin/{}-{}", self.name, self.version));
        if cached.is_file() {
            return Ok(cached);
        }
        if let Some(path) = on_path(self.name)
            && self.is_tested_version(&path)
        {
            return Ok(path);
        }
        bail!(
            "no {name} {version}: neither {cached} nor that version on PATH\nhint: run `cargo xtask setup`, or name one in {variable}",
            name = self.name,
            version = self.version,
            cached = cached.display(),
            variable = self.variable,
        )
    }

    /// Release builds say their version; `go install`ed ones carry it in their build information only.
    fn is_tested_version(&self, path: &Path) -> bool {
        let says = Command::new(path)
            .arg("--version")
            .output()
            .is_ok_and(|output| {
                String::from_utf8_lossy(&output.stdout)
                    .split_whitespace()
                    .any(|word| word == self.version)
            });
        says || fs::read(path).is_ok_and(|binary| {
            let module = format!("{}\tv{}\t", self.module, self.version);
            binary
                .windows(module.len())
                .any(|window| window == module.as_bytes())
        })
    }
}

/// A program of this workspace, as cargo built it beside the running one.
pub fn product(name: &str) -> anyhow::Result<PathBuf> {
    let path = products_dir()?.join(name);
    if !path.is_file() {
        bail!(
            "{} is not built\nhint: run `cargo build --workspace`",
            path.display()
        );
    }
    Ok(path)
}

/// The folder for what runs leave behind, `target/e2e`.
pub fn runs_dir() -> anyhow::Result<PathBuf> {
    let target = products_dir()?
        .parent()
        .context("a cargo profile lies in a target folder")?
        .to_owned();
    let dir = target.join("e2e");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

/// A program from a Debian package.
pub fn debian(program: &str, package: &str) -> anyhow::Result<PathBuf> {
    on_path(program).with_context(|| {
        format!(
            "no `{program}` on PATH\nhint: run `cargo xtask setup`, or `apt-get install {package}`"
        )
    })
}

/// Where `cargo xtask setup` puts servers.
fn cache_dir() -> anyhow::Result<PathBuf> {
    let cache = match env::var_os("XDG_CACHE_HOME") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => PathBuf::from(env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
            .join(".cache"),
    };
    Ok(cache.join("sip-transfer-agent"))
}

/// `target/<profile>`: binaries lie in it, tests in `deps` below it.
pub fn products_dir() -> anyhow::Result<PathBuf> {
    let exe = env::current_exe().context("cannot tell where the running program lies")?;
    let dir = exe.parent().context("a program lies in a folder")?;
    let dir = if dir.ends_with("deps") {
        dir.parent().context("`deps` lies in a profile folder")?
    } else {
        dir
    };
    Ok(dir.to_owned())
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    // Servers of Debian live in sbin, which is not on everybody's PATH.
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|dir| dir.join(OsStr::new(program)))
        .find(|path| path.is_file())
}
