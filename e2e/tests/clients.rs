//! Other people's clients of Vault against a deployed server, with an operator's token.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use e2e::cloud::wait_for;
use e2e::deployment::Deployment;
use e2e::peer;
use vaultrs::client::{Client as _, VaultClient, VaultClientSettingsBuilder};
use vaultrs::error::ClientError;
use vaultrs::kv2;

#[test]
fn peer_hvac_writes_reads_and_is_refused() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let mut command = peer::script("vault_hvac.py")?;
    command.envs(deployment.operator()?);
    let told = peer::run(command)?;
    let checked = told
        .lines()
        .last()
        .and_then(|line| line.strip_suffix(" calls checked")?.parse::<u32>().ok());
    ensure!(checked.is_some_and(|checked| checked > 30), "too little was checked:\n{told}");
    Ok(())
}

#[test]
fn vaultrs_writes_reads_lists_and_deletes() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let variables = deployment.operator()?;
    wait_for(async {
        let client = connect(&variables, variables.get("VAULT_TOKEN").context("no token")?)?;
        let told = client.lookup().await.context("lookup")?;
        ensure!(!told.policies.iter().any(|policy| policy == "root"), "{:?}", told.policies);

        let value = BTreeMap::from([("user".to_owned(), "u".to_owned())]);
        let made = kv2::set(&client, "secret", "vaultrs/db", &value).await.context("set")?;
        ensure!(made.version == 1, "{made:?}");
        let found: BTreeMap<String, String> =
            kv2::read(&client, "secret", "vaultrs/db").await.context("read")?;
        ensure!(found == value, "{found:?}");
        let names = kv2::list(&client, "secret", "vaultrs").await.context("list")?;
        ensure!(names == ["db"], "{names:?}");

        kv2::delete_latest(&client, "secret", "vaultrs/db").await.context("delete")?;
        let gone = kv2::read::<BTreeMap<String, String>>(&client, "secret", "vaultrs/db").await;
        ensure!(status(&gone) == Some(404), "{gone:?}");
        kv2::delete_metadata(&client, "secret", "vaultrs/db").await.context("delete it all")?;

        // A token that nobody was given.
        let stranger = connect(&variables, "hvs.nobody")?;
        let refused =
            kv2::read::<BTreeMap<String, String>>(&stranger, "secret", "demo/db-password").await;
        ensure!(status(&refused) == Some(403), "{refused:?}");
        Ok(())
    })
}

fn connect(variables: &BTreeMap<String, String>, token: &str) -> anyhow::Result<VaultClient> {
    let settings = VaultClientSettingsBuilder::default()
        .address(variables.get("VAULT_ADDR").context("no address")?)
        .ca_certs(vec![variables.get("VAULT_CACERT").context("no authority")?.clone()])
        .token(token)
        .build()?;
    Ok(VaultClient::new(settings)?)
}

/// The HTTP status with which a call was refused; vaultrs has it in errors of two kinds.
fn status<T>(outcome: &Result<T, ClientError>) -> Option<u16> {
    match outcome {
        Ok(_) => None,
        Err(ClientError::APIError { code, .. }) => Some(*code),
        Err(other) => {
            let told = format!("{other:?}");
            told.split_once("ServerResponseError { code: ")?.1.split(',').next()?.parse().ok()
        }
    }
}
