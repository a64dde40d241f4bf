//! The fuzzer that `cargo xtask fuzz` builds: one program for all targets, so that they share one build.
//! `VOUCHSAFE_FUZZ` names the target.
//!
//! Built without `--cfg fuzzing`, it runs a target over the files it is given: a finding can be
//! looked at with the ordinary toolchain and a debugger.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static RUN: std::sync::OnceLock<fn(&[u8])> = std::sync::OnceLock::new();
    let run = RUN.get_or_init(|| {
        let name = std::env::var("VOUCHSAFE_FUZZ").unwrap_or_default();
        match fuzz::target(&name) {
            Some(target) => target.run,
            #[expect(
                clippy::panic,
                reason = "libFuzzer offers no other way to refuse its environment"
            )]
            None => panic!("VOUCHSAFE_FUZZ names no target: {name:?}"),
        }
    });
    run(data);
});

#[cfg(not(fuzzing))]
fn main() -> anyhow::Result<()> {
    use anyhow::Context as _;

    let mut args = std::env::args_os().skip(1);
    let name = args.next().context("usage: vouchsafe-fuzz TARGET FILE…")?;
    let name = name.to_string_lossy();
    let target = fuzz::target(&name).with_context(|| {
        let known: Vec<_> = fuzz::TARGETS.iter().map(|target| target.name).collect();
        format!("no target is called {name}; there are {}", known.join(", "))
    })?;
    for file in args {
        let data = std::fs::read(&file).with_context(|| file.to_string_lossy().into_owned())?;
        (target.run)(&data);
    }
    Ok(())
}
