//! `Microsoft.Authorization/roleAssignments` and `roleDefinitions` at any scope (azure.md F.2, F.3).
//!
//! The decision itself is [`crate::rbac`]'s; here are the wire forms and the conflicts. Scopes that are resources must exist.

mod definitions;

use http::{Method, StatusCode};
use jiff::SignedDuration;
use serde_json::{Value, json};
use uuid::Uuid;

pub(super) use self::definitions::definitions;
use self::definitions::no_definition;
use super::body::Object;
use super::error::{Answer, ArmError, bad_request, invalid_content, method_not_allowed};
use super::path::subscription_id;
use super::{Cx, page};
use crate::core::Response;
use crate::rbac::{self, Assignment};

/// `SCOPE/providers/Microsoft.Authorization/roleAssignments[/NAME]`.
pub(super) fn assignments(cx: &Cx<'_>, scope: &str, name: Option<&str>) -> Answer {
    match (cx.method(), name) {
        (&Method::GET, None) => {
            cx.permit("Microsoft.Authorization/roleAssignments/read", scope)?;
            list_assignments(cx, scope)
        }
        (&Method::GET, Some(name)) => {
            cx.permit("Microsoft.Authorization/roleAssignments/read", scope)?;
            let found = find(cx, scope, name)?;
            Ok(Response::json(StatusCode::OK, &shown(cx, &found)))
        }
        (&Method::PUT, Some(name)) => {
            cx.permit("Microsoft.Authorization/roleAssignments/write", scope)?;
            put_assignment(cx, scope, name)
        }
        (&Method::DELETE, Some(name)) => {
            cx.permit("Microsoft.Authorization/roleAssignments/delete", scope)?;
            match find(cx, scope, name) {
                Ok(found) => {
                    cx.cloud.rbac.change(|state| {
                        state.assignments.remove(&found.key());
                        Ok::<_, ArmError>(())
                    })?;
                    Ok(Response::json(StatusCode::OK, &shown(cx, &found)))
                }
                Err(_) => Ok(Response::empty(StatusCode::NO_CONTENT)),
            }
        }
        _ => Err(method_not_allowed()),
    }
}

fn put_assignment(cx: &Cx<'_>, scope: &str, name: &str) -> Answer {
    let name: Uuid = name.parse().map_err(|_| {
        ArmError::new(
            400,
            "InvalidRoleAssignmentId",
            format!("The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID."),
        )
    })?;
    super::scope_exists(cx.cloud, scope)?;
    let value: Value = cx.request.json().map_err(invalid_content)?;
    let body = Object::root(&value)?;
    body.only(&["id", "name", "type", "properties"])?;
    let given = body.needed_object("properties")?;
    given.only(&[
        "roleDefinitionId",
        "principalId",
        "principalType",
        "description",
        "scope",
        "condition",
        "conditionVersion",
        "createdOn",
        "updatedOn",
        "createdBy",
        "updatedBy",
        "delegatedManagedIdentityResourceId",
    ])?;
    if given.text("condition")?.is_some() {
        return Err(bad_request(
            "The local cloud does not implement conditions on role assignments.",
        ));
    }
    let role_id = given.needed_text("roleDefinitionId")?;
    let role = role_id.rsplit('/').next().and_then(|guid| guid.parse().ok());
    let definition =
        role.and_then(|role: Uuid| cx.cloud.rbac.read(|state| state.definition(role).cloned()));
    let definition = definition.ok_or_else(|| no_definition(role_id))?;
    if !definition.assignable_scopes.iter().any(|assignable| rbac::covers(assignable, scope)) {
        return Err(bad_request(format!(
            "The role '{}' is not assignable at the scope '{scope}'.",
            definition.name
        )));
    }
    let principal = given.needed_text("principalId")?;
    let principal: Uuid = principal.parse().map_err(|_| given.wrong("principalId", "a GUID"))?;
    let principal_type = principal_type(cx, &given, principal)?;
    let assignment = Assignment {
        name,
        scope: scope.to_owned(),
        role: definition.guid,
        principal,
        principal_type,
        created: cx.now,
    };
    let kept = cx.cloud.rbac.change(|state| {
        let same = |other: &Assignment| {
            other.scope.eq_ignore_ascii_case(scope) && other.role == assignment.role && other.principal == principal
        };
        let mut others = state.assignments.values();
        if let Some(other) = others.clone().find(|other| other.name == name) {
            return if same(other) { Ok((StatusCode::OK, other.clone())) } else { Err(update_refused()) };
        }
        if let Some(other) = others.find(|other| same(other)) {
            return Err(ArmError::new(
                409,
                "RoleAssignmentExists",
                format!("The role assignment already exists. The ID of the conflicting role assignment is {}.", other.name.simple()),
            ));
        }
        state.assignments.insert(assignment.key(), assignment.clone());
        Ok((StatusCode::CREATED, assignment))
    })?;
    Ok(Response::json(kept.0, &shown(cx, &kept.1)))
}

/// As given; a principal without a type must be one that the directory has known for a while.
fn principal_type(cx: &Cx<'_>, given: &Object<'_>, principal: Uuid) -> Answer<String> {
    match given.text("principalType")? {
        Some(kind @ ("ServicePrincipal" | "User" | "Group" | "ForeignGroup" | "Device")) => {
            return Ok(kind.to_owned());
        }
        Some(_) => {
            return Err(given
                .wrong("principalType", "User, Group, ServicePrincipal, ForeignGroup or Device"));
        }
        None => {}
    }
    let identity = cx.cloud.inventory.read(|facts| {
        facts
            .identities
            .values()
            .find(|identity| identity.principal_id == principal)
            .map(|identity| identity.id.to_ascii_lowercase())
    });
    let settled = identity.is_some_and(|id| {
        let made =
            cx.cloud.arm.read(|state| state.resources.get(&id).map(|resource| resource.created));
        made.is_some_and(|made| cx.now.duration_since(made) > SignedDuration::from_secs(30))
    });
    let application = cx
        .cloud
        .entra
        .read(|state| state.applications.values().any(|known| known.oid == principal));
    if settled || application {
        return Ok("ServicePrincipal".to_owned());
    }
    Err(ArmError::new(
        400,
        "PrincipalNotFound",
        format!(
            "Principal {} does not exist in the directory {}. Check that you have the correct principal ID. If you are creating this principal and then immediately assigning a role, this error might be related to a replication delay. In this case, set the role assignment principalType property to a value, such as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype",
            principal.simple(),
            cx.cloud.settings.tenant
        ),
    ))
}

fn find(cx: &Cx<'_>, scope: &str, name: &str) -> Answer<Assignment> {
    let missing = || {
        ArmError::new(
            404,
            "RoleAssignmentNotFound",
            format!("The role assignment '{name}' is not found."),
        )
    };
    let key = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}")
        .to_ascii_lowercase();
    cx.cloud.rbac.read(|state| state.assignments.get(&key).cloned()).ok_or_else(missing)
}

/// `$filter`: `atScope()`, `principalId eq 'GUID'`, `assignedTo('GUID')`, joined by `and`.
fn list_assignments(cx: &Cx<'_>, scope: &str) -> Answer {
    let mut principal: Option<Uuid> = None;
    let mut only_here_and_above = false;
    let filter = cx.request.query.value("$filter").unwrap_or_default();
    for term in filter.split(" and ").map(str::trim).filter(|term| !term.is_empty()) {
        let quoted = term
            .strip_prefix("principalId eq '")
            .and_then(|rest| rest.strip_suffix('\''))
            .or_else(|| term.strip_prefix("assignedTo('").and_then(|rest| rest.strip_suffix("')")));
        match (term, quoted.and_then(|guid| guid.parse().ok())) {
            ("atScope()", _) => only_here_and_above = true,
            (_, Some(guid)) => principal = Some(guid),
            _ => {
                return Err(ArmError::new(400, "BadRequestFormat", "The filter is not supported."));
            }
        }
    }
    let found: Vec<Assignment> = cx.cloud.rbac.read(|state| {
        let fits = |assignment: &&Assignment| {
            let above = rbac::covers(&assignment.scope, scope);
            let below = !only_here_and_above && rbac::covers(scope, &assignment.scope);
            (above || below) && principal.is_none_or(|principal| assignment.principal == principal)
        };
        state.assignments.values().filter(fits).cloned().collect()
    });
    page::page(cx.request, found.iter().map(|assignment| shown(cx, assignment)).collect())
}

fn shown(cx: &Cx<'_>, assignment: &Assignment) -> Value {
    let subscription = subscription_id(cx.cloud.settings.subscription);
    json!({
        "id": assignment.id(),
        "name": assignment.name,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{}", assignment.role),
            "principalId": assignment.principal,
            "principalType": assignment.principal_type,
            "scope": assignment.scope,
            "condition": null,
            "conditionVersion": null,
            "createdOn": assignment.created.to_string(),
            "updatedOn": assignment.created.to_string(),
        },
    })
}

fn update_refused() -> ArmError {
    ArmError::new(
        400,
        "RoleAssignmentUpdateNotPermitted",
        "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
    )
}
