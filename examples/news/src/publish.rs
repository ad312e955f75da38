//! `news publish`: feeds as a stream of items on a topic.

use crate::args::PublishArgs;
use crate::desk::{Deed, Desk, Report, Until};
use crate::duration;
use shared::{secret, stop};

use crate::exit::Failure;
use crate::feed::fetch::Fetcher;
use crate::mesh::{Address, Member, default_data_dir};
use crate::say::{count, say};

/// Where in the data directory it is kept what was published.
const FOLDER: &str = "feeds";

/// Runs the command.
pub(crate) async fn run(args: PublishArgs) -> Result<(), Failure> {
    let mut stopped = std::pin::pin!(stop::requested());
    let address = args.common.place()?;
    let data_dir = match &args.common.data_dir {
        Some(data_dir) => data_dir.clone(),
        None => default_data_dir("publish", &address)?,
    };
    let credential = secret::credential(&args.common.mesh, &address)?;
    let fetcher = Fetcher::new(false)?;
    // The node locks the data directory, so nobody else reads or writes what lies in it.
    let network = args.common.mesh.network(Some(data_dir.clone()));
    let member = Member::join(&network, &address, credential).await?;
    say(&format!("publishing as {}", member.id()));
    let outcome = tokio::select! {
        outcome = async {
            let mut desk = Desk::open(&args.feed, args.interval, &data_dir.join(FOLDER), fetcher)?;
            publish(&args, &address, &member, &mut desk).await
        } => outcome,
        failure = member.refused() => Err(failure),
        () = &mut stopped => Err(Failure::Interrupted(String::new())),
    };
    member.stop().await;
    outcome
}

async fn publish(args: &PublishArgs, address: &Address, member: &Member, desk: &mut Desk) -> Result<(), Failure> {
    let outlet = member.publisher().await?;
    let until = match args.once {
        true => Until::Once(args.wait_timeout),
        false => Until::Stopped,
    };
    let mut report = |report: Report| {
        if let Some(line) = line(&report, address) {
            say(&line);
        }
    };
    let outcome = desk.run(&outlet, until, &mut report).await;
    if let Err(Failure::Nobody(what)) = &outcome {
        return Err(member.refusal().unwrap_or_else(|| {
            Failure::Nobody(format!(
                "no keeper is online: run maille keep {} ({what})",
                address.mesh()
            ))
        }));
    }
    outcome?;
    let tally = desk.tally();
    if tally.failed == desk.feeds() as u64 {
        return Err(Failure::Unreadable(match desk.feeds() {
            1 => "the feed could not be read".to_owned(),
            feeds => format!("none of {feeds} feeds could be read"),
        }));
    }
    let published = usize::try_from(tally.published).unwrap_or(usize::MAX);
    say(&format!(
        "published {}; a member holds every item",
        count(published, "item")
    ));
    Ok(())
}

/// What is said of a feed, if it is worth a line.
pub(crate) fn line(report: &Report, address: &Address) -> Option<String> {
    let what = match &report.what {
        Deed::Published { new: 0, .. } | Deed::NotModified => return None,
        Deed::Published { new, .. } => format!("{} published", count(*new, "new item")),
        Deed::Failed { why, again_in: None } => why.clone(),
        Deed::Failed {
            why,
            again_in: Some(pause),
        } => format!("{why}; next try in {}", duration::told(*pause)),
        Deed::Odd(what) => what.clone(),
        Deed::Waiting(items) => format!(
            "{} for a member to hold them: run maille keep {} or news read {address}",
            match items {
                1 => "1 item waits".to_owned(),
                items => format!("{items} items wait"),
            },
            address.mesh()
        ),
    };
    Some(format!("{}: {what}", report.feed))
}
