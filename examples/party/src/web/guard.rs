//! Who may see the page: whoever opens a link that this program gave out gets a session, kept in a cookie. Also that a page
//! of somebody else's, open in the same browser, cannot act here. Not what a session may do.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::header::{COOKIE, HOST, HeaderMap, ORIGIN};
use rand::RngExt as _;

/// The cookie that names a session begins with this. The port follows: browsers keep cookies by host, and another member of
/// the group may have its page on this one, too.
const COOKIE_PREFIX: &str = "party-";
/// Links that can still be opened.
const LINKS_MAX: usize = 64;
/// Sessions; when there are more, the oldest ends.
const SESSIONS_MAX: usize = 256;

/// What a session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Everything: it is the person at this computer.
    Owner,
    /// See and edit what is open, as a guest of this member.
    Guest,
}

/// Links and sessions.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    links: Mutex<BTreeMap<String, Role>>,
    sessions: Mutex<VecDeque<(String, Role)>>,
}

impl Guard {
    /// The secret part of a new link. An owner's can be opened again and again, a guest's once.
    pub(crate) fn new_link(&self, role: Role) -> String {
        let key = secret();
        let mut links = locked(&self.links);
        if role == Role::Guest {
            // The one before was shown to somebody who did not use it.
            links.retain(|_, role| *role != Role::Guest);
        }
        if links.len() < LINKS_MAX {
            links.insert(key.clone(), role);
        }
        key
    }

    /// The cookie for who opened a link; `None` if there is no such link, or it was used.
    pub(crate) fn enter(&self, key: &str, authority: &str) -> Option<String> {
        let role = {
            let mut links = locked(&self.links);
            let role = *links.get(key)?;
            if role == Role::Guest {
                links.remove(key);
            }
            role
        };
        let session = secret();
        let mut sessions = locked(&self.sessions);
        if sessions.len() == SESSIONS_MAX {
            sessions.pop_front();
        }
        sessions.push_back((session.clone(), role));
        let name = cookie_name(authority);
        Some(format!("{name}={session}; Path=/; HttpOnly; SameSite=Strict"))
    }

    /// Whose request this is; `None` if it comes from nobody who was let in. `authority` is where this program is reached.
    pub(crate) fn role(&self, headers: &HeaderMap, authority: &str) -> Option<Role> {
        if !is_at_home(headers, authority) {
            return None;
        }
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let cookies = cookies
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let sessions = locked(&self.sessions);
        let own = cookie_name(authority);
        let mut of_cookies = cookies.filter(|(name, _)| *name == own).filter_map(|(_, value)| {
            let found = sessions.iter().find(|(session, _)| session == value);
            found.map(|(_, role)| *role)
        });
        of_cookies.next()
    }
}

/// Whether a browser sends this from a page of this program to it: another name for this machine, or a page from elsewhere,
/// tells itself by these.
pub(crate) fn is_at_home(headers: &HeaderMap, authority: &str) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(ORIGIN.as_str()).is_none_or(|origin| origin.strip_prefix("http://") == Some(authority));
    text(HOST.as_str()) == Some(authority) && origin
}

fn cookie_name(authority: &str) -> String {
    let (_, port) = authority.rsplit_once(':').unwrap_or_default();
    format!("{COOKIE_PREFIX}{port}")
}

fn secret() -> String {
    let secret: [u8; 16] = rand::rng().random();
    secret.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is behind it is whole after every step, so a panic elsewhere does not spoil it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "127.0.0.1:1234";

    fn headers(cookie: Option<&str>, host: &str, origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(cookie) = cookie {
            headers.insert(COOKIE, cookie.parse().unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn who_opened_a_link_is_let_in_and_nobody_else() {
        let guard = Guard::default();
        let link = guard.new_link(Role::Owner);
        assert_eq!(guard.enter("0000", HERE), None);
        let cookie = guard.enter(&link, HERE).unwrap();
        let cookie = cookie.split(';').next().unwrap();
        let role = |headers: &HeaderMap| guard.role(headers, HERE);
        assert_eq!(role(&headers(Some(cookie), HERE, None)), Some(Role::Owner));
        assert_eq!(
            role(&headers(
                Some(&format!("a=b; {cookie}")),
                HERE,
                Some("http://127.0.0.1:1234")
            )),
            Some(Role::Owner)
        );
        for (cookie, host, origin) in [
            (None, HERE, None),
            (Some("party-1234="), HERE, None),
            (Some("party-1234=0000"), HERE, None),
            (Some(cookie), "evil.example", None),
            (Some(cookie), "127.0.0.1:1235", None),
            (Some(cookie), HERE, Some("http://evil.example")),
            (Some(cookie), HERE, Some("null")),
        ] {
            assert_eq!(
                role(&headers(cookie, host, origin)),
                None,
                "{cookie:?} {host} {origin:?}"
            );
        }
    }

    #[test]
    fn a_guests_link_opens_once_and_ends_with_the_next() {
        let guard = Guard::default();
        let first = guard.new_link(Role::Guest);
        let second = guard.new_link(Role::Guest);
        assert_eq!(guard.enter(&first, HERE), None, "another was made since");
        let cookie = guard.enter(&second, HERE).unwrap();
        assert_eq!(guard.enter(&second, HERE), None, "it was used");
        let cookie = cookie.split(';').next().unwrap();
        assert_eq!(guard.role(&headers(Some(cookie), HERE, None), HERE), Some(Role::Guest));
        let owner = guard.new_link(Role::Owner);
        assert!(guard.enter(&owner, HERE).is_some() && guard.enter(&owner, HERE).is_some());
    }

    #[test]
    fn sessions_are_bounded() {
        let guard = Guard::default();
        let link = guard.new_link(Role::Owner);
        let cookies: Vec<String> = (0..=SESSIONS_MAX).map(|_| guard.enter(&link, HERE).unwrap()).collect();
        let is_known = |cookie: &String| {
            let cookie = cookie.split(';').next();
            guard.role(&headers(cookie, HERE, None), HERE).is_some()
        };
        assert!(!is_known(&cookies[0]) && cookies[1..].iter().all(is_known));
    }
}
