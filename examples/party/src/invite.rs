//! Invites: where a group is met, as text to paste and as a picture to scan. Never its passphrase.

use maille::Ticket;
use qrcode::QrCode;
use qrcode::render::svg;

/// What the text begins with, so that people see what it is for.
const PREFIX: &str = "party:";
/// A longer text is none.
const TEXT_BYTES_MAX: usize = 2_048;

/// The text to paste.
pub(crate) fn link(ticket: &Ticket) -> String {
    format!("{PREFIX}{ticket}")
}

/// The picture to scan, an SVG file; `None` if the ticket is too long for one.
pub(crate) fn qr(ticket: &Ticket) -> Option<String> {
    // In capitals it takes fewer dots.
    let text = link(ticket).to_ascii_uppercase();
    let code = QrCode::new(text).ok()?;
    Some(code.render::<svg::Color<'_>>().min_dimensions(240, 240).build())
}

/// The ticket in a text that people pasted, with words around it perhaps.
///
/// # Errors
/// A sentence for people.
pub(crate) fn parse(text: &str) -> Result<Ticket, String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err("this is much longer than an invite: paste the invite alone".to_owned());
    }
    let words = text.split_whitespace();
    let stripped = words.map(|word| {
        let start = word
            .get(..PREFIX.len())
            .filter(|start| start.eq_ignore_ascii_case(PREFIX));
        start.map_or(word, |start| &word[start.len()..])
    });
    let is_ticket = |word: &&str| word.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("maille1"));
    let Some(word) = stripped.into_iter().find(is_ticket) else {
        return Err("this holds no invite: it begins with party:maille1".to_owned());
    };
    word.parse().map_err(|error| format!("this invite is damaged: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_comes_back_from_what_people_paste() {
        let ticket = Ticket::new("p-abc.party".parse().unwrap(), None, vec![]).unwrap();
        let link = link(&ticket);
        for text in [
            link.clone(),
            link.to_uppercase(),
            ticket.to_string(),
            format!("  Come to our party!\n{link}\nSee you"),
        ] {
            assert_eq!(parse(&text).unwrap(), ticket, "{text}");
        }
        assert!(qr(&ticket).unwrap().contains("<svg"));
        for text in [
            "",
            "hello",
            "party:",
            "party:maille1qqqq",
            &link.replace("1", "2"),
            &"x".repeat(5_000),
            "é1é",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
