//! Building the crate `web` for browsers, in the clone that this program was built in.

use crate::clone::clone_of;
use crate::exit::{Child, usage};
use crate::terminal::err;
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";
/// Every browser has these instructions since 2023.
const INSTRUCTIONS: &str = "-Ctarget-feature=+simd128";
/// Debian's own compiler, which builds the target's standard library of its sources.
const DEBIAN: [&str; 3] =
    ["/usr/bin/cargo", "/usr/bin/rustc", "/usr/lib/rustlib/src/rust/library/std/Cargo.toml"];

/// The module's file, built where it is not yet.
pub fn built() -> Result<PathBuf> {
    let own = std::env::current_exe().context("where is this program?")?;
    let Some(clone) = clone_of(&own).filter(|clone| clone.join("crates/web/Cargo.toml").is_file()) else {
        return Err(usage(
            "page: the module that computes in the browser is built in the repository; give one with --engine, or use \
             `cargo xtask page` there",
        ));
    };
    let target = clone.join("target/page");
    let mut cargo = compiler(&clone)?;
    cargo
        .current_dir(&clone)
        .args([
            "build",
            "--locked",
            "--profile",
            "page",
            "--quiet",
            "--package",
            "duet-web",
            "--target",
            TARGET,
        ])
        .arg("--target-dir")
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags());
    err!("building what computes in the browser; the first time takes some minutes");
    let status = cargo.status().with_context(|| format!("cannot run {}", cargo.get_program().display()))?;
    match status.success() {
        true => Ok(target.join(TARGET).join("page/duet_web.wasm")),
        false => Err(Child::of(status).into()),
    }
}

/// The compiler's flags, as cargo has them: a separator between two. The module goes to others, so it does not name the
/// folders of whoever builds it.
fn flags() -> OsString {
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let folders = [(std::env::home_dir(), "home"), (cargo, "cargo")];
    let mut flags = OsString::from(INSTRUCTIONS);
    for (folder, name) in folders.into_iter().filter_map(|(folder, name)| Some((folder?, name))) {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(folder);
        flags.push(format!("={name}"));
    }
    flags
}

/// A cargo that builds for browsers; of the clone's toolchain, if that can.
fn compiler(clone: &Path) -> Result<Command> {
    if has_target(clone) {
        return Ok(Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into())));
    }
    let [cargo, rustc, std] = DEBIAN;
    if !DEBIAN.iter().all(|path| Path::new(path).exists()) {
        return Err(usage(format!(
            "page: Rust's standard library for browsers is missing. `rustup target add {TARGET}` gets it; on Debian, so \
             does `apt install rustc-web cargo-web rust-web-src rust-web-llvm lld-22` ({std} is not there)"
        )));
    }
    let mut command = Command::new(cargo);
    command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1").env_remove("RUSTUP_TOOLCHAIN");
    command.env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort");
    Ok(command)
}

/// Whether the usual compiler has the target's standard library.
fn has_target(clone: &Path) -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let found = Command::new(rustc)
        .current_dir(clone)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    let folder = found.ok().filter(|found| found.status.success());
    folder.is_some_and(|found| Path::new(String::from_utf8_lossy(&found.stdout).trim()).is_dir())
}
