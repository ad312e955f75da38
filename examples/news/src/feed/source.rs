//! Where a feed is: an address of the web, or a file. Fetches nothing.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use reqwest::Url;

/// One `--feed`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Asked for by HTTP.
    Web(Url),
    /// Read from a disk.
    File(PathBuf),
}

impl Source {
    /// What tells it from other feeds. May hold a secret: some feeds have one in their address.
    pub(crate) fn identity(&self) -> String {
        match self {
            Self::Web(url) => url.to_string(),
            Self::File(path) => std::path::absolute(path)
                .unwrap_or_else(|_| path.clone())
                .display()
                .to_string(),
        }
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((scheme, _)) = text.split_once("://") else {
            return match text {
                "" => Err("give the address or the file of a feed".to_owned()),
                path => Ok(Self::File(path.into())),
            };
        };
        if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
            return Err(format!(
                "feeds are read by http and https, or from files, not by {scheme}"
            ));
        }
        let mut url: Url = text
            .parse()
            .map_err(|error| format!("not an address of the web: {error}"))?;
        url.set_fragment(None);
        Ok(Self::Web(url))
    }
}

impl fmt::Display for Source {
    /// For people: without a user's name and password, and without the values of a query, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(&crate::text::line(&path.display().to_string(), usize::MAX)),
            Self::Web(url) => {
                let mut shown = url.clone();
                // Only addresses without a host refuse this, and those have neither.
                let _ = shown.set_username("");
                let _ = shown.set_password(None);
                if shown.query().is_some() {
                    shown.set_query(Some("…"));
                }
                f.write_str(&shown.as_str().replace("%E2%80%A6", "…"))
            }
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_files_are_told_apart() {
        assert!(matches!("https://a.example/feed.xml".parse(), Ok(Source::Web(_))));
        assert!(matches!("HTTP://127.0.0.1:80/".parse(), Ok(Source::Web(_))));
        assert!(matches!("./feed.xml".parse(), Ok(Source::File(_))));
        for bad in ["", "ftp://a.example/x", "https://", "http://a b/"] {
            assert!(bad.parse::<Source>().is_err(), "{bad}");
        }
        let whole: Source = "https://a.example/x#part".parse().unwrap();
        assert_eq!(whole, "https://a.example/x".parse().unwrap());
    }

    #[test]
    fn secrets_in_addresses_are_not_shown() {
        let source: Source = "https://me:canary@a.example/feed?token=canary".parse().unwrap();
        assert_eq!(source.to_string(), "https://a.example/feed?…");
        assert!(!format!("{source:?}").contains("canary"));
        assert!(source.identity().contains("canary"));
    }
}
