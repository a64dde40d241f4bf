//! A workload's group as the manifest describes it, in the words of policies, and who else a group admits.

use image::cce::{Definition, Escalation, Fragment, FragmentsError, Mode, Volume, VolumeAccess};
use manifest::{Manifest, Name, VolumeKind};

/// What `[workload.NAME.group]` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadGroup {
    /// The containers, before their images are known.
    pub containers: Vec<Definition>,
    /// Whose signed parts are admitted, beside the infrastructure's.
    pub fragments: Vec<Fragment>,
    /// Whether the host may see and touch everything.
    pub mode: Mode,
}

/// A party beside the workload itself that can obtain what the group holds, since HOST_DATA identifies a whole group:
/// whoever signs a fragment decides what runs in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Party {
    /// Which groups admit it.
    pub group: Admitting,
    /// Who signs.
    pub issuer: String,
    /// What is signed.
    pub feed: String,
    /// The least version.
    pub minimum_svn: String,
}

/// Which groups admit a party.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Admitting {
    /// Every group on the service, the server's too.
    Every,
    /// The group of a workload.
    Workload(Name),
}

impl TryFrom<&manifest::Group> for WorkloadGroup {
    type Error = FragmentsError;

    fn try_from(group: &manifest::Group) -> Result<Self, FragmentsError> {
        let containers = group.container.iter();
        let containers = containers.map(|(name, container)| definition(name.as_str(), container));
        let fragments = group.fragments.iter().map(fragment).collect::<Result<_, _>>()?;
        let mode = if group.insecure_debug { Mode::InsecureDebug } else { Mode::Production };
        Ok(Self { containers: containers.collect(), fragments, mode })
    }
}

/// Everybody whom a group of the manifest admits. What a group admits that is not described, only its policy says.
#[must_use]
pub fn parties(manifest: &Manifest) -> Vec<Party> {
    let Fragment { feed, issuer, minimum_svn, .. } = Fragment::infrastructure();
    let mut parties = vec![Party { group: Admitting::Every, issuer, feed, minimum_svn }];
    for (name, workload) in manifest.workload() {
        let own = workload.group.iter().flat_map(|group| &group.fragments);
        parties.extend(own.map(|fragment| Party {
            group: Admitting::Workload(name.clone()),
            issuer: fragment.issuer.as_str().to_owned(),
            feed: fragment.feed.as_str().to_owned(),
            minimum_svn: fragment.minimum_svn.to_string(),
        }));
    }
    parties
}

fn fragment(fragment: &manifest::Fragment) -> Result<Fragment, FragmentsError> {
    let includes = fragment.includes.iter().map(|part| part.as_str().to_owned()).collect();
    let (issuer, feed) = (fragment.issuer.as_str(), fragment.feed.as_str());
    Fragment::parse(issuer, feed, &fragment.minimum_svn.to_string(), includes)
}

fn definition(name: &str, container: &manifest::Container) -> Definition {
    let text = |text: &manifest::ExactText| text.as_str().to_owned();
    let volume = |volume: &manifest::Volume| {
        let destination = volume.path.as_str().to_owned();
        let access =
            if volume.read_only { VolumeAccess::ReadOnly } else { VolumeAccess::ReadWrite };
        match volume.kind {
            VolumeKind::AzureFile => Volume::AzureFile { destination, access },
            VolumeKind::Secret => Volume::Secret { destination, access },
            VolumeKind::EmptyDir => Volume::EmptyDir { destination, access },
        }
    };
    let environment = container.environment.iter();
    let environment = environment.map(|(name, value)| (name.as_str(), value.as_str()));
    Definition {
        command: container.command.iter().map(|part| part.as_str().to_owned()).collect(),
        environment: environment.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        volumes: container.volumes.iter().map(volume).collect(),
        user: container.user,
        group: container.group,
        add: container.add_capabilities.iter().map(text).collect(),
        drop: container.drop_capabilities.iter().map(text).collect(),
        escalation: if container.no_new_privileges {
            Escalation::Impossible
        } else {
            Escalation::Possible
        },
        ..Definition::new(name, container.image.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_says_what_a_template_would() {
        let text = format!(
            "{}\n{}",
            include_str!("../../manifests/prod.toml"),
            r#"
[workload.payments.group]
fragments = [{ issuer = "did:x509:0:x", feed = "r/f", minimum_svn = 3, includes = ["containers"] }]
[workload.payments.group.container.web]
image = "r.azurecr.io/web:1"
command = ["/web"]
environment = { COLOUR = "red" }
volumes = [{ kind = "secret", path = "/s", read_only = true }]
drop_capabilities = ["ALL"]
no_new_privileges = true
user = 1000
"#
        );
        let manifest = Manifest::parse("prod.toml", &text).unwrap();
        let payments = manifest.workload().values().find_map(|found| found.group.as_ref()).unwrap();
        let group = WorkloadGroup::try_from(payments).unwrap();
        let expected = Definition {
            command: vec!["/web".to_owned()],
            environment: vec![("COLOUR".to_owned(), "red".to_owned())],
            volumes: vec![Volume::Secret {
                destination: "/s".to_owned(),
                access: VolumeAccess::ReadOnly,
            }],
            user: Some(1000),
            drop: vec!["ALL".to_owned()],
            escalation: Escalation::Impossible,
            ..Definition::new("web", "r.azurecr.io/web:1")
        };
        assert_eq!((group.containers, group.mode), (vec![expected], Mode::Production));
        let parties = parties(&manifest);
        let own = parties.iter().find(|party| party.feed == "r/f").unwrap();
        let Admitting::Workload(name) = &own.group else { panic!("{own:?}") };
        assert_eq!((name.as_str(), own.minimum_svn.as_str()), ("payments", "3"));
        assert!(parties.iter().any(|party| party.group == Admitting::Every));
    }
}
