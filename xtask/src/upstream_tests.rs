//! LiveKit's own tests of the published `livekit` package, unmodified, on our `libwebrtc`.
//!
//! 1. The archive that cargo downloaded is checked against `Cargo.lock` and unpacked under `target/`.
//! 2. A workspace around it patches `libwebrtc` as ours does, and builds the tests.
//! 3. This program starts itself again in namespaces of its own ([`inside`]): there it runs the server and the tests.
//! 4. What failed is compared with `xtask/upstream-tests.toml` ([`expected`]), in both directions.

mod expected;
mod inside;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, ensure};

use crate::{
    cargo::{self, Metadata},
    process, setup,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only these test binaries, `lib` for the unit tests
    binaries: Vec<String>,
    /// Run what this file says, in the namespaces that the program is in
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
}

/// The unit tests of the library, as they are called here.
const LIB: &str = "lib";

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if let Some(plan) = &options.inside {
        return inside::run(plan);
    }
    let expected = expected::read()?;
    let installed = setup::world()?;
    let metadata = cargo::metadata()?;
    let dir = metadata.target_dir.join("upstream-tests");
    let package = unpack(&metadata, &dir)?;
    let manifest = write_workspace(&dir, &package)?;
    let tests = build(&metadata, &manifest, &options.binaries)?;

    let plan = inside::Plan {
        dir: dir.clone(),
        server: installed.livekit_server,
        tests,
    };
    let results = inside::start(&plan)?;
    let complaints = expected::compare(&expected, &results);
    expected::print_table(&expected, &results);
    for complaint in &complaints {
        println!("\n{complaint}");
    }
    println!("\nlogs: {}", dir.display());
    Ok(if complaints.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Unpacks the published archive and returns the name of its folder.
fn unpack(metadata: &Metadata, dir: &Path) -> anyhow::Result<String> {
    let package = metadata.package("livekit")?;
    let name = format!("livekit-{}", package.version);
    let archive = archive(&package.manifest_path, &name)?;
    let sha256 = setup::sha256(&archive)?;
    let locked = cargo::lockfile()?
        .into_iter()
        .find(|locked| locked.name == "livekit" && locked.version == package.version)
        .and_then(|locked| locked.checksum)
        .context("Cargo.lock has no checksum of livekit")?;
    ensure!(
        sha256 == locked,
        "{} is not the published package: its sha256 is {sha256}",
        archive.display()
    );

    let unpacked = dir.join(&name);
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked)
            .with_context(|| format!("cannot remove {}", unpacked.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    process::output(
        process::command("tar")
            .arg("--extract")
            .arg("--file")
            .arg(&archive)
            .arg("--directory")
            .arg(dir),
    )?;
    println!("unpacked {name}, sha256 {sha256}");
    Ok(name)
}

/// Cargo unpacks `registry/cache/<index>/<name>.crate` to `registry/src/<index>/<name>/`.
fn archive(manifest: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let mut above = manifest.ancestors().skip(2);
    let (index, registry) = above
        .next()
        .and_then(|src| Some((src.file_name()?, above.nth(1)?)))
        .with_context(|| format!("{} does not lie in cargo's registry", manifest.display()))?;
    let archive = registry
        .join("cache")
        .join(index)
        .join(format!("{name}.crate"));
    ensure!(
        archive.is_file(),
        "{} is not there\nhint: run `cargo fetch`",
        archive.display()
    );
    Ok(archive)
}

/// Writes a workspace around the package. It resolves and compiles as ours does, so that dependencies with the
/// same features are the ones that are built already.
fn write_workspace(dir: &Path, package: &str) -> anyhow::Result<PathBuf> {
    let root = cargo::root();
    let ours = fs::read_to_string(root.join("Cargo.toml"))
        .context("cannot read the workspace manifest")?;
    let profile: String = ours
        .split_inclusive('\n')
        .skip_while(|line| !line.starts_with("[profile.dev]"))
        .take_while(|line| !line.starts_with("[profile.dev.package.speech]"))
        .collect();
    let libwebrtc = root.join("crates/libwebrtc");
    let text = format!(
        "[workspace]\nmembers = [\"{package}\"]\nresolver = \"3\"\n\n\
         [patch.crates-io]\nlibwebrtc = {{ path = \"{}\" }}\n\n{profile}",
        libwebrtc.display()
    );
    let manifest = dir.join("Cargo.toml");
    fs::write(&manifest, text).with_context(|| format!("cannot write {}", manifest.display()))?;
    fs::copy(root.join("Cargo.lock"), dir.join("Cargo.lock")).context("cannot copy Cargo.lock")?;
    Ok(manifest)
}

fn build(
    metadata: &Metadata,
    manifest: &Path,
    wanted: &[String],
) -> anyhow::Result<Vec<inside::Test>> {
    let mut command = cargo::command(&[
        "test",
        "--no-run",
        "--package",
        "livekit",
        "--lib",
        "--tests",
        "--features",
        "__lk-e2e-test,rustls-tls-native-roots",
        "--manifest-path",
    ]);
    command
        .arg(manifest)
        .arg("--target-dir")
        .arg(&metadata.target_dir);
    let mut tests: Vec<_> = cargo::build_foreign(&mut command)?
        .into_iter()
        .map(|executable| inside::Test {
            name: if executable.is_lib {
                LIB.to_owned()
            } else {
                executable.target
            },
            program: executable.path,
            package: executable.package,
        })
        .collect();
    tests.sort_by(|a, b| (a.name != LIB, &a.name).cmp(&(b.name != LIB, &b.name)));
    for name in wanted {
        let names = || {
            tests
                .iter()
                .map(|test| test.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        ensure!(
            tests.iter().any(|test| test.name == *name),
            "there is no test binary `{name}`, only {}",
            names()
        );
    }
    tests.retain(|test| wanted.is_empty() || wanted.contains(&test.name));
    Ok(tests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_lies_beside_the_unpacked_sources() {
        let dir = tempfile::tempdir().unwrap();
        let registry = dir.path().join("registry");
        let archived = registry.join("cache/index-1/livekit-0.10.0.crate");
        fs::create_dir_all(archived.parent().unwrap()).unwrap();
        fs::write(&archived, "").unwrap();
        let manifest = registry.join("src/index-1/livekit-0.10.0/Cargo.toml");
        assert_eq!(archive(&manifest, "livekit-0.10.0").unwrap(), archived);
    }
}
