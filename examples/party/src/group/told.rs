//! What pages are told of a group: its plan, who is there, what is not yet with others. Everything once, then what changes.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use maille::{Follower, Status};
use serde_json::{Value, json};

use super::planned::amend;
use super::{Group, locked};
use crate::plan::{Plan, Versions};

/// How often what nothing announces is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What pages were told so far.
#[derive(Debug)]
pub(crate) struct Now {
    follower: Follower,
    pub(crate) plan: Plan,
    pub(crate) versions: Versions,
    /// Counts what was told.
    version: u64,
    standing: Value,
}

impl Now {
    /// Nothing.
    pub(crate) fn new(follower: Follower) -> Self {
        Self {
            follower,
            plan: Plan::default(),
            versions: Versions::default(),
            version: 0,
            standing: Value::Null,
        }
    }

    /// Brings the plan up to date; what changed.
    fn catch_up(&mut self) -> Value {
        let changes = self.follower.look();
        if changes.is_empty() {
            return json!({});
        }
        let patch = amend(&mut self.plan, changes);
        let mut change = serde_json::to_value(patch).unwrap_or_else(|_| json!({}));
        if self.versions.set(&self.plan.text) {
            change["text"] = json!({ "version": self.versions.newest(), "text": self.plan.text });
        }
        change
    }
}

impl Group {
    /// Everything.
    pub(crate) fn state(&self) -> Value {
        self.refresh();
        let now = locked(&self.now);
        let mut state = json!({
            "phase": "open",
            "mesh": self.mesh.name().to_string(),
            "me": { "id": self.node.id().to_string(), "name": locked(&self.known).name },
            "version": now.version,
            "title": now.plan.title,
            "lists": now.plan.lists,
            "text": now.plan.text,
            "text_version": now.versions.newest(),
        });
        merge(&mut state, &now.standing);
        state
    }

    /// Looks at everything, and tells the pages what changed.
    pub(crate) fn refresh(&self) {
        let standing = self.standing();
        let mut now = locked(&self.now);
        let mut change = now.catch_up();
        for (name, value) in standing.as_object().into_iter().flatten() {
            if now.standing.get(name) != Some(value) {
                change[name] = value.clone();
            }
        }
        if change.as_object().is_none_or(serde_json::Map::is_empty) {
            return;
        }
        now.version += 1;
        change["version"] = now.version.into();
        now.standing = standing;
        if !now.plan.title.is_empty() {
            locked(&self.known).title.clone_from(&now.plan.title);
        }
        // Nobody may be looking.
        let _ = self.changes.send(change.to_string().into());
    }

    /// What is no part of the plan.
    fn standing(&self) -> Value {
        let members = self.mesh.members();
        let others = members.list.iter().map(
            |member| json!({ "id": member.peer.to_string(), "name": member.nickname(), "online": true, "me": false }),
        );
        let me =
            json!({ "id": self.node.id().to_string(), "name": locked(&self.known).name, "online": true, "me": true });
        let status = self.mesh.status();
        json!({
            "members": std::iter::once(me).chain(others).collect::<Vec<_>>(),
            "complete": members.complete,
            "unsynced": self.document.unsynchronised(),
            "alone": !matches!(status, Status::Joined { .. }),
            "refused": matches!(status, Status::Refused { .. }),
            "can_undo": self.undoable.load(Ordering::Relaxed) > 0,
        })
    }
}

/// Tells pages what changes until the group is closed.
pub(crate) async fn follow(group: Weak<Group>) {
    let Some((mut edits, mut members)) = group
        .upgrade()
        .map(|group| (group.document.follow(), group.mesh.members_changes()))
    else {
        return;
    };
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    loop {
        tokio::select! {
            edit = edits.next() => if edit.is_none() { return },
            change = members.next() => if change.is_none() { return },
            _ = looks.tick() => {}
        }
        match group.upgrade() {
            Some(group) => group.refresh(),
            None => return,
        }
    }
}

fn merge(state: &mut Value, more: &Value) {
    for (name, value) in more.as_object().into_iter().flatten() {
        state[name] = value.clone();
    }
}
