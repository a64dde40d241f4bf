//! Login by a token of an identity provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use forged_root::SignerName;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::identity_provider::{ISSUER, IdentityProvider, Says, token};
use super::world::{DEV, NOW, World, client};
use crate::auth::OidcKeys;

const LOGIN: &str = "/v1/auth/jwt/login";

fn header() -> Value {
    json!({"alg": "RS256", "kid": "one", "typ": "JWT"})
}

fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "aud": "api://vouchsafe-dev",
        "oid": "7e4a0000-0000-4000-8000-000000000002",
        "nbf": NOW.as_second(),
        "exp": NOW.as_second() + 60,
    })
}

async fn world(says: Says) -> (World, IdentityProvider) {
    let provider = IdentityProvider::start(says).await;
    (World::with(DEV, provider.keys()).await, provider)
}

async fn login(world: &World, jwt: &str) -> (u16, Value) {
    world.call("POST", LOGIN, None, Some(json!({"role": "dev", "jwt": jwt}))).await
}

#[tokio::test]
async fn an_operator_logs_in_and_works_with_the_token() {
    let (world, provider) = world(Says::default()).await;
    let jwt = token(SignerName::First, &header(), &claims());
    for _ in 0..2 {
        let (status, answer) = login(&world, &jwt).await;
        assert_eq!(status, 200, "{answer}");
        let auth = &answer["auth"];
        assert_eq!(auth["policies"], json!(["operator-dev"]));
        assert_eq!(auth["lease_duration"], json!(3600));
        let own = auth["client_token"].as_str();
        let path = "/v1/auth/token/lookup-self";
        assert_eq!(world.call("GET", path, own, None).await.0, 200);
    }
    assert_eq!(provider.asked.load(Ordering::SeqCst), 1, "the keys are remembered");
    let text = serde_json::to_string(&world.audit().await).unwrap();
    assert!(text.contains("login-jwt") && !text.contains(&jwt));
}

#[tokio::test]
async fn each_check_refuses_alone() {
    let (world, provider) = world(Says::default()).await;
    let changed = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        token(SignerName::First, &header(), &claims)
    };
    let headed = |header: Value| token(SignerName::First, &header, &claims());
    let good = token(SignerName::First, &header(), &claims());
    let cases = [
        (changed("iss", json!("https://login.microsoftonline.com/x/v2.0")), "claim iss"),
        (changed("aud", json!("api://other")), "claim aud"),
        (changed("aud", json!(["api://vouchsafe-dev"])), "claim aud"),
        (changed("oid", json!("8e4a0000-0000-4000-8000-000000000002")), "claim oid"),
        (changed("oid", json!(null)), "claim oid"),
        (changed("exp", json!(NOW.as_second())), "expired"),
        (changed("nbf", json!(NOW.as_second() + 61)), "not valid yet"),
        (token(SignerName::Stranger, &header(), &claims()), "signature"),
        (headed(json!({"alg": "RS384", "kid": "one"})), "algorithm"),
        (headed(json!({"alg": "none", "kid": "one"})), "algorithm"),
        (headed(json!({"alg": "RS256", "kid": "two"})), "no such key"),
        (good.replace('.', ".A"), "signature"),
        (format!("!{good}"), "malformed"),
    ];
    for (jwt, expected) in &cases {
        let (status, answer) = login(&world, jwt).await;
        assert!(matches!(status, 400 | 403), "{expected}: {status}");
        let reason = world.reason(&answer).await;
        assert!(reason.contains(expected), "{expected}: {reason}");
    }
    let body = json!({"role": "nobody", "jwt": good});
    assert_eq!(world.call("POST", LOGIN, None, Some(body)).await.0, 403);
    assert!(provider.asked.load(Ordering::SeqCst) <= 2, "unknown keys are not asked for often");
}

#[tokio::test]
async fn a_provider_that_says_something_else_is_not_believed() {
    let other = "https://login.microsoftonline.com/x/v2.0".to_owned();
    for says in [
        Says { issuer: other, ..Says::default() },
        Says { jwks_uri: "http://login.microsoftonline.com/keys".to_owned(), ..Says::default() },
        Says { jwks_uri: "https://example.com/keys".to_owned(), ..Says::default() },
        Says { jwks_uri: "https://login.microsoftonline.com:444/k".to_owned(), ..Says::default() },
    ] {
        let (world, provider) = world(says).await;
        let jwt = token(SignerName::First, &header(), &claims());
        assert_eq!(login(&world, &jwt).await.0, 503);
        assert_eq!(provider.asked.load(Ordering::SeqCst), 0);
    }
}

/// A server whose identity provider takes connections, counts them, and never says anything.
async fn without_answer(held: bool) -> (World, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let keys = OidcKeys::new(client(listener.local_addr().unwrap()));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    drop(tokio::spawn(async move {
        let mut sockets = Vec::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            sockets.extend(held.then_some(socket));
        }
    }));
    (World::with(DEV, keys).await, asked)
}

#[tokio::test]
async fn a_silent_provider_holds_up_one_login_only() {
    let (world, asked) = without_answer(true).await;
    let jwt = token(SignerName::First, &header(), &claims());
    let first = login(&world, &jwt);
    let others = async {
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for _ in 0..3 {
            let (status, answer) = login(&world, &jwt).await;
            assert_eq!(status, 503);
            assert!(world.reason(&answer).await.contains("not asked again yet"));
        }
    };
    tokio::select! {
        _ = first => panic!("the provider is silent"),
        () = others => {}
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_provider_that_fails_is_not_asked_again_at_once() {
    let (world, asked) = without_answer(false).await;
    let jwt = token(SignerName::First, &header(), &claims());
    assert_eq!(login(&world, &jwt).await.0, 503);
    let once = asked.load(Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(login(&world, &jwt).await.0, 503);
    }
    assert_eq!(asked.load(Ordering::SeqCst), once);
}
