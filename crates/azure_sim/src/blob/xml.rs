//! The little XML that the blob service speaks: text written with escapes, and the one document that clients send (a block list).

/// Byte order mark and declaration, as the service sends them.
pub(super) const PROLOGUE: &str = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>";

/// Text with the five reserved characters escaped.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            other => out.push(other),
        }
    }
    out
}

/// One element with escaped text; empty text gives an empty element.
pub(super) fn element(name: &str, text: &str) -> String {
    if text.is_empty() {
        format!("<{name} />")
    } else {
        format!("<{name}>{}</{name}>", escape(text))
    }
}

/// Which list a committed block is taken from ("Put Block List", request body).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockSource {
    Committed,
    Uncommitted,
    Latest,
}

/// Block ids of a block list in order, or nothing if the document is not one.
/// Block ids are base64, so no entity can occur in them.
pub(super) fn block_list(document: &str) -> Option<Vec<(BlockSource, String)>> {
    let document = document.trim_start_matches('\u{feff}').trim();
    let document = match document.strip_prefix("<?xml") {
        Some(rest) => rest.split_once("?>")?.1.trim_start(),
        None => document,
    };
    if matches!(document, "<BlockList/>" | "<BlockList />") {
        return Some(Vec::new());
    }
    let mut rest = document.strip_prefix("<BlockList>")?.strip_suffix("</BlockList>")?.trim();
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.strip_prefix('<')?.split_once('>')?;
        let source = match name {
            "Committed" => BlockSource::Committed,
            "Uncommitted" => BlockSource::Uncommitted,
            "Latest" => BlockSource::Latest,
            _ => return None,
        };
        let (id, after) = after.split_once("</")?;
        let after = after.strip_prefix(name)?.strip_prefix('>')?;
        blocks.push((source, id.trim().to_owned()));
        rest = after.trim_start();
    }
    Some(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_block_list_in_order() {
        let text = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<BlockList>\n\t<Uncommitted>YQ==</Uncommitted>\n\t<Latest>Yg==</Latest>\n</BlockList>";
        let expected = vec![
            (BlockSource::Uncommitted, "YQ==".to_owned()),
            (BlockSource::Latest, "Yg==".to_owned()),
        ];
        assert_eq!(block_list(text), Some(expected));
    }

    #[test]
    fn refuses_what_is_no_block_list() {
        for text in [
            "",
            "<BlockList>",
            "<BlockList><Other>YQ==</Other></BlockList>",
            "<BlockList><Latest>YQ==</Committed></BlockList>",
        ] {
            assert_eq!(block_list(text), None, "{text}");
        }
    }

    #[test]
    fn escapes_reserved_characters() {
        assert_eq!(element("Name", "a<&>'\"b"), "<Name>a&lt;&amp;&gt;&apos;&quot;b</Name>");
    }
}
