//! Opening a room, and entering one.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use maille::{Address, Credential, Node, Ticket};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::json;
use shared::network::place;
use shared::secret::credential;
use shared::{Failure, MeshArgs};

use crate::args::{HostArgs, JoinArgs, RoomArgs};
use crate::face::Face;
use crate::lobby::NAME_MAX;
use crate::room::{Plan, Room};
use crate::screen::Screen;
use crate::words::plain;

/// Rooms are open unless a password is given.
pub(crate) fn right(mesh: &MeshArgs, address: &Address) -> Result<Credential, Failure> {
    let given = mesh.password_file.is_some() || std::env::var_os("MAILLE_PASSWORD").is_some();
    if mesh.open || !given {
        return Ok(Credential::open());
    }
    credential(mesh, address)
}

pub(crate) async fn host(args: HostArgs) -> Result<(), Failure> {
    let HostArgs { address, players, room } = args;
    enter(address, room, players, false).await
}

pub(crate) async fn join(args: JoinArgs, watches: bool) -> Result<(), Failure> {
    let JoinArgs { place: text, mut room } = args;
    let mut address = None;
    match text {
        // A ticket is one word, and an address has a slash.
        Some(text) if !text.contains('/') => {
            let ticket: Ticket = text
                .parse()
                .map_err(|error| Failure::Usage(format!("{text}: {error}")))?;
            room.mesh.ticket = Some(ticket);
        }
        Some(text) => {
            let parsed = text
                .parse()
                .map_err(|error| Failure::Usage(format!("{text}: {error}")))?;
            address = Some(parsed);
        }
        None => {}
    }
    let address = place(address, room.mesh.ticket.as_ref(), "lightcycles.example/arena")?;
    enter(address, room, 0, watches).await
}

async fn enter(address: Address, args: RoomArgs, wanted: u8, watches: bool) -> Result<(), Failure> {
    let room = address.topic().clone();
    let right = right(&args.mesh, &address)?;
    let is_open = args.mesh.password_file.is_none() && std::env::var_os("MAILLE_PASSWORD").is_none();
    if !args.headless && !std::io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "there is no terminal to play in: use --headless to let a bot play".to_owned(),
        ));
    }
    let node = args.mesh.network(args.data_dir.clone()).spawn(false).await?;
    let mesh = node.join(address.mesh().clone(), right).await.map_err(Failure::other)?;
    let name = args
        .name
        .clone()
        .or_else(|| std::env::var("USER").ok())
        .unwrap_or_else(|| "player".to_owned());
    let plan = Plan {
        room,
        name: plain(&name, NAME_MAX),
        watches,
        wanted,
        ticks: args.ticks,
        record: args.record.clone(),
        ready: args.headless,
        busy: false,
        abrupt: false,
        progress: Arc::default(),
    };
    let face = match args.headless {
        true => Face::Lines { json: args.json },
        false => {
            if wanted > 0 {
                invite(&node, &address, &mesh, is_open)?;
            }
            Face::Screen(Box::new(Screen::open()?))
        }
    };
    let told =
        json!({ "room": address.to_string(), "name": plan.name, "ticket": ticket(&address, &mesh)?.to_string() });
    face.tell("entered", &told)?;
    let stayed = Room::enter(&mesh, node.id(), plan, face).await?.stay().await;
    node.shutdown().await;
    stayed.map(drop)
}

/// What leads to the room.
fn ticket(address: &Address, mesh: &maille::Mesh) -> Result<Ticket, Failure> {
    let peers = mesh.ticket().map_err(Failure::other)?.bootstrap().to_vec();
    Ticket::new(address.mesh().clone(), Some(address.topic().clone()), peers).map_err(Failure::other)
}

/// How others get in, for the person at the terminal to pass on.
fn invite(node: &Node, address: &Address, mesh: &maille::Mesh, is_open: bool) -> Result<(), Failure> {
    let ticket = ticket(address, mesh)?;
    let mut out = std::io::stdout().lock();
    if let Ok(code) = QrCode::new(ticket.to_upper()) {
        writeln!(out, "{}", code.render::<Dense1x2>().quiet_zone(true).build())?;
    }
    writeln!(out, "Others on this network:   game join {address}")?;
    writeln!(out, "Others anywhere:          game join {ticket}")?;
    if !is_open {
        writeln!(out, "They need the same password.")?;
    }
    writeln!(out, "This is {}. Enter begins.", node.id())?;
    out.flush()?;
    drop(out);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(())
}
