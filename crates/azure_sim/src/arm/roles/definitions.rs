//! Role definitions: built-in ones are shown, custom ones made, changed and deleted.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::body::Object;
use super::super::error::{Answer, ArmError, bad_request, invalid_content, method_not_allowed};
use super::super::path::subscription_id;
use super::super::{Cx, page};
use crate::core::Response;
use crate::rbac::{self, Definition};

/// `SCOPE/providers/Microsoft.Authorization/roleDefinitions[/NAME]`.
pub(in super::super) fn definitions(cx: &Cx<'_>, scope: &str, name: Option<&str>) -> Answer {
    let guid = |name: &str| {
        name.parse::<Uuid>().map_err(|_| {
            ArmError::new(400, "InvalidRoleDefinitionId", format!("The role definition ID '{name}' is not valid. The role definition ID must be a GUID."))
        })
    };
    match (cx.method(), name) {
        (&Method::GET, None) => {
            cx.permit("Microsoft.Authorization/roleDefinitions/read", scope)?;
            list_definitions(cx)
        }
        (&Method::GET, Some(name)) => {
            cx.permit("Microsoft.Authorization/roleDefinitions/read", scope)?;
            let guid = guid(name)?;
            let found = cx
                .cloud
                .rbac
                .read(|state| state.definition(guid).cloned())
                .ok_or_else(|| no_definition(name))?;
            Ok(Response::json(StatusCode::OK, &definition_shown(cx, &found)))
        }
        (&Method::PUT, Some(name)) => {
            cx.permit("Microsoft.Authorization/roleDefinitions/write", scope)?;
            put_definition(cx, guid(name)?)
        }
        (&Method::DELETE, Some(name)) => {
            cx.permit("Microsoft.Authorization/roleDefinitions/delete", scope)?;
            delete_definition(cx, guid(name)?)
        }
        _ => Err(method_not_allowed()),
    }
}

fn put_definition(cx: &Cx<'_>, guid: Uuid) -> Answer {
    if rbac::builtin().contains_key(&guid) {
        return Err(ArmError::new(
            403,
            "RoleDefinitionUpdateNotPermitted",
            "Built-in role definitions cannot be changed.",
        ));
    }
    let value: Value = cx.request.json().map_err(invalid_content)?;
    let body = Object::root(&value)?;
    body.only(&["id", "name", "type", "properties"])?;
    let given = body.needed_object("properties")?;
    given.only(&[
        "roleName",
        "description",
        "type",
        "permissions",
        "assignableScopes",
        "createdOn",
        "updatedOn",
        "createdBy",
        "updatedBy",
    ])?;
    if given.text("type")?.is_some_and(|kind| kind != "CustomRole") {
        return Err(given.wrong("type", "CustomRole"));
    }
    let permissions = given.objects("permissions")?;
    let [permission] = permissions.as_slice() else {
        return Err(bad_request(
            "The local cloud takes role definitions with exactly one set of permissions.",
        ));
    };
    permission.only(&[
        "actions",
        "notActions",
        "dataActions",
        "notDataActions",
        "condition",
        "conditionVersion",
    ])?;
    let subscription = subscription_id(cx.cloud.settings.subscription);
    let assignable_scopes = given.texts("assignableScopes")?;
    let within = |scope: &String| rbac::covers(&subscription, scope);
    if assignable_scopes.is_empty() || !assignable_scopes.iter().all(within) {
        return Err(bad_request("The assignable scopes must be at or below the subscription."));
    }
    let definition = Definition {
        guid,
        name: given.needed_text("roleName")?.to_owned(),
        description: given.text("description")?.unwrap_or_default().to_owned(),
        actions: permission.texts("actions")?,
        not_actions: permission.texts("notActions")?,
        data_actions: permission.texts("dataActions")?,
        not_data_actions: permission.texts("notDataActions")?,
        assignable_scopes,
    };
    cx.cloud.rbac.change(|state| {
        let taken = |other: &Definition| other.guid != guid && other.name.eq_ignore_ascii_case(&definition.name);
        if state.definitions.values().any(taken) || rbac::builtin().values().any(taken) {
            return Err(ArmError::new(
                409,
                "RoleDefinitionWithSameNameExists",
                format!("A custom role with the same name already exists in this directory. Use a different name: '{}'.", definition.name),
            ));
        }
        state.definitions.insert(guid, definition.clone());
        Ok(())
    })?;
    Ok(Response::json(StatusCode::CREATED, &definition_shown(cx, &definition)))
}

fn delete_definition(cx: &Cx<'_>, guid: Uuid) -> Answer {
    let removed = cx.cloud.rbac.change(|state| {
        if state.assignments.values().any(|assignment| assignment.role == guid) {
            return Err(ArmError::new(
                400,
                "RoleDefinitionHasAssignments",
                "There are existing role assignments referencing role (code: RoleDefinitionHasAssignments).",
            ));
        }
        Ok(state.definitions.remove(&guid))
    })?;
    Ok(match removed {
        Some(definition) => Response::json(StatusCode::OK, &definition_shown(cx, &definition)),
        None => Response::empty(StatusCode::NO_CONTENT),
    })
}

/// `$filter`: `roleName eq 'NAME'`, `type eq 'BuiltInRole'|'CustomRole'`, `atScopeAndBelow()`, joined by `and`.
fn list_definitions(cx: &Cx<'_>) -> Answer {
    let mut name = None;
    let mut builtin = true;
    let mut custom = true;
    let filter = cx.request.query.value("$filter").unwrap_or_default();
    for term in filter.split(" and ").map(str::trim).filter(|term| !term.is_empty()) {
        let quoted =
            |prefix: &str| term.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('\''));
        match (quoted("roleName eq '"), quoted("type eq '")) {
            (Some(wanted), _) => name = Some(wanted.to_owned()),
            (_, Some("BuiltInRole")) => custom = false,
            (_, Some("CustomRole")) => builtin = false,
            _ if term == "atScopeAndBelow()" => {}
            _ => {
                return Err(ArmError::new(400, "BadRequestFormat", "The filter is not supported."));
            }
        }
    }
    let own: Vec<Definition> =
        cx.cloud.rbac.read(|state| state.definitions.values().cloned().collect());
    let all = rbac::builtin().values().filter(|_| builtin).chain(own.iter().filter(|_| custom));
    let fits = |definition: &&Definition| {
        name.as_ref().is_none_or(|name| definition.name.eq_ignore_ascii_case(name))
    };
    page::page(
        cx.request,
        all.filter(fits).map(|definition| definition_shown(cx, definition)).collect(),
    )
}

fn definition_shown(cx: &Cx<'_>, definition: &Definition) -> Value {
    let custom = !rbac::builtin().contains_key(&definition.guid);
    let subscription = subscription_id(cx.cloud.settings.subscription);
    json!({
        "id": format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{}", definition.guid),
        "name": definition.guid,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": definition.name,
            "type": if custom { "CustomRole" } else { "BuiltInRole" },
            "description": definition.description,
            "assignableScopes": definition.assignable_scopes,
            "permissions": [{
                "actions": definition.actions,
                "notActions": definition.not_actions,
                "dataActions": definition.data_actions,
                "notDataActions": definition.not_data_actions,
            }],
        },
    })
}

pub(super) fn no_definition(id: &str) -> ArmError {
    ArmError::new(
        404,
        "RoleDefinitionDoesNotExist",
        format!(
            "The specified role definition with ID '{}' does not exist.",
            id.rsplit('/').next().unwrap_or(id)
        ),
    )
}
