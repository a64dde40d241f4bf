//! Names and link targets, judged as text alone.

use super::UnpackFault;
use crate::layer::shown;

/// A name whose parts are all ordinary, relative to the root.
#[derive(Debug)]
pub(super) struct Name<'a>(Vec<&'a [u8]>);

/// What a whiteout file stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whiteout<'a> {
    /// The directory hides all below it.
    Opaque,
    /// A name is removed.
    Remove(&'a [u8]),
}

impl<'a> Name<'a> {
    pub(super) fn parse(name: &'a [u8]) -> Result<Self, UnpackFault> {
        if name.starts_with(b"/") {
            return Err(UnpackFault::Absolute);
        }
        if name.is_empty() || name.len() > PATH_MAX || name.contains(&0) {
            return Err(UnpackFault::Name);
        }
        let mut parts = Vec::new();
        for part in name.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err(UnpackFault::Upwards),
                _ => parts.push(part),
            }
        }
        Ok(Self(parts))
    }

    pub(super) fn last(&self) -> Option<&'a [u8]> {
        self.0.last().copied()
    }

    pub(super) fn parents(&self) -> &[&'a [u8]] {
        self.0.split_last().map_or(&[], |(_, parents)| parents)
    }

    /// A symbolic link's target must stay in the root on every step of the way.
    pub(super) fn check_link(&self, target: &[u8]) -> Result<(), UnpackFault> {
        let out = || UnpackFault::LinkOut(shown(target));
        if target.is_empty()
            || target.starts_with(b"/")
            || target.len() > PATH_MAX
            || target.contains(&0)
        {
            return Err(out());
        }
        let mut depth = self.parents().len();
        for part in target.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => depth = depth.checked_sub(1).ok_or_else(out)?,
                // What a part before `..` leads to is not known here, so only leading ones count upwards.
                _ if target_goes_up_after(target, part) => return Err(out()),
                _ => depth += 1,
            }
        }
        Ok(())
    }
}

/// Whether `..` comes after an ordinary part, where it could climb from wherever a link led.
fn target_goes_up_after(target: &[u8], part: &[u8]) -> bool {
    let mut parts = target.split(|byte| *byte == b'/').skip_while(|other| *other != part);
    parts.any(|other| other == b"..")
}

impl<'a> Whiteout<'a> {
    pub(super) fn of(file: &'a [u8]) -> Result<Option<Self>, UnpackFault> {
        match file.strip_prefix(b".wh.") {
            None => Ok(None),
            Some(b".wh..opq") => Ok(Some(Self::Opaque)),
            Some(b"" | b"." | b"..") => Err(UnpackFault::Whiteout),
            Some(name) => Ok(Some(Self::Remove(name))),
        }
    }
}

/// Linux's limit, without the final NUL.
const PATH_MAX: usize = 4095;
