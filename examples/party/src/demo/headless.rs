//! The demo without pages: members edit at the same time, one of them alone for a while, and in the end all must have the same.

use std::collections::BTreeSet;
use std::io::{Cursor, Write as _};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use shared::{Failure, stop};
use tokio::time::{Instant, sleep_until, timeout};

use super::cast::Cast;
use super::script::{add_something, begin, failure, write_something};
use crate::args::DemoArgs;
use crate::plan::List;

/// Edits a second of each member.
const EDITS_PER_SECOND: u32 = 10;
/// How long members may take until all have the same.
const MERGING: Duration = Duration::from_secs(60);

/// What came of it.
#[derive(Debug, Serialize)]
struct Summary {
    members: usize,
    /// All have the same in the end.
    converged: bool,
    edits: usize,
    /// Everybody got the photo, byte for byte.
    photo_verified: bool,
    /// Edits that were acknowledged, and that somebody lacks in the end.
    lost: usize,
}

pub(crate) async fn run(args: &DemoArgs) -> Result<(), Failure> {
    let cast = Cast::start(args.members).await?;
    let outcome = tokio::select! {
        outcome = play(&cast, args.seconds) => outcome,
        () = stop::requested() => Err(Failure::Interrupted(String::new())),
    };
    cast.end().await;
    let summary = outcome?;
    let mut out = std::io::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&summary).map_err(Failure::other)?)?;
    } else {
        let Summary {
            members, edits, lost, ..
        } = summary;
        let same = if summary.converged {
            "all have the same"
        } else {
            "they differ"
        };
        let photo = if summary.photo_verified {
            "the photo reached everybody"
        } else {
            "the photo is missing somewhere"
        };
        writeln!(out, "{members} members, {edits} edits, {lost} lost; {same}; {photo}")?;
    }
    if summary.converged && summary.photo_verified && summary.lost == 0 {
        Ok(())
    } else {
        Err(Failure::Other("the members do not have the same plan".to_owned()))
    }
}

async fn play(cast: &Cast, seconds: u64) -> Result<Summary, Failure> {
    begin(cast).await?;
    let part = Duration::from_secs(seconds) / 4;
    let mut written = Written::default();
    let all = cast.all();
    let [others @ .., last] = all.as_slice() else {
        return Err(Failure::Other("a group has members".to_owned()));
    };
    written.edit(cast, &all, part).await?;
    let photo = share_photo(cast).await?;

    // The last goes on alone, then the others without.
    for place in others {
        cast.members[*place].app.close().await;
    }
    written.edit(cast, &[*last], part).await?;
    cast.members[*last].app.close().await;
    for place in others {
        cast.come(*place).await?;
    }
    written.edit(cast, others, part).await?;
    cast.come(*last).await?;
    cast.meet(&all).await?;
    written.edit(cast, &all, part).await?;

    let converged = timeout(MERGING, cast.merged()).await.is_ok();
    let mut lost = 0;
    let mut photo_verified = true;
    for member in &cast.members {
        let group = member.group()?;
        let plan = group.plan();
        lost += written.ids.iter().filter(|id| !plan.has(List::Todos, id)).count();
        let fetched = group.blob(&photo.1).await;
        photo_verified &= fetched.is_ok_and(|bytes| bytes == photo.0);
    }
    Ok(Summary {
        members: cast.members.len(),
        converged,
        edits: written.edits,
        photo_verified,
        lost,
    })
}

#[derive(Default)]
struct Written {
    edits: usize,
    /// Items that were acknowledged.
    ids: BTreeSet<String>,
}

impl Written {
    /// These members edit at the same time.
    async fn edit(&mut self, cast: &Cast, places: &[usize], time: Duration) -> Result<(), Failure> {
        let end = Instant::now() + time;
        let edit = |place: usize| async move {
            let group = cast.members[place].group()?;
            let mut rng = StdRng::from_rng(&mut rand::rng());
            let (mut edits, mut ids) = (0, vec![]);
            while Instant::now() < end {
                let next = Instant::now() + Duration::from_secs(1) / EDITS_PER_SECOND;
                if rng.random_bool(0.5) {
                    ids.push(add_something(&group, &mut rng).await.map_err(failure)?);
                } else {
                    write_something(&group, &mut rng).await.map_err(failure)?;
                }
                edits += 1;
                sleep_until(next).await;
            }
            Ok::<_, Failure>((edits, ids))
        };
        for written in futures::future::join_all(places.iter().map(|place| edit(*place))).await {
            let (edits, ids) = written?;
            self.edits += edits;
            self.ids.extend(ids);
        }
        Ok(())
    }
}

/// Ada shares a photo; its bytes as shared, and their id.
async fn share_photo(cast: &Cast) -> Result<(axum::body::Bytes, String), Failure> {
    let mut file = Cursor::new(Vec::new());
    let mut rng = StdRng::from_rng(&mut rand::rng());
    let picture = image::RgbImage::from_fn(1_200, 800, |_, _| image::Rgb(rng.random()));
    picture
        .write_to(&mut file, image::ImageFormat::Jpeg)
        .map_err(Failure::other)?;
    let group = cast.members[0].group()?;
    let id = group
        .add_photo("sea.jpg", file.into_inner().into(), false)
        .await
        .map_err(failure)?;
    let plan = group.plan();
    let photo = plan.items(List::Photos).find(|(photo, _)| **photo == id);
    let blob = photo
        .and_then(|(_, fields)| fields.get("blob"))
        .cloned()
        .unwrap_or_default();
    // The others have it from her before she leaves.
    let mut shared = None;
    for member in &cast.members {
        let group = member.group()?;
        let planned = async {
            while !group.plan().has(List::Photos, &id) {
                group.changed().await;
            }
        };
        let late = |_| Failure::Nobody(format!("{} did not hear of the photo within a minute", member.name));
        timeout(MERGING, planned).await.map_err(late)?;
        group.refresh();
        let bytes = group.blob(&blob).await.map_err(failure)?;
        // Ada is the first.
        shared.get_or_insert(bytes);
    }
    Ok((shared.unwrap_or_default(), blob))
}
