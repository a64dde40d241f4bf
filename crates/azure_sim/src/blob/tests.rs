//! Operations over a fresh store, authorized already; authorization has tests of its own.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};

use super::*;
use crate::core::Query;

struct Bench {
    blobs: Blobs,
    folder: tempfile::TempDir,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bench = Self {
            blobs: Blobs::open(folder.path()).unwrap(),
            folder,
            now: "2026-11-22T04:00:00Z".parse().unwrap(),
        };
        assert_eq!(bench.call("PUT", "/ccc?restype=container", &[], "").status, 201);
        bench
    }

    fn call(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let (path, raw_query) = target.split_once('?').unwrap_or((target, ""));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let request = Request {
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            host: "acct.blob.core.windows.net".to_owned(),
            path: path.to_owned(),
            query: Query::parse(raw_query),
            raw_query: raw_query.to_owned(),
            headers: map,
            body: Bytes::from(body.to_owned()),
            id: uuid::Uuid::nil(),
        };
        let outcome = Target::parse(&request).and_then(|target| {
            let operation = Operation::parse(&request, &target)?;
            perform(&self.blobs, "acct", &request, &target, operation, self.now)
        });
        finish(&request, outcome, self.now).unwrap_or_else(|refused| refused)
    }

    fn put(&self, name: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let mut all = vec![("x-ms-blob-type", "BlockBlob")];
        all.extend_from_slice(headers);
        self.call("PUT", &format!("/ccc/{name}"), &all, body)
    }

    fn later(mut self, seconds: i64) -> Self {
        self.now += jiff::SignedDuration::from_secs(seconds);
        self
    }
}

fn outcome(response: &Response) -> (u16, &str) {
    let code = response.headers.get("x-ms-error-code").map_or("", |value| value.to_str().unwrap());
    (response.status.as_u16(), code)
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers.get(name).unwrap_or_else(|| panic!("{name}")).to_str().unwrap()
}

#[test]
fn a_blob_comes_back_as_it_was_put_also_after_a_restart() {
    let bench = Bench::new();
    let put =
        bench.put("a/b%20c", &[("content-type", "text/plain"), ("x-ms-meta-who", "me")], "hello");
    assert_eq!(outcome(&put), (201, ""));
    let reopened = Bench { blobs: Blobs::open(bench.folder.path()).unwrap(), ..bench };
    let got = reopened.call("GET", "/ccc/a/b%20c", &[], "");
    assert_eq!((got.status.as_u16(), &got.body[..]), (200, b"hello".as_slice()));
    assert_eq!(header(&got, "etag"), header(&put, "etag"));
    assert_eq!(header(&got, "content-type"), "text/plain");
    assert_eq!(header(&got, "x-ms-meta-who"), "me");
    let head = reopened.call("HEAD", "/ccc/a/b%20c", &[], "");
    assert_eq!((header(&head, "content-length"), head.body.len()), ("5", 0));
    let again = reopened.put("a/b%20c", &[], "again");
    assert_ne!(header(&again, "etag"), header(&put, "etag"), "tags stay unique over a restart");
}

#[test]
fn creates_only_if_absent_and_replaces_only_if_unchanged() {
    let bench = Bench::new();
    let first = bench.put("log/1", &[("if-none-match", "*")], "one");
    assert_eq!(outcome(&first), (201, ""));
    assert_eq!(
        outcome(&bench.put("log/1", &[("if-none-match", "*")], "two")),
        (409, "BlobAlreadyExists")
    );
    let etag = header(&first, "etag").to_owned();
    assert_eq!(outcome(&bench.put("log/1", &[("if-match", &etag)], "two")), (201, ""));
    assert_eq!(
        outcome(&bench.put("log/1", &[("if-match", &etag)], "three")),
        (412, "ConditionNotMet")
    );
    assert_eq!(bench.call("GET", "/ccc/log/1", &[], "").body, "two");
    assert_eq!(
        outcome(&bench.call("DELETE", "/ccc/log/1", &[("if-match", &etag)], "")),
        (412, "ConditionNotMet")
    );
    assert_eq!(outcome(&bench.call("DELETE", "/ccc/log/1", &[], "")), (202, ""));
    assert_eq!(outcome(&bench.call("DELETE", "/ccc/log/1", &[], "")), (404, "BlobNotFound"));
}

#[test]
fn refusals_carry_the_envelope_of_the_service() {
    let bench = Bench::new();
    let missing = bench.call("GET", "/ccc/none", &[], "");
    assert_eq!(
        std::str::from_utf8(&missing.body).unwrap(),
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>BlobNotFound</Code><Message>The specified blob does not exist.\nRequestId:00000000-0000-0000-0000-000000000000\nTime:2026-11-22T04:00:00.0000000Z</Message></Error>"
    );
    assert_eq!(bench.call("HEAD", "/ccc/none", &[], "").body.len(), 0);
    assert_eq!(outcome(&bench.call("GET", "/other/none", &[], "")), (404, "ContainerNotFound"));
    assert_eq!(
        outcome(&bench.call("PUT", "/C?restype=container", &[], "")),
        (400, "InvalidResourceName")
    );
    assert_eq!(
        outcome(&bench.call("PUT", "/c?restype=container", &[], "")),
        (400, "InvalidResourceName"),
        "too short"
    );
}

#[test]
fn answers_ranges() {
    let bench = Bench::new();
    bench.put("b", &[], "0123456789");
    let check = |range: &str| {
        let got = bench.call("GET", "/ccc/b", &[("range", range)], "");
        let shown =
            got.headers.get("content-range").map_or("", |value| value.to_str().unwrap()).to_owned();
        (got.status.as_u16(), shown)
    };
    assert_eq!(check("bytes=2-4"), (206, "bytes 2-4/10".to_owned()));
    assert_eq!(check("bytes=8-99"), (206, "bytes 8-9/10".to_owned()));
    assert_eq!(check("bytes=8-"), (206, "bytes 8-9/10".to_owned()));
    assert_eq!(check("bytes=10-"), (416, String::new()));
}

#[test]
fn lists_by_pages_and_by_delimiter() {
    let bench = Bench::new();
    for name in ["a", "log/1", "log/2", "log/3", "z"] {
        bench.put(name, &[], "x");
    }
    let list = |query: &str| {
        let got = bench.call("GET", &format!("/ccc?restype=container&comp=list{query}"), &[], "");
        assert_eq!(got.status, 200);
        let text = String::from_utf8(got.body.to_vec()).unwrap();
        let names: Vec<String> = text
            .split("<Name>")
            .skip(1)
            .map(|rest| rest.split('<').next().unwrap().to_owned())
            .collect();
        let marker = text
            .split("<NextMarker>")
            .nth(1)
            .map(|rest| rest.split('<').next().unwrap().to_owned());
        (names.join(" "), marker)
    };
    assert_eq!(list("").0, "a log/1 log/2 log/3 z");
    assert_eq!(list("&delimiter=%2F").0, "a log/ z");
    assert_eq!(list("&prefix=log%2F").0, "log/1 log/2 log/3");
    assert_eq!(list("&startFrom=log%2F2").0, "log/2 log/3 z");
    let (first, marker) = list("&maxresults=2");
    assert_eq!(first, "a log/1");
    let (second, marker) = list(&format!("&maxresults=2&marker={}", marker.unwrap()));
    assert_eq!(second, "log/2 log/3");
    let (third, marker) = list(&format!("&maxresults=2&marker={}", marker.unwrap()));
    assert_eq!((third.as_str(), marker), ("z", None));
    let (grouped, marker) = list("&delimiter=%2F&maxresults=1");
    assert_eq!(grouped, "a");
    assert_eq!(list(&format!("&delimiter=%2F&maxresults=1&marker={}", marker.unwrap())).0, "log/");
}

#[test]
fn commits_blocks_in_the_order_of_the_list() {
    let bench = Bench::new();
    let block = |id: &str, body: &str| {
        bench.call("PUT", &format!("/ccc/b?comp=block&blockid={id}"), &[], body).status.as_u16()
    };
    assert_eq!((block("YQ%3D%3D", "one"), block("Yg%3D%3D", "two")), (201, 201));
    assert_eq!(
        outcome(&bench.call("GET", "/ccc/b", &[], "")),
        (404, "BlobNotFound"),
        "nothing before the list"
    );
    let commit = |list: &str| {
        bench.call("PUT", "/ccc/b?comp=blocklist", &[], &format!("<BlockList>{list}</BlockList>"))
    };
    assert_eq!(outcome(&commit("<Latest>Yw==</Latest>")), (400, "InvalidBlockList"));
    assert_eq!(outcome(&commit("<Latest>Yg==</Latest><Uncommitted>YQ==</Uncommitted>")), (201, ""));
    assert_eq!(bench.call("GET", "/ccc/b", &[], "").body, "twoone");
    assert_eq!(outcome(&commit("<Committed>YQ==</Committed>")), (201, ""));
    assert_eq!(bench.call("GET", "/ccc/b", &[], "").body, "one");
}

#[test]
fn a_lease_keeps_others_from_writing_until_it_ends() {
    let bench = Bench::new();
    bench.put("lock", &[], "");
    let id = "9e0d4bb8-4f5a-4f0f-9a3e-000000000001";
    let acquire = [
        ("x-ms-lease-action", "acquire"),
        ("x-ms-lease-duration", "15"),
        ("x-ms-proposed-lease-id", id),
    ];
    let taken = bench.call("PUT", "/ccc/lock?comp=lease", &acquire, "");
    assert_eq!((taken.status.as_u16(), header(&taken, "x-ms-lease-id")), (201, id));
    let other = [("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "-1")];
    assert_eq!(
        outcome(&bench.call("PUT", "/ccc/lock?comp=lease", &other, "")),
        (409, "LeaseAlreadyPresent")
    );
    assert_eq!(outcome(&bench.put("lock", &[], "x")), (412, "LeaseIdMissing"));
    assert_eq!(outcome(&bench.call("DELETE", "/ccc/lock", &[], "")), (412, "LeaseIdMissing"));
    assert_eq!(outcome(&bench.put("lock", &[("x-ms-lease-id", id)], "x")), (201, ""));
    let reopened = Bench { blobs: Blobs::open(bench.folder.path()).unwrap(), ..bench };
    assert_eq!(
        outcome(&reopened.put("lock", &[], "y")),
        (412, "LeaseIdMissing"),
        "the lease outlives a restart"
    );
    let bench = reopened.later(15);
    assert_eq!(outcome(&bench.put("lock", &[("x-ms-lease-id", id)], "z")), (412, "LeaseLost"));
    assert_eq!(outcome(&bench.put("lock", &[], "z")), (201, ""));
}

#[test]
fn a_leased_container_is_not_deleted() {
    let bench = Bench::new();
    let acquire = [("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "-1")];
    let taken = bench.call("PUT", "/ccc?restype=container&comp=lease", &acquire, "");
    let id = header(&taken, "x-ms-lease-id");
    assert_eq!(
        outcome(&bench.call("DELETE", "/ccc?restype=container", &[], "")),
        (412, "LeaseIdMissing")
    );
    assert_eq!(
        delete_container(&bench.blobs, "acct", "ccc", bench.now).unwrap_err().0,
        "LeaseIdMissing"
    );
    assert_eq!(
        outcome(&bench.call("DELETE", "/ccc?restype=container", &[("x-ms-lease-id", id)], "")),
        (202, "")
    );
}
