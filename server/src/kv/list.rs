//! Which secrets there are.

use std::collections::BTreeSet;

use store::Store;

use super::META;
use crate::grant::MayList;

/// The names in a folder: secrets as they are, folders with a slash.
#[must_use]
pub fn list(store: &Store, permitted: &MayList) -> BTreeSet<String> {
    let prefix = match permitted.folder() {
        None => META.to_owned(),
        Some(folder) => format!("{META}{folder}/"),
    };
    let mut names = BTreeSet::new();
    let mut after = None;
    loop {
        let page = store.range(&prefix, after.as_ref(), 1000);
        for entry in &page.entries {
            let Some(rest) = entry.key.as_str().strip_prefix(&prefix) else { continue };
            names.insert(match rest.split_once('/') {
                Some((folder, _)) => format!("{folder}/"),
                None => rest.to_owned(),
            });
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return names,
        }
    }
}
