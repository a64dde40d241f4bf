//! Lists in pages with `nextLink`.

use http::StatusCode;
use serde_json::{Value, json};

use super::error::{Answer, ArmError};
use crate::core::{Request, Response};

/// How many items a page holds unless `$top` says less.
const MOST: usize = 20;

/// One page of `items`, with a link to the next.
pub(super) fn page(request: &Request, items: Vec<Value>) -> Answer {
    let number = |name: &str| match request.query.value(name) {
        None => Ok(None),
        Some(text) => text.parse::<usize>().map(Some).map_err(|_| {
            ArmError::new(
                400,
                "InvalidQueryParameter",
                format!("The value of the query parameter '{name}' is invalid."),
            )
        }),
    };
    let from = number("$skiptoken")?.unwrap_or(0);
    let most = number("$top")?.unwrap_or(MOST).clamp(1, MOST);
    let total = items.len();
    let shown: Vec<Value> = items.into_iter().skip(from).take(most).collect();
    let next = from.saturating_add(most);
    let mut body = json!({ "value": shown });
    if let (true, Some(body)) = (next < total, body.as_object_mut()) {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in
            request.query.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("$skiptoken"))
        {
            query.append_pair(name, value);
        }
        query.append_pair("$skiptoken", &next.to_string());
        let link = format!("https://{}{}?{}", request.host, request.path, query.finish());
        body.insert("nextLink".to_owned(), Value::String(link));
    }
    Ok(Response::json(StatusCode::OK, &body))
}
