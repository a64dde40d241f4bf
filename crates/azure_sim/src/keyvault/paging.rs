//! Lists in pages (azure.md C.6): `maxresults` 1–25, `nextLink` with a `$skiptoken`.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::access::Access;
use super::errors::bad;
use crate::core::Response;
use crate::core::encoding::{b64url, from_b64url};

/// One page of items that are sorted by their marker.
pub(super) fn page(
    access: &Access<'_>,
    path: &str,
    items: impl Iterator<Item = (String, Map<String, Value>)>,
) -> Result<Response, Response> {
    let query = &access.request.query;
    let size = match query.value("maxresults") {
        None => 25,
        // The text is ours.
        Some(text) => {
            text.parse::<usize>().ok().filter(|size| (1..=25).contains(size)).ok_or_else(|| {
                bad(&format!(
                    "The value of maxresults ({text}) is not valid; it must be between 1 and 25."
                ))
            })?
        }
    };
    let after = query.value("$skiptoken").map(marker).transpose()?;
    let mut rest =
        items.skip_while(|(name, _)| after.as_ref().is_some_and(|after| name <= after)).peekable();
    let (mut values, mut last) = (Vec::new(), String::new());
    while values.len() < size {
        let Some((name, item)) = rest.next() else { break };
        values.push(Value::Object(item));
        last = name;
    }
    let next = rest.peek().map(|_| {
        let token = b64url(json!({"NextMarker": last, "TargetLocation": 0}).to_string());
        format!(
            "{}:443{path}?api-version={}&$skiptoken={token}&maxresults={size}",
            access.base(),
            access.version.as_str()
        )
    });
    Ok(Response::json(StatusCode::OK, &json!({"value": values, "nextLink": next})))
}

fn marker(token: &str) -> Result<String, Response> {
    from_b64url(token)
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        .and_then(|json| json.get("NextMarker")?.as_str().map(str::to_owned))
        .ok_or_else(|| bad("The $skiptoken is not valid."))
}
