//! "Blob Batch": up to 256 deletions in one request, each authorized on its own.
//!
//! Only Delete Blob is taken; Set Blob Tier inside a batch is refused.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::error::BlobError;
use crate::core::{Query, Request, Response};

/// One part: its `Content-ID` and the request inside.
#[derive(Debug)]
pub(super) struct Part {
    pub id: String,
    pub request: Request,
}

/// The requests inside a batch.
pub(super) fn parse(outer: &Request) -> Result<Vec<Part>, BlobError> {
    let boundary = outer
        .header("content-type")
        .and_then(|value| value.strip_prefix("multipart/mixed"))
        .and_then(|rest| rest.split_once("boundary="))
        .map(|(_, boundary)| boundary.trim().trim_matches('"'))
        .filter(|boundary| !boundary.is_empty())
        .ok_or_else(|| super::error::invalid_header("Content-Type"))?;
    let body = std::str::from_utf8(&outer.body).map_err(|_| invalid())?;
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    for piece in body.split(delimiter.as_str()).skip(1) {
        if piece.starts_with("--") {
            return Ok(parts);
        }
        if parts.len() == MOST {
            return Err(invalid());
        }
        parts.push(part(piece, outer)?);
    }
    Err(invalid())
}

/// The answer to a batch from the answers to its parts.
pub(super) fn response(request_id: uuid::Uuid, parts: &[(String, Response)]) -> Response {
    let boundary = format!("batchresponse_{request_id}");
    let mut body = Vec::new();
    for (id, part) in parts {
        let reason = part.status.canonical_reason().unwrap_or("Unknown");
        body.extend_from_slice(
            format!(
                "--{boundary}\r\nContent-Type: application/http\r\nContent-ID: {id}\r\n\r\nHTTP/1.1 {} {reason}\r\n",
                part.status.as_str()
            )
            .as_bytes(),
        );
        for (name, value) in part.headers.iter() {
            body.extend_from_slice(format!("{name}: ").as_bytes());
            body.extend_from_slice(value.as_bytes());
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("Content-Length: {}\r\n\r\n", part.body.len()).as_bytes());
        body.extend_from_slice(&part.body);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Response::bytes(StatusCode::ACCEPTED, &format!("multipart/mixed; boundary={boundary}"), body)
}

fn part(piece: &str, outer: &Request) -> Result<Part, BlobError> {
    let (envelope, inner) = piece.split_once("\r\n\r\n").ok_or_else(invalid)?;
    let envelope = headers(envelope.trim_start_matches("\r\n"))?;
    let id =
        envelope.get("content-id").and_then(|value| value.to_str().ok()).ok_or_else(invalid)?;
    let (line, rest) = inner.split_once("\r\n").ok_or_else(invalid)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(invalid());
    };
    let rest = rest.split_once("\r\n\r\n").map_or(rest, |(head, _)| head);
    let (path, raw_query) = target.split_once('?').unwrap_or((target, ""));
    if !path.starts_with('/') {
        return Err(invalid());
    }
    let request = Request {
        method: Method::from_bytes(method.as_bytes()).map_err(|_| invalid())?,
        host: outer.host.clone(),
        path: path.to_owned(),
        query: Query::parse(raw_query),
        raw_query: raw_query.to_owned(),
        headers: headers(rest)?,
        body: Bytes::new(),
        id: outer.id,
    };
    Ok(Part { id: id.to_owned(), request })
}

fn headers(text: &str) -> Result<HeaderMap, BlobError> {
    let mut found = HeaderMap::new();
    for line in text.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(invalid)?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| invalid())?;
        let value = HeaderValue::try_from(value.trim()).map_err(|_| invalid())?;
        found.append(name, value);
    }
    Ok(found)
}

fn invalid() -> BlobError {
    BlobError::new(400, "InvalidInput", "One of the request inputs is not valid.")
}

const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn outer(body: &str) -> Request {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "multipart/mixed; boundary=batch_x".parse().unwrap());
        Request {
            method: Method::POST,
            host: "acct.blob.core.windows.net".to_owned(),
            path: "/c".to_owned(),
            query: Query::parse("restype=container&comp=batch"),
            raw_query: "restype=container&comp=batch".to_owned(),
            headers,
            body: Bytes::from(body.to_owned()),
            id: uuid::Uuid::nil(),
        }
    }

    #[test]
    fn reads_the_parts_that_the_object_store_client_writes() {
        let body = "--batch_x\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: 0\r\n\r\nDELETE /c/a%20b HTTP/1.1\r\nContent-Length: 0\r\nX-Ms-Version: 2023-11-03\r\nAuthorization: Bearer t\r\n\r\n\r\n--batch_x--\r\n";
        let parts = parse(&outer(body)).unwrap();
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].id, "0");
        assert_eq!(parts[0].request.path, "/c/a%20b");
        assert_eq!(parts[0].request.header("authorization"), Some("Bearer t"));
    }

    #[test]
    fn refuses_what_has_no_end() {
        assert_eq!(
            parse(&outer("--batch_x\r\nContent-ID: 0\r\n\r\nDELETE /c/a HTTP/1.1\r\n\r\n"))
                .unwrap_err()
                .code,
            "InvalidInput"
        );
        assert_eq!(parse(&outer("nothing")).unwrap_err().code, "InvalidInput");
    }
}
