//! What strangers can take from everyone else: nothing.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::super::reply::Reply;
use super::world::World;

/// A connection on which a request is under way, whose body does not come.
async fn slow(world: &World, from: [u8; 4], path: &str) -> TlsStream<TcpStream> {
    let mut stream = world.connect(from).await;
    let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    stream
}

/// The beginning of an answer, if it comes soon.
async fn status(stream: &mut TlsStream<TcpStream>) -> Option<String> {
    let mut answer = [0; 12];
    timeout(SOON, stream.read_exact(&mut answer)).await.ok()?.unwrap();
    Some(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn slow_bodies_keep_others_neither_of_this_address_nor_of_others_from_being_answered() {
    let world = World::new().await;
    let mut held = Vec::new();
    for address in 2..8 {
        for _ in 0..15 {
            held.push(slow(&world, [127, 0, 0, address], CHALLENGE).await);
        }
    }
    for address in [1, 2] {
        let mut stream = world.connect([127, 0, 0, address]).await;
        stream.write_all(b"GET /v1/sys/health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        assert_eq!(status(&mut stream).await.as_deref(), Some("HTTP/1.1 200"), "{address}");
    }
}

#[tokio::test]
async fn an_address_has_a_bounded_number_of_requests_under_way() {
    let world = World::new().await;
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(slow(&world, [127, 0, 0, 2], CHALLENGE).await);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let health = b"GET /v1/sys/health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut waits = world.connect([127, 0, 0, 2]).await;
    waits.write_all(health).await.unwrap();
    assert_eq!(status(&mut waits).await, None);
    let mut other = world.connect([127, 0, 0, 3]).await;
    other.write_all(health).await.unwrap();
    assert_eq!(status(&mut other).await.as_deref(), Some("HTTP/1.1 200"));
    // A share that is given back goes to who waits for it.
    held[0].write_all(b"not json!").await.unwrap();
    assert_eq!(status(&mut waits).await.as_deref(), Some("HTTP/1.1 200"));
}

#[tokio::test]
async fn who_tries_too_often_is_refused_before_a_body_is_read() {
    let world = World::new().await;
    for path in [CHALLENGE, "/vouchsafe/v1/attest", "/v1/auth/jwt/login", "/v1/secret/data/a", "/x"]
    {
        let mut found = None;
        // An attempt may come back meanwhile.
        for _ in 0..5 {
            while world.call("GET", "/x", None, None).await.0 != 429 {}
            let mut stream = slow(&world, [127, 0, 0, 1], path).await;
            found = status(&mut stream).await;
            if found.is_some() {
                break;
            }
        }
        assert_eq!(found.as_deref(), Some("HTTP/1.1 429"), "{path}");
    }
}

#[tokio::test]
async fn who_is_not_known_sends_no_large_body() {
    let world = World::new().await;
    let data = serde_json::json!({"data": {"x": "a".repeat(1 << 19)}});
    let path = "/v1/secret/data/a";
    assert_eq!(world.call("POST", path, None, Some(data.clone())).await.0, 400);
    let token = world.operator().await;
    assert_eq!(world.call("POST", path, Some(&token), Some(data)).await.0, 200);
}

#[tokio::test]
async fn an_address_has_a_bounded_number_of_connections() {
    let world = World::new().await;
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(world.connect([127, 0, 0, 2]).await);
    }
    let refused = TcpSocket::new_v4().unwrap();
    refused.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut refused = refused.connect(world.address).await.unwrap();
    assert_eq!(timeout(SOON, refused.read(&mut [0])).await.unwrap().unwrap(), 0);
    assert_eq!(world.call("GET", "/v1/sys/health", None, None).await.0, 200);
    drop(held);
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(world.connect([127, 0, 0, 2]).await);
}

#[tokio::test]
async fn a_request_is_under_way_until_its_answer_is_sent() {
    let semaphore = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
    let share = std::sync::Arc::clone(&semaphore).try_acquire_owned().unwrap();
    let answer = Reply::json(http::StatusCode::OK, &1).unwrap().into_response(share);
    assert_eq!(semaphore.available_permits(), 0);
    drop(answer);
    assert_eq!(semaphore.available_permits(), 1);
}

const CHALLENGE: &str = "/vouchsafe/v1/challenge";
const SOON: Duration = Duration::from_millis(1500);
