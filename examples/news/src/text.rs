//! Text that others wrote, made fit to be stored and shown: HTML becomes plain text, and nothing is left that could play
//! tricks on a terminal. Not a browser: HTML is read to be thrown away.

use std::borrow::Cow;

/// Elements whose content is not for reading.
const UNREADABLE: [&str; 6] = ["script", "style", "head", "template", "svg", "iframe"];
/// Elements that stand on lines of their own.
const BLOCKS: [&str; 25] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "br",
    "dd",
    "div",
    "dl",
    "dt",
    "figcaption",
    "figure",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "tr",
    "ul",
];
/// What stands before an entry of a list.
const BULLET: &str = "\n• ";

/// The text of a piece of HTML.
pub(crate) fn from_html(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    let mut search = Search::Quoted;
    while let Some(at) = rest.find('<') {
        decode(&rest[..at], &mut text);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let opens = |c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?');
        let end = match rest[1..].starts_with(opens) {
            true => tag_end(rest, &mut search),
            false => None,
        };
        let Some(end) = end else {
            // A sign of less, not of HTML.
            text.push('<');
            rest = &rest[1..];
            continue;
        };
        let name = tag_name(&rest[1..end]);
        rest = &rest[end + 1..];
        match name.as_str() {
            "li" => text.push_str(BULLET),
            "td" | "th" => text.push(' '),
            block if BLOCKS.contains(&block.trim_start_matches('/')) => text.push('\n'),
            hidden if UNREADABLE.contains(&hidden) => rest = after_element(rest, hidden),
            _ => {}
        }
    }
    decode(rest, &mut text);
    text
}

fn decode(escaped: &str, text: &mut String) {
    match html_escape::decode_html_entities(escaped) {
        Cow::Borrowed(plain) => text.push_str(plain),
        Cow::Owned(plain) => text.push_str(&plain),
    }
}

/// How the end of a tag is looked for. What was not found once is not there further on either, and is not looked for again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Search {
    /// The first `>` that no quotes hold.
    Quoted,
    /// Quotes are not in pairs: the first `>`.
    Plain,
    /// There is no `>` any more.
    Vain,
}

/// Where the tag that begins `html` ends.
fn tag_end(html: &str, search: &mut Search) -> Option<usize> {
    if *search == Search::Quoted {
        let mut quote = None;
        for (at, byte) in html.bytes().enumerate() {
            match (quote, byte) {
                (None, b'>') => return Some(at),
                (None, b'"' | b'\'') => quote = Some(byte),
                (Some(open), close) if open == close => quote = None,
                _ => {}
            }
        }
        *search = Search::Plain;
    }
    let end = match search {
        Search::Vain => None,
        Search::Quoted | Search::Plain => html.find('>'),
    };
    if end.is_none() {
        *search = Search::Vain;
    }
    end
}

/// `p`, `/p`, in lower case.
fn tag_name(inside: &str) -> String {
    let length = inside
        .bytes()
        .enumerate()
        .take_while(|(at, byte)| byte.is_ascii_alphanumeric() || (*at == 0 && *byte == b'/'))
        .count();
    inside[..length].to_ascii_lowercase()
}

/// What follows the end of an element, or nothing if it has none.
fn after_element<'a>(html: &'a str, name: &str) -> &'a str {
    let mut rest = html;
    while let Some(at) = rest.find("</") {
        rest = &rest[at + 2..];
        let is_end = rest
            .get(..name.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(name));
        if is_end {
            return rest.find('>').map_or("", |end| &rest[end + 1..]);
        }
    }
    ""
}

/// One line, without anything that is not for reading, of at most so many bytes.
pub(crate) fn line(text: &str, bytes_max: usize) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        let word: String = word.chars().filter(|c| !is_deceptive(*c)).collect();
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
        if line.len() > bytes_max {
            break;
        }
    }
    shortened(line, bytes_max)
}

/// The same over several lines, with at most one empty line between two.
pub(crate) fn paragraphs(text: &str, bytes_max: usize) -> String {
    let mut paragraphs = String::new();
    let mut empty = 0;
    for row in text.split('\n') {
        let row = line(row, bytes_max);
        if row.is_empty() {
            empty += 1;
            continue;
        }
        if !paragraphs.is_empty() {
            paragraphs.push_str(if empty > 0 { "\n\n" } else { "\n" });
        }
        empty = 0;
        paragraphs.push_str(&row);
        if paragraphs.len() > bytes_max {
            break;
        }
    }
    shortened(paragraphs, bytes_max)
}

/// Not control characters, but they change what a reader sees: marks of direction, of no width, and tags.
fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' | '\u{ad}' | '\u{61c}')
}

fn shortened(mut text: String, bytes_max: usize) -> String {
    const MARK: char = '…';
    if text.len() > bytes_max {
        let mut end = bytes_max.saturating_sub(MARK.len_utf8());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push(MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(html: &str) -> String {
        paragraphs(&from_html(html), 10_000)
    }

    #[test]
    fn html_becomes_text() {
        for (html, text) in [
            ("<p>One &amp; two</p><p>three</p>", "One & two\n\nthree"),
            ("a<br/>b<BR>c", "a\nb\nc"),
            ("<ul><li>x</li><li>y</li></ul>", "• x\n• y"),
            ("caf&eacute; &#8212; &#x2014; &nbsp;&hellip;", "café — — …"),
            ("1 < 2 and 3 > 2, a <b", "1 < 2 and 3 > 2, a <b"),
            ("<img alt=\"a > b\" src='x'>after", "after"),
            ("<a href=\"javascript:alert(1)\" onclick='x'>click</a>", "click"),
            ("x<script>alert('</p>')</script >y<STYLE>p{}</StyLe>z", "xyz"),
            ("<script>never ends", ""),
            ("a<!-- <p>hidden</p> -->b<!-- open", "ab"),
            (
                "&lt;script&gt;shown, not run&lt;/script&gt;",
                "<script>shown, not run</script>",
            ),
            ("<p title=\"unclosed>one</p><p>two</p>", "one\n\ntwo"),
            ("<table><tr><td>a</td><td>b</td></tr></table>", "a b"),
            ("é<é", "é<é"),
        ] {
            assert_eq!(read(html), text, "{html}");
        }
    }

    #[test]
    fn nothing_reaches_a_terminal_that_is_not_for_reading() {
        let hostile = "\u{1b}[2J\u{9b}31mred\u{7}\r\u{8}\u{0}\u{7f} \u{202e}flip\u{200b}ped\u{2066} &#27;[1m";
        let told = line(&from_html(hostile), 1_000);
        assert!(!told.chars().any(|c| c.is_control() || is_deceptive(c)), "{told:?}");
        assert_eq!(told, "[2J 31mred flipped &#27;[1m");
        let several = paragraphs("a\u{1b}]0;t\u{7}\n\n\n\n \t\nb\rc\n", 1_000);
        assert_eq!(several, "a ]0;t\n\nb c");
    }

    #[test]
    fn lengths_are_bounded_at_characters() {
        assert_eq!(line("ééééé", 10), "ééééé");
        assert_eq!(line("éééééé", 10), "ééé…");
        assert_eq!(line(&"word ".repeat(1_000), 12), "word word…");
        assert!(paragraphs(&"a\n".repeat(100_000), 100).len() <= 100);
        assert_eq!(line("é", 0), "…", "nothing is cut in silence");
    }

    #[test]
    fn hostile_html_costs_no_more_than_its_length() {
        let began = std::time::Instant::now();
        for html in [
            "<a",
            "<a \"",
            "<!--",
            "<script>",
            "</",
            "&",
            "&#",
            "<a '>",
            "<script></",
        ] {
            from_html(&html.repeat(200_000));
        }
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    }
}
