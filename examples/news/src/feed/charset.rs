//! From bytes to text: which charset a feed is in, by its mark, its HTTP header, its own word, or UTF-8. Does not parse.

use encoding_rs::{Encoding, UTF_8};

/// How far the XML declaration may reach.
const DECLARATION_BYTES_MAX: usize = 512;

/// A feed as text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    /// Without an XML declaration, whose charset would no longer be true.
    pub(super) text: String,
    /// The name of the charset it was in, if some bytes of it are none of that charset's characters.
    pub(super) damaged: Option<&'static str>,
}

/// Decodes a body. Fails with the name of a charset that is not known.
pub(super) fn decode(bytes: &[u8], content_type: Option<&str>) -> Result<Decoded, String> {
    let by_mark = Encoding::for_bom(bytes).map(|(encoding, _)| encoding);
    let header = content_type.and_then(header_charset);
    let own = declared_charset(bytes);
    let known = |label: &Option<String>| label.as_ref().and_then(|label| Encoding::for_label(label.as_bytes()));
    let mut candidates: Vec<&'static Encoding> = Vec::new();
    candidates.extend(by_mark);
    candidates.extend(known(&header));
    candidates.extend(known(&own));
    if candidates.is_empty() {
        match own.or(header) {
            Some(unknown) => return Err(crate::text::line(&unknown, 64)),
            None => candidates.push(UTF_8),
        }
    }
    // Servers often name a charset for everything they have; a feed's own word is taken if the server's does not fit.
    let fitting = candidates
        .iter()
        .find_map(|encoding| match encoding.decode_with_bom_removal(bytes) {
            (text, false) => Some(text.into_owned()),
            (_, true) => None,
        });
    if let Some(text) = fitting {
        return Ok(Decoded {
            text: without_declaration(text),
            damaged: None,
        });
    }
    let encoding = candidates[0];
    let (text, _) = encoding.decode_with_bom_removal(bytes);
    Ok(Decoded {
        text: without_declaration(text.into_owned()),
        damaged: Some(encoding.name()),
    })
}

/// `text/xml; charset="utf-8"`.
fn header_charset(content_type: &str) -> Option<String> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches(['"', '\'']).to_owned())
    })
}

/// `<?xml version="1.0" encoding="iso-8859-1"?>`.
fn declared_charset(bytes: &[u8]) -> Option<String> {
    let start = &bytes[..bytes.len().min(DECLARATION_BYTES_MAX)];
    let start = String::from_utf8_lossy(start);
    let declaration = start.trim_start().strip_prefix("<?xml")?;
    let declaration = &declaration[..declaration.find("?>")?];
    let (_, value) = declaration.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    value[1..].split(quote).next().map(str::to_owned)
}

fn without_declaration(text: String) -> String {
    let trimmed = text.trim_start();
    match trimmed.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")) {
        Some((_, rest)) => rest.to_owned(),
        None if trimmed.len() == text.len() => text,
        None => trimmed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], content_type: Option<&str>) -> (String, Option<&'static str>) {
        let decoded = decode(bytes, content_type).unwrap();
        (decoded.text, decoded.damaged)
    }

    #[test]
    fn the_charset_is_found_where_it_is_named() {
        let latin = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><t>caf\xe9</t>";
        let good = ("<t>caf\u{e9}</t>".to_owned(), None);
        assert_eq!(text(latin, None), good);
        assert_eq!(
            text(latin, Some("text/xml; charset=utf-8")),
            good,
            "the server is wrong"
        );
        assert_eq!(
            text(b"<t>caf\xe9</t>", Some("text/xml; charset=\"windows-1252\"")),
            good
        );
        assert_eq!(text("<t>café</t>".as_bytes(), Some("text/xml")), good);
        assert_eq!(text(b"\xef\xbb\xbf<?xml version='1.0'?><t>caf\xc3\xa9</t>", None), good);
        let wide: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain("<t>café</t>".encode_utf16().flat_map(u16::to_le_bytes))
            .collect();
        assert_eq!(text(&wide, Some("text/xml; charset=utf-8")), good);
        assert_eq!(text("\n {\"a\":1}".as_bytes(), None).0, "{\"a\":1}");
    }

    #[test]
    fn wrong_and_unknown_charsets_are_told() {
        let (shown, damaged) = text(b"<?xml version='1.0' encoding='utf-8'?><t>caf\xe9</t>", None);
        assert_eq!((shown.as_str(), damaged), ("<t>caf\u{fffd}</t>", Some("UTF-8")));
        assert_eq!(
            decode(b"<?xml encoding='klingon'?><t/>", None),
            Err("klingon".to_owned())
        );
        assert_eq!(
            decode(b"<t/>", Some("text/xml; charset=x\x1b[1m")),
            Err("x [1m".to_owned())
        );
        let known = text(b"<?xml encoding='utf-8'?><t/>", Some("text/xml; charset=klingon"));
        assert_eq!(known.1, None, "the feed's own word helps");
    }

    #[test]
    fn odd_declarations_harm_nobody() {
        for odd in [
            &b"<?xml"[..],
            b"<?xml encoding?>",
            b"<?xml encoding=?>",
            b"<?xml encoding=\"?>",
            b"<?xml encoding='",
            b"",
            b"\xff\xfe",
        ] {
            let _ = decode(odd, None);
        }
    }
}
