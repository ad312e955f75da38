//! `maille share MESH FILE…`: files as blobs of a mesh, given to whoever asks until Ctrl-C, or until others hold them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use maille::{BlobId, Node, PeerId};

use super::common::{Member, MeshOptions, NetworkOptions, counted, shutdown};
use super::exit::{Failure, say};
use super::output::{BlobLine, json_line, print_now};
use super::place::{MeshOrTicket, Place};
use super::signals::Stop;

/// How often neighbours are asked what they hold.
const CENSUS_INTERVAL: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
Examples:
  Share two pictures until Ctrl-C; one id a line is printed:
    maille share party.example beach.jpg cake.jpg
  Share a film until two others hold all of it, and keep it on a disk of your choice for the next time:
    maille share party.example film.mp4 --until-held 2 --data-dir /srv/party

Others get it with `maille fetch`, whole and checked, and give it to others again. Files are copied: into memory, up to 256 MiB
in all; or into the data directory, where they are shared again whenever a node runs on it, up to 8 GiB.";

/// Share files with the members of a mesh
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ShareArgs {
    /// The mesh, such as party.example, or a ticket
    #[arg(value_name = "MESH")]
    mesh_or_ticket: MeshOrTicket,
    /// The files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// End once so many others hold all of each file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    until_held: Option<u32>,
    /// Print JSON objects, one a file
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    mesh: MeshOptions,
    #[command(flatten)]
    network: NetworkOptions,
}

/// Runs `maille share`.
pub(crate) async fn run(args: ShareArgs, stop: Stop) -> Result<(), Failure> {
    let place = Place::of_mesh(Some(args.mesh_or_ticket.clone()), args.mesh.ticket.clone())?;
    let member = Member::join(&place, &args.network, &args.mesh, &stop).await?;
    let outcome = match share(&args, &member, &stop).await {
        Ok(ids) => serve(&args, &member, &ids, &stop).await,
        Err(failure) => Err(failure),
    };
    shutdown(member.node).await;
    outcome
}

/// Takes the files in, and prints their ids.
async fn share(args: &ShareArgs, member: &Member, stop: &Stop) -> Result<BTreeSet<BlobId>, Failure> {
    let mut ids = BTreeSet::new();
    for file in &args.files {
        let shared = stop.or(member.mesh.share_file(file)).await?;
        let id =
            shared.map_err(|error| Failure::Other(anyhow::Error::new(error).context(file.display().to_string())))?;
        let line = if args.json {
            let held = member.mesh.blobs().await;
            let held = held.map_err(|error| Failure::Other(error.into()))?;
            json_line(&BlobLine {
                event: "shared",
                mesh: member.mesh.name().as_str(),
                blob: id.to_string(),
                bytes: held.iter().find(|info| info.id == id).map_or(0, |info| info.bytes),
                file: file.display().to_string(),
            })
        } else {
            format!("{id}\n").into_bytes()
        };
        match print_now(&line) {
            // What is shared is of use even if nobody reads its id here.
            Err(Failure::OutputClosed) => {}
            printed => printed?,
        }
        ids.insert(id);
    }
    Ok(ids)
}

/// Gives them to others until it is told to stop, or they hold them.
async fn serve(args: &ShareArgs, member: &Member, ids: &BTreeSet<BlobId>, stop: &Stop) -> Result<(), Failure> {
    let progress = spinner();
    let mut watch = member.watch(progress.clone());
    let mesh = member.mesh.name();
    say(&format!(
        "sharing {} in {mesh}; Ctrl-C ends",
        counted(ids.len(), "file")
    ));
    let ended = tokio::select! {
        biased;
        _ = stop.requested() => Err(Failure::Interrupted(String::new())),
        failure = watch.given_up() => Err(failure),
        () = held(args.until_held, member, ids, &progress) => Ok(()),
        () = show(&member.node, &progress) => Ok(()),
    };
    progress.finish_and_clear();
    ended
}

/// Resolves once so many others hold each.
async fn held(wanted: Option<u32>, member: &Member, ids: &BTreeSet<BlobId>, progress: &ProgressBar) {
    let Some(wanted) = wanted else {
        return std::future::pending().await;
    };
    for id in ids {
        let mut holders: BTreeSet<PeerId> = BTreeSet::new();
        while holders.len() < wanted as usize {
            // Those who left may hold it still.
            holders.extend(member.mesh.holders(*id).await);
            progress.set_prefix(format!("held by {} of {wanted}, ", holders.len()));
            tokio::time::sleep(CENSUS_INTERVAL).await;
        }
    }
}

/// Shows what was given; never resolves.
async fn show(node: &Node, progress: &ProgressBar) {
    let mut looks = tokio::time::interval(CENSUS_INTERVAL);
    loop {
        looks.tick().await;
        let given = indicatif::BinaryBytes(node.metrics().blob_bytes_served);
        progress.set_message(format!("{given} given to others"));
    }
}

fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {prefix}{msg}, {elapsed}");
    let style = style.expect("this template is well formed, as a test shows");
    let progress = ProgressBar::new_spinner().with_style(style);
    progress.enable_steady_tick(Duration::from_millis(250));
    progress
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_well_formed() {
        spinner().finish_and_clear();
    }
}
