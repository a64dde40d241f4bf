//! Requests through the dispatcher against a cloud in a temporary folder.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::testing::{Bench, code};

const G: &str = "api-version=2021-04-01";
const KV: &str = "api-version=2025-05-01";

async fn bench() -> (Bench, String) {
    let bench = Bench::new();
    let group = format!("{}/resourceGroups/g", bench.subscription());
    let (status, _) = bench
        .arm(
            "PUT",
            &format!("{group}?{G}"),
            json!({ "location": "West Europe", "tags": { "a": "b" } }),
        )
        .await;
    assert_eq!(status, 201);
    (bench, group)
}

fn vault(extra: Value) -> Value {
    let mut properties = json!({
        "tenantId": crate::core::cloud::TENANT,
        "sku": { "family": "A", "name": "premium" },
        "enableRbacAuthorization": true,
        "softDeleteRetentionInDays": 7,
    });
    for (name, value) in extra.as_object().unwrap() {
        properties[name] = value.clone();
    }
    json!({ "location": "westeurope", "properties": properties })
}

#[tokio::test]
async fn refuses_callers_without_token_version_or_role() {
    let (bench, group) = bench().await;
    let url = format!("https://management.azure.com{group}?{G}");
    let missing = bench.send("GET", &url, &[], "").await;
    assert_eq!(missing.status, 401);
    assert!(missing.headers.contains_key("www-authenticate"));
    let foreign = format!("Bearer {}", bench.token(bench.admin, "https://vault.azure.net"));
    let foreign = bench.send("GET", &url, &[("authorization", &foreign)], "").await;
    assert!(
        std::str::from_utf8(&foreign.body).unwrap().contains("InvalidAuthenticationTokenAudience")
    );
    let nobody =
        bench.arm_as(Uuid::from_u128(9), "GET", &format!("{group}?{G}"), Value::Null).await;
    assert_eq!((nobody.0, code(&nobody.1)), (403, "AuthorizationFailed"));
    assert_eq!(code(&bench.arm("GET", &group, Value::Null).await.1), "MissingApiVersionParameter");
    assert_eq!(
        code(&bench.arm("GET", &format!("{group}?api-version=1999-01-01"), Value::Null).await.1),
        "NoRegisteredProviderFound"
    );
    let other = format!("/subscriptions/{}/resourceGroups/g?{G}", Uuid::from_u128(3));
    assert_eq!(code(&bench.arm("GET", &other, Value::Null).await.1), "SubscriptionNotFound");
}

#[tokio::test]
async fn groups_are_made_changed_listed_and_deleted_with_what_is_in_them() {
    let (bench, group) = bench().await;
    let at = |path: &str| format!("{path}?{G}");
    assert_eq!(bench.arm("HEAD", &at(&group), Value::Null).await.0, 204);
    assert_eq!(
        bench
            .arm(
                "GET",
                &at(&group.to_uppercase().replace("/SUBSCRIPTIONS", "/subscriptions")),
                Value::Null
            )
            .await
            .0,
        200
    );
    let moved = bench.arm("PUT", &at(&group), json!({ "location": "northeurope" })).await;
    assert_eq!((moved.0, code(&moved.1)), (409, "InvalidResourceGroupLocation"));
    let patched = bench.arm("PATCH", &at(&group), json!({ "tags": { "c": "d" } })).await;
    assert_eq!((patched.0, &patched.1["tags"]), (200, &json!({ "c": "d" })));
    let id = format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mine");
    let (status, identity) = bench
        .arm("PUT", &format!("{id}?api-version=2023-01-31"), json!({ "location": "westeurope" }))
        .await;
    assert_eq!(status, 201);
    assert!(identity["id"].as_str().unwrap().contains("/resourcegroups/"));
    assert!(identity["properties"]["principalId"].as_str().unwrap().parse::<Uuid>().is_ok());
    assert_eq!(bench.cloud.inventory.read(|facts| facts.identities.len()), 1);
    assert_eq!(bench.arm("DELETE", &at(&group), Value::Null).await.0, 200);
    assert_eq!(bench.arm("HEAD", &at(&group), Value::Null).await.0, 404);
    assert_eq!(bench.cloud.inventory.read(|facts| facts.identities.len()), 0);
    let gone = bench.arm("GET", &format!("{id}?api-version=2023-01-31"), Value::Null).await;
    assert_eq!((gone.0, code(&gone.1)), (404, "ResourceGroupNotFound"));
}

#[tokio::test]
async fn lists_go_on_in_pages() {
    let (bench, _) = bench().await;
    for number in 0..22 {
        let group = format!("{}/resourceGroups/n{number}?{G}", bench.subscription());
        bench.arm("PUT", &group, json!({ "location": "westeurope" })).await;
    }
    let (_, first) = bench
        .arm("GET", &format!("{}/resourcegroups?{G}", bench.subscription()), Value::Null)
        .await;
    assert_eq!(first["value"].as_array().unwrap().len(), 20);
    let (_, second) = bench.arm("GET", first["nextLink"].as_str().unwrap(), Value::Null).await;
    assert_eq!(second["value"].as_array().unwrap().len(), 3);
    assert!(second.get("nextLink").is_none());
}

#[tokio::test]
async fn a_vault_keeps_its_promises() {
    let (bench, group) = bench().await;
    let id = format!("{group}/providers/Microsoft.KeyVault/vaults/Vault-1");
    let put = async |body: Value| bench.arm("PUT", &format!("{id}?{KV}"), body).await;
    let (status, made) = put(vault(json!({ "enablePurgeProtection": true }))).await;
    assert_eq!(status, 200, "{made}");
    assert_eq!(made["properties"]["vaultUri"], "https://vault-1.vault.azure.net/");
    let facts = bench.cloud.inventory.read(|facts| facts.vaults.get("vault-1").cloned()).unwrap();
    assert!(facts.premium && facts.purge_protection && facts.rbac && facts.public);
    for (change, expected) in [
        (json!({ "softDeleteRetentionInDays": 8 }), "BadRequest"),
        (json!({ "enablePurgeProtection": false }), "BadRequest"),
        (json!({ "enableSoftDelete": false }), "BadRequest"),
        (json!({ "accessPolicies": [{}] }), "BadRequest"),
        (json!({ "tenantId": Uuid::from_u128(1) }), "BadRequest"),
        (json!({ "misspelt": true }), "InvalidRequestContent"),
    ] {
        let (status, refused) = put(vault(change.clone())).await;
        assert_eq!((status, code(&refused)), (400, expected), "{change}");
    }
    let (_, kept) = put(vault(json!({}))).await;
    assert_eq!(kept["properties"]["enablePurgeProtection"], true, "absent means unchanged");
    let other = format!("{}/resourceGroups/h", bench.subscription());
    bench.arm("PUT", &format!("{other}?{G}"), json!({ "location": "westeurope" })).await;
    let elsewhere = format!("{other}/providers/Microsoft.KeyVault/vaults/VAULT-1?{KV}");
    assert_eq!(code(&bench.arm("PUT", &elsewhere, vault(json!({}))).await.1), "VaultAlreadyExists");
}

#[tokio::test]
async fn a_deleted_vault_is_recovered_or_purged() {
    let (bench, group) = bench().await;
    let id = format!("{group}/providers/Microsoft.KeyVault/vaults/v-one");
    let url = format!("{id}?{KV}");
    bench.arm("PUT", &url, vault(json!({}))).await;
    assert_eq!(bench.arm("DELETE", &url, Value::Null).await.0, 200);
    assert!(bench.cloud.inventory.read(|facts| facts.vaults.is_empty()));
    let bench = bench.reopen();
    let deleted = format!(
        "{}/providers/Microsoft.KeyVault/locations/westeurope/deletedVaults/v-one",
        bench.subscription()
    );
    let (status, shown) = bench.arm("GET", &format!("{deleted}?{KV}"), Value::Null).await;
    assert_eq!((status, shown["properties"]["vaultId"].as_str().unwrap()), (200, id.as_str()));
    assert_eq!(code(&bench.arm("PUT", &url, vault(json!({}))).await.1), "ConflictError");
    let recover = json!({ "createMode": "recover", "enablePurgeProtection": true });
    assert_eq!(bench.arm("PUT", &url, vault(recover)).await.0, 200);
    assert_eq!(bench.arm("GET", &format!("{deleted}?{KV}"), Value::Null).await.0, 404);
    bench.arm("DELETE", &url, Value::Null).await;
    assert_eq!(bench.arm("POST", &format!("{deleted}/purge?{KV}"), Value::Null).await.0, 200);
    assert_eq!(
        bench.arm("PUT", &url, vault(json!({ "enablePurgeProtection": true }))).await.0,
        200
    );
    bench.arm("DELETE", &url, Value::Null).await;
    let refused = bench.arm("POST", &format!("{deleted}/purge?{KV}"), Value::Null).await;
    assert_eq!((refused.0, code(&refused.1)), (405, "MethodNotAllowed"));
}

#[tokio::test]
async fn roles_conflict_as_the_service_says() {
    let (bench, group) = bench().await;
    let role = "08bbd89e-9f13-488c-ac41-acfcb10c90ab";
    let principal = Uuid::from_u128(5);
    let put = async |name: u128, scope: &str, properties: Value| {
        let name = Uuid::from_u128(name);
        let url = format!(
            "{scope}/providers/Microsoft.Authorization/roleAssignments/{name}?api-version=2022-04-01"
        );
        let (status, body) = bench.arm("PUT", &url, json!({ "properties": properties })).await;
        (status, code(&body).to_owned())
    };
    let good = json!({
        "roleDefinitionId": format!("{}/providers/Microsoft.Authorization/roleDefinitions/{role}", bench.subscription()),
        "principalId": principal,
        "principalType": "ServicePrincipal",
    });
    let with = |name: &str, value: Value| {
        let mut changed = good.clone();
        changed[name] = value;
        changed
    };
    assert_eq!(put(1, &group, good.clone()).await, (201, String::new()));
    assert_eq!(put(1, &group, good.clone()).await, (200, String::new()));
    assert_eq!(put(2, &group, good.clone()).await, (409, "RoleAssignmentExists".to_owned()));
    assert_eq!(
        put(1, &group, with("principalId", json!(Uuid::from_u128(6)))).await,
        (400, "RoleAssignmentUpdateNotPermitted".to_owned())
    );
    assert_eq!(
        put(3, &group, with("principalType", Value::Null)).await,
        (400, "PrincipalNotFound".to_owned())
    );
    assert_eq!(
        put(4, &group, with("roleDefinitionId", json!(Uuid::from_u128(7)))).await,
        (404, "RoleDefinitionDoesNotExist".to_owned())
    );
    let absent = format!("{group}/providers/Microsoft.KeyVault/vaults/none");
    assert_eq!(put(5, &absent, good.clone()).await, (404, "ResourceNotFound".to_owned()));
    let list = format!(
        "{group}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=principalId%20eq%20'{principal}'"
    );
    let (_, found) = bench.arm("GET", &list, Value::Null).await;
    assert_eq!(found["value"].as_array().unwrap().len(), 1);
    let url = format!(
        "{group}/providers/Microsoft.Authorization/roleAssignments/{}?api-version=2022-04-01",
        Uuid::from_u128(1)
    );
    assert_eq!(bench.arm("DELETE", &url, Value::Null).await.0, 200);
    assert_eq!(bench.arm("DELETE", &url, Value::Null).await.0, 204);
    assert_eq!(code(&bench.arm("GET", &url, Value::Null).await.1), "RoleAssignmentNotFound");
}

#[tokio::test]
async fn a_custom_role_permits_what_it_says() {
    let (bench, group) = bench().await;
    let guid = Uuid::from_u128(77);
    let definition = |scope: &str| {
        format!(
            "{scope}/providers/Microsoft.Authorization/roleDefinitions/{guid}?api-version=2022-04-01"
        )
    };
    let body = json!({ "properties": {
        "roleName": "Group reader", "type": "CustomRole",
        "permissions": [{ "actions": ["Microsoft.Resources/subscriptions/resourceGroups/read"], "notActions": [], "dataActions": [], "notDataActions": [] }],
        "assignableScopes": [bench.subscription()],
    } });
    let url = definition(&bench.subscription());
    assert_eq!(bench.arm("PUT", &url, body.clone()).await.0, 201);
    let same_name = url.replace(&guid.to_string(), &Uuid::from_u128(78).to_string());
    assert_eq!(
        code(&bench.arm("PUT", &same_name, body).await.1),
        "RoleDefinitionWithSameNameExists"
    );
    let reader = Uuid::from_u128(5);
    let assignment = format!(
        "{group}/providers/Microsoft.Authorization/roleAssignments/{}?api-version=2022-04-01",
        Uuid::from_u128(1)
    );
    let role = json!({ "properties": { "roleDefinitionId": url.split('?').next(), "principalId": reader, "principalType": "ServicePrincipal" } });
    assert_eq!(bench.arm("PUT", &assignment, role).await.0, 201);
    assert_eq!(bench.arm_as(reader, "GET", &format!("{group}?{G}"), Value::Null).await.0, 200);
    assert_eq!(bench.arm_as(reader, "DELETE", &format!("{group}?{G}"), Value::Null).await.0, 403);
    assert_eq!(
        code(&bench.arm("DELETE", &url, Value::Null).await.1),
        "RoleDefinitionHasAssignments"
    );
    let (_, named) = bench.arm("GET", &format!("{}/providers/Microsoft.Authorization/roleDefinitions?api-version=2022-04-01&$filter=roleName%20eq%20'AcrPull'", bench.subscription()), Value::Null).await;
    assert_eq!(named["value"][0]["name"], "7f951dda-4ed3-4680-a7ca-43fe172d538d");
}

#[tokio::test]
async fn an_attestation_provider_is_isolated_by_its_first_certificates_only() {
    let (bench, group) = bench().await;
    let url = |name: &str| {
        format!(
            "{group}/providers/Microsoft.Attestation/attestationProviders/{name}?api-version=2021-06-01"
        )
    };
    let pem = forged_root::signer(forged_root::SignerName::First).certificate_pem;
    let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let keys = json!({ "keys": [{ "kty": "RSA", "alg": "RS256", "use": "sig", "x5c": [der] }] });
    let body =
        json!({ "location": "westeurope", "properties": { "policySigningCertificates": keys } });
    let (status, made) = bench.arm("PUT", &url("isolated"), body.clone()).await;
    assert_eq!((status, &made["properties"]["trustModel"]), (201, &json!("Isolated")), "{made}");
    assert_eq!(made["properties"]["attestUri"], "https://isolated.weu.attest.azure.net");
    assert_eq!(
        bench.cloud.inventory.read(|facts| facts.providers["isolated.weu.attest.azure.net"]
            .policy_signing_certificates
            .len()),
        1
    );
    assert_eq!(bench.arm("PUT", &url("isolated"), body).await.0, 200, "the same again");
    let other = forged_root::signer(forged_root::SignerName::Second).certificate_der();
    let other = json!({ "keys": [{ "kty": "RSA", "x5c": [crate::core::encoding::b64(other)] }] });
    let other =
        json!({ "location": "westeurope", "properties": { "policySigningCertificates": other } });
    assert_eq!(bench.arm("PUT", &url("isolated"), other).await.0, 400);
    assert_eq!(
        bench
            .arm("PUT", &url("isolated"), json!({ "location": "westeurope", "tags": { "x": "y" } }))
            .await
            .0,
        200
    );
    let plain = bench
        .arm("PUT", &url("plain"), json!({ "location": "westeurope", "properties": {} }))
        .await;
    assert_eq!(plain.1["properties"]["trustModel"], "AAD");
    let bad = json!({ "keys": [{ "kty": "RSA", "x5c": ["AAAA"] }] });
    let bad =
        json!({ "location": "westeurope", "properties": { "policySigningCertificates": bad } });
    assert_eq!(bench.arm("PUT", &url("bad"), bad).await.0, 400);
    assert_eq!(bench.arm("DELETE", &url("isolated"), Value::Null).await.0, 200);
    assert!(
        bench
            .cloud
            .inventory
            .read(|facts| !facts.providers.contains_key("isolated.weu.attest.azure.net"))
    );
}

#[tokio::test]
async fn accounts_workspaces_and_registries_are_made_by_operations() {
    let (bench, group) = bench().await;
    bench.with_account().await;
    let account = format!("{group}/providers/Microsoft.Storage/storageAccounts/acct");
    let keys = async |action: &str, body: Value| {
        bench.arm("POST", &format!("{account}/{action}?api-version=2023-05-01"), body).await.1
    };
    let before = keys("listKeys", Value::Null).await;
    let after = keys("regenerateKey", json!({ "keyName": "key2" })).await;
    assert_eq!(before["keys"][0]["value"], after["keys"][0]["value"]);
    assert_ne!(before["keys"][1]["value"], after["keys"][1]["value"]);
    let container = format!("{account}/blobServices/default/containers/box?api-version=2023-05-01");
    assert_eq!(bench.arm("PUT", &container, json!({ "properties": {} })).await.0, 201);
    assert_eq!(bench.arm("PUT", &container, json!({ "properties": {} })).await.0, 200);
    assert_eq!(
        bench.arm("GET", &container, Value::Null).await.1["properties"]["leaseState"],
        "Available"
    );
    let (status, shown) = bench
        .arm(
            "PATCH",
            &format!("{account}?api-version=2023-05-01"),
            json!({ "properties": { "allowSharedKeyAccess": false } }),
        )
        .await;
    assert_eq!((status, &shown["properties"]["allowSharedKeyAccess"]), (200, &json!(false)));

    let workspace = format!("{group}/providers/Microsoft.OperationalInsights/workspaces/logs");
    let (status, ended) = bench
        .arm(
            "PUT",
            &format!("{workspace}?api-version=2023-09-01"),
            json!({ "location": "westeurope" }),
        )
        .await;
    assert_eq!((status, &ended["status"]), (200, &json!("Succeeded")));
    let (_, shared) = bench
        .arm("POST", &format!("{workspace}/sharedKeys?api-version=2020-08-01"), Value::Null)
        .await;
    assert!(shared["primarySharedKey"].is_string());

    let registry = format!("{group}/providers/Microsoft.ContainerRegistry/registries/images");
    let body = json!({ "location": "westeurope", "sku": { "name": "Basic" }, "properties": { "adminUserEnabled": false } });
    let (status, made, response) =
        bench.arm_as(bench.admin, "PUT", &format!("{registry}?api-version=2023-07-01"), body).await;
    assert_eq!((status, &made["properties"]["provisioningState"]), (201, &json!("Creating")));
    assert!(
        response.headers.contains_key("azure-asyncoperation")
            && response.headers.contains_key("retry-after")
    );
    let (_, all) =
        bench.arm("GET", &format!("{group}/resources?api-version=2021-04-01"), Value::Null).await;
    assert_eq!(all["value"].as_array().unwrap().len(), 3);
}
