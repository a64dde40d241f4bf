//! `image build | measure | push | inspect`: images, their layer hashes, and what a container group's policy makes of them.

mod build;
mod components;
mod group;
mod inspect;
mod measure;
mod push;
mod registries;
mod source;
mod write;

use crate::cli::ImageVerb;
use crate::failure::{Exit, Failure};

/// Runs a command about images.
pub(super) async fn run(verb: ImageVerb) -> Result<Exit, Failure> {
    match verb {
        ImageVerb::Build(options) => build::build(&options),
        ImageVerb::Measure(options) => measure::measure(&options).await,
        ImageVerb::Push(options) => push::push(&options).await,
        ImageVerb::Inspect(options) => inspect::inspect(&options).await,
    }
}

/// Runs what reads files and hashes on a thread of its own.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::of("measuring", error, "this is a fault of ours"))?
}
