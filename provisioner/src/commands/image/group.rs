//! The group whose policy is wanted: from an ARM container group, or from a workload's section of the manifest.

use std::path::Path;

use image::cce::{ArmGroup, Definition, Fragment, Mode, Sidecars};
use infra::WorkloadGroup;
use manifest::Manifest;

use crate::cli::ImageMeasure;
use crate::failure::Failure;
use crate::state;

/// What is known of a group before its images are.
pub(super) struct Described {
    pub(super) containers: Vec<Definition>,
    /// Beside the infrastructure's.
    pub(super) fragments: Vec<Fragment>,
    pub(super) mode: Mode,
    pub(super) sidecars: Sidecars,
}

impl Described {
    /// The group that the options name, if they name one.
    pub(super) fn read(options: &ImageMeasure) -> Result<Option<Self>, Failure> {
        let debug = if options.debug { Mode::InsecureDebug } else { Mode::Production };
        let fragments = match &options.fragments {
            None => Vec::new(),
            Some(path) => Fragment::parse_list(&bytes(path)?).map_err(|error| {
                Failure::of(path.display().to_string(), error, "see --help for the form")
            })?,
        };
        if let Some(path) = &options.arm {
            let parameters = options.parameters.as_deref().map(bytes).transpose()?;
            let group =
                ArmGroup::parse(&bytes(path)?, parameters.as_deref()).map_err(|error| {
                    let remedy = "what is not supported has no policy here: leave it out, or use the service's own tool";
                    Failure::of(format!("deriving a policy from {}", path.display()), error, remedy)
                })?;
            let containers = group.containers().to_vec();
            let sidecars = group.sidecars();
            return Ok(Some(Self { containers, fragments, mode: debug, sidecars }));
        }
        let Some(section) = &options.section else { return Ok(None) };
        let (path, name) = (options.place.manifest.as_deref(), workload(section)?);
        let path = path.ok_or_else(|| Failure::new("--section without --manifest", "add it"))?;
        let (_, manifest) = manifest(path)?;
        let found = manifest.workload().iter().find(|(known, _)| known.as_str() == name);
        let group = found.and_then(|(_, workload)| workload.group.as_ref());
        let group = group.filter(|group| !group.container.is_empty()).ok_or_else(|| {
            Failure::new(
                format!("the manifest has no [workload.{name}.group.container.…]"),
                "describe the group's containers there, or give --arm",
            )
        })?;
        let group = WorkloadGroup::try_from(group)
            .map_err(|error| Failure::of(section.clone(), error, "correct the manifest"))?;
        if options.debug && group.mode == Mode::Production {
            return Err(Failure::new(
                "--debug is not what the manifest says",
                "write insecure_debug = true into the group's section",
            ));
        }
        let fragments = [group.fragments, fragments].concat();
        let sidecars = Sidecars::OfTheService;
        Ok(Some(Self { containers: group.containers, fragments, mode: group.mode, sidecars }))
    }
}

/// `NAME` of `workload.NAME`.
pub(super) fn workload(section: &str) -> Result<&str, Failure> {
    section.strip_prefix("workload.").filter(|name| !name.is_empty()).ok_or_else(|| {
        Failure::new(format!("{section:?} is no section of a workload"), "name it workload.NAME")
    })
}

/// A manifest with its text.
pub(super) fn manifest(path: &Path) -> Result<(String, Manifest), Failure> {
    let text = state::read(path)?.ok_or_else(|| {
        Failure::new(format!("there is no file {}", path.display()), "check the path")
    })?;
    let manifest = Manifest::parse(&path.display().to_string(), &text)
        .map_err(|faults| Failure::of("the manifest has faults", faults, "correct the manifest"))?;
    Ok((text, manifest))
}

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        Failure::of(format!("reading {}", path.display()), error, "check the path")
    })
}
