//! `env`: logs in as an operator at the verified server, and prints what a Vault client needs.

use jiff::Timestamp;
use manifest::{Name, Operator};
use serde_json::{Value, json};

use super::print;
use crate::apply::{address, expectation, is_confirmed, wait};
use crate::cli::Env;
use crate::commands::Scene;
use crate::failure::{Exit, Failure};
use crate::progress::Progress;
use crate::server::Proven;
use crate::{state, tls};

pub(super) async fn env(options: &Env, clock: fn() -> Timestamp) -> Result<Exit, Failure> {
    let scene = Scene::set(&options.target, clock).await?;
    let (deployment, rendered) = (&scene.deployment, &scene.rendered);
    let (proven, client_token) = log_in(options, &scene).await?;
    let client_token = client_token.as_str();
    let chain = deployment.tls_chain_path();
    state::write(&chain, &tls::chain_pem(&proven.chain()), 0o644)?;
    let server = match address(deployment, &scene.cloud, rendered).await? {
        Some(socket) => reachable(&scene, &socket.ip().to_string()),
        None => reachable(&scene, ""),
    };
    let chain = chain.display().to_string();
    let values =
        [("VAULT_ADDR", server.as_str()), ("VAULT_CACERT", &chain), ("VAULT_TOKEN", client_token)];
    if options.target.json {
        let object: serde_json::Map<String, Value> =
            values.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        print(&format!("{}\n", Value::Object(object)))?;
    } else {
        let lines = values.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value)));
        print(&lines.collect::<String>())?;
    }
    Ok(Exit::Done)
}

/// Verifies the server, and logs in there as an operator: the connection, and the token.
pub(super) async fn log_in(options: &Env, scene: &Scene) -> Result<(Proven, String), Failure> {
    let deployment = &scene.deployment;
    let (name, operator) = operator(options, scene)?;
    let scope = format!("{}/.default", operator.audience.as_str());
    let token = scene.cloud.credential.get_token(&[&scope], None).await.map_err(|error| {
        Failure::of(
            format!("getting a token for {}", operator.audience.as_str()),
            error,
            "check [operator] audience in the manifest, and --auth",
        )
    })?;
    let serial = deployment.lock()?.map_or(0, |lock| lock.serial);
    let expect = expectation(deployment, &scene.rendered, serial);
    let step = Progress::new().step("verify the server");
    let mut proven =
        wait(deployment, &scene.cloud, &scene.rendered, &expect, scene.clock, &step, is_confirmed)
            .await?;
    drop(step);
    let body = json!({ "role": name.as_str(), "jwt": token.token.secret() });
    let answer = proven.post("/v1/auth/jwt/login", &body).await.map_err(|error| {
        Failure::of(
            format!("logging in as {name}"),
            error,
            "check [operator] issuer, audience and claims against the token of --auth",
        )
    })?;
    let client_token = answer.pointer("/auth/client_token").and_then(Value::as_str);
    let client_token = client_token.ok_or_else(|| {
        Failure::new("the server's answer to the login has no token", "run again")
    })?;
    Ok((proven, client_token.to_owned()))
}

/// The name of the certificate at which clients find the server: its address if it is one of the names, else the first.
fn reachable(scene: &Scene, ip: &str) -> String {
    let names = &scene.deployment.manifest.tls().names;
    let by_ip = names.iter().find(|name| name.as_str() == ip);
    let name = by_ip.or_else(|| names.iter().next()).map_or(ip, |name| name.as_str());
    if name.contains(':') {
        format!("https://[{name}]:8200")
    } else {
        format!("https://{name}:8200")
    }
}

fn operator<'a>(options: &Env, scene: &'a Scene) -> Result<(&'a Name, &'a Operator), Failure> {
    let operators = scene.deployment.manifest.operator();
    let names = || operators.keys().map(Name::as_str).collect::<Vec<_>>().join(", ");
    match &options.operator {
        Some(wanted) => {
            let found = operators.iter().find(|(name, _)| name.as_str() == wanted);
            found.ok_or_else(|| {
                Failure::new(
                    format!("the manifest has no operator {wanted}"),
                    format!("one of {}", names()),
                )
            })
        }
        None => {
            let mut all = operators.iter();
            match (all.next(), all.next()) {
                (Some(only), None) => Ok(only),
                (None, _) => {
                    Err(Failure::new("the manifest has no operator", "add one: [operator.NAME]"))
                }
                (Some(_), Some(_)) => Err(Failure::new(
                    "the manifest has several operators",
                    format!("choose with --operator: {}", names()),
                )),
            }
        }
    }
}

/// For a POSIX shell.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_value_is_one_word_for_a_shell() {
        assert_eq!(super::quoted("it's"), r"'it'\''s'");
    }
}
