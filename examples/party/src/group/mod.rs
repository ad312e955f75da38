//! One group that is open: this member's node, what it shares with the others, and what pages are told of it.

mod bytes;
mod planned;
mod told;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use maille::{Credential, Document, Mesh, MeshName, Node, Profile, StateHash, Ticket, TicketError};
use serde_json::{Value, json};
use shared::Network;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use self::planned::ABOUT;
use self::told::Now;
use crate::home::{Home, Known};
use crate::plan::{Edit, Fault, Fields, List, Plan, Splice};
use crate::web::Refusal;

/// The document that holds what the group plans.
const DOCUMENT: &str = "plan";
/// After so long it is looked again whether something changed.
const CHANGE_WAIT: Duration = Duration::from_millis(200);

/// Items that are added in one edit: few enough for the operations that one may have.
const IMPORT_ITEMS: usize = 300;

/// What it takes to open a group.
pub(crate) struct Opening {
    pub(crate) mesh: MeshName,
    pub(crate) network: Network,
    pub(crate) credential: Credential,
    /// The title is written into the plan, too.
    pub(crate) founding: bool,
    pub(crate) home: Home,
    pub(crate) known: Known,
    pub(crate) changes: broadcast::Sender<Arc<str>>,
}

/// A group.
pub(crate) struct Group {
    node: Node,
    mesh: Mesh,
    document: Document,
    home: Home,
    known: Mutex<Known>,
    now: Mutex<Now>,
    /// Edits that can be taken back.
    undoable: AtomicUsize,
    changes: broadcast::Sender<Arc<str>>,
    telling: Mutex<Option<JoinHandle<()>>>,
}

impl Group {
    pub(crate) async fn open(opening: Opening) -> anyhow::Result<Arc<Self>> {
        let node = opening.network.spawn(false).await?;
        let mesh = node.join(opening.mesh, opening.credential).await?;
        mesh.introduce(Profile::new(&opening.known.name, "")?);
        let document = mesh.document(DOCUMENT.parse()?).await?;
        let group = Arc::new(Self {
            node,
            mesh,
            now: Mutex::new(Now::new(document.follow())),
            document,
            home: opening.home,
            undoable: AtomicUsize::new(0),
            changes: opening.changes,
            telling: Mutex::default(),
            known: Mutex::new(opening.known.clone()),
        });
        if opening.founding {
            group.entitle(&opening.known.title).await?;
        }
        group.refresh();
        let telling = tokio::spawn(told::follow(Arc::downgrade(&group)));
        *locked(&group.telling) = Some(telling);
        Ok(group)
    }

    /// Leaves it, after what is still to be told was.
    pub(crate) async fn close(&self) {
        if let Some(telling) = locked(&self.telling).take() {
            telling.abort();
        }
        self.remember();
        self.mesh.clone().leave().await;
        self.node.shutdown().await;
    }

    /// What a newcomer needs to find it.
    pub(crate) fn ticket(&self) -> Result<Ticket, TicketError> {
        self.mesh.ticket()
    }

    /// Gives the group a title.
    pub(crate) async fn entitle(&self, title: &str) -> anyhow::Result<()> {
        self.document
            .edit(|edit| edit.set(ABOUT, ABOUT, "title", title))
            .await?;
        Ok(())
    }

    /// Waits until so many others are known to be here.
    pub(crate) async fn met(&self, others: usize) {
        self.mesh.ready_members(others).await;
    }

    /// Equal for members who have the same plan.
    pub(crate) fn hash(&self) -> StateHash {
        self.document.state_hash()
    }

    /// Waits until pages are told something, or a little.
    pub(crate) async fn changed(&self) {
        let mut changes = self.changes.subscribe();
        // A page may have to be told nothing any more.
        let _ = tokio::time::timeout(CHANGE_WAIT, changes.recv()).await;
    }

    pub(crate) fn plan(&self) -> Plan {
        self.refresh();
        locked(&self.now).plan.clone()
    }

    pub(crate) fn count(&self, list: List) -> usize {
        locked(&self.now).plan.count(list)
    }

    pub(crate) fn has(&self, list: List, id: &str) -> bool {
        locked(&self.now).plan.has(list, id)
    }

    pub(crate) fn title(&self) -> String {
        locked(&self.now).plan.title.clone()
    }

    /// What this member is called from now on.
    pub(crate) fn rename(&self, name: &str) -> anyhow::Result<()> {
        self.mesh.introduce(Profile::new(name, "")?);
        name.trim().clone_into(&mut locked(&self.known).name);
        self.remember();
        self.refresh();
        Ok(())
    }

    /// What a page asks to be changed.
    pub(crate) async fn edit(&self, edit: Edit) -> Result<Value, Refusal> {
        self.refresh();
        {
            let now = locked(&self.now);
            edit.check(&now.plan)
                .map_err(|fault| Refusal::bad(fault.code(), fault))?;
        }
        let answer = match edit {
            Edit::Put { list, id, fields } => json!({ "id": self.put(list, id, fields).await? }),
            Edit::Delete { list, id } => {
                self.document
                    .edit(|edit| edit.remove(list.name(), &id))
                    .await
                    .map_err(Refusal::failed)?;
                self.undoable.fetch_add(1, Ordering::Relaxed);
                json!({})
            }
            Edit::Text {
                version,
                at,
                delete,
                insert,
            } => {
                self.splice(Splice { at, delete, insert }, version).await?;
                self.refresh();
                let now = locked(&self.now);
                json!({ "version": now.versions.newest(), "text": now.versions.text() })
            }
            Edit::Undo => json!({ "undone": self.undo().await? }),
        };
        self.refresh();
        Ok(answer)
    }

    /// Writes fields of an item; a new one stands behind all others.
    async fn put(&self, list: List, id: Option<String>, mut fields: Fields) -> Result<String, Refusal> {
        let is_new = id.is_none();
        let id = id.unwrap_or_else(planned::new_id);
        if is_new {
            fields.insert("order".to_owned(), planned::last_place());
        }
        let write = |edit: &mut maille::Edit<'_>| {
            if !is_new && edit.item(list.name(), &id).is_none() {
                return Ok(false);
            }
            for (field, value) in &fields {
                edit.set(list.name(), &id, field, value.as_str())?;
            }
            Ok(true)
        };
        if !self.document.edit(write).await.map_err(Refusal::failed)? {
            let gone = Fault::NoSuchItem;
            return Err(Refusal::bad(gone.code(), gone));
        }
        self.undoable.fetch_add(1, Ordering::Relaxed);
        Ok(id)
    }

    /// Adds many items in as few edits as may be.
    pub(crate) async fn import(&self, items: Vec<(List, Fields)>) -> Result<(), Refusal> {
        for piece in items.chunks(IMPORT_ITEMS) {
            let write = |edit: &mut maille::Edit<'_>| {
                let place = planned::last_place();
                for (list, fields) in piece {
                    let id = planned::new_id();
                    edit.set(list.name(), &id, "order", place.as_str())?;
                    for (field, value) in fields {
                        edit.set(list.name(), &id, field, value.as_str())?;
                    }
                }
                Ok(())
            };
            self.document.edit(write).await.map_err(Refusal::failed)?;
        }
        self.refresh();
        Ok(())
    }

    async fn splice(&self, splice: Splice, version: u64) -> Result<(), Refusal> {
        let (splices, base) = {
            let versions = &locked(&self.now).versions;
            (versions.rebase(splice, version), versions.text().to_owned())
        };
        let stale = || Refusal::bad("stale", "the text changed too much meanwhile: load it again");
        let splices = splices.ok_or_else(stale)?;
        let write = |edit: &mut maille::Edit<'_>| {
            // Others may have written since, too: then the places are those of the text as it is now.
            let text = edit.text(planned::TEXT);
            let splices = planned::in_bytes(&base, &text, &splices);
            splices
                .into_iter()
                .try_for_each(|(range, insert)| edit.splice(planned::TEXT, range, insert))
        };
        self.document.edit(write).await.map_err(Refusal::failed)?;
        self.undoable.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn undo(&self) -> Result<bool, Refusal> {
        let undone = self.document.undo().await.map_err(Refusal::failed)?;
        // The document remembers fewer than were counted: when it has none left, there is none.
        let counted = self.undoable.load(Ordering::Relaxed);
        self.undoable
            .store(if undone { counted.saturating_sub(1) } else { 0 }, Ordering::Relaxed);
        Ok(undone)
    }

    /// Keeps what is needed to find the group again.
    fn remember(&self) {
        let mut known = locked(&self.known).clone();
        if let Ok(ticket) = self.mesh.ticket() {
            known.ticket = Some(ticket.to_string());
        }
        // It was written when the group was opened; what is newer is a help, not a promise.
        let _ = self.home.remember(self.mesh.name(), &known);
    }
}

/// What is behind it is whole after every step, so a panic elsewhere does not spoil it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
