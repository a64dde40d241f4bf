//! What an operator may do where.

use crate::rules::Operator;
use crate::text::{PathGlob, SecretPath};
use crate::words::Action;

/// The manifest lets this operator do this here. Made by [`Operator::permit`] and [`Operator::permit_list`] only.
#[derive(Debug, PartialEq, Eq)]
pub struct Permission {
    action: Action,
    path: String,
}

/// It does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The operator may do this nowhere.
    #[error("this operator may not {0}")]
    Action(Action),
    /// The operator may do this elsewhere.
    #[error("this operator may not {0} here")]
    Path(Action),
}

impl Operator {
    /// Whether the operator may do this to a secret.
    ///
    /// # Errors
    /// The manifest does not say so.
    pub fn permit(&self, action: Action, path: &SecretPath) -> Result<Permission, Forbidden> {
        self.check(action, path.as_str(), |glob| glob.covers(path.as_str()))
    }

    /// Whether the operator may see what is in a folder; `None` is the whole store.
    ///
    /// # Errors
    /// The manifest does not say so.
    pub fn permit_list(&self, folder: Option<&SecretPath>) -> Result<Permission, Forbidden> {
        let folder = folder.map_or("", SecretPath::as_str);
        // A name that begins in the folder stands for all of them: a glob that covers it covers the folder.
        let inside = format!("{folder}/x");
        self.check(Action::List, folder, |glob| match folder {
            "" => glob.as_str() == "*",
            _ => glob.as_str().ends_with('*') && glob.covers(&inside),
        })
    }

    fn check(
        &self,
        action: Action,
        path: &str,
        covers: impl Fn(&PathGlob) -> bool,
    ) -> Result<Permission, Forbidden> {
        if !self.may.contains(&action) {
            return Err(Forbidden::Action(action));
        }
        if !self.paths.iter().any(covers) {
            return Err(Forbidden::Path(action));
        }
        Ok(Permission { action, path: path.to_owned() })
    }
}

impl PathGlob {
    /// Whether whatever the other covers is covered by this one.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        self == other
            || self
                .as_str()
                .strip_suffix('*')
                .is_some_and(|folder| other.as_str().starts_with(folder))
    }

    fn covers(&self, path: &str) -> bool {
        match self.as_str().strip_suffix('*') {
            Some(folder) => path.starts_with(folder),
            None => path == self.as_str(),
        }
    }
}

impl Permission {
    /// What is permitted.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// Where: a secret, or the folder to list, empty for the whole store.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Manifest;

    fn operator(may: &str, paths: &str) -> Operator {
        let text = include_str!("../../../manifests/dev.toml")
            .replace(
                "may = [\"write\", \"list\", \"delete\", \"read\", \"rotate\"]",
                &format!("may = {may}"),
            )
            .replace("paths = [\"*\"]", &format!("paths = {paths}"));
        let manifest = Manifest::parse("x", &text).unwrap_or_else(|faults| panic!("{faults}"));
        manifest.operator().values().next().unwrap().clone()
    }

    #[test]
    fn permits_what_is_named_and_nothing_else() {
        let operator = operator("[\"write\", \"list\"]", "[\"a/*\", \"b/c\"]");
        let path = |path: &str| path.parse::<SecretPath>().unwrap();
        for good in ["a/x", "a/x/y", "b/c"] {
            assert_eq!(operator.permit(Action::Write, &path(good)).unwrap().path(), good);
        }
        for bad in ["a", "ab/x", "b/c/d", "b", "c"] {
            let refused = operator.permit(Action::Write, &path(bad));
            assert_eq!(refused, Err(Forbidden::Path(Action::Write)), "{bad}");
        }
        let refused = operator.permit(Action::Read, &path("a/x"));
        assert_eq!(refused, Err(Forbidden::Action(Action::Read)));
        assert!(operator.permit_list(Some(&path("a"))).is_ok());
        assert!(operator.permit_list(Some(&path("a/b"))).is_ok());
        for bad in [None, Some(path("b")), Some(path("b/c")), Some(path("ab"))] {
            assert_eq!(operator.permit_list(bad.as_ref()), Err(Forbidden::Path(Action::List)));
        }
    }

    #[test]
    fn a_glob_includes_what_lies_in_its_folder() {
        let glob = |text: &str| text.parse::<PathGlob>().unwrap();
        for (wide, narrow) in
            [("*", "*"), ("*", "a/*"), ("a/*", "a/b"), ("a/*", "a/b/*"), ("a", "a")]
        {
            assert!(glob(wide).includes(&glob(narrow)), "{wide} {narrow}");
        }
        for (one, other) in [("a/*", "*"), ("a/*", "ab/c"), ("a/*", "a"), ("a/b", "a/*")] {
            assert!(!glob(one).includes(&glob(other)), "{one} {other}");
        }
    }

    #[test]
    fn a_star_is_everything() {
        let operator = operator("[\"list\"]", "[\"*\"]");
        assert!(operator.permit_list(None).is_ok());
        assert!(operator.permit_list(Some(&"a/b".parse().unwrap())).is_ok());
    }
}
