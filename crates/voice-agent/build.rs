//! Has the linker fold functions with the same machine code, of which generic code makes many: 6 % of the binary.

#![expect(
    clippy::disallowed_methods,
    reason = "cargo speaks to build scripts by variables"
)]

use std::env;

/// Where `rustc` links with the LLD that it brings, unless it is told otherwise.
const TARGET: &str = "x86_64-unknown-linux-gnu";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).as_deref() == Ok(value);
    let linker_is_ours = env::var_os("RUSTC_LINKER").is_none()
        && !env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("link"));
    if is("PROFILE", "release") && is("TARGET", TARGET) && linker_is_ours {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    }
}
