//! Role-based access control: assignments of roles to principals at scopes, built-in and custom definitions, the decision.
//!
//! azure.md F.2 (role assignments), F.3 (ids). Resource management writes assignments and custom definitions here (it owns the wire forms);
//! every data plane and resource management itself ask [`authorize`]. Changes take effect at once; the real service takes minutes.
//! Deny assignments, groups and conditions are not simulated; roles whose meaning is in a condition are therefore not offered.

mod builtin;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::core::Cloud;
use crate::core::faults::glob;

pub use self::builtin::{OWNER, builtin};

/// Persistent state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RbacState {
    /// Assignments by [`Assignment::key`].
    pub assignments: BTreeMap<String, Assignment>,
    /// Custom role definitions by guid.
    pub definitions: BTreeMap<Uuid, Definition>,
}

/// One role assignment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Its name, a guid.
    pub name: Uuid,
    /// Resource id of what it covers, without trailing slash (`/subscriptions/…`).
    pub scope: String,
    /// Guid of the role definition.
    pub role: Uuid,
    /// Object id of the principal.
    pub principal: Uuid,
    /// `ServicePrincipal`, `User`, …
    pub principal_type: String,
    /// When it was made.
    pub created: Timestamp,
}

impl Assignment {
    /// Resource id of the assignment.
    pub fn id(&self) -> String {
        format!("{}/providers/Microsoft.Authorization/roleAssignments/{}", self.scope, self.name)
    }

    /// Key in [`RbacState::assignments`]: the id in lower case, as ids compare without case.
    pub fn key(&self) -> String {
        self.id().to_ascii_lowercase()
    }
}

/// A role definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Guid.
    pub guid: Uuid,
    /// `roleName`.
    pub name: String,
    /// Description.
    pub description: String,
    /// Control-plane actions.
    pub actions: Vec<String>,
    /// Exceptions from them.
    pub not_actions: Vec<String>,
    /// Data-plane actions.
    pub data_actions: Vec<String>,
    /// Exceptions from them.
    pub not_data_actions: Vec<String>,
    /// Where it may be assigned.
    pub assignable_scopes: Vec<String>,
}

/// What a caller wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// A control-plane action (`Microsoft.KeyVault/vaults/write`).
    Action(&'a str),
    /// A data-plane action (`Microsoft.KeyVault/vaults/keys/release/action`).
    DataAction(&'a str),
}

/// No assignment of the principal at or above the scope permits it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no role of the caller permits {operation} at {scope}")]
pub struct Forbidden {
    /// The action or data action.
    pub operation: String,
    /// The resource.
    pub scope: String,
}

/// The assignment that permits `principal` the operation at `scope`, a resource id.
///
/// # Errors
/// [`Forbidden`] if there is none.
pub fn authorize(
    cloud: &Cloud,
    principal: Uuid,
    operation: Operation<'_>,
    scope: &str,
) -> Result<Assignment, Forbidden> {
    cloud.rbac.read(|state| state.authorize(principal, operation, scope))
}

impl RbacState {
    /// See [`authorize`].
    ///
    /// # Errors
    /// [`Forbidden`].
    pub fn authorize(
        &self,
        principal: Uuid,
        operation: Operation<'_>,
        scope: &str,
    ) -> Result<Assignment, Forbidden> {
        self.assignments
            .values()
            .filter(|assignment| {
                assignment.principal == principal && covers(&assignment.scope, scope)
            })
            .find(|assignment| {
                self.definition(assignment.role).is_some_and(|role| role.permits(operation))
            })
            .cloned()
            .ok_or_else(|| {
                let (Operation::Action(name) | Operation::DataAction(name)) = operation;
                Forbidden { operation: name.to_owned(), scope: scope.to_owned() }
            })
    }

    /// A definition, built-in or custom.
    pub fn definition(&self, guid: Uuid) -> Option<&Definition> {
        builtin().get(&guid).or_else(|| self.definitions.get(&guid))
    }
}

impl Definition {
    /// Some pattern permits it and no exception of the same definition takes it away.
    pub fn permits(&self, operation: Operation<'_>) -> bool {
        let (name, allowed, excepted) = match operation {
            Operation::Action(name) => (name, &self.actions, &self.not_actions),
            Operation::DataAction(name) => (name, &self.data_actions, &self.not_data_actions),
        };
        let any = |patterns: &[String]| patterns.iter().any(|pattern| glob(pattern, name));
        any(allowed) && !any(excepted)
    }
}

/// `scope` is `ancestor` or lies below it; without case, whole segments.
pub fn covers(ancestor: &str, scope: &str) -> bool {
    let ancestor = ancestor.trim_end_matches('/').to_ascii_lowercase();
    let scope = scope.trim_end_matches('/').to_ascii_lowercase();
    scope.strip_prefix(&ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_cover_whole_segments_without_case() {
        let check = |ancestor: &str, scope: &str, expected: bool| {
            assert_eq!(covers(ancestor, scope), expected);
        };
        check("/subscriptions/A", "/Subscriptions/a/resourceGroups/g", true);
        check("/subscriptions/a/resourceGroups/g", "/subscriptions/a/resourceGroups/g2", false);
        check("/", "/subscriptions/a", true);
        check("/subscriptions/a/x", "/subscriptions/a", false);
    }

    #[test]
    fn a_role_permits_what_it_names_where_it_is_assigned_and_nothing_else() {
        let (alice, vault) = (
            Uuid::from_u128(1),
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v",
        );
        let release = Operation::DataAction("Microsoft.KeyVault/vaults/keys/release/action");
        let mut state = RbacState::default();
        let assignment = Assignment {
            name: Uuid::from_u128(7),
            scope: format!("{vault}/keys/k"),
            role: "08bbd89e-9f13-488c-ac41-acfcb10c90ab".parse().unwrap(),
            principal: alice,
            principal_type: "ServicePrincipal".into(),
            created: Timestamp::UNIX_EPOCH,
        };
        state.assignments.insert(assignment.key(), assignment);
        let check = |who: Uuid, operation: Operation<'_>, scope: &str| {
            state.authorize(who, operation, scope).is_ok()
        };
        assert!(check(alice, release, &format!("{vault}/keys/K")));
        assert!(!check(alice, release, &format!("{vault}/keys/other")), "another key");
        assert!(
            !check(Uuid::from_u128(2), release, &format!("{vault}/keys/k")),
            "another principal"
        );
        assert!(!check(
            alice,
            Operation::DataAction("Microsoft.KeyVault/vaults/keys/read"),
            &format!("{vault}/keys/k")
        ));
        assert!(!check(
            alice,
            Operation::Action("Microsoft.KeyVault/vaults/keys/release/action"),
            &format!("{vault}/keys/k")
        ));
    }

    #[test]
    fn an_exception_takes_away() {
        let role = builtin().get(&"b24988ac-6180-42a0-ab88-20f7382dd24c".parse().unwrap()).unwrap();
        assert!(role.permits(Operation::Action("Microsoft.KeyVault/vaults/write")));
        assert!(!role.permits(Operation::Action("Microsoft.Authorization/roleAssignments/write")));
        assert!(
            !role.permits(Operation::DataAction(
                "Microsoft.KeyVault/vaults/secrets/getSecret/action"
            ))
        );
    }
}
