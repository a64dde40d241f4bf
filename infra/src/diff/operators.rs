//! Who keeps secrets, and above all who may read their values.

use std::collections::BTreeSet;

use manifest::{Action, ClaimName, ExactText, HttpsUrl, Manifest, Name, Operator, PathGlob};

use super::change::{Changes, Effect, Kind};
use super::matching::{Pair, matching};

pub(super) fn compare(old: &Manifest, new: &Manifest, changes: &mut Changes) {
    let matched = matching(old.operator(), new.operator(), content, login);
    for pair in &matched.pairs {
        changed(pair, changes);
    }
    for (name, operator) in &matched.come {
        let text = format!("is new: {}", who(operator));
        changes.push(Effect::Weakens, Kind::Operator, subject(name), text);
        rights(name, &BTreeSet::new(), &grants(operator), changes);
    }
    for (name, operator) in &matched.gone {
        let text = format!("is gone: {}", who(operator));
        changes.push(Effect::Strengthens, Kind::Operator, subject(name), text);
    }
}

type Login<'a> = (&'a HttpsUrl, &'a ExactText, Vec<(&'a ClaimName, &'a ExactText)>);

/// Who can log in.
fn login(operator: &Operator) -> Login<'_> {
    let manifest::Login::Jwt = operator.login;
    (&operator.issuer, &operator.audience, operator.claims.iter().collect())
}

fn content(operator: &Operator) -> (Login<'_>, &BTreeSet<Action>, &BTreeSet<PathGlob>, u32) {
    (login(operator), &operator.may, &operator.paths, operator.token_minutes)
}

fn changed(pair: &Pair<'_, Name, Operator>, changes: &mut Changes) {
    let [before, after] = pair.values;
    let name = pair.names[1];
    if login(before) != login(after) {
        let narrower = before.issuer == after.issuer
            && before.audience == after.audience
            && before.claims.iter().all(|(claim, value)| after.claims.get(claim) == Some(value));
        let (effect, text) = match narrower {
            true => (Effect::Strengthens, "must show more"),
            false => (Effect::Weakens, "is somebody else"),
        };
        let text = format!("{text}: {}, not {}", who(after), who(before));
        changes.push(effect, Kind::OperatorLogin, subject(name), text);
    }
    rights(name, &grants(before), &grants(after), changes);
    if before.token_minutes != after.token_minutes {
        let longer = after.token_minutes > before.token_minutes;
        let (effect, how) = match longer {
            true => (Effect::Weakens, "longer"),
            false => (Effect::Strengthens, "shorter"),
        };
        let (before, after) = (before.token_minutes, after.token_minutes);
        let text = format!("stays logged in for {after} minutes, {how} than {before}");
        changes.push(effect, Kind::OperatorSession, subject(name), text);
    }
}

type Grants<'a> = BTreeSet<(Action, &'a PathGlob)>;

fn grants(operator: &Operator) -> Grants<'_> {
    let may = operator.may.iter();
    may.flat_map(|action| operator.paths.iter().map(|path| (*action, path))).collect()
}

/// What somebody may do where that they could not, and the other way round.
fn rights(name: &Name, old: &Grants<'_>, new: &Grants<'_>, changes: &mut Changes) {
    let missing = |some: &Grants<'_>, others: &Grants<'_>| {
        let uncovered = some.iter().filter(|(action, path)| {
            !others.iter().any(|(other, glob)| other == action && glob.includes(path))
        });
        uncovered.map(|(action, path)| (*action, path.to_string())).collect::<Vec<_>>()
    };
    for (action, path) in missing(new, old) {
        let (kind, what) = describe(action);
        let text = format!("may {what} {path}");
        changes.push(Effect::Weakens, kind, subject(name), text);
    }
    for (action, path) in missing(old, new) {
        let (kind, what) = describe(action);
        let text = format!("may no longer {what} {path}");
        changes.push(Effect::Strengthens, kind, subject(name), text);
    }
}

fn describe(action: Action) -> (Kind, &'static str) {
    match action {
        Action::Read => (Kind::ReadsValues, "read the values of"),
        Action::Write => (Kind::OperatorAction, "write"),
        Action::List => (Kind::OperatorAction, "list"),
        Action::Delete => (Kind::OperatorAction, "delete"),
        Action::Rotate => (Kind::OperatorAction, "renew the keys that guard"),
    }
}

fn subject(name: &Name) -> String {
    format!("operator {name}")
}

fn who(operator: &Operator) -> String {
    let claims = operator.claims.iter().map(|(claim, value)| format!("{claim} {value}"));
    let claims = claims.collect::<Vec<_>>().join(" and ");
    format!("{claims} for {} by {}", operator.audience, operator.issuer)
}
