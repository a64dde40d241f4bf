//! The text: a fixed frame around two JSON values and six flags.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::from_str;

use super::{GroupPolicy, Mode, PolicyError};

/// Why a text is not a policy of our making.
#[derive(Debug, thiserror::Error)]
pub enum NotOurs {
    /// The frame around the data is another.
    #[error("policy is not in the form that is rendered here, at its {0}")]
    Form(&'static str),
    /// The data are something else.
    #[error("policy data at {0}")]
    Data(&'static str, #[source] serde_json::Error),
    /// The data are no policy.
    #[error("policy contradicts itself")]
    Policy(#[from] PolicyError),
    /// It says what we say, but not to the letter.
    #[error("policy is written differently from how it is rendered here")]
    Spelling,
}

/// SHA-256 of a policy's text, which the hardware reports as HOST_DATA.
pub fn host_data(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

impl GroupPolicy {
    /// The Rego text.
    pub fn render(&self) -> String {
        let mut text = HEAD.to_owned();
        text.push_str(&json(&self.fragments, serde_json::to_string_pretty));
        text.push_str(CONTAINERS);
        text.push_str(&json(&self.containers, serde_json::to_string));
        text.push_str(&tail(self.mode));
        text
    }

    /// Reads what [`Self::render`] writes, and nothing else.
    pub fn parse(text: &str) -> Result<Self, NotOurs> {
        let rest = text.strip_prefix(HEAD).ok_or(NotOurs::Form("head"))?;
        let (fragments, rest) = rest.split_once(CONTAINERS).ok_or(NotOurs::Form("containers"))?;
        let (containers, _) = rest.split_once('\n').ok_or(NotOurs::Form("end"))?;
        let flags = rest.get(containers.len()..).unwrap_or_default();
        let mode =
            [Mode::Production, Mode::InsecureDebug].into_iter().find(|mode| flags == tail(*mode));
        let policy = Self::checked(
            mode.ok_or(NotOurs::Form("flags or rules"))?,
            from_str(fragments).map_err(|error| NotOurs::Data("fragments", error))?,
            from_str(containers).map_err(|error| NotOurs::Data("containers", error))?,
        )?;
        if policy.render() == text { Ok(policy) } else { Err(NotOurs::Spelling) }
    }
}

/// Strings and lists always have a JSON form; should that ever fail, an empty text is no valid Rego.
fn json<T: Serialize + ?Sized>(value: &T, write: fn(&T) -> serde_json::Result<String>) -> String {
    write(value).unwrap_or_default()
}

fn tail(mode: Mode) -> String {
    let debug = mode == Mode::InsecureDebug;
    let flags = [
        ("properties_access", true),
        ("dump_stacks", debug),
        ("runtime_logging", debug),
        ("environment_variable_dropping", true),
        ("unencrypted_scratch", false),
        ("capability_dropping", true),
    ];
    let mut text = "\n\n".to_owned();
    for (flag, value) in flags {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "allow_{flag} := {value}");
    }
    text.push('\n');
    for point in ENFORCEMENT_POINTS {
        let _ = writeln!(text, "{point} := data.framework.{point}");
    }
    text.push_str("\nreason := {\"errors\": data.framework.errors}\n");
    text
}

const HEAD: &str = r#"package policy

import future.keywords.every
import future.keywords.in

api_version := "0.10.0"
framework_version := "0.2.3"

fragments := "#;

const CONTAINERS: &str = "\n\ncontainers := ";

const ENFORCEMENT_POINTS: [&str; 17] = [
    "mount_device",
    "unmount_device",
    "mount_overlay",
    "unmount_overlay",
    "create_container",
    "exec_in_container",
    "exec_external",
    "shutdown_container",
    "signal_container_process",
    "plan9_mount",
    "plan9_unmount",
    "get_properties",
    "dump_stacks",
    "runtime_logging",
    "load_fragment",
    "scratch_mount",
    "scratch_unmount",
];
