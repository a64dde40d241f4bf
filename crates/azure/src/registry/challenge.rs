//! The challenge of a registry: `WWW-Authenticate: Bearer realm="…",service="…",scope="…"` (RFC 9110 section 11.6.1,
//! RFC 6750 section 3).

/// What a registry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    /// Where tokens are.
    pub(super) realm: String,
    /// Whom they are for.
    pub(super) service: String,
    /// What they must allow.
    pub(super) scope: String,
}

/// Parses the one challenge of a header; parameters may be quoted, and come in any order.
pub(super) fn parse(header: &str) -> Option<Challenge> {
    let (scheme, mut rest) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (None, None, None);
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if rest.is_empty() {
            break;
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        let slot = match name.trim().to_ascii_lowercase().as_str() {
            "realm" => &mut realm,
            "service" => &mut service,
            "scope" => &mut scope,
            _ => &mut None,
        };
        *slot = Some(value.to_owned());
        rest = after;
    }
    Some(Challenge { realm: realm?, service: service?, scope: scope? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_parameters_in_any_order() {
        let expected = Some(Challenge {
            realm: "https://r.azurecr.io/oauth2/token".to_owned(),
            service: "r.azurecr.io".to_owned(),
            scope: "repository:a/b:pull,push".to_owned(),
        });
        for header in [
            r#"Bearer realm="https://r.azurecr.io/oauth2/token",service="r.azurecr.io",scope="repository:a/b:pull,push""#,
            r#"bearer service=r.azurecr.io, scope="repository:a/b:pull,push", error="invalid_token" ,realm="https://r.azurecr.io/oauth2/token""#,
        ] {
            assert_eq!(parse(header), expected, "{header}");
        }
    }

    #[test]
    fn refuses_what_is_no_bearer_challenge() {
        for header in [
            "",
            "Bearer",
            "Basic realm=\"x\"",
            r#"Bearer realm="x""#,
            r#"Bearer realm="x,service="y",scope="z""#,
            "Bearer realm",
        ] {
            assert_eq!(parse(header), None, "{header}");
        }
    }
}
