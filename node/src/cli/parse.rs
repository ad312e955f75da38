//! Small values of the command line: durations, multiaddrs, password files by mesh. Parsed once, here.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use maille::{MeshName, Multiaddr};

/// Longer waits are surely mistakes, and would overflow a clock.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// A duration: `30` (seconds), `0.5`, `30s`, `2m`, `1h 30m`, `7d`. Days have 24 hours.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let hint = || "a duration looks like `30` (seconds), `30s`, `2m`, `1h 30m` or `7d`".to_owned();
    let parsed = if let Ok(seconds) = text.parse::<f64>() {
        Duration::try_from_secs_f64(seconds).map_err(|_| hint())?
    } else {
        let span: jiff::Span = text.parse().map_err(|_| hint())?;
        let days = jiff::SpanRelativeTo::days_are_24_hours();
        let signed = span.to_duration(days).map_err(|_| hint())?;
        Duration::try_from(signed).map_err(|_| hint())?
    };
    if parsed > DURATION_MAX {
        return Err("it is longer than a year".to_owned());
    }
    Ok(parsed)
}

/// A size in bytes: `1048576`, `500MB`, `2GiB`, `1.5 GiB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let hint = || "a size looks like `500MB`, `2GiB` or `1048576` (bytes)".to_owned();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let units = [
        ("b", 1),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
        ("tb", 1_000_000_000_000),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
        ("tib", 1 << 40),
    ];
    let unit = unit.trim().to_ascii_lowercase();
    let bytes_a_unit: u64 = match unit.as_str() {
        "" => 1,
        unit => units.iter().find(|(name, _)| *name == unit).ok_or_else(hint)?.1,
    };
    // Whole numbers are exact; of others, at most three digits count.
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.parse().map_err(|_| hint())?;
    if part.is_empty() || part.len() > 3 {
        return Err(hint());
    }
    let thousandths = format!("{part:0<3}").parse::<u64>().map_err(|_| hint())?;
    let rest = u128::from(bytes_a_unit) * u128::from(thousandths) / 1_000;
    let bytes = u128::from(whole) * u128::from(bytes_a_unit) + rest;
    u64::try_from(bytes).map_err(|_| "it is more bytes than can be counted".to_owned())
}

/// A multiaddr to listen on or to announce.
pub(crate) fn multiaddr(text: &str) -> Result<Multiaddr, String> {
    if text.is_empty() {
        return Err("not a multiaddr: it is empty".to_owned());
    }
    text.parse()
        .map_err(|error| format!("not a multiaddr such as /ip4/192.0.2.1/tcp/6245 ({error})"))
}

/// `F`, or `MESH=F` for one mesh alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PasswordFile {
    pub(crate) mesh: Option<MeshName>,
    pub(crate) path: PathBuf,
}

impl From<OsString> for PasswordFile {
    /// What stands before the first `=` names a mesh if it can; else it belongs to the path.
    fn from(text: OsString) -> Self {
        if let Some((mesh, path)) = text.to_str().and_then(|text| text.split_once('='))
            && let Ok(mesh) = mesh.parse()
        {
            return Self {
                mesh: Some(mesh),
                path: path.into(),
            };
        }
        Self {
            mesh: None,
            path: text.into(),
        }
    }
}

/// Tells whether a text can only be a value of an option.
type IsValue = fn(&str) -> bool;

/// Lets options of several values be written both ways: `--bootstrap A --bootstrap B` and `--bootstrap A B`. Only values that
/// cannot be anything else are taken, so that an ADDRESS may follow.
pub(crate) fn spread_values(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut spread: Vec<OsString> = Vec::new();
    let mut open: Option<(OsString, IsValue)> = None;
    let mut value_due = false;
    let mut options_over = false;
    for argument in arguments {
        let text = argument.to_str().unwrap_or("");
        let continues = open.as_ref().is_some_and(|(_, is_value)| is_value(text));
        if value_due {
            value_due = false;
        } else if let (true, Some((option, _))) = (continues, &open) {
            spread.push(option.clone());
        } else {
            // What follows `--exec` is another program's.
            options_over |= text == "--" || text == "--exec";
            open = if options_over {
                None
            } else {
                value_of(text).map(|is_value| (argument.clone(), is_value))
            };
            value_due = open.is_some();
        }
        spread.push(argument);
    }
    spread
}

/// How to know a further value of `option`.
fn value_of(option: &str) -> Option<IsValue> {
    match option {
        "--bootstrap" | "--listen" | "--announce" => Some(|text| text.starts_with('/')),
        "--publisher" => Some(|text| text.parse::<maille::PeerId>().is_ok()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWGRUfVRvGCpQ6kQq8mLWmHwEDCFXcKo9AD9i2nGT6Jxqt";

    #[test]
    fn durations_are_seconds_or_say_their_unit() {
        let cases = [
            ("30", 30_000),
            ("0.25", 250),
            ("30s", 30_000),
            ("2m", 120_000),
            ("1h 30m", 5_400_000),
            ("0", 0),
            ("500ms", 500),
            ("7d", 604_800_000),
            ("1w 1d 1h", 694_800_000),
        ];
        for (text, millis) in cases {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in [
            "",
            "-1",
            "-5s",
            "soon",
            "nan",
            "inf",
            "1e300",
            "5 parsecs",
            "400d",
            "1 month",
            "1y",
            "9000h 9000h",
        ] {
            assert!(duration(bad).is_err(), "{bad}: {:?}", duration(bad));
        }
    }

    #[test]
    fn sizes_say_their_unit() {
        for (text, size) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("500MB", 500_000_000),
            ("2GiB", 2 << 30),
            ("2 gib", 2 << 30),
            ("1.5GiB", 3 << 29),
            ("0.001kb", 1),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for bad in [
            "",
            "GiB",
            "-1",
            "1e9",
            "2 GiBs",
            "1..5",
            "1.",
            ".5",
            "1.2345GiB",
            "18446744073709551616",
            "99999999TiB",
        ] {
            assert!(bytes(bad).is_err(), "{bad}: {:?}", bytes(bad));
        }
    }

    #[test]
    fn multiaddrs_are_not_addresses() {
        assert!(multiaddr("/ip4/127.0.0.1/tcp/6245").is_ok());
        for bad in [
            "market.example",
            "market.example/x",
            "/ip4/300.0.0.1/tcp/1",
            "/ip4/127.0.0.1/tcp/65536",
            "",
        ] {
            assert!(multiaddr(bad).unwrap_err().starts_with("not a multiaddr"), "{bad}");
        }
    }

    #[test]
    fn password_files_may_belong_to_one_mesh() {
        let file = |text: &str| PasswordFile::from(OsString::from(text));
        assert_eq!(
            file("secret"),
            PasswordFile {
                mesh: None,
                path: "secret".into()
            }
        );
        let for_mesh = file("market.example=/run/a=b");
        assert_eq!(for_mesh.mesh.unwrap().to_string(), "market.example");
        assert_eq!(for_mesh.path, PathBuf::from("/run/a=b"));
        assert_eq!(
            file("./a=b"),
            PasswordFile {
                mesh: None,
                path: "./a=b".into()
            }
        );
    }

    #[test]
    fn values_spread_over_their_option_and_leave_the_address_alone() {
        let spread = |text: &str| {
            let spread = spread_values(text.split(' ').map(OsString::from));
            spread.join(&OsString::from(" ")).into_string().unwrap()
        };
        assert_eq!(
            spread("sub --bootstrap /a /b m.example/x"),
            "sub --bootstrap /a --bootstrap /b m.example/x"
        );
        assert_eq!(
            spread("sub m.example/x --listen /a /b --json"),
            "sub m.example/x --listen /a --listen /b --json"
        );
        assert_eq!(
            spread(&format!("sub --publisher {PEER} {PEER} m.example/x")),
            format!("sub --publisher {PEER} --publisher {PEER} m.example/x")
        );
        // A first value is taken as it is, for clap to judge.
        assert_eq!(
            spread("sub --bootstrap nonsense /b"),
            "sub --bootstrap nonsense --bootstrap /b"
        );
        for unchanged in [
            "sub --bootstrap=/a /b",
            "sub -- --bootstrap /a /b",
            "pub m.example/x",
            "sub --bootstrap",
        ] {
            assert_eq!(spread(unchanged), unchanged);
        }
    }
}
