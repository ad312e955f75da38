//! A call that any member may answer: performs what `core/requests` decides.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use libp2p::PeerId;
use tokio::sync::oneshot;

use super::calling::{CallError, Caller, Line};
use crate::core::requests::{Action, Input, Search, Why};
use crate::net::Command;

impl Caller {
    /// Calls members that may serve it, until one answers.
    pub(crate) async fn call_anybody(&self) -> Result<Bytes, CallError> {
        let deadline = self.deadline();
        match tokio::time::timeout_at(deadline, self.search(deadline)).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Deadline),
        }
    }

    async fn search(&self, deadline: tokio::time::Instant) -> Result<Bytes, CallError> {
        let mut actions = Vec::new();
        let mut search = Search::begin(self.servers().await?, Instant::now(), &mut actions);
        let mut asking = FuturesUnordered::new();
        let mut ready: HashMap<PeerId, Line> = HashMap::new();
        // The members' reasons are the core's to weigh; that this node itself has too much to do is not among them.
        let mut busy_here = false;
        loop {
            let mut input = None;
            for action in std::mem::take(&mut actions) {
                match action {
                    Action::Ask { peer } => asking.push(async move { (peer, self.ask(peer, deadline).await) }),
                    Action::Send { peer } => {
                        let line = ready.remove(&peer).ok_or(CallError::Failed)?;
                        asking.clear();
                        match self.send(line, deadline).await {
                            Err(CallError::Gone) => input = Some(Input::Gone),
                            other => return other,
                        }
                    }
                    Action::GiveUp(_) if busy_here => return Err(CallError::Busy { here: true }),
                    Action::GiveUp(Why::NotServed) => return Err(CallError::NotServed),
                    Action::GiveUp(Why::Busy) => return Err(CallError::Busy { here: false }),
                    Action::GiveUp(Why::Gone) => return Err(CallError::Gone),
                }
            }
            let input = match input {
                Some(input) => input,
                None => {
                    let hedge = search.next_deadline();
                    tokio::select! {
                        Some((peer, asked)) = asking.next() => match asked {
                            Ok(line) => {
                                ready.insert(peer, line);
                                Input::Ready { peer }
                            }
                            Err(CallError::Closed) => return Err(CallError::Closed),
                            Err(error) => {
                                busy_here |= error == CallError::Busy { here: true };
                                Input::NotReady { peer, busy: matches!(error, CallError::Busy { .. }) }
                            }
                        },
                        () = tokio::time::sleep_until(hedge.unwrap_or_else(Instant::now).into()), if hedge.is_some() => {
                            Input::TimedOut
                        }
                    }
                }
            };
            search.handle(input, Instant::now(), &mut actions);
        }
    }

    /// Members that may serve it: those that say so come first.
    async fn servers(&self) -> Result<Vec<PeerId>, CallError> {
        let (reply, servers) = oneshot::channel();
        let command = Command::Servers {
            slot: self.mesh.slot,
            service: self.service.clone(),
            reply,
        };
        self.node.commands.send(command).await.map_err(|_| CallError::Closed)?;
        servers.await.map_err(|_| CallError::Closed)
    }
}
