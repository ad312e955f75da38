//! What is open in this program: no group, one that is being opened, or one. Not what happens within it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use maille::{Credential, MeshName, Password};
use rand::RngExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::Network;
use tokio::sync::broadcast;

use crate::group::{Group, Opening};
use crate::home::{Home, Known};
use crate::invite;
use crate::web::Refusal;

/// Changes that a slow page may be behind before it is told to load everything again.
const CHANGES_MAX: usize = 256;
/// Characters of a title or a name.
const TITLE_CHARS_MAX: usize = 100;
const RELOAD: &str = r#"{"reload":true}"#;

/// The program.
pub(crate) struct App {
    home: Home,
    /// How its nodes find others.
    network: Network,
    phase: Mutex<Phase>,
    changes: broadcast::Sender<Arc<str>>,
}

enum Phase {
    First,
    Opening { title: String },
    Open(Arc<Group>),
}

/// What opens a group's mesh.
struct Entry {
    credential: Credential,
    /// Kept on this computer.
    keep: Option<Password>,
    founding: bool,
}

/// A group is founded.
#[derive(Deserialize)]
pub(crate) struct Start {
    pub(crate) title: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) remember: bool,
}

/// Somebody else's group is joined.
#[derive(Deserialize)]
pub(crate) struct Join {
    pub(crate) invite: String,
    pub(crate) passphrase: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) remember: bool,
}

/// A group that is known here is opened again.
#[derive(Deserialize)]
pub(crate) struct Reopen {
    pub(crate) mesh: String,
    pub(crate) passphrase: String,
}

impl App {
    pub(crate) fn new(home: Home, network: Network) -> Arc<Self> {
        Arc::new(Self {
            home,
            network,
            phase: Mutex::new(Phase::First),
            changes: broadcast::Sender::new(CHANGES_MAX),
        })
    }

    /// What changes from now on, as the page hears it.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Arc<str>> {
        self.changes.subscribe()
    }

    /// All that a page shows.
    pub(crate) fn state(&self) -> Value {
        match &*self.phase() {
            Phase::First => {
                let groups = self.home.groups().into_iter().map(|known| {
                    let mesh = known.mesh.parse().ok();
                    let remembered = mesh.is_some_and(|mesh: MeshName| self.home.passphrase(&mesh).is_some());
                    json!({ "mesh": known.mesh, "title": known.title, "remembered": remembered })
                });
                json!({ "phase": "first", "groups": groups.collect::<Vec<_>>() })
            }
            Phase::Opening { title } => json!({ "phase": "opening", "title": title }),
            Phase::Open(group) => group.state(),
        }
    }

    /// The group that is open.
    ///
    /// # Errors
    /// When none is.
    pub(crate) fn group(&self) -> Result<Arc<Group>, Refusal> {
        match &*self.phase() {
            Phase::Open(group) => Ok(group.clone()),
            _ => Err(Refusal::closed()),
        }
    }

    /// Founds a group with a new passphrase, which is given back for people to hand on.
    pub(crate) fn start(self: &Arc<Self>, start: Start) -> Result<String, Refusal> {
        let (title, name) = (line(&start.title, "title")?, line(&start.name, "name")?);
        let password = Password::generate(&mut rand::rng());
        let passphrase = password.expose().to_owned();
        let number: u64 = rand::rng().random();
        let mesh: MeshName = format!("p-{number:016x}.party").parse().map_err(Refusal::failed)?;
        let known = Known {
            mesh: mesh.to_string(),
            title,
            name,
            ticket: None,
        };
        let mut entry = Entry::new(password, start.remember);
        entry.founding = true;
        self.open(mesh, known, entry)?;
        Ok(passphrase)
    }

    pub(crate) fn join(self: &Arc<Self>, join: Join) -> Result<(), Refusal> {
        let ticket = invite::parse(&join.invite).map_err(|error| Refusal::bad("bad_invite", error))?;
        let name = line(&join.name, "name")?;
        let password = passphrase(&join.passphrase)?;
        let mesh = ticket.mesh().clone();
        let known = Known {
            mesh: mesh.to_string(),
            title: String::new(),
            name,
            ticket: Some(ticket.to_string()),
        };
        self.open(mesh, known, Entry::new(password, join.remember))
    }

    pub(crate) fn reopen(self: &Arc<Self>, reopen: Reopen) -> Result<(), Refusal> {
        let mesh: MeshName = reopen.mesh.parse().map_err(|error| Refusal::bad("bad_group", error))?;
        let unknown = || Refusal::bad("bad_group", "this group is not known on this computer");
        let known = self.home.group(&mesh).ok_or_else(unknown)?;
        let kept = self.home.passphrase(&mesh);
        let (password, remember) = match (reopen.passphrase.trim(), kept) {
            ("", Some(kept)) => (kept, true),
            ("", None) => return Err(Refusal::bad("weak", "enter the passphrase of this group")),
            (text, kept) => (passphrase(text)?, kept.is_some()),
        };
        self.open(mesh, known, Entry::new(password, remember))
    }

    /// Joins a group without the first page, and waits until it is open.
    pub(crate) async fn join_directly(&self, mesh: MeshName, credential: Credential, name: &str) -> anyhow::Result<()> {
        let mut known = self.home.group(&mesh).unwrap_or_else(|| Known {
            mesh: mesh.to_string(),
            title: String::new(),
            name: String::new(),
            ticket: None,
        });
        name.clone_into(&mut known.name);
        self.open_directly(mesh, known, credential).await
    }

    /// The same for a group of which more is known.
    pub(crate) async fn open_directly(
        &self,
        mesh: MeshName,
        known: Known,
        credential: Credential,
    ) -> anyhow::Result<()> {
        let entry = Entry {
            keep: self.home.passphrase(&mesh),
            credential,
            founding: false,
        };
        let group = self.opened(mesh, known, entry).await?;
        *self.phase() = Phase::Open(group);
        self.reload();
        Ok(())
    }

    /// Back to the first page.
    pub(crate) async fn close(&self) {
        let before = std::mem::replace(&mut *self.phase(), Phase::First);
        self.reload();
        if let Phase::Open(group) = before {
            group.close().await;
        }
    }

    /// Opens a group while the page waits.
    fn open(self: &Arc<Self>, mesh: MeshName, known: Known, entry: Entry) -> Result<(), Refusal> {
        {
            let mut phase = self.phase();
            if !matches!(*phase, Phase::First) {
                return Err(Refusal::bad("busy", "a group is open here: close it first"));
            }
            *phase = Phase::Opening {
                title: known.title.clone(),
            };
        }
        self.reload();
        let app = self.clone();
        tokio::spawn(async move {
            let opened = app.opened(mesh, known, entry).await;
            *app.phase() = match opened {
                Ok(group) => Phase::Open(group),
                Err(error) => {
                    let told = json!({ "failed": error.to_string() });
                    // Nobody may be looking.
                    let _ = app.changes.send(told.to_string().into());
                    Phase::First
                }
            };
            app.reload();
        });
        Ok(())
    }

    async fn opened(&self, mesh: MeshName, known: Known, entry: Entry) -> anyhow::Result<Arc<Group>> {
        self.home.remember(&mesh, &known)?;
        self.home.keep_passphrase(&mesh, entry.keep.as_ref())?;
        let mut network = self.network.clone();
        network.data_dir = Some(self.home.node_dir(&mesh));
        network.ticket = network.ticket.or(known.ticket());
        let opening = Opening {
            mesh,
            network,
            credential: entry.credential.founding(entry.founding),
            founding: entry.founding,
            home: self.home.clone(),
            known,
            changes: self.changes.clone(),
        };
        Group::open(opening).await
    }

    fn reload(&self) {
        // Nobody may be looking.
        let _ = self.changes.send(RELOAD.into());
    }

    /// It is whole after every step, so a panic elsewhere does not spoil it.
    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn new(password: Password, remember: bool) -> Self {
        Self {
            keep: remember.then(|| password.clone()),
            credential: Credential::password(password),
            founding: false,
        }
    }
}

fn passphrase(text: &str) -> Result<Password, Refusal> {
    // People copy blanks with it; none that party makes begins or ends with one.
    Password::parse(text.trim()).map_err(|error| Refusal::bad("weak", error))
}

/// One line that says something.
fn line(text: &str, what: &str) -> Result<String, Refusal> {
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(Refusal::bad("empty", format!("enter a {what}")));
    }
    if text.chars().nth(TITLE_CHARS_MAX).is_some() {
        return Err(Refusal::bad(
            "too_long",
            format!("the {what} has room for {TITLE_CHARS_MAX} characters"),
        ));
    }
    Ok(text)
}
