//! Which key a line of `maille pub` has: none, a field of it, or a value in its JSON. Not how keys travel.

use std::str::FromStr;

/// Where the key of a record is in its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyRule {
    /// Records have no key.
    None,
    /// `--key-field N`: counts from 1.
    Field { field: usize, delimiter: Delimiter },
    /// `--key-json POINTER`.
    Json(JsonPointer),
}

/// What separates the fields of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delimiter {
    /// One byte; a field in double quotes may hold it, and a doubled quote there is one quote (RFC 4180).
    Byte(u8),
    /// Any run of spaces and tabs; such at the ends of a line separate nothing.
    Blanks,
}

/// A JSON pointer of RFC 6901: empty, or `/`-separated names and indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonPointer(String);

/// A line without the key that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("it has no field {field}, only {fields}")]
    NoField { field: usize, fields: usize },
    #[error("it is not JSON: {0}")]
    NotJson(String),
    #[error("its JSON has nothing at {0:?}")]
    NoValue(String),
    #[error("the JSON at {0:?} is neither text nor number nor boolean")]
    NotScalar(String),
    #[error("its key has {bytes} bytes, and a key at most {bytes_max}")]
    TooLong { bytes: usize, bytes_max: usize },
}

impl KeyRule {
    /// The key of `line`, if records have one.
    pub(crate) fn key_of(&self, line: &[u8], bytes_max: usize) -> Result<Option<Vec<u8>>, KeyError> {
        let key = match self {
            Self::None => return Ok(None),
            Self::Field {
                field,
                delimiter: Delimiter::Blanks,
            } => blank_field(line, *field)?,
            Self::Field {
                field,
                delimiter: Delimiter::Byte(byte),
            } => delimited_field(line, *field, *byte)?,
            Self::Json(pointer) => json_value(line, &pointer.0)?,
        };
        if key.len() > bytes_max {
            return Err(KeyError::TooLong {
                bytes: key.len(),
                bytes_max,
            });
        }
        Ok(Some(key))
    }
}

fn blank_field(line: &[u8], field: usize) -> Result<Vec<u8>, KeyError> {
    let mut fields = 0;
    for part in line
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|part| !part.is_empty())
    {
        fields += 1;
        if fields == field {
            return Ok(part.to_vec());
        }
    }
    Err(KeyError::NoField { field, fields })
}

fn delimited_field(line: &[u8], field: usize, delimiter: u8) -> Result<Vec<u8>, KeyError> {
    let mut fields = 0;
    let mut rest = Some(line);
    while let Some(text) = rest {
        let (value, after) = first_field(text, delimiter);
        fields += 1;
        if fields == field {
            return Ok(value);
        }
        rest = after;
    }
    Err(KeyError::NoField { field, fields })
}

/// The first field, and what follows its delimiter.
fn first_field(text: &[u8], delimiter: u8) -> (Vec<u8>, Option<&[u8]>) {
    let mut value = Vec::new();
    let mut at = 0;
    if text.first() == Some(&b'"') {
        at = 1;
        while at < text.len() {
            if text[at] != b'"' {
                value.push(text[at]);
                at += 1;
            } else if text.get(at + 1) == Some(&b'"') {
                value.push(b'"');
                at += 2;
            } else {
                at += 1;
                break;
            }
        }
    }
    let end = text[at..]
        .iter()
        .position(|&byte| byte == delimiter)
        .map(|offset| at + offset);
    value.extend_from_slice(&text[at..end.unwrap_or(text.len())]);
    (value, end.map(|end| &text[end + 1..]))
}

fn json_value(line: &[u8], pointer: &str) -> Result<Vec<u8>, KeyError> {
    let value: serde_json::Value =
        serde_json::from_slice(line).map_err(|error| KeyError::NotJson(error.to_string()))?;
    match value.pointer(pointer) {
        None => Err(KeyError::NoValue(pointer.to_owned())),
        Some(serde_json::Value::String(text)) => Ok(text.clone().into_bytes()),
        Some(scalar @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => {
            Ok(scalar.to_string().into_bytes())
        }
        Some(_) => Err(KeyError::NotScalar(pointer.to_owned())),
    }
}

impl FromStr for Delimiter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.as_bytes()) {
            ("tab" | "\\t", _) => Ok(Self::Byte(b'\t')),
            ("blanks" | " ", _) => Ok(Self::Blanks),
            (_, &[byte]) if byte != b'"' => Ok(Self::Byte(byte)),
            _ => {
                Err("a delimiter is one ASCII character, `tab`, or `blanks` for any run of spaces and tabs".to_owned())
            }
        }
    }
}

impl FromStr for JsonPointer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(format!("a JSON pointer (RFC 6901) starts with `/`: try `/{text}`"));
        }
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            if character == '~' && !matches!(characters.next(), Some('0' | '1')) {
                return Err("in a JSON pointer (RFC 6901), `~` is written `~0` and a `/` in a name `~1`".to_owned());
            }
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: usize = 256;

    fn field(line: &str, field: usize, delimiter: &str) -> Result<String, KeyError> {
        let rule = KeyRule::Field {
            field,
            delimiter: delimiter.parse().unwrap(),
        };
        rule.key_of(line.as_bytes(), BYTES_MAX)
            .map(|key| String::from_utf8(key.unwrap()).unwrap())
    }

    fn json(line: &str, pointer: &str) -> Result<String, KeyError> {
        let rule = KeyRule::Json(pointer.parse().unwrap());
        rule.key_of(line.as_bytes(), BYTES_MAX)
            .map(|key| String::from_utf8(key.unwrap()).unwrap())
    }

    #[test]
    fn fields_count_from_one() {
        assert_eq!(field("2010-01-04,AAPL,30.57", 1, ",").unwrap(), "2010-01-04");
        assert_eq!(field("2010-01-04,AAPL,30.57", 2, ",").unwrap(), "AAPL");
        assert_eq!(field("2010-01-04,AAPL,30.57", 3, ",").unwrap(), "30.57");
        assert_eq!(
            field("2010-01-04,AAPL,30.57", 4, ","),
            Err(KeyError::NoField { field: 4, fields: 3 })
        );
        assert_eq!(field("", 1, ",").unwrap(), "");
        assert_eq!(field("a,", 2, ",").unwrap(), "");
        assert_eq!(field("a\tb", 2, "tab").unwrap(), "b");
        assert_eq!(field("  a \t b ", 2, "blanks").unwrap(), "b");
        assert_eq!(field("  ", 1, "blanks"), Err(KeyError::NoField { field: 1, fields: 0 }));
    }

    #[test]
    fn quoted_fields_may_hold_the_delimiter() {
        assert_eq!(field(r#"1,"Berkshire, ""B""",x"#, 2, ",").unwrap(), r#"Berkshire, "B""#);
        assert_eq!(field(r#"1,"Berkshire, ""B""",x"#, 3, ",").unwrap(), "x");
        assert_eq!(field(r#""never closed,x"#, 1, ",").unwrap(), "never closed,x");
        assert_eq!(field(r#"5" pipe,x"#, 1, ",").unwrap(), r#"5" pipe"#);
    }

    #[test]
    fn json_pointers_reach_names_indices_and_escapes() {
        let line = r#"{"s":{"a/b":"AAPL","m~n":7},"l":[true,null,1.5],"":"e"}"#;
        assert_eq!(json(line, "/s/a~1b").unwrap(), "AAPL");
        assert_eq!(json(line, "/s/m~0n").unwrap(), "7");
        assert_eq!(json(line, "/l/0").unwrap(), "true");
        assert_eq!(json(line, "/l/2").unwrap(), "1.5");
        assert_eq!(json(line, "/").unwrap(), "e");
        assert_eq!(json("\"x\"", "").unwrap(), "x");
        assert_eq!(json(line, "/l/1"), Err(KeyError::NotScalar("/l/1".into())));
        assert_eq!(json(line, "/s"), Err(KeyError::NotScalar("/s".into())));
        assert_eq!(json(line, "/none"), Err(KeyError::NoValue("/none".into())));
        assert!(matches!(json("{", "/s"), Err(KeyError::NotJson(_))));
    }

    #[test]
    fn deep_json_is_an_error_and_not_a_crash() {
        assert!(matches!(json(&"[".repeat(200_000), "/0"), Err(KeyError::NotJson(_))));
    }

    #[test]
    fn keys_are_bounded_and_optional() {
        assert_eq!(KeyRule::None.key_of(b"a,b", BYTES_MAX), Ok(None));
        assert_eq!(field(&"k".repeat(256), 1, ",").unwrap().len(), 256);
        assert_eq!(
            field(&"k".repeat(257), 1, ","),
            Err(KeyError::TooLong {
                bytes: 257,
                bytes_max: 256
            })
        );
    }

    #[test]
    fn bad_delimiters_and_pointers_are_refused() {
        for bad in ["", "ab", "ä", "\""] {
            assert!(bad.parse::<Delimiter>().is_err(), "{bad:?}");
        }
        assert_eq!(";".parse(), Ok(Delimiter::Byte(b';')));
        for bad in ["a", "a/b", "/a~", "/a~2"] {
            assert!(bad.parse::<JsonPointer>().is_err(), "{bad:?}");
        }
    }
}
