//! Rooms of a mesh, as those who are in them tell.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::{Duration, Instant};

use futures::StreamExt;
use maille::Address;
use serde_json::json;
use shared::{Failure, stop};

use crate::args::RoomsArgs;
use crate::lobby;
use crate::start::right;

/// Rooms that are listed.
const ROOMS_MAX: usize = 256;

pub(crate) async fn run(args: RoomsArgs) -> Result<(), Failure> {
    let any: Address = shared::network::own_address(&format!("{}/rooms", args.name))?;
    let node = args.mesh.network(None).spawn(false).await?;
    let begun = Instant::now();
    let mesh = node
        .join(args.name.clone(), right(&args.mesh, &any)?)
        .await
        .map_err(Failure::other)?;
    let mut told = std::pin::pin!(lobby::rooms(&mesh).await?);
    let mut seen = BTreeSet::new();
    let mut over = std::pin::pin!(tokio::time::sleep(Duration::from_secs(args.wait)));
    let mut stopped = std::pin::pin!(stop::requested());
    loop {
        tokio::select! {
            room = told.next() => match room {
                Some(room) if seen.len() < ROOMS_MAX && seen.insert(room.room.clone()) => {
                    let mut out = std::io::stdout().lock();
                    let address = format!("{}/{}", args.name, room.room);
                    let after = begun.elapsed().as_secs_f64();
                    if args.json {
                        let line = json!({ "event": "room", "room": address, "people": room.people, "plays": room.plays, "seconds": after });
                        writeln!(out, "{line}")?;
                    } else {
                        let state = if room.plays { "a match is on" } else { "waiting" };
                        writeln!(out, "{address}  {} there, {state}", room.people)?;
                    }
                    out.flush()?;
                    if args.first {
                        break;
                    }
                }
                Some(_) => {}
                None => break,
            },
            () = &mut over => break,
            () = &mut stopped => return Err(Failure::Interrupted(String::new())),
        }
    }
    let none = seen.is_empty();
    node.shutdown().await;
    if none {
        return Err(Failure::Nobody(format!(
            "no room of {} was found: open one with game host",
            args.name
        )));
    }
    Ok(())
}
