//! Words from others, made harmless for a terminal.

/// At most so many characters, none of which controls the terminal or turns the writing round.
pub(crate) fn plain(text: &str, characters_max: usize) -> String {
    let harmless = |character: &char| {
        let turns = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        !character.is_control() && !turns
    };
    text.chars().filter(harmless).take(characters_max).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_that_controls_a_terminal_is_left() {
        assert_eq!(super::plain("a\u{1b}[31mb\r\nc\u{202e}d", 99), "a[31mbcd");
        assert_eq!(super::plain("ééééé", 3), "ééé");
    }
}
